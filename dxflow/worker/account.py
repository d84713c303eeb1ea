"""What a chunk has while it is worked on: its outputs, its keys, what was used and what was lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..deaths.watch import Doing
from ..declare.events import Events, EventView
from ..declare.outputs import BoundOutput, Partial, identity, merge_into
from ..reader.extents import Extents
from ..reader.faults import ReadFault
from ..reader.files import Files
from ..run.extents import extents
from ..run.losses import Loss
from ..run.masks import MISSING
from . import presence
from .hooks import Hooks
from .masks import Masks, Pixels

if TYPE_CHECKING:
    from ..planning.binding import BoundAlgorithm
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..planning.sight import Sight
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex
    from ..run.locate import Location

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
    got : list of ndarray of bool, (module, row)
        Which rows of each input were read, in trains that are not left out.
    usable : dict
        Sight -> which of its frames (module, row) nobody said to be of no use; filled by `presence.usable`.
    made : dict
        Output name -> which of its trains (train,), rows (row,) or images (module, row) a hook touched.
    asked : dict
        Algorithm -> aliases of which its hooks asked what is valid.
    failed : set of int
        Trains (positions in the plan) in which a hook raised: outputs are worthless, only other such are looked for.
    hooks : Hooks
        How hooks ended so far, also in earlier tries of this chunk.
    """

    def __init__(
        self,
        plan: Plan,
        chunk: Chunk,
        excluded: frozenset[int],
        files: Files,
        masks: Masks,
        doing: Doing | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.plan, self.chunk, self.excluded = plan, chunk, excluded
        self.files, self.masks = files, masks
        self.doing = doing or Doing()
        self._extents: dict[tuple[BoundInput, int, bool], tuple[Extents, int]] = {}
        self._lock = threading.Lock()
        self.part = plan.modules(chunk)
        self.rows = {i: i.rows(chunk.first, chunk.last) for i in plan.indexes}
        self.arrays: dict[str, NDArray | Events] = {
            o.name: self._array(o) for o in plan.outputs if not o.transient
        }
        self.made = presence.nothing_made(self)
        self._shared = {a.name: _shared_rules(a, len(plan.inputs[a.stream].modules)) for a in plan.algorithms}
        self._shares: dict[str, dict[int, NDArray]] = {}
        self.keys: dict[int, NDArray] = {}
        self.got = [
            np.zeros((len(i.modules), self.rows[i.index].stop - self.rows[i.index].start), bool)
            for i in plan.inputs
        ]
        self.usable: dict[Sight, NDArray] = {}
        self.asked: dict[str, set[str]] = {a.name: set() for a in plan.algorithms}
        self.failed: set[int] = set()
        self.hooks = Hooks() if hooks is None else hooks
        self._lost: set[tuple[Any, ...]] = set()
        self.losses: list[Loss] = []
        self.bytes = 0
        self.began, self.times = perf_counter(), {"read": 0.0, "wait": 0.0}

    def _array(self, output: BoundOutput) -> NDArray | Events:
        """Return a fresh array for the chunk."""
        if output.output.kind == "event":
            return Events(output.output.shape, output.output.dtype, output.key)
        rows = self.rows[output.index] if output.index is not None else slice(0, 0)
        trains = self.chunk.last - self.chunk.first
        modules = min(self.part.stop - self.part.start, output.pixels[0])
        return output.array(rows.stop - rows.start, trains, modules)

    # Reading --------------------------------------------------------------------------------------

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
            rows = slice(first + rows.start, first + rows.stop)
            cells = None if mask.cells is None or ids is None else ids[rows]
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

    # Outputs ------------------------------------------------------------------------------------

    def block_view(
        self, bound: BoundAlgorithm, module: int, rows: slice, train: int, scratch: Mapping[str, NDArray]
    ) -> tuple[Partial, list[Share]]:
        """Return what `process_module_data` may write to, and what of that is to be merged when it has.

        Parameters
        ----------
        rows : slice
            Of the block's frames, counted from the chunk's first.
        train : int
            Position of their train in the chunk.
        """
        shares: list[Share] = []
        out = Partial(
            {o.key: self._block_output(o, module, rows, train, scratch, shares) for o in bound.outputs},
            self._shared[bound.name],
        )
        return out, shares

    def _block_output(
        self,
        o: BoundOutput,
        module: int,
        rows: slice,
        train: int,
        scratch: Mapping[str, NDArray],
        shares: list[Share],
    ) -> NDArray | EventView:
        if o.transient:
            return scratch[o.name]
        array = self.arrays[o.name]
        if isinstance(array, Events):
            return EventView(array, np.full(rows.stop - rows.start, train), rows.start, None)
        match o.output.kind:
            case "pixel":
                before: tuple[Any, ...] = (slice(None),) * len(o.output.shape)
                return array[(*before, module - self.part.start)]
            case "image":
                return array[module - self.part.start, rows]
            case "entry":
                return _shared(o, array[rows], shares)
            case "train":
                return _shared(o, array[train, ...], shares)
        return self._of_module(o, array, module)

    def _of_module(self, o: BoundOutput, array: NDArray, module: int) -> NDArray:
        """Return a module's share of an output of the run.

        Shares are added in the order of modules, so that it does not matter whether modules or trains come first.
        """
        if o.output.merge == "custom":
            return array
        of = self._shares.setdefault(o.name, {})
        if module not in of:
            of[module] = o.array(0, 0, 0)
        return of[module]

    def gather(self, bound: BoundAlgorithm) -> None:
        """Merge an algorithm's shares of modules; those of a module must be complete."""
        for o in bound.outputs:
            of = self._shares.pop(o.name, {})
            for module in sorted(of):
                merge_into(self.arrays[o.name], of[module], o.output.merge)  # type: ignore[arg-type]

    def whole_run(self, bound: BoundAlgorithm) -> Partial:
        """Return an algorithm's whole-run outputs of now."""
        return Partial({o.key: self.arrays[o.name] for o in bound.outputs if o.whole_run})

    def renew(self, bound: BoundAlgorithm) -> None:
        """Let an algorithm's whole-run outputs begin anew, in arrays of their own."""
        self.arrays |= {o.name: self._array(o) for o in bound.outputs if o.whole_run}

    def put(self, bound: BoundAlgorithm, total: Partial) -> None:
        """Take these for an algorithm's whole-run outputs."""
        self.arrays |= {o.name: total[o.key] for o in bound.outputs if o.whole_run}

    def train_view(self, bound: BoundAlgorithm, train: int, scratch: Mapping[str, NDArray]) -> Partial:
        """Return what `process_train_data` may write to, for a train at a position in the plan."""
        arrays = {o.key: self.train_output(o, train, scratch) for o in bound.outputs}
        return Partial(arrays, self._shared[bound.name])

    def train_output(self, o: BoundOutput, train: int, scratch: Mapping[str, NDArray]) -> NDArray | EventView:
        """Return what an output has for a train, images as (frame, module, ...)."""
        if o.transient:
            return scratch[o.name].swapaxes(0, 1)
        rows = self.rows_of(o.index, train) if o.index is not None else slice(0, 0)
        array, own = self.arrays[o.name], train - self.chunk.first
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

    def as_chunk(self, bound: BoundAlgorithm, first: int, last: int) -> Partial:
        """Return the rows of some trains as `finalize_chunk_processing` takes them; whole-run outputs are whole."""
        parts: dict[str, Any] = {}
        for o in bound.outputs:
            if not o.transient:
                array = self.arrays[o.name]
                trains = slice(first - self.chunk.first, last - self.chunk.first)
                rows = self.rows_between(o.index, first, last) if o.index is not None else slice(0, 0)
                at: Any = {"entry": rows, "image": (slice(None), rows), "train": trains}.get(o.output.kind)
                parts[o.key] = array if at is None or isinstance(array, Events) else array[at]
        return Partial(parts)

    def rows_of(self, index: EntryIndex, train: int) -> slice:
        """Return the rows of a train, counted from the chunk's first."""
        return self.rows_between(index, train, train + 1)

    def rows_between(self, index: EntryIndex, first: int, last: int) -> slice:
        """Return the rows of trains ``first:last``, counted from the chunk's first."""
        rows, start = index.rows(first, last), self.rows[index].start
        return slice(rows.start - start, rows.stop - start)

    # Accounts -----------------------------------------------------------------------------------

    def lose(self, bound: BoundInput, module: int, row: int, fault: ReadFault) -> None:
        """Note that a frame (row of the index) of a module could not be read, once if it is read for several inputs."""
        labels = {name: int(ids[0]) for name, ids in bound.index.labels(slice(row, row + 1)).items()}
        frame = tuple(labels.values()) if "pulse_id" in labels else (row,)
        what = bound.location.sources[module], fault.file, fault.dataset, fault.first, fault.cause, *frame
        with self._lock:
            if what in self._lost:
                return
            self._lost.add(what)
        pulse = f" (pulse {labels['pulse_id']})" if "pulse_id" in labels else ""
        self.losses.append(
            Loss(
                cause=fault.cause,
                frames=1,
                trains=1,
                first_train=labels["train_id"],
                last_train=labels["train_id"],
                source=bound.location.sources[module],
                module=bound.modules[module] if bound.kind == "frames" else -1,
                file=fault.file,
                run=self.plan.run,
                detail=f"{fault.dataset} row {fault.first}{pulse}: {fault.detail}",
            )
        )

    @property
    def used(self) -> list[list[int]]:
        """Frames of each input and module that were read, [input number, module position, frames]."""
        return [
            [number, module, int(n)]
            for number, got in enumerate(self.got)
            for module, n in enumerate(got.sum(axis=1))
        ]

    def summed_losses(self) -> list[Loss]:
        """Return the losses with those of the same cause, source and file joined."""
        joined: dict[tuple, Loss] = {}
        # Several threads note losses; what is joined must not depend on which came first.
        for loss in sorted(self.losses, key=lambda x: (x.source, x.module, x.first_train, x.cause, x.detail)):
            key = (loss.cause, loss.source, loss.module, loss.file, loss.algorithm)
            joined[key] = _join(joined[key], loss) if key in joined else loss
        return list(joined.values())


Share = tuple[NDArray, NDArray, str]
"""Where a share is merged into, the share, and the rule."""


def _shared_rules(bound: BoundAlgorithm, modules: int) -> dict[str, str]:
    """Return the merge rules of outputs to which other calls of the hook write, too; those without a share."""
    if not bound.algorithm.by_module:
        return {o.key: o.output.merge for o in bound.outputs if o.whole_run}
    # Each frame of a single module is in one block.
    alone = {"image", "event", *(["entry"] if modules == 1 else [])}
    return {
        o.key: o.output.merge
        for o in bound.outputs
        if o.output.kind not in alone and (o.whole_run or o.output.merge == "sum")
    }


def _shared(o: BoundOutput, into: NDArray, shares: list[Share]) -> NDArray:
    """Return what a block may write to of rows that modules and blocks share.

    Sums are added to where they are. The least and the largest of all need an array of their own, at the identity.
    """
    if o.output.merge not in ("min", "max"):
        return into
    shares.append((into, np.full_like(into, identity(o.output.dtype, o.output.merge)), o.output.merge))
    return shares[-1][1]


def _join(a: Loss, b: Loss) -> Loss:
    same_train = a.last_train == b.first_train
    return replace(
        a,
        frames=a.frames + b.frames,
        trains=a.trains + b.trains - same_train,
        first_train=min(a.first_train, b.first_train),
        last_train=max(a.last_train, b.last_train),
    )
