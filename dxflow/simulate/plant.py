"""What a simulated run gets wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bursts import Bursts


@dataclass(frozen=True)
class Plant:
    """Deliberate gaps of a run; the default plants none.

    Trains are named by their position in the undisturbed run, from 0 to ``trains - 1``.
    """

    missing_trains: Collection[int] = ()
    """Trains that no file has."""
    missing_modules: Collection[int] = ()
    """Numbers of modules that have no file."""
    lost_trains: Mapping[int, Collection[int]] = field(default_factory=dict)
    """Module number -> trains that are not in that module's files."""
    silent_trains: Mapping[int, Collection[int]] = field(default_factory=dict)
    """Module number -> trains that are in that module's index with no entries."""
    pulse_counts: ArrayLike | Callable[[int], int] | None = None
    """Frames of each train: an array (train,) or a function of the position; None: the same for all."""
    empty_trains: Collection[int] = ()
    """Trains of which no module has frames; they stay in the index with no entries."""
    sequence_gap: int = 0
    """Train ids left out between one sequence and the next."""
    shifts: Mapping[int, int] = field(default_factory=dict)
    """Train -> frames by which the detector sees pulses later, from this train on: its trigger was moved."""
    shut_trains: Collection[int] = ()
    """Trains with a closed shutter: the machine delivers pulses, and no frame is lit."""

    bursts: Bursts | None = None
    """Electronic noise that comes and goes, of corrected data."""

    def counts(self, trains: int, pulses: int) -> NDArray[np.int64]:
        """Return the frames of each train, (train,).

        Raises
        ------
        ValueError
            If a count is negative or above ``pulses``, or a planted train is outside the run.
        """
        counts = self._counts(trains, pulses)
        if counts.shape != (trains,) or counts.min(initial=0) < 0 or counts.max(initial=0) > pulses:
            raise ValueError(
                f"pulse_counts must be {trains} numbers from 0 to {pulses} (trains, pulses), not {counts!r}; "
                "raise pulses or lower the counts"
            )
        counts[self.inside("empty_trains", self.empty_trains, trains)] = 0
        return counts

    def _counts(self, trains: int, pulses: int) -> NDArray[np.int64]:
        if self.pulse_counts is None:
            return np.full(trains, pulses)
        if callable(self.pulse_counts):
            return np.array([self.pulse_counts(train) for train in range(trains)], dtype=np.int64)
        return np.array(self.pulse_counts, dtype=np.int64)

    def shift(self, trains: int) -> NDArray[np.int64]:
        """Return by how many frames each train sees its pulses later than planned, (train,)."""
        out = np.zeros(trains, np.int64)
        for train in self.inside("shifts", self.shifts, trains):
            out[train:] = self.shifts[int(train)]
        return out

    @staticmethod
    def inside(name: str, positions: Collection[int], trains: int) -> NDArray[np.int64]:
        """Return train positions as an array; raise ValueError if one is outside the run."""
        out = np.array(sorted(positions), dtype=np.int64)
        if len(out) and (out[0] < 0 or out[-1] >= trains):
            raise ValueError(f"{name} {out.tolist()} must be positions from 0 to {trains - 1}")
        return out

    def as_json(self) -> dict[str, Any]:
        """Return what was planted as plain lists and numbers; counts given as a function are left out."""
        counts = self.pulse_counts
        return {
            "missing_trains": sorted(self.missing_trains),
            "missing_modules": sorted(self.missing_modules),
            "lost_trains": {str(m): sorted(t) for m, t in self.lost_trains.items()},
            "silent_trains": {str(m): sorted(t) for m, t in self.silent_trains.items()},
            "pulse_counts": None if counts is None or callable(counts) else np.asarray(counts).tolist(),
            "empty_trains": sorted(self.empty_trains),
            "sequence_gap": self.sequence_gap,
            "shifts": {str(t): frames for t, frames in sorted(self.shifts.items())},
            "shut_trains": sorted(self.shut_trains),
            "bursts": None if self.bursts is None else asdict(self.bursts),
        }
