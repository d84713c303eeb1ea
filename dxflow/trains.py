"""A pass over whole trains: assembled once, seen whole by some algorithms and in blocks by others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .blocks import frame_buffer_bytes, frames_per_block, groups
from .faults import hook_context
from .outputs import identity
from .reader import runs
from .reader.ring import view
from .state import ChunkState
from .views import ModuleBlock, Train, missing_value

if TYPE_CHECKING:
    from .binding import BoundAlgorithm
    from .plan import Plan


@dataclass(frozen=True, eq=False)
class Filled:
    """A train: arrays (module, frame, ss, fs) by input number, and which modules have which frames.

    `good` are the valid pixels of the inputs for which these are kept, like their arrays.
    """

    arrays: dict[int, NDArray]
    valid: dict[int, NDArray]
    good: dict[int, NDArray]


class TrainPass:
    """Steps through a chunk train by train."""

    def __init__(self, state: ChunkState) -> None:
        self.state, self.plan = state, state.plan
        self._frames = [n for n, i in enumerate(self.plan.inputs) if i.kind == "frames"]
        self._block = {g.lead: frames_per_block(self.plan, g) for g in groups(self.plan)}
        self._scratch: dict[str, NDArray] = {}

    def steps(self) -> list[int]:
        """Return the positions of the trains to work on."""
        chunk = self.state.chunk
        return [t for t in range(chunk.first, chunk.last) if t not in self.state.excluded]

    def fill(self, train: int, buffer: NDArray) -> Filled:
        """Read all modules of a train; runs in the reader thread."""
        filled, offset = Filled({}, {}, {}), 0
        for number in self._frames:
            bound = self.plan.inputs[number]
            rows = self.plan.indexes[self.plan.rows[number]].rows(train, train + 1)
            shape = (len(bound.modules), rows.stop - rows.start, *bound.location.shape)
            filled.arrays[number], offset = view(buffer, shape, bound.dtype, offset)
            filled.valid[number] = np.zeros(shape[:2], bool)
            if bound.keeps_valid:
                filled.good[number], offset = view(buffer, shape, np.dtype(bool), offset)
            for module, out in enumerate(filled.arrays[number]):
                pixels = filled.good[number][module] if bound.keeps_valid else None
                good = self.state.read(bound, module, rows, out, pixels)
                # The buffer holds another train's data where nothing was read.
                out[~good] = missing_value(bound.dtype)
                if pixels is not None:
                    pixels[~good] = False
                filled.valid[number][module] = good
        return filled

    def work(self, train: int, filled: Filled) -> None:
        """Let the algorithms work on a train, in order."""
        for bound in self.plan.algorithms:
            if not self._has(bound.stream, train, filled):
                continue
            scratch = self._transients(bound, train)
            if bound.algorithm.by_module:
                self._work_blocks(bound, train, filled, scratch)
            else:
                self._work_train(bound, train, filled, scratch)
            self.state.trains_done[train - self.state.chunk.first] = True
        self._account(train, filled)

    def _has(self, number: int, train: int, filled: Filled) -> bool:
        """Return whether a train has anything of an input."""
        if number in filled.valid:
            return bool(filled.valid[number].any())
        return bool(self.plan.indexes[self.plan.rows[number]].counts[train] > 0)

    def _account(self, train: int, filled: Filled) -> None:
        """Count what was used."""
        counted = set()
        for number, valid in filled.valid.items():
            index = self.plan.rows[number]
            if index not in counted:
                self.state.modules[index][self.state.rows_of(index, train)] = valid.sum(axis=0)
                counted.add(index)
            for module, n in enumerate(valid.sum(axis=1)):
                self.state.used[number, module] += int(n)
            self.state.bytes += int(valid.sum()) * self.plan.inputs[number].frame_bytes
        for number, read in self.state.keys_read.items():
            index, rows = self.plan.rows[number], self.state.rows_of(self.plan.rows[number], train)
            if index not in counted:
                self.state.modules[index][rows] = read[rows]

    # Whole trains -------------------------------------------------------------------------------

    def _work_train(
        self, bound: BoundAlgorithm, train: int, filled: Filled, scratch: dict[str, NDArray]
    ) -> None:
        out = self.state.train_view(bound, train, scratch)
        with hook_context(bound.algorithm, "process_train_data", self.state, np.array([train])):
            bound.algorithm.process_train_data(self._train(bound, train, filled), out)

    def _train(self, bound: BoundAlgorithm, train: int, filled: Filled) -> Train:
        """Return what the algorithm sees."""
        index = self.plan.inputs[bound.stream].index
        rows = index.rows(train, train + 1)
        roots = {a: self._root(ref) for a, ref in bound.aliases.items()}
        return Train(
            index=train,
            id=int(self.plan.train_ids[train]),
            pulse_ids=None if index.pulse_ids is None else index.pulse_ids[rows],
            cell_ids=None if index.cell_ids is None else index.cell_ids[rows],
            missing=frozenset(a for a, root in roots.items() if not self._has(root, train, filled)),
            _arrays={a: self._value(ref, train, filled) for a, ref in bound.aliases.items()},
            _valid={a: filled.valid[root].T for a, root in roots.items() if root in filled.valid}
            | {a: filled.good[n].swapaxes(0, 1) for a, n in bound.aliases.items() if n in filled.good},
        )

    def _root(self, ref: int | str) -> int:
        """Return the input that an alias comes from."""
        return ref if isinstance(ref, int) else next(a.stream for a in self.plan.algorithms if _makes(a, ref))

    def _value(self, ref: int | str, train: int, filled: Filled) -> Any:
        """Return the data of an alias in a train."""
        if isinstance(ref, str):
            maker = next(a for a in self.plan.algorithms if _makes(a, ref))
            return self.state.train_view(maker, train, self._scratch)[ref.removeprefix(f"{maker.name}.")]
        if ref in filled.arrays:
            return filled.arrays[ref].swapaxes(0, 1)
        return self.state.key_of_train(ref, train)

    # Blocks within a train ----------------------------------------------------------------------

    def _work_blocks(
        self, bound: BoundAlgorithm, train: int, filled: Filled, scratch: dict[str, NDArray]
    ) -> None:
        index = self.plan.rows[bound.stream]
        own = self.state.rows_of(index, train)
        for module, start, stop in self._cut(bound, train, filled):
            part = {name: images[module, start:stop] for name, images in scratch.items()}
            rows, trains = slice(own.start + start, own.start + stop), np.full(stop - start, train)
            out = self.state.block_view(bound, module, rows, trains - self.state.chunk.first, part)
            block = self._module_block(bound, train, module, start, stop, filled)
            with hook_context(bound.algorithm, "process_module_data", self.state, trains, module):
                bound.algorithm.process_module_data(block, out)

    def _cut(self, bound: BoundAlgorithm, train: int, filled: Filled) -> Iterator[tuple[int, int, int]]:
        """Yield (module, start, stop) of frames that are there and fit a block."""
        n = self._block.get(bound.stream) or next(iter(self._block.values()))
        lead = self.plan.inputs[bound.stream]
        frames = int(lead.index.counts[train])
        valid = filled.valid.get(bound.stream, np.ones((1, frames), bool))
        for module, there in enumerate(valid):
            for start, stop in runs(there[1:] == there[:-1], frames):
                if there[start]:
                    yield from ((module, a, min(a + n, stop)) for a in range(start, stop, n))

    def _module_block(
        self, bound: BoundAlgorithm, train: int, module: int, start: int, stop: int, filled: Filled
    ) -> ModuleBlock:
        """Return what the algorithm sees of one module."""
        lead = self.plan.inputs[bound.stream]
        first = lead.index.offsets[train]
        rows = slice(first + start, first + stop)
        seen = {
            a: self._block_value(ref, train, module, start, stop, filled, bound)
            for a, ref in bound.aliases.items()
        }
        pulses, cells = lead.index.pulse_ids, lead.index.cell_ids
        return ModuleBlock(
            module,
            lead.modules[module],
            np.full(stop - start, self.plan.train_ids[train]),
            None if pulses is None else pulses[rows],
            None if cells is None else cells[rows],
            seen,
            {a: filled.good[n][module, start:stop] for a, n in bound.aliases.items() if n in filled.good},
        )

    def _block_value(
        self,
        ref: int | str,
        train: int,
        module: int,
        start: int,
        stop: int,
        filled: Filled,
        bound: BoundAlgorithm,
    ) -> NDArray:
        """Return the data of an alias for some frames of a module of a train."""
        if ref in filled.arrays:
            return filled.arrays[ref][module, start:stop]
        if isinstance(ref, str):
            return self._value(ref, train, filled).swapaxes(0, 1)[module, start:stop]
        if ref == bound.stream:
            return self.state.key_of_train(ref, train)[start:stop]
        first = int(self.plan.inputs[bound.stream].index.offsets[train])
        return self.state.key_of_frames(ref, np.full(stop - start, train), slice(first + start, first + stop))

    def _transients(self, bound: BoundAlgorithm, train: int) -> dict[str, NDArray]:
        """Return this algorithm's images that live for one train, at their identity; memory is reused."""
        for o in bound.outputs:
            if o.transient:
                n = int(self.plan.indexes[o.rows].counts[train])
                shape = (o.pixels[0], n, *o.output.shape, *o.pixels[1:])
                old = self._scratch.get(o.name)
                images = old if old is not None and old.shape == shape else np.empty(shape, o.output.dtype)
                images[:] = identity(o.output.dtype, o.output.merge)
                self._scratch[o.name] = images
        return {o.name: self._scratch[o.name] for o in bound.outputs if o.transient}


def _makes(bound: BoundAlgorithm, name: str) -> bool:
    return any(o.name == name for o in bound.outputs)


def train_bytes(plan: Plan) -> int:
    """Return the bytes that the largest train needs, with room to align its arrays."""
    frames = [i for i in plan.inputs if i.kind == "frames"]
    if not frames:
        return 64
    per_train = np.sum([i.index.counts * (frame_buffer_bytes(i) * len(i.modules)) for i in frames], axis=0)
    return int(per_train.max()) + 128 * len(frames)
