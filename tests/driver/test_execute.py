"""Whole reductions: right, the same bits however and wherever they run, and after kills."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from pathlib import Path

import numpy as np
import oracle
import programs
import pytest
from samples import Bright, Failing, Killer, RoiSum, Scale, ScaleTrains, Stats, TrainSums, scaled

import dxflow
from dxflow import Frames, FrameSelection
from dxflow.clusters.tasks import DaskRunner
from dxflow.driver import execute as execution
from dxflow.testing.case import cut
from dxflow.worker import merging

BLOCK = 6_000
"""Cuts the trains of these tests into several blocks."""


def reduce(run, algorithms, to=None, *, cluster="here", **options):
    """Reduce in chunks of two trains, which dxflow finds too small for such small runs."""
    plan = dxflow.plan(run, algorithms, to, block=BLOCK, **options)
    return dxflow.execute(cut(plan, 2), cluster)


def bits(result):
    return {str(name): v.values.tobytes() for name, v in result.dataset.variables.items()}


@pytest.fixture(scope="module")
def truth_of(run, gappy):
    """Frames by EXtra-data of a plain run and of one with gaps."""
    return {t.path: oracle.frames(t.path, t.sources) for t in (run, gappy)}


@pytest.mark.parametrize("which", ["run", "gappy"])
def test_sums_extremes_and_counts_are_those_of_numpy_on_frames_read_by_extra_data(which, truth_of, request):
    path = request.getfixturevalue(which).path
    labels, frames = truth_of[path]
    result = reduce(path, [RoiSum(ss=(2, 7)), Stats(), TrainSums()])
    data = result.dataset
    assert list(zip(data.train_id.values, data.pulse_id.values, strict=True)) == labels
    oracle.close(data["roisum.intensity"], np.nansum(frames[:, :, 2:7], axis=(1, 2, 3)))
    oracle.close(data["stats.mean"], np.nanmean(frames, axis=0), 1e-12)
    oracle.close(data["stats.count"], (~np.isnan(frames)).sum(axis=0), 0)
    oracle.close(data["stats.low"], np.nan_to_num(frames, nan=np.inf).min(axis=0), 0)
    oracle.close(data["stats.high"], np.nan_to_num(frames, nan=-np.inf).max(axis=0), 0)
    oracle.close(data["tsum.tot"], np.nansum(frames), 1e-12)
    oracle.close(data["tsum.row"], np.nansum(frames, axis=(1, 2, 3)), 1e-12)
    oracle.close(data["tsum.lit"], (frames > 1).sum(axis=(1, 2, 3)), 0)
    there = ~np.isnan(frames).all(axis=(2, 3))
    assert data.modules_used.values.tolist() == there.sum(axis=1).tolist()


def test_values_per_train_follow_all_trains_and_are_nan_where_a_train_has_no_frames(gappy, truth_of):
    labels, frames = truth_of[gappy.path]
    data = reduce(gappy.path, TrainSums()).dataset
    assert data.train.values.tolist() == gappy.train_ids.tolist()
    trains = np.array([t for t, _ in labels])
    for train, value, events in zip(
        gappy.train_ids, data["tsum.s"].values, data["tsum.ev_count"].values, strict=True
    ):
        own = frames[trains == train]
        assert np.isclose(value, np.nansum(own)) if len(own) else np.isnan(value)
        assert events == (train % 3 if len(own) else 0)


@pytest.mark.parametrize("algorithm", [Stats, TrainSums])
@pytest.mark.parametrize("scale", [Scale, ScaleTrains])
def test_images_handed_on_within_a_pass_are_those_that_were_made(gappy, truth_of, algorithm, scale):
    _, frames = truth_of[gappy.path]
    data = reduce(gappy.path, scaled(algorithm(), scale)).dataset
    if algorithm is Stats:
        oracle.close(data["stats.high"], 2 * np.nan_to_num(frames, nan=-np.inf).max(axis=0), 0)
    else:
        oracle.close(data["tsum.tot"], 2 * np.nansum(frames), 1e-12)
    assert not any(str(name).startswith("scale.") for name in data.variables)


def test_one_and_two_workers_and_this_process_give_the_same_bits(gappy, client):
    algorithms = [RoiSum(), Stats(), TrainSums()]
    here = bits(reduce(gappy.path, algorithms))
    assert bits(reduce(gappy.path, algorithms, cluster=client)) == here
    one = dxflow.clusters.Local(workers=1)
    assert bits(reduce(gappy.path, algorithms, cluster=one)) == here


def test_a_worker_killed_during_the_run_changes_no_bit(run, client, tmp_path):
    plain = reduce(run.path, Stats())
    flag = tmp_path / "killed"
    killed = reduce(run.path, Killer(train=int(run.train_ids[5]), flag=str(flag)), cluster=client)
    assert flag.exists()
    assert bits(killed) == bits(plain)
    # A chunk that the killed worker had finished is there: it is found again, not done again.
    chunks = killed.manifest["chunks"]
    assert sum(chunks.values()) == len(killed.manifest["plan"]["chunks"])
    assert chunks["reused"] <= 2
    assert killed.losses.empty


def test_short_chunks_are_done_several_in_a_task_also_where_a_worker_dies(run, client, tmp_path, monkeypatch):
    plain = reduce(run.path, [Stats(), RoiSum()])
    monkeypatch.setattr(execution, "MANY", 4)
    monkeypatch.setattr(execution, "TOGETHER", 3)
    monkeypatch.setattr(execution, "LAST", 2)
    mapped, map_ = [], DaskRunner.map
    monkeypatch.setattr(
        DaskRunner,
        "map",
        lambda self, f, items, **kw: mapped.append((f, items)) or map_(self, f, items, **kw),
    )
    flag = tmp_path / "killed"
    killer = Killer(train=int(run.train_ids[9]), flag=str(flag))
    killed = reduce(run.path, [killer, RoiSum()], cluster=client)
    assert flag.exists()
    assert bits(killed) == bits(plain)
    some = next(items for f, items in mapped if f.__name__ == "run_chunks")
    lengths = [len(numbers) for numbers in some]
    assert lengths[-2:] == [1, 1]
    assert set(lengths[:-3]) == {3}
    assert [n for numbers in some for n in numbers] == list(range(len(plain.manifest["plan"]["chunks"])))
    # What is large enough is a task of its own.
    monkeypatch.setattr(execution, "SHORT", 1)
    mapped.clear()
    assert bits(reduce(run.path, [Stats(), RoiSum()], cluster=client)) == bits(plain)
    assert "run_chunks" not in {f.__name__ for f, _ in mapped}


@pytest.mark.parametrize("readers", [0, 2])
def test_threads_that_read_ahead_go_on_with_the_next_chunk_of_a_task(run, monkeypatch, readers):
    plain = reduce(run.path, Stats())
    monkeypatch.setattr(execution, "MANY", 1)
    monkeypatch.setattr(execution, "LAST", 1)
    monkeypatch.setattr(execution, "TOGETHER", 5)
    assert bits(reduce(run.path, Stats(), readers=readers)) == bits(plain)


@pytest.mark.parametrize("cluster", ["here", "client"])
def test_an_exception_in_a_hook_says_where_and_keeps_the_users_line(run, cluster, request):
    where = request.getfixturevalue("client") if cluster == "client" else cluster
    train = int(run.train_ids[7])
    with pytest.raises(ZeroDivisionError, match="planted") as caught:
        reduce(run.path, Failing(trains=[train]), cluster=where)
    notes = "\n".join(caught.value.__notes__)
    for part in ("failing.process_module_data()", run.path, "chunk ", str(train), "module 0"):
        assert part in notes
    assert 'raise ZeroDivisionError("planted")' in "".join(traceback.format_exception(caught.value))
    # The fragments of a result without a name are not kept.
    assert "resume=True" not in notes


def test_a_failed_run_leaves_its_chunks_and_resume_computes_only_the_others(run, tmp_path):
    to = tmp_path / "x.zarr"
    with pytest.raises(ZeroDivisionError) as caught:
        reduce(run.path, Failing(trains=[int(run.train_ids[-1])]), to)
    assert not to.exists()
    done = len(list(to.with_name("x.zarr.partial").glob("chunk-*.fragment")))
    assert caught.value.__notes__[-1].startswith(f"{done} of {done + 1} chunks are kept in {to}.partial")
    with pytest.raises(dxflow.PlanError, match="algorithms"):
        reduce(run.path, Failing(), to, cluster="here", resume=True)
    with pytest.raises(dxflow.PlanError, match=f"holds {done} chunks of an interrupted run"):
        reduce(run.path, Failing(), to)


SCRIPT = """
    import os, sys, time
    sys.path.insert(0, {tests!r})
    from samples import Stats
    import dxflow
    from dxflow.testing.case import cut

    class Slow(Stats):
        def process_module_data(self, block, out):
            time.sleep(0.01)
            super().process_module_data(block, out)

    if __name__ == "__main__":
        plan = dxflow.plan({run!r}, Slow(), {to!r}, resume="resume" in sys.argv, block=6_000)
        result = dxflow.execute(cut(plan, 2), {cluster})
        print("DONE", result.manifest["chunks"])
