"""Walks: how a chunk is cut into windows, what of it is in memory together; they know no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..reader.ring import ROOM
from ..reader.stretches import stretches
from ..run.bound import present
from . import units
from .sight import Sight, reads_no_frames, sight
from .steps import Group, frame_buffer_bytes, frames_per_block, groups, one_group

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex
    from .bound import BoundAlgorithm
    from .plan import Chunk, Plan


@dataclass(frozen=True, eq=False)
class Window:
    """Frames of one module, or of all, that are read at once.

    Parameters
    ----------
    group : Group
        The inputs that are read, and the algorithms that work on them.
    module : int or None
        Its position; None for all.
    rows : slice
        Of the index of the group's first input. A module may lack some.
    first, last : int
        Positions of the trains that they belong to, ``first:last``.
    begins : int
        Position of the first train of those whose modules are worked on one after the other.
    strip : slice or None
        The slow-scan rows that are read of each frame; None for all.
    """

    group: Group
    module: int | None
    rows: slice
    first: int
    last: int
    begins: int
    strip: slice | None = None

    def rows_of(self, bound: BoundInput) -> slice:
        """Return the rows of an input: others than those of the first are of whole trains."""
        return self.rows if bound.index is self.group.index else bound.index.rows(self.first, self.last)

    def modules_of(self, bound: BoundInput) -> range:
        """Return the positions of the modules of an input."""
        return range(len(bound.modules)) if self.module is None else range(self.module, self.module + 1)


@dataclass(frozen=True, eq=False)
class Part:
    """What one call of a hook sees of a window: some of its frames, all of one train unless it is a strip.

    `module` is a position, None for all modules; `at` counts from the first frame that the algorithm has in the
    window; `train` is a position in the plan, as are ``train:last`` of a strip.
    """

    module: int | None
    at: slice
    train: int
    last: int
    strip: slice | None = None


class Walk:
    """Cuts chunks into windows, and windows into what each hook sees; this one module by module, block by block."""

    words = "module blocks"
    buffers = 6
    """Windows that are in memory at a time."""
    whole = False
    """Whether hooks see all frames of a window: those that are not there as missing values."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self._stretch = plan, units.stretch(plan)
        self.groups = groups(plan)

    @cached_property
    def sights(self) -> dict[str, Sight]:
        """What each algorithm sees, by name."""
        return {a.name: sight(self.plan, a) for a in self.plan.algorithms}

    @property
    def keys(self) -> frozenset[int]:
        """Numbers of the inputs that are read for a whole chunk at once: those that some algorithm's windows lack."""
        return frozenset(n for g in self.groups for a in g.algorithms for n in a.inputs if n not in g.inputs)

    @property
    def step_bytes(self) -> int:
        """Bytes that the largest window needs, with room to align its arrays."""
        return max(sum(self._bytes(g, self.plan.inputs[n]) + ROOM for n in g.inputs) for g in self.groups)

    def _bytes(self, group: Group, bound: BoundInput) -> int:
        """Return the bytes of an input in the largest window of a group."""
        return self.most_frames(group, bound.index) * frame_buffer_bytes(bound)

    def most_frames(self, group: Group, index: EntryIndex | None) -> int:
        """Return how many frames of an index the largest window of a group has."""
        return group.frames

    def windows(self, chunk: Chunk, excluded: frozenset[int]) -> list[Window]:
        """Return the windows of a chunk, in reading order, without some trains."""
        spans = list(pairwise(self._edges(chunk)))
        return sorted(
            (w for group in self.groups for w in self._of_group(group, chunk, spans, excluded)),
            key=attrgetter("begins"),
        )

    def _edges(self, chunk: Chunk) -> list[int]:
        """Return where stretches of trains begin: at multiples of a number that is no more than a unit."""
        step = self._stretch
        return [chunk.first, *range((chunk.first // step + 1) * step, chunk.last, step), chunk.last]

    def _of_group(
        self, group: Group, chunk: Chunk, spans: list[tuple[int, int]], excluded: frozenset[int]
    ) -> Iterator[Window]:
        """Yield the windows of a group: cells of which a module has frames that an algorithm sees."""
        if all(reads_no_frames(self.plan, a) for a in group.algorithms):
            yield from self._of_trains(group, chunk, excluded)
            return
        index, rows = group.index, group.index.rows(chunk.first, chunk.last)
        cells = [(s[0], cell) for s in spans for cell in self._cells(group, *s, excluded)]
        for module in self.modules(chunk, len(self.plan.inputs[group.lead].modules)):
            before = np.concatenate([[0], np.cumsum(self._there(group, module, rows))])
            for begins, cell in cells:
                if before[cell.stop - rows.start] > before[cell.start - rows.start]:
                    trains = index.train_positions(cell)
                    yield Window(group, module, cell, int(trains[0]), int(trains[-1]) + 1, begins)

    @staticmethod
    def _of_trains(group: Group, chunk: Chunk, excluded: frozenset[int]) -> Iterator[Window]:
        """Yield a window for each train that has frames; nothing is read into it."""
        for train in range(chunk.first, chunk.last):
            rows = group.index.rows(train, train + 1)
            if train not in excluded and rows.stop > rows.start:
                yield Window(group, None, rows, train, train + 1, train)

    def _there(self, group: Group, module: int, rows: slice) -> NDArray:
        """Return which rows of a module some algorithm sees, as far as the index says."""
        has = {n: present(self.plan.inputs[n], module, rows) for n in group.inputs}
        sights = {self.sights[a.name] for a in group.algorithms}
        return np.logical_or.reduce([np.logical_and.reduce([has[n] for n in s.inputs]) for s in sights])

    def modules(self, chunk: Chunk, count: int) -> list[int]:
        """Return the positions of the modules that a chunk works on, of so many."""
        return list(range(count))[self.plan.modules(chunk)]

    def _cells(self, group: Group, first: int, last: int, excluded: frozenset[int]) -> Iterator[slice]:
        """Yield rows of some trains that fit a block: whole trains, or n frames of one as counted from its first."""
        index, n = group.index, group.frames
        start = stop = int(index.offsets[first])
        for train in range(first, last):
            end = int(index.offsets[train + 1])
            if stop > start and (train in excluded or end - start > n):
                yield slice(start, stop)
                start = stop
            if train in excluded:
                start = end
            while end - start > n:
                yield slice(start, start + n)
                start += n
            stop = end
        if stop > start:
            yield slice(start, stop)

    def parts(self, bound: BoundAlgorithm, window: Window, seen: NDArray) -> Iterator[Part]:
        """Yield what an algorithm sees of a window, of which it has frames `seen`, (module, frame) bool."""
        lead, frames = self.plan.inputs[bound.stream], seen.shape[1]
        if not bound.algorithm.by_module:
            n = frames_per_block(self.plan, bound) if bound.algorithm.WHOLE_FRAMES else max(1, frames)
            cuts = (slice(a, min(a + n, frames)) for a in range(0, frames, n))
            yield from (Part(None, at, window.first, window.last) for at in cuts if seen[:, at].any())
            return
        trains = lead.index.train_positions(window.rows_of(lead))
        for module, there in zip(window.modules_of(lead), seen, strict=True):
            if bound.algorithm.WHOLE_TRAINS:
                if there.any():
                    yield Part(module, slice(0, len(there)), window.first, window.last)
                continue
            for start, stop in _blocks(there, trains, frames_per_block(self.plan, bound)):
                train = int(trains[start])
                yield Part(module, slice(start, stop), train, train + 1)


def _blocks(there: NDArray, trains: NDArray, n: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of frames that are there, of one train, and follow each other.

    Of more than n frames, which are of one train then, none is in two of the blocks that are counted from the first.
    """
    for first in range(0, len(there), n):
        part, of = there[first : first + n], trains[first : first + n]
        joined = (part[1:] == part[:-1]) & (of[1:] == of[:-1])
        yield from ((first + a, first + b) for a, b in stretches(joined, len(part)) if part[a])


def _longest(index: EntryIndex | None) -> int:
    """Return the frames of the longest train."""
    return 0 if index is None else int(index.counts.max(initial=0))


class ModuleTrains(Walk):
    """Train by train of each module: all frames of a train of one module in one window."""

    words = "whole trains of each module"
    buffers = 3
    whole = True

    def most_frames(self, group: Group, index: EntryIndex | None) -> int:
        """Return the frames of the longest train."""
        return _longest(index)

    def _cells(self, group: Group, first: int, last: int, excluded: frozenset[int]) -> Iterator[slice]:
        for train in range(first, last):
            rows = group.index.rows(train, train + 1)
            if train not in excluded and rows.stop > rows.start:
                yield rows


class Trains(Walk):
    """Train by train, all modules of all inputs in one window."""

    words = "whole trains"
    buffers = 2
    whole = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.groups = [one_group(plan, [n for n, i in enumerate(plan.inputs) if i.kind == "frames"])]

    @property
    def step_bytes(self) -> int:
        """Bytes that the largest train needs."""
        inputs = [self.plan.inputs[n] for n in self.groups[0].inputs]
        per_train = [i.index.counts * (frame_buffer_bytes(i) * len(i.modules)) for i in inputs]
        return int(np.sum(per_train, axis=0).max(initial=0)) + ROOM * len(inputs) if inputs else 64

    def windows(self, chunk: Chunk, excluded: frozenset[int]) -> list[Window]:
        """Return the trains of a chunk but for some."""
        (group,) = self.groups
        return [
            Window(group, None, cell, train, train + 1, train)
            for train in range(chunk.first, chunk.last)
            if train not in excluded
            for cell in self._of_train(group.index, train)
        ]

    def most_frames(self, group: Group, index: EntryIndex | None) -> int:
        """Return the frames of the longest train."""
        return _longest(index)

    def _of_train(self, index: EntryIndex, train: int) -> Iterator[slice]:
        """Yield the rows of a train that are in memory together."""
        yield index.rows(train, train + 1)


class WholeFrames(Trains):
    """Some frames of a train at a time, as many as fit a block of a module; all modules in one window."""

    words = "whole frames"
    buffers = 3

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.groups = groups(plan)

    @property
    def step_bytes(self) -> int:
        """Bytes that a block of frames of all modules needs."""
        (group,) = self.groups
        inputs = [self.plan.inputs[n] for n in group.inputs]
        return sum(group.frames * frame_buffer_bytes(i) * len(i.modules) + ROOM for i in inputs)

    def most_frames(self, group: Group, index: EntryIndex | None) -> int:
        """Return the frames that fit a block."""
        return group.frames

    def _of_train(self, index: EntryIndex, train: int) -> Iterator[slice]:
        rows, n = index.rows(train, train + 1), self.groups[0].frames
        for start in range(rows.start, rows.stop, n):
            yield slice(start, min(start + n, rows.stop))
