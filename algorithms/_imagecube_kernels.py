"""Kernels of `imagecube`: pairs of a pixel and what it is divided by, and how they vary together, with weights.

The state of a tile of pixels is copied to one scratch array, rows a constant `TILE` apart, and stays there while the
frames of a group are added, eight at a time: the compiler can prove that nothing overlaps and uses vector instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._average_kernels import ROWS, TILE

STATES = 8
"""Rows of the scratch array: count, sums of weights and of their squares, means of x and z, and the weighted sums of
products of deviations from these, x x, x z and z z."""


@njit(cache=True, nogil=True)
def add_pairs(frames, into, given, count, weights, states):  # type: ignore[no-untyped-def]
    """Add pairs (x, z) = (scale * pixel, unit) to the states of their groups; NaN pixels are skipped.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    into : Sorted
        Which frames belong to which group.
    given : tuple of ndarray of float64, (frame,)
        Scale, unit and weight of each.
    count : ndarray of int32
    weights : tuple of ndarray of float64
        Sums of weights and of their squares; empty ones if all weights are 1, since both are the count then.
    states : tuple of ndarray of float64
        Means of x and z, sums of products. All are flat, those of groups `into.step` apart.
    """
    scratch = np.empty((STATES + ROWS) * TILE)
    for i in range(len(into.slots)):
        at, order = into.slots[i] * into.step, into.order[into.edges[i] : into.edges[i + 1]]
        for lo in range(0, frames.shape[1], TILE):
            n = min(TILE, frames.shape[1] - lo)
            own = slice(at + lo, at + lo + n)
            for row in range(3):
                _copy(_row(scratch, row, n), count[own])
            if len(weights[0]):
                for row in range(2):
                    _copy(_row(scratch, 1 + row, n), weights[row][own])
            for row in range(5):
                _copy(_row(scratch, 3 + row, n), states[row][own])
            _add_tile(scratch, frames, order, lo, n, given)
            _copy_counts(count[own], _row(scratch, 0, n))
            if len(weights[0]):
                for row in range(2):
                    _copy(weights[row][own], _row(scratch, 1 + row, n))
            for row in range(5):
                _copy(states[row][own], _row(scratch, 3 + row, n))


@njit(cache=True, nogil=True)
def _add_tile(scratch, frames, order, lo, n, given):  # type: ignore[no-untyped-def]
    """Add frames to the states of some pixels, several at a time."""
    scale, unit, weight = given
    z, w = np.empty(ROWS), np.empty(ROWS)
    for first in range(0, len(order), ROWS):
        rows = min(ROWS, len(order) - first)
        for row in range(rows):
            frame = order[first + row]
            _scaled(_row(scratch, STATES + row, n), frames[frame, lo : lo + n], scale[frame])
            z[row], w[row] = unit[frame], weight[frame]
        if rows == 1:
            _one_pair(scratch, z[0], w[0])
            continue
        for row in range(rows, ROWS):
            z[row], w[row] = 0.0, 0.0
            _row(scratch, STATES + row, TILE)[:] = np.nan
        _start(scratch, z)
        _eight_pairs(scratch, z, w)


@njit(cache=True, nogil=True)
def _row(scratch, row, n):  # type: ignore[no-untyped-def]
    return scratch[row * TILE : row * TILE + n]


@njit(cache=True, nogil=True)
def _copy(into, values):  # type: ignore[no-untyped-def]
    for p in range(len(into)):
        into[p] = values[p]


@njit(cache=True, nogil=True)
def _copy_counts(into, values):  # type: ignore[no-untyped-def]
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
            u = u if x == x else z[row]
            x = x if x == x else s[p + (STATES + row) * TILE]
        begins = s[p] == 0.0 and x == x
        s[p + 3 * TILE] = x if begins else s[p + 3 * TILE]
        s[p + 4 * TILE] = u if begins else s[p + 4 * TILE]


@njit(cache=True, nogil=True)
def _eight_pairs(s, z, w):  # type: ignore[no-untyped-def]
    """Add eight pairs per pixel: weighted sums of deviations from the means so far, then one update."""
    z0, z1, z2, z3, z4, z5, z6, z7 = z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7]
    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
    for p in range(TILE):
        x, u = s[p + 3 * TILE], s[p + 4 * TILE]
        x0, x1 = s[p + 8 * TILE], s[p + 9 * TILE]
        x2, x3 = s[p + 10 * TILE], s[p + 11 * TILE]
        x4, x5 = s[p + 12 * TILE], s[p + 13 * TILE]
        x6, x7 = s[p + 14 * TILE], s[p + 15 * TILE]
        a0, b0, k0, v0 = (x0 - x, z0 - u, 1.0, w0) if x0 == x0 else (0.0, 0.0, 0.0, 0.0)
        a1, b1, k1, v1 = (x1 - x, z1 - u, 1.0, w1) if x1 == x1 else (0.0, 0.0, 0.0, 0.0)
        a2, b2, k2, v2 = (x2 - x, z2 - u, 1.0, w2) if x2 == x2 else (0.0, 0.0, 0.0, 0.0)
        a3, b3, k3, v3 = (x3 - x, z3 - u, 1.0, w3) if x3 == x3 else (0.0, 0.0, 0.0, 0.0)
        a4, b4, k4, v4 = (x4 - x, z4 - u, 1.0, w4) if x4 == x4 else (0.0, 0.0, 0.0, 0.0)
        a5, b5, k5, v5 = (x5 - x, z5 - u, 1.0, w5) if x5 == x5 else (0.0, 0.0, 0.0, 0.0)
        a6, b6, k6, v6 = (x6 - x, z6 - u, 1.0, w6) if x6 == x6 else (0.0, 0.0, 0.0, 0.0)
        a7, b7, k7, v7 = (x7 - x, z7 - u, 1.0, w7) if x7 == x7 else (0.0, 0.0, 0.0, 0.0)
        c0, d0 = v0 * a0, v0 * b0
        c1, d1 = v1 * a1, v1 * b1
        c2, d2 = v2 * a2, v2 * b2
        c3, d3 = v3 * a3, v3 * b3
        c4, d4 = v4 * a4, v4 * b4
        c5, d5 = v5 * a5, v5 * b5
        c6, d6 = v6 * a6, v6 * b6
        c7, d7 = v7 * a7, v7 * b7
        s[p] += ((k0 + k1) + (k2 + k3)) + ((k4 + k5) + (k6 + k7))
        s[p + 2 * TILE] += ((v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3)) + (
            (v4 * v4 + v5 * v5) + (v6 * v6 + v7 * v7)
        )
        total = s[p + TILE] + (((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7)))
        sum_x = ((c0 + c1) + (c2 + c3)) + ((c4 + c5) + (c6 + c7))
        sum_z = ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))
        part = 1.0 / total if total > 0.0 else 0.0
        step_x, step_z = sum_x * part, sum_z * part
        s[p + TILE] = total
        s[p + 3 * TILE] = x + step_x
        s[p + 4 * TILE] = u + step_z
        s[p + 5 * TILE] += (
            ((c0 * a0 + c1 * a1) + (c2 * a2 + c3 * a3)) + ((c4 * a4 + c5 * a5) + (c6 * a6 + c7 * a7))
        ) - sum_x * step_x
        s[p + 6 * TILE] += (
            ((c0 * b0 + c1 * b1) + (c2 * b2 + c3 * b3)) + ((c4 * b4 + c5 * b5) + (c6 * b6 + c7 * b7))
        ) - sum_x * step_z
        s[p + 7 * TILE] += (
            ((d0 * b0 + d1 * b1) + (d2 * b2 + d3 * b3)) + ((d4 * b4 + d5 * b5) + (d6 * b6 + d7 * b7))
        ) - sum_z * step_z


@njit(cache=True, nogil=True)
def _one_pair(s, z, w):  # type: ignore[no-untyped-def]
    """Add one pair per pixel (Welford, West)."""
    for p in range(TILE):
        x = s[p + STATES * TILE]
        there = x == x
        v = w if there else 0.0
        dx = x - s[p + 3 * TILE] if there else 0.0
        dz = z - s[p + 4 * TILE] if there else 0.0
        total = s[p + TILE] + v
        part = v / total if total > 0.0 else 0.0
        step_x, step_z = dx * part, dz * part
        s[p] += 1.0 if there else 0.0
        s[p + TILE] = total
        s[p + 2 * TILE] += v * v
        s[p + 3 * TILE] += step_x
        s[p + 4 * TILE] += step_z
        s[p + 5 * TILE] += v * dx * (dx - step_x)
        s[p + 6 * TILE] += v * dx * (dz - step_z)
        s[p + 7 * TILE] += v * dz * (dz - step_z)


@njit(cache=True, nogil=True)
def merge_pairs(ours, theirs):  # type: ignore[no-untyped-def]
    """Merge the second states into the first (Chan et al.); an empty side changes no bit.

    Parameters
    ----------
    ours, theirs : tuple of ndarray
        Sum of weights, means of x and z, sums of products, flat.
    """
    w, x, z, xx, xz, zz = ours
    n, u, v, uu, uv, vv = theirs
    for p in range(len(w)):
        if n[p] == 0:
            continue
        both = np.float64(w[p]) + np.float64(n[p])
        part = np.float64(n[p]) / both
        dx, dz, weight = u[p] - x[p], v[p] - z[p], np.float64(w[p]) * part
        xx[p] += uu[p] + dx * dx * weight
        xz[p] += uv[p] + dx * dz * weight
        zz[p] += vv[p] + dz * dz * weight
        x[p] = u[p] if w[p] == 0 else x[p] + dx * part
        z[p] = v[p] if w[p] == 0 else z[p] + dz * part


@njit(cache=True, nogil=True)
def finish(n, mean, squares, into, error):  # type: ignore[no-untyped-def]
    """Make means and standard errors, float32, of counts, means and squared deviations; NaN where there is none."""
    for p in range(len(n)):
        count, m, q = np.float64(n[p]), mean[p], squares[p]
        finite = q - q == 0.0
        into[p] = np.float32(m) if finite and count > 0.0 else np.float32(np.nan)
        variance = q / (count * (count - 1.0)) if count > 1.0 else np.nan
        error[p] = np.float32(np.sqrt(variance)) if finite else np.float32(np.nan)
