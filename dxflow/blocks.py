"""A pass over module blocks: no train is ever assembled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .faults import hook_context
from .outputs import Partial, identity
from .reader import present, runs
from .reader.ring import view
from .state import ChunkState
from .views import ModuleBlock

if TYPE_CHECKING:
    from .binding import BoundAlgorithm
    from .inputs import BoundInput
    from .plan import Plan


@dataclass(frozen=True)
class Step:
    """Frames of one module: rows of the lead input's index that the module has."""

    group: int
    module: int
    rows: slice


@dataclass(frozen=True, eq=False)
class Filled:
    """What was read for a step: arrays by input number, their valid pixels if kept, and which frames are good."""

    arrays: dict[int, NDArray]
    valid: dict[int, NDArray]
    good: NDArray

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of frames that are good and follow each other."""
        if self.good.all():
            yield 0, len(self.good)
            return
        for start, stop in runs(self.good[1:] == self.good[:-1], len(self.good)):
            if self.good[start]:
                yield start, stop


@dataclass(frozen=True)
class Group:
    """Algorithms whose blocks are the same frames, and the inputs that are read for them."""

    lead: int
    inputs: tuple[int, ...]
    algorithms: tuple[BoundAlgorithm, ...]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Frames of a block that are good and follow each other.

    `rows` are those of the lead input's index, `own` the same as counted from the chunk's first; `trains` positions
    in the plan; `arrays` what was read of these frames, by input number.
    """

    group: Group
    module: int
    rows: slice
    own: slice
    trains: NDArray
    arrays: dict[int, NDArray]
    valid: dict[int, NDArray]

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start


class BlockPass:
    """Steps through a chunk module by module, block by block."""

    def __init__(self, state: ChunkState) -> None:
        self.state, self.plan = state, state.plan
        self.groups = groups(self.plan)
        self._scratch = {
            o.name: np.empty((frames_per_block(self.plan, g), *o.output.shape, *o.pixels[1:]), o.output.dtype)
            for g in self.groups
            for a in g.algorithms
            for o in a.outputs
            if o.transient
        }

    def steps(self) -> list[Step]:
        """Return all blocks of the chunk, in reading order."""
        state = self.state
        return [
            Step(number, module, rows)
            for number, group in enumerate(self.groups)
            for module in range(*state.part.indices(len(self.plan.inputs[group.lead].modules)))
            for rows in self._blocks(group, module)
        ]

    def _blocks(self, group: Group, module: int) -> Iterator[slice]:
        """Yield rows that fit a block, without gaps, and without excluded trains."""
        lead = self.plan.inputs[group.lead]
        rows = self.state.rows[self.plan.rows[group.lead]]
        there = np.logical_and.reduce([present(self.plan.inputs[i], module, rows) for i in group.inputs])
        trains = lead.index.train_positions(rows)
        if self.state.excluded:
            there &= ~np.isin(trains, list(self.state.excluded))
        joined = there[1:] == there[:-1]
        if any(o.output.kind == "train" for a in group.algorithms for o in a.outputs):
            joined &= trains[1:] == trains[:-1]
        n = frames_per_block(self.plan, group)
        for start, stop in runs(joined, len(there)):
            if there[start]:
                for a in range(start, stop, n):
                    yield slice(rows.start + a, rows.start + min(a + n, stop))

    def fill(self, step: Step, buffer: NDArray) -> Filled:
        """Read a block; runs in the reader thread."""
        arrays, valid, offset, n = {}, {}, 0, step.rows.stop - step.rows.start
        good = None
        for number in self.groups[step.group].inputs:
            bound = self.plan.inputs[number]
            arrays[number], offset = view(buffer, (n, *bound.location.shape), bound.location.dtype, offset)
            if bound.keeps_valid:
                valid[number], offset = view(buffer, arrays[number].shape, np.dtype(bool), offset)
            there = self.state.read(bound, step.module, step.rows, arrays[number], valid.get(number))
            good = there if good is None else good & there
        assert good is not None
        return Filled(arrays, valid, good)

    def work(self, step: Step, filled: Filled) -> None:
        """Let the algorithms work on what was read of a block."""
        for start, stop in filled.stretches():
            frames = self.stretch(step, filled, start, stop)
            for bound, block, out in self.views(frames):
                with hook_context(
                    bound.algorithm, "process_module_data", self.state, frames.trains, step.module
                ):
                    bound.algorithm.process_module_data(block, out)
            self._account(frames)

    def stretch(self, step: Step, filled: Filled, start: int, stop: int) -> Stretch:
        """Return frames start:stop of a block."""
        group, rows = self.groups[step.group], slice(step.rows.start + start, step.rows.start + stop)
        first = self.state.rows[self.plan.rows[group.lead]].start
        return Stretch(
            group,
            step.module,
            rows,
            slice(rows.start - first, rows.stop - first),
            self.plan.inputs[group.lead].index.train_positions(rows),
            {number: array[start:stop] for number, array in filled.arrays.items()},
            {number: array[start:stop] for number, array in filled.valid.items()},
        )

    def views(self, frames: Stretch) -> Iterator[tuple[BoundAlgorithm, ModuleBlock, Partial]]:
        """Yield algorithms, one after the other, with what each sees of the frames and may write to."""
        positions = frames.trains - self.state.chunk.first
        for bound in frames.group.algorithms:
            scratch = self._transients(bound, len(frames))
            out = self.state.block_view(bound, frames.module, frames.own, positions, scratch)
            yield bound, self._block(bound, frames), out

    def _account(self, frames: Stretch) -> None:
        """Count the frames as used."""
        self.state.modules[self.plan.rows[frames.group.lead]][frames.own] += 1
        self.state.trains_done[frames.trains - self.state.chunk.first] = True
        for number in frames.group.inputs:
            self.state.used[number, frames.module] += len(frames)
            self.state.bytes += frames.arrays[number].nbytes

    def _block(self, bound: BoundAlgorithm, frames: Stretch) -> ModuleBlock:
        """Return what the algorithm sees."""
        lead = self.plan.inputs[bound.stream]
        seen = {}
        for alias, ref in bound.aliases.items():
            if isinstance(ref, str):
                seen[alias] = self._scratch_of(ref, frames)
            elif ref in frames.arrays:
                seen[alias] = frames.arrays[ref]
            else:
                seen[alias] = self.state.key_of_frames(ref, frames.trains, frames.rows)
        pulses, cells = lead.index.pulse_ids, lead.index.cell_ids
        return ModuleBlock(
            frames.module,
            lead.modules[frames.module],
            lead.index.train_ids[frames.trains],
            None if pulses is None else pulses[frames.rows],
            None if cells is None else cells[frames.rows],
            seen,
            {a: frames.valid[ref] for a, ref in bound.aliases.items() if ref in frames.valid},
        )

    def _transients(self, bound: BoundAlgorithm, n: int) -> dict[str, NDArray]:
        """Return this algorithm's images that live for one block, at their identity; memory is reused."""
        out = {}
        for o in bound.outputs:
            if o.transient:
                out[o.name] = self._scratch[o.name][:n]
                out[o.name][:] = identity(o.output.dtype, o.output.merge)
        return out

    def _scratch_of(self, name: str, frames: Stretch) -> NDArray:
        """Return an earlier algorithm's images of these frames."""
        if name in self._scratch:
            return self._scratch[name][: len(frames)]
        array = self.state.arrays[name]
        output = next(o for o in self.plan.outputs if o.name == name)
        first = self.state.rows[output.rows].start
        assert isinstance(array, np.ndarray)
        return array[
            frames.module - self.state.part.start, frames.rows.start - first : frames.rows.stop - first
        ]


