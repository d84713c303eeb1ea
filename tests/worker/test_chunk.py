"""Chunks and merges: fragments once and for all, partials that start empty, and any failing file operation survived."""

import os

import numpy as np
import pytest
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import Output
from dxflow.disk import fragments
from dxflow.driver import journal
from dxflow.testing.case import cut
from dxflow.worker import chunk, merging


@pytest.fixture
def work(run):
    plan = cut(dxflow.plan(run.path, [Stats(), TrainSums()], block=5000), 2)
    return chunk.Workspace(plan, journal.begin(plan))


def test_a_chunk_that_is_there_is_not_done_again(work):
    first = chunk.run_chunk(work, 1)
    path, _ = work.plan.address(work.folder, 1)
    content = path.read_bytes()
    again = chunk.run_chunk(work, 1)
    assert (first.reused, again.reused) == (False, True)
    assert again.used == first.used
    assert path.read_bytes() == content


def test_a_damaged_chunk_is_done_again_with_the_same_arrays(work):
    chunk.run_chunk(work, 1)
    path, _ = work.plan.address(work.folder, 1)
    with fragments.Fragment(path) as fragment:
        before = {name: fragment[name] for name in fragment.names()}
    os.truncate(path, path.stat().st_size // 2)
    assert not chunk.run_chunk(work, 1).reused
    with fragments.Fragment(path) as fragment:
        for name, array in before.items():
            assert fragment[name].tobytes() == array.tobytes()


def test_merging_twice_and_in_two_processes_gives_the_same_and_leaves_its_inputs_alone(work):
    leaves = [(n, work.plan.address(work.folder, n)) for n in range(3)]
    for n in range(3):
        chunk.run_chunk(work, n)
    before = [at.path.read_bytes() for _, at in leaves]
    totals = []
    for name in ("a.fragment", "b.fragment"):
        with fragments.Fragment(
            *merging.merge(work, 0, leaves, fragments.Address(work.folder / name, ""))
        ) as total:
            totals.append({key: total[key].tobytes() for key in total.names()})
    assert totals[0] == totals[1]
    assert [at.path.read_bytes() for _, at in leaves] == before


def test_a_chunk_without_frames_leaves_a_fragment_of_identities(gappy):
    empty = int(np.flatnonzero(gappy.frame_counts == 0)[0])
    plan = cut(dxflow.plan(gappy.path, [Stats(), TrainSums()]), 1)
    work = chunk.Workspace(plan, journal.begin(plan))
    summary = chunk.run_chunk(work, empty)
    assert summary.used == [] or all(n == 0 for *_, n in summary.used)
    with fragments.Fragment(*work.plan.address(work.folder, empty)) as fragment:
        assert np.isposinf(fragment["stats.low"]).all()
        assert not fragment["stats.count"].any()
        assert np.isnan(fragment["tsum.s"]).all()
        assert len(fragment["tsum.ev/rows"]) == 0


class Total(RoiSum):
    """One number: few files to write."""

    ALG_ID = "total"

    def outputs(self, info):
        return {"n": Output(per="run")}

    def process_module_data(self, block, out):
        out.n += np.nansum(block["img"], dtype="f8")


@pytest.mark.parametrize("operation", ["replace", "fsync"])
def test_whichever_file_operation_fails_nothing_has_the_name_and_resuming_completes(
    tiny, tmp_path, monkeypatch, operation
):
    """Fail the first, second, third ... call until the run gets through."""
    expected = dxflow.execute(cut(dxflow.plan(tiny.path, Total()), 3), "here").dataset.load()
    real = getattr(os, operation)
    for n in range(1, 60):
        calls = []

        def fails(*args, calls=calls, n=n):
            calls.append(args)
            if len(calls) == n:
                raise OSError(28, "No space left on device")
            return real(*args)

        to = tmp_path / f"{n}.zarr"
        monkeypatch.setattr(os, operation, fails)
        try:
            dxflow.execute(cut(dxflow.plan(tiny.path, Total(), to), 3), "here")
            break
        except OSError as e:
            if e.errno != 28:
                raise
        finally:
            monkeypatch.undo()
        resume = {"resume": True} if not to.exists() else {"overwrite": True}
        result = dxflow.execute(cut(dxflow.plan(tiny.path, Total(), to, **resume), 3), "here")
        for name, variable in expected.variables.items():
            assert result.dataset[name].values.tobytes() == variable.values.tobytes()
    assert n > 4
