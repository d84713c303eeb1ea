"""Kernels of `peaks`: frames as they are searched, peaks panel by panel, sums of hits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ._peaks_background import ABOVE, LARGEST

TILE = 4096
"""Pixels of sums of hits that stay in the cache while frames are added."""
AROUND_SS = np.array([0, -1, -1, -1, 0, 0, 1, 1, 1])
AROUND_FS = np.array([0, -1, 0, 1, -1, 1, -1, 0, 1])
TAKEN = np.uint8(2)
COLUMNS = 7


class Panels(NamedTuple):
    """What peaks do not reach across: stretches of rows and columns of each module."""

    ss: Any
    """Where panels begin, and the end, (panel + 1,)."""
    fs: Any
    of_ss: Any
    """Number of the panel of each row, (row,)."""
    of_fs: Any


class Panel(NamedTuple):
    """One panel: rows and columns of a module, its position, where the panel begins and ends in it."""

    rows: Any
    columns: Any
    module: Any
    ss: Any
    end_ss: Any
    fs: Any
    end_fs: Any


@njit(cache=True, nogil=True)
def load(values, pixels):  # type: ignore[no-untyped-def]
    """Copy pixels as float32; NaN where a value is not finite."""
    for k in range(len(values)):
        value = np.float32(values[k])
        pixels[k] = value if abs(value) <= LARGEST else np.float32(np.nan)


@njit(cache=True, nogil=True)
def peaks(pixels, rings, state, seeds, panels, wanted, queue, out):  # type: ignore[no-untyped-def]
    """Find the peaks of a frame; return how many there are, of which `out` holds as many as it has rows.

    Parameters
    ----------
    pixels : ndarray of float32, (pixel + 1,)
    rings : Rings
    state : ndarray of uint8, (pixel,)
        Changed for the seeds.
    seeds : ndarray of int32
        Pixels above the limit, panel by panel, in a panel row by row.
    panels : Panels
    wanted : (float32, int, int, int, bool)
        SNR, fewest and most pixels, radius of the local background, whether pixels must touch.
    queue : ndarray of int32, (3, pixel + 1)
        Rows and columns in the panel, and pixels, of a peak; zero.
    out : ndarray of float32, (peak, COLUMNS)
        Filled: module (position), ss, fs, intensity, number of pixels, highest pixel, SNR.
    """
    rows, columns = len(panels.of_ss), len(panels.of_fs)
    snr, fewest, most, radius, touching = wanted
    found, used = 0, 0
    one = np.empty(COLUMNS, np.float64)
    for k in range(len(seeds)):
        seed = np.int64(seeds[k])
        if state[seed] != ABOVE:
            continue
        module, pixel = divmod(seed, rows * columns)
        ss, fs = divmod(pixel, columns)
        across, along = panels.of_ss[ss], panels.of_fs[fs]
        first_ss, end_ss = panels.ss[across], panels.ss[across + 1]
        first_fs, end_fs = panels.fs[along], panels.fs[along + 1]
        if ss == first_ss or fs == first_fs or ss == end_ss - 1 or fs == end_fs - 1:
            continue
        panel = Panel(rows, columns, module, first_ss, end_ss, first_fs, end_fs)
        queue[0, 0], queue[1, 0] = ss - first_ss, fs - first_fs
        n = _spread(state, panel, touching, queue)
        used = max(used, n)
        if fewest <= n <= most and _measure(pixels, rings, state, panel, snr, radius, queue, n, one):
            for column in range(COLUMNS if found < len(out) else 0):
                out[found, column] = one[column]
            found += 1
    for p in range(used + 1):
        queue[0, p], queue[1, p] = 0, 0
    return found


@njit(cache=True, nogil=True)
def _spread(state, panel, touching, queue):  # type: ignore[no-untyped-def]
    """Take pixels above their limit that are neighbours of the seed, of these, and so on; return how many.

    Unless they must touch, peakfinder8's way: it also looks around the place one after the last, which is what an
    earlier, larger peak left there, perhaps of another panel.
    """
    n, before, beyond = 0, -1, 0 if touching else 1
    while before != n:
        before, p = n, 0
        while p < max(n + beyond, 1):
            for k in range(len(AROUND_SS)):
                ss, fs = queue[0, p] + AROUND_SS[k], queue[1, p] + AROUND_FS[k]
                if ss < 0 or fs < 0 or ss >= panel.end_ss - panel.ss or fs >= panel.end_fs - panel.fs:
                    continue
                pixel = (panel.module * panel.rows + panel.ss + ss) * panel.columns + panel.fs + fs
                if state[pixel] == ABOVE:
                    state[pixel] = TAKEN
                    queue[0, n], queue[1, n], queue[2, n] = ss, fs, pixel
                    n += 1
            p += 1
    return n


@njit(cache=True, nogil=True)
def _measure(pixels, rings, state, panel, snr, radius, queue, n, one):  # type: ignore[no-untyped-def]
    """Fill in what is known of a peak; return whether it is one."""
    first = panel.module * panel.rows
    centre_ss, centre_fs, there = _centre(pixels, rings, queue, n, panel.columns)
    if not there:
        return False
    ss, fs = np.int64(np.rint(centre_ss)) - first, np.int64(np.rint(centre_fs))
    mean, sigma, brightest = _around(pixels, rings, state, panel, ss, fs, radius)
    if sigma < 0:
        # Nothing is around it: the mean of the ring that its middle is in.
        middle = (first + ss) * panel.columns + fs
        inside = 0 <= middle < len(rings.of)
        mean, sigma = rings.offset[rings.of[middle if inside else queue[2, 0]]], np.float32(0.01)
    total, raw, highest = np.float32(0), np.float32(0), np.float32(0)
    moment_ss, moment_fs, weight = 0.0, 0.0, 0.0
    for k in range(n):
        pixel = queue[2, k]
        value = pixels[pixel]
        above = np.float32(value - mean)
        total = np.float32(total + above)
        raw = np.float32(raw + value)
        highest = max(highest, above)
        moment_ss += np.float64(value) * (pixel // panel.columns - first)
        moment_fs += np.float64(value) * (pixel % panel.columns)
        weight += np.float64(value)
    if abs(raw) < 1e-10 or weight == 0:
        return False
    ratio = np.float32(total / sigma) if abs(sigma) > 1e-10 else np.float32(0)
    if ratio < snr or highest < np.float32(brightest - mean):
        return False
    at_ss, at_fs = moment_ss / abs(weight), moment_fs / abs(weight)
    if not (panel.ss <= at_ss <= panel.end_ss - 1 and panel.fs <= at_fs <= panel.end_fs - 1):
        return False
    one[0], one[1], one[2], one[3] = panel.module, at_ss, at_fs, total
    one[4], one[5], one[6] = n, highest, ratio
    return True


@njit(cache=True, nogil=True)
def _centre(pixels, rings, queue, n, columns):  # type: ignore[no-untyped-def]
    """Return the centre of mass above the rings' means, counted through all modules, and whether there is one."""
    total, moment_ss, moment_fs = np.float32(0), np.float32(0), np.float32(0)
    for k in range(n):
        pixel = queue[2, k]
        value = np.float32(pixels[pixel] - rings.offset[rings.of[pixel]])
        total = np.float32(total + value)
        moment_ss = np.float32(moment_ss + np.float32(value * np.float32(pixel // columns)))
        moment_fs = np.float32(moment_fs + np.float32(value * np.float32(pixel % columns)))
    if abs(total) < 1e-10:
        return np.float32(0), np.float32(0), False
    size = np.float64(abs(total))
    return np.float32(moment_ss / size), np.float32(moment_fs / size), True


@njit(cache=True, nogil=True)
def _around(pixels, rings, state, panel, ss, fs, radius):  # type: ignore[no-untyped-def]
    """Return mean, standard deviation (-1 without pixels) and maximum of what is no peak around a place."""
    reach, n = 2 * radius, 0
    total, squares, brightest = np.float32(0), np.float32(0), np.float32(0)
    for a in range(max(ss - reach, panel.ss), min(ss + reach, panel.end_ss)):
        for b in range(max(fs - reach, panel.fs), min(fs + reach, panel.end_fs)):
            if (a - ss) ** 2 + (b - fs) ** 2 > reach * reach:
                continue
            pixel = (panel.module * panel.rows + a) * panel.columns + b
            value = pixels[pixel]
            if value < rings.limit[rings.of[pixel]] and state[pixel] != TAKEN:
                n += 1
                total = np.float32(total + value)
                squares = np.float32(squares + np.float32(value * value))
                brightest = max(brightest, value)
    if n == 0:
        return np.float32(0), np.float32(-1), brightest
    mean = np.float32(total / np.float32(n))
    variance = np.float32(np.float32(squares / np.float32(n)) - np.float32(mean * mean))
    return mean, np.float32(np.sqrt(variance)) if variance >= 0 else np.float32(0.01), brightest


@njit(cache=True, nogil=True)
def powder(pixels, total, highest):  # type: ignore[no-untyped-def]
    """Add a hit to the sum of hits, and to their maximum; NaN goes to neither.

    Parameters
    ----------
    pixels : ndarray of float32, (pixel + 1,)
    total : ndarray of float64, (pixel,)
    highest : ndarray of float32, (pixel,)
    """
    for k in range(len(total)):
        value = pixels[k]
        there = value == value
        total[k] += np.float64(value) if there else 0.0
        highest[k] = value if there and value > highest[k] else highest[k]


@njit(cache=True, nogil=True)
def powder_of(frames, which, total, highest):  # type: ignore[no-untyped-def]
    """Add some of the frames to the sum of hits and to their maximum, as `powder` does one after the other.

    Parameters
    ----------
    frames : ndarray of float32, (frame, pixel)
    which : ndarray of int64
    total : ndarray of float64, (pixel,)
    highest : ndarray of float32, (pixel,)
    """
    for first in range(0, len(total), TILE):
        own = slice(first, min(first + TILE, len(total)))
        for frame in which:
            powder(frames[frame, own], total[own], highest[own])
