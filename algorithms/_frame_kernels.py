"""Kernels that reduce each frame to a few numbers: sums and counts of its pixels.

Sums run along `TILE` columns, eight pixels per visit, and the columns are added at the end: an order that vector
instructions can follow without being allowed to choose one (no fastmath), so the bits do not depend on the
processor. Nothing branches on a pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 256
ROWS = 8


@njit(cache=True, nogil=True)
def count_lit(frames, threshold, negative, lit, dim, valid, total):  # type: ignore[no-untyped-def]
    """Add to each frame's numbers: pixels > threshold, pixels < negative, valid pixels, sum of valid pixels.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    threshold, negative : scalar
        Of a type that compares with the pixels without a conversion.
    lit, dim, valid : ndarray of int32, (frame,)
    total : ndarray of float64, (frame,)
    """
    n, pixels = frames.shape
    sums, counts = np.empty(TILE), np.empty(3 * TILE, np.int32)
    for frame in range(n):
        x = frames[frame]
        sums[:] = 0.0
        counts[:] = 0
        at = 0
        while at + ROWS * TILE <= pixels:
            _add_rows(x[at : at + ROWS * TILE], threshold, negative, sums, counts)
            at += ROWS * TILE
        a, b, c = _counts(x[at:], threshold, negative)
        for p in range(TILE):
            a += counts[p]
            b += counts[p + TILE]
            c += counts[p + 2 * TILE]
        lit[frame] += a
        dim[frame] += b
        valid[frame] += c
        total[frame] += _in_order(sums) + _in_order(x[at:])


@njit(cache=True, nogil=True)
def count_lit_each(frames, thresholds, negatives, lit, dim, valid, total):  # type: ignore[no-untyped-def]
    """Add to each frame's numbers what `count_lit` adds, for several thresholds in one sweep, to the same bits.

    Of some rows that no pixel of which is above a threshold, higher ones are not looked at.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    thresholds, negatives : ndarray, (threshold,)
        Rising thresholds, and falling ones for dim pixels.
    lit, dim : ndarray of int32, (threshold, frame)
    valid : ndarray of int32, (frame,)
    total : ndarray of float64, (frame,)
    """
    n, pixels = frames.shape
    sums, counts = np.empty(TILE), np.empty(3 * TILE, np.int32)
    for frame in range(n):
        x = frames[frame]
        sums[:] = 0.0
        at = 0
        while at + ROWS * TILE <= pixels:
            rows = x[at : at + ROWS * TILE]
            counts[:] = 0
            _add_rows(rows, thresholds[0], negatives[0], sums, counts)
            above, below = _total(counts[:TILE]), _total(counts[TILE : 2 * TILE])
            valid[frame] += _total(counts[2 * TILE :])
            for k in range(len(thresholds)):
                if above and k:
                    above = _above(rows, thresholds[k], counts)
                if below and k:
                    below = _below(rows, negatives[k], counts)
                if not above and not below:
                    break
                lit[k, frame] += above
                dim[k, frame] += below
            at += ROWS * TILE
        for k in range(len(thresholds)):
            a, b, c = _counts(x[at:], thresholds[k], negatives[k])
            lit[k, frame] += a
            dim[k, frame] += b
            valid[frame] += 0 if k else c
        total[frame] += _in_order(sums) + _in_order(x[at:])


@njit(cache=True, nogil=True)
def _above(x, threshold, counts):  # type: ignore[no-untyped-def]
    for p in range(TILE):
        counts[p] = (
            ((x[p] > threshold) + (x[p + TILE] > threshold))
            + ((x[p + 2 * TILE] > threshold) + (x[p + 3 * TILE] > threshold))
            + ((x[p + 4 * TILE] > threshold) + (x[p + 5 * TILE] > threshold))
            + ((x[p + 6 * TILE] > threshold) + (x[p + 7 * TILE] > threshold))
        )
    return _total(counts[:TILE])


@njit(cache=True, nogil=True)
def _below(x, negative, counts):  # type: ignore[no-untyped-def]
    for p in range(TILE):
        counts[p] = (
            ((x[p] < negative) + (x[p + TILE] < negative))
            + ((x[p + 2 * TILE] < negative) + (x[p + 3 * TILE] < negative))
            + ((x[p + 4 * TILE] < negative) + (x[p + 5 * TILE] < negative))
            + ((x[p + 6 * TILE] < negative) + (x[p + 7 * TILE] < negative))
        )
    return _total(counts[:TILE])


@njit(cache=True, nogil=True)
def _total(counts):  # type: ignore[no-untyped-def]
    total = np.int32(0)
    for p in range(len(counts)):
        total += counts[p]
    return total


@njit(cache=True, nogil=True)
def _add_rows(x, threshold, negative, sums, counts):  # type: ignore[no-untyped-def]
    """Add eight rows to the sums and counts of their columns; counts stay 32 bits wide only in an array."""
    for p in range(TILE):
        x0, x1, x2, x3 = x[p], x[p + TILE], x[p + 2 * TILE], x[p + 3 * TILE]
        x4, x5, x6, x7 = x[p + 4 * TILE], x[p + 5 * TILE], x[p + 6 * TILE], x[p + 7 * TILE]
        counts[p] += (
            ((x0 > threshold) + (x1 > threshold))
            + ((x2 > threshold) + (x3 > threshold))
            + ((x4 > threshold) + (x5 > threshold))
            + ((x6 > threshold) + (x7 > threshold))
        )
        counts[p + TILE] += (
            ((x0 < negative) + (x1 < negative))
            + ((x2 < negative) + (x3 < negative))
            + ((x4 < negative) + (x5 < negative))
            + ((x6 < negative) + (x7 < negative))
        )
        counts[p + 2 * TILE] += (
            ((x0 == x0) + (x1 == x1))
            + ((x2 == x2) + (x3 == x3))
            + ((x4 == x4) + (x5 == x5))
            + ((x6 == x6) + (x7 == x7))
        )
        d0 = np.float64(x0) if x0 == x0 else 0.0
        d1 = np.float64(x1) if x1 == x1 else 0.0
        d2 = np.float64(x2) if x2 == x2 else 0.0
        d3 = np.float64(x3) if x3 == x3 else 0.0
        d4 = np.float64(x4) if x4 == x4 else 0.0
        d5 = np.float64(x5) if x5 == x5 else 0.0
        d6 = np.float64(x6) if x6 == x6 else 0.0
        d7 = np.float64(x7) if x7 == x7 else 0.0
        sums[p] += ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))


@njit(cache=True, nogil=True)
def _counts(x, threshold, negative):  # type: ignore[no-untyped-def]
    lit, dim, valid = 0, 0, 0
    for p in range(len(x)):
        lit += np.int64(x[p] > threshold)
        dim += np.int64(x[p] < negative)
        valid += np.int64(x[p] == x[p])
    return lit, dim, valid


@njit(cache=True, nogil=True)
def _in_order(x):  # type: ignore[no-untyped-def]
    total = 0.0
    for p in range(len(x)):
        total += np.float64(x[p]) if x[p] == x[p] else 0.0
    return total
