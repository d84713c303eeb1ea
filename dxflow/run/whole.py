"""All values of an input, read when planning: of what labels are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reader.faults import ReadFault
from ..reader.files import Files
from ..reader.ways import Extent
from .bound import BoundInput, Stretch
from .extents import extents
from .findings import Faults

TRAINS = 1000
"""That are worked on at once: the bunch pattern of one takes 11 kB, what is made of it several times as much."""


def whole(bound: BoundInput, faults: Faults) -> tuple[NDArray, NDArray]:
    """Return the value of each row of an input of one module, (row, ...), and which there are, (row,).

    What cannot be read is a fault; what an input that is made of others says is lost is noted.
    """
    pieces = [*stretches(bound, faults)]
    values, there = (np.concatenate([piece[i] for piece in pieces]) for i in (2, 3))
    return values, there


def stretches(
    bound: BoundInput, faults: Faults, files: Files | None = None
) -> Iterator[tuple[int, int, NDArray, NDArray]]:
    """Yield the trains from one position to another, the value of each row of these, and which there are.

    `files` stay open; by default those of each stretch are closed after it.
    """
    trains = len(bound.index.train_ids)
    spans = [(first, min(first + TRAINS, trains)) for first in range(0, trains, TRAINS)]
    for first, last in spans or [(0, 0)]:
        yield first, last, *_between(bound, first, last, faults, files)


def _between(
    bound: BoundInput, first: int, last: int, faults: Faults, files: Files | None = None
) -> tuple[NDArray, NDArray]:
    """Return the rows of the trains from one position to another, and which there are."""
    rows = bound.index.rows(first, last)
    if not bound.composed:
        return _read(bound, rows, faults, files)
    parts = [first_of_trains(p, *_between(p, first, last, faults, files), first, last) for p in bound.parts]
    declared: Any = bound.declared
    at = Stretch(bound, rows, first, last, bound.index.train_ids[first:last])
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


def _read(bound: BoundInput, rows: slice, faults: Faults, kept: Files | None) -> tuple[NDArray, NDArray]:
    """Read some rows, those of a stretch that fails one by one; those that cannot be read are faults."""
    files, n = kept or Files(), rows.stop - rows.start
    values, good = np.zeros((n, *bound.location.shape), bound.dtype), np.zeros(n, bool)
    try:
        where = extents(files, bound.location, bound.index, 0, rows)
        for a, b, piece, start in where.overlapping(0, n):
            try:
                piece.read(a - start, b - start, values[a:b])
                good[a:b] = True
            except ReadFault:
                for row in range(a, b):
                    good[row] = _one(
                        bound, rows.start + row, piece, row - start, values[row : row + 1], faults
                    )
    finally:
        if kept is None:
            files.close()
    return values, good


def _one(bound: BoundInput, row: int, piece: Extent, at: int, out: NDArray, faults: Faults) -> bool:
    """Read one row; return whether that could be."""
    try:
        piece.read(at, at + 1, out)
    except ReadFault as e:
        train = bound.index.train_ids[bound.index.train_positions(slice(row, row + 1))]
        faults.add(e.cause, e.file, bound.name, f"{e.dataset}: {e.detail}", train)
        return False
    return True
