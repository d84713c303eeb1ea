"""All values of an input, read when planning: of what labels are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reader.faults import ReadFault
from ..reader.files import Files
from ..reader.ways import Extent
from .bound import BoundInput, Stretch
from .extents import extents
from .findings import Faults


def whole(bound: BoundInput, faults: Faults) -> tuple[NDArray, NDArray]:
    """Return the value of each row of an input of one module, (row, ...), and which there are, (row,).

    What cannot be read is a fault; what an input that is made of others says is lost is noted.
    """
    trains = bound.index.train_ids
    if not bound.composed:
        return _read(bound, faults)
    parts = [first_of_trains(part, *whole(part, faults), 0, len(trains)) for part in bound.parts]
    declared: Any = bound.declared
    at = Stretch(bound, slice(0, len(bound.index)), 0, len(trains), trains)
    values, there, losses = declared.compose(parts, at)
    faults.notes += [loss for loss in losses if loss not in faults.notes]
    return values, there


def first_of_trains(
    bound: BoundInput, values: NDArray, good: NDArray, first: int, last: int
) -> tuple[NDArray, NDArray]:
    """Return the first entry of each train from one position to another, (train, ...), and where there is one.

    Parameters
    ----------
    values, good : ndarray
        Of all entries of these trains, and which could be read; what there is not becomes 0.
    """
    offsets = bound.index.offsets[first : last + 1]
    at = np.minimum(offsets[:-1] - offsets[0], max(len(good) - 1, 0))
    out = np.zeros((len(at), *bound.location.shape), bound.dtype)
    if not len(good):
        return out, np.zeros(len(at), bool)
    there = (np.diff(offsets) > 0) & good[at]
    out[there] = values[at[there]]
    return out, there


def _read(bound: BoundInput, faults: Faults) -> tuple[NDArray, NDArray]:
    """Read all rows, those of a stretch that fails one by one; those that cannot be read are faults."""
    files, n = Files(), len(bound.index)
    values, good = np.zeros((n, *bound.location.shape), bound.dtype), np.zeros(n, bool)
    try:
        where = extents(files, bound.location, bound.index, 0, slice(0, n))
        for a, b, piece, start in where.overlapping(0, n):
            try:
                piece.read(a - start, b - start, values[a:b])
                good[a:b] = True
            except ReadFault:
                for row in range(a, b):
                    good[row] = _one(bound, row, piece, row - start, values, faults)
    finally:
        files.close()
    return values, good


def _one(bound: BoundInput, row: int, piece: Extent, at: int, values: NDArray, faults: Faults) -> bool:
    """Read one row; return whether that could be."""
    try:
        piece.read(at, at + 1, values[row : row + 1])
    except ReadFault as e:
        train = bound.index.train_ids[bound.index.train_positions(slice(row, row + 1))]
        faults.add(e.cause, e.file, bound.name, f"{e.dataset}: {e.detail}", train)
        return False
    return True
