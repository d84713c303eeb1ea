"""How a run is cut: powers of two of trains, within what is asked for; units that no other algorithm changes."""

from dataclasses import replace
from unittest import mock

import extra_data
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import Picky, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Key, Output
from dxflow.algorithms.average import Average
from dxflow.driver import execute as execution
from dxflow.planning import cutting, units
from dxflow.planning.cutting import within
from dxflow.simulate import make_run
from dxflow.testing.case import cut


@given(per_train=st.lists(st.integers(0, 1000), min_size=1, max_size=60), limit=st.floats(0, 5000))
def test_no_stretch_has_more_bytes_than_wanted_and_one_of_twice_as_many_trains_would(per_train, limit):
    def fullest(n):
        return max(sum(per_train[a : a + n]) for a in range(0, len(per_train), n))

    size = within(np.array(per_train), limit)
    assert size == 1 or fullest(size) <= limit
    assert size >= len(per_train) or fullest(2 * size) > limit


@given(data=st.data(), trains=st.integers(1, 70), unit=st.sampled_from([1, 2, 4]))
def test_a_tree_pairs_the_same_units_however_they_come_together(data, trains, unit):
    """The pairs written down, of all units at once, and of chunks whose units were merged before."""

    def tree(stretches):
        made = units.Tree(lambda a, b: a.__setitem__(slice(None), [list(a), list(b)]))
        for first, last, value in stretches:
            made.add(first, last, value)
        return made.result()

    def of_units(first, last):
        return tree([(a, min(a + unit, last), [a]) for a in range(first, last, unit)])

    chunk = unit * data.draw(st.sampled_from([1, 2, 8, 64]))
    chunks = [(a, min(a + chunk, trains)) for a in range(0, trains, chunk)]
    merges = [
        (chunks[n][0], chunks[n : n + 8][-1][1], tree((a, b, of_units(a, b)) for a, b in chunks[n : n + 8]))
        for n in range(0, len(chunks), 8)
    ]
    assert tree(merges) == of_units(0, trains)


def test_a_tree_of_five_is_that_of_four_and_one_more():
    made = units.Tree(lambda a, b: a.append(b))
    for n in range(5):
        made.add(n, n + 1, [n])
    assert made.result() == [0, [1], [2, [3]], [4]]


@given(there=st.sets(st.integers(0, 7), min_size=1), empty=st.sets(st.integers(0, 7)))
def test_a_tree_pairs_the_same_whether_stretches_are_empty_or_missing(there, empty):
    """Merging with what has nothing in it changes nothing."""

    def pair(one, other):
        if other:
            one[:] = [list(one), list(other)] if one else other

    def tree(places):
        made = units.Tree(pair, start=0)
        for n in sorted(places):
            made.add(n, n + 1, [n] if n in there else [])
        return made.result()

    assert tree(there | empty) == tree(there) == tree(set(range(8)))


TWO = Frames(modules=range(2), mask=None)


class Slow(Algorithm):
    """A number of the run, of a few bytes per train."""

    ALG_ID = "slow"
    inputs = {"x": None}

    def outputs(self, info):
        return {"s": Output(per="run")}

    def process_module_data(self, block, out):
        out.s += block["x"].sum()


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    options = {"modules": 2, "pulses": 1, "module_shape": (64, 64), "devices": ("motor",)}
    return make_run(tmp_path_factory.mktemp("long"), trains=600, pool=1, **options)


def plan(run, *algorithms, **options):
    return dxflow.plan(run.path, list(algorithms), on_fault="mask", **options)


def test_units_are_the_same_alone_and_in_company(long):
    makers = {
        "slow": lambda: Slow(x=Key(long.devices["motor"], "actualPosition.value")),
        "stats": lambda: Stats(img=TWO),
        "tsum": lambda: TrainSums(img=TWO),
        "roisum": lambda: RoiSum(img=TWO),
    }
    together = plan(long, *(make() for make in makers.values()))
    for bound in together.algorithms:
        alone = plan(long, makers[bound.name]())
        assert alone.algorithms[0].unit == bound.unit
        assert all(c.first % bound.unit == 0 for p in (alone, together) for c in p.chunks)
    assert {a.name: a.unit for a in together.algorithms} == {"slow": 2, "stats": 32, "tsum": 2, "roisum": 1}


def test_who_reads_little_leaves_the_pass_enough_chunks(long):
    """A number of the run beside images."""
    images, slow = Stats(img=TWO), Slow(x=Key(long.devices["motor"], "actualPosition.value"))
    alone = plan(long, images, chunk=70_000, block=256)
    together = plan(long, images, slow, chunk=70_000, block=256)
    assert len(together.chunks) >= len(alone.chunks) > 2


def test_a_chunk_of_any_whole_units_gives_the_same_bits(long):
    made = plan(long, Stats(img=TWO), TrainSums(img=TWO), block=10_000)
    expected = dxflow.execute(made, "here").dataset.load()
    for trains in (32, 64, 1024):
        got = dxflow.execute(cut(made, trains), "here").dataset
        for name, variable in expected.variables.items():
            assert got.variables[name].values.tobytes() == variable.values.tobytes(), (name, trains)


