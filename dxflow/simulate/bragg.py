"""Crystals in the beam: Bragg spots of a lattice in random orientation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Geometry
from .seeds import Stream, generator
from .signals import Image, OnBackground, Shots

SMALLEST_PEAK = 5.0
"""Photons above the background that a pixel needs to be listed as a peak."""


@dataclass(frozen=True)
class Bragg(OnBackground):
    """Crystals in random orientation: spots where a reciprocal lattice point meets the Ewald sphere.

    `expected` is the background, which hits and misses share: the spots are in other places in each hit,
    see `Truth.peaks`.
    """

    cell: float = 20.0
    """Edge of the cubic unit cell, angstrom."""
    photons: float = 200.0
    """Photons of a pixel right on a lattice point."""
    size: float | None = None
    """Standard deviation of a lattice point, 1/angstrom; None: 0.012, or more where pixels are so large
    that most spots would fall between their centres."""
    hit_rate: float = 0.3
    background: float = 0.3
    """Photons per pixel."""

    def images(
        self, geometry: Geometry, module: int, hit: Image, miss: Image, shots: Shots
    ) -> Iterator[Image]:
        """Yield the background, with spots of one orientation per hit that all modules share."""
        vectors = geometry.q_vectors(module)
        for pulse, is_hit in zip(shots.pulses, shots.hit, strict=True):
            rotation = orientation(shots.seed, shots.train_id, int(pulse))
            yield miss + self.spots(vectors, rotation) if is_hit else miss

    def peaks(self, geometry: Geometry, shots: Shots) -> NDArray[np.float64]:
        """Return pixels that are brighter by spots than their eight neighbours, module by module."""
        found = [np.zeros((0, 5))]
        for module in range(len(geometry.positions)):
            vectors = geometry.q_vectors(module)
            for frame in np.flatnonzero(shots.hit):
                rotation = orientation(shots.seed, shots.train_id, int(shots.pulses[frame]))
                spots = self.spots(vectors, rotation)
                ss, fs = np.nonzero(_summits(spots) & (spots > SMALLEST_PEAK))
                where = np.full(len(ss), frame), np.full(len(ss), module), ss, fs
                found.append(np.stack([*where, spots[ss, fs]], axis=1))
        return np.concatenate(found)

    def spots(self, vectors: Image, rotation: Image) -> Image:
        """Return photons of the spots at the pixels of a module for one orientation.

        Parameters
        ----------
        vectors : ndarray, (ss, fs, 3)
            Momentum transfers, 1/angstrom.
        rotation : ndarray, (3, 3)
            From the laboratory to the crystal.
        """
        size = self.size or max(0.012, 0.35 * _pitch(vectors))
        index = vectors @ rotation.T * (self.cell / (2 * np.pi))
        nearest = np.round(index)
        off = ((index - nearest) ** 2).sum(axis=-1) * (2 * np.pi / self.cell) ** 2
        # The direct beam is the lattice point 0 0 0: no spot.
        return self.photons * np.exp(-0.5 * off / size**2) * nearest.any(axis=-1)


def _pitch(vectors: Image) -> float:
    """Return the momentum transfer from one pixel to the next, 1/angstrom."""
    return float(np.median(np.linalg.norm(np.diff(vectors, axis=1), axis=-1)))


def _summits(image: Image) -> NDArray[np.bool_]:
    """Return pixels that none of their eight neighbours exceeds."""
    padded = np.pad(image, 1, constant_values=-np.inf)
    ss, fs = image.shape
    shifts = [padded[a : a + ss, b : b + fs] for a in range(3) for b in range(3)]
    return image >= np.max(shifts, axis=0)


def orientation(seed: int, train_id: int, pulse: int) -> Image:
    """Return the rotation of the crystal of a frame, (3, 3), uniform over all rotations.

    References
    ----------
    Shoemake (1992), Graphics Gems III, 124: a quaternion of four normal numbers, normalised.
    """
    normal = generator(seed, Stream.ORIENTATION, train_id, pulse).standard_normal(4)
    w, x, y, z = normal / np.linalg.norm(normal)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
