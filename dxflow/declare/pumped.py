"""Which frames saw the pump-probe laser beside an X-ray pulse, by the decoder of pulse patterns."""

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
from ..run.timing import SLOTS
from .bunches import Bunches, in_exposures, own_pulses, undulator, without_pulses
from .inputs import Frames, Key
from .pulses import PulseKey

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile

LASER = ("laser.nPulses", "laser.pulseIds")
_KINDS = {
    "source": maybe(TEXT),
    "shift": WHOLE,
    "frames": Kind("Frames", lambda value: isinstance(value, Frames)),
}


@dataclass(frozen=True, repr=False)
class Pumped:
    """Whether a frame saw a pulse of the pump-probe laser, a boolean for each frame with X-rays.

    What `Labels.pumped` makes labels of. Frames without X-ray pulse have no label, nor have trains of which the
    decoder says nothing. Slots of frames are found as `PulseKey` finds them: the first X-ray pulse of a train is in the
    first frame.

    Parameters
    ----------
    source : str, optional
        Decoder of pulse patterns, with ``laser.nPulses`` and ``laser.pulseIds``; by default that of the instrument, or
        the only one.
    shift : int
        Slots from a laser pulse to the X-ray pulse that comes with it, 0 by default.
    sase, offset, reference_frame, exposure, stride
        As of `PulseKey`.
    frames : Frames
        Of the detector whose frames get the labels.
    """

    source: str | None = None
    shift: int = 0
    sase: int | None = None
    frames: Frames = Frames()
    offset: int | None = None
    reference_frame: int = 0
    exposure: int = 1
    stride: int | None = None

    def __post_init__(self) -> None:
        expect_all(_KINDS, {name: getattr(self, name) for name in _KINDS}, "Pumped: ")
        self._clock()

    def __repr__(self) -> str:
        return written(self)

    def _clock(self) -> PulseKey:
        """Return what finds slots of frames."""
        own = {k: v for k, v in vars(self).items() if k not in ("source", "shift")}
        return PulseKey(self.source or "", LASER[1], **own)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the pulses of the laser, the bunch pattern and the detector's frames in a run."""
        sase, source = undulator(self.sase, of_run(run), str(self)), self.found(run)
        parts = [Key(source, key).bind(run, trains, faults) for key in LASER]
        pattern = Bunches().bind(run, trains, faults)
        frames = self.frames.bind(run, trains, Faults())
        return replace(
            parts[1],
            declared=self,
            kind="pulses",
            index=frames.index,
            location=replace(parts[1].location, shape=(), dtype=np.dtype(bool)),
            parts=(*parts, pattern),
            composed=True,
            facts={"sase": sase, "reference": self._clock().reference(frames.index)},
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        source = [s for s in access.all_sources if s == self.source or "PATTERN" in s]
        kept = [Key(s, key).look_ahead(access) for s in source for key in LASER]
        return all([*kept, Bunches().look_ahead(access), self.frames.look_ahead(access)])

    def found(self, run: DataCollection) -> str:
        """Return the decoder, or say that there is none."""
        if self.source is not None:
            return self.source
        has = sorted(s for s in run.control_sources if all(key in run[s] for key in LASER))
        instrument = of_run(run)
        usual = [s for s in (instrument.decoder if instrument else ()) if s in has]
        if not usual and len(has) != 1:
            raise KeyError(
                f"{'no source' if not has else f'several sources, {has},'} of the run says when the laser came "
                f"({' and '.join(LASER)}, as decoders of pulse patterns have): say which frames or trains are pumped, "
                "Labels(...), or Labels.pumped(source)"
            )
        return (usual or has)[0]

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return a flag per frame, (row,), which are known, and trains without X-ray pulses."""
        (number, has_n), (ids, has_ids), (table, known) = parts
        facts = at.bound.facts
        laser = np.zeros((len(ids), SLOTS), bool)
        slots = ids.astype(np.int64) + self.shift
        came = (np.arange(ids.shape[1]) < number.reshape(-1, 1)) & (slots >= 0) & (slots < SLOTS)
        laser[np.nonzero(came)[0], slots[came]] = True
        seen = self._clock().slots(table, at.bound.index, at.rows, first=at.first, **facts)
        pump, probe = (
            in_exposures(of, *seen, self.exposure).any(axis=-1)
            for of in (laser, own_pulses(table, facts["sase"]))
        )
        there = (has_n & has_ids & known)[seen[0]] & probe
        so_that = "no frame is labelled"
        losses = without_pulses(table[known], at.train_ids[known], facts["sase"], at.bound.name, so_that)
        return pump & there, there, losses
