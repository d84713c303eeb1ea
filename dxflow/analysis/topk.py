"""The k best rows of each bin, found in one sweep over the rows."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NOTHING = -1
LAST = np.iinfo(np.int64).max
SIGN = np.uint64(2**63)


def best(bins: NDArray, keys: NDArray, k: int, number: int) -> tuple[NDArray, NDArray]:
    """Return the rows with the smallest keys of each bin, best first, and how many rows each bin has.

    Parameters
    ----------
    bins : ndarray of int64, (row,)
        -1 of rows in none.
    keys : ndarray of uint64, (row,)
        See `sortable`. Of equal keys the earlier row is better.
    k : int
        Most rows of a bin.
    number : int
        Of bins.

    Returns
    -------
    rows : ndarray of int64, (bin, k)
        -1 where a bin has fewer.
    count : ndarray of int64, (bin,)
    """
    count = np.bincount(bins[bins >= 0], minlength=number)
    width = min(k, int(count.max(initial=0)))
    kept, rows = np.full((number, width), ~np.uint64(0)), np.full((number, width), LAST)
    if width:
        _sweep(bins, keys, kept, rows, np.zeros(number, np.int64))
    order = np.lexsort((rows, kept))
    found = np.full((number, k), NOTHING)
    found[:, :width] = np.take_along_axis(rows, order, axis=1)
    found[found == LAST] = NOTHING
    return found, count


def sortable(values: NDArray) -> NDArray:
    """Return unsigned integers in the same order as numbers, equal where these are; of floats without NaN.

    ``~sortable(values)`` are in the opposite order.
    """
    if values.dtype.kind in "bu":
        return values.astype(np.uint64)
    if values.dtype.kind == "i":
        return values.astype(np.int64).view(np.uint64) ^ SIGN
    # The bits of floats are in order, backwards of negative ones; there is one zero.
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


@njit(cache=True, nogil=True)
def _sweep(bins: NDArray, keys: NDArray, kept: NDArray, rows: NDArray, filled: NDArray) -> None:
    """Keep the best rows of each bin in heaps, the worst of them on top; later rows are worse than equal ones."""
    width = kept.shape[1]
    for row in range(len(bins)):
        b = bins[row]
        if b < 0:
            continue
        if filled[b] < width:
            _rise(kept[b], rows[b], filled[b], keys[row], row)
            filled[b] += 1
        elif keys[row] < kept[b, 0]:
            _sink(kept[b], rows[b], keys[row], row)


@njit(cache=True, nogil=True)
def _rise(kept: NDArray, rows: NDArray, at: int, key: int, row: int) -> None:
    """Add a row to a heap that is not full, behind its last one."""
    while at:
        above = (at - 1) // 2
        if kept[above] > key or (kept[above] == key and rows[above] > row):
            break
        kept[at], rows[at], at = kept[above], rows[above], above
    kept[at], rows[at] = key, row


@njit(cache=True, nogil=True)
def _sink(kept: NDArray, rows: NDArray, key: int, row: int) -> None:
    """Put a row in the place of the worst of a full heap."""
    at, width = 0, len(kept)
    while 2 * at + 1 < width:
        below = 2 * at + 1
        other = below + 1
        if other < width and (
            kept[other] > kept[below] or (kept[other] == kept[below] and rows[other] > rows[below])
        ):
            below = other
        if key > kept[below] or (key == kept[below] and row > rows[below]):
            break
        kept[at], rows[at], at = kept[below], rows[below], below
    kept[at], rows[at] = key, row
