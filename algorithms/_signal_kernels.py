"""Kernels of `signal`: lit and dim pixels of each ASIC of a frame, without what all its pixels have in common.

Counts run along the columns of an ASIC, eight rows per visit; nothing branches on a pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._signal_statistics import STEP

ROWS = 8
SAMPLE = 32
"""Pixels of an ASIC of which the middle is a first guess at what all have in common."""
UNUSUAL = 3.0
"""Standard deviations from which on the pixels of an ASIC are looked at a second time."""
FEW = 0.3
"""Share of lit and dim pixels up to which what all have in common is less than the threshold."""
WIDE = 0.2
"""Share of pixels farther than the threshold from the middle: photons are spread that widely, noise is not."""
COUNT = np.float32(4096)
"""A lit pixel adds 1 to a column, a dim one this: no column has so many rows."""


@njit(cache=True, nogil=True)
def count_asics(frames, ss, fs, limits, level, code, dim, good):  # type: ignore[no-untyped-def]
    """Find how many more pixels of each ASIC are lit than dim, as far as their noise is not common to all.

    Parameters
    ----------
    frames : ndarray, (frame, ss, fs)
    ss, fs : ndarray of int64
        Where ASICs begin, and the end.
    limits : (scalar, scalar)
        Lit above the first, dim below the second, of a type that compares with the pixels without a conversion.
    level : float
        The same threshold, as a number.
    code : ndarray of int8, (frame, asic)
        ``STEP * (sqrt(lit + 3/8) - sqrt(dim + 3/8))``, at most 127; `NOTHING` where no pixel is good.
    dim : ndarray of int32, (asic,)
        Dim pixels are added.
    good : ndarray of int32, (asic,)
        Good pixels, of the frame with most.
    """
    rows, width = frames.shape[1:]
    columns, sample, sums = (
        np.empty(3 * width, np.int32),
        np.empty(SAMPLE, np.float32),
        np.empty(width, np.float32),
    )
    for frame in range(len(frames)):
        x = frames[frame]
        asic = 0
        for i in range(len(ss) - 1):
            _count_columns(x[ss[i] : ss[i + 1]], limits[0], limits[1], columns)
            for j in range(len(fs) - 1):
                a, b, n = _of_asic(columns, fs[j], fs[j + 1], width)
                if abs(a - b) > UNUSUAL * np.sqrt(a + b) + 1:
                    a, b = _apart(
                        x[ss[i] : ss[i + 1]], fs[j], fs[j + 1], (a, b), n, np.float32(level), sample, sums
                    )
                dim[asic] += b
                good[asic] = max(good[asic], n)
                if n:
                    code[frame, asic] = _coded(a, b)
                asic += 1


@njit(cache=True, nogil=True)
def _coded(lit, dim):  # type: ignore[no-untyped-def]
    value = np.rint(STEP * (np.sqrt(lit + 0.375) - np.sqrt(dim + 0.375)))
    return np.int8(min(127.0, max(-127.0, value)))


@njit(cache=True, nogil=True)
def _of_asic(columns, first, last, width):  # type: ignore[no-untyped-def]
    a, b, n = 0, 0, 0
    for p in range(first, last):
        a += columns[p]
        b += columns[p + width]
        n += columns[p + 2 * width]
    return a, b, n


@njit(cache=True, nogil=True)
def _count_columns(x, high, low, columns):  # type: ignore[no-untyped-def]
    """Count lit, dim and good pixels by column, in 32 bits."""
    rows, width = x.shape
    columns[:] = 0
    row = 0
    while row + ROWS <= rows:
        _add_rows(x[row : row + ROWS].reshape(-1), high, low, columns, width)
        row += ROWS
    for r in range(row, rows):
        for p in range(width):
            columns[p] += np.int32(x[r, p] > high)
            columns[p + width] += np.int32(x[r, p] < low)
            columns[p + 2 * width] += np.int32(x[r, p] == x[r, p])


@njit(cache=True, nogil=True)
def _add_rows(x, high, low, columns, width):  # type: ignore[no-untyped-def]
    for p in range(width):
        x0, x1, x2, x3 = x[p], x[p + width], x[p + 2 * width], x[p + 3 * width]
        x4, x5, x6, x7 = x[p + 4 * width], x[p + 5 * width], x[p + 6 * width], x[p + 7 * width]
        columns[p] += (
            ((x0 > high) + (x1 > high))
            + ((x2 > high) + (x3 > high))
            + ((x4 > high) + (x5 > high))
            + ((x6 > high) + (x7 > high))
        )
        columns[p + width] += (
            ((x0 < low) + (x1 < low))
            + ((x2 < low) + (x3 < low))
            + ((x4 < low) + (x5 < low))
            + ((x6 < low) + (x7 < low))
        )
        columns[p + 2 * width] += (
            ((x0 == x0) + (x1 == x1))
            + ((x2 == x2) + (x3 == x3))
            + ((x4 == x4) + (x5 == x5))
            + ((x6 == x6) + (x7 == x7))
        )


@njit(cache=True, nogil=True)
def _apart(x, first, last, counts, n, level, sample, sums):  # type: ignore[no-untyped-def]
    """Return lit and dim pixels after what all pixels have in common is subtracted, unless photons spread them."""
    middle, times = np.float32(0), 2
    if counts[0] + counts[1] > FEW * n:
        k = _sampled(x, first, last, sample)
        middle, times = _middle(sample, k), 1
        far = 0
        for i in range(k):
            far += np.int64(abs(sample[i] - middle) > level)
        if far > WIDE * k:
            return counts
    for _ in range(times):
        middle = _mean_near(x, first, last, middle, level, sums)
    return _counts_from(x, first, last, middle + level, middle - level, sums)


@njit(cache=True, nogil=True)
def _sampled(x, first, last, sample):  # type: ignore[no-untyped-def]
    """Fill in good pixels from all over the ASIC; return how many."""
    width = last - first
    size = len(x) * width
    # An odd number, so that all columns are met.
    step = max(1, size // SAMPLE) | 1
    n = 0
    for at in range(0, size, step):
        value = x[at // width, first + at % width]
        if value == value and n < SAMPLE:
            sample[n] = value
            n += 1
    return n


@njit(cache=True, nogil=True)
def _middle(sample, n):  # type: ignore[no-untyped-def]
    """Return the median; the sample is put in order."""
    for i in range(1, n):
        value, j = sample[i], i
        while j and sample[j - 1] > value:
            sample[j] = sample[j - 1]
            j -= 1
        sample[j] = value
    return np.float32(0.5) * (sample[n // 2] + sample[(n - 1) // 2])


@njit(cache=True, nogil=True)
def _mean_near(x, first, last, middle, level, sums):  # type: ignore[no-untyped-def]
    """Return the mean of the pixels that are at most a threshold away."""
    sums[:] = 0
    n = 0
    for r in range(len(x)):
        n += _add_near(x[r, first:last], middle, level, sums)
    total = np.float32(0)
    for p in range(last - first):
        total += sums[p]
    return middle + total / np.float32(n) if n else middle


@njit(cache=True, nogil=True)
def _add_near(row, middle, level, sums):  # type: ignore[no-untyped-def]
    n = np.int32(0)
    for p in range(len(row)):
        away = np.float32(row[p]) - middle
        there = abs(away) <= level
        sums[p] += away if there else np.float32(0)
        n += np.int32(there)
    return n


@njit(cache=True, nogil=True)
def _counts_from(x, first, last, high, low, sums):  # type: ignore[no-untyped-def]
    """Return lit and dim pixels; what is counted is whole, also as a float."""
    sums[:] = 0
    for r in range(len(x)):
        _add_counts(x[r, first:last], high, low, sums)
    a, b = 0, 0
    for p in range(last - first):
        both = np.int64(sums[p])
        dims = both // np.int64(COUNT)
        a += both - np.int64(COUNT) * dims
        b += dims
    return a, b


@njit(cache=True, nogil=True)
def _add_counts(row, high, low, sums):  # type: ignore[no-untyped-def]
    for p in range(len(row)):
        value = np.float32(row[p])
        sums[p] += (np.float32(1) if value > high else np.float32(0)) + (
            COUNT if value < low else np.float32(0)
        )
