"""FrameSelection against list comprehensions over (train, pulse, cell)."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from dxflow import FrameSelection
from dxflow.index import align, plain

TRAINS = np.arange(100, 104, dtype=np.uint64)
FRAMES = [(t, p, p // 2) for t in range(4) for p in (0, 2, 4, 7)]
LABELS = [(int(TRAINS[t]), p, c) for t, p, c in FRAMES]
INDEX = align(
    TRAINS, np.full((1, 4), 4), [np.array([f[1] for f in FRAMES])], [np.array([f[2] for f in FRAMES])]
)


def chosen(**parts):
    return FrameSelection(**parts).apply(INDEX).tolist()


def wanted(low, high):
    ids = st.none() | st.integers(low, high)
    slices = st.builds(slice, ids, ids, st.none() | st.integers(1, 3))
    return st.none() | slices | st.lists(st.integers(low, high), max_size=4)


def holds(value, which):
    if which is None:
        return True
    if not isinstance(which, slice):
        return value in which
    start = which.start or 0
    stop = value + 1 if which.stop is None else which.stop
    return start <= value < stop and (value - start) % (which.step or 1) == 0


@given(wanted(98, 106), wanted(0, 9), wanted(0, 5))
def test_a_frame_is_selected_if_train_pulse_and_cell_all_agree(trains, pulses, cells):
    expected = [holds(t, trains) and holds(p, pulses) and holds(c, cells) for t, p, c in LABELS]
    assert chosen(trains=trains, pulses=pulses, cells=cells) == expected


@given(st.lists(st.tuples(st.integers(99, 105), st.integers(0, 9)), max_size=8))
def test_exact_frames_are_found_by_train_and_pulse(pairs):
    frames = tuple(np.array([p[n] for p in pairs], "u8") for n in range(2))
    assert chosen(frames=frames) == [(t, p) in pairs for t, p, _ in LABELS]


def test_a_mask_selects_by_position_and_must_have_one_value_per_frame():
    mask = np.arange(16) % 3 == 0
    assert chosen(mask=mask) == mask.tolist()
    with pytest.raises(ValueError, match="15 was given, but there are 16 frames"):
        chosen(mask=mask[:15])


def test_a_labelled_array_selects_where_it_is_true():
    coords = {"train_id": ("frame", [101, 103]), "pulse_id": ("frame", [2, 7])}
    array = xr.DataArray(np.array([True, False]), dims="frame", coords=coords)
    assert [f for f, k in zip(LABELS, FrameSelection.of(array).apply(INDEX), strict=True) if k] == [
        (101, 2, 1)
    ]


@pytest.mark.parametrize(
    ("frames", "error", "says"),
    [
        (np.arange(3), TypeError, "boolean array"),
        (np.ones((2, 2), bool), TypeError, "one value per frame"),
        ("lit", TypeError, "FrameSelection"),
        (xr.DataArray(np.arange(3)), TypeError, "compare it first"),
        (xr.DataArray(np.ones(3, bool)), KeyError, "train_id and pulse_id are needed"),
    ],
)
def test_what_selects_nothing_meaningful_is_refused_with_a_reason(frames, error, says):
    with pytest.raises(error, match=says):
        FrameSelection.of(frames)


def test_selecting_by_what_frames_do_not_have_says_what_they_have():
    with pytest.raises(ValueError, match=r"by cell_id, but these frames only have \['train_id'\]"):
        FrameSelection(cells=[1]).apply(plain(TRAINS, np.ones(4, int)))


def test_nothing_and_selections_pass_through():
    selection = FrameSelection(pulses=[1])
    assert FrameSelection.of(None) is None
    assert FrameSelection.of(selection) is selection
