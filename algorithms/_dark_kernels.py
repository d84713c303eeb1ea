"""Kernels of `dark`: integer sums of raw frames, pixel by pixel; medians by counting; light.

Arrays are flat: frames (frame, pixel). Sums are of integers, so they depend on no order. Frames are worked on in tiles
of pixels that stay in the first-level cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 256
"""Pixels."""
SIGMAS = np.float32(2.0)
"""A value so many standard deviations above the offset is bright, below it dim."""
LEAST = np.float32(1.0)
"""ADU around the offset that are neither bright nor left out: values are whole numbers."""
SPAN = 4096
"""Values between which a median is found by counting; farther apart they are sorted."""
COLUMNS = 32
"""Pixels whose values are gathered at once."""


@njit(cache=True, nogil=True)
def add(frame, gain, valid, how, clip, about, spread, count, total, squares, wrong, level, level_squares):  # type: ignore[no-untyped-def]
    """Add one frame to integer sums; return how many pixels are bright, and how many dim.

    Parameters
    ----------
    frame : ndarray of unsigned integers, (pixel,)
    gain : ndarray of unsigned integers, (pixel,)
        What is recorded of the gain, if anything is.
    valid : ndarray of bool, (pixel,)
        Of no length where all are.
    how : (int, int, int, int)
        Bits of the value, bits below the gain stage, the stage of the run as it is recorded, and what `gain` is: 1 a
        stage, 2 a level, 0 nothing.
    clip : float32
        Values farther than so many `spread` from `about` are not used.
    about, spread : ndarray of float32, (pixel,)
    count, wrong : ndarray of int32, (pixel,)
        Values that are used; frames in which another stage is recorded.
    total, squares, level, level_squares : ndarray of int64, (pixel,)
        The last two of no length if `gain` is no level.
    """
    x, weight = np.empty(TILE, np.int32), np.empty(TILE, np.int32)
    bright = dim = 0
    for lo in range(0, len(frame), TILE):
        n = min(TILE, len(frame) - lo)
        hi = lo + n
        _take(x[:n], frame[lo:hi], how[0], 0)
        up, down = _near(x[:n], weight[:n], clip, about[lo:hi], spread[lo:hi])
        bright, dim = bright + up, dim + down
        if len(valid):
            _good(weight[:n], valid[lo:hi])
        if how[3] == 1:
            _stage(weight[:n], gain[lo:hi], how[1], how[2], wrong[lo:hi])
        _sum(x[:n], weight[:n], total[lo:hi], squares[lo:hi])
        _count(weight[:n], count[lo:hi])
        if how[3] == 2:
            _take(x[:n], gain[lo:hi], 65535, 0)
            _sum(x[:n], weight[:n], level[lo:hi], level_squares[lo:hi])
    return bright, dim


@njit(cache=True, nogil=True)
def _take(x, words, mask, shift):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        x[p] = (np.int32(words[p]) & np.int32(mask)) >> np.int32(shift)


@njit(cache=True, nogil=True)
def _near(x, weight, clip, about, spread):  # type: ignore[no-untyped-def]
    """Say which values are near enough to be used; return how many are bright and dim."""
    up = down = np.int32(0)
    for p in range(len(x)):
        d, s = np.float32(x[p]) - about[p], spread[p]
        weight[p] = np.int32(abs(d) <= max(clip * s, LEAST))
        far = max(SIGMAS * s, LEAST)
        up += np.int32(d > far)
        down += np.int32(d < -far)
    return up, down


@njit(cache=True, nogil=True)
def _good(weight, valid):  # type: ignore[no-untyped-def]
    for p in range(len(weight)):
        weight[p] &= np.int32(valid[p])


@njit(cache=True, nogil=True)
def _stage(weight, gain, shift, ask, wrong):  # type: ignore[no-untyped-def]
    for p in range(len(weight)):
        same = np.int32((np.int32(gain[p]) >> np.int32(shift)) == np.int32(ask))
        wrong[p] += np.int32(1) - same
        weight[p] &= same


@njit(cache=True, nogil=True)
def _sum(x, weight, total, squares):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        v = x[p] * weight[p]
        total[p] += np.int64(v)
        # Below 2**32 for 16 bits: 32-bit products are twice as fast as 64-bit ones.
        squares[p] += np.int64(np.uint32(v * v))


@njit(cache=True, nogil=True)
def _count(weight, count):  # type: ignore[no-untyped-def]
    for p in range(len(weight)):
        count[p] += weight[p]


@njit(cache=True, nogil=True)
def strip(
    frames, gains, valid, picks, how, clip, median, offset, noise, count, wrong, level, level_noise, lit
):  # type: ignore[no-untyped-def]
    """Make the pedestals of a strip of pixels in one memory cell, of all of its frames, in two passes.

    Parameters
    ----------
    frames, gains, valid : ndarray, (frame, pixel)
        As of `add`; `valid` has no frames where all are good.
    picks : ndarray of int, (n,)
        The frames of this cell.
    median : bool
        Whether medians are made rather than means.
    offset, noise, level, level_noise : ndarray of float, (pixel,)
    lit : ndarray of int64, (2, frame)
        Bright and dim pixels of each frame; those of this cell are added.
    """
    pixels = frames.shape[1]
    has_level = len(level)
    about, spread = np.zeros(pixels, np.float32), np.full(pixels, np.inf, np.float32)
    total, squares = np.zeros(pixels, np.int64), np.zeros(pixels, np.int64)
    gain, gain_squares = np.zeros(has_level, np.int64), np.zeros(has_level, np.int64)
    unused = np.zeros(pixels, np.int32)
    for turn in range(2):
        count[:], total[:], squares[:], gain[:], gain_squares[:] = 0, 0, 0, 0, 0
        for f in picks:
            # Of no length where all are good.
            good = valid[f : f + 1].reshape(-1)
            some = wrong if turn == 0 else unused
            bright, dim = add(
                frames[f],
                gains[f],
                good,
                how,
                clip,
                about,
                spread,
                count,
                total,
                squares,
                some,
                gain,
                gain_squares,
            )
            if turn == 1:
                lit[0, f] += bright
                lit[1, f] += dim
        if turn == 0 and median:
            _medians(frames, gains, valid, picks, how, clip, about, spread, offset, noise)
            about[:], spread[:] = offset, noise
        else:
            divide(count, total, squares, offset, noise)
            if turn == 0:
                about[:], spread[:] = offset, noise
    if median:
        _medians(frames, gains, valid, picks, how, clip, about, spread, offset, np.empty(0, offset.dtype))
    if has_level:
        divide(count, gain, gain_squares, level, level_noise)


@njit(cache=True, nogil=True)
def divide(count, total, squares, mean, deviation):  # type: ignore[no-untyped-def]
    """Turn integer sums into means and standard deviations; NaN where there are no or too few values.

    With the integer m next to the mean, sum (x - m)^2 is an exact integer and close to the squared deviations:
    nothing cancels.
    """
    for p in range(len(count)):
        n = np.int64(count[p])
        if n == 0:
            mean[p], deviation[p] = np.nan, np.nan
            continue
        near = (2 * total[p] + n) // (2 * n)
        rest = total[p] - n * near
        around = squares[p] - near * (n * near + 2 * rest)
        mean[p] = total[p] / n
        free = (np.float64(around) - np.float64(rest) * np.float64(rest) / n) / max(n - 1, 1)
        deviation[p] = np.sqrt(max(free, 0.0)) if n > 1 else np.nan


@njit(cache=True, nogil=True)
def _medians(frames, gains, valid, picks, how, clip, about, spread, offset, noise):  # type: ignore[no-untyped-def]
    """Write the median of the values that are used, and 1.4826 times that of their distances from it if asked for."""
    pixels, held = frames.shape[1], np.empty((COLUMNS, len(picks)), np.int32)
    for lo in range(0, pixels, COLUMNS):
        hi = min(lo + COLUMNS, pixels)
        n = np.zeros(COLUMNS, np.int64)
        for f in picks:
            for p in range(lo, hi):
                v = np.int32(frames[f, p]) & np.int32(how[0])
                used = abs(np.float32(v) - about[p]) <= max(clip * spread[p], LEAST)
                if len(valid):
                    used &= valid[f, p]
                if how[3] == 1:
                    used &= (np.int32(gains[f, p]) >> np.int32(how[1])) == np.int32(how[2])
                if used:
                    held[p - lo, n[p - lo]] = v
                    n[p - lo] += 1
        for p in range(lo, hi):
            values = held[p - lo, : n[p - lo]]
            twice = _twice_median(values)
            offset[p] = twice / 2.0 if len(values) else np.nan
            if len(noise):
                for i in range(len(values)):
                    values[i] = abs(2 * values[i] - np.int32(twice))
                noise[p] = 1.4826 * _twice_median(values) / 4.0 if len(values) else np.nan


@njit(cache=True, nogil=True)
def _twice_median(values):  # type: ignore[no-untyped-def]
    """Return the sum of the two values in the middle."""
    n = len(values)
    if n == 0:
        return 0
    least = most = values[0]
    for v in values:
        least, most = min(least, v), max(most, v)
    if most - least >= SPAN:
        ordered = np.sort(values)
        return int(ordered[(n - 1) // 2]) + int(ordered[n // 2])
    numbers = np.zeros(most - least + 1, np.int32)
    for v in values:
        numbers[v - least] += 1
    first, second, before, at = (n - 1) // 2, n // 2, 0, -1
    while before <= first:
        at += 1
        before += numbers[at]
    low = at
    while before <= second:
        at += 1
        before += numbers[at]
    return int(low + at + 2 * least)