"""


@pytest.mark.parametrize("cluster", ["'here'", "dxflow.clusters.Local(2)"])
def test_resuming_after_a_kill_of_the_driver_computes_only_the_missing_chunks(run, tmp_path, cluster):
    to, script = tmp_path / "x.zarr", tmp_path / "script.py"
    tests = str(Path(__file__).parents[1])
    script.write_text(textwrap.dedent(SCRIPT.format(tests=tests, run=run.path, to=str(to), cluster=cluster)))
    driver = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    folder = tmp_path / "x.zarr.partial"
    deadline = time.monotonic() + 100
    while len(list(folder.glob("chunk-*.fragment"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not to.exists()
    done = len(list(folder.glob("chunk-*.fragment")))
    again = programs.run(script, "resume")
    assert again.returncode == 0, again.stderr
    chunks = json.loads(again.stdout.split("DONE ")[1].replace("'", '"'))
    total = len(dxflow.Result(to).manifest["plan"]["chunks"])
    assert 3 <= done < total
    assert chunks == {"computed": total - done, "reused": done}
    assert not folder.exists()
    plain = reduce(run.path, Stats()).dataset
    resumed = dxflow.Result(to).dataset
    for name, variable in plain.variables.items():
        assert resumed.variables[name].values.tobytes() == variable.values.tobytes()


def test_resuming_does_damaged_chunks_again(run, tmp_path, monkeypatch):
    to = tmp_path / "x.zarr"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, "finalize", fail)
    with pytest.raises(OSError, match="No space"):
        reduce(run.path, Stats(), to)
    monkeypatch.undo()
    parts = sorted((tmp_path / "x.zarr.partial").glob("chunk-*.fragment"))
    os.truncate(parts[1], parts[1].stat().st_size - 1)
    parts[2].unlink()
    result = reduce(run.path, Stats(), to, cluster="here", resume=True)
    assert result.manifest["chunks"] == {"computed": 2, "reused": len(parts) - 2}
    assert bits(result) == bits(reduce(run.path, Stats()))


def test_a_script_without_the_main_guard_gets_one_clear_sentence(run, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import dxflow, sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n")
    with script.open("a") as f:
        f.write(f"from samples import Stats\ndxflow.reduce({run.path!r}, Stats())\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"RuntimeError: {script}, line 4: ")
    assert 'if __name__ == "__main__":' in last
    assert done.stderr.count("Traceback") == 1


def test_frames_of_a_selecting_algorithm_are_the_only_ones_read(run, truth_of):
    labels, frames = truth_of[run.path]
    sums = np.nansum(frames, axis=(1, 2, 3))
    above = float(np.median(sums))
    bright = reduce(run.path, Bright(above=above))
    plan = dxflow.plan(run.path, Stats(), frames=bright)
    assert plan.bytes_to_read == (sums > above).sum() * frames[0].size * 4
    data = dxflow.execute(plan, "here").dataset
    oracle.close(data["stats.high"], np.nan_to_num(frames[sums > above], nan=-np.inf).max(axis=0), 0)
    assert int(data["stats.frames"]) == (sums > above).sum() * 16


def test_a_frame_selection_gives_the_result_of_these_frames(gappy, truth_of):
    labels, frames = truth_of[gappy.path]
    trains = gappy.train_ids[2:7].tolist()
    keep = np.array([t in trains and p in (0, 4, 8) for t, p in labels])
    selection = FrameSelection(trains=trains, pulses=[0, 4, 8])
    data = reduce(
        gappy.path,
        [RoiSum(), TrainSums()],
        frames=selection,
    ).dataset
    assert list(zip(data.train_id.values, data.pulse_id.values, strict=True)) == [
        x for x, k in zip(labels, keep, strict=True) if k
    ]
    oracle.close(data["roisum.intensity"], np.nansum(frames[keep], axis=(1, 2, 3)))
    oracle.close(data["tsum.pix"], np.nansum(frames[keep], axis=0), 1e-12)


def test_some_modules_and_one_file_alone_can_be_reduced(run, truth_of):
    _, frames = truth_of[run.path]
    some = RoiSum(img=Frames(modules=(3, 11)))
    data = reduce(run.path, some, cluster="here").dataset
    oracle.close(data["roisum.intensity"], np.nansum(frames[:, [3, 11]], axis=(1, 2, 3)))
    file = sorted(Path(run.path).glob("*AGIPD03*S00000.h5"))[0]
    alone = reduce(file, Stats(img=Frames(modules=(3,))), cluster="here").dataset
    n = int(alone["stats.frames"])
    assert 0 < n < len(frames)
    oracle.close(alone["stats.mean"][0], frames[:n, 3].mean(axis=0), 1e-12)


def test_only_small_things_pass_through_the_client(run, client, monkeypatch):
    """Results of tasks, and their arguments, stay far below the size of any array of the result."""
    from distributed.protocol import pickle

    from dxflow.clusters import tasks as dask

    sizes = []
    submit, results = dask.DaskRunner.submit, dask.DaskRunner.results

    def measured(self, function, *args, after=()):
        sizes.append(len(pickle.dumps(args)))
        return submit(self, function, *args, after=after)

    def measured_results(self, futures):
        for result in results(self, futures):
            sizes.append(len(pickle.dumps(result)))
            yield result

    monkeypatch.setattr(dask.DaskRunner, "submit", measured)
    monkeypatch.setattr(dask.DaskRunner, "results", measured_results)
    result = reduce(run.path, [Stats(), TrainSums()], cluster=client)
    smallest = result.dataset["tsum.pix"].nbytes
    assert len(sizes) > 10
    assert max(sizes) < 4096 < smallest


def test_a_plan_is_executed_again_in_another_place_or_refused_before_anything_is_read(
    run, tmp_path, monkeypatch
):
    made = dxflow.plan(run.path, RoiSum(ss=(0, 4)))
    first, second = dxflow.execute(made, "here"), dxflow.execute(made, "here")
    assert first.path != second.path
    assert first.dataset.load().equals(second.dataset.load())
    made = dxflow.plan(run.path, RoiSum(ss=(0, 4)), tmp_path / "x.zarr")
    dxflow.execute(made, "here")
    monkeypatch.setattr(
        sys.modules["dxflow.driver.execute"], "_run", lambda *_: pytest.fail("data were read")
    )
    with pytest.raises(dxflow.PlanError, match=r"x.zarr exists: choose another name"):
        dxflow.execute(made, "here")
    assert not (tmp_path / "x.zarr.partial").exists()
