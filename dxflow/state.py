"""What a chunk has while it is worked on: its outputs, its keys, what was used and what was lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .losses import Loss
from .masks import MISSING
from .outputs import BoundOutput, Events, EventView, Partial
from .reader import ReadFault
from .reader.extents import Extents, extents
from .reader.files import Files
from .reader.masks import Masks, Pixels
from .views import missing_value
from .watch import Doing

if TYPE_CHECKING:
    from .binding import BoundAlgorithm
    from .inputs import BoundInput
    from .locate import Location
    from .plan import Chunk, Plan


MASK_CAUSES = {"never written": "mask never written"}
"""What a fault of a mask counts as, where it is not "unreadable mask"."""


class ChunkState:
    """Outputs, keys and accounts of one chunk.

    Attributes
    ----------
    rows : list of slice
        Rows of the chunk in each of the plan's indexes.
    arrays : dict
        Output name -> the chunk's array or events; transient ones are absent.
    keys : dict
        Number of a key input -> its values in the chunk, (entry, ...).
    keys_read : dict
        Number of a key input -> which of its entries could be read, (entry,) bool.
    modules : ndarray of int32 per index, (row,)
        How many modules of the frame were used.
    worked : dict
        Name of an output of images -> which of them a block was handed out for, (module, row) bool.
    used : dict
        (input number, module position) -> frames used.
    """

    def __init__(
        self,
        plan: Plan,
        chunk: Chunk,
        excluded: frozenset[int],
        files: Files,
        masks: Masks,
        doing: Doing | None = None,
    ) -> None:
        self.plan, self.chunk, self.excluded = plan, chunk, excluded
        self.files, self.masks = files, masks
        self.doing = doing or Doing()
        self._extents: dict[tuple[BoundInput, int, bool], tuple[Extents, int]] = {}
        self._lock = threading.Lock()
        self.part = plan.modules(chunk)
        self.rows = [i.rows(chunk.first, chunk.last) for i in plan.indexes]
        self.arrays: dict[str, NDArray | Events] = {
            o.name: self._array(o) for o in plan.outputs if not o.transient
        }
        self.keys: dict[int, NDArray] = {}
        self.keys_read: dict[int, NDArray] = {}
        self.modules = [np.zeros(r.stop - r.start, np.int32) for r in self.rows]
        self.worked: dict[str, NDArray] = {}
        self.trains_done = np.zeros(chunk.last - chunk.first, bool)
        self.used: Counter[tuple[int, int]] = Counter()
        self.losses: list[Loss] = []
        self.bytes = 0
        self.began, self.times = perf_counter(), {"read": 0.0, "wait": 0.0}

    def _array(self, output: BoundOutput) -> NDArray | Events:
        """Return a fresh array for the chunk."""
        if output.output.kind == "event":
            return Events(output.output.shape, output.output.dtype)
        rows = self.rows[output.rows] if output.rows >= 0 else slice(0, 0)
        trains = self.chunk.last - self.chunk.first
        modules = min(self.part.stop - self.part.start, output.pixels[0])
        return output.array(rows.stop - rows.start, trains, modules)

    # Keys ---------------------------------------------------------------------------------------

    def read_keys(self) -> None:
        """Read the keys of the whole chunk that no block or train buffer holds."""
        for number in sorted(self.plan.keys):
            bound, rows = self.plan.inputs[number], self.rows[self.plan.rows[number]]
            if bound.parts:
                values = self._joined(bound, rows)
            else:
                values, good = self._read_key(bound)
                values[~good] = missing_value(bound.dtype)
                self.keys_read[number] = good
            self.keys[number] = values
            self.bytes += values.nbytes

    def _read_key(self, bound: BoundInput) -> tuple[NDArray, NDArray]:
        """Return the chunk's entries of a key, (entry, ...), and which of them could be read, (entry,) bool."""
        rows = bound.index.rows(self.chunk.first, self.chunk.last)
        values = np.empty((rows.stop - rows.start, *bound.location.shape), bound.dtype)
        return values, self.read(bound, 0, rows, values)

    def _joined(self, bound: BoundInput, rows: slice) -> NDArray:
        """Return a key with one entry per pulse as one value per frame, (row,)."""
        (entries, there), (table, known) = (self._per_train(part) for part in bound.parts)
        declared: Any = bound.declared
        if self.chunk.part == 0:
            trains = self.plan.train_ids[self.chunk.first : self.chunk.last]
            self.losses += declared.without_pulses(table[known], trains[known])
        return np.asarray(
            declared.per_frame(
                entries,
                table,
                there & known,
                bound.index,
                rows,
                first=self.chunk.first,
                reference=bound.reference,
            )
        )

    def _per_train(self, bound: BoundInput) -> tuple[NDArray, NDArray]:
        """Return the first entry of each train, (train, ...), 0 where there is none, and where there is one."""
        values, good = self._read_key(bound)
        offsets = bound.index.offsets[self.chunk.first : self.chunk.last + 1]
        first = np.minimum(offsets[:-1] - offsets[0], max(len(good) - 1, 0))
        out = np.zeros((len(first), *bound.location.shape), bound.dtype)
        if not len(good):
            return out, np.zeros(len(first), bool)
        there = (np.diff(offsets) > 0) & good[first]
        out[there] = values[first[there]]
        return out, there

    def read(
        self, bound: BoundInput, module: int, rows: slice, out: NDArray, valid: NDArray | None = None
    ) -> NDArray:
        """Read rows of a module into ``out`` (row, ...); return which are there and could be read, (row,) bool.

        Which of their pixels are not masked goes to `valid`, bool like `out`, where the mask asks for that. The other
        rows of `out` keep what they held. A stretch that fails is read again frame by frame, so that
        only what cannot be read is lost. Runs in the reader threads.
        """
        where, first = self._where(bound, module)
        good, offset = np.zeros(rows.stop - rows.start, bool), rows.start - first
        for a, b, piece, start in where.overlapping(offset, rows.stop - first):
            part = slice(a - offset, b - offset)
            try:
                piece.read(a - start, b - start, out[part])
                self._mask(bound, module, slice(a, b), Pixels.of(bound.mask, out, valid, part))
                good[part] = True
            except ReadFault as fault:
                if self.plan.on_fault == "raise":
                    raise
                if b - a == 1:
                    self.lose(bound, module, first + a, fault)
                else:
                    good[part] = self._read_singly(
                        bound,
                        module,
                        slice(first + a, first + b),
                        out[part],
                        None if valid is None else valid[part],
                    )
        return good

    def _read_singly(
        self, bound: BoundInput, module: int, rows: slice, out: NDArray, valid: NDArray | None
    ) -> NDArray:
        """Read rows one by one; return which could be read."""
        good = np.zeros(len(out), bool)
        for i, row in enumerate(range(rows.start, rows.stop)):
            one = slice(i, i + 1)
            part = None if valid is None else valid[one]
            good[one] = self.read(bound, module, slice(row, row + 1), out[one], part)
        return good

    def _mask(self, bound: BoundInput, module: int, rows: slice, pixels: Pixels) -> None:
        """Strike out the bad pixels of frames that were just read; rows count from the chunk's first."""
        mask = bound.mask
        if mask is None:
            return
        if mask.location is not None:
            self._mask_by_key(bound, mask.location, module, rows, pixels)
        if mask.packed is not None:
            first, ids = self._where(bound, module)[1], bound.index.cell_ids
            cells = None if mask.cells is None else ids[first + rows.start : first + rows.stop]
            self.masks.apply_static(mask, module, cells, pixels)

    def _mask_by_key(self, bound: BoundInput, at: Location, module: int, rows: slice, pixels: Pixels) -> None:
        """Strike out what the masks of these frames, which are read now, say."""
        done, bits = 0, bound.mask.bits if bound.mask else 0
        where, row = self._where(bound, module, mask=True)
        for a, b, piece, first in where.overlapping(rows.start, rows.stop):
            part = pixels.part(a - rows.start, b - rows.start)
            try:
                self.masks.apply(piece, a - first, b - first, part, at.dtype, bits)
            except ReadFault as fault:
                raise fault.named(MASK_CAUSES.get(fault.cause, "unreadable mask")) from fault
            done += b - a
        if done < rows.stop - rows.start:
            train = int(bound.index.train_positions(slice(row + rows.start, row + rows.stop))[0])
            file = bound.location.files[bound.location.file[module, train]]
            dataset = at.datasets[module] or next(filter(None, at.datasets))
            first = int(bound.location.first[module, train])
            raise ReadFault(file, dataset, first, rows.stop - rows.start, "these frames have none", MISSING)

    def _where(self, bound: BoundInput, module: int, *, mask: bool = False) -> tuple[Extents, int]:
        """Return where the chunk's rows of a module, or their masks, lie, and the first row; found when asked for."""
        with self._lock:
            if (bound, module, mask) not in self._extents:
                rows = bound.index.rows(self.chunk.first, self.chunk.last)
                at = (bound.mask.location if mask and bound.mask else None) or bound.location
                found = extents(self.files, at, bound.index, module, rows), rows.start
                self._extents[bound, module, mask] = found
            return self._extents[bound, module, mask]

    def key_of_train(self, number: int, train: int) -> Any:
        """Return a key's entries in a train, (entry, ...); the one value for a control source."""
        bound, index = self.plan.inputs[number], self.plan.indexes[self.plan.rows[number]]
        first = self.rows[self.plan.rows[number]].start
        values = self.keys[number][index.offsets[train] - first : index.offsets[train + 1] - first]
        if bound.kind != "control":
            return values
        return (
            values[0]
            if len(values)
            else np.full(bound.location.shape, missing_value(bound.dtype), bound.dtype)[()]
        )

    def key_of_frames(self, number: int, trains: NDArray, rows: slice) -> NDArray:
        """Return a key's value for frames (rows, of these trains), (frame, ...); missing where it lacks one."""
        bound, index = self.plan.inputs[number], self.plan.indexes[self.plan.rows[number]]
        first = self.rows[self.plan.rows[number]].start
        if bound.kind == "pulses":
            return self.keys[number][rows.start - first : rows.stop - first]
        row, there = index.offsets[trains] - first, index.counts[trains] > 0
        out = np.full((len(trains), *bound.location.shape), missing_value(bound.dtype), bound.dtype)
        out[there] = self.keys[number][row[there]]
        return out

    # Outputs ------------------------------------------------------------------------------------

    def block_view(
        self, bound: BoundAlgorithm, module: int, rows: slice, trains: NDArray, scratch: Mapping[str, NDArray]
    ) -> Partial:
        """Return what `process_module_data` may write to: this module's pixels, these frames' rows."""
        own = module - self.part.start
        return Partial({o.key: self._block_output(o, own, rows, trains, scratch) for o in bound.outputs})

    def _block_output(
        self, o: BoundOutput, module: int, rows: slice, trains: NDArray, scratch: Mapping[str, NDArray]
    ) -> NDArray | EventView:
        if o.transient:
            return scratch[o.name]
        array = self.arrays[o.name]
        if isinstance(array, Events):
            return EventView(array, trains, rows.start, None)
        match o.output.kind:
            case "pixel":
                before: tuple[Any, ...] = (slice(None),) * len(o.output.shape)
                return array[(*before, module)]
            case "entry":
                return array[rows]
            case "image":
                self._worked(o.name, array)[module, rows] = True
                return array[module, rows]
            case "train":
                return array[int(trains[0]), ...]
        return array

    def _worked(self, name: str, images: NDArray) -> NDArray:
        """Return which images of an output have been worked on module by module, (module, row) bool."""
        return self.worked.setdefault(name, np.zeros(images.shape[:2], bool))

    def train_view(self, bound: BoundAlgorithm, train: int, scratch: Mapping[str, NDArray]) -> Partial:
        """Return what `process_train_data` may write to, for a train at a position in the plan."""
        return Partial({o.key: self._train_output(o, train, scratch) for o in bound.outputs})

    def _train_output(
        self, o: BoundOutput, train: int, scratch: Mapping[str, NDArray]
    ) -> NDArray | EventView:
        rows = self.rows_of(o.rows, train) if o.rows >= 0 else slice(0, 0)
        if o.transient:
            return scratch[o.name].swapaxes(0, 1)
        array = self.arrays[o.name]
        own = train - self.chunk.first
        if isinstance(array, Events):
            return EventView(array, np.full(rows.stop - rows.start, own), rows.start, own)
        match o.output.kind:
            case "entry":
                return array[rows]
            case "image":
                return array[:, rows].swapaxes(0, 1)
            case "train":
                return array[own, ...]
        return array

    def rows_of(self, index: int, train: int) -> slice:
        """Return the rows of a train, counted from the chunk's first."""
        rows, first = self.plan.indexes[index].rows(train, train + 1), self.rows[index].start
        return slice(rows.start - first, rows.stop - first)

    # Accounts -----------------------------------------------------------------------------------

    def lose(self, bound: BoundInput, module: int, row: int, fault: ReadFault) -> None:
        """Note that a frame (row of the index) of a module could not be read."""
        labels = {name: int(ids[0]) for name, ids in bound.index.labels(slice(row, row + 1)).items()}
        train = labels["train_id"]
        pulse = f" (pulse {labels['pulse_id']})" if "pulse_id" in labels else ""
        self.losses.append(
            Loss(
                cause=fault.cause,
                frames=1,
                trains=1,
                first_train=train,
                last_train=train,
                source=bound.location.sources[module],
                module=bound.modules[module] if bound.kind == "frames" else -1,
                file=fault.file,
                run=self.plan.run,
                detail=f"{fault.dataset} row {fault.first}{pulse}: {fault.detail}",
            )
        )

    def mark_lost_rows(self) -> None:
        """Set rows of frames and trains that nothing was read for to NaN, where the dtype has it."""
        for o in self.plan.outputs:
            array = self.arrays.get(o.name)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fc":
                continue
            if o.output.kind == "entry" and self._counts_modules(o.rows):
                array[self.modules[o.rows] == 0] = np.nan
            elif o.output.kind == "image":
                array[:, self.modules[o.rows] == 0] = np.nan
                array[~self.worked.get(o.name, np.ones(array.shape[:2], bool))] = np.nan
            elif o.output.kind == "train":
                array[~self.trains_done] = np.nan

    def _counts_modules(self, index: int) -> bool:
        """Return whether an index is that of frames, whose modules are counted."""
        streams = {self.plan.rows[a.stream] for a in self.plan.algorithms}
        return index in streams

    def summed_losses(self) -> list[Loss]:
        """Return the losses with those of the same cause, source and file joined."""
        joined: dict[tuple, Loss] = {}
        # Several threads note losses; what is joined must not depend on which came first.
        for loss in sorted(self.losses, key=lambda x: (x.source, x.module, x.first_train, x.cause, x.detail)):
            key = (loss.cause, loss.source, loss.module, loss.file, loss.algorithm)
            joined[key] = _join(joined[key], loss) if key in joined else loss
        return list(joined.values())


def _join(a: Loss, b: Loss) -> Loss:
    same_train = a.last_train == b.first_train
    return replace(
        a,
        frames=a.frames + b.frames,
        trains=a.trains + b.trains - same_train,
        first_train=min(a.first_train, b.first_train),
        last_train=max(a.last_train, b.last_train),
    )
