"""Kernels of `twotime`: columns of pixels out of frames; the pixels that have photons, and their pairs of frames."""

from __future__ import annotations

import numpy as np
from numba import njit

STRIDE = 64
"""Pixels that are looked at together: nearly all of a sparse frame are dark."""


@njit(cache=True, nogil=True)
def seen(frames, pixels):  # type: ignore[no-untyped-def]
    """Return which frames have one of these pixels, (frame,) bool: others are as if they were not there."""
    out = np.zeros(len(frames), np.bool_)
    for t in range(len(frames)):
        for p in pixels:
            if np.isfinite(frames[t, p]):
                out[t] = True
                break
    return out


@njit(cache=True, nogil=True)
def columns(frames, rows, pixels, out):  # type: ignore[no-untyped-def]
    """Copy pixels of some frames, 0 where a pixel is not finite in one of them; return how many are.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    rows, pixels : ndarray of int, (n,), (k,)
    out : ndarray of float, (n, k)
    """
    n, k = out.shape
    total = np.zeros(k, out.dtype)
    for t in range(n):
        row, target = frames[rows[t]], out[t]
        for j in range(k):
            target[j] = row[pixels[j]]
        for j in range(k):
            total[j] += target[j]
    good = k
    for j in range(k):
        if not np.isfinite(total[j]):
            good -= 1
            out[:, j] = 0
    return good


@njit(cache=True, nogil=True)
def add_sums(tile, at, sums):  # type: ignore[no-untyped-def]
    """Add the sum of each row of a tile, in float64: `STRIDE` columns of sums that do not wait for each other.

    Parameters
    ----------
    tile : ndarray of float, (n, k)
    at : ndarray of int, (n,)
        Where each is added.
    sums : ndarray of float64, (t,)
    """
    n, k = tile.shape
    columns = np.empty(STRIDE)
    for t in range(n):
        row = tile[t]
        columns[:] = 0.0
        whole = k - k % STRIDE
        for first in range(0, whole, STRIDE):
            for j in range(STRIDE):
                columns[j] += np.float64(row[first + j])
        for j in range(whole, k):
            columns[j - whole] += np.float64(row[j])
        total = 0.0
        for j in range(STRIDE):
            total += columns[j]
        sums[at[t]] += total


@njit(cache=True, nogil=True)
def photons(frames, bits, rows, rank, limit, entries, values, bad):  # type: ignore[no-untyped-def]
    """List the pixels of regions that are not 0, frame by frame; return how many, -1 if more than a limit.

    Parameters
    ----------
    frames, bits : ndarray, (frame, pixel)
        Numbers, and the same memory as unsigned integers.
    rows : ndarray of int, (n,)
        Frames that are looked at.
    rank : ndarray of int32, (pixel,)
        Where a pixel is in the list of pixels of regions; -1 of those of none.
    limit : int
    entries : ndarray of int32, (limit, 2)
        Rank, and position in `rows`.
    values : ndarray of float64, (limit,)
    bad : ndarray of bool, (rank,)
        Set of pixels that are not finite.
    """
    count, width = 0, frames.shape[1]
    for t in range(len(rows)):
        row, raw = frames[rows[t]], bits[rows[t]]
        for first in range(0, width, STRIDE):
            last = min(first + STRIDE, width)
            any_bit = raw[first]
            if last - first == STRIDE:
                for p in range(STRIDE):
                    any_bit |= raw[first + p]
            else:
                for p in range(first, last):
                    any_bit |= raw[p]
            if any_bit == 0:
                continue
            for p in range(first, last):
                if raw[p] == 0 or rank[p] < 0:
                    continue
                if not np.isfinite(row[p]):
                    bad[rank[p]] = True
                elif row[p] != 0:
                    if count == limit:
                        return -1
                    entries[count, 0], entries[count, 1], values[count] = rank[p], t, row[p]
                    count += 1
    return count


@njit(cache=True, nogil=True)
def by_pixel(entries, values, bad, starts, frames, sorted_values):  # type: ignore[no-untyped-def]
    """Sort entries by pixel, without those of bad pixels.

    Parameters
    ----------
    entries, values : as of `photons`
    bad : ndarray of bool, (rank,)
    starts : ndarray of int64, (rank + 1,)
        Filled: where the entries of each pixel begin.
    frames, sorted_values : ndarray of int32 and float64, (entry,)
        Filled.
    """
    starts[:] = 0
    for e in range(len(entries)):
        if not bad[entries[e, 0]]:
            starts[entries[e, 0] + 1] += 1
    for r in range(len(bad)):
        starts[r + 1] += starts[r]
    for e in range(len(entries)):
        r = entries[e, 0]
        if not bad[r]:
            frames[starts[r]], sorted_values[starts[r]] = entries[e, 1], values[e]
            starts[r] += 1
    for r in range(len(bad), 0, -1):
        starts[r] = starts[r - 1]
    starts[0] = 0


@njit(cache=True, nogil=True)
def pairs(first, last, starts, frames, values, at, scratch, sums, products):  # type: ignore[no-untyped-def]
    """Add the products of all pairs of frames of some pixels: each entry once, by what the pixels come to.

    Parameters
    ----------
    first, last : int
        Ranks of the pixels of a region, ``first:last``.
    starts, frames, values
        As of `by_pixel`.
    at : ndarray of int, (frame,)
        Where each frame is in `sums` and `products`.
    scratch : ndarray of float64, (n, n)
        0 before and after.
    sums : ndarray of float64, (t,)
    products : ndarray of float64, (t, t)
    """
    for r in range(first, last):
        for a in range(starts[r], starts[r + 1]):
            sums[at[frames[a]]] += values[a]
            for b in range(starts[r], starts[r + 1]):
                scratch[frames[a], frames[b]] += values[a] * values[b]
    for r in range(first, last):
        for a in range(starts[r], starts[r + 1]):
            for b in range(starts[r], starts[r + 1]):
                products[at[frames[a]], at[frames[b]]] += scratch[frames[a], frames[b]]
                scratch[frames[a], frames[b]] = 0.0
