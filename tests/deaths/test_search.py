"""Chunks that kill workers: found train by train, left out exactly, said with their cause; also on real workers."""

import ctypes
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from samples import Stats

import dxflow
from dxflow import FrameSelection, Output
from dxflow.clusters import Local
from dxflow.deaths import search as deaths
from dxflow.deaths.notes import Attempt, Death, History
from dxflow.errors import WorkerDied
from dxflow.planning import cutting
from dxflow.planning.plan import Chunk
from dxflow.testing.case import cut


class Deadly(Stats):
    """Ends its process in some trains."""

    ALG_ID = "stats"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--trains", type=int, nargs="*", help="where")
        parser.add_argument("--how", default="SIGKILL", help="a signal, 'memory' or 'status'")
        parser.add_argument("--times", type=int, default=1000, help="how often, if ...")
        parser.add_argument("--count", default="", help="... this folder counts")

    def process_module_data(self, block, out):
        if np.isin(block.train_ids, self.trains).any() and self.again():
            die(self.how)
        super().process_module_data(block, out)

    def again(self):
        if self.count:
            n = len(os.listdir(self.count))
            Path(self.count, f"{n}").touch()
        return not self.count or n < self.times


class DeadlyStart(Stats):
    """Kills its process before any data are seen."""

    ALG_ID = "stats"

    def initialize(self, info):
        os.kill(os.getpid(), signal.SIGKILL)


class Hoarding(Stats):
    """Keeps memory from train to train, until the chunk is done."""

    ALG_ID = "stats"
    kept = {}

    def process_module_data(self, block, out):
        for train in set(block.train_ids.tolist()) - set(self.kept):
            # Two trains fit beside the libraries, with or without a compiler; four do not.
            self.kept[train] = np.ones(15_000_000)
        # Dask looks ten times a second.
        time.sleep(0.02 * (len(self.kept) > 2))
        super().process_module_data(block, out)

    def finalize_chunk_processing(self, out):
        self.kept.clear()


def die(how):
    if how == "memory":
        kept = []
        while True:
            kept.append(np.ones(1_000_000))
    elif how == "raise":
        raise ZeroDivisionError("planted")
    elif how == "status":
        os._exit(3)
    elif how == "SIGSEGV":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.Signals[how])


def outcome(chunk, deadly, together=lambda trains: False, by_kind=()):
    """Return what is tried with a chunk, until it is done, if some trains kill."""
    history, tried = History(), []
    while (attempt := deaths.next_attempt(chunk, history)) is not None:
        tried.append(attempt)
        trains = set(range(attempt.first, attempt.last)) - set(attempt.excluded)
        if trains & deadly or together(trains) or (attempt.what in by_kind and by_kind[attempt.what]):
            history = replace(history, deaths=(*history.deaths, Death(attempt, "x")))
        elif attempt.what == "whole":
            return attempt, tried, deaths.killers(chunk, history)
        else:
            history = replace(history, survived=(*history.survived, attempt))
        assert len(tried) < 1000
    return None, tried, deaths.killers(chunk, history)


@pytest.mark.parametrize("seed", range(30))
def test_exactly_the_trains_that_kill_are_found_whatever_their_number(seed):
    random = np.random.default_rng(seed)
    first, n = int(random.integers(100)), int(random.integers(1, 40))
    chunk = Chunk(7, first, first + n)
    deadly = set(
        random.choice(np.arange(first, first + n), int(random.integers(0, min(n, 4) + 1)), False).tolist()
    )
    last, tried, found = outcome(chunk, deadly)
    assert set(found) == deadly
    assert last == Attempt("whole", chunk.first, chunk.last, tuple(sorted(deadly)))
    # Twice as a whole, twice each train, once each half on the way down.
    kills = sum(bool(set(range(a.first, a.last)) - set(a.excluded) & deadly) for a in tried)
    assert kills >= (4 if deadly and n > 1 else 2 * len(deadly))
    depth = int(np.ceil(np.log2(n))) + 1
    assert len(tried) <= 4 + len(deadly) * (2 * depth + 2)


def test_one_death_is_bad_luck_and_costs_one_more_try():
    chunk = Chunk(0, 0, 8)
    once = History((Death(Attempt("whole", 0, 8), "x"),))
    assert deaths.next_attempt(chunk, once) == Attempt("whole", 0, 8)


def test_a_chunk_that_kills_only_as_a_whole_is_not_tried_for_ever():
    last, tried, found = outcome(Chunk(0, 0, 8), set(), together=lambda trains: len(trains) > 4)
    assert (last, found) == (None, {})
    assert [a.what for a in tried] == ["whole"] * 2 + ["probe"] * 2 + ["whole"] * 2


@pytest.fixture(scope="module")
def run(half):
    return half


@pytest.fixture(scope="module")
def workers():
    # A worker with its libraries takes 235 MB.
    cluster = Local(workers=2, memory="550MB")
    client = cluster.start()
    yield client
    client.close()
    cluster.close()


def reduce(run, algorithm, cluster, **options):
    # Blocks of one frame: a hook that raises then leaves out its train alone, as a death does.
    return dxflow.execute(cut(dxflow.plan(run.path, algorithm, block=1_100, **options), 2), cluster)


CAUSES = {
    "SIGKILL": "killed by signal 9 (SIGKILL), with ",
    "SIGSEGV": "killed by signal 11 (SIGSEGV), with ",
    "memory": "out of memory: ",
}


