"""The folder of fragments: what may be resumed, and what may not."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import programs
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow import FrameSelection, PlanError
from dxflow.disk import lock
from dxflow.driver import journal
from dxflow.planning.digests import Digests
from dxflow.stores.formats.zarr import Zarr
from dxflow.worker.chunk import run_chunk
from dxflow.worker.workspace import Workspace


@pytest.fixture(scope="module")
def run(half):
    return half


@pytest.fixture
def begun(run, tmp_path):
    """Return a function that plans, and one chunk that is finished already."""

    def plan(algorithm=None, **options):
        return dxflow.plan(
            run.path, algorithm or RoiSum(ss=(0, 4)), tmp_path / "x.zarr", block=500, **options
        )

    first = plan()
    first.address(journal.begin(first), 0).path.touch()
    return plan


def test_a_begun_run_is_not_thrown_away_unasked(begun):
    with pytest.raises(
        PlanError, match=r"holds 1 chunks of an interrupted run: resume=True .* overwrite=True"
    ):
        journal.begin(begun())


def test_overwriting_begins_afresh(begun):
    folder = journal.begin(begun(overwrite=True))
    assert sorted(p.name for p in folder.iterdir()) == ["plan.json"]


def test_the_same_run_is_resumed_with_its_chunks(begun):
    folder = begun().store.partial
    (folder / "attempts").mkdir()
    again = begun(resume=True)
    assert journal.found(journal.begin(again), again) == {0}
    # What killed a worker is tried afresh.
    assert not (folder / "attempts").exists()


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ({"algorithm": RoiSum(ss=(0, 5))}, r"option ss of roisum: \[0, 4\] -> \[0, 5\]"),
        ({"algorithm": Stats()}, "algorithms: roisum -> stats"),
        ({"algorithm": RoiSum(ss=(0, 4), name="other")}, "algorithms: roisum -> other"),
        ({"frames": FrameSelection(pulses=[0])}, "the frames that are read"),
        ({"on_fault": "mask"}, "on_fault: none -> mask"),
    ],
)
def test_another_reduction_is_not_resumed_as_this_one(begun, other, changed):
    with pytest.raises(PlanError, match=rf"cannot be resumed:(\n- .*)*{changed}"):
        journal.begin(begun(resume=True, **other))


def test_changed_input_files_are_not_resumed(begun, run):
    file = sorted(Path(run.path).glob("CORR*.h5"))[0]
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    try:
        with pytest.raises(PlanError, match=f"file {file} has changed since"):
            journal.begin(begun(resume=True))
    finally:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_other_chunks_are_not_resumed(begun):
    made = begun(resume=True)
    with pytest.raises(PlanError, match="how the run is cut into chunks"):
        journal.begin(replace(made, chunks=made.chunks[:-1]))


def test_an_unreadable_journal_is_not_resumed(begun):
    made = begun(resume=True)
    (made.store.partial / "plan.json").write_text("{")
    with pytest.raises(PlanError, match="whose plan.json is damaged, or of other origin: it is not replaced"):
        journal.begin(made)


def test_the_fingerprint_is_the_same_after_json_and_for_every_plan_of_the_same(begun):
    first, second = begun().fingerprint, begun().fingerprint
    assert first.facts == second.facts == json.loads(json.dumps(first.facts))
    assert {"numpy", "h5py", "zarr"} <= set(first["versions"])


def test_options_become_json_values_and_arrays_a_digest_of_their_content():
    plain = Digests().plain
    assert plain([1, (2.5, None), "x"]) == [1, [2.5, None], "x"]
    one, other = np.arange(3), np.arange(3) + 1
    assert plain(one) == plain(one.copy()) != plain(other)
    assert plain(one) != plain(one.astype("f8"))


# Two at a time, and what is finished ---------------------------------------------------------------


def reduce(run, to, algorithm=None, **options):
    return dxflow.reduce(run.path, algorithm or RoiSum(ss=(0, 4)), to, cluster="here", chunk=5_000, **options)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_reduction_to_the_same_name_is_refused(run, tmp_path, resume):
    to = tmp_path / "x.zarr"
    first, second = (dxflow.plan(run.path, RoiSum(), to, resume=resume) for _ in range(2))
    with journal.held(first):
        journal.begin(first)
        with pytest.raises(PlanError, match="works there now"):
            dxflow.plan(run.path, RoiSum(), to, resume=resume)
        with pytest.raises(PlanError, match="works there now"):
            dxflow.execute(second, "here")
    assert not to.exists()


def test_fragments_of_another_plan_are_done_again(run, tmp_path, truth_of_band):
    """As a worker leaves them whose driver was killed, in the folder of a run that has begun since."""
    to = tmp_path / "x.zarr"
    old = dxflow.plan(run.path, RoiSum(ss=(0, 4)), to, chunk=5_000)
    work = Workspace(old, journal.begin(old))
    run_chunk(work, 0)
    new = dxflow.plan(run.path, RoiSum(ss=(0, 16)), to, chunk=5_000, overwrite=True)
    folder = journal.begin(new)
    for number in (0, 1):
        run_chunk(work, number)
        # Even under the name that the new run would give it.
        os.link(old.address(folder, number).path, new.address(folder, number).path)
    result = dxflow.execute(replace(new, resume=True), "here")
    np.testing.assert_allclose(result.dataset["roisum.intensity"], truth_of_band(0, 16), rtol=1e-5)


@pytest.fixture
def truth_of_band(run):
    def sums(first, last):
        import oracle

        _, frames = oracle.frames(run.path, run.sources)
        return np.nansum(frames[:, :, first:last].astype("f8"), axis=(1, 2, 3))

    return sums


def test_a_finished_result_is_taken_as_it_is_and_its_journal_removed(run, tmp_path, monkeypatch):
    to = tmp_path / "x.zarr"
    monkeypatch.setattr(journal, "end", lambda plan: None)
    created = reduce(run, to).manifest["created"]
    monkeypatch.undo()
    assert (tmp_path / "x.zarr.partial").exists()
    assert reduce(run, to, resume=True).manifest["created"] == created
    assert not (tmp_path / "x.zarr.partial").exists()


@pytest.mark.parametrize("name", ["x.zarr", "x.nc", "x/"])
def test_a_damaged_result_is_not_taken_for_finished(run, tmp_path, name):
    to = f"{tmp_path}/{name}"
    reduce(run, to)
    files = (
        [p for p in Path(to).rglob("*") if p.is_file() and p.suffix != ".json"]
        if Path(to).is_dir()
        else [Path(to)]
    )
    largest = max(files, key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(PlanError, match=f"cannot be gone on with:\n- .*{largest.name}"):
        reduce(run, to, resume=True)
    reduce(run, to, resume=True, overwrite=True)
    assert dxflow.stores.opening.verify(to) == []


def test_a_result_that_was_made_otherwise_is_not_taken_for_finished(run, tmp_path):
    to = tmp_path / "x.zarr"
    reduce(run, to)
    with pytest.raises(
        PlanError, match=r"cannot be gone on with:\n- option ss of roisum: \[0, 4\] -> \[0, 5\]"
    ):
        reduce(run, to, RoiSum(ss=(0, 5)), resume=True)


def test_what_has_no_digest_is_not_resumed(begun):
    marked = RoiSum(ss=(0, 4))
    marked.lock = threading.Lock()
    with pytest.raises(PlanError, match=r"attribute lock of roisum \(.*\) has no digest"):
        journal.begin(begun(marked, resume=True))


STARTS = """
import sys, time; sys.path.insert(0, {tests!r})
import dxflow
from samples import RoiSum
class Slow(RoiSum):
    def process_module_data(self, block, out):
        time.sleep(0.002)
        super().process_module_data(block, out)
