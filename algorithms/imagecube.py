"""ImageCube: mean, standard error and count of each pixel in bins of one or several variables, in float32."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Labels, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from ._moments import ratio
from .average import SLAB, Average, _states, divide_sums

RESULTS = ("mean", "sem", "weight", "effective")
NORMS = ("sums", "each")
STATE, PAIRS, WEIGHTED = 28, 56, 76
"""Bytes per pixel and bin; those with `i0`, and with `weights`."""


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
        What pixels are divided by: a number for each frame or train. Frames where it is missing, or not above 0, are
        left out.
    weights : Labels or what they take, optional
        How much a frame counts, such as 1 / variance. Frames without a weight above 0 are left out.

    Outputs
    -------
    mean : float32, (bin, ..., module, ss, fs)
        In the unit of the data, or that over the unit of `i0`; NaN where `count` is 0.
    sem : float32, same shape
        Standard error of the mean; NaN where `count` is below 2.
    count : int32, same shape
        Values used.
    weight : float32, same shape
        With `i0` or `weights`: sum w I0 of these.
    effective : float32, same shape
        With `weights`: effective number, (sum w)^2 / sum w^2.

    Notes
    -----
    With weights w (1 by default) and I0 (1 by default) of the n frames of a bin in which a pixel is valid::

        R = sum w x / sum w I0
        sem^2 = sum w (x - R I0)^2 sum w^2 / (W (W^2 - sum w^2)) / m^2,   W = sum w,  m = sum w I0 / W

    which is s^2 / n without both, the ratio estimator n / (n - 1) sum (x - R I0)^2 / (sum I0)^2 without weights [1]_,
    and the variance of a weighted mean without I0 [2]_. With ``normalise="each"`` x is x / I0, and I0 is 1. All is
    added up in float64, as deviations from the means so far [3]_, and rounded once.

    State: 28 bytes per pixel and bin, 56 with `i0`, 76 with `weights`: 1.5 GB of 50 bins of an AGIPD-1M, which the plan
    splits by modules. The result has 12, 16 or 20 bytes of each.

    References
    ----------
    .. [1] W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    .. [2] M. Galassi et al., GNU Scientific Library Reference Manual, section "Weighted samples".
    .. [3] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), The American Statistician 37, 242-247.
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
        self.groups = args.groups
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
        words = {"mean": "mean", "sem": "standard error of the mean"}
        made = {name: Output(dtype="f4", unit=unit, doc=doc, **axes) for name, doc in words.items()}
        made["count"] = Output(dtype="i4", doc="values used", **axes)
        if "weights" in self.inputs or (self.pairs and self.normalise == "sums"):
            made["weight"] = Output(
                dtype="f4", unit=over, doc="sum of weights, times what is divided by", **axes
            )
        if "weights" in self.inputs:
            made["effective"] = Output(dtype="f4", doc="effective number, (sum w)^2 / sum w^2", **axes)
        return made | {name: Output(store=False, **axes) for name in self._sums[1:]}

    @property
    def _sums(self) -> tuple[str, ...]:
        """Names of what is added up."""
        if not self.pairs:
            return ("count", "centre", "squares")
        return ("count", *(("w", "ww") if "weights" in self.inputs else ()), "x", "z", "xx", "xz", "zz")

    def _of(self, info: RunInfo) -> groups.Groups:
        each = (WEIGHTED if "weights" in self.inputs else PAIRS) if self.pairs else STATE
        found = (
            groups.of(self, info, each * int(np.prod(info["img"].shape)))
            if self.axes is None
            else self._bins(info)
        )
        assert found is not None
        return found

    def _bins(self, info: RunInfo) -> groups.Groups:
        """Return the bins of all axes; refuse labels that are no numbers of them."""
        by, count = info["by"], math.prod(self.axes.values())
        if by.dtype.kind not in "biu" or len(by.shape) > 1:
            raise PlanError(f"imagecube: by= has {by.dtype} values; expected numbers of bins, below {count}")
        if by.values is not None and not ((by.values >= 0) & (by.values < count)).any():
            raise PlanError(f"imagecube: no frame is in one of the {count} bins")
        return groups.Groups("bin", np.arange(count))

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
        assert self._groups is not None
        slots, frames, masked = self._groups.slots(block), *self._frames(block)
        if not self.pairs:
            self._add(frames, masked, slots, out)
            return
        from ._average_kernels import Sorted
        from ._imagecube_kernels import add_pairs

        w, i0 = (self._number(block, alias) for alias in ("weights", "i0"))
        slots = np.where((w > 0) & (i0 > 0) & np.isfinite(w * i0), slots, -1)
        each = self.normalise == "each"
        given = (1 / i0 if each else np.ones(len(w)), np.ones(len(w)) if each else i0, w)
        count, *sums = (_states(one, True) for one in self._state(out))
        flat = [one for one, _ in sums]
        weights, states = flat[:-5] or [np.empty(0)] * 2, flat[-5:]
        add_pairs(frames, Sorted.by(slots, count[1]), given, count[0], tuple(weights), tuple(states))

    def _number(self, block: ModuleBlock, alias: str) -> NDArray:
        if alias not in self.inputs:
            return np.ones(len(block))
        values = np.where(block.valid(alias), block[alias], np.nan)
        return np.broadcast_to(values, len(block)).astype("f8")

    def _state(self, out: Partial) -> tuple[NDArray, ...]:
        assert self._groups is not None
        # Several axes of bins are one, without a copy.
        flat: Any = (len(self._groups), -1)
        return tuple(np.reshape(out[name], flat, copy=False) for name in self._sums)

    def merge(self, into: Partial, other: Partial) -> None:
        if not self.pairs:
            super().merge(into, other)
            return
        from ._imagecube_kernels import merge_pairs

        ours = [np.reshape(x, -1, copy=False) for x in self._state(into)]
        theirs = [np.ascontiguousarray(x).reshape(-1) for x in self._state(other)]
        # Weights, which are 1 where there are none: then their sum is the count.
        at = len(ours) > 6
        merge_pairs((ours[at], *ours[-5:]), (theirs[at], *theirs[-5:]))
        for a, b in list(zip(ours, theirs, strict=True))[:-5]:
            a += b

    def finalize(self, totals: Partial) -> None:
        from . import _imagecube_kernels

        finish: Any = _imagecube_kernels.finish
        flat = [np.reshape(x, -1, copy=False) for x in self._state(totals)]
        made = {name: np.reshape(totals[name], -1, copy=False) for name in RESULTS if name in totals}
        for start in range(0, len(flat[0]), SLAB):
            part = slice(start, start + SLAB)
            n, *sums = (x[part] for x in flat)
            if self._exact:
                divide_sums(n, *sums)
            if not self.pairs:
                finish(n, *sums, made["mean"][part], made["sem"][part])
                continue
            weights = sums[:-5] or (n.astype("f8"), n.astype("f8"))
            found = dict(zip(RESULTS, of_pairs(n, *weights, *sums[-5:]), strict=True))
            for name, into in made.items():
                into[part] = found[name]


def of_pairs(
    n: NDArray, w: NDArray, ww: NDArray, x: NDArray, z: NDArray, xx: NDArray, xz: NDArray, zz: NDArray
) -> tuple[NDArray, ...]:
    """Return the ratio of the sums of x and z, its standard error, the sum of w z, and the effective number.

    Parameters
    ----------
    n, w, ww, x, z : ndarray
        How many pairs there are, the sums of their weights and of the squares of these, and weighted means.
    xx, xz, zz : ndarray
        Weighted sums of products of deviations from these.
    """
    r = np.where(np.isfinite(xx), ratio(x, np.where(n > 0, z, 0.0)), np.nan)
    spread = np.maximum(xx - 2 * r * xz + r**2 * zz, 0)
    free = np.where(n > 1, w * (w * w - ww), 0.0)
    return r, np.sqrt(ratio(spread * ww, free)) / np.where(n > 0, z, 1.0), w * z, ratio(w * w, ww)


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
