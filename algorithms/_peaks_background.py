"""Kernels of `peaks`: the background of each ring of pixels, by iterative clipping, for one setting or for several.

Rings are clipped sixteen at a time: their pixels are gathered side by side, one ring in each lane of a vector, so that
each ring is added up in float32, pixel after pixel in the order of the detector, as peakfinder8 does, and all bits are
the same. Numba has no such vectors, so that loop is written in the words of its compiler (LLVM). After that only pixels
above the threshold of their ring are looked at, a few hundred of a million.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16
"""Rings that are clipped together."""
ROUNDS = 5
"""How often a ring is clipped."""
STEPS = 16
"""Pixels of each ring that are compared with its threshold together."""
LARGEST, SMALLEST, WIDE = np.float32(3.4028235e38), np.float32(1.1754944e-38), np.float32(1e9)
FLOATS = ir.VectorType(ir.FloatType(), LANES)
ABOVE = np.uint8(1)


class Rings(NamedTuple):
    """Pixels at the same distance from the beam."""

    of: Any
    """Ring of each pixel, (pixel,), int32; the last one, whose limit is minus infinity, of pixels that are not used."""
    order: Any
    """Pixels of the rings, (row * LANES,), int32, those of each in a column: the one past the last, NaN, as filling."""
    groups: Any
    """Where the rows of each group begin, (group + 1,); ring r is in column r % LANES of group r // LANES."""
    offset: Any
    """Mean of each ring, (ring + 1,), float32."""
    limit: Any
    """Value from which on a pixel may be of a peak, (ring + 1,), float32."""


@njit(cache=True, nogil=True)
def background(pixels, rings, snr, threshold, state, above):  # type: ignore[no-untyped-def]
    """Clip each ring, and return how many pixels are above the limit of their ring.

    Parameters
    ----------
    pixels : ndarray of float32, (pixel + 1,)
    rings : Rings
        Means and limits are filled in.
    snr, threshold : float32
    state : ndarray of uint8, (pixel,)
        Made ABOVE for the pixels that are found.
    above : ndarray of int32, (pixel,)
        Filled with these.
    """
    found, longest, groups = 0, 0, rings.groups
    for g in range(len(groups) - 1):
        longest = max(longest, groups[g + 1] - groups[g])
    flat = np.empty(longest * LANES, np.float32)
    side = flat.reshape(longest, LANES)
    low, high = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    sums = np.empty((3, LANES), np.float32)
    for g in range(len(groups) - 1):
        first, n = groups[g] * LANES, groups[g + 1] - groups[g]
        _gather(pixels, rings.order[first : first + n * LANES], flat)
        for k in range(LANES):
            low[k], high[k] = -WIDE, WIDE
        for _ in range(ROUNDS):
            _clip(side, n, low, high, sums)
            _limits(sums, snr, threshold, low, high)
        for k in range(LANES):
            rings.offset[g * LANES + k], rings.limit[g * LANES + k] = sums[0, k], high[k]
        found = _collect(side, n, rings.order, first, high, state, above, found)
    return found


@njit(cache=True, nogil=True)
def backgrounds(pixels, rings, snrs, thresholds, offsets, limits, state, above):  # type: ignore[no-untyped-def]
    """Clip each ring for several settings; return how many pixels are above the lowest limit of their ring.

    What each of them gets has the bits of `background`: pixels are gathered once, and their first sums are the same.

    Parameters
    ----------
    pixels, rings, state, above
        As of `background`.
    snrs, thresholds : ndarray of float32, (setting,)
    offsets, limits : ndarray of float32, (setting, ring + 1)
        Filled with means and limits.
    """
    found, longest, groups = 0, 0, rings.groups
    for g in range(len(groups) - 1):
        longest = max(longest, groups[g + 1] - groups[g])
    flat = np.empty(longest * LANES, np.float32)
    side = flat.reshape(longest, LANES)
    low, high, lowest = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    first_sums, sums = np.empty((3, LANES), np.float32), np.empty((3, LANES), np.float32)
    for g in range(len(groups) - 1):
        first, n = groups[g] * LANES, groups[g + 1] - groups[g]
        _gather(pixels, rings.order[first : first + n * LANES], flat)
        low[:], high[:], lowest[:] = -WIDE, WIDE, np.float32(np.inf)
        _clip(side, n, low, high, first_sums)
        for s in range(len(snrs)):
            sums[:] = first_sums
            _limits(sums, snrs[s], thresholds[s], low, high)
            for _ in range(ROUNDS - 1):
                _clip(side, n, low, high, sums)
                _limits(sums, snrs[s], thresholds[s], low, high)
            for k in range(LANES):
                offsets[s, g * LANES + k], limits[s, g * LANES + k] = sums[0, k], high[k]
                lowest[k] = high[k] if high[k] < lowest[k] else lowest[k]
        found = _collect(side, n, rings.order, first, lowest, state, above, found)
    return found


