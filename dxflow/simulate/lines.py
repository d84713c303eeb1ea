"""Lines: emission lines on a dispersive detector, bent and turned as a crystal makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial

from .geometry import Geometry
from .signals import Image, Signal


@dataclass(frozen=True)
class Lines(Signal):
    """Gaussian lines across each module, in a band of rows, on a flat background.

    In row ss of a module of n rows, a line is at ``at + curvature(v)`` columns, v = ss - (n - 1) / 2.
    """

    at: tuple[float, ...] = (20.0, 28.0)
    """Columns (fast scan) of the lines at the middle row, in fractions of pixels."""
    photons: tuple[float, ...] = (3.0, 1.5)
    """Photons of each line in a row."""
    width: float = 1.5
    """Standard deviation of a line, pixels."""
    curvature: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Coefficients c0, c1, ... of sum c_k v^k, pixels."""
    rows: tuple[int, int] | None = None
    """First row (slow scan) with signal and the one after the last; None: all."""
    background: float = 0.0
    """Photons per pixel."""

    def expected(self, geometry: Geometry) -> Image:
        """Return the lines of each module, the same in all."""
        modules, ss, fs = geometry.positions.shape[:3]
        rows, columns = np.arange(ss), np.arange(fs)
        bent = polynomial.polyval(rows - (ss - 1) / 2, self.curvature)
        off = columns - np.asarray(self.at)[:, None, None] - bent[:, None]
        heights = np.asarray(self.photons)[:, None, None] / (self.width * np.sqrt(2 * np.pi))
        image = (heights * np.exp(-0.5 * (off / self.width) ** 2)).sum(axis=0)
        first, stop = self.rows or (0, ss)
        image[(rows < first) | (rows >= stop)] = 0
        return np.broadcast_to(image + self.background, (modules, ss, fs)).copy()

    def missed(self, geometry: Geometry) -> Image:
        """Return the background."""
        return np.full(geometry.positions.shape[:3], self.background)
