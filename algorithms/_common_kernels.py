"""Kernels of common mode: what the dark pixels of a region have in common, exact median or mean."""

from __future__ import annotations

import numpy as np
from numba import njit

THIN = 8
"""Pixels of a row from which on it is worked on as a whole, several values at a time."""
FEW = 8
"""Values between two bounds from which on these are moved towards each other."""
STEPS = 24
"""How often at most: many values that are the same are left."""


@njit(cache=True, nogil=True)
def common_mode(values, stages, regions, limit, least, median):  # type: ignore[no-untyped-def]
    """Take the common mode off the pixels of a frame in high gain, region by region; return how many have none.

    Parameters
    ----------
    values : ndarray of float32, (ss, fs)
        ADU above the offset; changed.
    stages : ndarray of uint8, (ss, fs)
    regions : ndarray of int64, (region, 4)
        First and last row and column, the last ones not included.
    limit : float32
        Pixels are dark that are so far from 0 at most, ADU.
    least : float
        Share of the pixels of a region that must be dark.
    median : bool
        Rather than the mean.
    """
    most = _largest(regions)
    lacking, held, few = 0, np.empty(most, np.float32), np.empty(most, np.float32)
    for r in range(len(regions)):
        a, b, c, d = regions[r]
        size = (b - a) * (d - c)
        n = _gather(held, values, stages, a, b, c, d, limit)
        # Of a module without noise no pixel is dark.
        if n == 0 or n < least * size or not limit > 0:
            lacking += 1
            continue
        shift = _median(held[:size], few, n, limit) if median else _mean(held[:size], n)
        _shift(values, stages, a, b, c, d, shift)
    return lacking


@njit(cache=True, nogil=True)
def _largest(regions):  # type: ignore[no-untyped-def]
    most = 0
    for r in range(len(regions)):
        most = max(most, (regions[r, 1] - regions[r, 0]) * (regions[r, 3] - regions[r, 2]))
    return most


@njit(cache=True, nogil=True)
def _gather(held, values, stages, a, b, c, d, limit):  # type: ignore[no-untyped-def]
    """Copy the pixels of a region one behind the other, infinite where they are not dark; return how many are."""
    n, width = np.int32(0), d - c
    for i in range(a, b):
        place = (i - a) * width
        if width < THIN:
            for j in range(width):
                v = values[i, c + j]
                dark = (abs(v) <= limit) & (stages[i, c + j] == 0)
                held[place + j] = v if dark else np.float32(np.inf)
                n += np.int32(dark)
        else:
            n += _dark(held[place : place + width], values[i, c:d], stages[i, c:d], limit)
    return n


@njit(cache=True, nogil=True)
def _dark(held, values, stages, limit):  # type: ignore[no-untyped-def]
    """Copy dark pixels, and return how many there are; NaN is not dark."""
    n = np.int32(0)
    for p in range(len(held)):
        v = values[p]
        dark = (abs(v) <= limit) & (stages[p] == 0)
        held[p] = v if dark else np.float32(np.inf)
        n += np.int32(dark)
    return n


@njit(cache=True, nogil=True)
def _shift(values, stages, a, b, c, d, shift):  # type: ignore[no-untyped-def]
    for i in range(a, b):
        if d - c < THIN:
            for j in range(c, d):
                values[i, j] -= shift if stages[i, j] == 0 else np.float32(0)
        else:
            _less(values[i, c:d], stages[i, c:d], shift)


@njit(cache=True, nogil=True)
def _less(values, stages, shift):  # type: ignore[no-untyped-def]
    for p in range(len(values)):
        values[p] -= shift if stages[p] == 0 else np.float32(0)


@njit(cache=True, nogil=True)
def _mean(values, n):  # type: ignore[no-untyped-def]
    """Return the mean, by sums of every eighth value: in an order that does not depend on the processor."""
    sums, p = np.zeros(8), 0
    while p + 8 <= len(values):
        for k in range(8):
            v = values[p + k]
            sums[k] += np.float64(v if v < np.inf else np.float32(0))
        p += 8
    for q in range(p, len(values)):
        v = values[q]
        sums[0] += np.float64(v if v < np.inf else np.float32(0))
    total = 0.0
    for k in range(8):
        total += sums[k]
    return np.float32(total / n)


@njit(cache=True, nogil=True)
def _median(values, few, n, limit):  # type: ignore[no-untyped-def]
    """Return the exact median: bounds move towards it by counting what is below, the rest is put in order.

    Parameters
    ----------
    values : ndarray of float32, (pixel,)
        From -limit to limit, or infinite.
    few : ndarray of float32, (pixel,)
        Scratch.
    n : int
        Values that are not infinite.
    limit : float32
    """
    first, second = (n - 1) // 2, n // 2
    low, high, below, until = np.float32(-2) * limit, limit, np.int32(0), np.int32(n)
    for _ in range(STEPS):
        if until - below <= FEW:
            break
        middle = (low + high) * np.float32(0.5)
        count = _below(values, middle)
        if count > second:
            high, until = middle, count
        elif count <= first:
            low, below = middle, count
        else:
            break
    m = 0
    for p in range(len(values)):
        # Always written, and kept where the place moves on: there is nothing to foretell.
        v = values[p]
        few[m] = v
        m += int((v > low) & (v <= high))
    return _middle(few[:m], first - below, second - below)


@njit(cache=True, nogil=True)
def _below(values, bound):  # type: ignore[no-untyped-def]
    n = np.int32(0)
    for p in range(len(values)):
        n += np.int32(values[p] <= bound)
    return n


@njit(cache=True, nogil=True)
def _middle(values, first, second):  # type: ignore[no-untyped-def]
    """Return the mean of the values at two neighbouring places of their order; they are left in another one."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[first], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < first:
            low = i
        if first < i:
            high = j
    other = values[first]
    if second > first:
        other = values[second]
        for v in values[second:]:
            other = min(other, v)
    return (values[first] + other) * np.float32(0.5)
