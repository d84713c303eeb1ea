"""A pass over whole trains: assembled once, seen whole by some algorithms and in blocks by others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import BoundOutput, identity
from ..declare.views import Train, missing_value, or_nan, read_only
from ..planning.sight import by_train, maker, output
from ..planning.steps import frames_per_block
from ..reader.ring import view
from . import keys, presence
from .account import ChunkState
from .blocks import block_context, cut, merge_shares, module_block
from .hooks import hook_context
from .totals import Totals, finish

if TYPE_CHECKING:
    from ..planning.binding import BoundAlgorithm


@dataclass(frozen=True, eq=False)
class Filled:
    """A train: arrays (module, frame, ss, fs) by input number, and which modules have which frames.

    `pixels` are the valid pixels of the inputs for which these are kept, like their arrays.
    """

    arrays: dict[int, NDArray]
    good: dict[int, NDArray]
    pixels: dict[int, NDArray]


class TrainPass:
    """Steps through a chunk train by train."""

    def __init__(self, state: ChunkState) -> None:
        self.state, self.plan = state, state.plan
        self.totals = Totals(state)
        self._frames = [n for n, i in enumerate(self.plan.inputs) if i.kind == "frames"]
        self._block = {
            a.name: frames_per_block(self.plan, a) for a in self.plan.algorithms if a.algorithm.by_module
        }
        self._handed_on = {
            a.name: [o for o in a.outputs if o.name in self.plan.handed_on] for a in self.plan.algorithms
        }
        self._by_train = {a.name for a in self.plan.algorithms if by_train(self.plan, a)}
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
            rows = self.plan.inputs[number].index.rows(train, train + 1)
            shape = (len(bound.modules), rows.stop - rows.start, *bound.location.shape)
            filled.arrays[number], offset = view(buffer, shape, bound.dtype, offset)
            filled.good[number] = np.zeros(shape[:2], bool)
            if bound.keeps_valid:
                filled.pixels[number], offset = view(buffer, shape, np.dtype(bool), offset)
            for module, out in enumerate(filled.arrays[number]):
                pixels = filled.pixels[number][module] if bound.keeps_valid else None
                good = self.state.read(bound, module, rows, out, pixels)
                # The buffer holds another train's data where nothing was read.
                out[~good] = missing_value(bound.dtype)
                if pixels is not None:
                    pixels[~good] = False
                filled.good[number][module] = good
        return filled

    def work(self, train: int, filled: Filled) -> None:
        """Let the algorithms work on a train, in order."""
        self.totals.reach(train)
        self._account(train, filled)
        for bound in self.plan.algorithms:
            good = presence.seen(self.state, self.plan.sights[bound.name], train, train + 1)
            scratch = self._transients(bound, train)
            if good.any() and train not in self.state.failed:
                if bound.algorithm.by_module:
                    self._work_blocks(bound, train, filled, scratch, good)
                else:
                    self._work_train(bound, train, filled, scratch)
                if bound.name in self._by_train:
                    finish(self.state, bound, train, train + 1)
            for o in self._handed_on[bound.name]:
                presence.mark(self.state, bound, o, train, train + 1, scratch.get(o.name))

    def _account(self, train: int, filled: Filled) -> None:
        """Count what was read."""
        for number, good in filled.good.items():
            self.state.got[number][:, self.state.rows_of(self.plan.inputs[number].index, train)] = good
            self.state.bytes += int(np.count_nonzero(good)) * self.plan.inputs[number].frame_bytes

    # Whole trains -------------------------------------------------------------------------------

    def _work_train(
        self, bound: BoundAlgorithm, train: int, filled: Filled, scratch: dict[str, NDArray]
    ) -> None:
        out = self.state.train_view(bound, train, scratch)
        seen = self._train(bound, train, filled)
        with hook_context(bound.algorithm, "process_train_data", self.state, train, train + 1):
            bound.algorithm.process_train_data(seen, out)
        presence.note_train(self.state, bound, out, train)

    def _train(self, bound: BoundAlgorithm, train: int, filled: Filled) -> Train:
        """Return what the algorithm sees."""
        index = self.plan.inputs[bound.stream].index
        rows = index.rows(train, train + 1)
        valid = {alias: self._there(ref, train) for alias, ref in bound.aliases.items()}
        labels = {a for a, n in bound.aliases.items() if isinstance(n, int) and self.plan.inputs[n].joined}
        values = {a: self._value(ref, train, filled) for a, ref in bound.aliases.items()}
        values = {a: value if a in labels else or_nan(value, valid[a]) for a, value in values.items()}
        pixels = {a: filled.pixels[n] for a, n in bound.aliases.items() if n in filled.pixels}
        return Train(
            index=train,
            id=int(self.plan.train_ids[train]),
            pulse_ids=None if index.pulse_ids is None else read_only(index.pulse_ids[rows]),
            cell_ids=None if index.cell_ids is None else read_only(index.cell_ids[rows]),
            missing=frozenset(alias for alias, there in valid.items() if not there.any()),
            _arrays={a: read_only(value) for a, value in values.items()},
            _valid=valid | {alias: read_only(own.swapaxes(0, 1)) for alias, own in pixels.items()},
            _asked=self.state.asked[bound.name],
        )

    def _there(self, ref: int | str, train: int) -> NDArray:
        """Return where an alias has something in a train: (frame, module), (entry,), or () for a value of the train."""
        if isinstance(ref, str):
            o = output(self.plan, ref)
            there = presence.has(self.state, maker(self.plan, ref), o, train, train + 1)
            return there[0] if o.output.kind == "train" else there.T
        bound = self.plan.inputs[ref]
        got = self.state.got[ref][:, self.state.rows_of(self.plan.inputs[ref].index, train)]
        if bound.kind == "control":
            return np.asarray(got.any())
        return got.T if bound.kind == "frames" else got[0]

    def _value(self, ref: int | str, train: int, filled: Filled) -> Any:
        """Return the data of an alias in a train."""
        if isinstance(ref, str):
            return self.state.train_output(output(self.plan, ref), train, self._scratch)
        if ref in filled.arrays:
            return filled.arrays[ref].swapaxes(0, 1)
        return keys.key_of_train(self.state, ref, train)

    # Blocks within a train ----------------------------------------------------------------------

    def _work_blocks(
        self,
        bound: BoundAlgorithm,
        train: int,
        filled: Filled,
        scratch: dict[str, NDArray],
        good: NDArray,
    ) -> None:
        first = self.state.rows_of(self.plan.inputs[bound.stream].index, train).start
        for module, there in enumerate(good):
            for start, stop in cut(there, self._block[bound.name]):
                if train in self.state.failed:
                    return
                part = {name: images[module, start:stop] for name, images in scratch.items()}
                rows = slice(first + start, first + stop)
                arrays = {
                    ref: self._block_value(bound, ref, module, slice(start, stop), rows, filled)
                    for ref in bound.aliases.values()
                }
                pixels = {n: own[module, start:stop] for n, own in filled.pixels.items()}
                block = module_block(self.state, bound, module, train, rows, arrays, pixels)
                own = train - self.state.chunk.first
                out, shares = self.state.block_view(bound, module, rows, own, part)
                with block_context(self.state, bound, train, module):
                    bound.algorithm.process_module_data(block, out)
                merge_shares(shares)
                presence.note_block(self.state, bound, out, module, rows, own)

    def _block_value(
        self, bound: BoundAlgorithm, ref: int | str, module: int, at: slice, own: slice, filled: Filled
    ) -> NDArray | None:
        """Return the data of an alias for some frames of a module of a train; None for keys of the whole chunk."""
        if isinstance(ref, str):
            if ref in self._scratch:
                return self._scratch[ref][module, at]
            array: Any = self.state.arrays[ref]
            return array[module, own]
        if ref in filled.arrays:
            return filled.arrays[ref][module, at]
        return self.state.keys[ref][own] if ref == bound.stream else None

    def _transients(self, bound: BoundAlgorithm, train: int) -> dict[str, NDArray]:
        """Return this algorithm's images that live for one train, at their identity; memory is reused."""
        for o in bound.outputs:
            if o.transient:
                self._scratch[o.name] = self._images(o, int(o.index.counts[train]))
        return {o.name: self._scratch[o.name] for o in bound.outputs if o.transient}

    def _images(self, o: BoundOutput, frames: int) -> NDArray:
        shape, old = (o.pixels[0], frames, *o.output.shape, *o.pixels[1:]), self._scratch.get(o.name)
        images = old if old is not None and old.shape == shape else np.empty(shape, o.output.dtype)
        images[:] = identity(o.output.dtype, o.output.merge)
        return images
