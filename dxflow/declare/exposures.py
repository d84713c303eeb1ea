"""Frames and the X-ray pulses that they saw: the clock of a detector, a bunch pattern, and what they make together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import written
from ..run.bound import BoundInput, Stretch
from ..run.findings import Faults
from ..run.locate import nowhere
from ..run.losses import Loss
from ..run.timing import SLOTS, Clock, Timing, clock
from .bunches import in_exposures, instrument_of, of_slots, own_pulses, rows_of_monitor, undulator
from .inputs import Frames

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile
    from ..run.index import EntryIndex


@dataclass(frozen=True, eq=False)
class Annotated:
    """What is known of all frames of some trains from their bunch pattern.

    Parameters
    ----------
    n_pulses : ndarray of int, (train, frame)
        Pulses in the exposure.
    energy, sigma : ndarray of float, (train, frame)
        Sum of the energies of these pulses, NaN where the gas monitor has none; error of the sum.
    has_data : ndarray of bool, (train, frame)
        Frames that have pulses; all where the detector did not record X-rays.
    slots, rows : tuple of ndarray of int, (pulse,), one per train
        Slot of the bunch pattern, and entry of the gas monitor, of each pulse that a frame saw, in order.
    in_train : ndarray of int, (train,)
        Pulses of the train, in frames or not.
    """

    n_pulses: NDArray
    energy: NDArray
    sigma: NDArray
    has_data: NDArray
    slots: tuple[NDArray, ...]
    rows: tuple[NDArray, ...]
    in_train: NDArray


@dataclass(frozen=True, repr=False)
class FrameClock:
    """Frames of a detector by their ids and by the time at which they were taken; no pixel is read.

    ``train[alias]`` is (frame,): which frame of its train each is by the detector's clock, its memory cell where frames
    have pulse ids. ``info[alias].facts`` has ``"clock"``, the fields of a `Clock`, and ``"sase"``.

    Parameters
    ----------
    frames : Frames
        Of which detector.
    timing : Timing
        What is not to be taken from the run.
    instrument : str, optional
        "SPB"; by default that of the run.
    sase : {1, 2, 3}, optional
        Undulator; by default that of the instrument.
    """

    frames: Frames = Frames()
    timing: Timing = Timing()
    instrument: str | None = None
    sase: int | None = None

    def __repr__(self) -> str:
        return written(self)

    def narrowed(self, **asked: Any) -> FrameClock:
        """Return the same of another detector, or of some modules."""
        return replace(self, frames=replace(self.frames, **asked))

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the detector's frames in a run, and what its devices say of their time."""
        instrument = instrument_of(run, self.instrument)
        sase = undulator(self.sase, instrument, str(self))
        # What is wrong with frames is said where they are read.
        frames = replace(self.frames, mask=None).bind(run, trains, Faults())
        found = self.frames.find(run)
        made = clock(run, found, frames.index, instrument, self.timing)
        return BoundInput(
            declared=self,
            name=frames.name,
            key="frames",
            kind="pulses",
            modules=(0,),
            location=nowhere(frames.index, (), np.dtype("u2")),
            index=frames.index,
            composed=True,
            facts={"clock": made.plain(), "sase": sase, "instrument": instrument.name if instrument else ""},
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        return replace(self.frames, mask=None).look_ahead(access)

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return the number of each frame in its train, (row,), and those that the clock does not know."""
        numbers, index = numbers_of(at.bound.index)[at.rows].astype("u2"), at.bound.index
        beyond = numbers >= at.bound.facts["clock"]["frames"]
        if not beyond.any():
            return numbers, ~beyond, []
        trains = index.train_ids[np.unique(index.train_positions(at.rows)[beyond])]
        detail = f"the clock has {at.bound.facts['clock']['frames']} frames per train: give n_frames="
        span = int(trains[0]), int(trains[-1])
        lost = Loss("no time is known", int(beyond.sum()), len(trains), *span, at.bound.name, detail=detail)
        return numbers, ~beyond, [lost]

    @staticmethod
    def annotate(
        timed: Clock,
        table: NDArray,
        sase: int,
        energy: NDArray | None = None,
        sigma: NDArray | None = None,
        *,
        shutter: NDArray | None = None,
    ) -> Annotated:
        """Return which pulses the frames of some trains saw.

        Parameters
        ----------
        timed : Clock
        table : ndarray of uint32, (train, 2700)
            Bunch pattern.
        sase : {1, 2, 3}
        energy, sigma : ndarray of float, (train, entry), optional
            Of the gas monitor.
        shutter : ndarray of bool, (train,), optional
            Whether X-rays came through.
        """
        own = own_pulses(table, sase)
        through = own if shutter is None else own & shutter[:, None]
        trains = np.arange(len(table))[:, None]
        begins = timed.begins(own)[:, None] + np.arange(timed.frames) * timed.stride
        seen = in_exposures(through, trains, begins, timed.exposure)
        at = begins[..., None] + np.arange(timed.exposure)
        rows = rows_of_monitor(table, sase)
        per_train = [at[n][seen[n]] for n in range(len(table))]

        def summed(entries: NDArray | None, power: int) -> NDArray:
            values = (
                np.full((len(table), SLOTS), np.nan) if entries is None else of_slots(entries, table, sase)
            )
            # A train that nothing came of has energy 0, whatever the monitor lacks.
            found = in_exposures(np.where(through, values, 0.0), trains, begins, timed.exposure)
            return np.asarray((found**power).sum(axis=-1))

        n_pulses = seen.sum(axis=-1)
        return Annotated(
            n_pulses,
            summed(energy, 1),
            np.sqrt(summed(sigma, 2)),
            n_pulses > 0 if timed.exposed else np.ones(n_pulses.shape, bool),
            tuple(per_train),
            tuple(rows[n][slots] for n, slots in enumerate(per_train)),
            own.sum(axis=1),
        )


def numbers_of(index: EntryIndex) -> NDArray:
    """Return which frame of its train each row is, (row,): its memory cell; its entry where there are no pulse ids."""
    return index.entry_ids if index.pulse_ids is None or index.cell_ids is None else index.cell_ids
