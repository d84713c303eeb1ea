"""Kernels of `azint`: pixels of some frames into bins of q, eight frames per visit.

Eight pixels of eight frames are turned around in registers: the eight values of a pixel are one vector then, and one
table look-up, one addition and one cache line serve all frames. Numba has no such vectors, so that step is written in
the words of its compiler (LLVM), which has them for every processor. Weights of pixels that are valid in all eight
frames, nearly all, are added once for all of them. Each sum is in float64, in the order of pixels (no fastmath), and
only ever grows: a bin without valid pixels is exactly 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

ROWS = 8
"""Frames per visit, and pixels that are turned around together."""
FLOATS, DOUBLES = ir.VectorType(ir.FloatType(), ROWS), ir.VectorType(ir.DoubleType(), ROWS)


@njit(cache=True, nogil=True)
def integrate(frames, bins, weights, numerator, denominator):  # type: ignore[no-untyped-def]
    """Add pixels and their weights to the bins of each frame; NaN goes to neither.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
        Contiguous.
    bins : ndarray of int32, (pixel,)
        Bin of each pixel; one past the last for pixels of no bin.
    weights : ndarray of float32, (pixel,)
    numerator, denominator : ndarray of float64, (frame, bin)
    """
    n, nbins = numerator.shape
    sums, common, single = np.empty((nbins + 1) * ROWS), np.empty(nbins + 1), np.empty((nbins + 1) * ROWS)
    begins = np.empty(ROWS, np.int64)
    for first in range(0, n, ROWS):
        count = min(ROWS, n - first)
        sums[:] = 0.0
        common[:] = 0.0
        single[:] = 0.0
        if count == 1:
            _one(frames[first], bins, weights, sums, common)
        else:
            for row in range(ROWS):
                # The last frame stands in for those that are not there; its sums are looked at once.
                begins[row] = (first + min(row, count - 1)) * len(bins)
            _eight(frames.reshape(-1), begins, bins, weights, sums, common, single)
        for k in range(nbins):
            for row in range(count):
                numerator[first + row, k] += sums[k * ROWS + row]
                denominator[first + row, k] += common[k] + single[k * ROWS + row]


@njit(cache=True, nogil=True)
def _one(values, bins, weights, sums, common):  # type: ignore[no-untyped-def]
    for pixel in range(len(bins)):
        p, k = np.uint64(pixel), np.uint64(bins[pixel])
        there = values[p] == values[p]
        sums[k * np.uint64(ROWS)] += np.float64(values[p]) if there else 0.0
        common[k] += np.float64(weights[p]) if there else 0.0


@njit(cache=True, nogil=True)
def _eight(flat, begins, bins, weights, sums, common, single):  # type: ignore[no-untyped-def]
    """Add eight frames, which begin at some places; `sums` and `single` are (bin, frame), flat."""
    whole = len(bins) // ROWS * ROWS
    for first in range(0, whole, ROWS):
        some, pixel = _add_pixels(flat, begins, first, bins, weights, sums, common), first
        while some:
            if some & 1:
                _weigh(flat, begins, pixel, bins[pixel], weights[pixel], single)
            some >>= 1
            pixel += 1
    for pixel in range(whole, len(bins)):
        _weigh(flat, begins, pixel, bins[pixel], weights[pixel], single)
        for row in range(ROWS):
            x = flat[begins[row] + pixel]
            sums[bins[pixel] * ROWS + row] += np.float64(x) if x == x else 0.0


@njit(cache=True, nogil=True)
def _weigh(flat, begins, pixel, k, weight, single):  # type: ignore[no-untyped-def]
    """Add the weight of a pixel to the frames in which it is valid."""
    for row in range(ROWS):
        x = flat[begins[row] + pixel]
        single[k * ROWS + row] += np.float64(weight) if x == x else 0.0


@intrinsic
def _add_pixels(
    _: Any, flat: Any, begins: Any, first: Any, bins: Any, weights: Any, sums: Any, common: Any
) -> Any:
    """Add eight pixels, from `first` on, of eight frames to `sums`; weights of those valid in all to `common`.

    Returns
    -------
    int
        Bit i is set if pixel i is valid in some of the frames only.
    """

    def write(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        kinds = signature.args
        values = [
            context.make_array(kind)(context, builder, one).data if isinstance(kind, types.Array) else one
            for kind, one in zip(kinds, given, strict=True)
        ]
        return _Writer(builder, kinds[0].dtype, *values).add()

    return types.uint8(flat, begins, first, bins, weights, sums, common), write


class _Writer:
    """Writes the instructions of `_add_pixels`; the arguments are where arrays begin, and the first pixel."""

    def __init__(
        self, builder: ir.IRBuilder, kind: Any, flat: Any, begins: Any, first: Any, *tables: Any
    ) -> None:
        self.b, self.kind, self.flat, self.begins, self.first = builder, kind, flat, begins, first
        self.bins, self.weights, self.sums, self.common = tables

    def add(self) -> Any:
        """Write all of it."""
        b, (rows, some, every) = self.b, self._rows()
        weights = b.load(self._at(self.weights, self.first, FLOATS), align=4)
        weights = b.fpext(b.select(some, ir.Constant(FLOATS, [0.0] * ROWS), weights), DOUBLES)
        for pixel, values in enumerate(self._turned(rows)):
            k = b.zext(b.load(b.gep(self.bins, [b.add(self.first, _number(pixel))])), _number(0).type)
            into = self._at(self.sums, b.mul(k, _number(ROWS)), DOUBLES)
            b.store(b.fadd(b.load(into, align=8), self._doubles(values)), into, align=8)
            total = b.gep(self.common, [k])
            b.store(b.fadd(b.load(total), b.extract_element(weights, _number(pixel))), total)
        return b.bitcast(b.and_(some, b.not_(every)), ir.IntType(ROWS))

    def _rows(self) -> tuple[list[Any], Any, Any]:
        """Read eight pixels of eight frames, 0 for NaN; return also which are NaN in some, and in every frame."""
        b, bits = self.b, ir.VectorType(ir.IntType(1), ROWS)
        rows, some, every = [], ir.Constant(bits, [0] * ROWS), ir.Constant(bits, [1] * ROWS)
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
