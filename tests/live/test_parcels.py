"""Frames that lie in parcels: found by their train and number, of any region and plane, or said to be gone."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from dxflow.live.parcels import GONE, Parcels
from dxflow.live.received import Piece
from dxflow.reader.faults import ReadFault
from dxflow.run.index import EntryIndex

NAME = "INSTRUMENT/D/DET/0CH0:xtdf/image/data"
TRAINS = np.array([10, 11, 12, 14], np.uint64)
COUNTS = (3, 0, 2, 4)


@dataclass
class Bound:
    """As much of an input as matters."""

    location: SimpleNamespace
    index: EntryIndex
    mask: object = None
    datasets: tuple = field(default=(f"/{NAME}",))


def location(shape, **more):
    usual = {
        "datasets": (f"/{NAME}",),
        "stored": shape,
        "dtype": np.dtype("u2"),
        "per_entry": 1,
        "plane": None,
    }
    return SimpleNamespace(**{**usual, "roi": None, **more})


def index(entry=None):
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    entry = np.concatenate([np.arange(n) for n in COUNTS])[np.newaxis] if entry is None else entry
    return EntryIndex(TRAINS, offsets, entry.astype(np.int32))


@pytest.fixture
def values(tmp_path):
    """Values of each train, and two pieces of which the parcels have something else in between."""
    rng = np.random.default_rng(1)
    values = {
        int(t): rng.integers(0, 2**16, (n, 2, 4, 6), np.uint16) for t, n in zip(TRAINS, COUNTS, strict=True)
    }
    pieces = []
    for number, trains in enumerate(([12, 10], [14])):
        path, at, content = tmp_path / f"{number}", {}, b"other"
        for train in trains:
            at[train] = len(content)
            content += values[train].tobytes() + b"bytes"
        path.write_bytes(content)
        ids = np.array(sorted(at), np.uint64)
        where = ids, np.array([at[int(t)] for t in ids]), 2 * 4 * 6 * 2
        pieces.append(Piece(number, "", str(path), ids, {NAME: where}, len(content)))
    return values, pieces


def read(parcels, bound, rows):
    """Return what there is of rows, and which."""
    shape = bound.location.stored
    if bound.location.roi:
        shape = tuple(s.stop - s.start for s in bound.location.roi)
    out, there = np.zeros((rows.stop - rows.start, *shape), np.uint16), np.zeros(rows.stop - rows.start, bool)
    found = parcels.extents(bound, 0, rows, mask=False)
    for a, b, extent, first in found.overlapping(0, len(out)):
        extent.read(a - first, b - first, out[a:b])
        there[a:b] = True
    return out, there


@pytest.mark.parametrize("rows", [slice(0, 9), slice(2, 5), slice(3, 3), slice(4, 9)])
@pytest.mark.parametrize("roi", [None, (slice(1, 3), slice(0, 6)), (slice(0, 4), slice(2, 5))])
@pytest.mark.parametrize("plane", [0, 1])
def test_frames_are_those_of_their_train(values, rows, roi, plane):
    values, pieces = values
    whole = np.concatenate([values[int(t)][:, plane] for t in TRAINS])
    bound = Bound(location((4, 6), plane=plane, roi=roi), index())
    got, there = read(Parcels(pieces, [NAME]), bound, rows)
    assert there.all()
    assert np.array_equal(got, whole[rows][:, *(roi or (slice(None), slice(None)))])


def test_several_frames_of_an_entry_and_frames_that_are_missing(values):
    values, pieces = values
    entry = np.array([[1, 5, -1, 0, 3, 2, 3, 4, 7]])
    bound = Bound(location((4, 6), per_entry=2), index(entry))
    got, there = read(Parcels(pieces, [NAME]), bound, slice(0, 9))
    assert there.tolist() == [True, True, False, *[True] * 6]
    trains = [10, 10, 10, 12, 12, 14, 14, 14, 14]
    for n, (train, line) in enumerate(zip(trains, entry[0].tolist(), strict=True)):
        assert np.array_equal(
            got[n], values[train].reshape(-1, 4, 6)[line] if line >= 0 else np.zeros((4, 6))
        )


def test_what_was_freed_is_said_and_what_is_in_files_is_not_here(values):
    _, pieces = values
    parcels = Parcels(pieces[1:], [NAME])
    bound = Bound(location((4, 6), plane=0), index())
    with pytest.raises(ReadFault, match="of train 10, not kept") as e:
        read(parcels, bound, slice(0, 3))
    assert e.value.cause == GONE
    assert read(parcels, bound, slice(5, 9))[1].all()
    assert Parcels(pieces, ["INSTRUMENT/other"]).extents(bound, 0, slice(0, 9), mask=False) is None
    assert Parcels([], [NAME]).extents(bound, 0, slice(0, 9), mask=False) is not None