def test_memory_counts_the_partials_of_several_units(long):
    made = plan(long, Stats(img=TWO))
    assert cut(made, 256).memory.partials > cut(made, 32).memory.partials


def test_a_run_that_is_cut_by_modules_has_the_bits_of_one_that_is_not(long, monkeypatch):
    """One stretch of trains leaves the sums of each pixel once, where many leave them many times."""
    monkeypatch.setattr(cutting, "SMALL", 1000)
    monkeypatch.setattr(cutting, "ENOUGH_CHUNKS", 2)
    split = plan(long, Average(img=TWO), block=64)
    assert [(p.start, p.stop) for p in split.parts] == [(0, 1), (1, 2)]
    whole = cut(replace(split, parts=(slice(0, 2),)), split.algorithms[0].unit)
    assert len({c.first for c in split.chunks}) < len(whole.chunks)
    both, expected = (dxflow.execute(p, "here").dataset for p in (split, whole))
    for name, variable in expected.variables.items():
        assert both.variables[name].values.tobytes() == variable.values.tobytes(), name


@pytest.mark.parametrize("makers", [[Stats], [Stats, TrainSums, RoiSum]])
def test_chunks_are_decided_by_train_ids_alone(long, makers):
    """Whatever other trains there are: earlier ones, later ones, or some in between that others have."""
    run = extra_data.RunDirectory(long.path)
    ids = np.array(run.train_ids)

    def chunks(keep):
        made = dxflow.plan(
            run.select_trains(extra_data.by_id[ids[keep]]),
            [make(img=TWO) for make in makers],
            chunk="5 trains",
            on_fault="mask",
        )
        assert all(len(set(made.train_ids[c.first : c.last] // 5)) == 1 for c in made.chunks)
        assert [a.unit > 5 for a in made.algorithms] == [units.adds_up(a) for a in made.algorithms]
        return {
            made.train_ids[c.first : c.last].tobytes(): (made.places[c.number], of)
            for c, of in zip(made.chunks, made.digests, strict=True)
        }

    every = chunks(np.s_[:])
    assert len(every) == 121
    for keep in (np.s_[:3], np.s_[:205], np.s_[104:], np.r_[0:50, 300:372], np.r_[3:600:7]):
        some = chunks(keep)
        assert len(some) > len({place for place, _ in some.values()}) - 1
        for trains, (place, of) in some.items():
            assert trains not in every or every[trains] == (place, of)
    assert chunks(np.s_[104:]).items() - every.items() == set(), "104 is the first of its five"


def test_chunks_of_so_many_trains_give_the_same_result_and_are_what_is_asked_for(long):
    asked = plan(long, Stats(img=TWO), chunk="100 trains")
    assert [c.last - c.first for c in asked.chunks] == [99, *[100] * 5, 1]
    assert "7 of up to" in str(asked)
    got, expected = (dxflow.execute(p, "here").dataset for p in (asked, plan(long, Stats(img=TWO))))
    for name, variable in expected.variables.items():
        if name.startswith("stats."):
            np.testing.assert_allclose(got.variables[name], variable, rtol=1e-6)
    with pytest.raises(ValueError, match="at least 1 train"):
        plan(long, Stats(img=TWO), chunk="0 trains")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_train_that_one_module_cannot_take_is_left_out_of_all_whatever_the_cut(
    long, tmp_path, monkeypatch, interrupted
):
    monkeypatch.setattr(cutting, "SMALL", 1000)
    monkeypatch.setattr(cutting, "ENOUGH_CHUNKS", 2)
    bad = int(long.train_ids[77])
    split = plan(long, Picky(img=TWO, bad=bad), block=64)
    assert len(split.parts) == 2
    if interrupted:
        split = plan(long, Picky(img=TWO, bad=bad), block=64, to=tmp_path / "r.zarr", resume=True)
        ended = mock.patch.object(execution, "_put_together", side_effect=KeyboardInterrupt)
        with ended, pytest.raises(KeyboardInterrupt):
            dxflow.execute(split, "here")
    result = dxflow.execute(split, "here")
    other = plan(long, Picky(img=TWO, bad=bad), block=64)
    whole = cut(replace(other, parts=(slice(0, 2),)), other.algorithms[0].unit)
    expected = dxflow.execute(whole, "here")
    for name, variable in expected.dataset.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name
    rest = FrameSelection(trains=np.delete(long.train_ids, 77).tolist())
    counts = dxflow.reduce(long.path, Average(img=TWO), frames=rest, cluster="here").dataset["average.count"]
    np.testing.assert_array_equal(result.dataset["average.count"], counts)
    assert result.losses.cause.tolist() == ["exception in hook"]
    for row in result.manifest["account"]:
        assert row["masked"] == {"exception in hook": 1}
        assert row["expected"] == row["used"] + 1
