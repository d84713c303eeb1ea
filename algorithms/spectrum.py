"""Spectrum: a region of a detector projected on its dispersive axis or on energy, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, Output, Partial, PlanError, RunInfo, Train

from . import _groups as groups
from ._azint_tables import of_modules
from ._moments import add, add_rows, finish, moments
from ._rois import interval
from .litframes import comparable

AXES = ("ss", "fs")
BACKGROUNDS = ("bin", "all")
LACKING = 0.1
"""Share of the bins that may have no background."""


class Spectrum(Algorithm):
    """Project a region on the dispersive axis of a spectrometer, for each frame and for the run, or groups of frames.

    Parameters
    ----------
    ss, fs : (int, int), optional
        First row (slow scan) and column (fast scan) of the region and the ones after its last; all by default. The same
        in each module that is read: ``img=Frames(modules=[3])``.
    axis : {"fs", "ss"}
        The dispersive axis.
    rotation : float
        Angle from this axis to that of dispersion, degrees, towards the other axis; about the centre of the region.
    curvature : sequence of float, optional
        Where a line is at a distance v across the dispersion from the centre of the region, minus where it is at the
        centre, both in pixels: coefficients c0, c1, ... of sum c_k v^k.
    energy : sequence of float, array or path, optional
        Coefficients e0, e1, ... of E = sum e_k u^k, u being the coordinate along the dispersive axis in pixels of the
        module, without rotation and curvature; or the energy of each pixel, (ss, fs) or (module, ss, fs), which holds
        these, as an array or ``.npy`` file; pixels at NaN are not used. Bins are pixels by default.
    energy_unit : str
        Of `energy`: eV by default.
    bins : int, optional
        Equally wide bins; by default as many as the region has pixels along the axis.
    range : (float, float), optional
        First and last edge of the bins, in pixels or in the unit of `energy`; that of the region by default.
    background : sequence of (int, int, int, int), optional
        Regions without signal: first row, the one after the last, first column, the one after the last.
    background_by : {"bin", "all"}
        What is subtracted from a bin, per pixel of it: the mean of the background in this bin, or in all bins.
    window : (float, float), optional
        Pixels below the first or not below the second value count as 0.
    photon : float, optional
        Signal of one photon, in the unit of the data: photons are counted, floor(x / photon + 1/2) in each pixel,
        instead of adding the values.
    groups : list, optional
        Values of `by` that make a group each, in this order; by default all, sorted.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.
    by : Labels, DataArray, path or Result, optional
        A label of each frame or train: `mean`, `error` and `frames` are of the frames of each of its values.

    Outputs
    -------
    spectrum : float64, (frame, bin)
        Sum of the valid pixels of each bin without background, unit of the data, or photons; NaN where there are none,
        or none of the background.
    pixels : int32, (frame, bin)
        Valid pixels: read, and neither masked nor NaN.
    sum : float64, (frame,)
        Of the spectrum over its bins; NaN where it has none. As `signal` of `Xas`.
    background : float64, (frame, bin)
        What was subtracted.
    mean, error : float64, ([group,] bin)
        Of the spectra of the run, and the standard error of this mean from their spread; NaN where no frame, or only
        one, has a value.
    frames : int64, ([group,] bin)
        Frames with a value.
    variance : float64, (group, bin)
        Of the spectra, with `by`.
    ungrouped : bool, (frame,)
        Frames of no group: without a label, or of one that `groups` leaves out; with `by`.

    Coordinate ``energy``, or ``pixel``: bin centres. A bin holds its lower edge, the last also its upper one.

    Notes
    -----
    A pixel at (a, b) from the centre of the region, along and across `axis`, is at u = a cos r + b sin r,
    v = b cos r - a sin r, and belongs as a whole to the bin of u minus the curvature at v. The background of a bin with
    n valid pixels is n B / m, with the sum B of the m valid pixels of the background: regions are scaled by their
    areas, as these are in each frame. Pixels that are masked leave a hole: divide by `pixels` where these differ.

    References
    ----------
    .. [1] R. Alonso-Mori et al. (2012), Rev. Sci. Instrum. 83, 073114: energy dispersive von Hamos spectrometer.
    """

    ss: Sequence[int] | None
    fs: Sequence[int] | None
    axis: str
    rotation: float
    curvature: Sequence[float] | None
    energy: Any
    energy_unit: str
    bins: int | None
    range: Sequence[float] | None
    background: Any
    background_by: str
    window: Sequence[float] | None
    photon: float | None
    ALG_ID = "spectrum"
    HELP = "a region projected on the dispersive axis or on energy, per frame and for the run"
    WHOLE_FRAMES = True
    groups: Any
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        for axis, what in (("ss", "rows (slow scan)"), ("fs", "columns (fast scan)")):
            add(f"--{axis}", type=int, nargs=2, metavar=("FIRST", "STOP"), help=f"{what}; default all")
        add("--axis", choices=AXES, default="fs", help="dispersive axis; default fs")
        add("--rotation", type=float, default=0.0, help="of the dispersion against this axis, degrees")
        add("--curvature", type=float, nargs="+", help="coefficients c0 c1 ... of a line across, pixels")
        add("--energy", nargs="+", help="coefficients e0 e1 ... of pixels, or an .npy file of energies")
        add("--energy-unit", default="eV", help="of these; default eV")
        add("--bins", type=int, help="bins; default: pixels along the axis")
        add("--range", type=float, nargs=2, metavar=("FIRST", "LAST"), help="edges of the bins")
        add(
            "--background",
            type=int,
            nargs=4,
            action="append",
            metavar=("SS", "STOP", "FS", "STOP"),
            help="region without signal; may be repeated",
        )
        add("--background-by", choices=BACKGROUNDS, default="bin", help="mean of each bin, or of all")
        add("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="values outside count as 0")
        add("--photon", type=float, help="signal of one photon: photons are counted")
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = groups.joined(self.inputs, args.groups)
        self.ss, self.fs = interval("spectrum", "ss", args.ss), interval("spectrum", "fs", args.fs)
        self.background = [
            (interval("spectrum", "background", row[:2]), interval("spectrum", "background", row[2:]))
            for row in _rows(args.background)
        ]
        if self.bins is not None and self.bins < 1:
            raise ValueError(f"spectrum: bins={self.bins}; expected a positive number")
        if self.photon is not None and not 0 < self.photon < np.inf:
            raise ValueError(f"spectrum: photon={self.photon}; expected what one photon makes, above 0")
        for name in ("range", "window"):
            pair = getattr(self, name)
            # A window may be open, bins end somewhere.
            least, most = (-np.inf, np.inf) if name == "window" else np.nextafter((-np.inf, np.inf), 0)
            if pair is not None and not (len(pair) == 2 and least <= pair[0] < pair[1] <= most):
                raise ValueError(f"spectrum: {name}={tuple(pair)}; expected two rising numbers")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        table, img = self._table(info["img"]), info["img"]
        axis: dict[str, Any] = {
            "shape": (len(table.centres),),
            "dims": (table.name,),
            "coords": {table.name: (table.centres, table.unit)},
        }
        unit = "photons" if self.photon else img.unit
        subtracted = {
            "background": Output(per="img", unit=unit, doc="background that was subtracted", **axis)
        }
        found = self._groups_of(info, len(table.centres))
        whole = axis if found is None else found.axes(**axis)
        square = f"{unit}2" if unit else ""
        variance = Output(merge="custom", unit=square, doc="variance of the spectra", **whole)
        return {
            "spectrum": Output(per="img", unit=unit, doc="spectrum", **axis),
            "pixels": Output(per="img", dtype="i4", doc="valid pixels", **axis),
            "sum": Output(per="img", unit=unit, doc="sum of the spectrum"),
            **(subtracted if self.background else {}),
            "mean": Output(merge="custom", unit=unit, doc="mean of the spectra", **whole),
            "error": Output(merge="custom", unit=unit, doc="standard error of their mean", **whole),
            "frames": Output(merge="custom", dtype="i8", doc="spectra with a value", **whole),
            **({} if found is None else {"variance": variance, "ungrouped": groups.ungrouped()}),
        }

    def _groups_of(self, info: RunInfo, bins: int) -> groups.Groups | None:
        return groups.of(self, info, 4 * 8 * bins)

    def memory(self, info: RunInfo) -> int:
        return 12 * 8 * int(np.prod(info["img"].shape))

    def initialize(self, info: RunInfo) -> None:
        self._parts = self._table(info["img"])
        self._groups = self._groups_of(info, len(self._parts.centres))

    def process_train_data(self, train: Train, out: Partial) -> None:
        from ._spectrum_kernels import project

        table, images = self._parts, images_of(train)
        bins = len(table.centres)
        sums = np.zeros((len(images), 2 * bins))
        counts = np.zeros(sums.shape, np.int32)
        low, high = self.window or (-np.inf, np.inf)
        for module, (pixels, where) in enumerate(zip(table.pixels, table.bins, strict=True)):
            frames = comparable(images[:, module]).reshape(len(images), -1)
            project(frames, pixels, where, low, high, self.photon or 0.0, sums, counts)
        spectrum = np.where(counts[:, :bins] > 0, sums[:, :bins], np.nan)
        if self.background:
            out.background = self._background(sums[:, bins:], counts, bins)
            spectrum -= out.background
        out.spectrum, out.pixels = spectrum, counts[:, :bins]
        known = np.isfinite(spectrum)
        out.sum = np.where(known.any(axis=1), np.nansum(spectrum, axis=1), np.nan)
        if self._groups is None:
            add(*_sums(out), *moments(spectrum, known))
            return
        slots = np.broadcast_to(self._groups.slots(train), len(images))
        out.ungrouped = slots < 0
        add_rows(slots, spectrum, *_sums(out))

    def _background(self, sums: NDArray, counts: NDArray, bins: int) -> NDArray:
        """Return the background below each bin, (frame, bin); NaN where it has no valid pixel."""
        area, pixels = counts[:, :bins], counts[:, bins:]
        if self.background_by == "all":
            sums, pixels = sums.sum(axis=1, keepdims=True), pixels.sum(axis=1, keepdims=True)
        return np.where(pixels > 0, area * sums / np.maximum(pixels, 1), np.nan)

    def merge(self, into: Partial, other: Partial) -> None:
        add(*_sums(into), *_sums(other))

    def finalize(self, totals: Partial) -> None:
        squares = totals.error.copy()
        totals.error[...] = finish(totals.frames, totals.mean, squares)
        if "variance" in totals:
            totals.variance[...] = squares

    # Which pixel belongs to which bin ------------------------------------------------------------------

    def _table(self, img: InputInfo) -> Table:
        """Return the pixels of the region and of the background with their bins, or say what does not fit."""
        if len(img.shape) != 3 or img.dtype.kind not in "fiub":
            raise PlanError(f"spectrum: {img.name} {img.key}: expected real numbers, (module, ss, fs)")
        _, *shape = img.shape
        region = self._inside((self.ss or (0, shape[0]), self.fs or (0, shape[1])), shape, img)
        regions = [region, *(self._inside(r, shape, img) for r in self.background)]
        at = self._coordinates(region, img)
        low, high, n = self._edges(at[:, slice(*region[0]), slice(*region[1])], region)
        number = np.floor((at - low) * (n / (high - low)))
        number[at == high] = n - 1
        number = np.where((number >= 0) & (number < n), number, -1).astype(np.int64)
        which = np.full((len(at), 2, *shape), -1)
        for k, (ss, fs) in enumerate(regions):
            own = which[:, min(k, 1), slice(*ss), slice(*fs)]
            bins = number[:, slice(*ss), slice(*fs)]
            # In the mean of all bins, pixels beyond them count as well.
            own[...] = 0 if k and self.background_by == "all" else bins
        self._refuse_empty(which, n)
        made = [self._listed(planes, n) for planes in which.reshape(len(at), 2, -1)]
        centres = low + (np.arange(n) + 0.5) * ((high - low) / n)
        name, unit = ("pixel", "") if self.energy is None else ("energy", self.energy_unit)
        return Table(name, unit, centres, [p for p, _ in made], [b for _, b in made])

    def _listed(self, planes: NDArray, n: int) -> tuple[NDArray, NDArray]:
        """Return pixels and bins of a module; those of the background have bins of their own, behind the others."""
        pixels = [np.flatnonzero(plane >= 0) for plane in planes]
        bins = [plane[some] + k * n for k, (plane, some) in enumerate(zip(planes, pixels, strict=True))]
        return np.concatenate(pixels), np.concatenate(bins)

    def _coordinates(self, region: Any, img: InputInfo) -> NDArray:
        """Return the energy of each pixel, or where it is along the dispersive axis, (module, ss, fs)."""
        modules, *shape = img.shape
        if self.energy is not None and (table := _energies(self.energy)).ndim > 1:
            return self._of_table(table, img)
        grid = np.meshgrid(*(np.arange(n, dtype="f8") for n in shape), indexing="ij")
        along = AXES.index(self.axis)
        middle = [(first + stop - 1) / 2 for first, stop in region]
        a, b = (grid[k] - middle[k] for k in (along, 1 - along))
        turn = np.deg2rad(self.rotation)
        u, v = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
        first = 0 if img.roi is None else img.roi[along].start
        at = u + middle[along] + first - polynomial.polyval(v, self.curvature or [0.0])
        at = at if self.energy is None else polynomial.polyval(at, table)
        return np.broadcast_to(at, (modules, *shape))

    def _of_table(self, table: NDArray, img: InputInfo) -> NDArray:
        if self.rotation or self.curvature:
            raise PlanError("spectrum: energies of each pixel hold rotation and curvature: leave these out")
        one = np.broadcast_to(table, (len(img.modules), *table.shape[-2:])) if table.ndim == 2 else None
        try:
            # Of an xarray, the modules have labels.
            labelled = self.energy if hasattr(self.energy, "dims") else table
            return of_modules("energy", labelled if one is None else one, img)
        except ValueError as e:
            raise PlanError(f"spectrum: {e}") from e

    def _edges(self, at: NDArray, region: Any) -> tuple[float, float, int]:
        """Return the first and the last edge of the bins, and how many these are."""
        first, stop = region[AXES.index(self.axis)]
        n = stop - first if self.bins is None else self.bins
        if self.range is not None:
            return float(self.range[0]), float(self.range[1]), n
        if not np.isfinite(at).any():
            raise PlanError("spectrum: the region has no pixel with an energy")
        if self.energy is None:
            # Whole pixels, about their centres.
            start = float(np.round(np.mean([at.min(), at.max()]) - (stop - first - 1) / 2)) - 0.5
            return start, start + stop - first, n
        low, high = float(np.nanmin(at)), float(np.nanmax(at))
        if low == high:
            raise PlanError(f"spectrum: all pixels of the region have the same energy, {low:g}")
        return low, high, n

    def _inside(self, region: Any, shape: Sequence[int], img: InputInfo) -> Any:
        """Refuse a region that ends outside the frames."""
        for name, (first, stop), size in zip(AXES, region, shape, strict=True):
            if stop > size:
                raise PlanError(
                    f"spectrum: {name}={(first, stop)} ends outside the frames of {img.name}: it has {size}"
                )
        return region

    def _refuse_empty(self, which: NDArray, n: int) -> None:
        """Refuse regions that share no bin."""
        signal, empty = (set(np.unique(which[:, k])) - {-1} for k in (0, 1))
        if not signal:
            raise PlanError("spectrum: no pixel of the region is in the range of the bins")
        lacking = signal - empty
        # Curvature moves a few bins at the ends out of the background: these are NaN.
        if self.background and self.background_by == "bin" and len(lacking) > LACKING * n:
            raise PlanError(
                f"spectrum: the background has no pixel in {len(lacking)} of {n} bins: let it reach along the whole "
                "region, or take background_by='all'"
            )
        free = signal & set(np.unique(which[:, 0][which[:, 1] < 0]))
        least = (1 - LACKING) * len(signal) if self.background_by == "bin" else 1
        if self.background and len(free) < least:
            raise PlanError(
                f"spectrum: all pixels of the region are background in {len(signal) - len(free)} of {n} bins, so that "
                "nothing would be left: background are pixels beside the signal"
            )


@dataclass(frozen=True, eq=False)
class Table:
    """Name, unit and centres of the bins; of each module, pixels and the bin of each."""

    name: str
    unit: str
    centres: NDArray
    pixels: list[NDArray]
    bins: list[NDArray]


def _sums(out: Partial) -> tuple[NDArray, NDArray, NDArray]:
    """Return count, mean and, until `finalize`, squared deviations."""
    return out.frames, out.mean, out.error


def images_of(train: Train) -> NDArray:
    """Return frames with an axis of modules, what is missing or masked as NaN."""
    images, there = train["img"], train.valid("img")
    if images.ndim == 3:
        images, there = images[:, None], there[:, None]
    if not there.all():
        images = images.astype(np.result_type(images.dtype, "f4"))
        images[~there] = np.nan
    return images


def _energies(given: Any) -> NDArray:
    """Return coefficients, or the energy of each pixel, of what was given."""
    if isinstance(given, (list, tuple)) and len(given) == 1:
        given = given[0]
    try:
        if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
            text = str(given)
            return np.load(text).astype("f8") if text.endswith(".npy") else np.array([float(text)])
        return np.asarray(given, "f8").reshape(np.shape(given) or (1,))
    except (ValueError, OSError) as e:
        raise PlanError(
            f"spectrum: energy={given!r}: expected numbers, or an .npy file of energies: {e}"
        ) from e


def _rows(given: Any) -> list:
    rows = np.asarray([] if given is None else given)
    if rows.size and (rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iu"):
        raise ValueError(
            f"spectrum: background={given!r}: expected (ss, stop, fs, stop) of each region, whole numbers"
        )
    return rows.tolist()
