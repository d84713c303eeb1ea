"""What scatters: expected photons of each pixel, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry
from .seeds import Stream, generator

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Shots:
    """Frames of one train that are to be drawn."""

    seed: int
    number: int
    """Module number, for random numbers that each module has of its own."""
    train_id: int
    pulses: NDArray[np.int64]
    """Position of each frame in the train."""
    times: NDArray[np.float64]
    """Time of each frame since the start of the train, microseconds."""
    hit: NDArray[np.bool_]
    """Whether the sample was in the beam."""


@dataclass(frozen=True)
class Signal:
    """Base of all signals: the same image for each hit, nothing for a miss.

    A signal is a frozen dataclass; its fields are its parameters and are stored with the truth.
    """

    correlated: ClassVar[bool] = False
    """Whether frames of a train depend on each other, so that a pool must keep trains whole."""

    @property
    def hits(self) -> float:
        """Share of lit frames that hit the sample."""
        return 1.0

    def expected(self, geometry: Geometry) -> Image:
        """Return mean photons of a hit at reference pulse energy, (module, ss, fs)."""
        raise NotImplementedError

    def missed(self, geometry: Geometry) -> Image:
        """Return mean photons of a lit frame that missed the sample, (module, ss, fs); zero by default."""
        return np.zeros(geometry.positions.shape[:3])

    def images(
        self, geometry: Geometry, module: int, hit: Image, miss: Image, shots: Shots
    ) -> Iterator[Image]:
        """Yield the mean photons of a module for each of some frames of a train, (ss, fs).

        Parameters
        ----------
        geometry : Geometry
            Of all modules.
        module : int
            Position of the module in the geometry.
        hit, miss : ndarray, (ss, fs)
            This module's part of `expected` and `missed`.
        shots : Shots
            The frames.
        """
        for is_hit in shots.hit:
            yield hit if is_hit else miss

    def peaks(self, geometry: Geometry, shots: Shots) -> NDArray[np.float64]:
        """Return the Bragg peaks of some frames of a train, (peak, 5); none by default.

        Columns: frame (position in ``shots``), module (position in the geometry), ss, fs, photons at
        reference pulse energy.
        """
        return np.zeros((0, 5))

    def describe(self) -> dict[str, Any]:
        """Return the parameters as plain JSON, with the signal's name."""
        return {"signal": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Flat(Signal):
    """The same number of photons everywhere; ``Flat(0)`` is a dark run."""

    photons: float = 1.0

    def expected(self, geometry: Geometry) -> Image:
        """Return a constant image."""
        return np.full(geometry.positions.shape[:3], float(self.photons))


@dataclass(frozen=True)
class PowderRings(Signal):
    """Powder rings, Gaussian in q, on a background that falls with q."""

    q: tuple[float, ...] = (0.8, 1.3, 1.8, 2.3)
    """Ring positions, 1/angstrom."""
    photons: tuple[float, ...] = (6.0, 4.0, 3.0, 2.0)
    """Height of each ring, photons per pixel."""
    width: float = 0.08
    """Standard deviation in q, 1/angstrom."""
    background: float = 0.5
    """Photons per pixel at q = 0."""
    decay: float = 1.5
    """The background falls as exp(-q / decay), 1/angstrom."""

    def profile(self, q: Image) -> Image:
        """Return photons per pixel at momentum transfers ``q``, any shape."""
        rings = (
            a * np.exp(-0.5 * ((q - q0) / self.width) ** 2)
            for q0, a in zip(self.q, self.photons, strict=True)
        )
        return sum(rings, self.background * np.exp(-q / self.decay))

    def expected(self, geometry: Geometry) -> Image:
        """Return the profile at the centre of each pixel."""
        return self.profile(geometry.q())


class OnBackground(Signal):
    """A signal of some frames over a flat background that hits and misses share; by default that alone."""

    hit_rate: float
    background: float
    """Photons per pixel."""

    @property
    def hits(self) -> float:
        """The chosen hit rate."""
        return self.hit_rate

    def expected(self, geometry: Geometry) -> Image:
        """Return the background."""
        return self.missed(geometry)

    def missed(self, geometry: Geometry) -> Image:
        """Return the background."""
        return np.full(geometry.positions.shape[:3], self.background)


@dataclass(frozen=True)
class SphereFormFactor(OnBackground):
    """A homogeneous sphere, hit now and then, over a flat background.

    References
    ----------
    Lord Rayleigh (1911), Proc. R. Soc. A 84, 25: I(q) = I0 (3 (sin x - x cos x) / x^3)^2, x = q R.
    """

    radius: float = 12.0
    """Angstrom."""
    photons: float = 50.0
    """Photons per pixel at q = 0."""
    hit_rate: float = 1.0
    background: float = 0.02
    """Photons per pixel of hits and misses alike."""

    def profile(self, q: Image) -> Image:
        """Return photons per pixel of a hit at momentum transfers ``q``, any shape."""
        x = np.asarray(q * self.radius, dtype=np.float64)
        # Below 1e-2 the difference of sin x and x cos x loses its digits; the series is exact to 1e-9.
        small = np.abs(x) < 1e-2
        safe = np.where(small, 1.0, x)
        amplitude = np.where(small, 1 - x**2 / 10, 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)
        return self.photons * amplitude**2 + self.background

    def expected(self, geometry: Geometry) -> Image:
        """Return the profile at the centre of each pixel."""
        return self.profile(geometry.q())


@dataclass(frozen=True)
class Speckle(Signal):
    """Speckle of known contrast that decorrelates during a train; pixels are independent of each other.

    Each pixel has a complex normal amplitude A, |A|^2 of mean 1, that is an autoregressive process in time:
    its intensity is mean * (1 + sqrt(contrast) (|A|^2 - 1)), so that over pixels of equal q and over trains
    <I(t) I(t + d)> / <I>^2 - 1 = contrast * exp(-2 d / tau), exactly; the next train starts afresh. With `modes` M,
    it is mean * (|A_1|^2 + ... + |A_M|^2) / M of independent amplitudes: gamma distributed with contrast 1 / M, and
    photons have the negative binomial distribution.

    References
    ----------
    Siegert relation: Berne and Pecora (1976), Dynamic Light Scattering, chapter 2. Modes: J. W. Goodman (1985),
    Statistical Optics, chapters 6 and 9.
    """

    contrast: float = 0.5
    """Planted contrast (beta), 0 to 1, before photon noise."""
    decorrelation: float = 5.0
    """Planted time constant tau of the amplitude, microseconds, at ``q0``."""
    power: float = 0.0
    """tau(q) = decorrelation * (q / q0)**-power: 0 the same for all q, 2 diffusion."""
    q0: float = 1.0
    """1/angstrom."""
    photons: float = 1.0
    """Mean photons per pixel at q = 0."""
    decay: float = math.inf
    """The mean falls as exp(-q / decay), 1/angstrom."""
    modes: int | None = None
    """Coherence modes of equal weight; `contrast` is 1 / modes then. None: one, on a coherent background."""

    correlated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.modes is not None:
            if self.modes < 1:
                raise ValueError(f"modes must be a positive number, not {self.modes}")
            object.__setattr__(self, "contrast", 1 / self.modes)
        if not 0 <= self.contrast <= 1:
            raise ValueError(f"contrast must be 0 to 1, not {self.contrast}: the intensity would be negative")

    def expected(self, geometry: Geometry) -> Image:
        """Return the mean over many trains."""
        return self.photons * np.exp(-geometry.q() / self.decay)

    def tau(self, q: Image) -> Image:
        """Return the time constant at momentum transfers ``q``, microseconds."""
        return self.decorrelation * (q / self.q0) ** -self.power

    def images(
        self, geometry: Geometry, module: int, hit: Image, miss: Image, shots: Shots
    ) -> Iterator[Image]:
        """Yield the train's frames in order; ``shots`` must be all of them."""
        random = generator(shots.seed, Stream.SPECKLE, shots.number, shots.train_id)
        tau = self.tau(geometry.q(module))
        shape = (self.modes or 1, *hit.shape)
        visible = 1.0 if self.modes else math.sqrt(self.contrast)
        amplitude = _complex_normal(random, shape)
        for step in np.diff(shots.times, append=math.inf):
            yield hit * (1 + visible * ((np.abs(amplitude) ** 2).mean(axis=0) - 1))
            kept = np.exp(-step / tau)
            amplitude = kept * amplitude + np.sqrt(1 - kept**2) * _complex_normal(random, shape)

    def describe(self) -> dict[str, Any]:
        """Return the parameters; an infinite decay is None, which JSON can say."""
        return {**super().describe(), "decay": None if math.isinf(self.decay) else self.decay}


def _complex_normal(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Return complex normal numbers with mean square 1."""
    parts = random.standard_normal((2, *shape)) * math.sqrt(0.5)
    return parts[0] + 1j * parts[1]
