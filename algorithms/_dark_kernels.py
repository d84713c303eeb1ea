"""Kernels of `dark`: integer sums of raw frames, pixel by pixel; medians by counting; light.

Arrays are flat: frames (frame, pixel). Sums are of integers, so they depend on no order. Frames are worked on in tiles
of pixels that stay in the first-level cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 256
"""Pixels."""
ROWS = 8
"""Frames per visit."""
SIGMAS = np.float32(2.0)
"""A value so many standard deviations above the offset is bright, below it dim."""
LEAST = np.float32(1.0)
"""ADU around the offset that are neither bright nor left out: values are whole numbers."""
COLUMNS = 16
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
def strip(  # type: ignore[no-untyped-def]
    frames, gains, valid, picks, how, clip, median, offset, noise, count, wrong, level, level_noise, lit
):
    """Make the pedestals of a strip of pixels in one memory cell, of all of its frames, tile by tile in two passes.

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
    about, spread = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    total, squares = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    gain, gain_squares = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    several = len(picks) if median else 0
    # Rows that do not begin in the same lines of the cache.
    tile, held = np.empty((several, TILE), np.int32), np.empty((COLUMNS, several | 17), np.int32)
    for lo in range(0, frames.shape[1], TILE):
        hi = min(lo + TILE, frames.shape[1])
        n = hi - lo
        m, s, t, q = about[:n], spread[:n], total[:n], squares[:n]
        g, gq = (gain[:n], gain_squares[:n]) if how[3] == 2 else (gain[:0], gain_squares[:0])
        c, o, d = count[lo:hi], offset[lo:hi], noise[lo:hi]
        t[:], q[:], g[:], gq[:], c[:] = 0, 0, 0, 0, 0
        if len(valid) or how[3] == 1:
            m[:], s[:] = 0, np.inf
            for f in picks:
                # Of no length where all are good.
                good = valid[f : f + 1, lo:hi].copy().reshape(-1)
                w = wrong[lo:hi] if how[3] == 1 else wrong
                add(frames[f, lo:hi], gains[f, lo:hi], good, how, clip, m, s, c, t, q, w, g, gq)
        else:
            _sums(frames, picks, lo, hi, how[0], t, q)
            c[:] = len(picks)
            if how[3] == 2:
                _sums(gains, picks, lo, hi, 65535, g, gq)
        if median:
            _medians(frames, gains, valid, picks, lo, hi, how, tile, held, o, d)
        else:
            divide(c, t, q, o, d)
        m[:], s[:] = o, d
        for p in range(n):
            # One value is near itself.
            s[p] = s[p] if s[p] == s[p] else np.inf
        before = c.copy()
        some = _far(frames, gains, valid, picks, lo, hi, how, clip, m, s, c, t, q, g, gq, lit)
        if median:
            divide(c, t, q, np.empty(n, o.dtype), d)
            if some:
                _medians_near(frames, gains, valid, picks, lo, hi, how, clip, m, s, before, c, o)
        elif some:
            divide(c, t, q, o, d)
        if how[3] == 2:
            divide(c, g, gq, level[lo:hi], level_noise[lo:hi])


@njit(cache=True, nogil=True)
def _sums(frames, picks, lo, hi, mask, total, squares):  # type: ignore[no-untyped-def]
    """Add some frames of a tile to integer sums, eight frames per visit."""
    n, first, rows = hi - lo, 0, np.zeros(ROWS * TILE, np.int32)
    while first + ROWS <= len(picks):
        for row in range(ROWS):
            _take(rows[row * TILE : row * TILE + n], frames[picks[first + row], lo:hi], mask, 0)
        _eight(rows, total, squares)
        first += ROWS
    for f in picks[first:]:
        _take(rows[:n], frames[f, lo:hi], mask, 0)
        _one(rows[:n], total, squares)


@njit(cache=True, nogil=True)
def _eight(x, total, squares):  # type: ignore[no-untyped-def]
    for p in range(len(total)):
        s, q = np.int32(0), np.uint64(0)
        for row in range(ROWS):
            v = x[p + row * TILE]
            s += v
            q += np.uint64(np.uint32(v * v))
        total[p] += np.int64(s)
        squares[p] += np.int64(q)


@njit(cache=True, nogil=True)
def _one(x, total, squares):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        v = x[p]
        total[p] += np.int64(v)
        squares[p] += np.int64(np.uint32(v * v))


