"""Average: mean, variance and count of each pixel, over the run, per memory cell, pulse or group of frames."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from .litframes import usable

PER = ("run", "cell", "pulse")
STATE = 24
"""Bytes per pixel and group."""
SLAB = 2**20
"""Values that `finalize` works on at once."""


class Average(Algorithm):
    """Mean, variance and count of each pixel; masked pixels and NaN are neither used nor counted.

    Parameters
    ----------
    per : {"run", "cell", "pulse"}
        Over all frames, over those of each memory cell, or over those of each pulse id: a short form of `by`.
    ddof : int
        The variance is the sum of squared deviations over (count - ddof): 1 (the default) is the unbiased estimate,
        0 what `numpy.nanvar` does by default.
    groups : list, optional
        Values of `by` that make a group each, in this order; one that no frame has is empty. By default all, sorted.
    img : Frames, Key or From
        What is averaged, ``Frames("image.data")`` by default.
    by : Labels, DataArray, path or Result, optional
        A label of each frame or train, pumped or not, the step of a motor: over the frames of each of its values.

    Outputs
    -------
    mean, variance : float64, ([cell, pulse or group,] module, ss, fs)
        In the unit of the data and its square; NaN where `count` is 0, or not more than `ddof` for the variance.
    count : int32, same shape
        Values used.
    error : float32, same shape
        Standard error of the mean, sqrt(variance / count), with ddof 1; with `by`.
    ungrouped : bool, (frame,)
        Frames of no group: without a label, or of one that `groups` leaves out; with `by`.

    With `by`, the axis of groups has the name of the label ("group" if it has none) and its values as coordinate.

    Notes
    -----
    With n values x of mean m and squared deviations M2 = sum (x - m)^2, some more values change these to::

        n' = n + k,  m' = m + s / n',  M2' = M2 + q - s^2 / n',   s = sum (x - m), q = sum (x - m)^2

    and two chunks a, b merge by M2 = M2a + M2b + (mb - ma)^2 na nb / n [1]_. All in float64: means of 1e8 with a
    variance of 1 are no problem.

    Integers of 8 and 16 bits (raw data) are summed exactly, in int64, and divided once: mean and variance do not
    depend on the order of frames or chunks, for up to 2**30 frames. Other integers are treated as float64.

    An infinite value counts, and makes mean and variance NaN.

    State: 20 bytes per pixel (and cell, pulse), 24 of each group: 21 MB for AGIPD-1M, 7.4 GB with its 352 cells,
    which the plan splits by modules.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), The American Statistician 37, 242-247.
    """

    ALG_ID = "average"
    HELP = "mean, variance and count of each pixel: over the run, per memory cell or per pulse"
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--per", choices=PER, default="run", help="average over the run, per memory cell or per pulse id"
        )
        groups.add_arguments(parser)
        parser.add_argument("--ddof", type=int, default=1, help="variance = M2 / (count - ddof); default 1")

    def configure(self, args: argparse.Namespace) -> None:
        self.per, self.ddof, self.groups = args.per, int(args.ddof), args.groups
        self.inputs = groups.joined(self.inputs, args.groups)
        if self.ddof < 0:
            raise ValueError(f"average: ddof={self.ddof}; expected 0 (population) or 1 (sample)")
        if self.per != "run" and "by" in self.inputs:
            raise ValueError(f"average: per={self.per!r} and by= were given; expected one of them")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if img.dtype.kind not in "fiub":
            raise PlanError(f"average: {img.name} {img.key} is {img.dtype}; expected real numbers")
        unit, square = img.unit, f"{img.unit}2" if img.unit else ""
        found = self._of(info)
        axes: dict[str, Any] = {"per": "pixel", "merge": "custom", **(found.axes() if found else {})}
        error = Output(dtype="f4", unit=unit, doc="standard error of the mean", **axes)
        return {
            "mean": Output(unit=unit, doc="mean", **axes),
            "variance": Output(unit=square, doc="variance", **axes),
            "count": Output(dtype="i4", doc="values used", **axes),
            **({"error": error, "ungrouped": groups.ungrouped()} if "by" in self.inputs else {}),
        }

    def _of(self, info: RunInfo) -> groups.Groups | None:
        """Return the groups of frames, if there are any."""
        found = groups.of(self, info, STATE * int(np.prod(info["img"].shape)))
        return found if self.per == "run" else groups.of_ids(self.name, info["img"], self.per)

    def initialize(self, info: RunInfo) -> None:
        self._groups = self._of(info)
        self._exact = _exact(info["img"].dtype)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        slots = np.zeros(len(block), np.int64)
        if self._groups is not None:
            slots = self._groups.slots(block)
        if "ungrouped" in out:
            out.ungrouped |= slots < 0
        self._add(*self._frames(block), slots, out)

    def _frames(self, block: ModuleBlock) -> tuple[NDArray, NDArray | None]:
        """Return frames (frame, pixel), and which pixels are masked where the kernels cannot see it: exact integers."""
        n = len(block)
        if not self._exact or not block.masked("img"):
            return np.ascontiguousarray(_plain(usable(block)).reshape(n, -1)), None
        good = block.valid("img")
        return np.where(good, _plain(block["img"]), 0).reshape(n, -1), ~good.reshape(n, -1)

    def _add(self, frames: NDArray, masked: NDArray | None, slots: NDArray, out: Partial) -> None:
        """Add frames (frame, pixel) to the states of their groups; pixels that are `masked` are 0 and do not count."""
        from . import _average_kernels as kernels

        count, *sums = self._state(out)
        groups, step = _states(count, self._groups is not None)
        into = kernels.Sorted.by(slots, step)
        states = [_states(one, self._groups is not None)[0] for one in sums]
        if not self._exact:
            kernels.add_floats(frames, into, groups, *states)
            return
        # The bits of the float64 outputs hold int64 sums until `finalize`: 0 is 0 in both.
        kernels.add_integers(frames, into, groups, *(x.view("i8") for x in states))
        if masked is not None:
            for slot in into.slots:
                groups[slot * step :][: frames.shape[1]] -= masked[slots == slot].sum(axis=0, dtype=np.int32)

    def _state(self, out: Partial) -> tuple[NDArray, ...]:
        """Return count, mean and squared deviations, or the sums of exact integers, as they add up."""
        return out.count, out.mean, out.variance

    def merge(self, into: Partial, other: Partial) -> None:
        ours, theirs = self._state(into), self._state(other)
        if self._exact:
            for a, b in zip(ours, theirs, strict=True):
                a.view(f"i{a.itemsize}")[...] += b.view(f"i{b.itemsize}")
            return
        from ._average_kernels import merge_floats

        merge_floats(*map(_flat, ours), *(np.ascontiguousarray(x).reshape(-1) for x in theirs))

    def finalize(self, totals: Partial) -> None:
        count, mean, variance = _flat(totals.count), _flat(totals.mean), _flat(totals.variance)
        for start in range(0, len(count), SLAB):
            part = slice(start, start + SLAB)
            if self._exact:
                divide_sums(count[part], mean[part], variance[part])
            if "error" in totals:
                _flat(totals.error)[part] = _error(count[part], variance[part])
            _divide(count[part], mean[part], variance[part], self.ddof)


def _exact(dtype: np.dtype) -> bool:
    """Return whether sums of squares of this dtype are exact in int64."""
    return dtype.kind in "iub" and dtype.itemsize <= 2


def _plain(img: NDArray) -> NDArray:
    """Return frames as a dtype that the kernels know, without a copy for the usual ones."""
    if img.dtype.kind == "b":
        return img.view("u1")
    if img.dtype.kind in "iu" and img.dtype.itemsize > 2:
        return img.astype("f8")
    return img.astype("f4") if img.dtype == np.float16 else img


def stretches(slots: NDArray) -> Iterator[tuple[int, int, int]]:
    """Yield (slot, start, stop) of neighbouring frames of the same slot."""
    edges = [0, *(np.flatnonzero(np.diff(slots)) + 1), len(slots)]
    yield from ((int(slots[a]), a, b) for a, b in zip(edges[:-1], edges[1:], strict=True))


def _states(array: NDArray, grouped: bool) -> tuple[NDArray, int]:
    """Return the states of a module's pixels as one axis, and the steps from a group to the next: a view.

    Those of several groups are not contiguous where there are several modules: in between are the others'.
    """
    if not grouped:
        return _flat(array), 0
    step = array.strides[0] // array.itemsize
    size = step * (len(array) - 1) + array[0].size
    return np.lib.stride_tricks.as_strided(array, (size,), (array.itemsize,)), step


def _flat(array: NDArray) -> NDArray:
    """Return a contiguous array as one axis; a view, since it is written to."""
    return np.reshape(array, -1, copy=False)


def divide_sums(count: NDArray, mean: NDArray, squares: NDArray) -> None:
    """Turn int64 sums and sums of squares into means and squared deviations, in place.

    With the integer m next to the mean, sum (x - m)^2 is an exact integer and close to the squared deviations:
    nothing cancels, each is rounded once.
    """
    n, total, square = np.maximum(count, 1).astype("i8"), mean.view("i8").copy(), squares.view("i8").copy()
    near = (2 * total + n) // (2 * n)
    rest = total - n * near
    about = square - near * (n * near + 2 * rest)
    mean[...] = total / n
    squares[...] = about - rest.astype(np.longdouble) ** 2 / n


def _divide(count: NDArray, mean: NDArray, squares: NDArray, ddof: int) -> None:
    """Turn squared deviations into the variance, in place; NaN where there is none."""
    free = count - ddof
    broken = ~np.isfinite(squares)
    squares /= np.maximum(free, 1)
    squares[(free < 1) | broken] = np.nan
    mean[(count < 1) | broken] = np.nan


def _error(count: NDArray, squares: NDArray) -> NDArray:
    """Return the standard error of the mean, of squared deviations; NaN of fewer than two values."""
    free = count * (count - 1.0)
    return np.sqrt(np.where(np.isfinite(squares) & (free > 0), squares, np.nan) / np.maximum(free, 1))
