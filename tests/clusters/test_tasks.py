"""Any Dask client: workers get the plan once, keep nothing after the run, and restarted ones get it too."""

import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow.clusters import tasks as dask
from dxflow.clusters.named import connect


def plugins(client):
    return client.run(lambda dask_worker: [p for p in dask_worker.plugins if p.startswith("dxflow-")])


def test_a_run_takes_its_plan_away_from_the_workers_of_a_client(run, client):
    dxflow.reduce(run.path, RoiSum(), cluster=client)
    assert set(map(tuple, plugins(client).values())) == {()}
    assert client.status == "running"


def test_a_run_that_fails_takes_it_away_too(run, client):
    from samples import Failing

    with pytest.raises(ZeroDivisionError):
        dxflow.reduce(run.path, Failing(trains=run.train_ids.tolist()), cluster=client)
    assert set(map(tuple, plugins(client).values())) == {()}


def test_tasks_carry_numbers_and_names_and_workers_hold_one_workspace_each(run, client, tmp_path):
    from dxflow.worker.workspace import Workspace

    plan = dxflow.plan(run.path, Stats())
    with connect(client, Workspace(plan, tmp_path)) as runner:
        results = list(runner.results(runner.map(lambda work, n: (id(work), n), range(6))))
    assert sorted(n for _, n in results) == list(range(6))
    assert len({workspace for workspace, _ in results}) <= 2


def test_tasks_wait_for_those_they_come_after(client, run, tmp_path):
    from dxflow.worker.workspace import Workspace

    log = tmp_path / "log"

    def note(work, text):
        with log.open("a") as f:
            f.write(text)

    with connect(client, Workspace(dxflow.plan(run.path, Stats()), tmp_path)) as runner:
        before = [runner.submit(note, "a") for _ in range(4)]
        after = runner.submit(note, "b", after=before)
        last = runner.map(note, "cc", after=[*before, after])
        list(runner.results(last))
    assert log.read_text() == "aaaabcc"


def test_tasks_of_which_one_before_failed_fail_as_that_did(client, run, tmp_path):
    from dxflow.worker.chunk import Workspace

    with connect(client, Workspace(dxflow.plan(run.path, Stats()), tmp_path)) as runner:
        bad = runner.submit(lambda work: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(runner.results(runner.map(lambda work, n: n, range(2), after=[bad])))


def test_the_runner_is_the_one_of_dask(client, run, tmp_path):
    from dxflow.worker.workspace import Workspace

    with connect(client, Workspace(dxflow.plan(run.path, Stats()), tmp_path)) as runner:
        assert isinstance(runner, dask.DaskRunner)


def test_a_worker_that_joins_a_run_that_has_begun_gets_its_plan(run, tmp_path):
    """As jobs of a batch system do: their nannies answer nobody before their workers run."""
    from distributed import Client, LocalCluster

    from dxflow.worker.workspace import Workspace

    options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with (
        LocalCluster(n_workers=0, **options) as cluster,
        Client(cluster, set_as_default=False) as own,
        connect(own, Workspace(dxflow.plan(run.path, Stats()), tmp_path)),
    ):
        cluster.scale(1)
        own.wait_for_workers(1, timeout=60)
        assert [len(names) for names in plugins(own).values()] == [1]
