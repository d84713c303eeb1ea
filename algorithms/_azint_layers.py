"""Several tables of `azint` in one sweep: pixels are turned around once, and added to the bins of each layer.

In a layer are the bins of tables that have no pixel in common, such as ranges of q beside each other: they take no more
than one of them. Each bin gets its pixels in their order, so that its bits are those of its table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dxflow import ModuleBlock, Partial

from ._azint_kernels import (
    DOUBLES,
    ROWS,
    Sums,
    _add,
    _add_common,
    _add_number,
    _number,
    _pointers,
    _skip,
    _weigh,
    _Writer,
    integrate,
    lined,
)
from ._azint_tables import Table
from .litframes import usable


class Work(NamedTuple):
    """What a sweep fills, (layer, bin): of eight frames, where it says so, (layer, bin x frame)."""

    sums: NDArray
    """float64, of eight frames."""
    common: NDArray
    """float64: weights of pixels that are valid in all frames."""
    single: NDArray
    """float64, of eight frames: those of others."""
    gone: NDArray
    """int64: pixels that are valid in none."""
    lost: NDArray
    """int64, of eight frames, minus the pixels that are not valid in it, but in others."""
    turned: NDArray
    """float64: eight pixels of eight frames."""

    @classmethod
    def of(cls, layers: int, bins: int) -> Work:
        """Return work arrays of a number of layers and bins."""
        floats, integers = np.dtype("f8"), np.dtype("i8")

        def of(n: int, kind: np.dtype) -> NDArray:
            return lined(layers * bins * n, kind).reshape(layers, -1)

        sums, common, single = of(ROWS, floats), of(1, floats), of(ROWS, floats)
        turned = lined(ROWS * ROWS, floats)
        return cls(sums, common, single, of(1, integers), of(ROWS, integers), turned)


@njit(cache=True, nogil=True)
def sweep(frames, layers, weights, some, work):  # type: ignore[no-untyped-def]
    """Add two to eight frames to the bins of several layers, each of which has at most one bin for a pixel.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
        Contiguous.
    layers : ndarray of int32, (layer, pixel)
        Bin of each pixel in each layer, the last one for those of none.
    weights : ndarray of float32, (layer, pixel)
    some : ndarray of bool, (layer, pixel // ROWS)
        Whether any of so many pixels has a bin.
    work : Work
        Filled.

    Returns
    -------
    bool
        Whether any pixel may be NaN in some of the frames only.
    """
    count, size = frames.shape
    flat, turned, begins = frames.reshape(-1), work.turned, np.empty(ROWS, np.int64)
    for row in range(ROWS):
        # The last frame stands in for those that are not there; its sums are looked at once.
        begins[row] = min(row, count - 1) * size
    work.sums[:], work.common[:], work.single[:], work.gone[:], work.lost[:] = 0, 0, 0, 0, 0
    whole, holes = size // ROWS * ROWS, size % ROWS != 0
    for first in range(0, whole, ROWS):
        found = _turn(flat, begins, first, turned)
        nan = np.uint8((found | (found >> 8)) & 255)
        holes |= (found & 255) != 0
        for k in range(len(layers)):
            if not some[k, first // ROWS]:
                continue
            _add_turned(turned, nan, first, layers[k], weights[k], work.sums[k], work.common[k])
            if found:
                into = work.single[k], work.gone[k], work.lost[k]
                _skip(found, flat, begins, first, layers[k], weights[k], *into)
    for pixel in range(whole, size):
        for k in range(len(layers)):
            at = np.int64(layers[k, pixel])
            _weigh(flat, begins, pixel, at, weights[k, pixel], work.single[k], work.lost[k])
            for row in range(ROWS):
                x = flat[begins[row] + pixel]
                work.sums[k, at * ROWS + row] += np.float64(x) if x == x else 0.0
    return holes


@njit(cache=True, nogil=True)
def deliver(work, holes, layer, start, there, into):  # type: ignore[no-untyped-def]
    """Add the sums of a sweep to where those of one table go, whose bins begin somewhere in a layer."""
    bins, flat = slice(start, start + len(there[0])), slice(start * ROWS, (start + len(there[0])) * ROWS)
    common, single, lost = work.common[layer, bins], work.single[layer, flat], work.lost[layer, flat]
    _add(work.sums[layer, flat], there[0], into.rows, into.numerator)
    _add_common(common, single, holes, there[0], into.rows, into.denominator)
    _add_number(work.gone[layer, bins], lost, holes, there, into.counted, into.pixels)


@intrinsic
def _turn(_: Any, flat: Any, begins: Any, first: Any, turned: Any) -> Any:
    """Write eight pixels, from `first` on, of eight frames, as (pixel, frame); return as `_add_pixels` does."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        flat, begins, first, turned = _pointers(context, builder, signature, given)
        writer = _Writer(builder, signature.args[0].dtype, flat, begins, first)
        rows, some, every = writer._rows()
        for pixel, values in enumerate(writer._turned(rows)):
            into = writer._at(turned, _number(pixel * ROWS), DOUBLES)
            builder.store(writer._doubles(values), into, align=8)
        return writer._lost(some, every)

    return types.uint16(flat, begins, first, turned), write


@intrinsic
def _add_turned(
    _: Any, turned: Any, nan: Any, first: Any, bins: Any, weights: Any, sums: Any, common: Any
) -> Any:
    """Add what `_turn` wrote to `sums`; weights of the pixels whose bit in `nan` is not set to `common`."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, given: Any) -> Any:
        turned, nan, first, *tables = _pointers(context, builder, signature, given)
        writer = _Writer(builder, None, None, None, first, *tables)
        some = builder.bitcast(nan, ir.VectorType(ir.IntType(1), ROWS))
        writer._put(
            [builder.load(writer._at(turned, _number(p * ROWS), DOUBLES), align=8) for p in range(ROWS)], some
        )
        return context.get_dummy_value()

    return types.void(turned, nan, first, bins, weights, sums, common), write


@dataclass(frozen=True, eq=False)
class Layers:
    """Tables of a module put together: in a layer are the bins of tables that have no pixel in common."""

    bins: NDArray
    """int32, (layer, pixel): those of all tables of the layer, one after the other; the last one of pixels of none."""
    weights: NDArray
    """float32, (layer, pixel)."""
    some: NDArray
    """bool, (layer, pixel // ROWS): whether any of so many pixels has a bin."""
    places: list[tuple[int, int]]
    """Of each table, its layer and its first bin there."""
    work: Any
    """What a sweep works in."""


def layers(tables: Sequence[Table], module: int) -> Layers:
    """Return the tables of a module in as few layers as come of taking one after the other."""
    own = [t.bins[module] < len(t.there[module][0]) for t in tables]
    taken: list[NDArray] = []
    places, sizes = [], list[int]()
    for table, used in zip(tables, own, strict=True):
        layer = next((n for n, other in enumerate(taken) if not (other & used).any()), len(taken))
        if layer == len(taken):
            taken.append(np.zeros_like(used))
            sizes.append(0)
        taken[layer] |= used
        places.append((layer, sizes[layer]))
        sizes[layer] += len(table.there[module][0])
    bins = np.full((len(taken), own[0].size), max(sizes), np.int32)
    weights = np.zeros(bins.shape, np.float32)
    for table, used, (layer, start) in zip(tables, own, places, strict=True):
        bins[layer, used] = table.bins[module][used] + start
        weights[layer, used] = table.weights[module][used]
    whole = own[0].size // ROWS
    some = np.any(np.array(taken)[:, : whole * ROWS].reshape(len(taken), whole, ROWS), axis=2)
    return Layers(bins, weights, np.asarray(some), places, Work.of(len(taken), max(sizes) + 1))


class Joined:
    """Layers of modules, made when they are first needed."""

    def __init__(self) -> None:
        self._known: dict[int, Layers] = {}

    def of(self, tables: Sequence[Table], module: int) -> Layers:
        """Return the layers of a module; the tables are the same each time."""
        if module not in self._known:
            self._known[module] = layers(tables, module)
        return self._known[module]


def serve(instances: Sequence[Any], block: ModuleBlock, outs: Sequence[Partial]) -> None:
    """Do for a block what each instance of `azint` does: in one sweep where nothing but bins and weights is needed."""
    together = []
    for one, out in zip(instances, outs, strict=True):
        if one._made.own is None and one._groups is None:
            together.append((one, one.shares.into(len(block), out, None)))
        else:
            one.process_module_data(block, out)
    if together:
        _integrate(usable(block).reshape(len(block), -1), block.module, together)


def _integrate(frames: NDArray, module: int, together: Sequence[tuple[Any, Sums]]) -> None:
    """Integrate frames of a module in the bins of several instances, as `integrate` does for each."""
    joined = together[0][0]._joined.of([one._made for one, _ in together], module)
    for first in range(0, len(frames), ROWS):
        some = slice(first, first + ROWS)
        holes = len(frames[some]) > 1 and sweep(
            frames[some], joined.bins, joined.weights, joined.some, joined.work
        )
        for (layer, start), (one, sums) in zip(joined.places, together, strict=True):
            made, rest = one._made, sums._replace(rows=sums.rows[some], counted=sums.counted[some])
            if len(frames[some]) > 1:
                deliver(joined.work, holes, layer, start, made.there[module], rest)
            else:
                integrate(
                    frames[some],
                    made.bins[module],
                    made.weights[module],
                    made.there[module],
                    rest,
                    one._visit.arrays,
                )
