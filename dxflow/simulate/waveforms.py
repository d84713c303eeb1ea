"""Waveforms: what a digitizer records of the pulses of a train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .seeds import Stream, generator


@dataclass(frozen=True)
class Waveforms:
    """A peak for each X-ray pulse on a noisy baseline, int16, one trace per train.

    A peak rises as one Gaussian and falls as another: ``height exp(-(t - top)^2 / (2 s^2))`` with s = `rise` before its
    top and `fall` after it. Its area is ``height (rise + fall) sqrt(pi / 2)``, and on its way up it is at a fraction f
    of its height at ``top - rise sqrt(-2 ln f)``.
    """

    samples: int = 2000
    rate: float = 108.0
    """Samples per microsecond."""
    first: float = 150.0
    """Sample at which the top of a peak of the first detector frame would be."""
    rise: float = 3.0
    """Samples."""
    fall: float = 6.0
    """Samples."""
    height: float = 2000.0
    """ADU of a pulse of the mean energy; heights go with the energy, negative ones down."""
    jitter: float = 0.5
    """Standard deviation of the time of each peak, samples."""
    baseline: float = 300.0
    """ADU."""
    drift: float = 50.0
    """Standard deviation of the baseline from train to train, ADU."""
    noise: float = 8.0
    """Standard deviation of each sample, ADU."""

    def __post_init__(self) -> None:
        wrong = [name for name in ("samples", "rate", "rise", "fall") if getattr(self, name) <= 0]
        wrong += [name for name in ("jitter", "drift", "noise") if getattr(self, name) < 0]
        if wrong:
            raise ValueError(
                f"Waveforms: {', '.join(wrong)} must be positive (jitter, drift and noise 0 or more)"
            )

    def peaks(self, seed: int, train_id: int, times: NDArray, energies: NDArray) -> NDArray[np.float64]:
        """Return top, height and area of each peak of a train, (pulse, 3): samples, ADU, ADU times samples.

        Parameters
        ----------
        times : ndarray, (pulse,)
            Of X-ray pulses since the first detector frame, microseconds.
        energies : ndarray, (pulse,)
            Of each, over the mean energy.
        """
        random = generator(seed, Stream.WAVES, train_id)
        top = self.first + times * self.rate + self.jitter * random.standard_normal(len(times))
        height = self.height * energies
        return np.column_stack([top, height, height * (self.rise + self.fall) * np.sqrt(np.pi / 2)])

    def trace(self, seed: int, train_id: int, peaks: NDArray) -> NDArray[np.int16]:
        """Return the samples of a train with these `peaks`, cut off at the limits of int16."""
        random = generator(seed, Stream.WAVES, train_id, 1)
        values = (
            self.baseline
            + self.drift * random.standard_normal()
            + self.noise * random.standard_normal(self.samples)
        )
        for top, height, _ in peaks:
            off = np.arange(self.samples) - top
            values += height * np.exp(-0.5 * (off / np.where(off < 0, self.rise, self.fall)) ** 2)
        limits = np.iinfo(np.int16)
        return np.rint(values).clip(limits.min, limits.max).astype(np.int16)
