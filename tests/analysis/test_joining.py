"""Values joined to rows: against loops over trains and pulses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow import PlanError
from dxflow.analysis.beam import Beam, keys
from dxflow.analysis.joining import Grid, places
from dxflow.analysis.passing import Pass, places_of_seen, refuse_mixed
from dxflow.run.index import EntryIndex

OURS, NEIGHBOUR, NOBODY = 4 << 18, (4 << 18) | (1 << 27), 0


def loops(table, known, slots, of, lists, there):
    """Return the sum of the entries of our pulses that each row sees, None where one is missing."""
    out = []
    for train, seen in zip(of, slots, strict=True):
        total, good = 0.0, known[train] and there[train]
        number = {}
        for slot, word in enumerate(table[train]):
            if word != NOBODY:
                number[slot] = len(number)
        for slot in seen:
            if 0 <= slot < table.shape[1] and table[train, slot] == OURS:
                good &= number[slot] < lists.shape[1]
                total += lists[train, number[slot]] if number[slot] < lists.shape[1] else 0
        out.append(total if good else None)
    return out


def blocks(values, there, cut):
    """Return values of trains as they are read: some trains at a time."""
    return [(0, values[:cut], there[:cut]), (cut, values[cut:], there[cut:])]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_rows_have_the_entries_of_their_pulses(data):
    trains, width, rows = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    table = draw.choice([OURS, NEIGHBOUR, NOBODY], (trains, 6)).astype(np.uint32)
    known, there = draw.random((2, trains)) > 0.2
    of = np.sort(draw.integers(0, trains, rows))
    slots = draw.integers(-2, 8, (rows, 1)) + np.arange(data.draw(st.integers(1, 2)))
    lists = draw.integers(1, 99, (trains, width)).astype(data.draw(st.sampled_from(["f4", "i4"])))
    cut = data.draw(st.integers(0, trains))
    beam = Beam.made(blocks(table, known, cut), 1)
    grid = Grid(np.arange(trains), of, np.arange(rows), "frames", None, slots, beam)
    values, good = grid.of_lists(blocks(lists, there, cut), lists.dtype)
    good = np.ones(rows, bool) if good is None else good
    wanted = loops(table, known, slots, of, lists, there)
    assert [v if g else None for v, g in zip(values.tolist(), good, strict=True)] == wanted
    nothing = np.nan if lists.dtype.kind == "f" else 0
    np.testing.assert_array_equal(values[~good], np.full((~good).sum(), nothing))
    assert list(zip(beam.of, beam.slots, strict=True)) == [
        (t, s) for t in range(trains) for s in range(6) if known[t] and table[t, s] == OURS
    ]


def test_places_are_the_first_of_several_and_minus_one_of_none():
    have = keys(np.array([0, 1, 1, 0]), np.array([5, 2, 2, 7]))
    wanted = keys(np.array([1, 0, 0, 2]), np.array([2, 7, 6, 5]))
    assert places(have, wanted).tolist() == [1, 3, -1, -1]
    assert places(have[:0], wanted).tolist() == [-1] * 4


def test_lists_of_one_undulator_have_its_pulses_alone():
    beam = Beam.made([(0, np.array([[NEIGHBOUR, OURS, OURS]], np.uint32), np.ones(1, bool))], 1)
    grid = Grid.of_pulses(np.array([7]), beam)
    lists = [(0, np.array([[1.0, 2.0, 3.0]]), np.ones(1, bool))]
    assert grid.of_lists(lists, np.dtype(float))[0].tolist() == [2, 3]
    assert grid.of_lists(lists, np.dtype(float), 1)[0].tolist() == [1, 2]
    assert beam.first.tolist() == [1]


def test_sums_of_small_integers_over_an_exposure_do_not_overflow():
    beam = Beam.made([(0, np.full((1, 4), OURS, np.uint32), np.ones(1, bool))], 1)
    slots = np.array([[0, 1], [2, 3]])
    grid = Grid(np.arange(1), np.zeros(2, int), np.arange(2), "frames", None, slots, beam)
    for dtype in (np.uint16, np.int16, np.int8):
        most = np.iinfo(dtype).max
        lists = [(0, np.full((1, 4), most, dtype), np.ones(1, bool))]
        assert grid.of_lists(lists, np.dtype(dtype))[0].tolist() == [2 * int(most)] * 2
    alone = Grid(np.arange(1), np.zeros(2, int), np.arange(2), "frames", None, slots[:, :1], beam)
    assert alone.of_lists(lists, np.dtype(np.int8))[0].dtype == np.int8


def test_frames_before_the_first_slot_and_those_not_known_saw_no_pulse():
    own = keys(np.array([0, 0, 0, 1]), np.arange(4))
    slots = np.array([[-2, -1], [-1, 0], [0, 1], [5, 6]])
    wanted = keys(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 6]))
    assert places_of_seen(own, slots, wanted).tolist() == [1, 2, -1, 3]
    assert places_of_seen(own, slots[:1].repeat(4, 0), wanted).tolist() == [-1] * 4
    at = EntryIndex(np.arange(1), np.array([0, 3]), np.zeros((1, 3), "i4"), np.array([0, 1, 7], "u4"))
    beam = Beam.made([(0, np.full((1, 4), OURS, np.uint32), np.ones(1, bool))], 1)
    # Frame 7 is of another detector: which slot it saw is not known.
    known = own[:2], np.array([[0], [1]])
    made = Pass(None, {}, seen=known)._places(at, Grid.of_pulses(np.arange(1), beam))
    assert made.tolist() == [0, 1, -1, -1]


def test_frames_with_pulse_ids_are_not_joined_to_those_that_are_numbered():
    entry, offsets = np.zeros((1, 2), "i4"), np.array([0, 2])
    one = EntryIndex(np.arange(1), offsets, entry, np.array([0, 1], "u4"))
    other = EntryIndex(np.arange(1), offsets, entry)
    refuse_mixed([one, one])
    refuse_mixed([other, other])
    with pytest.raises(PlanError, match="they cannot be joined"):
        refuse_mixed([one, other])
