"""Kernels of common mode: what the dark pixels of a region have in common, exact median or mean."""

from __future__ import annotations

import numpy as np
from numba import njit

BINS = 512
"""Of the histogram by which a median is found."""
NONE = BINS
"""The bin of pixels that are not dark."""
THIN = 8
"""Pixels of a row from which on it is worked on as a whole, several values at a time."""
SORTED = 256
"""Values up to which it is found without one."""


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
    lacking, held, kept, bins = (
        0,
        np.empty(most, np.float32),
        np.empty(most, np.uint8),
        np.empty(most, np.int32),
    )
    for r in range(len(regions)):
        a, b, c, d = regions[r]
        size = (b - a) * (d - c)
        _gather(held, kept, values, stages, a, b, c, d)
        _bins(held[:size], kept[:size], limit, bins[:size])
        n = _dark(bins[:size])
        if n == 0 or n < least * size:
            lacking += 1
            continue
        shift = _median(held[:size], bins[:size], n) if median else _mean(held[:size], bins[:size], n)
        _shift(values, stages, a, b, c, d, shift)
    return lacking


@njit(cache=True, nogil=True)
def _largest(regions):  # type: ignore[no-untyped-def]
    most = 0
    for r in range(len(regions)):
        most = max(most, (regions[r, 1] - regions[r, 0]) * (regions[r, 3] - regions[r, 2]))
    return most


@njit(cache=True, nogil=True)
def _bins(values, stages, limit, bins):  # type: ignore[no-untyped-def]
    """Write the bin of a histogram that each dark pixel falls into; `NONE` for others. NaN is not dark."""
    # Of a module without noise no pixel is dark.
    scale = np.float32(BINS - 1) / (np.float32(2) * limit) if limit > 0 else np.float32(0)
    for p in range(len(values)):
        v = values[p]
        dark = (abs(v) <= limit) & (stages[p] == 0) & (limit > 0)
        bins[p] = np.int32((v + limit) * scale) if dark else np.int32(NONE)


@njit(cache=True, nogil=True)
def _gather(held, kept, values, stages, a, b, c, d):  # type: ignore[no-untyped-def]
    """Copy the pixels of a region one behind the other."""
    n = d - c
    for i in range(a, b):
        place = (i - a) * n
        if n < THIN:
            for j in range(n):
                held[place + j], kept[place + j] = values[i, c + j], stages[i, c + j]
        else:
            _copy(held[place : place + n], values[i, c:d])
            _copy(kept[place : place + n], stages[i, c:d])


@njit(cache=True, nogil=True)
def _copy(into, values):  # type: ignore[no-untyped-def]
    for p in range(len(into)):
        into[p] = values[p]


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
def _dark(bins):  # type: ignore[no-untyped-def]
    n = np.int32(0)
    for p in range(len(bins)):
        n += np.int32(bins[p] != NONE)
    return n


@njit(cache=True, nogil=True)
def _mean(values, bins, n):  # type: ignore[no-untyped-def]
    """Return the mean, by sums of every eighth value: in an order that does not depend on the processor."""
    sums, p = np.zeros(8), 0
    while p + 8 <= len(values):
        for k in range(8):
            sums[k] += np.float64(values[p + k]) if bins[p + k] != NONE else 0.0
        p += 8
    for q in range(p, len(values)):
        sums[0] += np.float64(values[q]) if bins[q] != NONE else 0.0
    total = 0.0
    for k in range(8):
        total += sums[k]
    return np.float32(total / n)


@njit(cache=True, nogil=True)
def _median(values, bins, n):  # type: ignore[no-untyped-def]
    """Return the exact median: of few by selection, of many by that among those in its bin of a histogram."""
    first, second, m = (n - 1) // 2, n // 2, 0
    few = np.empty(n, np.float32)
    if n <= SORTED:
        for p in range(len(values)):
            if bins[p] != NONE:
                few[m] = values[p]
                m += 1
        return _middle(few, first, second)
    # Two, so that neighbours of the same bin do not wait for each other.
    numbers, others = np.zeros(BINS + 1, np.int32), np.zeros(BINS + 1, np.int32)
    for p in range(0, len(bins) - 1, 2):
        numbers[bins[p]] += 1
        others[bins[p + 1]] += 1
    if len(bins) % 2:
        numbers[bins[len(bins) - 1]] += 1
    for p in range(len(numbers)):
        numbers[p] += others[p]
    low, before = 0, 0
    while before + numbers[low] <= first:
        before += numbers[low]
        low += 1
    high, until = low, before + numbers[low]
    while until <= second:
        high += 1
        until += numbers[high]
    for p in range(len(bins)):
        if low <= bins[p] <= high:
            few[m] = values[p]
            m += 1
    return _middle(few[:m], first - before, second - before)


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
