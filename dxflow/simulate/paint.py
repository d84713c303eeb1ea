"""The frames of one module, one after another, drawn or taken from the pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detect import Sensor, corrected, raw, stored_stage
from .detectors import Kind
from .geometry import Geometry
from .schedule import Schedule
from .seeds import Stream, generator
from .settings import Settings
from .signals import Image, Shots, Signal


@dataclass(frozen=True)
class Scene:
    """All that a module needs to be drawn."""

    settings: Settings
    kind: Kind
    schedule: Schedule
    geometry: Geometry
    hit: Image
    """`Signal.expected` of all modules."""
    miss: Image
    """`Signal.missed` of all modules."""
    pumped: Image
    """`Signal.expected` of pumped frames."""

    def shots(self, train: int, where: slice, number: int) -> Shots:
        """Return frames of one train (by index) as signals see them; ``number`` is the module's."""
        return Shots(
            seed=self.settings.seed,
            number=number,
            train_id=int(self.schedule.train_ids[train]),
            pulses=self.schedule.pulse[where],
            times=self.schedule.times(self.settings)[where],
            hit=self.schedule.hit[where],
        )

    def peaks(self) -> NDArray[np.float64]:
        """Return the Bragg peaks of all frames, (peak, 5): frame, module (position), ss, fs, photons."""
        donors = np.unique(self.schedule.donor)
        found = [np.zeros((0, 5))]
        for donor in donors[self.schedule.hit[donors]]:
            shots = self.shots(int(self.schedule.train[donor]), slice(donor, donor + 1), 0)
            peaks = self.settings.signal.peaks(self.geometry, shots)
            for frame in np.flatnonzero(self.schedule.donor == donor):
                found.append(np.column_stack([np.full(len(peaks), frame), peaks[:, 1:]]))
        out = np.concatenate(found)
        return out[np.argsort(out[:, 0], kind="stable")]


@dataclass(frozen=True)
class Frame:
    """One frame of a module as it is stored."""

    donor: int
    """Frame of the run that it is a copy of: equal numbers, equal bytes."""
    data: NDArray[Any]
    gain: NDArray[np.uint8] | None
    """Gain stages, for detectors with a dataset of them."""


@dataclass
class Painter:
    """Draws the frames of one module.

    Notes
    -----
    With a pool, drawn frames are kept: the memory is that of the pool's frames of one module.
    """

    scene: Scene
    module: int
    """Position of the module in the geometry."""
    sensor: Sensor
    _kept: dict[int, Frame] = field(default_factory=dict)

    def train(self, train: int) -> Iterator[Frame]:
        """Yield the frames of a train (by index), in order."""
        where = self.scene.schedule.frames(train)
        donors = self.scene.schedule.donor[where]
        if self.scene.settings.pool is None:
            yield from self._draw(train, where)
            return
        for donor in map(int, donors):
            if donor not in self._kept:
                self._keep(donor)
            yield self._kept[donor]

    def _keep(self, donor: int) -> None:
        """Draw a donor: alone, or with its train if the frames of the train depend on each other."""
        schedule = self.scene.schedule
        train = int(schedule.train[donor])
        correlated = self.scene.settings.signal.correlated
        where = schedule.frames(train) if correlated else slice(donor, donor + 1)
        for frame in self._draw(train, where):
            self._kept[frame.donor] = frame

    def _draw(self, train: int, where: slice) -> Iterator[Frame]:
        """Yield new frames: ``where`` they are in the run, all of one train."""
        scene, numbers = self.scene, np.arange(where.start, where.stop)
        means = zip(numbers, self._means(train, where), strict=True)
        for frame, mean in means:
            random = generator(
                scene.settings.seed,
                Stream.PHOTONS,
                self.sensor.number,
                int(scene.schedule.train_ids[train]),
                int(scene.schedule.pulse[frame]),
            )
            yield self._detect(int(frame), mean * scene.schedule.intensity[frame], random)

    def _means(self, train: int, where: slice) -> Iterator[Image]:
        """Yield mean photons at reference energy; pumped frames, as far as the pump does something, from theirs."""
        scene, schedule = self.scene, self.scene.schedule
        shots = scene.shots(train, where, self.sensor.number)
        still = self._images(scene.settings.signal, scene.hit, shots)
        moved = self._images(scene.settings.pump_signal or scene.settings.signal, scene.pumped, shots)
        if scene.pumped is scene.hit:
            yield from still
            return
        for effect, plain, changed in zip(schedule.effect[where], still, moved, strict=True):
            # Neither is rounded where it is whole.
            yield changed if effect == 1 else plain if effect == 0 else plain + effect * (changed - plain)

    def _images(self, signal: Signal, hit: Image, shots: Shots) -> Iterator[Image]:
        scene, module = self.scene, self.module
        return signal.images(scene.geometry, module, hit[module], scene.miss[module], shots)

    def _detect(self, frame: int, mean: Image, random: np.random.Generator) -> Frame:
        scene = self.scene
        cell = int(scene.schedule.pulse[frame])
        train_id = int(scene.schedule.train_ids[scene.schedule.train[frame]])
        if scene.settings.data == "corr":
            jump = self._jump(cell, train_id)
            return Frame(frame, corrected(scene.settings, self.sensor, mean, random, jump), None)
        data, stage = raw(scene.settings, scene.kind, self.sensor, mean, cell, random, train_id)
        return Frame(frame, data, stored_stage(scene.kind, stage) if scene.kind.gain == "key" else None)

    def _jump(self, cell: int, train_id: int) -> NDArray[np.float32] | None:
        settings = self.scene.settings
        if (bursts := settings.plant.bursts) is None:
            return None
        return bursts.image(settings.shape, cell, settings.seed, self.sensor.number, train_id)
