"""Kernels that find photons: counts of pixels, droplets of pixels, and the photons in these."""

from __future__ import annotations

import numpy as np
from numba import njit

FEW = 16
"""Pixels that are sorted without a copy."""
COLUMNS = 5
"""Of a droplet: ss, fs, sum, pixels, highest."""


@njit(cache=True, nogil=True)
def count(frames, gain, threshold, out):  # type: ignore[no-untyped-def]
    """Write the photons of each pixel by itself: floor(x / gain + 1 - threshold), no fewer than 0; NaN of no number.

    Parameters
    ----------
    frames, out : ndarray, (frame, pixel)
    """
    shift = 1.0 - threshold
    for frame in range(len(frames)):
        for p in range(frames.shape[1]):
            x = np.float64(frames[frame, p]) / gain
            # Infinity minus itself is no number.
            out[frame, p] = max(0.0, np.floor(x + shift)) if x - x == 0 else np.nan


@njit(cache=True, nogil=True)
def share(image, gain, threshold, rest, partner, out):  # type: ignore[no-untyped-def]
    """Write the photons of each pixel: whole ones, and those that it shares with a neighbour.

    Parameters
    ----------
    image, out : ndarray, (ss, fs)
    rest, partner : ndarray of float64 and int64, (pixel,)
        Scratch.
    """
    rows, columns = image.shape
    for p in range(rows * columns):
        x = np.float64(image[p // columns, p % columns]) / gain
        whole = np.floor(x) if x > 0 else 0.0
        out[p // columns, p % columns] = whole if x - x == 0 else np.nan
        rest[p] = x - whole if x - x == 0 else -np.inf
        partner[p] = -1
    for p in range(rows * columns):
        if rest[p] <= 0 or 2 * rest[p] < threshold:
            continue
        best, at = 0.0, -1
        highest = True
        for q in _neighbours(p, rows, columns):
            if q < 0:
                continue
            # Of equal ones the first is the highest.
            if rest[q] > rest[p] or (rest[q] == rest[p] and q < p):
                highest = False
            if rest[q] > best:
                best, at = rest[q], q
        if highest and rest[p] + best >= threshold:
            partner[p] = at
            if rest[p] >= threshold:
                partner[p] = p
    for p in range(rows * columns):
        if partner[p] < 0:
            continue
        at = partner[p]
        wins = True
        if at != p:
            for q in _neighbours(at, rows, columns):
                if (
                    q >= 0
                    and q != p
                    and partner[q] == at
                    and (rest[q] > rest[p] or (rest[q] == rest[p] and q < p))
                ):
                    wins = False
        if wins:
            out[p // columns, p % columns] += 1


@njit(cache=True, nogil=True)
def _neighbours(p, rows, columns):  # type: ignore[no-untyped-def]
    """Return the pixels above, left, right and below, -1 for none."""
    row, column = p // columns, p % columns
    return (
        p - columns if row > 0 else -1,
        p - 1 if column > 0 else -1,
        p + 1 if column < columns - 1 else -1,
        p + columns if row < rows - 1 else -1,
    )


@njit(cache=True, nogil=True)
def droplets(image, high, low, noise, seen, stack, found, members, starts):  # type: ignore[no-untyped-def]
    """Find connected pixels above one threshold of which one is above another.

    Parameters
    ----------
    image : ndarray, (ss, fs)
    high, low : float
        Thresholds; in units of `noise`, if that is not empty.
    noise : ndarray, (ss, fs) or (0, 0)
    seen : ndarray of bool, (pixel,)
        Scratch, all False; is so in the end.
    stack : ndarray of int64, (pixel,)
        Scratch.
    found : ndarray of float64, (droplet, COLUMNS)
    members : ndarray of int64, (pixel,)
        Pixels of the droplets, one droplet after the other.
    starts : ndarray of int64, (droplet + 1,)
        Where those of each begin.

    Returns
    -------
    droplets, all : int
        Those that were found, and those whose highest pixel is too low as well.
    """
    rows, columns = image.shape
    flat, step = image.reshape(-1), 1 if noise.size else 0
    scale = noise.reshape(-1) if noise.size else np.ones(1)
    n, total, used, touched = 0, 0, 0, 0
    starts[0] = 0
    for first in range(rows * columns):
        if not low * scale[first * step] < flat[first] < np.inf or seen[first]:
            continue
        begin = used
        top, peak = 1, False
        stack[0], seen[first] = first, True
        while top:
            top -= 1
            p = stack[top]
            members[used] = p
            used += 1
            peak = peak or flat[p] > high * scale[p * step]
            for q in _neighbours(p, rows, columns):
                if q >= 0 and not seen[q] and low * scale[q * step] < flat[q] < np.inf:
                    stack[top], seen[q] = q, True
                    top += 1
        total += 1
        if peak:
            _sort(members[begin:used])
            _measure(flat, columns, members[begin:used], found[n])
            n += 1
            starts[n] = used
        else:
            # Seen, and of no droplet: at the end of the list, to be forgotten with the others.
            for k in range(begin, used):
                touched += 1
                members[len(members) - touched] = members[k]
            used = begin
    for k in range(used):
        seen[members[k]] = False
    for k in range(touched):
        seen[members[len(members) - 1 - k]] = False
    return n, total


@njit(cache=True, nogil=True)
def _sort(members):  # type: ignore[no-untyped-def]
    """Sort pixels in place: of few, as nearly all droplets have, without a copy."""
    if len(members) > FEW:
        members[:] = np.sort(members)
        return
    for k in range(1, len(members)):
        p, at = members[k], k
        while at > 0 and members[at - 1] > p:
            members[at] = members[at - 1]
            at -= 1
        members[at] = p


@njit(cache=True, nogil=True)
def _measure(flat, columns, members, out):  # type: ignore[no-untyped-def]
    """Write centre of mass, sum, number and highest of some pixels."""
    total, ss, fs, highest = 0.0, 0.0, 0.0, -np.inf
    for p in members:
        x = np.float64(flat[p])
        total += x
        ss += x * (p // columns)
        fs += x * (p % columns)
        highest = max(highest, x)
    out[0], out[1] = ss / total, fs / total
    out[2], out[3], out[4] = total, len(members), highest


@njit(cache=True, nogil=True)
def split(image, members, starts, which, photons, gain, left, out):  # type: ignore[no-untyped-def]
    """Place the photons of droplets.

    Parameters
    ----------
    image : ndarray, (ss, fs)
    members, starts
        As made by `droplets`.
    which, photons : ndarray of int64, (droplet,)
        Numbers of the droplets that are split, and how many photons each has.
    gain : float
        Signal of one photon.
    left : ndarray of float64, (pixel,)
        Scratch.
    out : ndarray of float64, (photon, 3)
        ss and fs of each, and how many its droplet has.
    """
    first = 0
    for k in range(len(which)):
        own = members[starts[which[k]] : starts[which[k] + 1]]
        rows = out[first : first + photons[k]]
        _place(image, own, gain, left, rows)
        rows[:, 2] = photons[k]
        first += photons[k]


@njit(cache=True, nogil=True)
def _place(image, members, gain, left, out):  # type: ignore[no-untyped-def]
    """Place the photons of a droplet, as many as `out` has rows, the brightest pixel first."""
    rows, columns = image.shape
    flat, n = image.reshape(-1), len(members)
    for k in range(n):
        left[k] = np.float64(flat[members[k]]) / gain
    for photon in range(len(out)):
        k = np.argmax(left[:n])
        p = members[k]
        own = min(1.0, max(left[k], 0.0))
        best, at = 0.0, -1
        for q in _neighbours(p, rows, columns):
            j = np.searchsorted(members, q) if q >= 0 else n
            if j < n and members[j] == q and left[j] > best:
                best, at = left[j], j
        other = min(1.0 - own, best)
        left[k] -= own
        ss, fs = np.float64(p // columns), np.float64(p % columns)
        if at >= 0 and own + other > 0:
            left[at] -= other
            part = other / (own + other)
            ss += part * (members[at] // columns - p // columns)
            fs += part * (members[at] % columns - p % columns)
        out[photon, 0], out[photon, 1] = ss, fs


@njit(cache=True, nogil=True)
def tally(frames, labels, most, out, photons):  # type: ignore[no-untyped-def]
    """Count the pixels of each region that have 0, 1, 2, ... photons; the last number has what is more.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
        Whole numbers; NaN and infinity are not counted.
    labels : ndarray of int64, (pixel,)
        Region of each pixel, -1 for none.
    out : ndarray of int64, (frame, region, most + 2)
    photons : ndarray of float64, (frame, region)
        Their sum.
    """
    for frame in range(len(frames)):
        for p in range(len(labels)):
            x = frames[frame, p]
            if labels[p] >= 0 and x - x == 0:
                k = max(np.floor(np.float64(x) + 0.5), 0.0)
                out[frame, labels[p], int(min(k, most + 1))] += 1
                photons[frame, labels[p]] += k