@njit(cache=True, nogil=True)
def _gather(pixels, order, side):  # type: ignore[no-untyped-def]
    for k in range(len(order)):
        side[k] = pixels[np.uint32(order[k])]


@njit(cache=True, nogil=True)
def _limits(sums, snr, threshold, low, high):  # type: ignore[no-untyped-def]
    """Turn sum, sum of squares and number into limits, each step rounded to float32; `sums[0]` becomes the mean."""
    for k in range(LANES):
        n = sums[2, k]
        if n == 0:
            sums[0, k], low[k], high[k] = 0, SMALLEST, LARGEST
            continue
        mean = np.float32(sums[0, k] / n)
        square = np.float32(mean * mean)
        sigma = np.float32(np.float32(sums[1, k] / n) - square)
        # Rounding may leave less than 0; it stays then, as in peakfinder8.
        if sigma >= 0:
            sigma = np.float32(np.sqrt(sigma))
        wide = np.float32(snr * sigma)
        sums[0, k], low[k] = mean, np.float32(mean - wide)
        high[k] = max(np.float32(mean + wide), threshold)


@njit(cache=True, nogil=True)
def _collect(side, n, order, at, high, state, above, found):  # type: ignore[no-untyped-def]
    """Note the pixels above the limit of their ring; those of `side` begin at a place in `order`."""
    for first in range(0, n, STEPS):
        last = min(first + STEPS, n)
        if not _any_above(side[first:last], high):
            continue
        for row in range(first, last):
            for k in range(LANES):
                if side[row, k] > high[k]:
                    pixel = order[at + row * LANES + k]
                    state[pixel], above[found] = ABOVE, pixel
                    found += 1
    return found


@njit(cache=True, nogil=True)
def _any_above(side, high):  # type: ignore[no-untyped-def]
    count = np.int32(0)
    for row in range(len(side)):
        for k in range(LANES):
            count += np.int32(side[row, k] > high[k])
    return count > 0


@intrinsic
def _clip(_: Any, side: Any, n: Any, low: Any, high: Any, sums: Any) -> Any:
    """Add up what is between the limits in each column: values, squares and numbers, row after row."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        kinds = signature.args
        side, low, high, sums = (
            context.make_array(kinds[k])(context, builder, given[k]).data for k in (0, 2, 3, 4)
        )
        vectors = FLOATS.as_pointer()
        below = builder.load(builder.bitcast(high, vectors), align=4)
        over = builder.load(builder.bitcast(low, vectors), align=4)
        rows, into = builder.bitcast(side, vectors), builder.bitcast(sums, vectors)
        made = _loop(builder, given[1], rows, over, below)
        for k, total in enumerate(made):
            builder.store(total, builder.gep(into, [ir.Constant(ir.IntType(64), k)]), align=4)
        return context.get_dummy_value()

    return types.void(side, n, low, high, sums), write


def _loop(b: ir.IRBuilder, n: Any, rows: Any, over: Any, below: Any) -> list[Any]:
    """Write a loop over rows; return what it adds up."""
    whole, before = n.type, b.block
    zero, ones = ir.Constant(FLOATS, [0.0] * LANES), ir.Constant(FLOATS, [1.0] * LANES)
    head, body, after = (b.append_basic_block(name) for name in ("clip", "row", "clipped"))
    b.branch(head)
    b.position_at_end(head)
    at, *totals = b.phi(whole), b.phi(FLOATS), b.phi(FLOATS), b.phi(FLOATS)
    b.cbranch(b.icmp_signed("<", at, n), body, after)
    b.position_at_end(body)
    x = b.load(b.gep(rows, [at]), align=4)
    inside = b.and_(b.fcmp_ordered("<", x, below), b.fcmp_ordered(">", x, over))
    kept = b.select(inside, x, zero)
    added = [
        b.fadd(t, v)
        for t, v in zip(totals, (kept, b.fmul(kept, kept), b.select(inside, ones, zero)), strict=True)
    ]
    step = b.add(at, ir.Constant(whole, 1))
    b.branch(head)
    for phi, start, then in [
        (at, ir.Constant(whole, 0), step),
        *((t, zero, a) for t, a in zip(totals, added, strict=True)),
    ]:
        phi.add_incoming(start, before)
        phi.add_incoming(then, body)
    b.position_at_end(after)
    return totals
