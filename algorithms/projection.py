"""Projection: a region added up along an axis, or in the larger pixels of a smaller image, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _rois as rois

AXES = ("fs", "ss", "both", "none")
KEPT = {"fs": ("fs",), "ss": ("ss",), "both": ("ss", "fs"), "none": ()}


class Projection(Algorithm):
    """Project a region onto its columns, its rows or both, and into a smaller image, for each frame.

    Parameters
    ----------
    axis : {"fs", "ss", "both", "none"}
        What is kept: with "fs" (the default) each column is added up. A narrow region gives a line.
    ss, fs : (int, int), optional
        First row (slow scan) and column (fast scan) of the region and the ones after its last; all by default.
    modules : int or sequence of int, optional
        Those whose pixels are added to one projection; all by default.
    mask : path or array, (module, ss, fs) or (ss, fs), optional
        Pixels that are not used are True, beside those that are masked in the data.
    threshold : float or (float, float), optional
        Pixels below the first and above the second value count as 0.
    noise : path or array, (module, ss, fs) or (ss, fs), optional
        Noise of each pixel: `threshold` is in its units. Pixels where it is NaN are not used.
    single_photon : bool
        Pixels above 0 that the threshold leaves count as 1.
    mean : bool
        Divide by the valid pixels.
    rebin : (int, int), optional
        Rows and columns of an image of the region, smaller or as large: pixel p of n is in bin floor(p bins / n).
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    fs, ss : float64, (frame, fs) or (frame, ss)
        Sum of the valid pixels of a column or row, or their mean; unit of the data, or pixels with `single_photon`.
        NaN where there are none.
    fs_pixels, ss_pixels : int32, same shape
        Valid pixels.
    image : float64, (frame [, module], row, column)
        With `rebin`, in the same unit; the axis of modules is there if there are several.
    image_pixels : int32, same shape
        Valid pixels of each bin.

    Notes
    -----
    Masked pixels leave a hole in a sum: where their number differs from column to column, take the mean, or divide by
    the pixels.
    """

    axis: str
    mask: Any
    threshold: Any
    noise: Any
    single_photon: bool
    mean: bool
    rebin: Any
    ALG_ID = "projection"
    HELP = "a region projected onto its rows or columns, or binned to a smaller image, per frame"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        rois.add_one(parser)
        add = parser.add_argument
        add("--axis", choices=AXES, default="fs", help="what is kept; default fs: columns are added up")
        add("--threshold", type=float, nargs="+", help="LOW [HIGH]: pixels below and above count as 0")
        add("--noise", help=".npy file, (module, ss, fs): the threshold is in its units")
        add("--single-photon", action="store_true", help="pixels above 0 count as 1")
        add("--mean", action="store_true", help="divide by the valid pixels")
        add("--rebin", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="make a smaller image")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self._asked = rois.asked("projection", args)
        self._window = rois.window("projection", "threshold", args.threshold)
        if self.noise is not None and self.threshold is None:
            raise ValueError("projection: noise= is the unit of a threshold; give threshold=, too")
        if self.single_photon and self.threshold is None:
            raise ValueError(
                "projection: single_photon=True counts pixels above a threshold; give threshold=, too"
            )
        if self.axis == "none" and self.rebin is None:
            raise ValueError(
                "projection: axis='none' makes nothing; expected another, or rebin=(rows, columns)"
            )
        self._bins = None if self.rebin is None else _bins(self.rebin)

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        one = self._region(img)
        rois.left_out("projection", self.mask, img)
        self._scales(img)
        unit = "pixels" if self.single_photon else img.unit
        what = "mean" if self.mean else "sum"
        made: dict[str, Output] = {}
        for axis in KEPT[self.axis]:
            at = {f"projected_{axis}": _numbers(one, axis, img)}
            made |= _pair(axis, at, unit, f"{what} along the other axis")
        if self._bins:
            at = {"binned_module": np.array(one.modules)} if len(one.bounds) > 1 else {}
            for axis, n in zip(("ss", "fs"), self._bins, strict=True):
                at[f"binned_{axis}"] = _centres(_numbers(one, axis, img), n)
            made |= _pair("image", at, unit, f"{what} of the pixels of each bin")
        return made

    def memory(self, info: RunInfo) -> int:
        given = (self.mask is not None) + 8 * (self.noise is not None)
        return given * int(np.prod(info["img"].shape))

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        self._roi = self._region(img)
        self._bad, self._noise = rois.left_out("projection", self.mask, img), self._scales(img)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from . import _region_kernels as kernels

        one, number = self._roi, block.module_number
        if number not in one.bounds:
            return
        frames, n = rois.frames_of(block), len(block)
        maps = self._bad[block.module], self._noise[block.module]
        given: list[Any] = [frames, *maps, *one.bounds[number], *self._window, self.single_photon]
        if self.axis != "none":
            sums: list[Any] = []
            for axis, size in zip(("ss", "fs"), one.shape, strict=True):
                known = axis in KEPT[self.axis]
                sums += [out[axis] if known else np.zeros((n, size))]
                sums += [out[f"{axis}_pixels"] if known else np.zeros((n, size), np.int32)]
            kernels.project(*[*given, *sums])
        if self._bins:
            bins = [np.arange(size) * k // size for size, k in zip(one.shape, self._bins, strict=True)]
            images = [a if a.ndim == 4 else a[:, None] for a in (out.image, out.image_pixels)]
            kernels.rebin(*[*given, *bins, one.modules.index(number), *images])

    def finalize_chunk_processing(self, out: Partial) -> None:
        for name in [name for name in out if not name.endswith("_pixels")]:
            pixels = out[f"{name}_pixels"]
            sums = out[name] / np.maximum(pixels, 1) if self.mean else out[name]
            out[name] = np.where(pixels > 0, sums, np.nan)

    def _region(self, img: InputInfo) -> rois.Roi:
        (one,) = rois.placed("projection", self._asked, img)
        if self._bins and any(n > size for n, size in zip(self._bins, one.shape, strict=True)):
            raise PlanError(
                f"projection: rebin={self._bins}, but the region has {one.shape[0]} x {one.shape[1]} pixels (ss, fs); "
                "expected no more bins than pixels"
            )
        return one

    def _scales(self, img: InputInfo) -> NDArray:
        if self.noise is None:
            return np.zeros((len(img.modules), 0, 0))
        noise = rois.of_pixels("projection", "noise", self.noise, img).astype("f8")
        if not (noise > 0).any():
            raise PlanError(f"projection: noise= is above 0 in no pixel of {img.name}")
        return np.where(noise > 0, noise, np.nan)


def _bins(given: Any) -> tuple[int, int]:
    values = np.asarray(given)
    if values.shape != (2,) or values.dtype.kind not in "iu" or (values < 1).any():
        raise ValueError(
            f"projection: rebin={given!r}; expected how many rows and columns, whole numbers from 1"
        )
    return int(values[0]), int(values[1])


def _numbers(one: rois.Roi, axis: str, img: InputInfo) -> NDArray:
    """Return the numbers of the rows or columns of a region, in the module."""
    which = ("ss", "fs").index(axis)
    return np.arange(*one.first[which]) + (img.roi[which].start if img.roi else 0)


def _centres(numbers: NDArray, bins: int) -> NDArray:
    """Return the mean of the pixel numbers of each bin."""
    which = np.arange(len(numbers)) * bins // len(numbers)
    return np.bincount(which, numbers) / np.bincount(which)


def _pair(name: str, at: dict[str, NDArray], unit: str, doc: str) -> dict[str, Output]:
    """Return an output and that of the valid pixels in it."""
    axes: dict[str, Any] = {"shape": tuple(map(len, at.values())), "dims": tuple(at), "coords": at}
    return {
        name: Output(per="img", unit=unit, doc=doc, **axes),
        f"{name}_pixels": Output(per="img", dtype="i4", doc="valid pixels", **axes),
    }
