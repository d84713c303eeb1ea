"""ImageCube: mean, standard error and count of each pixel in bins of one or several variables, in float32."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Labels, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from ._moments import ratio
from .average import SLAB, Average, _states, divide_sums

NORMS = ("sums", "each")
STATE, PAIRS = 28, 52
"""Bytes per pixel and bin; those with `i0` or `weights`."""


class ImageCube(Average):
    """Mean, standard error and count of each pixel in each bin of frames; masked pixels and NaN are not used.

    Parameters
    ----------
    normalise : {"sums", "each"}
        With `i0`: the sum of x over the sum of I0 of the frames in which the pixel is valid (the default), or the
        mean of each frame over its own I0.
    axes : mapping of str to int, optional
        Names of the axes of bins, and how many each has, ``{"delay": 9, "energy": 5}`` (on the command line
        ``delay=9 energy=5``): `by` is then the number of the bin of a frame, from 0, the last axis fastest. By
        default one axis with the values of `by`.
    groups : list, optional
        Without `axes`: values of `by` that make a bin each, in this order; by default all, sorted.
    img : Frames, Key or From
        What is averaged, ``Frames("image.data")`` by default.
    by : Labels, DataArray, path or Result
        In which bin each frame or train is; those without a label are in none.
    i0 : Labels or what they take, optional
        What pixels are divided by: a number for each frame or train. Frames without are left out.
    weights : Labels or what they take, optional
        How much a frame counts. Frames without a weight are left out.

    Outputs
    -------
    mean : float32, (bin, ..., module, ss, fs)
        In the unit of the data, or that over the unit of `i0`; NaN where `count` is 0.
    sem : float32, same shape
        Standard error of the mean; NaN where `count` is below 2.
    count : int32, same shape
        Values used.

    Notes
    -----
    With weights w (1 by default) and I0 (1 by default) of the n frames of a bin in which a pixel is valid::

        R = sum w x / sum w I0,   sem^2 = n / (n - 1) sum (w x - R w I0)^2 / (sum w I0)^2

    the ratio estimator [1]_; without weights and I0 these are the mean and s / sqrt(n). With ``normalise="each"`` x is
    x / I0, and I0 is 1. All is added up in float64 as deviations from the mean so far, and rounded once.

    State: 28 bytes per pixel and bin, 52 with `i0` or `weights`: 1.5 GB of 50 bins of an AGIPD-1M, which the plan
    splits by modules. The result has 12 bytes of each.

    References
    ----------
    .. [1] W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    """

    ALG_ID = "imagecube"
    HELP = "mean, standard error and count of each pixel in bins of frames, over the incoming intensity"
    inputs = {**Average.inputs, "i0": None, "weights": None}  # type: ignore[dict-item]
    normalise: str
    axes: Any

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--normalise",
            choices=NORMS,
            default="sums",
            help="ratio of sums, or frame by frame; default sums",
        )
        parser.add_argument(
            "--axes",
            nargs="+",
            metavar="NAME=N",
            help="axes of bins, where the label is the number of the bin",
        )
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        self.per, self.ddof, self.normalise = "run", 1, args.normalise
        self.axes = _axes(args.axes)
        if self.axes is not None and args.groups is not None:
            raise ValueError("imagecube: axes= and groups= were given; expected one of them")
        self.groups = list(range(int(np.prod([*self.axes.values()])))) if self.axes else args.groups
        given = {
            alias: what
            for alias, what in self.inputs.items()
            if alias in ("i0", "weights") and what is not None
        }
        as_labels = {
            alias: what if isinstance(what, Labels) else Labels(what) for alias, what in given.items()
        }
        self.inputs = groups.joined(self.inputs | as_labels, self.groups)
        self.pairs = bool(as_labels)
        if "by" not in self.inputs:
            raise ValueError("imagecube: in which bin is each frame? Expected by=, such as by=Labels(...)")
        if self.normalise == "each" and "i0" not in self.inputs:
            raise ValueError("imagecube: normalise='each' is about i0=; expected i0=, too")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if img.dtype.kind not in "fiub":
            raise PlanError(f"imagecube: {img.name} {img.key} is {img.dtype}; expected real numbers")
        over = info["i0"].unit if "i0" in self.inputs else ""
        unit = f"{img.unit or 1}/{over}" if over else img.unit
        axes: dict[str, Any] = {"per": "pixel", "merge": "custom", **self._named(info)}
        sums = ("x", "z", "xx", "xz", "zz") if self.pairs else ("centre", "squares")
        return {
            "mean": Output(dtype="f4", unit=unit, doc="mean", **axes),
            "sem": Output(dtype="f4", unit=unit, doc="standard error of the mean", **axes),
            "count": Output(dtype="i4", doc="values used", **axes),
            **{name: Output(store=False, **axes) for name in sums},
        }

    def _of(self, info: RunInfo) -> groups.Groups:
        found = groups.of(self, info, (PAIRS if self.pairs else STATE) * int(np.prod(info["img"].shape)))
        assert found is not None
        return found

    def _named(self, info: RunInfo) -> dict[str, Any]:
        """Return shape, dims and coordinates of bins."""
        found = self._of(info)
        for alias in ("i0", "weights"):
            if alias in self.inputs and (len(info[alias].shape) > 1 or info[alias].dtype.kind not in "fiub"):
                raise PlanError(
                    f"imagecube: {alias}= is {info[alias].dtype}{info[alias].shape[1:]}; expected a number"
                )
        if self.axes is None:
            return found.axes()
        return {"shape": tuple(self.axes.values()), "dims": tuple(self.axes)}

    def initialize(self, info: RunInfo) -> None:
        super().initialize(info)
        self._exact = self._exact and not self.pairs

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        slots = self._groups.slots(block)
        scale, unit = self._factors(block)
        slots = np.where(np.isfinite(scale) & np.isfinite(unit), slots, -1)
        frames, masked = self._frames(block)
        if not self.pairs:
            self._add(frames, masked, slots, out)
            return
        from ._average_kernels import Sorted
        from ._imagecube_kernels import add_pairs

        count, *sums = self._state(out)
        flat, step = _states(count, True)
        states = (flat, *(_states(one, True)[0] for one in sums))
        add_pairs(frames, Sorted.by(slots, step), scale, unit, states)

    def _factors(self, block: ModuleBlock) -> tuple[NDArray, NDArray]:
        """Return what pixels are multiplied by, and what counts beside them, (frame,); NaN where it is not known."""
        w, i0 = (self._number(block, alias) for alias in ("weights", "i0"))
        if self.normalise == "sums":
            return w, w * i0
        with np.errstate(divide="ignore", invalid="ignore"):
            return w / i0, w

    def _number(self, block: ModuleBlock, alias: str) -> NDArray:
        if alias not in self.inputs:
            return np.ones(len(block))
        values = np.where(block.valid(alias), block[alias], np.nan)
        return np.broadcast_to(values, len(block)).astype("f8")

    def _state(self, out: Partial) -> tuple[NDArray, ...]:
        names = ("count", "x", "z", "xx", "xz", "zz") if self.pairs else ("count", "centre", "squares")
        # Several axes of bins are one, without a copy.
        return tuple(np.reshape(out[name], (len(self._groups), -1), copy=False) for name in names)

    def merge(self, into: Partial, other: Partial) -> None:
        if not self.pairs:
            super().merge(into, other)
            return
        from ._imagecube_kernels import merge_pairs

        merge_pairs(
            tuple(x.reshape(-1, copy=False) for x in self._state(into)),
            tuple(np.ascontiguousarray(x).reshape(-1) for x in self._state(other)),
        )

    def finalize(self, totals: Partial) -> None:
        flat = [x.reshape(-1, copy=False) for x in self._state(totals)]
        mean, sem = (np.reshape(totals[name], -1, copy=False) for name in ("mean", "sem"))
        for start in range(0, len(mean), SLAB):
            part = slice(start, start + SLAB)
            mean[part], sem[part] = self._finished(*(x[part] for x in flat))

    def _finished(self, n: NDArray, *sums: NDArray) -> tuple[NDArray, NDArray]:
        """Return mean and standard error."""
        if self.pairs:
            return of_pairs(n, *sums)
        mean, squares = sums
        if self._exact:
            divide_sums(n, mean, squares)
        mean = np.where((n > 0) & np.isfinite(squares), mean, np.nan)
        return mean, np.sqrt(
            ratio(np.where(np.isfinite(squares), squares, np.nan), n * np.maximum(n - 1.0, 0))
        )


def of_pairs(
    n: NDArray, x: NDArray, z: NDArray, xx: NDArray, xz: NDArray, zz: NDArray
) -> tuple[NDArray, NDArray]:
    """Return the ratio of the sums of x and z, and its standard error.

    Parameters
    ----------
    n, x, z : ndarray
        How many pairs there are, and their means.
    xx, xz, zz : ndarray
        Sums of products of deviations from these.
    """
    r = np.where(np.isfinite(xx), ratio(x, np.where(n > 0, z, 0.0)), np.nan)
    spread = np.maximum(xx - 2 * r * xz + r**2 * zz, 0)
    return r, np.sqrt(ratio(spread, (n > 0) * z**2 * n * np.maximum(n - 1.0, 0)))


def _axes(given: Any) -> dict[str, int] | None:
    """Return the axes of bins, also of texts NAME=N."""
    if given is None:
        return None
    pairs = given.items() if isinstance(given, Mapping) else [str(one).partition("=")[::2] for one in given]
    try:
        axes = {str(name): int(n) for name, n in pairs}
    except (TypeError, ValueError):
        axes = {}
    if not axes or min(axes.values()) < 1:
        raise ValueError(
            f"imagecube: axes={given!r}: expected names and numbers of bins, such as {{'delay': 9}}"
        )
    return axes
