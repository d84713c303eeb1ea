"""Kernel that adds frames up pixel by pixel: values, squares, the highest, and those in a window."""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 512
"""Pixels that are worked on at a time: what is added to stays in the first-level cache."""


@njit(cache=True, nogil=True)
def add(frames, low, high, count, total, square, highest, kept, hits):  # type: ignore[no-untyped-def]
    """Add frames to the sums of their pixels; NaN is skipped.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    low, high : float
        What is not below the first or above the second adds to `kept` and `hits`, unless these are empty.
    count, hits : ndarray of int32, (pixel,)
    total, square, highest, kept : ndarray of float64, (pixel,)
    """
    n, pixels = frames.shape
    for first in range(0, pixels, TILE):
        last = min(first + TILE, pixels)
        for frame in range(n):
            _all(
                frames[frame, first:last],
                count[first:last],
                total[first:last],
                square[first:last],
                highest[first:last],
            )
            if len(hits):
                _some(frames[frame, first:last], low, high, kept[first:last], hits[first:last])


@njit(cache=True, nogil=True)
def _all(x, count, total, square, highest):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        there = x[p] == x[p]
        v = np.float64(x[p]) if there else 0.0
        count[p] += np.int32(there)
        total[p] += v
        square[p] += v * v
        highest[p] = max(highest[p], v if there else -np.inf)


@njit(cache=True, nogil=True)
def _some(x, low, high, kept, hits):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        v = np.float64(x[p])
        inside = (v >= low) & (v <= high)
        kept[p] += v if inside else 0.0
        hits[p] += np.int32(inside)
