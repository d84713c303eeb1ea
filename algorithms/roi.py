"""Regions of interest: sum, mean, highest, centre of mass, saturated pixels of rectangles, or the pixels themselves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _rois as rois


class RoiSum(Algorithm):
    """Sum, mean, highest and centre of mass of the valid pixels of regions, for each frame; or the pixels themselves.

    Parameters
    ----------
    ss, fs : (int, int), optional
        First row (slow scan) and column (fast scan) of the region in a module and the ones after its last, as in a
        Python slice; all by default.
    modules : int or sequence of int, optional
        Module numbers; the region is the same in each of them. All by default. The others are not worked on, but
        read if another algorithm of the pass reads them: ``img=Frames(modules=[3])`` reads just these.
    regions : sequence of five int, or array (region, 5), optional
        A region of its own for each module instead: (module, first row, the one after the last, first column, the one
        after the last).
    rois : mapping of str to bounds, optional
        Several regions by name instead, each (first, stop) of fs; of ss and fs; or of modules, ss and fs; None is all
        of an axis: ``{"peak": [(3, 4), (10, 20), (5, 9)], "rim": [None, (0, 4)]}``.
    mask : path or array, (module, ss, fs) or (ss, fs), optional
        Pixels that are not used are True, beside those that are masked in the data.
    threshold : float or (float, float), optional
        Pixels below the first and above the second value count as 0.
    saturation : float, optional
        Count pixels that are as high, in the unit of the data.
    area : bool
        Store the pixels themselves.
    img : Frames, Key or From
        ``Frames("image.data")`` by default. Rows of numbers, such as those of a line detector, are one row of pixels.

    Outputs
    -------
    sum : float64, (frame [, roi])
        Sum of the valid pixels, unit of the data; NaN where there are none.
    pixels : int32, (frame [, roi])
        Valid pixels: read, and neither masked nor NaN.
    mean : float64, (frame [, roi])
        sum / pixels; NaN where there are none.
    max : float64, (frame [, roi])
        Highest of the valid pixels; NaN where there are none.
    com : float64, (frame [, roi], 2)
        Centre of mass, ss and fs in the module, in pixels; NaN where the sum is 0.
    saturated : int32, (frame [, roi])
        With `saturation`.
    area : float32 or float64, (frame [, module], ss, fs)
        With `area`: the pixels as they were read, NaN where they are not valid; ``area_NAME`` of a region with a name.
        The axis of modules is there if the region has several.

    Notes
    -----
    With the valid pixels x that the threshold leaves, 0 of the others, at (s, f)::

        sum = sum x,  mean = sum / pixels,  com = (sum s x / sum x, sum f x / sum x)

    A region on several modules is all their pixels together. Saturated pixels are counted before the threshold.
    """

    threshold: Any
    saturation: float | None
    area: bool
    mask: Any
    ALG_ID = "roi"
    HELP = "sum, mean, highest, centre of mass and single pixels of rectangles of some modules, per frame"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        rois.add_arguments(parser)
        add = parser.add_argument
        add(
            "--region",
            dest="regions",
            type=int,
            nargs=5,
            action="append",
            metavar=("MODULE", "SS", "STOP", "FS", "STOP"),
            help="a region of one module; may be repeated for others",
        )
        add("--threshold", type=float, nargs="+", help="LOW [HIGH]: pixels below and above count as 0")
        add("--saturation", type=float, help="count pixels that are as high")
        add("--area", action="store_true", help="store the pixels themselves")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self._asked = rois.asked("roi", args)
        self._window = rois.window("roi", "threshold", args.threshold)
        if args.regions is not None:
            if self._asked != [rois.Asked()]:
                raise ValueError(
                    "roi: regions= says it for each module; leave out modules=, ss=, fs= and rois="
                )
            self._asked = [rois.Asked(own=_regions(args.regions))]
        if self.saturation is not None and not np.isfinite(self.saturation):
            raise ValueError(f"roi: saturation={self.saturation}; expected a number, in the unit of the data")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        placed = rois.placed("roi", self._asked, img)
        rois.left_out("roi", self.mask, img)
        names = rois.axis(placed)
        axis: dict[str, Any] = {"shape": (len(placed),) * len(names), "dims": tuple(names), "coords": names}
        counts: dict[str, Any] = {"per": "img", "dtype": "i4", **axis}
        both = axis | {"shape": (*axis["shape"], 2), "dims": (*axis["dims"], "pixel_axis")}
        values: dict[str, Any] = {"per": "img", "unit": img.unit, **axis}
        made = {
            "sum": Output(doc="sum of the region", **values),
            "pixels": Output(doc="valid pixels of the region", **counts),
            "mean": Output(doc="mean of the valid pixels of the region", **values),
            "max": Output(merge="max", doc="highest valid pixel of the region", **values),
            "com": Output(per="img", doc="centre of mass in the module, pixels", **both),
        }
        if self.saturation is not None:
            made["saturated"] = Output(doc=f"valid pixels at {self.saturation:g} or above", **counts)
        if self.area:
            made |= {_area(one): _area_output(one, img) for one in placed}
        return made

    def memory(self, info: RunInfo) -> int:
        return int(np.prod(info["img"].shape)) if self.mask is not None else 0

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        self._rois = rois.placed("roi", self._asked, img)
        self._bad = rois.left_out("roi", self.mask, img)
        ss, fs = img.roi or (slice(0, 0), slice(0, 0))
        self._first = ss.start, fs.start

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._region_kernels import above, describe

        here = [(k, one) for k, one in enumerate(self._rois) if block.module_number in one.bounds]
        if not here:
            return
        frames, bad, (low, high) = rois.frames_of(block), self._bad[block.module], self._window
        total, pixels, highest = (_of_rois(out[name]) for name in ("sum", "pixels", "max"))
        com = out.com if out.com.ndim == 3 else out.com[:, None]
        for k, one in here:
            ss, fs = one.bounds[block.module_number]
            describe(frames, bad, ss, fs, low, high, self._first, k, total, pixels, highest, com)
            if self.saturation is not None:
                above(frames, bad, ss, fs, self.saturation, k, _of_rois(out.saturated))
            if self.area:
                self._keep(rois.cut(frames, ss, fs), rois.cut(bad, ss, fs), one, block.module_number, out)

    def _keep(self, frames: NDArray, bad: NDArray, one: rois.Roi, module: int, out: Partial) -> None:
        """Write the pixels of a module; what no module writes stays missing."""
        area = out[_area(one)]
        into = area if len(one.bounds) == 1 else area[:, one.modules.index(module)]
        into[...] = frames.reshape(into.shape)
        if bad.size:
            into[:, bad.reshape(into.shape[1:])] = np.nan

    def finalize_chunk_processing(self, out: Partial) -> None:
        nothing = out.pixels == 0
        out.com = out.com / np.where(out.sum == 0, np.nan, out.sum)[..., None]
        out.sum[nothing] = np.nan
        out.mean = out.sum / np.maximum(out.pixels, 1)


def _of_rois(array: NDArray) -> NDArray:
    """Return an output with an axis of regions."""
    return array if array.ndim == 2 else array[:, None]


def _area(one: rois.Roi) -> str:
    return f"area_{one.name}" if one.name else "area"


def _area_output(one: rois.Roi, img: InputInfo) -> Output:
    """Return the output of the pixels of a region, without an axis of modules if it has one."""
    if not one.same:
        raise PlanError(
            "roi: area=True needs regions with the same pixels of each module; give rois= by name"
        )
    name = _area(one)
    coords: dict[str, Any] = {f"{name}_module": np.array(one.modules)} if len(one.bounds) > 1 else {}
    rows, columns = one.first
    if len(img.shape) == 3:
        coords[f"{name}_ss"] = np.arange(*rows) + (img.roi[0].start if img.roi else 0)
    coords[f"{name}_fs"] = np.arange(*columns) + (img.roi[1].start if img.roi else 0)
    return Output(
        per="img",
        shape=tuple(map(len, coords.values())),
        dims=tuple(coords),
        coords=coords,
        dtype="f4" if img.dtype == np.float32 or img.dtype.itemsize <= 2 else "f8",
        # Where no module writes, it stays at the identity of this rule: missing.
        merge="max",
        unit=img.unit,
        doc="pixels of the region",
    )


def _regions(given: Any) -> dict[int, tuple[rois.Bounds, rois.Bounds]]:
    """Return the region of each module."""
    rows = np.asarray(given)
    if rows.ndim != 2 or rows.shape[1] != 5 or not len(rows) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"roi: regions={given!r}: expected (module, ss, stop, fs, stop) for each module, whole numbers"
        )
    modules = Frames(modules=tuple(rows[:, 0].tolist())).modules or ()
    return {
        module: (rois.interval("roi", "ss", row[1:3]), rois.interval("roi", "fs", row[3:]))
        for module, row in zip(modules, rows.tolist(), strict=True)
    }
