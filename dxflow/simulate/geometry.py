"""Where each pixel is: the real layout of a full-size detector, a simple tiling for small modules."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detectors import Kind

HC = 12.398419843
"""Planck's constant times the speed of light, keV angstrom (CODATA 2018)."""

TILED_WIDTH = 0.2
"""Width of the tiled layout in m: about that of AGIPD-1M, so that small modules cover the same q range."""

TILE_GAP = 0.1
"""Gap between tiled modules, as a fraction of a module."""


@dataclass(frozen=True)
class Geometry:
    """Positions of the pixels and what turns them into momentum transfer."""

    positions: NDArray[np.float64]
    """Pixel centres (module, ss, fs, 3): x, y, z in m; the beam passes (0, 0), z is along it."""
    distance: float
    """From the sample to z = 0, m."""
    photon_energy: float
    """keV."""

    @property
    def wavelength(self) -> float:
        """Wavelength in angstrom."""
        return HC / self.photon_energy

    def q(self, module: int | slice = slice(None)) -> NDArray[np.float64]:
        """Return the momentum transfer of each pixel of all modules (module, ss, fs) or one, 1/angstrom.

        q = 4 pi / wavelength * sin(angle / 2), angle between the beam and the direction of the pixel.
        """
        x, y, z = np.moveaxis(self.positions[module], -1, 0)
        angle = np.arctan2(np.hypot(x, y), self.distance + z)
        return 4 * np.pi / self.wavelength * np.sin(angle / 2)

    def q_vectors(self, module: int) -> NDArray[np.float64]:
        """Return k_out - k_in of the pixels of a module (position in the array), (ss, fs, 3), 1/angstrom."""
        beam = np.array([0.0, 0.0, 1.0])
        path = self.positions[module] + self.distance * beam
        direction = path / np.linalg.norm(path, axis=-1, keepdims=True)
        return 2 * np.pi / self.wavelength * (direction - beam)


def layout(kind: Kind, shape: tuple[int, int], numbers: Sequence[int]) -> tuple[NDArray[np.float64], Any]:
    """Return pixel positions of some modules and the `extra_geom` object they come from.

    Parameters
    ----------
    kind : Kind
        The detector.
    shape : (ss, fs)
        Pixels of a module. Anything but the real shape is tiled.
    numbers : sequence of int
        Module numbers, in the order wanted.

    Returns
    -------
    positions : ndarray, (module, ss, fs, 3)
        In m.
    source : object or None
        None if tiled: also where `extra_geom` is not installed.
    """
    if shape != kind.shape or not kind.geometry or importlib.util.find_spec("extra_geom") is None:
        return _tiled(shape, len(numbers)), None
    geometry = _real(kind)
    rows = [number - kind.first for number in numbers]
    return geometry.get_pixel_positions()[rows], geometry


def _real(kind: Kind) -> Any:
    """Return the example geometry, moved onto the beam where the example lies beside it."""
    factory = getattr(importlib.import_module("extra_geom"), kind.geometry)
    options = {} if kind.xtdf else {"n_modules": kind.modules}
    geometry = factory.example(**options)
    flat = geometry.get_pixel_positions().reshape(-1, 3)
    low, high = flat.min(axis=0), flat.max(axis=0)
    on_beam = bool(np.all(low[:2] < 0) and np.all(high[:2] > 0))
    return geometry if on_beam else geometry.offset(tuple(-(low + high)[:2] / 2))


def _tiled(shape: tuple[int, int], modules: int) -> NDArray[np.float64]:
    """Return positions of modules side by side in a square grid around the beam, in a plane."""
    columns = int(np.ceil(np.sqrt(modules)))
    pitch = TILED_WIDTH / columns
    pixel = pitch / (max(shape) * (1 + TILE_GAP))
    rows = -(-modules // columns)
    out = np.zeros((modules, *shape, 3))
    for module in range(modules):
        row, column = divmod(module, columns)
        centre = np.array([column - (columns - 1) / 2, row - (rows - 1) / 2]) * pitch
        out[module, ..., 0] = centre[0] + _centred(shape[1]) * pixel
        out[module, ..., 1] = centre[1] + _centred(shape[0])[:, np.newaxis] * pixel
    return out


def _centred(n: int) -> NDArray[np.float64]:
    return np.arange(n, dtype=np.float64) - (n - 1) / 2


def write_geometry(
    directory: Path, positions: NDArray[np.float64], geometry: Geometry, source: Any
) -> dict[str, str]:
    """Write the positions as ``geometry.npy`` and, for a real layout, as ``geometry.geom`` (CrystFEL).

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
        Of all modules of the detector, those planted as missing included.
    geometry : Geometry
        Distance and photon energy.
    source : object or None
        The `extra_geom` geometry of a real layout.

    Returns
    -------
    names : dict
        File names by kind, "npy" and perhaps "geom".
    """
    np.save(directory / "geometry.npy", positions, allow_pickle=False)
    known = {"distance": geometry.distance, "photon_energy": geometry.photon_energy * 1000}
    (directory / "geometry.json").write_text(json.dumps(known))
    if source is None:
        return {"npy": "geometry.npy"}
    source.write_crystfel_geom(
        str(directory / "geometry.geom"), clen=geometry.distance, photon_energy=geometry.photon_energy * 1000
    )
    return {"npy": "geometry.npy", "geom": "geometry.geom"}
