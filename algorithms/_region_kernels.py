"""Kernels that go once over the pixels of a region of a frame: sums along both axes and in bins, the highest, counts.

The sum of a row is taken in strands, one per `LANES` pixels, an order that vector instructions follow without being
allowed to choose one (no fastmath): the bits do not depend on the processor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 8


@njit(cache=True, nogil=True)
def sweep(x, bad, noise, low, high, unit, rows, row_pixels, columns, column_pixels):  # type: ignore[no-untyped-def]
    """Add a region to the sums of its rows and columns.

    Parameters
    ----------
    x : ndarray, (ss, fs)
    bad : ndarray of bool, (ss, fs) or (0, 0)
        Pixels that are not used, beside those that are NaN.
    noise : ndarray of float64, (ss, fs) or (0, 0)
        What `low` and `high` are in units of; 1 if there is none. Pixels where it is NaN are not used.
    low, high : float
        Values below the first and above the second count as 0.
    unit : bool
        What is above 0 then counts as 1.
    rows, columns : ndarray of float64, (ss,) and (fs,)
    row_pixels, column_pixels : ndarray of int32
        Pixels that were valid.
    """
    n = x.shape[1]
    values, valid = np.empty(n), np.empty(n, np.bool_)
    for r in range(len(x)):
        _row(x, bad, noise, r, low, high, unit, values, valid)
        count = np.int32(0)
        for p in range(n):
            columns[p] += values[p]
            column_pixels[p] += np.int32(valid[p])
            count += np.int32(valid[p])
        row_pixels[r] += count
        rows[r] += _strands(values)


@njit(cache=True, nogil=True)
def describe(frames, bad, ss, fs, low, high, first, k, total, pixels, highest, com):  # type: ignore[no-untyped-def]
    """Add sum, valid pixels, highest value and first moments of a region to those of each frame.

    Parameters
    ----------
    frames : ndarray, (frame, ss, fs)
    bad, low, high
        As those of `sweep`, of all pixels.
    ss, fs : (int, int)
        First and one past the last row and column.
    first : (int, int)
        Number of the first row and column of the frames.
    k : int
        Which region it is.
    total, highest : ndarray of float64, (frame, region)
    pixels : ndarray of int32, (frame, region)
    com : ndarray of float64, (frame, region, 2)
        Sums of ss and fs times the value.
    """
    m = fs[1] - fs[0]
    columns, moments, tops = np.empty(m), np.empty(m), np.empty(m)
    for frame in range(len(frames)):
        columns[:], moments[:], tops[:] = 0.0, 0.0, -np.inf
        for r in range(ss[0], ss[1]):
            x, at = frames[frame, r, fs[0] : fs[1]], np.float64(r + first[0])
            if len(bad):
                out = bad[r, fs[0] : fs[1]]
                pixels[frame, k] += _add_some(x, out, low, high, at, columns, moments, tops)
            else:
                pixels[frame, k] += _add_all(x, low, high, at, columns, moments, tops)
        for c in range(m):
            total[frame, k] += columns[c]
            highest[frame, k] = max(highest[frame, k], tops[c])
            com[frame, k, 0] += moments[c]
            com[frame, k, 1] += columns[c] * (c + fs[0] + first[1])


@njit(cache=True, nogil=True)
def _add_all(x, low, high, at, columns, moments, tops):  # type: ignore[no-untyped-def]
    """Add a row to sums, first moments and highest values of columns; return how many pixels are valid."""
    valid = np.int32(0)
    for p in range(len(columns)):
        v = np.float64(x[p])
        there = v == v
        v = v if (v >= low) & (v <= high) else 0.0
        columns[p] += v
        moments[p] += at * v
        tops[p] = max(tops[p], v if there else -np.inf)
        valid += np.int32(there)
    return valid


@njit(cache=True, nogil=True)
def _add_some(x, bad, low, high, at, columns, moments, tops):  # type: ignore[no-untyped-def]
    """Add a row without its bad pixels."""
    valid = np.int32(0)
    for p in range(len(columns)):
        v = np.float64(x[p])
        there = (v == v) & (not bad[p])
        v = v if there & (v >= low) & (v <= high) else 0.0
        columns[p] += v
        moments[p] += at * v
        tops[p] = max(tops[p], v if there else -np.inf)
        valid += np.int32(there)
    return valid


@njit(cache=True, nogil=True)
def project(frames, bad, noise, ss, fs, low, high, unit, rows, row_pixels, columns, column_pixels):  # type: ignore[no-untyped-def]
    """Add the rows and columns of a region to those of each frame.

    Parameters
    ----------
    frames, bad, ss, fs
        As those of `describe`.
    noise, low, high, unit
        As those of `sweep`, of all pixels.
    rows, columns : ndarray of float64, (frame, ss) and (frame, fs)
    row_pixels, column_pixels : ndarray of int32
    """
    left_out, scale = bad[ss[0] : ss[1], fs[0] : fs[1]], noise[ss[0] : ss[1], fs[0] : fs[1]]
    for n in range(len(frames)):
        x = frames[n, ss[0] : ss[1], fs[0] : fs[1]]
        sweep(x, left_out, scale, low, high, unit, rows[n], row_pixels[n], columns[n], column_pixels[n])


@njit(cache=True, nogil=True)
def rebin(frames, bad, noise, ss, fs, low, high, unit, rows, columns, k, images, pixels):  # type: ignore[no-untyped-def]
    """Add a region to the bins of a smaller image of each frame; other parameters as those of `project`.

    Parameters
    ----------
    rows, columns : ndarray of int64, (ss,) and (fs,)
        Row and column of the image that pixels of the region belong to, rising.
    k : int
        Which module it is.
    images : ndarray of float64, (frame, module, row, column)
    pixels : ndarray of int32, same shape
    """
    left_out, scale = bad[ss[0] : ss[1], fs[0] : fs[1]], noise[ss[0] : ss[1], fs[0] : fs[1]]
    n = len(columns)
    values, valid = np.empty(n), np.empty(n, np.bool_)
    sums, counts = np.zeros(n), np.zeros(n, np.int32)
    for frame in range(len(frames)):
        x = frames[frame, ss[0] : ss[1], fs[0] : fs[1]]
        for r in range(len(rows)):
            _row(x, left_out, scale, r, low, high, unit, values, valid)
            for p in range(n):
                sums[p] += values[p]
                counts[p] += np.int32(valid[p])
            if r + 1 == len(rows) or rows[r + 1] != rows[r]:
                for p in range(n):
                    images[frame, k, rows[r], columns[p]] += sums[p]
                    pixels[frame, k, rows[r], columns[p]] += counts[p]
                sums[:], counts[:] = 0.0, 0


@njit(cache=True, nogil=True)
def _row(x, bad, noise, r, low, high, unit, values, valid):  # type: ignore[no-untyped-def]
    """Write what the pixels of a row count, 0 of those that are not valid, and which are."""
    for p in range(len(values)):
        v = np.float64(x[r, p])
        values[p], valid[p] = v, v == v
    if len(bad):
        for p in range(len(values)):
            valid[p] &= not bad[r, p]
    if len(noise):
        for p in range(len(values)):
            scale = noise[r, p]
            valid[p] &= scale == scale
            values[p] = values[p] if low * scale <= values[p] <= high * scale else 0.0
    elif low > -np.inf or high < np.inf:
        for p in range(len(values)):
            values[p] = values[p] if low <= values[p] <= high else 0.0
    for p in range(len(values)):
        v = values[p] if valid[p] else 0.0
        values[p] = np.float64(v > 0) if unit else v


@njit(cache=True, nogil=True)
def _strands(values):  # type: ignore[no-untyped-def]
    """Return a sum."""
    lanes, p = np.zeros(LANES), 0
    while p + LANES <= len(values):
        for k in range(LANES):
            lanes[k] += values[p + k]
        p += LANES
    total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))
    while p < len(values):
        total += values[p]
        p += 1
    return total


@njit(cache=True, nogil=True)
def above(frames, bad, ss, fs, level, k, count):  # type: ignore[no-untyped-def]
    """Add the pixels of a region that are at a level or above to those of each frame; parameters as of `describe`.

    Parameters
    ----------
    level : float
    count : ndarray of int32, (frame, region)
    """
    for frame in range(len(frames)):
        for r in range(ss[0], ss[1]):
            n = np.int32(0)
            for p in range(fs[0], fs[1]):
                high = frames[frame, r, p] >= level
                n += np.int32(high and not (len(bad) and bad[r, p]))
            count[frame, k] += n
