"""ImageSums: sums of frames pixel by pixel: of values, squares and what is in a window, the highest, counts of hits."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from . import _rois as rois
from .average import stretches
from .litframes import usable

STATE = 40
"""Bytes per pixel."""


class ImageSums(Algorithm):
    """Add up the frames of a run, or of each group of frames: those with and those without X-rays.

    Parameters
    ----------
    threshold : float or (float, float), optional
        Also add up the pixels that are not below the first and not above the second value, and count them.
    by : Labels, From or what `Labels` takes, optional
        Sums of each group of frames with the same label: ``Labels(lit, "litframes.lit")`` makes those of lit and of
        dark frames.
    groups : sequence, optional
        Values of the label, one group each; all by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    sum : float64, ([group,] module, ss, fs)
        Of the valid values, unit of the data; NaN where there are none.
    square : float64, same shape
        Of their squares.
    max : float64, same shape
        The highest.
    count : int32, same shape
        Valid values: neither masked nor NaN.
    thresholded : float64, same shape
        With `threshold`: sum of the values in the window.
    hits : int32, same shape
        With `threshold`: how many there are.
    ungrouped : bool, (frame,)
        With `by`: frames of no group.

    Notes
    -----
    Of integers all sums are exact, as long as they are below 2**53. For means and variances there is `Average`:
    sum of squares and square of the sum nearly cancel.

    State: 40 bytes per pixel and group, 28 without a threshold.
    """

    threshold: Any
    groups: Any
    ALG_ID = "sums"
    HELP = "sums of frames: values, squares, the highest, and hits in a window; of the run or of groups"
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        words = "LOW [HIGH]: also add up and count what is from LOW to HIGH"
        parser.add_argument("--threshold", type=float, nargs="+", help=words)
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = groups.joined(self.inputs, args.groups)
        self._window = rois.window("sums", "threshold", self.threshold)

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if img.dtype.kind not in "fiub":
            raise PlanError(f"sums: {img.name} {img.key} is {img.dtype}; expected real numbers")
        found = self._of(info)
        axes: dict[str, Any] = {"per": "pixel", **(found.axes() if found else {})}
        low, high = self._window
        words = f"values from {low:g}" + (f" to {high:g}" if high < np.inf else "")
        inside = {
            "thresholded": Output(unit=img.unit, doc=f"sum of {words}", **axes),
            "hits": Output(dtype="i4", doc=words, **axes),
        }
        return {
            "sum": Output(unit=img.unit, doc="sum", **axes),
            "square": Output(unit=f"{img.unit}2" if img.unit else "", doc="sum of squares", **axes),
            "max": Output(merge="max", unit=img.unit, doc="highest value", **axes),
            "count": Output(dtype="i4", doc="values used", **axes),
            **(inside if self.threshold is not None else {}),
            **({"ungrouped": groups.ungrouped()} if found else {}),
        }

    def _of(self, info: RunInfo) -> groups.Groups | None:
        return groups.of(self, info, STATE * int(np.prod(info["img"].shape)))

    def initialize(self, info: RunInfo) -> None:
        self._groups = self._of(info)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        frames = usable(block).reshape(len(block), -1)
        if self._groups is None:
            self._add(frames, out, ...)
            return
        slots = self._groups.slots(block)
        out.ungrouped |= slots < 0
        for slot, start, stop in stretches(slots):
            if slot >= 0:
                self._add(frames[start:stop], out, slot)

    def _add(self, frames: NDArray, out: Partial, slot: Any) -> None:
        """Add frames to the sums of all, or of a group."""
        from ._sums_kernels import add

        kept, hits = np.empty(0), np.empty(0, np.int32)
        count, total, square, highest = (_flat(out[k][slot]) for k in ("count", "sum", "square", "max"))
        if self.threshold is not None:
            kept, hits = _flat(out.thresholded[slot]), _flat(out.hits[slot])
        add(frames, *self._window, count, total, square, highest, kept, hits)

    def finalize(self, totals: Partial) -> None:
        nothing = totals.count == 0
        for name in ("sum", "square", "max", *(["thresholded"] if "thresholded" in totals else [])):
            totals[name][nothing] = np.nan


def _flat(array: NDArray) -> NDArray:
    return np.reshape(array, -1, copy=False)
