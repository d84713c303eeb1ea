"""Values beside frames: keys by their own rate, of which no entries are frames, or per frame of values per pulse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors.near import written
from ..run import detectors
from ..run.bound import BoundInput, Stretch
from ..run.findings import Faults
from ..run.index import plain
from ..run.locate import nowhere
from .inputs import Frames, Key
from .labelled import TRAIN_DATA
from .pulses import PulseKey

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile
    from ..run.losses import Loss


@dataclass(frozen=True)
class EachTrain:
    """Each train of the run, whatever is in it; nothing is read. As first input, a hook sees every train."""

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Return an entry for each train."""
        index = plain(trains, np.ones(len(trains), np.int64))
        return BoundInput(
            declared=self,
            name="trains",
            key="of the run",
            kind="pulses",
            modules=(0,),
            location=nowhere(index, (), np.dtype("?")),
            index=index,
            composed=True,
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask nothing of a file."""
        return True

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return that each train is there."""
        there = np.ones(len(at.bound.index), bool)[at.rows]
        return there, there, []


@dataclass(frozen=True, repr=False)
class Beside(Key):
    """A key that is kept by its own rate, and of which no entries are frames: of a selection only its trains count.

    Parameters
    ----------
    source, key, offset
        As of `Key`. Lists with a value for each X-ray pulse (``...TD``) have one per frame of a detector, as `PulseKey`
        joins them, if the run has a detector.
    frames : Frames
        Of the detector whose frames get the values.
    """

    frames: Frames = Frames()

    def __repr__(self) -> str:
        return written(self)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the key in a run, and the frames of pulses."""
        bound = Key(self.source, self.key, self.offset).bind(run, trains, faults)
        lists = bound.key.endswith(TRAIN_DATA) and len(bound.location.shape) == 1 and not self.offset
        if not lists or not detectors.find(run.instrument_sources - set(run.legacy_sources)):
            return bound
        return PulseKey(bound.name, bound.key, frames=self.frames).bind(run, trains, faults)

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        own = super().look_ahead(access)
        pulses = self.key.endswith(TRAIN_DATA) and not self.offset
        return (
            PulseKey(self.source, self.key, frames=self.frames).look_ahead(access) if pulses else True
        ) and own
