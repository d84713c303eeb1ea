"""Geometry: where pixels are, as seen from the sample, and what follows from that: angles, q, corrections.

The beam runs along z through x = y = 0, the sample is the origin. x is the horizontal, y the vertical. Angles are in
radian, lengths in m, q in 1/angstrom.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .disk.openhdf5 import open_hdf5

HC = 12.398419843320026
"""Planck's constant times the speed of light, keV angstrom (exact in SI 2019)."""

LARGEST = (10.0, 10.0, 100.0)
"""x, y and z in m, beyond which positions are in mm."""

SETTLED = 2.0
"""Seconds: clocks of file systems are coarse, a file that is younger may change and keep its times."""
KEPT = 2
"""Files whose pixels are kept: an algorithm asks for them when it is planned, checked and begun."""
FORMS = (
    "a CrystFEL .geom file, a EuXFEL .h5 geometry file, a pyFAI .poni file, an .npy file, an array "
    "(module, ss, fs, 3) in m, or an extra_geom object"
)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Pixels of a detector, and the wavelength if the geometry file says it.

    Parameters
    ----------
    positions : ndarray of float64, (module, ss, fs, 3)
        Pixel centres x, y, z in m, from the sample.
    wavelength : float or None
        Angstrom.
    """

    positions: NDArray
    wavelength: float | None = None


def positions(geometry: Any, distance: float | None = None) -> NDArray:
    """Return the pixel centres of a detector as seen from the sample.

    Parameters
    ----------
    geometry : path, list of paths, array_like or object
        A CrystFEL ``.geom`` file, a EuXFEL HDF5 geometry file with quadrant positions (LPD, DSSC), a pyFAI
        ``.poni`` file, an ``.npy`` file or array, (module, ss, fs, 3) or (ss, fs, 3) in m, or an `extra_geom`
        object; a list of files has one for each module, in the order of their numbers.
    distance : float, optional
        From the sample to z = 0 of the geometry, m. Needed unless the file says it (``clen`` of CrystFEL, always
        in a ``.poni``) or the z of an array are counted from the sample already.

    Returns
    -------
    ndarray of float64, (module, ss, fs, 3)
        x, y, z of pixel centres in m.

    Raises
    ------
    ValueError
        If this is no geometry, or the distance is unknown.
    ImportError
        If the library that reads it is not installed; the message names the extra to install.
    """
    return load(geometry, distance).positions.copy()


def across(geometry: Any, distance: float | None = None) -> NDArray:
    """Return `positions` for what happens across the beam: at any distance, where nothing says which."""
    try:
        return positions(geometry, distance)
    except ValueError:
        return positions(geometry, 1.0 if distance is None else distance)


def load(geometry: Any, distance: float | None = None) -> Arrangement:
    """Return what `positions` returns, with the wavelength that the file may hold."""
    if hasattr(geometry, "get_pixel_positions"):
        return _from_extra_geom(geometry, distance)
    if _are_paths(geometry):
        return _from_modules([load(one, distance) for one in geometry], geometry)
    if not isinstance(geometry, (str, os.PathLike)):
        return _from_array(geometry, distance)
    path = Path(geometry)
    readers = {".geom": _from_crystfel, ".h5": _from_h5, ".poni": _from_poni, ".npy": _from_npy}
    if path.suffix not in readers:
        raise ValueError(f"geometry {str(path)!r} has the ending {path.suffix!r}; expected {FORMS}")
    if not path.is_file():
        raise ValueError(f"geometry: there is no file {str(path)!r}")
    if (what := identity(path)) is None:
        return readers[path.suffix](path, distance)
    if isinstance(found := _known(what, readers[path.suffix], path, distance), ValueError):
        raise ValueError(*found.args)
    return found


@lru_cache(maxsize=KEPT)
def _known(_: Hashable, reader: Callable, path: Path, distance: float | None) -> Arrangement | ValueError:
    """Return what a file holds, not to be written to, or why it is no geometry; read once."""
    try:
        made: Arrangement = reader(path, distance)
    except ValueError as e:
        return e
    made.positions.flags.writeable = False
    return made


def identity(geometry: Any) -> Hashable | None:
    """Return what tells a geometry from all others, so that what follows from it can be kept; None if nothing does."""
    if hasattr(geometry, "get_pixel_positions"):
        return None
    if _are_paths(geometry):
        each = tuple(identity(one) for one in geometry)
        return None if None in each else each
    if not isinstance(geometry, (str, os.PathLike)):
        array = np.array(geometry, np.float64, order="C")
        return array.shape, hashlib.sha256(array.data).digest()
    # What lies beside an array belongs to it.
    paths = [Path(os.path.abspath(geometry)), Path(os.path.abspath(geometry)).with_suffix(".json")]
    stats = [path.stat() for path in paths if path.is_file()]
    if any(time.time() - max(s.st_mtime, s.st_ctime) < SETTLED for s in stats):
        return None
    return str(paths[0]), *((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


def beside(run: str) -> Path:
    """Return the geometry file that lies in a run's directory: ``geometry.geom``, ``.npy`` or ``.poni``.

    Raises
    ------
    ValueError
        If there is none.
    """
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    for suffix in (".geom", ".npy", ".poni"):
        if (path := folder / f"geometry{suffix}").is_file():
            return path
    raise ValueError(
        f"no geometry was given, and there is no geometry.geom (.npy, .poni) in {folder}; give {FORMS}"
    )


def scattering_angle(positions: NDArray) -> NDArray:
    """Return the angle 2 theta between the beam and the direction to each pixel, any shape + (3,) -> that shape."""
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.arctan2(np.hypot(x, y), z)


def momentum_transfer(positions: NDArray, wavelength: float) -> NDArray:
    """Return q = 4 pi sin(theta) / wavelength in 1/angstrom; 2 theta is the scattering angle.

    Parameters
    ----------
    positions : ndarray, (..., 3)
    wavelength : float
        Angstrom.
    """
    x, y, z = np.moveaxis(positions, -1, 0)
    across = x * x + y * y
    r = np.sqrt(across + z * z)
    # sin^2(theta) = (r - z) / 2r, without its cancellation near the beam.
    square = across / (2 * r * (r + np.abs(z)))
    return 4 * np.pi / wavelength * np.sqrt(np.where(z < 0, 1 - square, square))


def polarization(positions: NDArray, factor: float) -> NDArray:
    """Return the share of unpolarised-like scattering that polarised X-rays give in the direction of each pixel.

    P = 1/2 [1 + cos^2(2 theta) - f cos(2 phi) sin^2(2 theta)], phi from the horizontal.

    Parameters
    ----------
    positions : ndarray, (..., 3)
    factor : float
        f = (Ih - Iv) / (Ih + Iv): 1 horizontal, -1 vertical, 0 circular or none.

    References
    ----------
    R. Kahn et al. (1982), J. Appl. Cryst. 15, 330-337.
    """
    x, y, z = np.moveaxis(positions, -1, 0)
    across = x**2 + y**2
    # sin^2(2 theta) cos(2 phi) without angles: also defined on the beam.
    squared = across + z**2
    return 0.5 * (1 + z**2 / squared - factor * (x**2 - y**2) / squared)


def solid_angle(positions: NDArray) -> NDArray:
    """Return the solid angle of each pixel, relative to a pixel where the detector is nearest to the sample.

    A pixel of area A with normal n at r is seen under A |n.r| / r^3. With d = |n.r|, the distance to the plane that
    the pixel lies in, this is A / d^2 cos^3(incidence), and cos^3 is what a flat detector has relative to the foot of
    the perpendicular (the point of normal incidence, PONI). Where modules have planes of their own, the reference is
    the median of d over pixels: Omega = d_ref^2 |n.r| / r^3. All pixels count as equally large.

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
        The whole detector.

    Returns
    -------
    ndarray, (module, ss, fs)

    References
    ----------
    J. Kieffer et al. (2020), J. Synchrotron Rad. 27, 558-566 (for one plane).
    """
    # Module by module: the normals of a whole detector would be the largest arrays of a worker.
    plane = np.stack([_distance_to_plane(module) for module in positions])
    x, y, z = np.moveaxis(positions, -1, 0)
    square = x * x + y * y + z * z
    return np.nanmedian(plane) ** 2 * plane / (square * np.sqrt(square))


def _distance_to_plane(module: NDArray) -> NDArray:
    """Return the distance of the sample from the plane that each pixel of a module lies in, (ss, fs).

    The plane is known from where the pixel's neighbours are; gaps between tiles in one plane do not matter. Modules of
    a single row or column are taken to face the beam.
    """
    x, y, z = np.ascontiguousarray(np.moveaxis(module, -1, 0))
    if min(x.shape) < 2:
        return np.abs(z)
    ux, uy, uz = (np.gradient(a, axis=1) for a in (x, y, z))
    vx, vy, vz = (np.gradient(a, axis=0) for a in (x, y, z))
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return np.abs(nx * x + ny * y + nz * z) / np.sqrt(nx * nx + ny * ny + nz * nz)


# Panels -------------------------------------------------------------------------------------------

BREAK = 0.1
"""Part of the usual step between pixels by which a step differs where a panel ends."""


def pitch(positions: NDArray) -> float:
    """Return the usual distance from a pixel to the next one along the fast scan, in the unit of the positions."""
    return float(np.nanmedian(np.linalg.norm(np.diff(positions, axis=2), axis=-1)))


def edges(positions: NDArray, axis: int) -> list[int]:
    """Return where panels begin along an axis of the modules, and the end.

    A panel ends where the step from a pixel to the next is not the usual one, in any module.

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
    axis : {1, 2}
        Slow scan or fast scan.
    """
    steps = np.linalg.norm(np.diff(positions, axis=axis), axis=-1)
    usual, other = np.nanmedian(steps) if steps.size else 0, tuple({0, 1, 2} - {axis})
    off = (np.abs(steps - usual) > BREAK * usual).any(axis=other)
    return [0, *(np.flatnonzero(off) + 1).tolist(), positions.shape[axis]]


# Sources of geometry ----------------------------------------------------------------------------


def _are_paths(geometry: Any) -> bool:
    """Return whether this is a list of files, one for each module."""
    listed = isinstance(geometry, (list, tuple)) and len(geometry) > 0
    return listed and all(isinstance(one, (str, os.PathLike)) for one in geometry)


def _from_modules(parts: list[Arrangement], paths: Sequence[Any]) -> Arrangement:
    """Return modules that have a file each as one detector."""
    shapes = {part.positions.shape[1:3] for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"geometry: modules of (ss, fs) = {sorted(shapes)}; expected the same of all files")
    known = sorted({part.wavelength for part in parts if part.wavelength is not None})
    if known and not np.isclose(known[0], known[-1], rtol=1e-6, atol=0):
        named = ", ".join(Path(path).name for path in paths)
        raise ValueError(f"geometry: wavelengths from {known[0]:g} to {known[-1]:g} angstrom in {named}")
    return Arrangement(np.concatenate([part.positions for part in parts]), known[0] if known else None)


def _from_array(array: Any, distance: float | None) -> Arrangement:
    points = np.array(array, np.float64)
    if points.ndim == 3:
        points = points[None]
    if points.ndim != 4 or points.shape[-1] != 3:
        raise ValueError(f"geometry: an array of shape {points.shape} ({points.dtype}); expected {FORMS}")
    nearest = np.nanmin(points[..., 2])
    if distance is None and not nearest > 0:
        raise ValueError(
            f"geometry: z from {nearest:g} m, so it is not counted from the sample: give distance= in m"
        )
    points[..., 2] += distance or 0.0
    if (np.nanmax(np.abs(points), axis=(0, 1, 2)) > LARGEST).any():
        far = np.nanmax(np.abs(points))
        raise ValueError(
            f"geometry: pixels are up to {far:g} m from the beam or the sample; expected positions in m"
        )
    return Arrangement(points)


def _from_npy(path: Path, distance: float | None) -> Arrangement:
    """Read an array; a ``.json`` file of the same name may hold ``distance`` (m) and ``photon_energy`` (eV)."""
    beside = path.with_suffix(".json")
    known = json.loads(beside.read_text()) if beside.is_file() else {}
    away = distance if distance is not None else _number(known.get("distance"))
    points = _from_array(np.load(path, allow_pickle=False), away).positions
    return Arrangement(points, _wavelength(_number(known.get("photon_energy"))))


def _from_extra_geom(geometry: Any, distance: float | None) -> Arrangement:
    crystfel = (getattr(geometry, "metadata", None) or {}).get("crystfel", {})
    known = distance if distance is not None else _number(crystfel.get("clen"))
    energy = _number(crystfel.get("photon_energy"))
    return Arrangement(_from_array(geometry.get_pixel_positions(), known).positions, _wavelength(energy))


def _from_crystfel(path: Path, distance: float | None) -> Arrangement:
    """Read a .geom file with the parser of extra_geom, whatever detector it describes."""
    read = _optional("cfel_fmt.geometry", "geometry", "CrystFEL .geom")
    whole = read.load_crystfel_geometry(str(path))
    panels = list(whole.detector["panels"].values())
    points = _panels(panels)
    if points.shape[:3] == (16, 128, 512):
        # DSSC: hexagonal pixels, odd rows are moved by half a pixel, which .geom cannot say.
        extra_geom = _optional("extra_geom", "geometry", "DSSC")
        points = extra_geom.DSSC_1MGeometry.from_crystfel_geom(str(path)).get_pixel_positions()
    known = distance if distance is not None else _number(panels[0].get("clen"))
    energy = _number(whole.beam.get("photon_energy"))
    return Arrangement(_from_array(points, known).positions, _wavelength(energy))


def _panels(panels: list[dict[str, Any]]) -> NDArray:
    """Return pixel centres of all panels, (module, ss, fs, 3); pixels of no panel are NaN."""
    modules = [next((n for n in p["dim_structure"] if isinstance(n, int)), 0) for p in panels]
    ends = (max(modules), *(max(p[f"orig_max_{axis}"] for p in panels) for axis in ("ss", "fs")))
    out = np.full((*(end + 1 for end in ends), 3), np.nan)
    for module, p in zip(modules, panels, strict=True):
        corner = np.array([p["cnx"] / p["res"], p["cny"] / p["res"], p["coffset"]])
        ss, fs = (np.array([p[f"{axis}{i}"] for i in "xyz"]) / p["res"] for axis in ("ss", "fs"))
        rows, columns = np.indices((p["h"], p["w"])) + 0.5
        here = out[module, p["orig_min_ss"] :, p["orig_min_fs"] :][: p["h"], : p["w"]]
        here[...] = corner + rows[..., None] * ss + columns[..., None] * fs
    return out


def _from_h5(path: Path, distance: float | None) -> Arrangement:
    """Read a EuXFEL geometry file: DSSC modules have 2 tiles, those of LPD 16."""

    extra_geom = _optional("extra_geom", "geometry", "EuXFEL .h5")
    with open_hdf5(path) as file:
        tiles = sum(name.startswith("T") for name in file.get("Q1/M1", ()))
    kinds = {2: extra_geom.DSSC_1MGeometry, 16: extra_geom.LPD_1MGeometry}
    if tiles not in kinds:
        raise ValueError(f"geometry {str(path)!r}: {tiles} tiles in Q1/M1; expected DSSC (2) or LPD (16)")
    return _from_extra_geom(kinds[tiles].from_h5_file(str(path)), distance)


def _from_poni(path: Path, distance: float | None) -> Arrangement:
    if distance is not None:
        raise ValueError(f"geometry {str(path)!r} holds its own distance: leave distance= out")
    integrator = _optional("pyFAI", "azint", "pyFAI .poni").load(str(path))
    z, y, x = integrator.calc_pos_zyx()
    wavelength = integrator.wavelength * 1e10 if integrator.wavelength else None
    return Arrangement(np.stack([x, y, z], axis=-1)[None].astype(np.float64), wavelength)


def _number(value: Any) -> float | None:
    """Return a positive number that a file holds; others name a place elsewhere, or nothing."""
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _wavelength(energy: float | None) -> float | None:
    """Return the wavelength in angstrom of a photon energy in eV."""
    return None if energy is None else HC / (energy / 1000)


def _optional(name: str, extra: str, what: str) -> ModuleType:
    """Import a library that is not always installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ImportError(f"{what} geometry needs {name}: pip install 'dxflow[{extra}]'") from e
