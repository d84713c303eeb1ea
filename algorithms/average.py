"""Average: mean, variance and count of each pixel, over the run, per memory cell or per pulse."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from .litframes import usable

PER = ("run", "cell", "pulse")
SLAB = 2**20
"""Values that `finalize` works on at once."""


class Average(Algorithm):
    """Mean, variance and count of each pixel; masked pixels and NaN are neither used nor counted.

    Parameters
    ----------
    per : {"run", "cell", "pulse"}
        Over all frames, over those of each memory cell, or over those of each pulse id.
    ddof : int
        The variance is the sum of squared deviations over (count - ddof): 1 (the default) is the unbiased estimate,
        0 what `numpy.nanvar` does by default.
    img : Frames, Key or From
        What is averaged, ``Frames("image.data")`` by default.

    Outputs
    -------
    mean, variance : float64, ([cell or pulse,] module, ss, fs)
        In the unit of the data and its square; NaN where `count` is 0, or not more than `ddof` for the variance.
    count : int32, same shape
        Values used.

    Notes
    -----
    With n values x of mean m and squared deviations M2 = sum (x - m)^2, some more values change these to::

        n' = n + k,  m' = m + s / n',  M2' = M2 + q - s^2 / n',   s = sum (x - m), q = sum (x - m)^2

    and two chunks a, b merge by M2 = M2a + M2b + (mb - ma)^2 na nb / n [1]_. All in float64: means of 1e8 with a
    variance of 1 are no problem.

    Integers of 8 and 16 bits (raw data) are summed exactly, in int64, and divided once: mean and variance do not
    depend on the order of frames or chunks, for up to 2**30 frames. Other integers are treated as float64.

    An infinite value counts, and makes mean and variance NaN.

    State: 20 bytes per pixel (and cell or pulse): 21 MB for AGIPD-1M, 7.4 GB with its 352 cells, which the plan
    splits by modules.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), The American Statistician 37, 242-247.
    """

    ALG_ID = "average"
    HELP = "mean, variance and count of each pixel: over the run, per memory cell or per pulse"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--per", choices=PER, default="run", help="average over the run, per memory cell or per pulse id"
        )
        parser.add_argument("--ddof", type=int, default=1, help="variance = M2 / (count - ddof); default 1")

    def configure(self, args: argparse.Namespace) -> None:
        self.per, self.ddof = args.per, int(args.ddof)
        if self.ddof < 0:
            raise ValueError(f"average: ddof={self.ddof}; expected 0 (population) or 1 (sample)")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        _check(img, self.per)
        unit, square = img.unit, f"{img.unit}2" if img.unit else ""
        axes = self._axes(img)
        return {
            "mean": Output(per="pixel", merge="custom", unit=unit, doc="mean", **axes),
            "variance": Output(per="pixel", merge="custom", unit=square, doc="variance", **axes),
            "count": Output(per="pixel", merge="custom", dtype="i4", doc="values used", **axes),
        }

    def _axes(self, img: InputInfo) -> dict:
        """Return shape, dims and coords of the axis before the pixels, if there is one."""
        if self.per == "run":
            return {}
        ids = _ids(img, self.per)
        return {"shape": (len(ids),), "dims": (self.per,), "coords": {self.per: ids}}

    def initialize(self, info: RunInfo) -> None:
        self._ids = _ids(info["img"], self.per)
        self._exact = _exact(info["img"].dtype)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        frames, masked = self._frames(block)
        if self.per == "run":
            self._add(frames, out.count, out.mean, out.variance, masked)
            return
        ids = block.cell_ids if self.per == "cell" else block.pulse_ids
        assert ids is not None  # `outputs` refused data without them
        for slot, start, stop in stretches(np.searchsorted(self._ids, ids)):
            bad = None if masked is None else masked[start:stop]
            self._add(frames[start:stop], out.count[slot], out.mean[slot], out.variance[slot], bad)

    def _frames(self, block: ModuleBlock) -> tuple[NDArray, NDArray | None]:
        """Return frames (frame, pixel), and which pixels are masked where the kernels cannot see it: exact integers."""
        n = len(block)
        if not self._exact or not block.masked("img"):
            return np.ascontiguousarray(_plain(usable(block)).reshape(n, -1)), None
        good = block.valid("img")
        return np.where(good, _plain(block["img"]), 0).reshape(n, -1), ~good.reshape(n, -1)

    def _add(
        self, frames: NDArray, count: NDArray, mean: NDArray, squares: NDArray, masked: NDArray | None = None
    ) -> None:
        """Add frames (frame, pixel) to the state of these pixels; those that are `masked` are 0 and do not count."""
        from . import _average_kernels as kernels

        if self._exact:
            # The bits of the float64 outputs hold int64 sums until `finalize`: 0 is 0 in both.
            kernels.add_integers(frames, _flat(count), _flat(mean.view("i8")), _flat(squares.view("i8")))
            if masked is not None:
                _flat(count)[:] -= masked.sum(axis=0, dtype=np.int32)
        else:
            kernels.add_floats(frames, _flat(count), _flat(mean), _flat(squares))

    def merge(self, into: Partial, other: Partial) -> None:
        if self._exact:
            into.mean.view("i8")[...] += other.mean.view("i8")
            into.variance.view("i8")[...] += other.variance.view("i8")
            into.count[...] += other.count
            return
        from ._average_kernels import merge_floats

        theirs = [np.ascontiguousarray(other[k]).reshape(-1) for k in ("count", "mean", "variance")]
        merge_floats(_flat(into.count), _flat(into.mean), _flat(into.variance), *theirs)

    def finalize(self, totals: Partial) -> None:
        count, mean, variance = _flat(totals.count), _flat(totals.mean), _flat(totals.variance)
        for start in range(0, len(count), SLAB):
            part = slice(start, start + SLAB)
            if self._exact:
                divide_sums(count[part], mean[part], variance[part])
            _divide(count[part], mean[part], variance[part], self.ddof)


def _check(img: InputInfo, per: str) -> None:
    """Refuse data without the ids that are asked for, or that are no numbers."""
    if per != "run" and not len(_ids(img, per)):
        use = "per='run' or per='cell'" if len(img.cells) else "per='run'"
        raise PlanError(f"average: per={per!r}, but {img.name} {img.key} has no {per} ids; use {use}")
    if img.dtype.kind not in "fiub":
        raise PlanError(f"average: {img.name} {img.key} is {img.dtype}; expected real numbers")


def _ids(img: InputInfo, per: str) -> NDArray:
    return img.cells if per == "cell" else img.pulses


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
