"""Which trains and frames a run has, and what happens in each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .seeds import Stream, generator
from .settings import SLOT_US, Settings, pattern


@dataclass(frozen=True)
class Schedule:
    """All trains and all frames of a run, in order; frames of all trains lie behind one another."""

    positions: NDArray[np.int64]
    """Of each train in the undisturbed run, (train,)."""
    train_ids: NDArray[np.uint64]
    sequence: NDArray[np.int64]
    """Number of the sequence file of each train."""
    counts: NDArray[np.int64]
    """Frames of each train."""
    motor: NDArray[np.float64]
    """Motor position at each train, mm."""
    train: NDArray[np.int64]
    """Index of each frame's train, (frame,)."""
    pulse: NDArray[np.int64]
    """Position of each frame in its train: its memory cell."""
    lit: NDArray[np.bool_]
    pump: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    energy: NDArray[np.float32]
    """Pulse energy, microjoule; 0 for dark frames."""
    intensity: NDArray[np.float64]
    """Factor on the signal: pulse energy over its mean, times the response to the motor."""
    effect: NDArray[np.float64]
    """How far the pump changes the signal of a frame: 0 not at all, as without a pump, 1 into the pumped signal."""
    donor: NDArray[np.int64]
    """Frame of which each frame is a copy; itself, unless there is a pool."""

    def frames(self, train: int) -> slice:
        """Return where the frames of a train (by index) lie."""
        stop = int(self.counts[: train + 1].sum())
        return slice(stop - int(self.counts[train]), stop)

    def times(self, settings: Settings) -> NDArray[np.float64]:
        """Return the time of each frame since the first frame of its train, microseconds."""
        return self.pulse.astype(np.float64) * (settings.stride * SLOT_US)


def schedule(settings: Settings) -> Schedule:
    """Return the trains and frames of a run; the same settings give the same ones."""
    positions, sequence = _trains(settings)
    counts = settings.plant.counts(settings.trains, settings.pulses)[positions]
    train = np.repeat(np.arange(len(positions)), counts)
    pulse = np.arange(len(train)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (positions[train], pulse)
    shape = (settings.trains, settings.pulses)
    pulse_of = pulse - settings.plant.shift(settings.trains)[positions][train]
    seen = (pulse_of >= 0) & (pulse_of < settings.pulses) & ~_shut(settings)[positions][train]
    came = positions[train], np.where(seen, pulse_of, 0)
    lit = pattern(settings.lit, *shape)[came] & seen
    pump = pattern(settings.pump, *shape)[place]
    motor = settings.scan.positions(settings.trains)[positions]
    response = settings.scan.response(motor)[train]
    effect = settings.scan.effect(motor)[train] * pump
    hit = lit & (_chances(settings)[place] < settings.signal.hits)
    kinds = np.stack([lit, pump, hit, response, effect, pulse * (settings.data == "raw")])
    donor = _donors(settings, train, pulse, kinds)
    energy = np.where(lit, _energies(settings)[came], 0).astype(np.float32)[donor]
    return Schedule(
        positions=positions,
        train_ids=(settings.first_train + positions + settings.plant.sequence_gap * sequence).astype(
            np.uint64
        ),
        sequence=sequence,
        counts=counts,
        motor=motor,
        train=train,
        pulse=pulse,
        lit=lit,
        pump=pump,
        hit=hit,
        energy=energy,
        intensity=energy / settings.pulse_energy * response,
        effect=effect,
        donor=donor,
    )


def _trains(settings: Settings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return position and sequence number of the trains that are there."""
    parts = np.array_split(np.arange(settings.trains), settings.sequences)
    sequence = np.repeat(np.arange(settings.sequences), [len(part) for part in parts])
    missing = settings.plant.inside("missing_trains", settings.plant.missing_trains, settings.trains)
    positions = np.setdiff1d(np.arange(settings.trains), missing)
    return positions, sequence[positions]


def _shut(settings: Settings) -> NDArray[np.bool_]:
    """Return in which trains of the undisturbed run the shutter is closed, (train,)."""
    out = np.zeros(settings.trains, bool)
    out[settings.plant.inside("shut_trains", settings.plant.shut_trains, settings.trains)] = True
    return out


def _energies(settings: Settings) -> NDArray[np.float64]:
    """Return an energy for each possible frame, (train, pulse), gamma distributed: never negative."""
    shape = (settings.trains, settings.pulses)
    if settings.energy_spread == 0:
        return np.full(shape, settings.pulse_energy)
    order = settings.energy_spread**-2
    random = generator(settings.seed, Stream.ENERGY)
    return random.gamma(order, settings.pulse_energy / order, shape)


def _chances(settings: Settings) -> NDArray[np.float64]:
    """Return a number 0 to 1 for each possible frame, (train, pulse); below the hit rate it is a hit."""
    return generator(settings.seed, Stream.HIT).random((settings.trains, settings.pulses))


def _donors(
    settings: Settings, train: NDArray[np.int64], pulse: NDArray[np.int64], kinds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the frame that each frame repeats: one of the first ``pool`` frames of its kind.

    Parameters
    ----------
    kinds : ndarray, (property, frame)
        Frames that agree in all of them differ by chance only.
    """
    own = np.arange(len(train))
    if settings.pool is None or not len(own):
        return own
    if not settings.signal.correlated:
        _, label = np.unique(kinds, axis=1, return_inverse=True)
        return _choose(settings, label.reshape(-1))
    trains, first, counts = np.unique(train, return_index=True, return_counts=True)
    names = [kinds[:, start : start + n].tobytes() for start, n in zip(first, counts, strict=True)]
    donor = _choose(settings, np.array([names.index(name) for name in names]))
    return first[donor[np.searchsorted(trains, train)]] + pulse


def _choose(settings: Settings, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each item, one of the first ``pool`` items with the same label; those choose themselves."""
    random = generator(settings.seed, Stream.POOL)
    out = np.arange(len(label))
    for value in np.unique(label):
        members = np.flatnonzero(label == value)
        pool = members[: settings.pool]
        out[members] = random.choice(pool, len(members))
        out[pool] = pool
    return out


@dataclass(frozen=True)
class Beam:
    """What the machine delivered at each possible frame of each train, recorded by a detector or not."""

    lit: NDArray[np.bool_]
    """(train, pulse)"""
    pump: NDArray[np.bool_]
    """(train, pulse)"""
    energy: NDArray[np.float32]
    """Microjoule, (train, pulse); 0 where dark."""
    slots: NDArray[np.int64]
    """Slot of the bunch pattern, (pulse,)."""
    shut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    """Whether the shutter is closed, (train,)."""

    @property
    def behind(self) -> NDArray[np.bool_]:
        """What comes through the shutter, (train, pulse)."""
        return self.lit & ~self.shut[:, None]


def beam(settings: Settings, schedule: Schedule) -> Beam:
    """Return what the machine delivered; frames of the schedule keep their energy."""
    shape = (settings.trains, settings.pulses)
    lit = pattern(settings.lit, *shape)[schedule.positions]
    energy = np.where(lit, _energies(settings)[schedule.positions], 0).astype(np.float32)
    pulse = schedule.pulse - settings.plant.shift(settings.trains)[schedule.positions][schedule.train]
    own = schedule.lit & (pulse >= 0) & (pulse < settings.pulses)
    energy[schedule.train[own], pulse[own]] = schedule.energy[own]
    return Beam(
        lit=lit,
        pump=pattern(settings.pump, *shape)[schedule.positions],
        energy=energy,
        slots=settings.first_slot + np.arange(settings.pulses) * settings.stride,
        shut=_shut(settings)[schedule.positions],
    )
