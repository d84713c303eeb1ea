"""Merges begin when their fragments are there, and are always of the same fragments, whatever is done first."""

import os
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Picky, Stats

import dxflow
from dxflow.clusters import ClusterLost, Here
from dxflow.disk import fragments
from dxflow.disk.fragments import Address
from dxflow.driver import execute as execution
from dxflow.driver.merges import TASKS, Merges
from dxflow.planning.plan import Chunk
from dxflow.stores.formats.zarr import Zarr
from dxflow.stores.named import store_for
from dxflow.testing.case import cut


@pytest.fixture(scope="module")
def run(half):
    return half


class Listed:
    """A runner that only notes what is submitted."""

    def __init__(self):
        self.made = {}

    def submit(self, function, *args, after=()):
        if function.__name__ == "merge":
            _, children, into = args
            self.made[into.path.name] = [at.path.name for _, at in children]
            # What is waited for was submitted before.
            assert [name for name in self.made[into.path.name] if name in self.made] == list(after)
            return into.path.name
        return [(part, at.path.name) for part, at in args[0]], list(after)

    def results(self, futures):
        yield from futures


def listed(counts, order):
    """Return what is merged after each chunk, and what is finalized, if chunks of some parts are done in an order."""
    chunks = [Chunk(0, n, n + 1, part) for part, count in enumerate(counts) for n in range(count)]
    chunks = [Chunk(n, c.first, c.last, c.part) for n, c in enumerate(sorted(chunks, key=lambda c: c.first))]
    plan = SimpleNamespace(
        chunks=chunks,
        outputs=[SimpleNamespace(whole_run=True)],
        places=[c.first for c in chunks],
        address=lambda folder, number: Address(folder / f"chunk-{number:06d}-0", "0"),
    )
    runner, steps = Listed(), []
    merges = Merges(plan, runner, Path("journal"))
    for number in order(len(chunks)):
        merges.add(number)
        steps.append((number, dict(runner.made)))
    return chunks, steps, list(runner.results(merges.finals()))


def leaves(name, made):
    """Return the chunks below a fragment, in order."""
    if name in made:
        return [leaf for child in made[name] for leaf in leaves(child, made)]
    return [int(name.split("-")[1])]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=2), st.randoms())
def test_what_is_merged_does_not_depend_on_what_is_done_first_and_nothing_waits(counts, random):
    def shuffled(n):
        return random.sample(range(n), n)

    chunks, steps, finals = listed(counts, range)
    made = steps[-1][1]
    for totals, after in finals:
        for part, root in totals:
            assert leaves(root, made) == [c.number for c in chunks if c.part == part]
        assert after == [root for _, root in totals if root in made]
    assert sorted(part for totals, _ in finals for part, _ in totals) == list(range(len(counts)))
    assert all(2 <= len(children) <= 8 for children in made.values())
    done = set()
    for number, so_far in listed(counts, shuffled)[1]:
        done.add(number)
        assert so_far == {name: of for name, of in made.items() if done.issuperset(leaves(name, made))}


class Waits(Stats):
    """Comes to its end only when something was merged; without that after a minute."""

    ALG_ID = "stats"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--folder", help="the journal")
        parser.add_argument("--train", type=int, default=-1, help="the last one")

    def process_module_data(self, block, out):
        deadline = time.monotonic() + 60
        while self.train in block.train_ids and time.monotonic() < deadline:
            if any(name.startswith("merged-") for name in os.listdir(self.folder)):
                break
            time.sleep(0.01)
        else:
            if self.train in block.train_ids:
                raise TimeoutError("nothing was merged while this chunk was worked on")
        super().process_module_data(block, out)


def test_fragments_are_merged_while_other_chunks_are_worked_on(run, client, tmp_path):
    to = tmp_path / "x.zarr"
    waits = Waits(folder=f"{to}.partial", train=int(run.train_ids[-1]))
    result = dxflow.execute(cut(dxflow.plan(run.path, waits, to), 1), client)
    expected = dxflow.execute(cut(dxflow.plan(run.path, Stats()), 1), "here").dataset
    for name, variable in expected.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name


@pytest.mark.parametrize("cluster", ["here", "client"])
def test_what_a_merge_raises_is_raised_and_nothing_runs_on(run, cluster, request):
    class Sour(Stats):
        """Cannot be merged."""

        ALG_ID = "stats"

        def merge(self, into, other):
            raise ZeroDivisionError("planted")

    where = request.getfixturevalue("client") if cluster == "client" else cluster
    with pytest.raises(ZeroDivisionError, match="planted") as caught:
        dxflow.execute(cut(dxflow.plan(run.path, Sour()), 1), where)
    assert "in stats.merge()" in "\n".join(caught.value.__notes__)
    if cluster == "client":
        deadline = time.monotonic() + 30
        while tasks(where) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert tasks(where) == 0


