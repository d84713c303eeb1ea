"""Values per X-ray pulse, such as an XGM's, joined to detector frames through the bunch pattern."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import TEXT, WHOLE, Kind, expect_all, maybe
from ..errors.near import written
from ..run.bound import BoundInput
from ..run.findings import Faults
from ..run.losses import Loss
from .inputs import Frames, Key

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile
    from ..run.index import EntryIndex

DESTINATION = 0xF << 18
SASE1_AND_3 = 4 << 18
SASE2 = 2 << 18
DEFLECTED = 1 << 27
"""Bits of the bunch pattern table: European XFEL timing system specification 2.2, page 10."""

PATTERN = "data.bunchPatternTable"
OWN = {
    1: (DESTINATION | DEFLECTED, SASE1_AND_3),
    2: (DESTINATION, SASE2),
    3: (DESTINATION | DEFLECTED, SASE1_AND_3 | DEFLECTED),
}
"""(bits to look at, their value) of the pulses that lase in each undulator."""
MEASURED = {1: (DESTINATION, SASE1_AND_3), 2: (DESTINATION, SASE2), 3: (DESTINATION, SASE1_AND_3)}
"""The same of the pulses that the gas monitor has an entry for: SASE1 and SASE3 share theirs."""


_KINDS = {
    **dict.fromkeys(("source", "key", "pattern"), TEXT),
    **dict.fromkeys(("sase", "reference_frame", "exposure"), WHOLE),
    **dict.fromkeys(("offset", "stride"), maybe(WHOLE)),
    "frames": Kind("Frames", lambda value: isinstance(value, Frames)),
}


@dataclass(frozen=True, repr=False)
class PulseKey:
    """A key with one entry per X-ray pulse, as one value per frame of a detector.

    ``train[alias]`` is (pulse,) and ``block[alias]`` (frame,): the sum over the pulses in the exposure of the frame, 0
    for a frame without pulses. NaN where one of these pulses has no entry or that is NaN, and in trains without
    entries or without bunch pattern. The k-th entry belongs to the k-th pulse of the bunch pattern that the device
    sees. Frames are joined by pulse id, so that a value does not depend on which other frames are read.

    Parameters
    ----------
    source, key : str
        ``PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD", ...)``.
    pattern : str
        Source of the bunch pattern table, ``...TIMESERVER:outputBunchPattern``.
    sase : {1, 2, 3}
        Undulator of the beamline. Trains in which it has no pulse are counted in the losses.
    frames : Frames
        Of the detector whose frames get the values.
    offset : int, optional
        Slot of the bunch pattern of a frame is its pulse id + offset. By default the first pulse of each train is
        taken to fall into frame number `reference_frame`: the pulse id that most trains have there.
    reference_frame : int
        See `offset`.
    exposure : int
        Slots (of 222 ns) that a frame sees.
    stride : int, optional
        Slots from one frame to the next, of detectors whose frames have no pulse ids (JUNGFRAU): a frame's number in
        its train, times this, is taken as its pulse id.

    References
    ----------
    European XFEL timing system specification 2.2: the bits of the bunch pattern table.
    """

    source: str
    key: str
    pattern: str
    sase: int
    frames: Frames = Frames()
    offset: int | None = None
    reference_frame: int = 0
    exposure: int = 1
    stride: int | None = None

    def __post_init__(self) -> None:
        expect_all(_KINDS, vars(self), "PulseKey: ")

    def __repr__(self) -> str:
        return written(self)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the entries, the bunch pattern and the detector's frames in a run."""
        if self.sase not in OWN:
            raise ValueError(f"{self}: sase={self.sase}; expected one of {sorted(OWN)}")
        entries = Key(self.source, self.key).bind(run, trains, faults)
        pattern = Key(self.pattern, PATTERN).bind(run, trains, faults)
        if len(entries.location.shape) != 1:
            shape = entries.location.shape
            raise ValueError(f"{self.source} {self.key} has shape {shape} per train: not one per pulse")
        # What is wrong with the detector is said where it is read.
        frames = self.frames.bind(run, trains, Faults())
        at = replace(entries.location, shape=(), dtype=np.dtype("f8"))
        return replace(
            entries,
            declared=self,
            kind="pulses",
            index=frames.index,
            location=at,
            parts=(entries, pattern),
            reference=self._reference(frames.index),
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        parts = (Key(self.source, self.key), Key(self.pattern, PATTERN), self.frames)
        kept = [part.look_ahead(access) for part in parts]
        return all(kept)

    def _reference(self, index: EntryIndex) -> int:
        """Return the pulse id that most trains have in frame number `reference_frame`, the lowest of several."""
        if self.reference_frame < 0 or self.exposure < 1:
            raise ValueError(f"{self}: reference_frame counts from 0, exposure from 1")
        rows = index.offsets[:-1][index.counts > self.reference_frame] + self.reference_frame
        ids, times = np.unique(self._ids(index)[rows], return_counts=True)
        if not len(ids) and self.offset is None and len(index):
            raise ValueError(f"{self}: no train has a frame number {self.reference_frame}")
        return int(ids[np.argmax(times)]) if len(ids) else 0

    def _ids(self, index: EntryIndex) -> NDArray:
        """Return the pulse id of each row, or what stands for it, (row,) int64."""
        if index.pulse_ids is not None:
            return index.pulse_ids.astype(np.int64)
        if self.stride is None:
            raise ValueError(
                f"{self}: the frames have no pulse ids to join by; give stride=, the slots from one frame to the next"
            )
        return self.stride * index.entry_ids.astype(np.int64)

    def per_frame(
        self,
        entries: NDArray,
        table: NDArray,
        there: NDArray,
        index: EntryIndex,
        rows: slice,
        *,
        first: int | None = None,
        reference: int = 0,
    ) -> NDArray:
        """Return one value per frame, (row,).

        Parameters
        ----------
        entries : ndarray of float, (train, entry)
        table : ndarray of uint32, (train, slot)
            Bunch pattern of the same trains.
        there : ndarray of bool, (train,)
            Which trains have both.
        index : EntryIndex
            Of the frames.
        rows : slice
            The frames of these trains.
        first : int, optional
            Position of the first of these trains; that of the first frame by default.
        reference : int
            Pulse id of the frame that the first pulse of each train falls into; unused where there is an `offset`.
        """
        trains = index.train_positions(rows)
        if not len(trains):
            return np.zeros(0)
        trains = trains - (trains[0] if first is None else first)
        values = self._of_slots(entries, table)
        slots = self._ids(index)[rows] + self._shift(table, reference)[trains]
        out = np.zeros(len(trains))
        for slot in range(self.exposure):
            inside = (slots + slot >= 0) & (slots + slot < values.shape[1])
            out[inside] += values[trains[inside], slots[inside] + slot]
        return np.where(there[trains], out, np.nan)

    def _of_slots(self, entries: NDArray, table: NDArray) -> NDArray:
        """Return the entry of our pulse in each slot, (train, slot): 0 without a pulse, NaN for one without entry."""
        measured, own = (_pulses(table, *bits[self.sase]) for bits in (MEASURED, OWN))
        number = np.cumsum(measured, axis=1) - 1
        width = entries.shape[1]
        values = np.take_along_axis(
            np.pad(entries.astype(float), ((0, 0), (0, 1)), constant_values=np.nan),
            np.clip(number, 0, width),
            axis=1,
        )
        return np.where(own, values, 0.0)

    def _shift(self, table: NDArray, reference: int) -> NDArray:
        """Return what is added to pulse ids to make slots, (train,)."""
        if self.offset is not None:
            return np.full(len(table), self.offset)
        return np.argmax(_pulses(table, *OWN[self.sase]), axis=1) - reference

    def without_pulses(self, table: NDArray, train_ids: NDArray) -> list[Loss]:
        """Return a loss of the trains, (train,), in whose bunch pattern the undulator has no pulse."""
        empty = ~_pulses(table, *OWN[self.sase]).any(axis=1)
        if not empty.any():
            return []
        others = [n for n in OWN if _pulses(table[empty], *OWN[n]).any()]
        hint = f"; there are pulses of SASE {others}: is sase={self.sase} right?" if others else ""
        detail = f"none of SASE {self.sase} in the bunch pattern, so that {self.key} is 0{hint}"
        span = int(train_ids[empty][0]), int(train_ids[empty][-1])
        return [Loss("no pulses", 0, int(empty.sum()), *span, self.source, detail=detail)]


def _pulses(table: NDArray, bits: int, value: int) -> NDArray:
    """Return which slots have these bits at this value, (train, slot)."""
    return np.asarray((table & np.uint32(bits)) == np.uint32(value))
