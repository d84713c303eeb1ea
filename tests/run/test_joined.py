import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.run.index import align
from dxflow.run.joined import Labelled

TRAINS = np.arange(100, 106, dtype=np.uint64)
frames = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 4), st.integers(0, 2)), unique=True, max_size=30
)


def index_of(rows):
    """Return the index of frames (train position, pulse, cell) in the order of trains."""
    rows = sorted(row for row in rows if row[0] < len(TRAINS))
    counts = np.bincount([row[0] for row in rows], minlength=len(TRAINS))
    pulses, cells = (np.array([row[n] for row in rows], np.int64) for n in (1, 2))
    return align(TRAINS, counts[None], [pulses], [cells]), rows


COLUMNS = {"train_id": 0, "pulse_id": 1, "cell_id": 2}


def of(row, names):
    return tuple(row[COLUMNS[name]] for name in names)


@settings(max_examples=100, deadline=None)
@given(frames, frames, st.sampled_from([("pulse_id",), ("pulse_id", "cell_id"), ("cell_id",)]))
def test_each_row_gets_the_value_of_its_ids(read, known, by):
    index, rows = index_of(read)
    values = np.arange(len(known)) + 0.5
    ids = {n: np.array([k[COLUMNS[n]] for k in known], np.uint64) for n in ("train_id", *by)}
    labelled = Labelled(values, values > 1, {**ids, "train_id": ids["train_id"] + np.uint64(100)})
    inside = [k for k in known if k[0] < len(TRAINS)]
    # With both ids known, pulses alone are tried first, as another detector has other cells.
    ways = [("train_id", *by[:n]) for n in range(1, len(by) + 1)]
    way = next((w for w in ways if len({of(k, w) for k in inside}) == len(inside)), None)
    truth = {of(k, way): v for k, v in zip(known, values, strict=True) if v > 1} if way else {}
    expected = np.array([truth.get(of(row, way), np.nan) if way else np.nan for row in rows])
    nothing = len(known) > 0 and not (values > 1).any()
    if way is None or nothing or (rows and np.isnan(expected).all()):
        with pytest.raises(ValueError, match="several values for|none of its values|it has no values"):
            labelled.to(index)
        return
    joined = labelled.to(index)
    assert joined.by == way
    np.testing.assert_array_equal(joined.values, expected)
    np.testing.assert_array_equal(joined.there, ~np.isnan(expected))


def test_cells_tell_frames_apart_where_pulses_do_not():
    index, rows = index_of([(0, 3, 0), (0, 3, 1), (1, 3, 0)])
    ids = {"train_id": TRAINS[[0, 0, 1]], "pulse_id": np.full(3, 3), "cell_id": np.array([1, 0, 0])}
    joined = Labelled(np.array([5, 6, 7]), np.ones(3, bool), ids).to(index)
    assert joined.by == ("train_id", "pulse_id", "cell_id")
    assert joined.values.tolist() == [6, 5, 7]


def test_cells_of_another_detector_do_not_matter():
    index, _ = index_of([(0, 3, 0), (0, 4, 1)])
    ids = {"train_id": TRAINS[[0, 0]], "pulse_id": np.array([4, 3]), "cell_id": np.array([30, 31])}
    assert Labelled(np.array([5, 6]), np.ones(2, bool), ids).to(index).values.tolist() == [6, 5]


def test_ids_too_large_for_any_frame_belong_to_none():
    index, _ = index_of([(0, 3, 0)])
    ids = {"train_id": TRAINS[[0, 0]], "pulse_id": np.array([3, 2**24 + 3], np.uint64)}
    assert Labelled(np.array([5, 6]), np.ones(2, bool), ids).to(index).values.tolist() == [5]
