"""Where outputs have values, as far as what they are made of was there: marked where not, and said in the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import touched, untouched, valid_name
from ..declare.views import missing_value
from ..planning.sight import root

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput, Partial
    from ..planning.binding import BoundAlgorithm
    from ..planning.sight import Sight
    from ..run.index import EntryIndex
    from .account import ChunkState


def nothing_made(state: ChunkState) -> dict[str, NDArray]:
    """Return what is noted of the outputs of a chunk by name, (train,), (row,) or (module, row) of images: nothing."""
    trains, made = state.chunk.last - state.chunk.first, {}
    for o in state.plan.outputs:
        n = state.rows[o.index].stop - state.rows[o.index].start if o.index is not None else 0
        shape = {"train": (trains,), "entry": (n,), "image": (o.pixels[0], n)}.get(o.output.kind)
        if shape is not None:
            made[o.name] = np.zeros(shape, bool)
    return made


def note_block(
    state: ChunkState, bound: BoundAlgorithm, out: Partial, module: int, rows: slice, train: int
) -> None:
    """Note which outputs a block made; images that it did not touch are missing."""
    done = touched(out)
    for o in bound.outputs:
        if o.key in done and o.name in state.made:
            at: Any = {"train": train, "entry": rows}.get(o.output.kind, (module, rows))
            state.made[o.name][at] = True
        elif o.output.kind == "image":
            # Algorithms after this one may read it at once.
            out[o.key][...] = missing_value(np.dtype(o.output.dtype))


def note_train(state: ChunkState, bound: BoundAlgorithm, out: Partial, train: int) -> None:
    """Note which outputs were made of a train."""
    done, own = touched(out), train - state.chunk.first
    for o in bound.outputs:
        if o.name in state.made and o.key in done:
            at = own if o.output.kind == "train" else state.rows_of(o.index, train)
            state.made[o.name][..., at] = True


def seen(state: ChunkState, sight: Sight, first: int, last: int) -> NDArray:
    """Return which frames of some trains an algorithm sees, (module, row) bool."""
    rows = state.rows_between(sight.index, first, last)
    one, *others = (state.got[number][:, rows] for number in sight.inputs)
    there = np.logical_and.reduce([one, *others]) if others else one
    return there & usable(state, sight)[:, rows] if sight.lacks else there


def usable(state: ChunkState, sight: Sight) -> NDArray:
    """Return which frames of the chunk (module, row) an algorithm, and what it reads, can use if they are there."""
    if sight not in state.usable:
        rows, index = state.rows[sight.index], sight.index
        state.usable[sight] = np.ones((len(state.got[sight.inputs[0]]), rows.stop - rows.start), bool)
        for module, cells in sight.lacks:
            state.usable[sight][module] &= ~index.of_cells(rows, cells)
    return state.usable[sight]


def per_train(state: ChunkState, index: EntryIndex, values: NDArray, first: int, last: int) -> NDArray:
    """Return in which trains a value of some row is true, (..., train) bool, from (..., row)."""
    before = np.zeros((*values.shape[:-1], values.shape[-1] + 1), np.int64)
    np.cumsum(values, axis=-1, out=before[..., 1:])
    offsets = index.offsets
    edges = offsets[first : last + 1] - offsets[first]
    return before[..., edges[1:]] > before[..., edges[:-1]]


def has(state: ChunkState, bound: BoundAlgorithm, o: BoundOutput, first: int, last: int) -> NDArray:
    """Return where an output has a value in some trains: (row,), (module, row) of images, or (train,).

    That is where what it is made of was there, and a hook touched it.
    """
    trains = slice(first - state.chunk.first, last - state.chunk.first)
    at = trains if o.output.kind == "train" else state.rows_between(o.index, first, last)
    return np.asarray(_could(state, bound, o, first, last) & state.made[o.name][..., at])


def _could(state: ChunkState, bound: BoundAlgorithm, o: BoundOutput, first: int, last: int) -> NDArray:
    """Return where there was what an output is made of."""
    sight = state.plan.sights[bound.name]
    good = seen(state, sight, first, last)
    if o.output.kind == "image" and bound.algorithm.by_module:
        return good
    rows = np.asarray(good.any(axis=0))
    if o.output.kind == "train":
        return per_train(state, sight.index, rows, first, last)
    assert o.output.alias is not None
    number = root(state.plan, bound.aliases[o.output.alias])
    if number not in sight.inputs:
        trains = per_train(state, sight.index, rows, first, last)
        counts = o.index.counts[first:last]
        own = state.got[number][:, state.rows_between(o.index, first, last)].any(axis=0)
        rows = own & np.repeat(trains, counts)
    return np.broadcast_to(rows, (o.pixels[0], len(rows))) if o.output.kind == "image" else rows


def mark(
    state: ChunkState, bound: BoundAlgorithm, o: BoundOutput, first: int, last: int, images: NDArray | None
) -> None:
    """Let an output say what it lacks in some trains: NaN where the dtype has it, 0 elsewhere.

    Parameters
    ----------
    images : ndarray, (module, row, ...), or None
        Those of these trains that are not kept.
    """
    if images is None and not isinstance(state.arrays[o.name], np.ndarray):
        return
    missing, values = missing_value(np.dtype(o.output.dtype)), images
    if values is None:
        values = state.as_chunk(bound, first, last)[o.key]
    _mark_untouched(state, o, values, first, last)
    there = has(state, bound, o, first, last)
    if not there.all():
        values[~there] = missing


def _mark_untouched(state: ChunkState, o: BoundOutput, values: NDArray, first: int, last: int) -> None:
    """Let values say so that no hook compared with anything: of floats each, of integers whole rows."""
    if o.output.merge not in ("min", "max"):
        return
    still = untouched(values, o.output.merge)
    if values.dtype.kind == "f":
        values[still] = np.nan
    elif still.any():
        trains = slice(first - state.chunk.first, last - state.chunk.first)
        at = trains if o.output.kind == "train" else state.rows_between(o.index, first, last)
        made = state.made[o.name]
        made[..., at] &= ~still.all(axis=tuple(range(made.ndim, still.ndim)))


def mark_lost_rows(state: ChunkState) -> None:
    """Let all rows of frames and trains that nothing was made for say so."""
    for bound in state.plan.algorithms:
        for o in bound.outputs:
            if o.name in state.arrays and o.output.kind in ("entry", "image", "train"):
                mark(state, bound, o, state.chunk.first, state.chunk.last, None)


def accounts(state: ChunkState) -> dict[str, NDArray]:
    """Return what the result says of its rows: modules of each frame, modules of each train, valid integers."""
    first, last, out = state.chunk.first, state.chunk.last, {}
    for n, sight in enumerate(dict.fromkeys(state.plan.sights.values())):
        good = seen(state, sight, first, last)
        valid = per_train(state, sight.index, good, first, last).T
        out[f"modules_used/{n}"] = good.sum(axis=0, dtype=np.int32)
        out[f"valid/{n}"], out[f"train_used/{n}"] = valid, valid.any(axis=1).astype(np.uint8)
    for bound in state.plan.algorithms:
        for o in bound.outputs:
            if o.says_valid and (o.output.store or o.name in state.plan.for_rows):
                out[valid_name(o)] = has(state, bound, o, first, last).T
    return out
