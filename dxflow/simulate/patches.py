"""Patches: signal in some parts of some modules only, in each hit the same."""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import Geometry
from .signals import Image, OnBackground


@dataclass(frozen=True)
class Patches(OnBackground):
    """Photons in rectangles of modules, such as some ASICs, and a flat background everywhere.

    `expected` is above `missed` where the patches are.
    """

    boxes: tuple[tuple[int, int, int, int, int], ...] = ((0, 0, 64, 0, 64),)
    """Module (position), first and one past the last row, first and one past the last column."""
    photons: float = 0.5
    """Photons per pixel above the background."""
    hit_rate: float = 1.0
    background: float = 0.0
    """Photons per pixel of hits and misses alike."""

    def expected(self, geometry: Geometry) -> Image:
        """Return the background with the patches."""
        out = self.missed(geometry)
        for module, ss0, ss1, fs0, fs1 in self.boxes:
            out[module, ss0:ss1, fs0:fs1] += self.photons
        return out
