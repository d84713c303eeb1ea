"""Kernels of `azint`: pixels of some frames into bins of q, eight frames per visit.

The sums of eight frames lie side by side, so that one table look-up and one cache line serve all of them, and the
eight additions do not wait for each other. Weights of pixels that are valid in all eight frames, nearly all, are
added once for all of them. Sums only ever grow: a bin without valid pixels is exactly 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 512
"""Pixels."""
ROWS = 8
"""Frames per visit."""


@njit(cache=True, nogil=True)
def integrate(frames, bins, weights, numerator, denominator):  # type: ignore[no-untyped-def]
    """Add pixels and their weights to the bins of each frame; NaN goes to neither.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    bins : ndarray of int32, (pixel,)
        Bin of each pixel; one past the last for pixels of no bin.
    weights : ndarray of float32, (pixel,)
    numerator, denominator : ndarray of float64, (frame, bin)
    """
    n, nbins = numerator.shape
    sums, common, single = np.empty((nbins + 1) * ROWS), np.empty(nbins + 1), np.empty((nbins + 1) * ROWS)
    first = 0
    while first + ROWS <= n:
        sums[:] = 0.0
        common[:] = 0.0
        single[:] = 0.0
        _eight(frames[first : first + ROWS], bins, weights, sums, common, single)
        for k in range(nbins):
            for row in range(ROWS):
                numerator[first + row, k] += sums[k * ROWS + row]
                denominator[first + row, k] += common[k] + single[k * ROWS + row]
        first += ROWS
    for frame in range(first, n):
        sums[: nbins + 1] = 0.0
        common[:] = 0.0
        _one(frames[frame], bins, weights, sums, common)
        for k in range(nbins):
            numerator[frame, k] += sums[k]
            denominator[frame, k] += common[k]


@njit(cache=True, nogil=True)
def _eight(frames, bins, weights, sums, common, single):  # type: ignore[no-untyped-def]
    """Add eight frames; `sums` and `single` are (bin, frame), flat."""
    pixels = len(bins)
    clean = np.zeros(ROWS * TILE, frames.dtype)
    lost = np.empty(TILE, np.uint8)
    some = np.empty(TILE, np.int64)
    for lo in range(0, pixels, TILE):
        hi = min(lo + TILE, pixels)
        lost[:] = 0
        any_lost = np.uint8(0)
        for row in range(ROWS):
            any_lost |= _clean(frames[row, lo:hi], clean[row * TILE : row * TILE + hi - lo], lost)
        _scatter(clean, lost, bins[lo:hi], weights[lo:hi], sums, common)
        if any_lost:
            n = 0
            for p in range(hi - lo):
                some[n] = p
                n += np.int64((lost[p] > 0) & (lost[p] < ROWS))
            for i in range(n):
                at = bins[lo + some[i]] * ROWS
                weight = np.float64(weights[lo + some[i]])
                for row in range(ROWS):
                    x = frames[row, lo + some[i]]
                    single[at + row] += weight if x == x else 0.0


@njit(cache=True, nogil=True)
def _clean(values, out, lost):  # type: ignore[no-untyped-def]
    """Copy a row with 0 for NaN, and count the NaN of each pixel; return whether there is one."""
    found = np.uint8(0)
    zero = values.dtype.type(0)
    for p in range(len(values)):
        there = values[p] == values[p]
        out[p] = values[p] if there else zero
        now = lost[p] + np.uint8(not there)
        lost[p] = now
        found |= now
    return found


@njit(cache=True, nogil=True)
def _scatter(clean, lost, bins, weights, sums, common):  # type: ignore[no-untyped-def]
    # Unsigned: signed indices may count from the end, which costs a test each.
    one, tile = np.uint64(1), np.uint64(TILE)
    for pixel in range(len(bins)):
        p, k = np.uint64(pixel), np.uint64(bins[pixel])
        at = k * np.uint64(ROWS)
        common[k] += 0.0 if lost[p] else np.float64(weights[p])
        sums[at] += np.float64(clean[p])
        sums[at + one] += np.float64(clean[p + tile])
        sums[at + np.uint64(2)] += np.float64(clean[p + np.uint64(2) * tile])
        sums[at + np.uint64(3)] += np.float64(clean[p + np.uint64(3) * tile])
        sums[at + np.uint64(4)] += np.float64(clean[p + np.uint64(4) * tile])
        sums[at + np.uint64(5)] += np.float64(clean[p + np.uint64(5) * tile])
        sums[at + np.uint64(6)] += np.float64(clean[p + np.uint64(6) * tile])
        sums[at + np.uint64(7)] += np.float64(clean[p + np.uint64(7) * tile])


@njit(cache=True, nogil=True)
def _one(values, bins, weights, sums, norm):  # type: ignore[no-untyped-def]
    for pixel in range(len(bins)):
        p, k = np.uint64(pixel), np.uint64(bins[pixel])
        there = values[p] == values[p]
        sums[k] += np.float64(values[p]) if there else 0.0
        norm[k] += np.float64(weights[p]) if there else 0.0
