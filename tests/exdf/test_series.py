"""What was given comes back train by train, unchanged."""

import numpy as np
import pytest

from dxflow.exdf import DS, ExdfError
from dxflow.exdf.declare import declared
from dxflow.exdf.series import Series, Steps, checked


def one(dtype=float, shape=()):
    return declared({"v": DS("D/E/F", "v", shape, dtype)}, {}, {})["v"]


def test_entries_come_back_in_any_pieces():
    series = Series(one())
    series.add([2, 0, 1], np.arange(3.0))
    series.add([4], np.arange(3.0, 7.0))
    assert series.counts == [2, 0, 1, 4]
    taken = [np.concatenate([*series.take(n), np.zeros(0)]).tolist() for n in (1, 0, 4, 2)]
    assert taken == [[0], [], [1, 2, 3, 4], [5, 6]]


def test_what_waits_is_a_copy():
    series, array = Series(one()), np.zeros(2)
    series.add([2], array)
    assert series.keep() == 16
    array[:] = 1
    assert np.concatenate(list(series.take(2))).tolist() == [0, 0]


def test_a_control_value_holds_until_the_next():
    steps = Steps(one())
    steps.add(0, np.array([5.0]))
    steps.add(3, np.array([6.0, 7.0]))
    values, since = steps.settings(1, 6)
    assert values.tolist() == [5, 5, 6, 7, 7]
    assert since.tolist() == [0, 0, 3, 4, 4]
    assert (steps.first, steps.next, steps.value()) == (0, 5, 5)
    assert steps.settings(2, 2)[0].shape == (0,)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i4", [1, 2]),
        ("u8", 3),
        ("f4", 1),
        ("f4", [0.1]),
        ("f8", True),
        ("u1", True),
        ("?", 1),
        ("f4", np.nan),
        ("S3", "ab"),
    ],
)
def test_values_that_fit_are_converted(dtype, values):
    assert checked(one(dtype), values, None).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i4", 1.5),
        ("u1", 256),
        ("u8", -1),
        ("i8", np.uint64(2**63)),
        ("i4", np.nan),
        ("?", 2),
        ("S2", "abc"),
        ("i4", "1"),
        ("f4", "x"),
    ],
)
def test_values_that_would_change_are_refused(dtype, values):
    with pytest.raises((ExdfError, ValueError), match="do not fit|given were|could not convert"):
        checked(one(dtype), values, 3)
