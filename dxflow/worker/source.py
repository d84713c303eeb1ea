"""Where data come from: fills the arrays of windows from files, or what is given instead, bad pixels struck out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..declare.views import missing_value
from ..planning.strips import strip_of
from ..reader.extents import Extents
from ..reader.faults import ReadFault
from ..reader.files import Files
from ..reader.ring import view
from ..run.bound import Stretch
from ..run.extents import extents
from ..run.masks import MISSING
from ..run.whole import first_of_trains
from .masks import Masks, Pixels

if TYPE_CHECKING:
    from ..planning.walks import Window
    from ..run.bound import BoundInput
    from ..run.locate import Location
    from .account import Account

MASK_CAUSES = {"never written": "mask never written"}
"""What a fault of a mask counts as, where it is not "unreadable mask"."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """What was read of a window, by input number: values, which frames are good, and valid pixels where they are kept.

    `arrays` are (module, frame, ss, fs), or (1, frame, ...) of keys; `good` (module, frame) bool; `pixels` bool like
    the arrays.
    """

    window: Window
    arrays: dict[int, NDArray] = field(default_factory=dict)
    good: dict[int, NDArray] = field(default_factory=dict)
    pixels: dict[int, NDArray] = field(default_factory=dict)


class Given(Protocol):
    """What a plan may have in place of files, such as what came of a stream: it travels to workers with the plan."""

    def extents(self, bound: BoundInput, module: int, rows: slice, *, mask: bool) -> Extents | None:
        """Return what there is of some rows of a module, or of their masks, which are counted from the first.

        None: they are in files. The ids of rows are those of `bound.index`. Extents raise a `ReadFault` where there is
        nothing to be had: it says what these frames count as, such as "dropped". Only rows of which the index has no
        entry have no extent.
        """


class Source:
    """The data of one chunk.

    Attributes
    ----------
    keys : dict
        Number of a key input -> its values in the chunk, (entry, ...).
    """

    def __init__(self, account: Account, files: Files, masks: Masks, *, whole: bool) -> None:
        self.account, self.plan, self.chunk = account, account.plan, account.chunk
        self.files, self.masks, self._whole = files, masks, whole
        self.keys: dict[int, NDArray] = {}
        self._extents: dict[tuple[BoundInput, int, bool], tuple[Extents, int]] = {}
        self._whole_of: dict[BoundInput, BoundInput] = {}
        """Strips that are being read, and what they are of."""
        self._lock = threading.Lock()

    def fill(self, window: Window, buffer: NDArray) -> Loaded:
        """Read a window; runs in the reader threads."""
        loaded, offset = Loaded(window), 0
        for number in window.group.inputs:
            bound = self._strip(number, window)
            rows, modules = window.rows_of(bound), window.modules_of(bound)
            shape = (len(modules), rows.stop - rows.start, *bound.location.shape)
            where, first = self._where(bound, modules[0])
            values, offset = view(buffer, shape, bound.dtype, offset, where.begins(rows.start - first))
            pixels = None
            if bound.keeps_valid:
                pixels, offset = view(buffer, shape, np.dtype(bool), offset)
                loaded.pixels[number] = pixels
            loaded.arrays[number], loaded.good[number] = values, np.zeros(shape[:2], bool)
            for i, module in enumerate(modules):
                valid = None if pixels is None else pixels[i]
                good = self.read(bound, module, rows, values[i], valid)
                if window.strip is not None:
                    good &= ~self._left_out(bound, rows)
                loaded.good[number][i] = good
                if self._whole and not good.all():
                    # The buffer holds what was read before where nothing was read now.
                    values[i][~good] = missing_value(bound.dtype)
                    if valid is not None:
                        valid[~good] = False
            if window.strip is not None:
                self._forget(bound)
        return loaded

    def _strip(self, number: int, window: Window) -> BoundInput:
        """Return what is read of an input: of a strip, some rows of its pixels."""
        bound = self.plan.inputs[number]
        if window.strip is None:
            return bound
        own = strip_of(bound, window.strip)
        self._whole_of[own] = bound
        return own

    def _forget(self, strip: BoundInput) -> None:
        """Forget where a strip lies: it is read once, and there are many."""
        del self._whole_of[strip]
        with self._lock:
            for key in [key for key in self._extents if key[0] is strip]:
                del self._extents[key]

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
                    self.account.lose(self._whole_of.get(bound, bound), module, first + a, fault)
                else:
                    pixels = None if valid is None else valid[part]
                    good[part] = self._read_singly(bound, module, first + a, out[part], pixels)
        return good

    def _read_singly(
        self, bound: BoundInput, module: int, first: int, out: NDArray, valid: NDArray | None
    ) -> NDArray:
        """Read rows from a first one on one by one; return which could be read."""
        good = np.zeros(len(out), bool)
        for i in range(len(out)):
            one = slice(i, i + 1)
            part = None if valid is None else valid[one]
            good[one] = self.read(bound, module, slice(first + i, first + i + 1), out[one], part)
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
            file = next(iter(bound.location.files[bound.location.file[module, train] :]), "")
            dataset = at.datasets[module] or next(filter(None, at.datasets))
            first = int(bound.location.first[module, train])
            raise ReadFault(file, dataset, first, rows.stop - rows.start, "these frames have none", MISSING)

    def _where(self, bound: BoundInput, module: int, *, mask: bool = False) -> tuple[Extents, int]:
        """Return where the chunk's rows of a module, or their masks, lie, and the first row; found when asked for."""
        with self._lock:
            if (bound, module, mask) not in self._extents:
                rows = bound.index.rows(self.chunk.first, self.chunk.last)
                at = (bound.mask.location if mask and bound.mask else None) or bound.location
                given = self.plan.given
                found = given and given.extents(bound, module, rows, mask=mask)
                if found is None:
                    found = extents(self.files, at, bound.index, module, rows)
                self._extents[bound, module, mask] = found, rows.start
            return self._extents[bound, module, mask]

    # Keys ---------------------------------------------------------------------------------------

    def read_keys(self, numbers: frozenset[int]) -> None:
        """Read the keys of the whole chunk that no window holds."""
        account = self.account
        for number in sorted(numbers):
            bound = self.plan.inputs[number]
            rows = account.rows[bound.index]
            if bound.joined is not None:
                values, good = bound.joined.values[rows], bound.joined.there[rows]
            else:
                values, good = self._read_key(bound)
                values[~good] = missing_value(bound.dtype)
            self.keys[number], account.got[number][0] = values, good & ~self._left_out(bound, rows)
            account.bytes += values.nbytes * (bound.joined is None)

    def _left_out(self, bound: BoundInput, rows: slice) -> NDArray:
        """Return which rows are of trains that are left out."""
        return np.isin(bound.index.train_positions(rows), list(self.account.excluded))

    def _read_key(self, bound: BoundInput) -> tuple[NDArray, NDArray]:
        """Return the chunk's entries of a key, (entry, ...), and which of them could be read, (entry,) bool."""
        rows = bound.index.rows(self.chunk.first, self.chunk.last)
        if bound.composed:
            return self._compose(bound, rows)
        values = np.empty((rows.stop - rows.start, *bound.location.shape), bound.dtype)
        return values, self.read(bound, 0, rows, values)

    def _compose(self, bound: BoundInput, rows: slice) -> tuple[NDArray, NDArray]:
        """Return what an input makes of its parts, and which of it is there."""
        parts = [self._per_train(part) for part in bound.parts]
        first, last = self.chunk.first, self.chunk.last
        at = Stretch(bound, rows, first, last, self.plan.train_ids[first:last])
        declared: Any = bound.declared
        values, good, losses = declared.compose(parts, at)
        if self.chunk.part == 0:
            self.account.losses += losses
        return values, good

    def _per_train(self, bound: BoundInput) -> tuple[NDArray, NDArray]:
        """Return the first entry of each train, (train, ...), 0 where there is none, and where there is one."""
        values, good = self._read_key(bound)
        return first_of_trains(bound, values, good, self.chunk.first, self.chunk.last)

    def control(self, number: int, train: int) -> Any:
        """Return the value of a control source in a train."""
        bound = self.plan.inputs[number]
        values = self.keys[number][self.account.between(bound.index, train, train + 1)]
        return values[0] if len(values) else np.full(bound.location.shape, missing_value(bound.dtype))[()]

    def key_of_frames(self, number: int, trains: NDArray, rows: slice) -> tuple[NDArray, NDArray]:
        """Return a key's value for frames, (frame, ...), and where it has one, (frame,) bool.

        `trains` are positions in the plan of those of the frames; rows count from the chunk's first.
        """
        bound, got = self.plan.inputs[number], self.account.got[number][0]
        if bound.kind == "pulses":
            return self.keys[number][rows], got[rows]
        of = bound.index.offsets
        there = of[trains + 1] > of[trains]
        first = np.where(there, of[trains] - of[self.chunk.first], 0)
        values = np.full((len(trains), *bound.location.shape), missing_value(bound.dtype), bound.dtype)
        values[there] = self.keys[number][first[there]]
        there[there] = got[first[there]]
        return values, there
