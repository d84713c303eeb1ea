"""Hooks that take too long are ended, and named; what lasts is said in the journal."""

import json
import threading
import time

import pytest

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.clusters.named import connect
from dxflow.deaths import watch
from dxflow.deaths.watch import Doing, HookTimeout, Watch
from dxflow.worker.workspace import Workspace


class Stuck(Algorithm):
    """Never comes back from one train, or from a hook of the whole run."""

    ALG_ID = "stuck"
    inputs = {"img": Frames("image.data")}  # noqa: RUF012

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--train", type=int, default=0)
        parser.add_argument("--hook", default="process_train_data")
        parser.add_argument("--stubborn", type=bool, default=False)

    def outputs(self, info):
        return {"sum": Output(), "row": Output(per="train")}

    def _stay(self, hook):
        while hook == self.hook:
            try:
                time.sleep(0.01)
            except Exception:
                if not self.stubborn:
                    raise

    def initialize(self, info):
        self._stay("initialize")

    def process_train_data(self, train, out):
        if train.id == self.train:
            self._stay("process_train_data")
        out.sum += train.id
        out.row = train.id

    def finalize(self, out):
        self._stay("finalize")


@pytest.mark.parametrize("where", ["here", "client"])
def test_a_hook_that_never_ends_is_an_error_that_names_it(run, client, where):
    stuck = Stuck(train=int(run.train_ids[4]))
    cluster = client if where == "client" else where
    with pytest.raises(HookTimeout, match="a hook may take 1 s") as caught:
        dxflow.reduce(run.path, stuck, cluster=cluster, hook_timeout=1)
    note = "\n".join(caught.value.__notes__)
    assert "in stuck.process_train_data()" in note
    assert f"train {run.train_ids[4]}" in note


def test_or_a_loss_if_faults_are_masked_and_the_rest_is_exact(run):
    bad = run.train_ids[4]
    stuck = Stuck(train=int(bad))
    result = dxflow.reduce(run.path, stuck, cluster="here", hook_timeout=1, on_fault="mask")
    (loss,) = result.losses.itertuples()
    assert (loss.first_train, loss.last_train) == (bad, bad)
    assert "HookTimeout" in loss.detail
    assert result.dataset["stuck.sum"] == run.train_ids[run.train_ids != bad].sum()


@pytest.mark.parametrize("hook", ["initialize", "finalize"])
def test_hooks_of_the_whole_run_are_named_too(run, hook):
    with pytest.raises(HookTimeout) as caught:
        dxflow.reduce(run.path, Stuck(hook=hook), cluster="here", hook_timeout=1)
    assert f"in stuck.{hook}()" in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("timeout", [0, -1, "x", float("nan")])
def test_a_limit_that_means_nothing_is_refused(run, timeout):
    with pytest.raises(dxflow.PlanError, match="hook_timeout"):
        dxflow.plan(run.path, Stuck(), hook_timeout=timeout)


def test_a_hook_that_just_ends_in_time_leaves_no_exception_for_what_follows():
    doing = Doing(limit=0.05)
    with doing.task("chunk", 1):
        for _ in range(20):
            try:
                with doing.hook(lambda: "here"):
                    time.sleep(0.05)
                    for late in doing.overdue():
                        threading.Thread(target=doing.end, args=(late,)).start()
            except HookTimeout:
                pass
            assert sum(range(1000)) == 499500


def test_a_process_that_was_stopped_is_forgiven(monkeypatch):
    doing = Doing(limit=60)
    with doing.task("chunk", 1), doing.hook(lambda: "here"):
        doing.tasks[threading.get_ident()].hook.began -= 150
        assert doing.overdue()
        doing.forgive(140)
        assert not doing.overdue()


def test_what_lasts_is_said_in_the_journal_with_hook_and_train(run, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.1)
    doing = Doing()
    told = Watch(doing, tmp_path)
    told.start()
    with doing.task("run_chunk", 7), doing.hook(lambda: "in x.process_train_data(), train 3"):
        deadline = time.monotonic() + 10
        while not (found := watch.signs(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.02)
    told.stop()
    (what,) = found[0]["what"]
    assert (what["task"], what["item"], what["hook"]) == (
        "run_chunk",
        7,
        "in x.process_train_data(), train 3",
    )
    assert watch.signs(tmp_path) == []


def test_what_is_waited_for_is_said_in_words(run, client, tmp_path, monkeypatch):
    from dxflow.clusters import patience

    made = dxflow.plan(run.path, Stuck())
    with connect(client, Workspace(made, tmp_path)) as runner:
        sign = {"host": "node1", "pid": 7, "job": "42", "signs": 1}
        one = {
            "task": "run_chunk",
            "item": 0,
            "seconds": 71.2,
            "hook": "in stuck.f(), train 9",
            "in_hook": 70.0,
        }
        (tmp_path / "attempts").mkdir()
        (tmp_path / "attempts" / "doing-node1-7.json").write_text(json.dumps({**sign, "what": [one]}))
        runner.patience._signs_of_life(time.monotonic())
        text = runner.waiting()
    span = patience.of_trains(Workspace(made, tmp_path), 0)
    assert text == f"chunk 0 ({span}) on node1:7 (job 42) for 71 s: in stuck.f(), train 9, for 70 s"
    assert str(run.train_ids[0]) in span


def test_a_chunk_whose_worker_gives_no_sign_of_life_is_said(run, client, tmp_path):
    made = dxflow.plan(run.path, Stuck())
    note = {"running": {"chunk": 0, "host": "node2", "pid": 8, "job": "", "began": time.time() - 100}}
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / "now-000000-node2-8-a.json").write_text(json.dumps(note))
    with connect(client, Workspace(made, tmp_path)) as runner:
        assert "on node2:8, which gives no sign of life" in runner.waiting()


def test_a_client_without_workers_is_said_with_what_to_do(run, tmp_path):
    from distributed import Client, LocalCluster

    made = dxflow.plan(run.path, Stuck())
    options = {"n_workers": 0, "dashboard_address": None, "processes": False}
    with (
        LocalCluster(**options) as cluster,
        Client(cluster, set_as_default=False) as own,
        connect(own, Workspace(made, tmp_path)) as runner,
    ):
        assert "there are no workers: the cluster of this client has none. Start some" in runner.waiting()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("hook", ["initialize", "merge"])
def test_asking_for_the_end_of_the_process_is_an_error(run, client, kind, hook):
    class Exits(Stuck):
        """Exits."""

        ALG_ID = "exits"

    def ends(self, *_):
        raise kind(3)

    setattr(Exits, hook, ends)
    with pytest.raises(Exception, match=kind.__name__):
        dxflow.reduce(run.path, Exits(), cluster=client, chunk="1 KiB", block="100 B")


class Impatient(Stuck):
    """Is given less time to end than others, in the process where it works."""

    ALG_ID = "stuck"
    inputs = Stuck.inputs

    def initialize(self, info):
        watch.GRACE = 1.0


def test_a_hook_that_swallows_its_end_costs_its_worker_and_is_named(run):
    from dxflow.clusters import Local
    from dxflow.testing.case import cut

    stuck = Impatient(train=int(run.train_ids[1]), stubborn=True)
    made = cut(dxflow.plan(run.path, stuck, hook_timeout=1), 1)
    result = dxflow.execute(made, Local(workers=1))
    (loss,) = result.losses.itertuples()
    assert loss.cause == "killed its worker"
    assert "did not end within 1 s (hook_timeout), in stuck.process_train_data()" in loss.detail
