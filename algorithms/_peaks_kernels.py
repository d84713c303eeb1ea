"""Kernels of `peaks`: background of each ring of pixels by iterative clipping, then peaks panel by panel.

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
AROUND_SS = np.array([0, -1, -1, -1, 0, 0, 1, 1, 1])
AROUND_FS = np.array([0, -1, 0, 1, -1, 1, -1, 0, 1])
FLOATS = ir.VectorType(ir.FloatType(), LANES)
ABOVE, TAKEN = np.uint8(1), np.uint8(2)
COLUMNS = 7


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


# The background --------------------------------------------------------------------------------------


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


# The peaks -------------------------------------------------------------------------------------------


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
