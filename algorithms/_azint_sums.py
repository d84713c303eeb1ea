"""What `azint` makes: sums of frames, groups of them or the run, the averages that they become, standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, Output, Partial

from ._groups import ungrouped
from ._moments import add_rows, ratio

if TYPE_CHECKING:
    from ._azint_kernels import Sums
    from ._groups import Groups

PER = ("frame", "pulse", "run")
ERRORS = ("poisson", "azimuthal")
FRAME, RUN = ("numerator", "denominator", "moments"), ("mean", "weight", "run_moments")
"""Sums of pixels, of their weights, and what else errors are made of."""

NOTHING = np.zeros((1, 0, 1))
"""Where no errors are made of sums of their own."""
ROUNDING = 1e-12
"""Part of the sum of squares that a variance may be by rounding alone."""


@dataclass(frozen=True)
class Shares:
    """Sums and results by name.

    Parameters
    ----------
    per : {"frame", "pulse", "run"}
    errors : {"poisson", "azimuthal"} or None
    own : bool
        Whether pixels have darks or weights, so that their sum is not the variance of counts.
    grouped : bool
        Whether there are groups of frames in place of the run.
    """

    per: str
    errors: str | None
    own: bool
    grouped: bool = False

    @property
    def careful(self) -> bool:
        """Whether more than pixels and their weights is summed."""
        return self.own or self.errors == "azimuthal"

    @property
    def kinds(self) -> int:
        """How many more sums there are: of y^2, y c and c^2, of the variance, or none."""
        return 3 if self.errors == "azimuthal" else int(self.own and self.errors is not None)

    def outputs(
        self, img: InputInfo, axes: Mapping[str, tuple[NDArray, str]], groups: Groups | None
    ) -> dict[str, Output]:
        """Return the outputs with these axes, (bin centres, unit); those of the run of each group, if there are any."""
        named: dict[str, Any] = {
            "shape": tuple(len(values) for values, _ in axes.values()),
            "dims": tuple(axes),
            "coords": {name: (values.copy(), unit) for name, (values, unit) in axes.items()},
        }
        whole = named if groups is None else groups.axes(**named)
        out = self._sums(RUN, "run", named["shape"], whole["shape"][: -len(axes)])
        out |= {"mean": Output(unit=img.unit, doc="azimuthal average of all frames", **whole)}
        out["count"] = Output(dtype="i8", doc="valid pixels of all frames", **whole)
        if self.errors:
            out["mean_error"] = replace(out["mean"], doc=f"standard error, {self.errors}")
        if groups is not None and not groups.ids:
            out |= self._of_groups(img, whole)
        return out | (self._of_frames(img, named) if self.per == "frame" else {})

    def _of_frames(self, img: InputInfo, named: dict[str, Any]) -> dict[str, Output]:
        """Return the outputs of each frame."""
        shape, named = named["shape"], named | {"per": "img", "dtype": "f4"}
        out = self._sums(FRAME, "img", shape)
        out["intensity"] = Output(unit=img.unit, doc="azimuthal average", **named)
        if self.errors:
            out["intensity_error"] = replace(out["intensity"], doc=f"standard error, {self.errors}")
        if self.errors or self.grouped:
            store = self.errors is not None
            out["pixels"] = Output(doc="valid pixels", store=store, **named | {"dtype": "i4"})
        return out

    def _of_groups(self, img: InputInfo, whole: dict[str, Any]) -> dict[str, Output]:
        """Return what there is of groups beside sums: how frames differ, where they are looked at one by one."""
        out, custom = {"ungrouped": ungrouped()}, {"merge": "custom", **whole}
        if self.per != "frame":
            return out
        square = f"{img.unit}2" if img.unit else ""
        return out | {
            "slot": Output(per="img", dtype="i4", merge="max", store=False),
            "frames": Output(dtype="i8", doc="frames with a value", **custom),
            "frame_mean": Output(store=False, **custom),
            "variance": Output(unit=square, doc="variance of the intensity of frames", **custom),
            "error": Output(unit=img.unit, doc="standard error of the mean of frames", **custom),
        }

    def _sums(
        self, names: tuple[str, ...], per: str, shape: tuple[int, ...], before: tuple[int, ...] = ()
    ) -> dict[str, Output]:
        """Return sums that are not stored; those that errors are made of have the axis of kinds before the bins."""
        out = {name: Output(per=per, shape=(*before, *shape), store=False) for name in names[:2]}
        if self.kinds:
            out[names[2]] = Output(per=per, shape=(*before, self.kinds, *shape), store=False)
        return out

    def into(self, n: int, out: Partial, slots: NDArray | None) -> Sums:
        """Return where the sums of so many frames go: to themselves, to their groups, or all to the run."""
        from ._azint_kernels import Sums

        names, count, moments = RUN, 1, NOTHING
        rows = np.zeros(n, np.int64)
        if self.per == "frame":
            names, rows, count = FRAME, np.arange(n), n
        elif slots is not None:
            rows, count = slots, len(out.count)
        if self.kinds:
            moments = np.reshape(out[names[2]], (count, self.kinds, -1), copy=False)
        if self.per == "frame" and not (self.errors or self.grouped):
            counted, pixels = np.zeros(n, np.int64), _rows(out.count, 1)
        else:
            counted, pixels = rows, _rows(out.pixels if self.per == "frame" else out.count, count)
        return Sums(_rows(out[names[0]], count), _rows(out[names[1]], count), moments, rows, pixels, counted)

    def finish_frames(self, out: Partial) -> None:
        """Make averages of frames, and add their sums to those of the run, or of their groups."""
        if self.per != "frame":
            return
        out.intensity = ratio(out.numerator, out.denominator)
        if self.errors:
            moments = self._first(out, FRAME, 1)
            out.intensity_error = error(out.numerator, out.denominator, out.pixels, moments)
        slots = out.slot if self.grouped else None
        for of_frame, of_run in list(zip(FRAME, RUN, strict=True))[: 3 if self.kinds else 2]:
            _add_up(out[of_frame], slots, out[of_run])
        if self.errors or self.grouped:
            _add_up(out.pixels, slots, out.count)
        if slots is not None:
            add_rows(slots, ratio(out.numerator, out.denominator), *of_frames(out))

    def finish_run(self, totals: Partial) -> None:
        """Make averages of the run, in place."""
        sums = totals.mean.copy()
        totals.mean = ratio(sums, totals.weight)
        if self.errors:
            moments = self._first(totals, RUN, int(self.grouped))
            totals.mean_error = error(sums, totals.weight, totals.count, moments)

    def _first(self, sums: Partial, names: tuple[str, ...], axis: int) -> NDArray | None:
        """Return what errors are made of, kinds first."""
        return np.moveaxis(sums[names[2]], axis, 0) if self.kinds else None


def of_frames(out: Partial) -> tuple[NDArray, NDArray, NDArray]:
    """Return count, mean and squared deviations of the frames of groups."""
    return out.frames, out.frame_mean, out.variance


def _add_up(rows: NDArray, slots: NDArray | None, into: NDArray) -> None:
    """Add frames to the run, or to their groups."""
    if slots is None:
        into += rows.sum(axis=0, dtype=into.dtype)
        return
    for slot in np.unique(slots[slots >= 0]):
        into[slot] += rows[slots == slot].sum(axis=0, dtype=into.dtype)


def _rows(array: NDArray, count: int) -> NDArray:
    """Return an array as (row, bin); a view, since it is written to."""
    return array if array.ndim == 2 and len(array) == count else np.reshape(array, (count, -1), copy=False)


def error(numerator: NDArray, denominator: NDArray, n: NDArray, moments: NDArray | None) -> NDArray:
    """Return the standard error of numerator / denominator.

    Parameters
    ----------
    numerator, denominator, n : ndarray
        Sums of pixels and of their weights, and the number of pixels.
    moments : ndarray, (kind,) + their shape, or None
        The variance of the numerator, which is the numerator itself by default; or the sums of y^2, y c and c^2.
    """
    if moments is not None and len(moments) == 3:
        variance = scatter(n, ratio(numerator, denominator), *moments)
    else:
        variance = numerator if moments is None else moments[0]
        variance = np.where(variance > 0, variance, np.nan)
    return ratio(np.sqrt(variance), denominator)


def scatter(n: NDArray, of: NDArray, squares: NDArray, products: NDArray, norms: NDArray) -> NDArray:
    """Return the variance of sum y where sum y / sum x is known: n / (n - 1) sum (y - `of` x)^2.

    NaN where there are fewer than two, or all are in the same ratio as far as sums in float64 can tell.

    Parameters
    ----------
    n : ndarray
        How many y and x there are.
    of : ndarray
        The ratio.
    squares, products, norms : ndarray
        Sums of y^2, x y and x^2.

    References
    ----------
    W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    """
    variance = squares - 2 * of * products + of**2 * norms
    variance = np.where((n > 1) & (variance > ROUNDING * squares), variance, np.nan)
    return np.asarray(variance * n / np.maximum(n - 1, 1))