def groups(plan: Plan) -> list[Group]:
    """Return the algorithms of a plan grouped by the frames they follow, in order of appearance."""
    leads: dict[tuple, int] = {}
    members: dict[int, list[BoundAlgorithm]] = {}
    for bound in plan.algorithms:
        lead = leads.setdefault((plan.rows[bound.stream], plan.inputs[bound.stream].modules), bound.stream)
        members.setdefault(lead, []).append(bound)
    return [
        Group(lead, _read_for(plan, algorithms), tuple(algorithms)) for lead, algorithms in members.items()
    ]


def _read_for(plan: Plan, algorithms: list[BoundAlgorithm]) -> tuple[int, ...]:
    """Return the inputs that blocks of these algorithms hold: frames, and the first input of each."""
    numbers = {ref for a in algorithms for ref in a.aliases.values() if isinstance(ref, int)}
    streams = {a.stream for a in algorithms}
    return tuple(sorted(n for n in numbers | streams if plan.inputs[n].kind == "frames" or n in streams))


def frames_per_block(plan: Plan, group: Group) -> int:
    """Return how many frames a block holds, of the input with the largest frames."""
    return max(1, plan.block_bytes // max(plan.inputs[n].frame_bytes for n in group.inputs))


def frame_buffer_bytes(bound: BoundInput) -> int:
    """Return the bytes that a frame of a module takes in a buffer, with its valid pixels where they are kept."""
    return bound.frame_bytes + (bound.frame_bytes // bound.dtype.itemsize if bound.keeps_valid else 0)


def block_bytes(plan: Plan) -> int:
    """Return the bytes that the largest block needs, with room to align its arrays."""
    return max(
        sum(frames_per_block(plan, g) * frame_buffer_bytes(plan.inputs[n]) + 128 for n in g.inputs)
        for g in groups(plan)
    )