def tasks(client):
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


class Logged(Picky):
    """Says when it is finalized."""

    ALG_ID = "average"

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--log")

    def finalize(self, totals):
        with open(self.options["log"], "a") as log:
            log.write("x")
        super().finalize(totals)


def by_module(run, folder, bad=0):
    """Return a plan of one chunk per module, and where it is noted how often something is finalized."""
    log = folder / f"{len(list(folder.iterdir()))}.log"
    made = dxflow.plan(run.path, Logged(bad=bad, log=str(log)), on_fault="mask")
    modules, trains = len(made.inputs[0].modules), len(made.train_ids)
    parts = tuple(slice(n, n + 1) for n in range(modules))
    return replace(made, parts=parts, chunks=tuple(Chunk(n, 0, trains, n) for n in range(modules))), log


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("cluster", ["here", "client"])
def test_parts_of_one_chunk_are_finalized_with_it_unless_the_modules_have_to_agree(
    run, cluster, bad, request, tmp_path, monkeypatch
):
    where = request.getfixturevalue("client") if cluster == "client" else cluster
    bad = int(run.train_ids[1]) if bad else 0
    plan, log = by_module(run, tmp_path, bad)
    submitted, submit = [], Merges.finals
    monkeypatch.setattr(Merges, "finals", lambda self: submitted.extend(submit(self)) or submitted)
    result = dxflow.execute(plan, where)
    # All modules but the one that cannot take it are done again without this train, and finalized apart.
    count = len(plan.parts)
    assert len(submitted) == (min(TASKS, count - 1) if bad else 0)
    assert log.read_text() == "x" * (2 * count - 1 if bad else count)
    monkeypatch.setattr(Zarr, "made_first", False)
    later = dxflow.execute(by_module(run, tmp_path, bad)[0], "here")
    for name, variable in later.dataset.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name
    assert np.isfinite(result.dataset["average.mean"]).any()


@pytest.mark.parametrize("named", [False, True])
def test_what_is_finalized_at_once_is_kept_for_later_only_where_somebody_may_go_on(
    run, tmp_path, monkeypatch, named
):
    left, write = [], fragments.write

    def note(path, meta, arrays, **how):
        # Those of chunks say what was done.
        left.extend([[*arrays]] if meta else [])
        write(path, meta, arrays, **how)

    monkeypatch.setattr(fragments, "write", note)
    plan, _ = by_module(run, tmp_path)
    dxflow.execute(replace(plan, store=store_for(tmp_path / "r.zarr")) if named else plan, "here")
    assert sum(any("average." in name for name in one) for one in left) == named * len(plan.parts)


def test_the_only_chunk_is_finalized_by_who_did_it(run, tmp_path, monkeypatch):
    log = tmp_path / "log"
    submitted, submit = [], Merges.finals
    monkeypatch.setattr(Merges, "finals", lambda self: submitted.extend(submit(self)) or submitted)
    one = cut(dxflow.plan(run.path, Logged(log=str(log))), len(run.train_ids))
    result = dxflow.execute(one, "here")
    assert (len(one.chunks), submitted, log.read_text()) == (1, [], "x")
    monkeypatch.setattr(Zarr, "made_first", False)
    later = dxflow.execute(replace(one, store=store_for(None)), "here")
    assert log.read_text() == "xx"
    for name, variable in later.dataset.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name


def test_parts_that_were_done_before_a_cluster_was_lost_are_finalized_after_it(run, tmp_path, monkeypatch):
    lost, connect = [], execution.connect

    class Fragile(Here):
        """Is lost once, after some chunks."""

        def results(self, futures):
            for n, result in enumerate(super().results(futures)):
                yield result
                if n == 4 and not lost:
                    lost.append(result)
                    raise ClusterLost("planted", ours=True, account={})

    @contextmanager
    def fragile(_, work):
        with closing(work):
            yield Fragile(work)

    monkeypatch.setattr(execution, "connect", fragile)
    result = dxflow.execute(by_module(run, tmp_path)[0], "here")
    assert lost
    assert result.manifest["restarts"]
    monkeypatch.setattr(execution, "connect", connect)
    plain = dxflow.execute(by_module(run, tmp_path)[0], "here")
    for name, variable in plain.dataset.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name
