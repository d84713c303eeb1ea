"""Kernels of `average`: sums of a block of frames, pixel by pixel, eight frames per visit.

Arrays are flat: frames (frame, pixel), states (pixel,), those of several groups one after the other. A tile of pixels
is worked on at a time and stays in the first-level cache; frames of a group go together. It is copied to one scratch
array, rows a constant `TILE` apart: that way the compiler can prove that nothing overlaps and uses vector instructions;
with eight rows and three states it would give up. Nothing is reordered by the compiler (no fastmath): the same bits on
every processor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 256
"""Pixels."""
ROWS = 8
"""Frames per visit."""


class Sorted(NamedTuple):
    """Which frames of a block go together, and where: ``order[edges[i]:edges[i + 1]]`` to the group ``slots[i]``."""

    order: NDArray
    edges: NDArray
    slots: NDArray
    step: int
    """From a group to the next in the flat states."""

    @classmethod
    def by(cls, slots: NDArray, step: int) -> Sorted:
        """Sort frames by their groups, -1 of none, in their order in each of them."""
        order = np.argsort(slots, kind="stable")
        order = order[np.count_nonzero(slots < 0) :]
        own, first = np.unique(slots[order], return_index=True)
        return cls(order, np.append(first, len(order)), own.astype(np.int64), step)


@njit(cache=True, nogil=True)
def add_floats(frames, into, count, mean, squares):  # type: ignore[no-untyped-def]
    """Add frames to count, mean and sum of squared deviations from the mean of their groups; NaN is skipped."""
    pixels = frames.shape[1]
    for i in range(len(into.slots)):
        at, order = into.slots[i] * into.step, into.order[into.edges[i] : into.edges[i + 1]]
        c, m, q = count[at : at + pixels], mean[at : at + pixels], squares[at : at + pixels]
        _add_group_of_floats(frames, order, c, m, q)


@njit(cache=True, nogil=True)
def _add_group_of_floats(frames, order, count, mean, squares):  # type: ignore[no-untyped-def]
    n, pixels = len(order), frames.shape[1]
    rows, valid = np.empty(ROWS * TILE, frames.dtype), np.empty(TILE, np.int32)
    for lo in range(0, pixels, TILE):
        hi, first = min(lo + TILE, pixels), 0
        c, m, q = count[lo:hi], mean[lo:hi], squares[lo:hi]
        while hi - lo == TILE and first + ROWS <= n:
            for row in range(ROWS):
                _copy(rows[row * TILE : (row + 1) * TILE], frames[order[first + row], lo:hi])
            _count_valid(rows, valid)
            if _any_begins(c, valid):
                _start(rows, c, m)
            _eight_floats(rows, valid, c, m, q)
            first += ROWS
        for frame in range(first, n):
            _one_float(frames[order[frame], lo:hi], c, m, q)


@njit(cache=True, nogil=True)
def _count_valid(x, valid):  # type: ignore[no-untyped-def]
    """Count the valid values of each pixel: apart from the sums, whose numbers are twice as wide."""
    for p in range(TILE):
        x0, x1, x2, x3 = x[p], x[p + TILE], x[p + 2 * TILE], x[p + 3 * TILE]
        x4, x5, x6, x7 = x[p + 4 * TILE], x[p + 5 * TILE], x[p + 6 * TILE], x[p + 7 * TILE]
        few = ((x0 == x0) + (x1 == x1)) + ((x2 == x2) + (x3 == x3))
        valid[p] = few + (((x4 == x4) + (x5 == x5)) + ((x6 == x6) + (x7 == x7)))


@njit(cache=True, nogil=True)
def _eight_floats(x, valid, count, mean, squares):  # type: ignore[no-untyped-def]
    """Add eight values per pixel: sums of (x - mean so far), which loses no digits, then one update."""
    for p in range(TILE):
        x0, x1, x2, x3 = x[p], x[p + TILE], x[p + 2 * TILE], x[p + 3 * TILE]
        x4, x5, x6, x7 = x[p + 4 * TILE], x[p + 5 * TILE], x[p + 6 * TILE], x[p + 7 * TILE]
        so_far = mean[p]
        d0 = np.float64(x0) - so_far if x0 == x0 else 0.0
        d1 = np.float64(x1) - so_far if x1 == x1 else 0.0
        d2 = np.float64(x2) - so_far if x2 == x2 else 0.0
        d3 = np.float64(x3) - so_far if x3 == x3 else 0.0
        d4 = np.float64(x4) - so_far if x4 == x4 else 0.0
        d5 = np.float64(x5) - so_far if x5 == x5 else 0.0
        d6 = np.float64(x6) - so_far if x6 == x6 else 0.0
        d7 = np.float64(x7) - so_far if x7 == x7 else 0.0
        total = ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))
        square = ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7))
        n = count[p] + valid[p]
        step = total / np.float64(max(n, np.int32(1)))
        count[p] = n
        mean[p] = so_far + step
        squares[p] += square - total * step


@njit(cache=True, nogil=True)
def _any_begins(count, valid):  # type: ignore[no-untyped-def]
    """Return whether there is a pixel with its first value; those that never have one, bad ones, do not matter."""
    least = np.int32(1)
    for p in range(TILE):
        least = min(least, count[p] if valid[p] > 0 else np.int32(1))
    return least <= 0


@njit(cache=True, nogil=True)
def _start(x, count, mean):  # type: ignore[no-untyped-def]
    """Let pixels without a value so far count from their first one, so that large means lose no digits."""
    for p in range(TILE):
        a = x[p]
        for row in range(1, ROWS):
            b = x[p + row * TILE]
            a = a if a == a else b
        first = np.float64(a) if a == a else 0.0
        mean[p] = mean[p] if count[p] > 0 else first


@njit(cache=True, nogil=True)
def _one_float(x, count, mean, squares):  # type: ignore[no-untyped-def]
    """Add one value per pixel (Welford)."""
    for p in range(len(x)):
        there = x[p] == x[p]
        d = np.float64(x[p]) - mean[p] if there else 0.0
        n = count[p] + np.int32(there)
        step = d / np.float64(max(n, np.int32(1)))
        count[p] = n
        mean[p] += step
        squares[p] += d * (d - step)


@njit(cache=True, nogil=True)
def add_integers(frames, into, count, total, squares):  # type: ignore[no-untyped-def]
    """Add frames of 8- or 16-bit integers to int64 sums and sums of squares of their groups: exact."""
    pixels = frames.shape[1]
    for i in range(len(into.slots)):
        at, order = into.slots[i] * into.step, into.order[into.edges[i] : into.edges[i + 1]]
        c, t, q = count[at : at + pixels], total[at : at + pixels], squares[at : at + pixels]
        _add_group_of_integers(frames, order, c, t, q)


@njit(cache=True, nogil=True)
def _add_group_of_integers(frames, order, count, total, squares):  # type: ignore[no-untyped-def]
    n, pixels = len(order), frames.shape[1]
    rows = np.empty(ROWS * TILE, frames.dtype)
    for lo in range(0, pixels, TILE):
        hi, first = min(lo + TILE, pixels), 0
        t, q = total[lo:hi], squares[lo:hi]
        while hi - lo == TILE and first + ROWS <= n:
            for row in range(ROWS):
                _copy(rows[row * TILE : (row + 1) * TILE], frames[order[first + row], lo:hi])
            _eight_integers(rows, t, q)
            first += ROWS
        for frame in range(first, n):
            _one_integer(frames[order[frame], lo:hi], t, q)
        # Not of the slice at once: to compile what numba says of slices that do not fit takes seconds.
        for p in range(lo, hi):
            count[p] += np.int32(n)


@njit(cache=True, nogil=True)
def _eight_integers(x, total, squares):  # type: ignore[no-untyped-def]
    for p in range(TILE):
        s, q = np.int32(0), np.uint64(0)
        for row in range(ROWS):
            v = np.int32(x[p + row * TILE])
            s += v
            # Below 2**32 also for 65535: 32-bit products are twice as fast as 64-bit ones.
            q += np.uint64(np.uint32(v * v))
        total[p] += np.int64(s)
        squares[p] += np.int64(q)


@njit(cache=True, nogil=True)
def _one_integer(x, total, squares):  # type: ignore[no-untyped-def]
    for p in range(len(x)):
        v = np.int64(x[p])
        total[p] += v
        squares[p] += v * v


@njit(cache=True, nogil=True)
def merge_floats(count, mean, squares, n, m, q):  # type: ignore[no-untyped-def]
    """Merge (n, m, q) into (count, mean, squares), flat arrays (Chan et al.); an empty side changes no bit.

    Both ways are worked out for each pixel and one is taken: nothing branches, so pixels without values cost nothing.
    """
    for p in range(len(count)):
        ours, theirs = count[p], n[p]
        d = m[p] - mean[p]
        step = d * (np.float64(theirs) / np.float64(max(ours + theirs, np.int32(1))))
        mean_of_both = mean[p] + step
        squares_of_both = squares[p] + (q[p] + d * step * np.float64(ours))
        mean_of_both = m[p] if ours == 0 else mean_of_both
        squares_of_both = q[p] if ours == 0 else squares_of_both
        mean[p] = mean[p] if theirs <= 0 else mean_of_both
        squares[p] = squares[p] if theirs <= 0 else squares_of_both
        count[p] = ours + theirs


@njit(cache=True, nogil=True)
def _copy(into, values):  # type: ignore[no-untyped-def]
    for p in range(len(into)):
        into[p] = values[p]