time.sleep(float(sys.argv[2]))
resume = sys.argv[3] == "resume"
dxflow.reduce({run!r}, Slow(ss=(0, int(sys.argv[1]))), {to!r}, cluster="here", chunk=5_000, resume=resume)
"""


@pytest.mark.parametrize("resume", ["resume", "afresh"])
def test_whatever_starts_overlap_the_result_is_of_one_plan(run, tmp_path, truth_of_band, resume):
    to = tmp_path / "x.zarr"
    code = STARTS.format(tests=str(Path(__file__).parents[1]), run=str(run.path), to=str(to))
    bands = (4, 8, 16)
    started = [
        programs.Program(code, str(band), str(delay), resume)
        for band, delay in zip(bands, (0, 0.05, 0.4), strict=True)
    ]
    ended = [program.done() for program in started]
    errors = [process.stderr.strip().splitlines() for process in ended]
    done = [band for band, process in zip(bands, ended, strict=True) if process.returncode == 0]
    assert len(done) == 1, errors
    for process, lines in zip(ended, errors, strict=True):
        if process.returncode:
            assert any(
                said in "\n".join(lines)
                for said in ("works there now", "exists", "interrupted run", "gone on with")
            ), lines
    result = dxflow.open(to)
    np.testing.assert_allclose(
        result.dataset["roisum.intensity"],
        truth_of_band(0, done[0]),
        rtol=1e-5,
    )
    assert dxflow.stores.opening.verify(to) == []
    assert not to.with_name("x.zarr.partial").exists()


class Fussy(RoiSum):
    """Raises in two trains."""

    def process_module_data(self, block, out):
        if np.isin(block.train_ids, [10003, 10009]).any():
            raise ValueError("not these")
        super().process_module_data(block, out)


def test_a_resumed_run_with_faults_masked_has_the_same_bits_and_losses(run, tmp_path):
    options = {"on_fault": "mask", "chunk": 5_000}
    plan = dxflow.plan(run.path, Fussy(), tmp_path / "x.zarr", **options)
    work = Workspace(plan, journal.begin(plan))
    done = plan.chunks[::2]
    for chunk in done:
        run_chunk(work, chunk.number)
    resumed = dxflow.reduce(run.path, Fussy(), tmp_path / "x.zarr", cluster="here", resume=True, **options)
    whole = dxflow.reduce(run.path, Fussy(), cluster="here", **options)
    assert resumed.manifest["chunks"]["reused"] == len(done) < len(plan.chunks)
    assert resumed.manifest["losses"] == whole.manifest["losses"]
    assert resumed.manifest["losses"]
    for name, variable in whole.dataset.variables.items():
        assert resumed.dataset.variables[name].values.tobytes() == variable.values.tobytes()


@pytest.mark.parametrize("when", ["create", "commit"])
def test_a_driver_that_was_taken_for_dead_removes_nothing_of_the_next_one(run, tmp_path, monkeypatch, when):
    """It was stopped for long, as by a suspended machine; another one has taken the lock meanwhile."""
    to = tmp_path / "x.zarr"
    planned = dxflow.plan(run.path, RoiSum(ss=(0, 4)), to, chunk=5_000)
    real, partial = getattr(Zarr, when), planned.store.partial

    def stopped(self, contents, *rest):
        out = real(self, contents, *rest)
        holder = json.loads((partial / lock.NAME).read_text())
        (partial / lock.NAME).unlink()
        (partial / lock.NAME).write_text(json.dumps(holder | {"token": "another"}))
        (partial / "chunk-000000-another0.fragment").write_bytes(b"of the next one")
        return out

    monkeypatch.setattr(Zarr, when, stopped)
    if when == "create":
        with pytest.raises(RuntimeError, match="works there now, since this process gave no sign of life"):
            dxflow.execute(planned, "here")
        assert not to.exists()
    else:
        dxflow.execute(planned, "here")
        assert dxflow.stores.opening.verify(to) == []
    assert (partial / "chunk-000000-another0.fragment").exists()
    assert json.loads((partial / lock.NAME).read_text())["token"] == "another"