@pytest.mark.parametrize("how", CAUSES)
def test_a_train_that_kills_workers_is_left_out_exactly_and_its_cause_is_said(run, workers, how):
    bad = int(run.train_ids[5])
    result = reduce(run, Deadly(trains=[bad], how=how), workers)
    (loss,) = result.losses.to_dict("records")
    assert (loss["cause"], loss["trains"], loss["first_train"], loss["last_train"]) == (
        "killed its worker",
        1,
        bad,
        bad,
    )
    assert loss["algorithm"] == "stats"
    assert loss["detail"].startswith(CAUSES[how])
    assert f"twice (in stats.process_module_data(), run {run.path}, chunk 2, train {bad})" in loss["detail"]
    if how == "memory":
        assert " of 550 MB" in loss["detail"]
    account = result.account
    assert (account.used == 66).all()
    assert (account["killed its worker"] == 6).all()
    # Trains in which a hook raised are left out in the same chunks, and that is known to be exact.
    expected = reduce(run, Deadly(trains=[bad], how="raise"), "here", on_fault="mask").dataset
    for name, variable in expected.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name


class Times(Deadly):
    """Serves several at once."""

    ALG_ID = "times"
    FACTOR = 1

    @classmethod
    def process_variants(cls, instances, block, outs):
        for one, out in zip(instances, outs, strict=True):
            assert type(one) is cls
            one.process_module_data(block, out)
            out.frames += cls.FACTOR * len(block)


class Thousands(Times):
    """Makes others of the same."""

    ALG_ID = "thousands"
    FACTOR = 1000


def test_after_a_death_instances_are_served_by_their_own_class(run, workers):
    bad = [int(run.train_ids[1])]
    made = [c(name=f"{c.ALG_ID}{n}", trains=bad, how="status") for c in (Times, Thousands) for n in range(2)]
    result = reduce(run, made, workers, on_fault="mask")
    assert "killed its worker" in set(result.losses.cause)
    rest = FrameSelection(trains=[int(t) for t in run.train_ids if int(t) not in bad])
    for one in made:
        one.trains = []
    expected = reduce(run, made, "here", frames=rest).dataset
    for one in made:
        for name in (f"{one.name}.{key}" for key in ("frames", "mean", "high")):
            np.testing.assert_array_equal(result.dataset[name], expected[name])


def test_if_faults_are_to_be_raised_the_error_says_which_train_and_why(run, workers):
    bad = int(run.train_ids[5])
    with pytest.raises(
        WorkerDied, match=f"stats, train {bad}: killed its worker: exited with status 3, twice"
    ):
        reduce(run, Deadly(trains=[bad], how="status"), workers, on_fault="raise")


def test_an_algorithm_whose_initialize_kills_is_named_at_once(run, workers):
    with pytest.raises(
        WorkerDied, match=r"initialize\(\) of one of \[stats\] killed its worker 2 times: killed by"
    ):
        reduce(run, DeadlyStart(), workers)


class DeadlyEnd(Stats):
    """Kills its process in a hook that sees no train."""

    ALG_ID = "stats"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--hook")

    def outputs(self, info):
        return {**super().outputs(info), "row": Output(per="train"), "last": Output(stage="rows")}

    def merge(self, into, other):
        self.end("merge")
        super().merge(into, other)

    def finalize(self, totals):
        self.end("finalize")
        super().finalize(totals)

    def finalize_rows(self, rows, out):
        self.end("finalize_rows")

    def end(self, hook):
        if self.hook == hook:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("hook", ["merge", "finalize", "finalize_rows"])
def test_a_last_hook_that_kills_is_named_after_two_deaths(run, workers, hook):
    with pytest.raises(
        WorkerDied, match=rf"{hook}\(\) of one of \[stats\] killed its worker 2 times: killed by"
    ):
        # In a chunk of one train nothing is merged.
        dxflow.execute(cut(dxflow.plan(run.path, DeadlyEnd(hook=hook)), 1), workers)


def test_the_death_of_a_worker_is_seen_though_it_was_just_starting_again_when_the_plan_began(run, workers):
    workers.wait_for_workers(2)
    for pid in workers.run(os.getpid).values():
        os.kill(pid, signal.SIGKILL)
    # Until the scheduler knows none of them: it then asks no nanny.
    deadline = time.monotonic() + 30
    while set(workers.cluster.scheduler.workers) and time.monotonic() < deadline:
        time.sleep(0.005)
    with pytest.raises(WorkerDied, match=r"2 times: killed by signal 9 \(SIGKILL\), with "):
        reduce(run, DeadlyStart(), workers)


@pytest.mark.parametrize(("how", "times"), [("SIGTERM", 3), ("SIGKILL", 3)])
def test_deaths_that_mean_nothing_change_no_bit(run, workers, tmp_path, how, times):
    """SIGTERM is how batch systems end jobs. Three times SIGKILL: a chunk that lives in the end is complete."""
    bad = int(run.train_ids[5])
    result = reduce(run, Deadly(trains=[bad], how=how, times=times, count=str(tmp_path)), workers)
    assert result.losses.empty
    expected = reduce(run, Stats(), "here").dataset
    for name, variable in expected.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name


def test_a_cluster_that_gives_up_after_one_death_is_asked_again(run):
    bad = int(run.train_ids[5])
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        result = reduce(run, Deadly(trains=[bad], how="status"), client)
    assert result.losses.detail[0].startswith("exited with status 3, twice")


def test_a_chunk_too_large_for_its_workers_is_named_with_what_to_change(run, workers, monkeypatch):
    # A unit is four trains: what is hoarded is there until the chunk ends.
    monkeypatch.setattr(cutting, "SMALL", 10)
    four = FrameSelection(trains=run.train_ids[:4].tolist())
    made = dxflow.plan(run.path, Hoarding(), block=1_100, frames=four)
    with pytest.raises(
        WorkerDied, match=r"chunk 0, trains .*although each train alone.*too large.*smaller chunks"
    ):
        dxflow.execute(cut(made, 4), workers)
