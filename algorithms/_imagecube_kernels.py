"""Kernels of `imagecube`: pairs of a pixel and what it is divided by, and how they vary together, frame by frame.

The state of a tile of pixels is copied to one scratch array, rows a constant `TILE` apart, and stays there while the
frames of a group are added: the compiler can prove that nothing overlaps and uses vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._average_kernels import ROWS, TILE

STATES = 6
"""Rows of the scratch array: count, both means, and the sums of products of deviations of x x, x z and z z."""


@njit(cache=True, nogil=True)
def add_pairs(frames, into, scale, unit, states):  # type: ignore[no-untyped-def]
    """Add pairs (x, z) = (scale * pixel, unit) to the states of their groups; NaN pixels are skipped.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    into : Sorted
        Which frames belong to which group.
    scale, unit : ndarray of float64, (frame,)
    states : tuple of ndarray
        Count, means of x and z, sums of products: flat, those of groups `into.step` apart.
    """
    scratch = np.empty((STATES + ROWS) * TILE)
    for i in range(len(into.slots)):
        at, order = into.slots[i] * into.step, into.order[into.edges[i] : into.edges[i + 1]]
        for lo in range(0, frames.shape[1], TILE):
            n = min(TILE, frames.shape[1] - lo)
            _load(scratch, states, at + lo, n)
            _add_tile(scratch, frames, order, lo, n, scale, unit)
            _save(scratch, states, at + lo, n)


@njit(cache=True, nogil=True)
def _add_tile(scratch, frames, order, lo, n, scale, unit):  # type: ignore[no-untyped-def]
    """Add frames to the states of some pixels, several at a time."""
    first = 0
    z = np.empty(ROWS)
    while first + ROWS <= len(order):
        for row in range(ROWS):
            frame = order[first + row]
            _scaled(
                scratch[(STATES + row) * TILE : (STATES + row + 1) * TILE],
                frames[frame, lo : lo + n],
                scale[frame],
            )
            z[row] = unit[frame]
        _start(scratch, z)
        _eight_pairs(scratch, z)
        first += ROWS
    for frame in order[first:]:
        _scaled(scratch[STATES * TILE : (STATES + 1) * TILE], frames[frame, lo : lo + n], scale[frame])
        _one_pair(scratch, unit[frame])


@njit(cache=True, nogil=True)
def _load(scratch, states, at, n):  # type: ignore[no-untyped-def]
    count, x, z, xx, xz, zz = states
    _copy(scratch[:n], count[at : at + n])
    for row, one in enumerate((x, z, xx, xz, zz)):
        _copy(scratch[(row + 1) * TILE : (row + 1) * TILE + n], one[at : at + n])


@njit(cache=True, nogil=True)
def _save(scratch, states, at, n):  # type: ignore[no-untyped-def]
    count, x, z, xx, xz, zz = states
    _counted(count[at : at + n], scratch[:n])
    for row, one in enumerate((x, z, xx, xz, zz)):
        _copy(one[at : at + n], scratch[(row + 1) * TILE : (row + 1) * TILE + n])


@njit(cache=True, nogil=True)
def _copy(into, values):  # type: ignore[no-untyped-def]
    for p in range(len(into)):
        into[p] = values[p]


@njit(cache=True, nogil=True)
def _counted(into, values):  # type: ignore[no-untyped-def]
    for p in range(len(into)):
        into[p] = np.int32(values[p])


@njit(cache=True, nogil=True)
def _scaled(into, frame, scale):  # type: ignore[no-untyped-def]
    for p in range(len(frame)):
        into[p] = np.float64(frame[p]) * scale


@njit(cache=True, nogil=True)
def _start(s, z):  # type: ignore[no-untyped-def]
    """Let pixels without a value so far count from their first one, so that large means lose no digits."""
    for p in range(TILE):
        x, u = s[p + STATES * TILE], z[0]
        for row in range(1, ROWS):
            b = s[p + (STATES + row) * TILE]
            u = u if x == x else z[row]
            x = x if x == x else b
        begins = s[p] == 0.0 and x == x
        s[p + TILE] = x if begins else s[p + TILE]
        s[p + 2 * TILE] = u if begins else s[p + 2 * TILE]


@njit(cache=True, nogil=True)
def _eight_pairs(s, z):  # type: ignore[no-untyped-def]
    """Add eight pairs per pixel: sums of deviations from the means so far, then one update."""
    z0, z1, z2, z3, z4, z5, z6, z7 = z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7]
    for p in range(TILE):
        x, u = s[p + TILE], s[p + 2 * TILE]
        x0 = s[p + 6 * TILE]
        x1 = s[p + 7 * TILE]
        x2 = s[p + 8 * TILE]
        x3 = s[p + 9 * TILE]
        x4 = s[p + 10 * TILE]
        x5 = s[p + 11 * TILE]
        x6 = s[p + 12 * TILE]
        x7 = s[p + 13 * TILE]
        a0, b0, k0 = (x0 - x, z0 - u, 1.0) if x0 == x0 else (0.0, 0.0, 0.0)
        a1, b1, k1 = (x1 - x, z1 - u, 1.0) if x1 == x1 else (0.0, 0.0, 0.0)
        a2, b2, k2 = (x2 - x, z2 - u, 1.0) if x2 == x2 else (0.0, 0.0, 0.0)
        a3, b3, k3 = (x3 - x, z3 - u, 1.0) if x3 == x3 else (0.0, 0.0, 0.0)
        a4, b4, k4 = (x4 - x, z4 - u, 1.0) if x4 == x4 else (0.0, 0.0, 0.0)
        a5, b5, k5 = (x5 - x, z5 - u, 1.0) if x5 == x5 else (0.0, 0.0, 0.0)
        a6, b6, k6 = (x6 - x, z6 - u, 1.0) if x6 == x6 else (0.0, 0.0, 0.0)
        a7, b7, k7 = (x7 - x, z7 - u, 1.0) if x7 == x7 else (0.0, 0.0, 0.0)
        n = s[p] + (((k0 + k1) + (k2 + k3)) + ((k4 + k5) + (k6 + k7)))
        sum_x = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7))
        sum_z = ((b0 + b1) + (b2 + b3)) + ((b4 + b5) + (b6 + b7))
        xx = ((a0 * a0 + a1 * a1) + (a2 * a2 + a3 * a3)) + ((a4 * a4 + a5 * a5) + (a6 * a6 + a7 * a7))
        xz = ((a0 * b0 + a1 * b1) + (a2 * b2 + a3 * b3)) + ((a4 * b4 + a5 * b5) + (a6 * b6 + a7 * b7))
        zz = ((b0 * b0 + b1 * b1) + (b2 * b2 + b3 * b3)) + ((b4 * b4 + b5 * b5) + (b6 * b6 + b7 * b7))
        part = 1.0 / max(n, 1.0)
        step_x, step_z = sum_x * part, sum_z * part
        s[p] = n
        s[p + TILE] = x + step_x
        s[p + 2 * TILE] = u + step_z
        s[p + 3 * TILE] += xx - sum_x * step_x
        s[p + 4 * TILE] += xz - sum_x * step_z
        s[p + 5 * TILE] += zz - sum_z * step_z


@njit(cache=True, nogil=True)
def _one_pair(s, z):  # type: ignore[no-untyped-def]
    """Add one pair per pixel (Welford, of two quantities)."""
    for p in range(TILE):
        x = s[p + STATES * TILE]
        there = x == x
        dx = x - s[p + TILE] if there else 0.0
        dz = z - s[p + 2 * TILE] if there else 0.0
        n = s[p] + (1.0 if there else 0.0)
        part = 1.0 / max(n, 1.0)
        step_x, step_z = dx * part, dz * part
        s[p] = n
        s[p + TILE] += step_x
        s[p + 2 * TILE] += step_z
        s[p + 3 * TILE] += dx * (dx - step_x)
        s[p + 4 * TILE] += dx * (dz - step_z)
        s[p + 5 * TILE] += dz * (dz - step_z)


@njit(cache=True, nogil=True)
def merge_pairs(ours, theirs):  # type: ignore[no-untyped-def]
    """Merge the second states into the first (Chan et al.); an empty side changes no bit."""
    count, x, z, xx, xz, zz = ours
    n, u, v, uu, uv, vv = theirs
    for p in range(len(count)):
        if n[p] == 0:
            continue
        both = count[p] + n[p]
        part = np.float64(n[p]) / np.float64(both)
        dx, dz, weight = u[p] - x[p], v[p] - z[p], np.float64(count[p]) * part
        xx[p] += uu[p] + dx * dx * weight
        xz[p] += uv[p] + dx * dz * weight
        zz[p] += vv[p] + dz * dz * weight
        x[p] = u[p] if count[p] == 0 else x[p] + dx * part
        z[p] = v[p] if count[p] == 0 else z[p] + dz * part
        count[p] = both
