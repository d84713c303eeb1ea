"""What each chunk depends on, where train ids decide the chunks: a run that grows keeps those that it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..run.index import EntryIndex
from ..run.info import InputInfo
from ..run.joined import Joined
from ..run.locate import Location
from .fingerprint import locations

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .plan import Chunk, Plan

BY_TRAIN = {
    Location: ("files", "stats", "file", "first", "count", "listed"),
    InputInfo: ("frames",),
    Joined: ("values", "there"),
}
"""Fields that have something of each train: a chunk depends on what is of its own."""
APART = ("declared", "index", "said", "masked")
"""Fields that say nothing of a chunk, or are looked at apart."""


def chunk_digests(plan: Plan, lasting: str) -> tuple[str, ...]:
    """Return a digest of each chunk: of the plan without its trains, and of what the run has in those of the chunk.

    Chunks of the same trains have the same: what one makes depends on the others of them, which may leave out trains.
    What algorithms are told of the run belongs to it, but for its train ids and the number of frames.

    Parameters
    ----------
    lasting : str
        Digest of what the fingerprint of the plan says that stays when a run gets more trains.
    """
    infos = [[alias, _plain(info)] for a in plan.algorithms for alias, info in a.info.inputs.items()]
    always = repr([lasting, infos, _plain(plan.inputs)])
    placed = [_Placed(at) for bound in plan.inputs for at in locations(bound)]
    always += repr([at.led_to for at in placed])
    return tuple(_digest(plan, chunk, always, placed) for chunk in plan.chunks)


def _digest(plan: Plan, chunk: Chunk, always: str, placed: list[_Placed]) -> str:
    out = sha256(always.encode())
    arrays = [plan.train_ids[chunk.first : chunk.last]]
    arrays += [a for index in plan.indexes for a in _rows(index, chunk)]
    arrays += [a for bound in plan.inputs for a in _labels(bound, chunk)]
    for at in placed:
        files, where = at.of(chunk)
        out.update(files.encode())
        arrays += where
    for array in arrays:
        out.update(f"{array.dtype} {array.shape} ".encode())
        out.update(np.ascontiguousarray(array).tobytes())
    return out.hexdigest()


def _rows(index: EntryIndex, chunk: Chunk) -> Iterator[NDArray]:
    """Yield what an index says of the trains of a chunk, whatever it says of others."""
    rows = index.rows(chunk.first, chunk.last)
    yield index.counts[chunk.first : chunk.last]
    entry = index.entry[:, rows]
    # All modules have a row each if they differ elsewhere.
    yield entry[:1] if (entry == entry[:1]).all() else entry
    yield from (ids[rows] for ids in (index.pulse_ids, index.cell_ids) if ids is not None)


def _labels(bound: BoundInput, chunk: Chunk) -> Iterator[NDArray]:
    """Yield the labels of the frames or trains of a chunk, and which there are."""
    if bound.joined is not None:
        rows = bound.index.rows(chunk.first, chunk.last)
        yield from (bound.joined.values[rows], bound.joined.there[rows])


class _Placed:
    """Where an input is, chunk by chunk."""

    def __init__(self, at: Location) -> None:
        self._at = at
        self._named = [f"{os.path.abspath(f)} {stat}" for f, stat in zip(at.files, at.stats, strict=True)]
        used = at.file if at.listed is None else at.listed
        self.led_to = self._named[int(used.max(initial=-1)) + 1 :]

    def of(self, chunk: Chunk) -> tuple[str, list[NDArray]]:
        """Return the files of a chunk, with size and date, and where in which of them each module has each train."""
        trains = slice(chunk.first, chunk.last)
        numbers = np.unique(self._at.file[:, trains])
        file = np.searchsorted(numbers, self._at.file[:, trains]) - np.searchsorted(numbers, 0)
        named = repr([self._named[n] for n in numbers if n >= 0])
        return named, [file, self._at.first[:, trains], self._at.count[:, trains]]


def _plain(value: Any) -> Any:
    """Return a value as text and lists: what it is in all trains."""
    if is_dataclass(value) and not isinstance(value, type):
        left = (*APART, *BY_TRAIN.get(type(value), ()))
        return [[f.name, _plain(getattr(value, f.name))] for f in fields(value) if f.name not in left]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.shape, sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else repr(value)
