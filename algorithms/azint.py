"""Azimuthal integration: intensity against momentum transfer, frame by frame and of the run."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo, geometry
from dxflow.run import detectors

from .litframes import usable

ENERGIES = (0.1, 200.0)
"""keV: what an X-ray laser and its harmonics can have, with room; numbers in eV are beyond."""
WAVELENGTHS = (0.06, 124.0)
"""The same in angstrom."""
TABLES = 2
"""That a process keeps for later passes: a pass that is repeated would spend half of its time on making them."""


class AzimuthalIntegration(Algorithm):
    """Average the pixels of equal momentum transfer q, for each frame and for the run.

    Parameters
    ----------
    geometry : path, array or object, optional
        Where the pixels are: a CrystFEL ``.geom``, EuXFEL ``.h5`` or pyFAI ``.poni`` file, an ``.npy`` file or array of
        (module, ss, fs, 3) positions in m, or an `extra_geom` object; see `dxflow.geometry.positions`. All modules of
        the detector, or those that are read. A camera (``img=Key(...)``) is one module, (y, x, 3). By default the
        file ``geometry.geom``, ``.npy`` or ``.poni`` in the directory of the run.
    distance : float, optional
        Sample to z = 0 of the geometry, m, where the geometry does not say it.
    energy, wavelength : float, optional
        Photon energy in keV or wavelength in angstrom; one of them, unless the geometry file says it.
    nbins : int
        Bins of q, 500 by default.
    qrange : (float, float), optional
        First and last edge of the bins, 1/angstrom. Smallest and largest q of the pixels that are read by default.
    polarization : float, optional
        Polarization factor f: 1 for horizontal, -1 for vertical, 0 for circular. No correction by default.
    solid_angle : bool
        Correct for the solid angle of each pixel; True by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    intensity : float32, (frame, q)
        In the unit of the data; NaN in bins without a valid pixel.
    mean : float64, (q,)
        Of the run: sums over all frames before the division, so frames count by their valid pixels; NaN as above.

    Coordinate ``q``: bin centres, 1/angstrom.

    Notes
    -----
    In each bin I(q) = sum x_i / sum c_i over its pixels, c_i = P_i Omega_i, as in pyFAI without pixel splitting [1]_.
    Masked pixels and NaN leave both sums. q = 4 pi sin(theta) / wavelength; the bins are equally wide, each holds
    its lower edge, the last also its upper one. P_i is the polarization, Omega_i the solid angle relative to that at
    normal incidence: see `dxflow.geometry`.

    Tables: 8 bytes per pixel in each process (8 MB for AGIPD-1M), ten times that while they are made. A process keeps
    the last two: a later pass with the same geometry and options begins at once.

    References
    ----------
    .. [1] J. Kieffer et al. (2020), J. Synchrotron Rad. 27, 558-566.
    """

    ALG_ID = "azint"
    HELP = "azimuthal integration: intensity against q, per frame and for the run"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--geometry",
            help=".geom, .h5, .poni or .npy file with the pixel positions; default: that of the run",
        )
        add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
        add("--energy", type=float, help="photon energy in keV, if the geometry does not say it")
        add("--wavelength", type=float, help="wavelength in angstrom, instead of --energy")
        add("--nbins", type=int, default=500, help="bins of q; default 500")
        add("--qrange", type=float, nargs=2, metavar=("FIRST", "LAST"), help="edges of the bins, 1/angstrom")
        add("--polarization", type=float, help="factor: 1 horizontal, -1 vertical, 0 circular; default: off")
        add(
            "--solid-angle",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="correct for the solid angle of pixels",
        )

    def configure(self, args: argparse.Namespace) -> None:
        self.geometry, self.distance = args.geometry, args.distance
        self.energy, self.wavelength = args.energy, args.wavelength
        self.nbins, self.qrange = int(args.nbins), args.qrange
        self.polarization, self.solid_angle = args.polarization, args.solid_angle
        if self.nbins < 1:
            raise ValueError(f"azint: nbins={self.nbins}; expected a positive number")
        if self.energy is not None and self.wavelength is not None:
            raise ValueError("azint: energy= and wavelength= were given; expected one of them")
        _plausible("energy", self.energy, ENERGIES, "keV")
        _plausible("wavelength", self.wavelength, WAVELENGTHS, "angstrom")
        _plausible("distance", self.distance, (0, 100), "m")
        _plausible("polarization", self.polarization, (-1, 1), "")
        if self.qrange is not None and not 0 <= self.qrange[0] < self.qrange[1] < np.inf:
            raise ValueError(f"azint: qrange={tuple(self.qrange)}; expected two rising numbers in 1/angstrom")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        axis: dict[str, Any] = {"shape": (self.nbins,), "dims": ("q",)}
        named = {
            **axis,
            "coords": {"q": (self._table(info).centres.copy(), "1/angstrom")},
            "unit": info["img"].unit,
        }
        return {
            "intensity": Output(per="img", dtype="f4", doc="azimuthal average", **named),
            "mean": Output(per="run", doc="azimuthal average of all frames", **named),
            "numerator": Output(per="img", store=False, **axis),
            "denominator": Output(per="img", store=False, **axis),
            "weight": Output(per="run", store=False, **axis),
        }

    def memory(self, info: RunInfo) -> int:
        # Bins and weights, those that are kept, and while they are made, positions and some arrays of their size.
        return int(np.prod(info["img"].shape)) * ((1 + TABLES) * (4 + 4) + 3 * 24)

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        # What lies beside the run counts as if it had been given.
        return {} if self.geometry is not None else {"geometry": geometry.beside(info.path)}

    def initialize(self, info: RunInfo) -> None:
        table = self._table(info)
        self._bins, self._weights = table.bins, table.weights

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._azint_kernels import integrate

        frames = usable(block).reshape(len(block), -1)
        integrate(
            frames, self._bins[block.module], self._weights[block.module], out.numerator, out.denominator
        )

    def finalize_chunk_processing(self, out: Partial) -> None:
        out.mean = out.numerator.sum(axis=0)
        out.weight = out.denominator.sum(axis=0)
        out.intensity = ratio(out.numerator, out.denominator)

    def finalize(self, totals: Partial) -> None:
        totals.mean = ratio(totals.mean, totals.weight)

    def _table(self, info: RunInfo) -> Table:
        """Return bins and weights of the pixels that are read, or say what does not fit."""
        img = info["img"]
        try:
            given = self.geometry if self.geometry is not None else geometry.beside(info.path)
            what = geometry.identity(given)
        except (ValueError, OSError) as e:
            raise PlanError(f"azint: {e}") from e
        options = (
            self.distance,
            self.energy,
            self.wavelength,
            self.nbins,
            self.polarization,
            self.solid_angle,
        )
        read = (img.name, img.modules, img.sources, img.shape)
        kept = [] if what is None else _kept(what, options, read, repr((self.qrange, img.roi)))
        if not kept:
            kept.append(self._made(given, img))
        return kept[0]

    def _made(self, given: Any, img: InputInfo) -> Table:
        """Make the table of a geometry."""
        try:
            placed = geometry.load(given, self.distance)
            points = fitting("geometry", placed.positions, img)
            q = geometry.momentum_transfer(points, self._wavelength(placed))
            weights = self._corrections(points, placed.positions, img)
            bad = ~np.isfinite(q * weights)
        except (ValueError, OSError) as e:
            raise PlanError(f"azint: {e}") from e
        if bad.all():
            raise PlanError(f"azint: the geometry has no pixel of {img.name}")
        self._check_range(q[~bad], img)
        return _binned(q, weights, bad, self.nbins, self.qrange)

    def _check_range(self, q: NDArray, img: InputInfo) -> None:
        """Refuse a range without pixels."""
        if self.qrange is not None and not ((q >= self.qrange[0]) & (q <= self.qrange[1])).any():
            raise PlanError(
                f"azint: qrange={tuple(self.qrange)} 1/angstrom holds no pixel of {img.name}: they are from "
                f"{q.min():.4g} to {q.max():.4g} 1/angstrom"
            )

    def _wavelength(self, placed: geometry.Arrangement) -> float:
        if self.energy is not None:
            return geometry.HC / self.energy
        known = self.wavelength if self.wavelength is not None else placed.wavelength
        if known is None:
            raise ValueError(
                "the geometry holds no wavelength: give energy= in keV or wavelength= in angstrom"
            )
        # That of a file may be given in another unit than the file's format has.
        _plausible("wavelength of the geometry", known, WAVELENGTHS, "angstrom")
        return known

    def _corrections(self, points: NDArray, whole: NDArray, img: InputInfo) -> NDArray:
        """Return c of each pixel, (module, ss, fs)."""
        c = np.ones(points.shape[:3])
        if self.solid_angle:
            c *= fitting("geometry", geometry.solid_angle(whole)[..., None], img)[..., 0]
        if self.polarization is not None:
            c *= geometry.polarization(points, float(self.polarization))
        return c


@dataclass(frozen=True, eq=False)
class Table:
    """Bin centres in 1/angstrom; bin and weight of each pixel, (module, pixel)."""

    centres: NDArray
    bins: NDArray
    weights: NDArray


@lru_cache(maxsize=TABLES)
def _kept(*what: Hashable) -> list[Table]:
    """Return the same list for the same geometry, options and pixels: their table, once it is made."""
    return []


def _binned(q: NDArray, weights: NDArray, bad: NDArray, nbins: int, qrange: Any) -> Table:
    """Return the table of pixels; those that are bad or outside the range are in bin number `nbins`."""
    low, high = qrange if qrange is not None else (q[~bad].min(), q[~bad].max())
    width = (high - low) / nbins or 1.0
    number = np.floor((np.where(bad, low, q) - low) / width)
    number[(q == high) & ~bad] = nbins - 1
    outside = bad | (number < 0) | (number >= nbins)
    bins = np.where(outside, nbins, number).astype(np.int32)
    centres = low + (np.arange(nbins) + 0.5) * width
    return Table(
        centres, bins.reshape(len(q), -1), np.where(outside, 0, weights).astype("f4").reshape(len(q), -1)
    )


def fitting(what: str, array: NDArray, img: InputInfo) -> NDArray:
    """Return the rows of an array over modules, (module, ss, fs, ...), that belong to the modules that are read."""
    _, *frame = img.shape
    if array.shape[0] == 1 and array.shape[1:3] != tuple(frame) and array.shape[1] % frame[0] == 0:
        # CrystFEL files may stack the modules along the slow scan.
        array = array.reshape(-1, *frame, array.shape[-1]) if array.shape[2] == frame[1] else array
    if img.roi is not None and array.shape[1:3] != tuple(frame):
        array = array[:, img.roi[0], img.roi[1]]
    rows = detectors.rows_of(img.modules, img.sources, len(array))
    if array.shape[1:3] != tuple(frame) or not rows:
        raise ValueError(
            f"{what} has (module, ss, fs) = {array.shape[:3]}; expected {img.shape} for modules "
            f"{list(img.modules)} of {img.name}, or all modules of the detector"
        )
    return array if rows == list(range(len(array))) else array[rows]


def _plausible(name: str, value: float | None, limits: tuple[float, float], unit: str) -> None:
    """Refuse a number that can only be a mistake, or in another unit."""
    if value is not None and not limits[0] <= value <= limits[1]:
        raise ValueError(
            f"azint: {name}={value:g}; expected {limits[0]:g} to {limits[1]:g}{f' {unit}' if unit else ''}"
        )


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Return numerator / denominator, NaN where the denominator is 0."""
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)
