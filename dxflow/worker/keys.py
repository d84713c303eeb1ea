"""Keys of a chunk: read at once, missing values filled in, handed out by train or by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.views import missing_value

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .account import ChunkState


def read_keys(state: ChunkState) -> None:
    """Read the keys of the whole chunk that no block or train buffer holds."""
    for number in sorted(state.plan.keys):
        bound, rows = state.plan.inputs[number], state.rows[state.plan.inputs[number].index]
        if bound.joined is not None:
            values, good = bound.joined.values[rows], bound.joined.there[rows]
        elif bound.parts:
            values = _joined(state, bound, rows)
            good = ~np.isnan(values)
        else:
            values, good = _read_key(state, bound)
            values[~good] = missing_value(bound.dtype)
        out = np.isin(bound.index.train_positions(rows), list(state.excluded))
        state.keys[number], state.got[number][0] = values, good & ~out
        state.bytes += values.nbytes * (bound.joined is None)


def _read_key(state: ChunkState, bound: BoundInput) -> tuple[NDArray, NDArray]:
    """Return the chunk's entries of a key, (entry, ...), and which of them could be read, (entry,) bool."""
    rows = bound.index.rows(state.chunk.first, state.chunk.last)
    values = np.empty((rows.stop - rows.start, *bound.location.shape), bound.dtype)
    return values, state.read(bound, 0, rows, values)


def _joined(state: ChunkState, bound: BoundInput, rows: slice) -> NDArray:
    """Return a key with one entry per pulse as one value per frame, (row,)."""
    (entries, there), (table, known) = (_per_train(state, part) for part in bound.parts)
    declared: Any = bound.declared
    if state.chunk.part == 0:
        trains = state.plan.train_ids[state.chunk.first : state.chunk.last]
        state.losses += declared.without_pulses(table[known], trains[known])
    return np.asarray(
        declared.per_frame(
            entries,
            table,
            there & known,
            bound.index,
            rows,
            first=state.chunk.first,
            reference=bound.reference,
        )
    )


def _per_train(state: ChunkState, bound: BoundInput) -> tuple[NDArray, NDArray]:
    """Return the first entry of each train, (train, ...), 0 where there is none, and where there is one."""
    values, good = _read_key(state, bound)
    offsets = bound.index.offsets[state.chunk.first : state.chunk.last + 1]
    first = np.minimum(offsets[:-1] - offsets[0], max(len(good) - 1, 0))
    out = np.zeros((len(first), *bound.location.shape), bound.dtype)
    if not len(good):
        return out, np.zeros(len(first), bool)
    there = (np.diff(offsets) > 0) & good[first]
    out[there] = values[first[there]]
    return out, there


def key_of_train(state: ChunkState, number: int, train: int) -> Any:
    """Return a key's entries in a train, (entry, ...); the one value for a control source."""
    bound = state.plan.inputs[number]
    values = state.keys[number][state.rows_of(state.plan.inputs[number].index, train)]
    if bound.kind != "control":
        return values
    return values[0] if len(values) else np.full(bound.location.shape, missing_value(bound.dtype))[()]


def key_of_frames(state: ChunkState, number: int, trains: NDArray, rows: slice) -> tuple[NDArray, NDArray]:
    """Return a key's value for frames (rows, of these trains), (frame, ...), and where it has one, (frame,) bool.

    Rows are those of the frames, as counted from the chunk's first.
    """
    bound, index = state.plan.inputs[number], state.plan.inputs[number].index
    if bound.kind == "pulses":
        return state.keys[number][rows], state.got[number][0, rows]
    row, there = (
        index.offsets[trains] - state.rows[state.plan.inputs[number].index].start,
        index.counts[trains] > 0,
    )
    out = np.full((len(trains), *bound.location.shape), missing_value(bound.dtype), bound.dtype)
    out[there] = state.keys[number][row[there]]
    there[there] = state.got[number][0, row[there]]
    return out, there
