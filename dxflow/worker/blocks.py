"""A pass over module blocks: no train is ever assembled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import Partial, identity, merge_into
from ..declare.views import ModuleBlock, or_nan, read_only
from ..planning import units
from ..planning.sight import Sight
from ..planning.steps import Group, groups
from ..reader.faults import runs
from ..reader.ring import view
from ..run.bound import present
from ..run.index import EntryIndex
from . import keys, presence
from .account import ChunkState, Share
from .hooks import hook_context
from .totals import Totals

if TYPE_CHECKING:
    from ..planning.binding import BoundAlgorithm


@dataclass(frozen=True)
class Step:
    """Frames of one module that are read at once: rows of the lead input's index, which the module may lack.

    `first` is the position of the first train of those whose modules are worked on one after the other.
    """

    group: int
    module: int
    rows: slice
    first: int


@dataclass(frozen=True, eq=False)
class Filled:
    """What was read for a step, by input number: arrays, which of their frames are good, (frame,) bool, valid pixels.

    Pixels are those of inputs for which they are kept, bool like their arrays.
    """

    arrays: dict[int, NDArray] = field(default_factory=dict)
    good: dict[int, NDArray] = field(default_factory=dict)
    pixels: dict[int, NDArray] = field(default_factory=dict)

    def seen(self, sight: Sight) -> NDArray:
        """Return which frames an algorithm sees, (frame,) bool."""
        return np.logical_and.reduce([self.good[number] for number in sight.inputs])


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames of a block, all there and of one train.

    `rows` are those of the lead input's index, `own` the same as counted from the chunk's first, `at` as counted from
    the step's; `train` the position in the plan; `arrays` and `pixels` what was read of these frames, by input number.
    """

    module: int
    rows: slice
    own: slice
    at: slice
    train: int
    arrays: Mapping[int, NDArray]
    pixels: Mapping[int, NDArray]

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start


class BlockPass:
    """Steps through stretches of a chunk's trains, module by module, block by block."""

    def __init__(self, state: ChunkState) -> None:
        self.state, self.plan = state, state.plan
        self.groups = groups(self.plan)
        self.totals = Totals(state)
        self._stretch = units.stretch(self.plan)
        self._whole = [a for a in self.plan.algorithms if a.unit == self._stretch]
        """Algorithms of which a module is complete when the next one begins."""
        self._module = -1
        self._scratch = {
            o.name: np.empty((g.frames, *o.output.shape, *o.pixels[1:]), o.output.dtype)
            for g in self.groups
            for a in g.algorithms
            for o in a.outputs
            if o.transient
        }

    def steps(self) -> list[Step]:
        """Return all blocks of the chunk, in reading order."""
        state, out = self.state, []
        for number, group in enumerate(self.groups):
            lead = self.plan.inputs[group.lead]
            cells = [
                (rows, first)
                for first, last in self._stretches()
                for rows in _cells(lead.index, first, last, group.frames, state.excluded)
            ]
            for module in self.modules(len(lead.modules)):
                out += [Step(number, module, *cell) for cell in self._with_frames(group, module, cells)]
        return sorted(out, key=attrgetter("first"))

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of the trains of the chunk, cut at multiples of a number that is no more than a unit."""
        chunk, step = self.state.chunk, self._stretch
        edges = [chunk.first, *range((chunk.first // step + 1) * step, chunk.last, step), chunk.last]
        return pairwise(edges)

    def modules(self, count: int) -> Sequence[int]:
        """Return the positions of the modules to work on, of so many."""
        return range(*self.state.part.indices(count))

    def _with_frames(
        self, group: Group, module: int, cells: list[tuple[slice, int]]
    ) -> Iterator[tuple[slice, int]]:
        """Yield the rows of which a module has some that an algorithm sees."""
        rows = self.state.rows[self.plan.inputs[group.lead].index]
        has = {n: present(self.plan.inputs[n], module, rows) for n in group.inputs}
        sights = {self.plan.sights[a.name] for a in group.algorithms}
        there = np.logical_or.reduce([Filled(good=has).seen(s) for s in sights])
        before = np.concatenate([[0], np.cumsum(there)])
        yield from (c for c in cells if before[c[0].stop - rows.start] > before[c[0].start - rows.start])

    def fill(self, step: Step, buffer: NDArray) -> Filled:
        """Read a block; runs in the reader thread."""
        filled, offset, n = Filled(), 0, step.rows.stop - step.rows.start
        for number in self.groups[step.group].inputs:
            bound = self.plan.inputs[number]
            array, offset = view(buffer, (n, *bound.location.shape), bound.location.dtype, offset)
            filled.arrays[number] = array
            if bound.keeps_valid:
                filled.pixels[number], offset = view(buffer, array.shape, np.dtype(bool), offset)
            pixels = filled.pixels.get(number)
            filled.good[number] = self.state.read(bound, step.module, step.rows, array, pixels)
        return filled

    def work(self, step: Step, filled: Filled) -> None:
        """Let the algorithms work on what was read of a block."""
        if step.module != self._module:
            for bound in self._whole:
                self.state.gather(bound)
            self._module = step.module
        self.totals.reach(step.first)
        self._account(step, filled)
        for bound in self.groups[step.group].algorithms:
            for frames in self.stretches(step, filled, bound):
                if frames.train not in self.state.failed:
                    block, out, shares = self.views(bound, frames)
                    with block_context(self.state, bound, frames.train, block.module):
                        bound.algorithm.process_module_data(block, out)
                    merge_shares(shares)
                    train = frames.train - self.state.chunk.first
                    presence.note_block(self.state, bound, out, block.module, frames.own, train)

    def stretches(self, step: Step, filled: Filled, bound: BoundAlgorithm) -> Iterator[Stretch]:
        """Yield the frames of a step that an algorithm sees, train by train, as far as they follow each other."""
        group = self.groups[step.group]
        trains = self.plan.inputs[group.lead].index.train_positions(step.rows)
        first = step.rows.start - self.state.rows[self.plan.inputs[group.lead].index].start
        sight = self.plan.sights[bound.name]
        seen = filled.seen(sight)
        if sight.lacks:
            seen = seen & presence.usable(self.state, sight)[step.module, first : first + len(trains)]
        for start, stop in _runs(seen, trains):
            yield Stretch(
                step.module,
                slice(step.rows.start + start, step.rows.start + stop),
                slice(first + start, first + stop),
                slice(start, stop),
                int(trains[start]),
                {number: array[start:stop] for number, array in filled.arrays.items()},
                {number: array[start:stop] for number, array in filled.pixels.items()},
            )

    def views(self, bound: BoundAlgorithm, frames: Stretch) -> tuple[ModuleBlock, Partial, list[Share]]:
        """Return what an algorithm sees of some frames, what it may write to, and what is to be merged afterwards."""
        scratch = self._transients(bound, frames.at)
        train = frames.train - self.state.chunk.first
        out, shares = self.state.block_view(bound, frames.module, frames.own, train, scratch)
        arrays = {ref: self._value(ref, frames) for ref in bound.aliases.values()}
        block = module_block(
            self.state, bound, frames.module, frames.train, frames.own, arrays, frames.pixels
        )
        return block, out, shares

    def _account(self, step: Step, filled: Filled) -> None:
        """Count what was read."""
        for number, good in filled.good.items():
            first = self.state.rows[self.plan.inputs[number].index].start
            self.state.got[number][step.module, step.rows.start - first : step.rows.stop - first] = good
            self.state.bytes += int(np.count_nonzero(good)) * self.plan.inputs[number].frame_bytes

    def _value(self, ref: int | str, frames: Stretch) -> NDArray | None:
        """Return what a block holds of an input or of what was made before; None for keys of the whole chunk."""
        if isinstance(ref, int):
            return frames.arrays.get(ref)
        if ref in self._scratch:
            return self._scratch[ref][frames.at]
        array: Any = self.state.arrays[ref]
        return array[frames.module - self.state.part.start, frames.own]

    def _transients(self, bound: BoundAlgorithm, at: slice) -> dict[str, NDArray]:
        """Return this algorithm's images that live for one step, at their identity; memory is reused."""
        out = {}
        for o in bound.outputs:
            if o.transient:
                out[o.name] = self._scratch[o.name][at]
                out[o.name][:] = identity(o.output.dtype, o.output.merge)
        return out


