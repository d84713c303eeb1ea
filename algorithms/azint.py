"""Azimuthal integration: intensity against momentum transfer, or in q and chi, of frames, pulses and the run."""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo, geometry

from . import _groups as groups
from ._azint_sums import ERRORS, PER, Shares, of_frames
from ._azint_tables import (
    LARGEST,
    TURN,
    UNITS,
    Axis,
    Table,
    azimuth,
    filled,
    fitting,
    identity,
    nothing,
    of_pixels,
    radial,
    table,
)
from ._moments import add, finish
from .litframes import usable

ENERGIES = (0.1, 200.0)
"""keV: what an X-ray laser and its harmonics can have, with room; numbers in eV are beyond."""
WAVELENGTHS = (0.06, 124.0)
"""The same in angstrom."""
TABLES = 2
"""That a process keeps for later passes: a pass that is repeated would spend half of its time on making them."""
OWN = ("flat", "dark", "weights")
"""Options that are one number for each pixel."""


class AzimuthalIntegration(Algorithm):
    """Average the pixels of equal momentum transfer q, or of equal q and azimuth chi.

    Parameters
    ----------
    geometry : path, list of paths, array or object, optional
        Where the pixels are: a CrystFEL ``.geom``, EuXFEL ``.h5`` or pyFAI ``.poni`` file, an ``.npy`` file or array of
        (module, ss, fs, 3) positions in m, or an `extra_geom` object; see `dxflow.geometry.positions`. All modules of
        the detector, or those that are read. A camera (``img=Key(...)``) is one module, (y, x, 3). A list of ``.poni``
        files has one for each module (on the command line ``a.poni,b.poni``). By default the
        file ``geometry.geom``, ``.npy`` or ``.poni`` in the directory of the run.
    distance : float, optional
        Sample to z = 0 of the geometry, m, where the geometry does not say it.
    energy, wavelength : float, optional
        Photon energy in keV or wavelength in angstrom; one of them, unless the geometry file says it. Only q needs it.
    unit : {"q", "2theta", "r"}
        What bins are of: q in 1/angstrom (the default), the scattering angle in degrees, or the distance from the
        beam in mm. In pyFAI ``q_A^-1``, ``2th_deg`` and ``r_mm``.
    nbins : int
        Bins of q (or 2 theta, r), 500 by default.
    qrange : (float, float), optional
        First and last edge of the bins, in their unit. Smallest and largest q of the pixels that are read by default.
    nchi : int, optional
        Bins of chi, for images in q and chi. None by default: the average over chi.
    chirange : (float, float), optional
        First and last edge in chi, degrees: from the horizontal x towards y, all around by default, -180 to 180. The
        range (150, 210) reaches across 180. Without `nchi`, the sector that is averaged.
    polarization : float, optional
        Polarization factor f: 1 for horizontal, -1 for vertical, 0 for circular. No correction by default.
    solid_angle : bool
        Correct for the solid angle of each pixel; True by default.
    flat, dark, weights : array or path, optional
        One number for each pixel, (module, ss, fs) of all modules of the detector or of those that are read, or the
        ``.npy`` file of it: the response that values are divided by, what is subtracted first (darks per memory cell:
        `Subtract`), and how much a pixel counts. A pixel leaves where one is NaN, or flat or weight are 0. Modules and
        pixels of an xarray, such as ``result.dataset["average.mean"]``, are matched by their labels.
    errors : {"poisson", "azimuthal"}, optional
        Standard errors, from the counts (data in photons) or from how pixels of a bin differ. None by default.
    per : {"frame", "pulse", "run"}
        Of each frame and of the run (the default), of the frames of each pulse id, or of the run alone.
    groups : list, optional
        Values of `by` that make a group each, in this order; by default all, sorted.
    img : Frames, Key or From
        ``Frames("image.data")`` by default. Bad pixels: ``Frames(mask=...)``.
    by : Labels, DataArray, path or Result, optional
        A label of each frame or train: what is of the run is of the frames of each of its values.

    Outputs
    -------
    intensity : float32, (frame, q[, chi])
        In the unit of the data; NaN in bins without a valid pixel. With ``per="frame"``.
    mean : float64, ([pulse or group,] q[, chi])
        Of the run: sums over all frames before the division, so frames count by their valid pixels; NaN as above.
    count : int64, as `mean`
        Valid pixels of all frames in each bin.
    intensity_error, mean_error : as the above
        Standard errors, with `errors`; NaN where there is none: no counts, or a single pixel.
    pixels : int32, as `intensity`
        Valid pixels in each bin of a frame, with `errors`.
    frames : int64, variance, error : float64, (group, q[, chi])
        Frames with a value, how their intensities vary, and the standard error of their mean, from that. Frames count
        alike here: where pixels are missing in some, their mean is not quite `mean`. With `by` and ``per="frame"``.
    ungrouped : bool, (frame,)
        Frames of no group: without a label, or of one that `groups` leaves out; with `by`.

    Coordinates ``q`` (or ``2theta``, ``r``) and ``chi``: bin centres.

    Notes
    -----
    In each bin I(q) = sum w_i (x_i - d_i) / sum w_i c_i over its pixels, c_i = P_i Omega_i F_i, as in
    pyFAI without pixel splitting [1]_. Masked pixels and NaN leave both sums. q = 4 pi sin(theta) / wavelength; the
    bins are equally wide, each holds its lower edge, the last also its upper one. P_i is the polarization, Omega_i
    the solid angle with the normal of each module, relative to that at normal incidence on the plane of the pixels,
    or where planes of modules differ, at the median of their distances, all of the geometry (not of those read):
    see `dxflow.geometry`. F_i is the flat, d_i the dark, w_i the weight: 1, 0 and 1.

    Errors are sqrt(V) / sum w_i c_i: V = sum w_i^2 x_i ("poisson": the variance of a count is the count; pyFAI takes
    at least 1 for each pixel, which is too much for few photons) or V = n / (n - 1) sum (y_i - w_i c_i I)^2, with y_i =
    w_i (x_i - d_i) and n pixels ("azimuthal": pyFAI's without n / (n - 1)). The latter has all by which pixels of a
    bin differ, also that I changes within the bin, or from frame to frame.

    Tables: 8 bytes per pixel in each process (8 MB for AGIPD-1M), ten times that while they are made. A process keeps
    the last two: a later pass with the same geometry and options begins at once.

    References
    ----------
    .. [1] J. Kieffer et al. (2020), J. Synchrotron Rad. 27, 558-566.
    """

    ALG_ID = "azint"
    HELP = "azimuthal integration: intensity against q, per frame and for the run"
    FINISHES_TRAINS = True
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        cls.add_pixels(parser)
        add("--nbins", type=int, default=500, help="bins of q; default 500")
        add("--nchi", type=int, help="bins of chi, for images in q and chi; default: no such bins")
        add(
            "--chirange",
            type=float,
            nargs=2,
            metavar=("FIRST", "LAST"),
            help="edges in chi, degrees; default: all around",
        )
        add(
            "--errors",
            choices=ERRORS,
            help="standard errors, from counts or from pixels of a bin; default: none",
        )
        add("--per", choices=PER, default="frame", help="of each frame, of each pulse id or of the run alone")
        groups.add_arguments(parser)

    @classmethod
    def add_pixels(cls, parser: argparse.ArgumentParser) -> None:
        """Declare where pixels are, in bins of what, and what they are divided by."""
        add = parser.add_argument
        add(
            "--geometry",
            type=_paths,
            help=".geom, .h5, .poni or .npy file with the pixel positions, or a .poni for each module, a.poni,b.poni; "
            "default: that of the run",
        )
        add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
        add("--energy", type=float, help="photon energy in keV, if the geometry does not say it")
        add("--wavelength", type=float, help="wavelength in angstrom, instead of --energy")
        add("--qrange", type=float, nargs=2, metavar=("FIRST", "LAST"), help="edges of the bins, 1/angstrom")
        add(
            "--unit", choices=tuple(UNITS), default="q", help="bins of q, of 2 theta in degrees or of r in mm"
        )
        add("--polarization", type=float, help="factor: 1 horizontal, -1 vertical, 0 circular; default: off")
        add(
            "--solid-angle",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="correct for the solid angle of pixels",
        )
        for name, what in zip(OWN, ("response", "dark", "weight"), strict=True):
            add(f"--{name}", help=f".npy file with the {what} of each pixel")

    def configure(self, args: argparse.Namespace) -> None:
        self.geometry, self.distance = args.geometry, args.distance
        self.energy, self.wavelength = args.energy, args.wavelength
        self.nbins, self.qrange = int(args.nbins), args.qrange
        self.unit, self.nchi, self.chirange = args.unit, args.nchi, args.chirange
        self.polarization, self.solid_angle = args.polarization, args.solid_angle
        self.own = {name: getattr(args, name) for name in OWN}
        own = self.own["dark"] is not None or self.own["weights"] is not None
        self.groups = getattr(args, "groups", None)
        self.inputs = groups.joined(self.inputs, self.groups)
        self.shares = Shares(args.per, args.errors, own, "by" in self.inputs or args.per == "pulse")
        if "by" in self.inputs and args.per == "pulse":
            raise ValueError(f"{self.ALG_ID}: per='pulse' and by= were given; expected one of them")
        if self.nbins < 1:
            raise ValueError(f"{self.ALG_ID}: nbins={self.nbins}; expected a positive number")
        if self.nchi is not None and self.nchi < 1:
            raise ValueError(f"{self.ALG_ID}: nchi={self.nchi}; expected a positive number, or None")
        if self.energy is not None and self.wavelength is not None:
            raise ValueError(f"{self.ALG_ID}: energy= and wavelength= were given; expected one of them")
        self._plausible("energy", self.energy, ENERGIES, "keV")
        self._plausible("wavelength", self.wavelength, WAVELENGTHS, "angstrom")
        self._plausible("distance", self.distance, (0, 100), "m")
        self._plausible("polarization", self.polarization, (-1, 1), "")
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Refuse ranges that fall, or that no pixel can be in."""
        unit, most = UNITS[self.unit], LARGEST[self.unit]
        if self.qrange is not None and not 0 <= self.qrange[0] < self.qrange[1] < np.inf:
            raise ValueError(
                f"{self.ALG_ID}: qrange={tuple(self.qrange)}; expected two rising numbers in {unit}"
            )
        if self.qrange is not None and self.qrange[0] > most:
            raise ValueError(f"{self.ALG_ID}: qrange={tuple(self.qrange)}; expected up to {most:g} {unit}")
        if self.chirange is None:
            return
        low, high = self.chirange
        if not -TURN <= low < high <= min(2 * TURN, low + TURN):
            across = f"; across 180 it is ({low:g}, {high + TURN:g})" if low > 0 and -180 <= high < 0 else ""
            raise ValueError(
                f"{self.ALG_ID}: chirange={tuple(self.chirange)}; expected two rising numbers in degrees, no more than "
                f"{TURN:g} apart{across}"
            )

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        return self.shares.outputs(info["img"], self._table(info).axes, self._groups_of(info))

    def _groups_of(self, info: RunInfo) -> groups.Groups | None:
        found = groups.of(self, info, 8 * 8 * self.nbins * (self.nchi or 1))
        return groups.of_ids(self.name, info["img"], "pulse") if self.shares.per == "pulse" else found

    def memory(self, info: RunInfo) -> int:
        # Bins and weights, those that are kept, and while they are made, positions and some arrays of their size.
        own, made = 8 if self.shares.careful else 0, TABLES * 8 + 3 * 24
        if self.variant is not None:
            # Tables are made one after the other, and put together.
            made = 8 + made * (self.name == self.variant.names[0])
        return int(np.prod(info["img"].shape)) * (4 + 4 + own + made) + self._scratch(info)

    def _scratch(self, info: RunInfo) -> int:
        """Return the bytes of the bins of modules, and of the sums of eight frames while they are added."""
        modules, *frame = info["img"].shape
        bins = min(int(np.prod(frame)), self.nbins * (self.nchi or 1))
        return bins * (modules * (4 + 8) * (1 + TABLES) + 8 * 8 * 4)

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        # What lies beside the run counts as if it had been given.
        return {} if self.geometry is not None else {"geometry": geometry.beside(info.path)}

    def initialize(self, info: RunInfo) -> None:
        from ._azint_kernels import Scratch
        from ._azint_layers import Joined

        self._made, self._groups = self._table(info), self._groups_of(info)
        self._visit = Scratch(max(len(which) for which, _ in self._made.there))
        self._joined = Joined()

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._azint_kernels import integrate, moments

        frames, made, module = usable(block).reshape(len(block), -1), self._made, block.module
        slots = None if self._groups is None else self._groups.slots(block)
        if slots is not None and "ungrouped" in out:
            out.ungrouped |= slots < 0
        if slots is not None and "slot" in out:
            out.slot = slots
        elif slots is not None and (slots < 0).any():
            frames, slots = frames[slots >= 0], slots[slots >= 0]
        rest = made.there[module], self.shares.into(len(frames), out, slots)
        if made.own is None:
            integrate(frames, made.bins[module], made.weights[module], *rest, self._visit.arrays)
            return
        own = made.own[0][module], made.own[1][module]
        moments(frames, made.bins[module], made.weights[module], own, *rest)

    @staticmethod
    def process_variants(instances: Sequence[Any], data: Any, outs: Sequence[Partial]) -> None:
        from ._azint_layers import serve

        serve(instances, data, outs)

    def finalize_chunk_processing(self, out: Partial) -> None:
        self.shares.finish_frames(out)

    def merge(self, into: Partial, other: Partial) -> None:
        super().merge(into, other)
        if "frames" in into:
            add(*of_frames(into), *of_frames(other))

    def finalize(self, totals: Partial) -> None:
        self.shares.finish_run(totals)
        if "frames" in totals:
            totals.error = finish(*of_frames(totals))

    def of_images(self, info: RunInfo, images: NDArray) -> NDArray:
        """Return I(q), float64, of images of the modules that are read, (image, module, ss, fs)."""
        return self._table(info).integrated(images)

    def _table(self, info: RunInfo) -> Table:
        """Return bins and weights of the pixels that are read, or say what does not fit."""
        img = info["img"]
        try:
            given = self.geometry if self.geometry is not None else geometry.beside(info.path)
            whats = [identity(x) for x in (given, *self.own.values()) if x is not None]
        except (ValueError, OSError) as e:
            raise PlanError(f"{self.ALG_ID}: {e}") from e
        options: tuple[Any, ...] = (self.distance, self.energy, self.wavelength, self.nbins)
        options += (self.polarization, self.solid_angle, self.unit, self.nchi, self.shares.careful)
        options += tuple(x is None for x in self.own.values())
        read = (img.name, img.modules, img.sources, img.shape)
        ranges = repr((self.qrange, self.chirange, img.roi))
        kept = [] if None in whats else _kept(tuple(whats), options, read, ranges)
        if not kept:
            kept.append(self._make(given, img))
        return kept[0]

    def _make(self, given: Any, img: InputInfo) -> Table:
        """Make the table of a geometry."""
        try:
            placed = geometry.load(given, self.distance)
            points = fitting("geometry", placed.positions, img)
            wavelength = self._wavelength(placed) if self.unit == "q" else 0.0
            first = radial(points, self.unit, wavelength)
            weights = self._corrections(points, placed.positions, img)
            flat, dark, light = (of_pixels(name, self.own[name], img) for name in OWN)
        except (ValueError, OSError) as e:
            raise PlanError(f"{self.ALG_ID}: {e}") from e
        nowhere = ~np.isfinite(first * weights)
        if nowhere.all():
            raise PlanError(f"{self.ALG_ID}: the geometry has no pixel of {img.name}")
        # Bins are those of the geometry, whatever pixels are left out.
        bad, own = nowhere.copy(), None
        for x in (flat, light):
            if x is not None:
                weights = weights * x
                bad |= ~(x > 0)
        if self.shares.careful:
            own = tuple(filled(x, default, bad) for x, default in ((dark, 0.0), (light, 1.0)))
        axes = self._axes(points, first)
        made = table(axes, weights, nowhere, bad, own)
        if made.empty:
            raise PlanError(f"{self.ALG_ID}: " + nothing(axes, nowhere, img))
        return made

    def _axes(self, points: NDArray, first: NDArray) -> list[Axis]:
        """Return the axes of bins; the sector of an average is an axis of one bin."""
        axes = [Axis(self.unit, UNITS[self.unit], first, self.nbins, self.qrange)]
        if self.nchi is not None or self.chirange is not None:
            limits = self.chirange if self.chirange is not None else (-TURN / 2, TURN / 2)
            axes.append(Axis("chi", "degree", azimuth(points), self.nchi, limits, TURN))
        return axes

    def _wavelength(self, placed: geometry.Arrangement) -> float:
        if self.energy is not None:
            return geometry.HC / self.energy
        known = self.wavelength if self.wavelength is not None else placed.wavelength
        if known is None:
            raise ValueError(
                "the geometry holds no wavelength: give energy= in keV or wavelength= in angstrom"
            )
        # That of a file may be given in another unit than the file's format has.
        self._plausible("wavelength of the geometry", known, WAVELENGTHS, "angstrom")
        return known

    def _corrections(self, points: NDArray, whole: NDArray, img: InputInfo) -> NDArray:
        """Return c of each pixel, (module, ss, fs)."""
        c = np.ones(points.shape[:3])
        if self.solid_angle:
            c *= fitting("geometry", geometry.solid_angle(whole)[..., None], img)[..., 0]
        if self.polarization is not None:
            c *= geometry.polarization(points, float(self.polarization))
        return c

    def _plausible(self, name: str, value: float | None, limits: tuple[float, float], unit: str) -> None:
        """Refuse a number that can only be a mistake, or in another unit."""
        if value is not None and not limits[0] <= value <= limits[1]:
            raise ValueError(
                f"{self.ALG_ID}: {name}={value:g}; expected {limits[0]:g} to {limits[1]:g}{f' {unit}' if unit else ''}"
            )


@lru_cache(maxsize=TABLES)
def _kept(*what: Hashable) -> list[Table]:
    """Return the same list for the same geometry, options and pixels: their table, once it is made."""
    return []


def _paths(text: str) -> str | list[str]:
    """Return what the command line says of a geometry: several .poni files with commas between them."""
    several = text.split(",")
    return several if len(several) > 1 and all(one.endswith(".poni") for one in several) else text