@njit(cache=True, nogil=True)
def _far(  # type: ignore[no-untyped-def]
    frames,
    gains,
    valid,
    picks,
    lo,
    hi,
    how,
    clip,
    about,
    spread,
    count,
    total,
    squares,
    level,
    level_squares,
    lit,
):
    """Take values that are too far off out of integer sums, and count what is bright and dim; return how many."""
    n, taken = hi - lo, 0
    x, weight = np.empty(n, np.int32), np.empty(n, np.int32)
    for f in picks:
        _take(x, frames[f, lo:hi], how[0], 0)
        bright, dim = _near(x, weight, clip, about, spread)
        lit[0, f] += bright
        lit[1, f] += dim
        if _all(weight):
            continue
        for p in range(n):
            if weight[p] == 0 and _counts(gains, valid, how, f, lo + p) and count[p] > 0:
                v = np.int64(x[p])
                count[p] -= np.int32(1)
                total[p] -= v
                squares[p] -= v * v
                taken += 1
                if len(level):
                    v = np.int64(gains[f, lo + p])
                    level[p] -= v
                    level_squares[p] -= v * v
    return taken


@njit(cache=True, nogil=True)
def _all(weight):  # type: ignore[no-untyped-def]
    every = np.int32(1)
    for p in range(len(weight)):
        every &= weight[p]
    return every > 0


@njit(cache=True, nogil=True)
def _counts(gains, valid, how, f, p):  # type: ignore[no-untyped-def]
    """Return whether a value is of a good pixel in the stage of the run."""
    if len(valid) and not valid[f, p]:
        return False
    return how[3] != 1 or (np.int32(gains[f, p]) >> np.int32(how[1])) == np.int32(how[2])


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
def _medians(frames, gains, valid, picks, lo, hi, how, tile, held, offset, noise):  # type: ignore[no-untyped-def]
    """Write the median of all values of a tile, and 1.4826 times that of their distances from it."""
    plain, n = len(valid) == 0 and how[3] != 1, np.zeros(COLUMNS, np.int64)
    # Side by side: rows of a strip lie in pages of their own.
    for i in range(len(picks)):
        _take(tile[i, : hi - lo], frames[picks[i], lo:hi], how[0], 0)
    for a in range(lo, hi, COLUMNS):
        b = min(a + COLUMNS, hi)
        n[:] = len(picks) if plain else 0
        if plain:
            _turn(held, tile[: len(picks), a - lo : b - lo])
        for i in range(0 if plain else len(picks)):
            for p in range(a, b):
                if _counts(gains, valid, how, picks[i], p):
                    held[p - a, n[p - a]] = tile[i, p - lo]
                    n[p - a] += 1
        for p in range(a, b):
            values = held[p - a, : n[p - a]]
            twice = _twice_median(values)
            _distances(values, np.int32(twice))
            offset[p - lo] = twice / 2.0 if len(values) else np.nan
            noise[p - lo] = 1.4826 * _twice_median(values) / 4.0 if len(values) else np.nan


@njit(cache=True, nogil=True)
def _turn(held, rows):  # type: ignore[no-untyped-def]
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            held[j, i] = rows[i, j]


@njit(cache=True, nogil=True)
def _distances(values, twice):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        values[i] = abs(np.int32(2) * values[i] - twice)


@njit(cache=True, nogil=True)
def _medians_near(  # type: ignore[no-untyped-def]
    frames, gains, valid, picks, lo, hi, how, clip, about, spread, before, count, offset
):
    """Write the median of the values that are near enough, where there are fewer than before."""
    held = np.empty(max(1, len(picks)), np.int32)
    for p in range(lo, hi):
        if count[p - lo] == before[p - lo]:
            continue
        n, far = 0, max(clip * spread[p - lo], LEAST)
        for f in picks:
            v = np.int32(frames[f, p]) & np.int32(how[0])
            if abs(np.float32(v) - about[p - lo]) <= far and _counts(gains, valid, how, f, p):
                held[n] = v
                n += 1
        offset[p - lo] = _twice_median(held[:n]) / 2.0 if n else np.nan


@njit(cache=True, nogil=True)
def _twice_median(values):  # type: ignore[no-untyped-def]
    """Return the sum of the two values in the middle: bounds meet there, by counting what is not above."""
    n = len(values)
    if n == 0:
        return 0
    first, second = np.int32((n - 1) // 2), np.int32(n // 2)
    low, high = _ends(values)
    low -= 1
    while high - low > 1:
        middle = (low + high) >> 1
        if _until(values, np.int32(middle)) > first:
            high = middle
        else:
            low = middle
    if _until(values, np.int32(high)) > second:
        return 2 * high
    return high + _above(values, np.int32(high))


@njit(cache=True, nogil=True)
def _ends(values):  # type: ignore[no-untyped-def]
    least = most = np.int32(values[0])
    for i in range(len(values)):
        v = values[i]
        least = v if v < least else least
        most = v if v > most else most
    return int(least), int(most)


@njit(cache=True, nogil=True)
def _until(values, bound):  # type: ignore[no-untyped-def]
    n = np.int32(0)
    for i in range(len(values)):
        n += np.int32(values[i] <= bound)
    return n


@njit(cache=True, nogil=True)
def _above(values, bound):  # type: ignore[no-untyped-def]
    """Return the least of the values above a bound."""
    least = np.int32(2**31 - 1)
    for i in range(len(values)):
        v = values[i]
        least = min(least, v if v > bound else np.int32(2**31 - 1))
    return int(least)
