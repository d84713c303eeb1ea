"""Peaks: Bragg peaks of serial crystallography as peakfinder8 finds them, and which frames are hits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, Output, Partial, PlanError, RunInfo, Train, geometry
from dxflow.run import detectors

from . import _peaks_tables as tables
from ._azint_tables import fitting
from .litframes import comparable

COLUMNS = ("module", "ss", "fs", "intensity", "pixels", "maximum", "snr")
BATCH = 16
"""Hits of a module that are added to sums together."""
PER_PIXEL = 140
"""Bytes per pixel of tables and work arrays, while they are made."""


class PeakFinder8(Algorithm):
    """Find Bragg peaks of serial crystallography with the algorithm peakfinder8, and which frames are hits.

    Parameters
    ----------
    threshold : float
        No pixel below this belongs to a peak, in the unit of the data; 0 by default: the SNR alone decides.
    min_snr : float
        Standard deviations above the background that a pixel needs, and the sum of a peak; 5 by default.
    min_pixels, max_pixels : int
        Pixels of a peak, 2 to 200 by default.
    local_bg_radius : int
        The background around a peak is that within twice this many pixels, 3 by default.
    min_peaks, max_peaks : int
        Peaks of a hit: 10 by default, and no upper limit.
    geometry : path, array or object, optional
        As of `AzimuthalIntegration`; by default the file ``geometry.geom``, ``.npy`` or ``.poni`` in the directory of
        the run. A camera or a detector of one module needs none: its beam is in the middle then.
    distance : float, optional
        Sample to z = 0 of the geometry, m. Peaks are the same with any, or none.
    min_res, max_res : float, optional
        Distance from the beam in pixels: nearer and farther ones are not looked at.
    panel : (int, int), optional
        Rows and columns of a panel, which no peak reaches across. By default as the geometry has them: a panel ends
        where the step to the next pixel is not the usual one.
    touching : bool
        Only pixels that touch make a peak; False by default, see the notes.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    peaks : float32, (event, 7)
        Module number, slow-scan and fast-scan position in the module (whole numbers at the centres of pixels),
        intensity above the local background, number of pixels, highest pixel above the local background, SNR.
    n_peaks : int32, (frame,)
    hit : bool, (frame,)
        What ``frames=`` of the next reduction takes.
    powder_sum, powder_max : float64 and float32, (module, ss, fs)
        Sum and maximum of all hits; NaN in pixels that were valid in none.

    Notes
    -----
    As in [1]_ and its implementations in Cheetah, CrystFEL and OM. The *background* of pixels at the same distance from
    the beam, rounded to pixels, is their mean and standard deviation sigma over the whole detector, made five times:
    each time without those more than ``min_snr`` sigma away. Pixels above mean + ``min_snr`` sigma, and above the
    threshold, that touch in one panel, at corners too, are a candidate: not if all of them are on the panel's edge.
    Mean and standard deviation of the pixels around that are of no candidate are the *local background*; the sum above
    it must be ``min_snr`` of its sigma, and the highest pixel of the candidate at least as high as the highest of the
    background. The position is the centre of mass.

    All decisions are made in float32, in the order of OM, so that the peaks are the same, its habits included: now and
    then it also takes pixels from elsewhere in the panel into a peak (it looks around the place that a larger peak
    before it left in memory, perhaps of another panel). That is rare but with many hot pixels: `touching` avoids it.

    Masked pixels and those that are not finite belong to nothing. A frame that lacks modules is searched in those that
    are there, and is a hit if these alone have peaks enough.

    Tables: 35 bytes per pixel in each process (37 MB for AGIPD-1M).

    References
    ----------
    .. [1] A. Barty et al. (2014), J. Appl. Cryst. 47, 1118-1131.
    """

    ALG_ID = "peaks"
    HELP = "Bragg peaks as peakfinder8 finds them, hits, powder sum and maximum"
    SELECTS = "hit"
    WHOLE_FRAMES = True
    TABLES = ("geometry", "distance", "min_res", "max_res", "panel")
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--threshold", type=float, default=0.0, help="no pixel below is of a peak; default 0")
        add("--min-snr", type=float, default=5.0, help="of pixels and of peaks; default 5")
        add("--min-pixels", type=int, default=2, help="of a peak; default 2")
        add("--max-pixels", type=int, default=200, help="of a peak; default 200")
        add("--local-bg-radius", type=int, default=3, help="half of how far the local background reaches; 3")
        add("--min-peaks", type=int, default=10, help="of a hit; default 10")
        add("--max-peaks", type=int, help="of a hit; default: no limit")
        add("--geometry", help=".geom, .h5, .poni or .npy file with the pixel positions; default: the run's")
        add("--distance", type=float, help="sample to detector in m; not needed")
        add("--min-res", type=float, help="nearest to the beam, pixels")
        add("--max-res", type=float, help="farthest from the beam, pixels")
        add("--panel", type=int, nargs=2, metavar=("SS", "FS"), help="size; default: that of the geometry")
        add("--touching", action="store_true", help="only pixels that touch make a peak, unlike in OM")

    def configure(self, args: argparse.Namespace) -> None:
        self.geometry, self.distance = args.geometry, args.distance
        self.threshold, self.min_snr = (_number(args, name) for name in ("threshold", "min_snr"))
        self.min_pixels, self.max_pixels = _range(args, "pixels", whole=True)
        self.min_peaks, self.max_peaks = _range(args, "peaks", whole=True)
        self.min_res, self.max_res = _range(args, "res")
        self.local_bg_radius = _number(args, "local_bg_radius", whole=True)
        self.panel, self.touching = args.panel, bool(args.touching)
        for name, low in (("min_pixels", 1), ("local_bg_radius", 1), ("min_peaks", 1), ("min_snr", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"peaks: {name}={getattr(self, name)}; expected {low} or more")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        self._check(self._points(info), img)
        return {
            "peaks": Output(
                per="event", dtype="f4", shape=(len(COLUMNS),), dims=("peak",), doc=", ".join(COLUMNS)
            ),
            "n_peaks": Output(per="img", dtype="i4", merge="max", doc="peaks"),
            "hit": Output(per="img", dtype="?", doc=f"{self.min_peaks} peaks or more"),
            "powder_sum": Output(per="pixel", unit=img.unit, doc="sum of hits"),
            "powder_max": Output(per="pixel", dtype="f4", merge="max", unit=img.unit, doc="maximum of hits"),
        }

    def memory(self, info: RunInfo) -> int:
        return int(np.prod(info["img"].shape)) * PER_PIXEL

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        # What lies beside the run counts as if it had been given.
        return {} if self.geometry is not None else {"geometry": self._geometry(info)}

    def initialize(self, info: RunInfo) -> None:
        self._kept = tables.Kept(lambda: self._search(info))
        self._numbers = np.array(info["img"].modules)
        self._first = [axis.start for axis in info["img"].roi or (slice(0, 0), slice(0, 0))]
        most = int(min(self.max_pixels, np.prod(info["img"].shape)))
        self._setting = tables.Setting(
            np.float32(self.min_snr),
            np.float32(self.threshold),
            self.min_pixels,
            most,
            self.local_bg_radius,
            self.touching,
        )
        if self.variant is None or self.name == self.variant.names[0]:
            self._kept.search  # noqa: B018 - made here, before frames come

    def _search(self, info: RunInfo) -> tables.Search:
        points = self._points(info)
        radius = tables.radii(points)
        return tables.Search(tables.rings(radius, self._used(radius)), tables.panels(points, self.panel))

    def process_train_data(self, train: Train, out: Partial) -> None:
        from ._peaks_kernels import powder

        search = self._kept.search
        total, highest = _powders(out)
        for frame in self._frames(train, search):
            if self._note(frame, search.peaks(self._setting), out):
                powder(search.pixels, total, highest)

    @staticmethod
    def process_variants(instances: Sequence[Any], data: Any, outs: Sequence[Partial]) -> None:
        for which in PeakFinder8.alike(instances):
            some, into = [instances[n] for n in which], [outs[n] for n in which]
            some[0]._find_each(some, data, into)

    def _find_each(self, instances: Sequence[Any], train: Train, outs: Sequence[Partial]) -> None:
        """Find peaks by several settings with the tables of this instance."""
        search, settings = self._kept.search, [one._setting for one in instances]
        hits = np.zeros((len(instances), len(train["img"])), bool)
        for frame in self._frames(train, search):
            for n, found in enumerate(search.each(settings)):
                hits[n, frame] = instances[n]._note(frame, found, outs[n])
        self._add_hits(hits, train, [_powders(out) for out in outs])

    def _note(self, frame: int, found: NDArray, out: Partial) -> bool:
        """Keep the peaks of a frame; return whether it is a hit."""
        found[:, 0] = self._numbers[found[:, 0].astype(int)]
        found[:, 1:3] += self._first
        out.peaks.append(found, frames=[frame] * len(found))
        out.n_peaks[frame] = len(found)
        out.hit[frame] = self.min_peaks <= len(found) <= self.max_peaks
        return bool(out.hit[frame])

    def _add_hits(self, hits: NDArray, train: Train, powders: Sequence[tuple[NDArray, NDArray]]) -> None:
        """Add the hits of each variant, module by module, some frames at a time: sums stay in the cache meanwhile."""
        from ._peaks_kernels import powder_of

        images, there = _images(train)
        size = images[0, 0].size
        loaded = np.empty((BATCH, size), np.float32)
        for module in range(images.shape[1]):
            own = slice(module * size, (module + 1) * size)
            wanted = np.flatnonzero(hits.any(axis=0) & there[:, module].reshape(len(there), -1).any(axis=1))
            for some in (wanted[n : n + BATCH] for n in range(0, len(wanted), BATCH)):
                for n, frame in enumerate(some):
                    _load(images[frame, module], there[frame, module], loaded[n])
                for hit, (total, highest) in zip(hits, powders, strict=True):
                    powder_of(loaded, np.flatnonzero(hit[some]), total[own], highest[own])

    def finalize(self, totals: Partial) -> None:
        never = np.isinf(totals.powder_max)
        totals.powder_sum[never] = totals.powder_max[never] = np.nan

    def _frames(self, train: Train, search: tables.Search) -> Iterator[int]:
        """Load each frame of which there is something, and yield its number."""
        images, there = _images(train)
        pixels = search.pixels[:-1].reshape(images.shape[1], -1)
        for frame, modules in enumerate(there):
            some = modules.any(axis=tuple(range(1, modules.ndim)))
            for module in np.flatnonzero(some):
                _load(images[frame, module], modules[module], pixels[module])
            pixels[~some] = np.nan
            if some.any():
                yield frame

    # What does not fit ------------------------------------------------------------------------------

    def _geometry(self, info: RunInfo) -> Any:
        """Return what was given, what lies beside the run, or None where none is needed."""
        img = info["img"]
        try:
            return geometry.beside(info.path) if self.geometry is None else self.geometry
        except ValueError as e:
            if len(img.modules) == 1 and detectors.highest(img.sources) in (None, 0):
                return None
            raise PlanError(f"peaks: {e}") from e

    def _points(self, info: RunInfo) -> NDArray:
        """Return the positions of the pixels that are read, (module, ss, fs, 3), or say what does not fit."""
        img, given = info["img"], self._geometry(info)
        if given is None:
            ss, fs = (np.arange(n) - (n - 1) / 2 for n in img.shape[1:])
            return np.stack([*np.meshgrid(fs, ss), np.zeros(img.shape[1:])], axis=-1)[None]
        try:
            return fitting("geometry", geometry.across(given, self.distance), img)
        except (ValueError, OSError) as e:
            raise PlanError(f"peaks: {e}") from e

    def _used(self, radius: NDArray) -> NDArray:
        """Return which pixels are looked at."""
        return (radius >= self.min_res) & (radius <= self.max_res)

    def _check(self, points: NDArray, img: InputInfo) -> None:
        """Refuse a run in which nothing could be found."""
        if img.dtype.kind not in "fiub":
            raise PlanError(f"peaks: {img.name} {img.key} is {img.dtype}; expected real numbers")
        if self.panel is not None and not all(
            3 <= n <= of for n, of in zip(self.panel, img.shape[1:], strict=True)
        ):
            raise PlanError(
                f"peaks: panel={tuple(self.panel)}; expected rows and columns from 3 to those of a module, "
                f"{img.shape[1:]}"
            )
        radius = tables.radii(points)
        if not self._used(radius).any():
            raise PlanError(
                f"peaks: min_res={self.min_res}, max_res={self.max_res} leave no pixel of {img.name}: they are from "
                f"{np.nanmin(radius):.0f} to {np.nanmax(radius):.0f} pixels from the beam"
            )


def _images(train: Train) -> tuple[NDArray, NDArray]:
    """Return frames with an axis of modules, and which of them, or of their pixels, are there."""
    images, there = train["img"], train.valid("img")
    if images.ndim == 3:
        images = images[:, None]
    # A camera has entries; one of two dimensions has pixels, or entries.
    return images, there if there.ndim in (2, 4) else there[:, None]


def _load(image: NDArray, there: NDArray, pixels: NDArray) -> None:
    """Copy a module as float32, NaN where there is nothing."""
    from ._peaks_kernels import load

    load(comparable(image).reshape(-1), pixels)
    if there.ndim:
        pixels[~there.reshape(-1)] = np.nan


def _powders(out: Partial) -> tuple[NDArray, NDArray]:
    """Return sum and maximum of hits, each as (pixel,)."""
    return np.reshape(out.powder_sum, -1, copy=False), np.reshape(out.powder_max, -1, copy=False)


def _number(args: argparse.Namespace, name: str, whole: bool = False) -> Any:
    """Return an option that is a number, and a whole one where that is needed."""
    value = getattr(args, name)
    if (
        not isinstance(value, (int, float, np.number))
        or not np.isfinite(value)
        or (whole and value != int(value))
    ):
        raise ValueError(f"peaks: {name}={value!r}; expected a {'whole ' if whole else ''}number")
    return int(value) if whole else float(value)


def _range(args: argparse.Namespace, what: str, whole: bool = False) -> tuple[Any, Any]:
    """Return the least and the most of something, no limit where none is given."""
    low, high = (
        none if getattr(args, name) is None else _number(args, name, whole)
        for name, none in ((f"min_{what}", 0), (f"max_{what}", np.inf))
    )
    if low > high:
        raise ValueError(f"peaks: min_{what}={low} is more than max_{what}={high}; expected less")
    return low, high
