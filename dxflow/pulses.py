"""Values per X-ray pulse, such as an XGM's, joined to detector frames through the bunch pattern."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .inputs import BoundInput, Frames, Key
from .locate import Faults

if TYPE_CHECKING:
    from extra_data import DataCollection

    from .index import EntryIndex

DESTINATION = 0xF << 18
SASE1_AND_3 = 4 << 18
SASE2 = 2 << 18
DEFLECTED = 1 << 27
"""Bits of the bunch pattern table: European XFEL timing system specification 2.2, page 10."""

OWN = {
    1: (DESTINATION | DEFLECTED, SASE1_AND_3),
    2: (DESTINATION, SASE2),
    3: (DESTINATION | DEFLECTED, SASE1_AND_3 | DEFLECTED),
}
"""(bits to look at, their value) of the pulses that lase in each undulator."""
MEASURED = {1: (DESTINATION, SASE1_AND_3), 2: (DESTINATION, SASE2), 3: (DESTINATION, SASE1_AND_3)}
"""The same of the pulses that the gas monitor has an entry for: SASE1 and SASE3 share theirs."""


@dataclass(frozen=True)
class PulseKey:
    """A key with one entry per X-ray pulse, as one value per frame of a detector.

    ``train[alias]`` is (pulse,) and ``block[alias]`` (frame,): the sum over the pulses in the exposure of the frame, 0
    for a frame without pulses, NaN in trains without entries or without bunch pattern. The k-th entry belongs to the
    k-th pulse of the bunch pattern that the device sees.

    Parameters
    ----------
    source, key : str
        ``PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD", ...)``.
    pattern : str
        Source of the bunch pattern table, ``...TIMESERVER:outputBunchPattern``.
    sase : {1, 2, 3}
        Undulator of the beamline.
    frames : Frames
        Of the detector whose frames get the values.
    offset : int, optional
        Slot of the bunch pattern of a frame is its pulse id + offset. By default the first pulse of each train is
        taken to fall into frame number `reference_frame`.
    reference_frame : int
        See `offset`.
    exposure : int
        Slots (of 222 ns) that a frame sees.

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

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the entries, the bunch pattern and the detector's frames in a run."""
        if self.sase not in OWN:
            raise ValueError(f"{self}: sase={self.sase}; expected one of {sorted(OWN)}")
        entries = Key(self.source, self.key).bind(run, trains, faults)
        pattern = Key(self.pattern, "data.bunchPatternTable").bind(run, trains, faults)
        if len(entries.location.shape) != 1:
            shape = entries.location.shape
            raise ValueError(f"{self.source} {self.key} has shape {shape} per train: not one per pulse")
        # What is wrong with the detector is said where it is read.
        frames = self.frames.bind(run, trains, Faults())
        at = replace(entries.location, shape=(), dtype=np.dtype("f8"))
        return replace(
            entries, declared=self, kind="pulses", index=frames.index, location=at, parts=(entries, pattern)
        )

    def per_frame(
        self, entries: NDArray, table: NDArray, there: NDArray, index: EntryIndex, rows: slice
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
        """
        if index.pulse_ids is None:
            raise ValueError(f"{self}: the frames have no pulse ids to join by")
        trains = index.train_positions(rows)
        trains = trains - trains[0] if len(trains) else trains
        sums = self._summed(entries, table)
        slots = index.pulse_ids[rows].astype(np.int64) + self._shift(table, trains, index, rows)
        last = table.shape[1]
        start, stop = (np.clip(s, 0, last) for s in (slots, slots + self.exposure))
        values = sums[trains, stop] - sums[trains, start]
        return np.where(there[trains], values, np.nan)

    def _summed(self, entries: NDArray, table: NDArray) -> NDArray:
        """Return the sum of our pulses' entries before each slot, (train, slot + 1)."""
        measured, own = (_pulses(table, *bits[self.sase]) for bits in (MEASURED, OWN))
        row = np.clip(np.cumsum(measured, axis=1) - 1, 0, entries.shape[1] - 1)
        values = np.where(own, np.take_along_axis(entries.astype(float), row, axis=1), 0.0)
        return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))

    def _shift(self, table: NDArray, trains: NDArray, index: EntryIndex, rows: slice) -> NDArray | int:
        """Return what is added to pulse ids to make slots, (row,)."""
        assert index.pulse_ids is not None
        if self.offset is not None:
            return self.offset
        first_pulse = np.argmax(_pulses(table, *OWN[self.sase]), axis=1)
        first_row = np.searchsorted(trains, np.arange(len(table)))
        last_row = np.searchsorted(trains, np.arange(len(table)), side="right") - 1
        reference = np.clip(first_row + self.reference_frame, 0, np.maximum(last_row, 0))
        ids = index.pulse_ids[rows].astype(np.int64)
        return (first_pulse - ids[np.minimum(reference, len(ids) - 1)])[trains]


def _pulses(table: NDArray, bits: int, value: int) -> NDArray:
    """Return which slots have these bits at this value, (train, slot)."""
    return np.asarray((table & np.uint32(bits)) == np.uint32(value))
