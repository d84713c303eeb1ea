"""Region of interest: sum, mean and valid pixels of rectangles of some modules, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from .litframes import usable

Bounds = tuple[int, int] | None
"""The first row or column of a region and the one after the last; None for all."""


class RoiSum(Algorithm):
    """Sum, mean and number of valid pixels of a region, for each frame.

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
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    sum : float64, (frame,)
        Sum of the valid pixels, unit of the data; NaN where there are none.
    pixels : int32, (frame,)
        Valid pixels: read, and neither masked nor NaN.
    mean : float64, (frame,)
        sum / pixels; NaN where there are none.
    """

    ALG_ID = "roi"
    HELP = "sum, mean and valid pixels of a rectangle of some modules, per frame"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        for axis, what in (("ss", "rows (slow scan)"), ("fs", "columns (fast scan)")):
            words = f"{what} FIRST to STOP - 1; default all"
            parser.add_argument(f"--{axis}", type=int, nargs=2, metavar=("FIRST", "STOP"), help=words)
        parser.add_argument("--modules", type=int, nargs="+", help="module numbers; default all")
        parser.add_argument(
            "--region",
            dest="regions",
            type=int,
            nargs=5,
            action="append",
            metavar=("MODULE", "SS", "STOP", "FS", "STOP"),
            help="a region of one module; may be repeated for others",
        )

    def configure(self, args: argparse.Namespace) -> None:
        modules: Any = [args.modules] if isinstance(args.modules, (int, np.integer)) else args.modules
        self.modules = Frames(modules=modules).modules
        self.ss, self.fs = interval("roi", "ss", args.ss), interval("roi", "fs", args.fs)
        self.regions = None if args.regions is None else _regions(args.regions)
        if self.regions and (self.modules or self.ss or self.fs):
            raise ValueError("roi: regions= says it for each module; leave out modules=, ss= and fs=")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        self._check(img)
        return {
            "sum": Output(per="img", unit=img.unit, doc="sum of the region"),
            "pixels": Output(per="img", dtype="i4", doc="valid pixels of the region"),
            "mean": Output(per="img", unit=img.unit, doc="mean of the valid pixels of the region"),
        }

    def _check(self, img: InputInfo) -> None:
        """Refuse regions outside the frames, and modules that are not read."""
        if len(img.shape) != 3:
            raise PlanError(
                f"roi: {img.name} {img.key} has values of shape {img.shape[1:]}; expected (ss, fs)"
            )
        for ss, fs in (self.regions or {0: (self.ss, self.fs)}).values():
            for name, bounds, size in (("ss", ss, img.shape[1]), ("fs", fs, img.shape[2])):
                if bounds and bounds[1] > size:
                    raise PlanError(
                        f"roi: {name}={bounds} ends outside the frames of {img.name}: it has {size}"
                    )
        unknown = sorted(set(self.regions or self.modules or ()) - set(img.modules))
        if unknown:
            raise PlanError(f"roi: modules {unknown} are not read of {img.name}; it has {list(img.modules)}")

    def initialize(self, info: RunInfo) -> None:
        _, ss, fs = info["img"].shape
        one = self.ss or (0, ss), self.fs or (0, fs)
        self._regions = self.regions or dict.fromkeys(self.modules or info["img"].modules, one)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        if block.module_number in self._regions:
            from ._frame_kernels import sum_region

            sum_region(usable(block), *self._regions[block.module_number], out.sum, out.pixels)

    def finalize_chunk_processing(self, out: Partial) -> None:
        out.sum[out.pixels == 0] = np.nan
        np.divide(out.sum, out.pixels, out=out.mean, where=out.pixels > 0)
        out.mean[out.pixels == 0] = np.nan


def _regions(given: Any) -> dict[int, tuple[Bounds, Bounds]]:
    """Return the region of each module."""
    rows = np.asarray(given)
    if rows.ndim != 2 or rows.shape[1] != 5 or not len(rows) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"roi: regions={given!r}: expected (module, ss, stop, fs, stop) for each module, whole numbers"
        )
    modules = Frames(modules=tuple(rows[:, 0].tolist())).modules or ()
    return {
        module: (interval("roi", "ss", row[1:3]), interval("roi", "fs", row[3:]))
        for module, row in zip(modules, rows.tolist(), strict=True)
    }


def interval(who: str, name: str, value: Sequence[int] | None) -> tuple[int, int] | None:
    """Return the first and the end of a range, checked as far as it can be without a run."""
    if value is None:
        return None
    first, stop = (int(v) for v in value)
    if not 0 <= first < stop:
        raise ValueError(
            f"{who}: {name}={(first, stop)}; expected first row or column and the one after the last"
        )
    return first, stop
