"""Values per X-ray pulse, such as an XGM's, joined to detector frames through the bunch pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import TEXT, WHOLE, Kind, expect_all, maybe
from ..errors.near import written
from ..run.bound import BoundInput, Stretch
from ..run.findings import Faults
from ..run.instruments import of_run
from ..run.losses import Loss
from .bunches import Bunches, in_exposures, of_slots, own_pulses, undulator, without_pulses
from .inputs import Frames, Key

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile
    from ..run.index import EntryIndex

_KINDS = {
    **dict.fromkeys(("source", "key"), TEXT),
    "pattern": maybe(TEXT),
    **dict.fromkeys(("reference_frame", "exposure"), WHOLE),
    **dict.fromkeys(("sase", "offset", "stride"), maybe(WHOLE)),
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
    pattern : str, optional
        Source of the bunch pattern: a time server, ``...TIMESERVER:outputBunchPattern``, or a decoder of pulse
        patterns. By default that of the instrument.
    sase : {1, 2, 3}, optional
        Undulator of the beamline, by default that of the instrument. Trains in which it has no pulse are counted in
        the losses.
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
    pattern: str | None = None
    sase: int | None = None
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
        sase = undulator(self.sase, of_run(run), str(self))
        entries = Key(self.source, self.key).bind(run, trains, faults)
        pattern = Bunches(self.pattern).bind(run, trains, faults)
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
            composed=True,
            facts={"sase": sase, "reference": self.reference(frames.index)},
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        parts = (Key(self.source, self.key), Bunches(self.pattern), self.frames)
        kept = [part.look_ahead(access) for part in parts]
        return all(kept)

    def reference(self, index: EntryIndex) -> int:
        """Return the pulse id that most trains have in frame number `reference_frame`, the lowest of several."""
        if self.reference_frame < 0 or self.exposure < 1:
            raise ValueError(f"{self}: reference_frame counts from 0, exposure from 1")
        rows = index.offsets[:-1][index.counts > self.reference_frame] + self.reference_frame
        ids, times = np.unique(self.ids(index)[rows], return_counts=True)
        if not len(ids) and self.offset is None and len(index):
            raise ValueError(f"{self}: no train has a frame number {self.reference_frame}")
        return int(ids[np.argmax(times)]) if len(ids) else 0

    def ids(self, index: EntryIndex) -> NDArray:
        """Return the pulse id of each row, or what stands for it, (row,) int64."""
        if index.pulse_ids is not None:
            return index.pulse_ids.astype(np.int64)
        if self.stride is None:
            raise ValueError(
                f"{self}: the frames have no pulse ids to join by; give stride=, the slots from one frame to the next"
            )
        return self.stride * index.entry_ids.astype(np.int64)

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return one value per frame, (row,), which are there, and trains without pulses."""
        (entries, there), (table, known) = parts
        facts = at.bound.facts
        values = self.per_frame(
            entries, table, there & known, at.bound.index, at.rows, first=at.first, **facts
        )
        so_that = f"{self.key} is 0"
        losses = without_pulses(table[known], at.train_ids[known], facts["sase"], self.source, so_that)
        return values, ~np.isnan(values), losses

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
        sase: int = 1,
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
        sase : int
            Undulator.
        """
        trains, slots = self.slots(table, index, rows, first=first, reference=reference, sase=sase)
        if not len(trains):
            return np.zeros(0)
        out = in_exposures(of_slots(entries, table, sase), trains, slots, self.exposure).sum(axis=-1)
        return np.where(there[trains], out, np.nan)

    def slots(
        self,
        table: NDArray,
        index: EntryIndex,
        rows: slice,
        *,
        first: int | None = None,
        reference: int = 0,
        sase: int = 1,
    ) -> tuple[NDArray, NDArray]:
        """Return of each frame its train, a row of the table, and the first slot that it sees; see `per_frame`."""
        trains = index.train_positions(rows)
        trains = trains - (trains[0] if first is None and len(trains) else first or 0)
        return trains, self.ids(index)[rows] + self._shift(table, reference, sase)[trains]

    def _shift(self, table: NDArray, reference: int, sase: int) -> NDArray:
        """Return what is added to pulse ids to make slots, (train,)."""
        if self.offset is not None:
            return np.full(len(table), self.offset)
        return np.argmax(own_pulses(table, sase), axis=1) - reference