def block_context(
    state: ChunkState, bound: BoundAlgorithm, train: int, module: int
) -> AbstractContextManager[None]:
    """Return the context in which an algorithm works on a block."""
    return hook_context(bound.algorithm, "process_module_data", state, train, train + 1, module)


def merge_shares(shares: list[Share]) -> None:
    """Merge what a block made into rows that modules share."""
    for into, share, rule in shares:
        merge_into(into, share, rule)


def module_block(
    state: ChunkState,
    bound: BoundAlgorithm,
    module: int,
    train: int,
    own: slice,
    arrays: Mapping[int | str, NDArray | None],
    pixels: Mapping[int, NDArray],
) -> ModuleBlock:
    """Return what an algorithm sees of some frames of a train and module.

    Parameters
    ----------
    own : slice
        Rows of these frames, counted from the chunk's first.
    arrays : dict
        Values by input number or name of an output; None for a key that is read for the whole chunk.
    pixels : dict
        Which pixels are valid, of the inputs for which that is kept.
    """
    lead = state.plan.inputs[bound.stream]
    first, trains = (
        state.rows[state.plan.inputs[bound.stream].index].start,
        np.full(own.stop - own.start, train),
    )
    seen, valid = {}, {}
    for alias, ref in bound.aliases.items():
        array = arrays[ref]
        if array is None:
            assert isinstance(ref, int)
            array, valid[alias] = keys.key_of_frames(state, ref, trains, own)
            if state.plan.inputs[ref].joined is None:
                array = or_nan(array, valid[alias].any())
        elif ref in pixels:
            valid[alias] = read_only(pixels[ref])  # type: ignore[index]
        seen[alias] = read_only(array)
    rows = slice(first + own.start, first + own.stop)
    return ModuleBlock(
        module,
        lead.modules[module],
        lead.index.train_ids[trains],
        None if lead.index.pulse_ids is None else read_only(lead.index.pulse_ids[rows]),
        None if lead.index.cell_ids is None else read_only(lead.index.cell_ids[rows]),
        seen,
        valid,
        state.asked[bound.name],
    )


def cut(good: NDArray, n: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of a train's frames that are there, in blocks of n that are counted from its first."""
    for first in range(0, len(good), n):
        part = good[first : first + n]
        yield from ((first + a, first + b) for a, b in _runs(part, np.zeros(len(part))))


def _runs(good: NDArray, trains: NDArray) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of frames that are good, of one train, and follow each other."""
    joined = (good[1:] == good[:-1]) & (trains[1:] == trains[:-1])
    yield from ((start, stop) for start, stop in runs(joined, len(good)) if good[start])


def _cells(index: EntryIndex, first: int, last: int, n: int, excluded: frozenset[int]) -> Iterator[slice]:
    """Yield rows of some trains that fit a block: whole trains, or n frames of one as counted from its first."""
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
