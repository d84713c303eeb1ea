"""Clusters that are lost or stuck: started again, or said so; in the end the same bits."""

import asyncio
import signal
import threading
import time
from contextlib import contextmanager, nullcontext

import dask
import programs
import pytest
from distributed import Client
from samples import Killer, Stats

import dxflow
from dxflow.clusters import Here, Local, patience
from dxflow.clusters.kinds import local
from dxflow.deaths import witness
from dxflow.errors import ClusterLost
from dxflow.testing.case import cut

COMMAND = """
import dask, importlib, sys
if __name__ == "__main__":
    dask.config.set({"distributed.worker.memory.spill": False})
    importlib.import_module("distributed.cli." + sys.argv[1]).main(sys.argv[2:])
"""


class Processes:
    """A scheduler and two workers in processes of their own, as at a site."""

    def __init__(self, folder):
        self.folder, self.started = folder, 0

    def start(self):
        self.started += 1
        self.file = self.folder / f"scheduler-{self.started}.json"
        to = ["--scheduler-file", str(self.file), "--host", "127.0.0.1", "--no-dashboard"]
        self.scheduler = programs.Program(COMMAND, "dask_scheduler", *to, "--port", "0", folder=self.folder)
        workers = ["--nworkers", "2", "--nthreads", "1"]
        self.workers = programs.Program(COMMAND, "dask_worker", *to, *workers, folder=self.folder)
        return Client(scheduler_file=str(self.file), set_as_default=False)

    def describe(self):
        return "processes"

    def close(self):
        for process in (self.workers, self.scheduler):
            process.terminate()
            process.wait(60)


class Slow(Stats):
    ALG_ID = "stats"

    def process_module_data(self, block, out):
        time.sleep(0.002)
        super().process_module_data(block, out)


class Long(Stats):
    """Takes its time with the first chunk."""

    ALG_ID = "stats"
    inputs = Stats.inputs

    def initialize(self, info):
        super().initialize(info)
        time.sleep(6)


def freezing(run, folder):
    """Return an algorithm that stops its process, once, when it comes to a train."""
    return Killer(train=int(run.train_ids[5]), flag=str(folder / "flag"), signal=int(signal.SIGSTOP))


def plan(run, algorithm, to=None, **options):
    return cut(dxflow.plan(run.path, algorithm, to, block=1_100, **options), 1)


def bits(result):
    return {str(name): v.values.tobytes() for name, v in result.dataset.variables.items()}


@pytest.fixture(scope="module")
def expected(run):
    return bits(dxflow.execute(plan(run, Stats()), "here"))


@contextmanager
def killed_after(made, chunks, process):
    """Kill a process once so many chunks are done."""

    def watch():
        deadline = time.monotonic() + 100
        while len(list(made.store.partial.glob("chunk-*.fragment"))) < chunks and time.monotonic() < deadline:
            time.sleep(0.01)
        process().kill()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


def test_a_cluster_whose_scheduler_is_killed_is_started_again_and_no_chunk_is_done_twice(
    run, tmp_path, expected
):
    made, cluster = plan(run, Slow(), tmp_path / "x.zarr"), Processes(tmp_path)
    with killed_after(made, 3, lambda: cluster.scheduler):
        result = dxflow.execute(made, cluster)
    assert cluster.started == 2
    assert bits(result) == expected
    assert result.manifest["chunks"] == {"computed": 12, "reused": 0}
    assert len(result.manifest["restarts"]) == 1
    assert "restart  the cluster is lost" in result.report()


def test_a_users_client_whose_scheduler_is_killed_gives_a_clear_error_and_resuming_goes_on(
    run, tmp_path, expected
):
    made, cluster = plan(run, Slow(), tmp_path / "x.zarr"), Processes(tmp_path)
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        client = cluster.start()
    try:
        with killed_after(made, 3, lambda: cluster.scheduler), pytest.raises(ClusterLost) as caught:
            dxflow.execute(made, client)
    finally:
        client.close()
        cluster.close()
    done = len(list(made.store.partial.glob("chunk-*.fragment")))
    assert 3 <= done < 12
    # Workers go on for a moment.
    assert f" of 12 chunks are kept in {made.store.partial}; resume=True" in caught.value.__notes__[-1]
    assert cluster.started == 1
    resumed = dxflow.execute(plan(run, Slow(), tmp_path / "x.zarr", resume=True), "here")
    assert resumed.manifest["chunks"] == {"computed": 12 - done, "reused": done}
    assert bits(resumed) == expected


