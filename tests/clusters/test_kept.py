"""Clusters in a ``with`` block: one set of workers for all passes, as large as each needs, back when they are lost."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from samples import Failing, Killer, RoiSum, Stats

import dxflow
from dxflow import find
from dxflow.clusters import Kept, Local, Slurm, patience
from dxflow.clusters.kept import Running, kept
from dxflow.errors import ClusterLost
from dxflow.testing.case import cut


class Counted(Local):
    """Counts how often it starts."""

    starts = 0

    def start(self):
        self.starts += 1
        return super().start()


class Sized(Counted):
    """Its workers are as large as the plan for which they started."""

    size = need = 0

    def fit(self, plan):
        super().fit(plan)
        self.need = plan.memory.total
        return self.need > self.size

    def start(self):
        self.size = self.need
        return super().start()


def bits(result):
    return {str(name): v.values.tobytes() for name, v in result.dataset.variables.items()}


@pytest.fixture(scope="module")
def expected(run):
    return bits(dxflow.reduce(run.path, Stats(), cluster="here"))


def of_dxflow(client):
    """Return what dxflow has left on the workers of a client."""
    left = client.run(lambda dask_worker: [p for p in dask_worker.plugins if p.startswith("dxflow-")])
    return [name for names in left.values() for name in names]


@pytest.fixture(scope="module")
def cluster():
    """A cluster in a block."""
    with Counted(workers=1) as cluster:
        yield cluster


def test_passes_share_workers_also_after_a_hook_that_raised_or_a_plan_that_does_not_fit(
    run, cluster, expected
):
    first = dxflow.reduce(run.path, Stats(), cluster=cluster)
    with pytest.raises(ZeroDivisionError):
        dxflow.reduce(run.path, Failing(trains=run.train_ids.tolist()), cluster=cluster)
    assert of_dxflow(cluster.running._client) == []
    plan = dxflow.plan(run.path, Stats())
    cluster.memory = "100 MB"
    with pytest.raises(ValueError, match="is more than the 100 MB that each of 1 may use") as caught:
        dxflow.execute(plan, cluster)
    with pytest.raises(dxflow.PlanError, match="is more than the 100 MB that each of 1 may use"):
        dxflow.plan(run.path, Stats(), cluster=cluster)
    assert "more memory for each (Local(memory=...))" in str(caught.value)
    cluster.memory = None
    last = dxflow.reduce(run.path, Stats(), cluster=cluster)
    assert cluster.starts == 1
    assert set(first.times["workers"]) == set(last.times["workers"])
    assert bits(first) == bits(last) == expected
    assert last.cluster["kind"] == "1 worker processes on this machine"


def test_threads_share_workers(run, cluster, expected):
    before = cluster.starts
    with ThreadPoolExecutor(2) as at_once:
        found = at_once.map(lambda _: bits(dxflow.reduce(run.path, Stats(), cluster=cluster)), range(2))
        assert list(found) == [expected] * 2
    assert cluster.starts <= max(before, 1)


def test_workers_that_are_gone_between_two_passes_are_started_again(run, cluster, expected):
    dxflow.reduce(run.path, Stats(), cluster=cluster)
    before = cluster.starts
    cluster.running._client.close()
    assert bits(dxflow.reduce(run.path, Stats(), cluster=cluster)) == expected
    assert cluster.starts == before + 1


def test_workers_that_are_lost_in_a_pass_start_again_and_serve_the_next(run, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "LEAST", 2)
    monkeypatch.setattr(patience, "LOOK", 0.2)
    monkeypatch.setattr(patience, "ANSWER", 1)
    freezing = Killer(train=int(run.train_ids[5]), flag=str(tmp_path / "flag"), signal=int(signal.SIGSTOP))
    plans = [cut(dxflow.plan(run.path, a, block=1_100), 1) for a in (freezing, Stats())]
    before = cluster.starts
    results = [dxflow.execute(plan, cluster) for plan in plans]
    assert [len(result.manifest["restarts"]) for result in results] == [1, 0]
    assert cluster.starts == max(before, 1) + 1
    here = bits(dxflow.execute(cut(dxflow.plan(run.path, Stats(), block=1_100), 1), "here"))
    assert [bits(result) for result in results] == [here] * 2


def test_workers_start_again_for_a_plan_that_needs_larger_ones_and_stay_for_smaller_ones(run, expected):
    with Sized(workers=1) as cluster:
        assert cluster.starts == 0, "nothing is started before it is needed"
        small, large = (dxflow.plan(run.path, a) for a in (Stats(), [Stats(), RoiSum(), Stats(name="again")]))
        assert large.memory.total > small.memory.total
        for plan, starts in ((small, 1), (large, 2), (small, 2)):
            result = dxflow.execute(plan, cluster)
            assert cluster.starts == starts
            assert cluster.size >= plan.memory.total
        client = cluster.running._client
    assert client.status == "closed"
    assert bits(result) == expected


def test_without_a_block_threads_share_workers_that_end_with_the_last_pass(run, expected):
    alone = Counted(workers=1)
    with ThreadPoolExecutor(2) as at_once:
        found = at_once.map(lambda _: bits(dxflow.reduce(run.path, Stats(), cluster=alone)), range(2))
        assert list(found) == [expected] * 2
    assert 1 <= alone.starts <= 2
    assert alone.running._client is None


class Fake:
    """A cluster of which only is noted what is asked of it."""

    def __init__(self, small=False):
        self.said, self.small = [], small

    def fit(self, plan):
        return self.small

    def start(self):
        self.said.append("start")
        return type("Client", (), {"status": "running", "cluster": None, "close": lambda _: None})()

    def close(self):
        self.said.append("close")


@pytest.mark.parametrize(
    ("error", "left"),
    [(ClusterLost("x"), ["close"]), (KeyboardInterrupt(), ["close"]), (ZeroDivisionError(), [])],
)
def test_what_is_lost_or_interrupted_ends_at_once(error, left):
    fake = Fake()
    running = Running(fake)
    running.hold()
    with pytest.raises(type(error)), running.lent(object()):
        raise error
    assert fake.said == ["start", *left]
    with running.lent(object()):
        pass
    running.release()
    assert fake.said == ["start", *left, *(["start"] if left else []), "close"]


def test_a_cluster_that_gave_up_is_started_again_for_the_next_pass():
    fake = Fake()
    running = Running(fake)
    running.hold()
    with running.lent(object()) as client:
        client.cluster = type("Head", (), {"failure": None})()
    with running.lent(object()) as client:
        assert fake.said == ["start"]
        client.cluster.failure = RuntimeError("no job of it lives")
    with running.lent(object()):
        assert fake.said == ["start", "close", "start"]
    running.release()


def test_larger_workers_wait_until_nobody_is_at_work_on_the_small_ones():
    fake, began, go = Fake(), threading.Event(), threading.Event()
    running = Running(fake)

    def work():
        with running.lent(object()):
            began.set()
            go.wait(20)

    first = threading.Thread(target=work)
    first.start()
    began.wait(20)
    fake.small = True

    def next_one():
        with running.lent(object()):
            fake.said.append("work")

    second = threading.Thread(target=next_one)
    second.start()
    second.join(0.2)
    assert fake.said == ["start"]
    go.set()
    first.join(20)
    second.join(20)
    assert fake.said == ["start", "close", "start", "work", "close"]


def test_every_kind_of_cluster_can_be_kept():
    assert {name: issubclass(find.cluster(name), Kept) for name in find.cluster_names()} == {
        "local": True,
        "slurm": True,
    }


def test_what_can_never_fit_into_a_job_is_refused_by_the_plan(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        dxflow.PlanError, match="memory='400 MB' per job: one worker of this plan needs .* Give more"
    ):
        dxflow.plan(run.path, Stats(), cluster=Slurm(memory="400 MB"))
    assert dxflow.plan(run.path, Stats(), cluster=Slurm(memory="40 GB")).memory.total < 40e9


def test_a_client_is_its_users_and_this_process_needs_no_workers():
    for cluster in ("here", None, object()):
        with kept(cluster) as same:
            assert same is cluster
