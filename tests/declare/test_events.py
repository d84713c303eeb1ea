"""Events: in order, copied, of the shape that was declared, of frames that are there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dxflow.declare.events import Events, EventView


@given(blocks=st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), max_size=4)), max_size=8))
def test_events_come_out_by_train_then_frame_ties_as_appended(blocks):
    """Blocks of frames of trains (5 frames each), in any order, as module after module brings them."""
    events, added, number = Events((), "i8"), [], 0
    for train, frames in blocks:
        numbers = list(range(number, number + len(frames)))
        number += len(frames)
        view = EventView(events, np.full(5, train), train * 5, None)
        view.append(np.array(numbers, "i8"), frames=np.array(frames, "i8"))
        added += [(train, train * 5 + frame, n) for frame, n in zip(frames, numbers, strict=True)]
    rows, trains, frames = events.sorted()
    expected = sorted(added, key=lambda e: e[:2])
    assert list(zip(trains.tolist(), frames.tolist(), rows.tolist(), strict=True)) == expected


def test_events_of_a_train_need_no_frames_and_those_of_a_block_do():
    events = Events((2,), "f8")
    EventView(events, np.zeros(3, int), 0, 4).append([[1, 2], [3, 4]])
    assert [a.tolist() for a in events.sorted()] == [[[1, 2], [3, 4]], [4, 4], [-1, -1]]
    with pytest.raises(ValueError, match="frames="):
        EventView(events, np.zeros(3, int), 0, None).append([[1, 2]])


def test_no_events_in_a_train_may_be_said_in_any_way_that_numpy_has():
    events = Events((2,), "f8")
    view = EventView(events, np.zeros(3, int), 0, 0)
    view.append([])
    view.append(np.zeros((0, 2)))
    assert events.sorted()[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("rows", "frames", "says"),
    [
        (np.zeros(2), None, r"rows of shape \(2,\); expected \(event, 2\) .* one row is append\(\[row\]\)"),
        (np.zeros((3, 4)), None, r"rows of shape \(3, 4\); expected \(event, 2\)"),
        (np.zeros((1, 1, 2)), None, r"rows of shape \(1, 1, 2\); expected \(event, 2\)"),
        (7.0, None, r"rows of shape \(\); expected \(event, 2\)"),
        (np.zeros((4, 2)), [0, 1], r"frames of shape \(2,\); expected one number for each of 4 rows"),
        (np.zeros((2, 2)), [0, 3], "frames from 0 to 3; expected positions in this train or block, 0 to 2"),
        (np.zeros((2, 2)), [-1, 0], "frames from -1 to 0; expected positions"),
    ],
)
def test_rows_of_another_shape_or_frame_are_refused_with_what_is_expected(rows, frames, says):
    view = EventView(Events((2,), "f8"), np.zeros(3, int), 0, 4)
    with pytest.raises(ValueError, match=says):
        view.append(rows, frames)


def test_an_event_of_one_number_may_be_appended_alone():
    events = Events((), "f8")
    view = EventView(events, np.zeros(3, int), 0, 4)
    view.append(7.0)
    view.append([1.0, 2.0], frames=2)
    assert events.sorted()[0].tolist() == [1.0, 2.0, 7.0]


def test_appended_rows_are_copied():
    events, rows = Events((), "f8"), np.zeros(2)
    EventView(events, np.zeros(2, int), 0, 0).append(rows)
    rows[:] = 9
    assert events.sorted()[0].tolist() == [0, 0]
