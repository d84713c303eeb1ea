"""Patterns of trains and the frames that are kept: against extra-redu and plain loops."""

import os
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from extra_redu.litfrm import selection as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.copying.patterns import SELECT, Patterns, slices
from dxflow.simulate import make_run

EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "60"))
Value = namedtuple("Value", "value")


@pytest.fixture(autouse=True, scope="module")
def _names_that_numpy_had():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(np, "in1d", np.isin, raising=False)
        yield


@st.composite
def cases(draw):
    """Return patterns of a few trains, some of them missing, and the ids of all trains."""
    trains = draw(st.integers(1, 14))
    frames = draw(st.sampled_from([5, 40, 70]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    few = [(rng.random(frames) < share).astype(int) for share in (0.1, 0.5)] + [np.zeros(frames, int)]
    which = draw(st.lists(st.integers(0, 2), min_size=trains, max_size=trains))
    there = np.array(draw(st.lists(st.booleans(), min_size=trains, max_size=trains)))
    there[draw(st.integers(0, trains - 1))] = True
    every = np.arange(100, 100 + trains, dtype=np.uint64)
    counts = np.array(
        draw(st.sampled_from([[frames] * trains, [frames] * (trains // 2) + [frames - 2] * trains]))[:trains]
    )
    pulses = np.stack([few[n] for n in which]) * (np.arange(frames) < counts[:, None])
    return Patterns("x", every[there], counts[there], pulses[there], pulses[there] > 0), every


def theirs(patterns):
    """Return extra-redu's selection of the same patterns."""
    output = SimpleNamespace(
        nFrame=patterns.n_frames, nPulsePerFrame=patterns.n_pulses, dataFramePattern=patterns.has_data
    )
    meta = SimpleNamespace(litFrmDev="x", trainId=patterns.train_ids)
    return oracle.FrameSelection(SimpleNamespace(output=output, meta=meta), guess_missed=True)


@settings(max_examples=EXAMPLES, deadline=None)
@pytest.mark.properties
@given(cases(), st.sampled_from(SELECT))
def test_the_frames_that_are_kept_are_those_that_extra_redu_keeps(case, select):
    patterns, every = case
    found = theirs(patterns)
    mine = patterns.with_missed()
    kept = mine.kept(select)
    for train in every:
        rows = np.flatnonzero(mine.train_ids == train)
        known = train in found.trains
        assert bool(len(rows)) == known
        if known:
            n = int(mine.n_frames[rows[0]])
            ((flags, _),) = found.litframes_on_trains(
                np.array([train]), np.array([n]), np.arange(n), [SELECT.index(select)]
            )
            np.testing.assert_array_equal(kept[rows[0], :n], flags)


@settings(max_examples=EXAMPLES, deadline=None)
@pytest.mark.properties
@given(cases())
def test_ranges_hold_each_train_once_and_miss_only_those_that_nothing_knows(case):
    patterns, _ = case
    seen = []
    for one in patterns.ranges:
        ids = one.trains
        known = np.isin(ids, patterns.train_ids[patterns.number == one.pattern])
        assert (known.sum(), (~known).sum()) == (one.count, one.missed)
        assert not np.isin(ids[~known], patterns.train_ids).any()
        seen += ids[known].tolist()
    assert sorted(seen) == patterns.train_ids.tolist()


def test_the_table_has_a_line_per_range_with_the_frames_that_have_data():
    lit = np.zeros((9, 8), int)
    lit[:, 1:4] = 1
    lit[5:, 0::2] = 2
    trains = np.array([10, 11, 12, 14, 15, 16, 18, 20, 22], np.uint64)
    patterns = Patterns("x", trains, np.full(9, 8), lit, lit > 0)
    lines = [line.split() for line in patterns.table()[1:]]
    assert lines[0] == ["0", "10:16", "5", "1", "3", "3", "8", "[1:4]"]
    assert lines[1] == ["1", "16:23:2", "4", "0", "10", "6", "8", "[0:5,", "6]"]
    assert slices(np.array([1, 4, 7, 10, 30, 31])) == ["1:11:3", "30:32"]


def test_margins_cells_and_energies_change_what_is_kept():
    lit = np.zeros((2, 8), int)
    lit[0, [2, 6]] = 1
    one = Patterns("x", np.array([1, 2], np.uint64), np.array([8, 8]), lit, lit > 0)

    def kept(**options):
        return [np.flatnonzero(row).tolist() for row in one.kept(**options)]

    assert kept() == [[2, 6], []]
    assert kept(margin=1) == [[1, 2, 3, 5, 6, 7], []]
    assert kept(cells=slice(0, 4)) == [[2], []]
    assert kept(keep_empty=True) == [[2, 6], list(range(8))]
    bright = np.ones((2, 8), bool)
    bright[0, 2] = False
    assert kept(bright=bright) == [[6], []]
    assert kept(bright=bright, select="row") == [list(range(8)), []]


def test_patterns_of_results_are_those_that_were_planted(tmp_path):
    lit = np.zeros((6, 8), bool)
    lit[:3, ::2], lit[3:, [0, 1, 4]] = True, True
    truth = make_run(tmp_path / "r", trains=6, pulses=8, module_shape=(16, 16), detector="AGIPD500K", lit=lit)
    finder = LitFrameFinder(reference_frame=0)
    timing = dxflow.reduce(truth.path, finder, cluster="here").dataset
    intensity = dxflow.reduce(truth.path, LitFrames(), cluster="here").dataset
    for one in (Patterns.by_timing(timing), Patterns.by_intensity(intensity)):
        np.testing.assert_array_equal(one.has_data, lit)
        assert one.number.tolist() == [0, 0, 0, 1, 1, 1]
        assert one.sample(2).tolist() == [10001, 10003, 10004, 10006]
    dark = dxflow.reduce(truth.path, LitFrameFinder(mode="Dark"), cluster="here").dataset
    one = Patterns.by_timing(dark)
    assert one.has_data.all()
    assert not one.n_pulses.any()