def test_a_cluster_on_which_nothing_gets_done_is_started_again(run, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(patience, "LEAST", 2)
    monkeypatch.setattr(patience, "LOOK", 0.2)
    monkeypatch.setattr(patience, "ANSWER", 1)
    result = dxflow.execute(plan(run, freezing(run, tmp_path)), Local(workers=1))
    assert bits(result) == expected
    (why,) = result.manifest["restarts"]
    assert why.startswith("the cluster is lost: nothing was done in 2 s, though there are workers, and none")
    assert result.losses.empty


@pytest.mark.parametrize("seen_by", ["scheduler", "nanny"])
def test_a_frozen_worker_is_replaced(run, tmp_path, expected, monkeypatch, seen_by):
    if seen_by == "scheduler":
        # Dask takes at least ten heartbeats, that is 5 s.
        monkeypatch.setitem(local.SETTINGS, "distributed.scheduler.worker-ttl", "1s")
        monkeypatch.setattr(local, "LOOK", 0.5)
    else:
        monkeypatch.setattr(witness, "STOPPED", 2)
    result = dxflow.execute(plan(run, freezing(run, tmp_path)), Local(workers=1))
    assert bits(result) == expected
    assert result.manifest["restarts"] == []


def test_after_the_driver_was_stopped_its_workers_are_not_taken_for_frozen(monkeypatch):
    # A suspended terminal or laptop: signs of life of the workers lie in sockets and are still to be read.
    asked, now = [], [0.0]

    class Scheduler:
        periodic_callbacks = {"worker-ttl": type("P", (), {"stop": lambda self: None})()}  # noqa: RUF012

        async def check_worker_ttl(self):
            asked.append(now[0])

    async def go():
        monkeypatch.setattr(local.time, "monotonic", lambda: now[0])
        await local._look_often(Scheduler())
        timer = Scheduler.periodic_callbacks["worker-ttl"]
        timer.stop()
        for now[0] in (5.0, 10.0, 160.0, 165.0):
            await timer.callback()

    asyncio.run(go())
    assert asked == [5.0, 10.0, 165.0]


@pytest.fixture
def losing(monkeypatch):
    """Return a function that lets the cluster be lost so many times."""

    def times(n, ours=True):
        left = [n]

        def connect(cluster, work):
            if not left[0]:
                return nullcontext(Here(work))
            left[0] -= 1
            raise ClusterLost(f"{left[0]} more", ours=ours)

        monkeypatch.setitem(dxflow.execute.__globals__, "connect", connect)
        return left

    return times


def test_a_cluster_is_started_again_three_times(run, losing, expected):
    losing(3)
    result = dxflow.execute(plan(run, Stats()))
    assert bits(result) == expected
    assert [why.partition(": ")[2] for why in result.manifest["restarts"]] == ["2 more", "1 more", "0 more"]


@pytest.mark.parametrize(("times", "ours", "left"), [(4, True, 0), (2, False, 1)])
def test_but_not_four_times_and_not_at_all_if_it_is_somebody_elses(run, losing, times, ours, left):
    lost = losing(times, ours)
    with pytest.raises(ClusterLost, match=f"the cluster is lost: {left} more"):
        dxflow.execute(plan(run, Stats()))
    assert lost == [left]


class Quiet:
    """What `Patience` asks of a client."""

    def __init__(self, workers):
        self.cluster = type("C", (), {"scheduler": type("S", (), {"workers": workers})})

    def sync(self, *args, **kwargs):
        raise TimeoutError

    def _dump_cluster_state(self):
        raise NotImplementedError


def looked_at(monkeypatch, waits, seconds, happens=lambda: None):
    """Return what `Patience` says first, and after how many seconds, while something happens every few seconds."""
    now = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    waits._last = waits._looked = 0.0
    while now[0] < seconds:
        now[0] += patience.LOOK
        happens()
        if why := waits.ends():
            return why, now[0]
    return None, now[0]


@pytest.mark.parametrize(("workers", "ends"), [({"a": 1}, True), ({}, False)])
def test_time_without_workers_does_not_count(tmp_path, monkeypatch, workers, ends):
    work = type("Work", (), {"folder": tmp_path})
    why, after = looked_at(monkeypatch, patience.Patience(Quiet(workers), work), 2000)
    assert bool(why) is ends
    if ends:
        assert patience.LEAST <= after <= 180
        assert "Its scheduler does not answer (TimeoutError)" in why


def test_a_client_of_the_user_may_have_other_things_to_do(tmp_path, monkeypatch):
    work = type("Work", (), {"folder": tmp_path})
    waits = patience.Patience(Quiet({"a": 1}), work, ours=False)
    assert looked_at(monkeypatch, waits, 4000)[1] >= patience.FOREIGN


def test_as_long_as_a_worker_says_that_it_works_or_files_grow_nothing_is_lost(tmp_path, monkeypatch):
    work, signs = type("Work", (), {"folder": tmp_path}), [0]

    def sign():
        signs[0] += 1
        (tmp_path / "attempts").mkdir(exist_ok=True)
        text = f'{{"host": "a", "pid": 1, "job": "", "signs": {signs[0]}, "what": []}}'
        (tmp_path / "attempts" / "doing-a-1.json").write_text(text)

    def grow():
        with (tmp_path / "copied.h5").open("a") as f:
            f.write("x")

    for happens in (sign, grow):
        assert looked_at(monkeypatch, patience.Patience(Quiet({"a": 1}), work), 9000, happens)[0] is None


def test_a_chunk_may_take_longer_than_any_patience(usual_workers, run, tmp_path, monkeypatch, expected):
    monkeypatch.setattr(patience, "LEAST", 2)
    monkeypatch.setattr(patience, "LOOK", 0.2)
    # In the worker processes.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(
        "import dxflow.deaths.watch\ndxflow.deaths.watch.EVERY = dxflow.deaths.watch.SIGNS = 0.3\n"
    )
    result = dxflow.execute(plan(run, Long()), Local(workers=1))
    assert bits(result) == expected
    assert result.manifest["restarts"] == []
