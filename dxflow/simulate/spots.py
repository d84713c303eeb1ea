"""Spots: peaks of known number, size and brightness at known places between pixels, in each hit at others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry
from .seeds import Stream, generator
from .signals import Image, OnBackground, Shots

REACH = 6
"""Pixels around its middle that a spot is drawn on."""
APART = 12.0
"""Pixels from a spot to any other of the same module, at least."""


@dataclass(frozen=True)
class Spots(OnBackground):
    """Round spots, Gaussian, at random places of all modules; no spot is near another, or at an edge of a module.

    `expected` is the background, which hits and misses share. `Truth.peaks` has the middle of each spot, in fractions
    of pixels, and all its photons.
    """

    count: int = 50
    """Spots of a hit; fewer where modules are so small that they do not fit."""
    photons: float = 300.0
    """Mean photons of a spot; each has from half to one and a half of that."""
    width: float = 0.8
    """Standard deviation of a spot, pixels."""
    hit_rate: float = 0.3
    background: float = 0.3
    """Photons per pixel."""

    def images(
        self, geometry: Geometry, module: int, hit: Image, miss: Image, shots: Shots
    ) -> Iterator[Image]:
        """Yield the background, with the spots of each hit that are in the module."""
        for frame, is_hit in enumerate(shots.hit):
            yield self._drawn(miss, self._places(geometry, shots, frame), module) if is_hit else miss

    def peaks(self, geometry: Geometry, shots: Shots) -> NDArray[np.float64]:
        """Return the spots of all hits."""
        places = [(n, self._places(geometry, shots, int(n))) for n in np.flatnonzero(shots.hit)]
        return np.concatenate(
            [np.zeros((0, 5)), *(np.column_stack([np.full(len(p), n), p]) for n, p in places)]
        )

    def _places(self, geometry: Geometry, shots: Shots, frame: int) -> NDArray[np.float64]:
        """Return module, ss, fs and photons of the spots of a frame, module by module."""
        modules, *pixels = geometry.positions.shape[:3]
        random = generator(shots.seed, Stream.SPOTS, shots.train_id, int(shots.pulses[frame]))
        tries = 4 * self.count
        module = random.integers(modules, size=tries)
        edge = [min(3.0, (n - 1) / 2) for n in pixels]
        at = [random.uniform(a, n - 1 - a, tries) for a, n in zip(edge, pixels, strict=True)]
        photons = self.photons * random.uniform(0.5, 1.5, tries)
        places = np.column_stack([module, *at, photons])
        places = places[_apart(places[:, :3])][: self.count]
        return places[np.argsort(places[:, 0], kind="stable")]

    def _drawn(self, image: Image, places: NDArray[np.float64], module: int) -> Image:
        """Return an image with its spots."""
        out = image.copy()
        for ss, fs, photons in places[places[:, 0] == module, 1:]:
            first = [max(0, int(x) - REACH) for x in (ss, fs)]
            part = out[first[0] : int(ss) + REACH + 1, first[1] : int(fs) + REACH + 1]
            rows, columns = (np.arange(n) + a for n, a in zip(part.shape, first, strict=True))
            square = (rows[:, None] - ss) ** 2 + (columns - fs) ** 2
            part += photons / (2 * np.pi * self.width**2) * np.exp(-0.5 * square / self.width**2)
        return out


def _apart(places: NDArray[np.float64]) -> list[int]:
    """Return which of some (module, ss, fs) are taken, one after the other, so that none is near another."""
    taken: list[int] = []
    for n, place in enumerate(places):
        module, *off = np.abs(places[taken] - place).T
        if not ((module == 0) & (np.hypot(*off) < APART)).any():
            taken.append(n)
    return taken
