"""Kernels of `azint`: pixels of some frames into bins of q, eight frames per visit.

Eight pixels of eight frames are turned around in registers: the eight values of a pixel are one vector then, and one
table look-up, one addition and one cache line serve all frames. Numba has no such vectors, so that step is written in
the words of its compiler (LLVM), which has them for every processor. Weights of pixels that are valid in all eight
frames, nearly all, are added once for all of them. Each sum is in float64, in the order of pixels (no fastmath), and
only ever grows: a bin without valid pixels is exactly 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

ROWS = 8
"""Frames per visit, and pixels that are turned around together."""
SOME = 64
"""Bins that are added at a time to rows far apart."""
LINE = 64
"""Bytes of a cache line."""
FLOATS, DOUBLES = ir.VectorType(ir.FloatType(), ROWS), ir.VectorType(ir.DoubleType(), ROWS)


class Sums(NamedTuple):
    """Where sums go, and which row of it those of each frame."""

    numerator: NDArray
    """float64, (row, bin), as is the denominator."""
    denominator: NDArray
    moments: NDArray
    """float64, (row, kind, bin); no kinds where there are no errors."""
    rows: NDArray
    """int64, (frame,)"""
    pixels: NDArray
    """Integers, (row, bin)."""
    counted: NDArray
    """Rows of these, int64, (frame,)."""


class Scratch:
    """Arrays that `integrate` writes to, and leaves as it found them: 0 everywhere.

    Parameters
    ----------
    bins : int
        The most that a module has.
    """

    def __init__(self, bins: int) -> None:
        of_frames = (bins + 1) * ROWS
        floats, integers = np.dtype("f8"), np.dtype("i8")
        kinds = ((of_frames, floats), (bins + 1, floats), (of_frames, floats))
        self.arrays = tuple(lined(*kind) for kind in (*kinds, (bins + 1, integers), (of_frames, integers)))


def lined(size: int, dtype: np.dtype) -> NDArray:
    """Return an array of 0 that begins with a cache line, so that vectors of it never lie across two."""
    array: NDArray = np.zeros(size + LINE // 8, dtype)
    first = -array.ctypes.data % LINE // 8
    return array[first : first + size]


@njit(cache=True, nogil=True)
def integrate(frames, bins, weights, there, into, scratch):  # type: ignore[no-untyped-def]
    """Add pixels, their weights and their number to the bins of frames; NaN goes to none of them.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
        Contiguous.
    bins : ndarray of int32, (pixel,)
        Bin of each pixel among those of the module; one past the last for pixels of no bin.
    weights : ndarray of float32, (pixel,)
    there : (ndarray of int32, ndarray of int64), (bin,)
        Which bins the module has, among all, and how many pixels each of them has.
    into : Sums
    scratch : tuple
        The arrays of `Scratch`.
    """
    n = len(frames)
    sums, common, single, gone, lost = scratch
    begins = np.empty(ROWS, np.int64)
    for first in range(0, n, ROWS):
        count, holes = min(ROWS, n - first), False
        if count == 1:
            _one(frames[first], bins, weights, sums, common, gone)
        else:
            for row in range(ROWS):
                # The last frame stands in for those that are not there; its sums are looked at once.
                begins[row] = (first + min(row, count - 1)) * len(bins)
            holes = _eight(frames.reshape(-1), begins, bins, weights, sums, common, single, gone, lost)
        rows, counted = into.rows[first : first + count], into.counted[first : first + count]
        _add(sums, there[0], rows, into.numerator)
        _add_common(common, single, holes, there[0], rows, into.denominator)
        _add_number(gone, lost, holes, there, counted, into.pixels)


@njit(cache=True, nogil=True)
def _add(sums, there, rows, into):  # type: ignore[no-untyped-def]
    """Add sums of frames, (bin, frame), to rows, some bins at a time, which stay in the cache; they are 0 then."""
    for start in range(0, len(there), SOME):
        stop = min(start + SOME, len(there))
        if len(into) == 1:
            for k in range(start, stop):
                total = into[0, there[k]]
                for row in range(len(rows)):
                    total += sums[k * ROWS + row]
                into[0, there[k]] = total
        else:
            for row in range(len(rows)):
                to = into[rows[row]]
                for k in range(start, stop):
                    to[there[k]] += sums[k * ROWS + row]
        sums[start * ROWS : stop * ROWS] = 0.0
    sums[len(there) * ROWS : (len(there) + 1) * ROWS] = 0.0


@njit(cache=True, nogil=True)
def _add_common(common, single, holes, there, rows, into):  # type: ignore[no-untyped-def]
    """Add what all frames share, and what each has more if pixels are missing in some; both are 0 then."""
    n = len(there)
    if len(into) == 1:
        for k in range(n):
            total = into[0, there[k]]
            for row in range(len(rows)):
                total += common[k] + single[k * ROWS + row] if holes else common[k]
            into[0, there[k]] = total
    else:
        for start in range(0, n, SOME):
            for row in range(len(rows)):
                to = into[rows[row]]
                for k in range(start, min(start + SOME, n)):
                    to[there[k]] += common[k] + single[k * ROWS + row] if holes else common[k]
    common[: n + 1] = 0.0
    if holes:
        single[: (n + 1) * ROWS] = 0.0


@njit(cache=True, nogil=True)
def _add_number(gone, lost, holes, there, counted, into):  # type: ignore[no-untyped-def]
    """Add how many pixels bins have, but for those that are missing in all frames, or in some."""
    which, number = there
    n, count = len(which), len(counted)
    if len(into) == 1:
        to = into[0]
        for k in range(n):
            missing = count * gone[k]
            if holes:
                for row in range(count):
                    missing -= lost[k * ROWS + row]
            to[which[k]] += count * number[k] - missing
    else:
        for row in range(count):
            to = into[counted[row]]
            for k in range(n):
                to[which[k]] += number[k] - gone[k] + (lost[k * ROWS + row] if holes else 0)
    gone[: n + 1] = 0
    if holes:
        lost[: (n + 1) * ROWS] = 0


@njit(cache=True, nogil=True)
def _one(values, bins, weights, sums, common, gone):  # type: ignore[no-untyped-def]
    for pixel in range(len(bins)):
        p, k = np.uint64(pixel), np.uint64(bins[pixel])
        there = values[p] == values[p]
        sums[k * np.uint64(ROWS)] += np.float64(values[p]) if there else 0.0
        common[k] += np.float64(weights[p]) if there else 0.0
        gone[k] += 0 if there else 1


@njit(cache=True, nogil=True)
def _eight(flat, begins, bins, weights, sums, common, single, gone, lost):  # type: ignore[no-untyped-def]
    """Add eight frames, which begin at some places; `sums` and `single` are (bin, frame), flat.

    Returns
    -------
    bool
        Whether any pixel may be NaN in some of the frames only.
    """
    whole, holes = len(bins) // ROWS * ROWS, len(bins) % ROWS != 0
    for first in range(0, whole, ROWS):
        found = _add_pixels(flat, begins, first, bins, weights, sums, common)
        if found:
            holes |= _skip(found, flat, begins, first, bins, weights, single, gone, lost)
    for pixel in range(whole, len(bins)):
        _weigh(flat, begins, pixel, bins[pixel], weights[pixel], single, lost)
        for row in range(ROWS):
            x = flat[begins[row] + pixel]
            sums[bins[pixel] * ROWS + row] += np.float64(x) if x == x else 0.0
    return holes


@njit(cache=True, nogil=True)
def _skip(found, flat, begins, first, bins, weights, single, gone, lost):  # type: ignore[no-untyped-def]
    """Look at those of eight pixels again that are NaN in some frames or in all, as `_add_pixels` returned."""
    some, every, pixel = found & 255, found >> 8, first
    while some | every:
        if some & 1:
            _weigh(flat, begins, pixel, bins[pixel], weights[pixel], single, lost)
        gone[bins[pixel]] += every & 1
        some >>= 1
        every >>= 1
        pixel += 1
    return (found & 255) != 0


@njit(cache=True, nogil=True)
def _weigh(flat, begins, pixel, k, weight, single, lost):  # type: ignore[no-untyped-def]
    """Add the weight of a pixel to the frames in which it is valid, and say in which it is not."""
    for row in range(ROWS):
        x = flat[begins[row] + pixel]
        single[k * ROWS + row] += np.float64(weight) if x == x else 0.0
        lost[k * ROWS + row] -= 0 if x == x else 1


@njit(cache=True, nogil=True)
def moments(frames, bins, weights, own, there, into):  # type: ignore[no-untyped-def]
    """Add what `integrate` adds, with a dark and weights of pixels, and what errors are made of.

    Parameters
    ----------
    frames, bins, weights, there, into
        As of `integrate`; `weights` are products with those of pixels.
    own : (ndarray of float32, ndarray of float32), (pixel,)
        Dark and weight of each pixel.

    Notes
    -----
    With y = w (x - dark) and c the weight, into.moments gets one row, the sum of w^2 x, or three, of y^2, y c and c^2.
    """
    dark, weight = own
    sums = np.empty((len(there[0]) + 1, 8))
    for f in range(len(frames)):
        sums[:] = 0.0
        for pixel in range(len(bins)):
            x, w, c = np.float64(frames[f, pixel]), np.float64(weight[pixel]), np.float64(weights[pixel])
            y = w * (x - np.float64(dark[pixel]))
            if y == y:
                s = sums[bins[pixel]]
                s[0] += y
                s[1] += c
                s[2] += 1.0
                s[3] += w * w * x
                s[4] += y * y
                s[5] += y * c
                s[6] += c * c
        _add_moments(f, sums, there[0], into)


@njit(cache=True, nogil=True)
def _add_moments(f, sums, there, into):  # type: ignore[no-untyped-def]
    at, kinds = into.rows[f], into.moments.shape[1]
    first = 3 if kinds == 1 else 4
    for k in range(len(there)):
        into.numerator[at, there[k]] += sums[k, 0]
        into.denominator[at, there[k]] += sums[k, 1]
        into.pixels[into.counted[f], there[k]] += np.int64(sums[k, 2])
        for kind in range(kinds):
            into.moments[at, kind, there[k]] += sums[k, first + kind]


@intrinsic
def _add_pixels(
    _: Any, flat: Any, begins: Any, first: Any, bins: Any, weights: Any, sums: Any, common: Any
) -> Any:
    """Add eight pixels, from `first` on, of eight frames to `sums`; weights of those valid in all to `common`.

    Returns
    -------
    int
        Bit i is set if pixel i is valid in some of the frames only, bit 8 + i if it is in none.
    """

    def write(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        values = _pointers(context, builder, signature, given)
        return _Writer(builder, signature.args[0].dtype, *values).add()

    return types.uint16(flat, begins, first, bins, weights, sums, common), write


def _pointers(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> list[Any]:
    """Return arguments, of arrays where they begin."""
    return [
        context.make_array(kind)(context, builder, one).data if isinstance(kind, types.Array) else one
        for kind, one in zip(signature.args, given, strict=True)
    ]


class _Writer:
    """Writes the instructions of `_add_pixels`; the arguments are where arrays begin, and the first pixel."""

    def __init__(
        self, builder: ir.IRBuilder, kind: Any, flat: Any, begins: Any, first: Any, *tables: Any
    ) -> None:
        self.b, self.kind, self.flat, self.begins, self.first = builder, kind, flat, begins, first
        if tables:
            self.bins, self.weights, self.sums, self.common = tables

    def add(self) -> Any:
        """Write all of it."""
        rows, some, every = self._rows()
        self._put([self._doubles(values) for values in self._turned(rows)], some)
        return self._lost(some, every)

    def _put(self, pixels: list[Any], some: Any) -> None:
        """Add pixels of all frames to their bins, and the weights of those that are valid in all."""
        b = self.b
        weights = b.load(self._at(self.weights, self.first, FLOATS), align=4)
        weights = b.fpext(b.select(some, ir.Constant(FLOATS, [0.0] * ROWS), weights), DOUBLES)
        for pixel, values in enumerate(pixels):
            k = b.zext(b.load(b.gep(self.bins, [b.add(self.first, _number(pixel))])), _number(0).type)
            into = self._at(self.sums, b.mul(k, _number(ROWS)), DOUBLES)
            b.store(b.fadd(b.load(into, align=8), values), into, align=8)
            total = b.gep(self.common, [k])
            b.store(b.fadd(b.load(total), b.extract_element(weights, _number(pixel))), total)

    def _lost(self, some: Any, every: Any) -> Any:
        """Return which pixels are NaN in some of the frames only, and in the bits above which are in all."""
        b = self.b
        lost = [
            b.zext(b.bitcast(which, ir.IntType(ROWS)), ir.IntType(2 * ROWS))
            for which in (b.and_(some, b.not_(every)), every)
        ]
        return b.or_(lost[0], b.shl(lost[1], ir.Constant(lost[1].type, ROWS)))

    def _rows(self) -> tuple[list[Any], Any, Any]:
        """Read eight pixels of eight frames, 0 for NaN; return also which are NaN in some, and in every frame."""
        b, bits = self.b, ir.VectorType(ir.IntType(1), ROWS)
        rows, some = [], ir.Constant(bits, [0] * ROWS)
        every = ir.Constant(bits, [int(isinstance(self.kind, types.Float))] * ROWS)
        for row in range(ROWS):
            begin = b.load(b.gep(self.begins, [_number(row)]))
            kind = ir.VectorType(self.flat.type.pointee, ROWS)
            values = b.load(
                self._at(self.flat, b.add(begin, self.first), kind), align=self.kind.bitwidth // 8
            )
            if isinstance(self.kind, types.Float):
                lost = b.fcmp_unordered("uno", values, values)
                some, every = b.or_(some, lost), b.and_(every, lost)
                values = b.select(lost, ir.Constant(kind, [0.0] * ROWS), values)
            rows.append(values)
        return rows, some, every

    def _turned(self, rows: list[Any]) -> list[Any]:
        """Turn rows into columns: three times, the first half is shuffled into the second like cards."""
        for _ in range(3):
            pairs = [(rows[i], rows[i + ROWS // 2]) for i in range(ROWS // 2)]
            rows = [
                self.b.shuffle_vector(*pair, half)
                for pair in pairs
                for half in (_cards(0), _cards(ROWS // 2))
            ]
        return rows

    def _doubles(self, values: Any) -> Any:
        """Return values as float64."""
        if hasattr(self.kind, "signed"):
            return (self.b.sitofp if self.kind.signed else self.b.uitofp)(values, DOUBLES)
        return values if values.type == DOUBLES else self.b.fpext(values, DOUBLES)

    def _at(self, array: Any, number: Any, kind: ir.VectorType) -> Any:
        """Return where a vector in an array is."""
        return self.b.bitcast(self.b.gep(array, [number]), kind.as_pointer())


def _number(n: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), n)


def _cards(first: int) -> ir.Constant:
    """Return which values of two vectors make a third: one of the first, one of the second, and so on."""
    order: NDArray = (first + np.arange(ROWS // 2))[:, None] + [0, ROWS]
    return ir.Constant(ir.VectorType(ir.IntType(32), ROWS), order.ravel().tolist())
