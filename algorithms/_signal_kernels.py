"""Kernels of `signal`: lit and dim pixels of each ASIC of a frame, without what all its pixels have in common.

Counts run along the columns of an ASIC, eight rows per visit; nothing branches on a pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ROWS = 8
SAMPLE = 64
"""Pixels of an ASIC of which the middle is a first guess at what all have in common."""
UNUSUAL = 3.0
"""Standard deviations from which on the pixels of an ASIC are looked at a second time."""
WIDE = 0.2
"""Share of pixels farther than the threshold from the middle: photons are spread that widely, noise is not."""
NOTHING = -128
STEP = 4.0
"""Codes per square root of a pixel; their standard deviation by chance is `STEP` / sqrt(2)."""


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
    columns = np.empty(3 * np.max(np.diff(fs)), np.int32)
    sample = np.empty(SAMPLE)
    for frame in range(len(frames)):
        asic = 0
        for i in range(len(ss) - 1):
            for j in range(len(fs) - 1):
                x = frames[frame, ss[i] : ss[i + 1], fs[j] : fs[j + 1]]
                a, b, n = _counts(x, limits[0], limits[1], columns)
                if abs(a - b) > UNUSUAL * np.sqrt(a + b) + 1:
                    a, b = _apart(x, a, b, level, sample)
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
def _counts(x, high, low, columns):  # type: ignore[no-untyped-def]
    """Return lit, dim and good pixels; they are counted by column, in 32 bits."""
    rows, width = x.shape
    columns[:] = 0
    row = 0
    while row + ROWS <= rows:
        _add_rows(x[row : row + ROWS], high, low, columns, width)
        row += ROWS
    a, b, n = 0, 0, 0
    for p in range(width):
        a += columns[p]
        b += columns[p + width]
        n += columns[p + 2 * width]
    for r in range(row, rows):
        for p in range(width):
            a += np.int64(x[r, p] > high)
            b += np.int64(x[r, p] < low)
            n += np.int64(x[r, p] == x[r, p])
    return a, b, n


@njit(cache=True, nogil=True)
def _add_rows(x, high, low, columns, width):  # type: ignore[no-untyped-def]
    x0, x1, x2, x3, x4, x5, x6, x7 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    for p in range(width):
        columns[p] += (
            ((x0[p] > high) + (x1[p] > high))
            + ((x2[p] > high) + (x3[p] > high))
            + ((x4[p] > high) + (x5[p] > high))
            + ((x6[p] > high) + (x7[p] > high))
        )
        columns[p + width] += (
            ((x0[p] < low) + (x1[p] < low))
            + ((x2[p] < low) + (x3[p] < low))
            + ((x4[p] < low) + (x5[p] < low))
            + ((x6[p] < low) + (x7[p] < low))
        )
        columns[p + 2 * width] += (
            ((x0[p] == x0[p]) + (x1[p] == x1[p]))
            + ((x2[p] == x2[p]) + (x3[p] == x3[p]))
            + ((x4[p] == x4[p]) + (x5[p] == x5[p]))
            + ((x6[p] == x6[p]) + (x7[p] == x7[p]))
        )


@njit(cache=True, nogil=True)
def _apart(x, lit, dim, level, sample):  # type: ignore[no-untyped-def]
    """Return lit and dim pixels after what all pixels have in common is subtracted, unless photons spread them."""
    n = _sampled(x, sample)
    if n == 0:
        return lit, dim
    middle = np.median(sample[:n])
    far = 0
    for i in range(n):
        far += np.int64(abs(sample[i] - middle) > level)
    if far > WIDE * n:
        return lit, dim
    middle = _mean_near(x, middle, level)
    return _counts_from(x, middle + level, middle - level)


@njit(cache=True, nogil=True)
def _sampled(x, sample):  # type: ignore[no-untyped-def]
    """Fill in good pixels from all over the ASIC; return how many."""
    rows, width = x.shape
    size = rows * width
    # An odd number, so that all columns are met.
    step = max(1, size // SAMPLE) | 1
    n = 0
    for at in range(0, size, step):
        value = x[at // width, at % width]
        if value == value and n < SAMPLE:
            sample[n] = value
            n += 1
    return n


@njit(cache=True, nogil=True)
def _mean_near(x, middle, level):  # type: ignore[no-untyped-def]
    total, n = 0.0, 0
    for r in range(x.shape[0]):
        for p in range(x.shape[1]):
            there = abs(x[r, p] - middle) <= level
            total += np.float64(x[r, p]) - middle if there else 0.0
            n += np.int64(there)
    return middle + total / n if n else middle


@njit(cache=True, nogil=True)
def _counts_from(x, high, low):  # type: ignore[no-untyped-def]
    a, b = 0, 0
    for r in range(x.shape[0]):
        for p in range(x.shape[1]):
            a += np.int64(x[r, p] > high)
            b += np.int64(x[r, p] < low)
    return a, b
