"""What `azint` makes: sums of frames, pulses or the run, the averages that they become, and standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, ModuleBlock, Output, Partial, PlanError

if TYPE_CHECKING:
    from ._azint_kernels import Sums

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
    """

    per: str
    errors: str | None
    own: bool

    @property
    def careful(self) -> bool:
        """Whether more than pixels and their weights is summed."""
        return self.own or self.errors == "azimuthal"

    @property
    def kinds(self) -> int:
        """How many more sums there are: of y^2, y c and c^2, of the variance, or none."""
        return 3 if self.errors == "azimuthal" else int(self.own and self.errors is not None)

    def outputs(self, img: InputInfo, axes: Mapping[str, tuple[NDArray, str]]) -> dict[str, Output]:
        """Return the outputs with these axes, (bin centres, unit)."""
        if self.per == "pulse":
            if not len(img.pulses):
                raise PlanError(
                    f"azint: per='pulse', but {img.name} {img.key} has no pulse ids; use per='run'"
                )
            axes = {"pulse": (img.pulses, ""), **axes}
        named: dict[str, Any] = {
            "shape": tuple(len(values) for values, _ in axes.values()),
            "dims": tuple(axes),
            "coords": {name: (values.copy(), unit) for name, (values, unit) in axes.items()},
        }
        out = self._sums(RUN, "run", named["shape"])
        out |= {"mean": Output(unit=img.unit, doc="azimuthal average of all frames", **named)}
        out["count"] = Output(dtype="i8", doc="valid pixels of all frames", **named)
        if self.per == "frame":
            named |= {"per": "img", "dtype": "f4"}
            out |= self._sums(FRAME, "img", named["shape"])
            out["intensity"] = Output(unit=img.unit, doc="azimuthal average", **named)
        if self.errors:
            made = {"mean": out["mean"]} | ({"intensity": out["intensity"]} if self.per == "frame" else {})
            doc = f"standard error, {self.errors}"
            out |= {f"{name}_error": replace(of, doc=doc) for name, of in made.items()}
        if self.errors and self.per == "frame":
            out["pixels"] = Output(doc="valid pixels", **named | {"dtype": "i4"})
        return out

    def _sums(self, names: tuple[str, ...], per: str, shape: tuple[int, ...]) -> dict[str, Output]:
        """Return sums that are not stored; those that errors are made of have the axis of kinds last but the bins."""
        out = {name: Output(per=per, shape=shape, store=False) for name in names[:2]}
        if self.kinds:
            before = shape[:1] if self.per == "pulse" else ()
            after = (*before, self.kinds, *shape[len(before) :])
            out[names[2]] = Output(per=per, shape=after, store=False)
        return out

    def into(self, block: ModuleBlock, out: Partial, pulses: NDArray) -> Sums:
        """Return where the sums of a block go: to its frames, to their pulses, or all to the run."""
        from ._azint_kernels import Sums

        n, names, count, moments = len(block), RUN, 1, NOTHING
        rows = np.zeros(n, np.int64)
        if self.per == "frame":
            names, rows, count = FRAME, np.arange(n), n
        elif self.per == "pulse":
            rows, count = np.searchsorted(pulses, block.pulse_ids), len(pulses)  # type: ignore[arg-type]
        if self.kinds:
            moments = np.reshape(out[names[2]], (count, self.kinds, -1), copy=False)
        if self.per == "frame" and not self.errors:
            counted, pixels = np.zeros(n, np.int64), _rows(out.count, 1)
        else:
            counted, pixels = rows, _rows(out.pixels if self.per == "frame" else out.count, count)
        return Sums(_rows(out[names[0]], count), _rows(out[names[1]], count), moments, rows, pixels, counted)

    def finish_frames(self, out: Partial) -> None:
        """Make averages of frames, and add their sums to those of the run."""
        if self.per != "frame":
            return
        for of_frame, of_run in list(zip(FRAME, RUN, strict=True))[: 3 if self.kinds else 2]:
            out[of_run] = out[of_frame].sum(axis=0)
        out.intensity = ratio(out.numerator, out.denominator)
        if self.errors:
            out.count = out.pixels.sum(axis=0, dtype=np.int64)
            out.intensity_error = error(
                out.numerator, out.denominator, out.pixels, self._first(out, FRAME, 1)
            )

    def finish_run(self, totals: Partial) -> None:
        """Make averages of the run, in place."""
        sums = totals.mean.copy()
        totals.mean = ratio(sums, totals.weight)
        if self.errors:
            moments = self._first(totals, RUN, int(self.per == "pulse"))
            totals.mean_error = error(sums, totals.weight, totals.count, moments)

    def _first(self, sums: Partial, names: tuple[str, ...], axis: int) -> NDArray | None:
        """Return what errors are made of, kinds first."""
        return np.moveaxis(sums[names[2]], axis, 0) if self.kinds else None


def _rows(array: NDArray, count: int) -> NDArray:
    """Return an array as (row, bin); a view, since it is written to."""
    return array if array.ndim == 2 and len(array) == count else np.reshape(array, (count, -1), copy=False)


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Return numerator / denominator, NaN where the denominator is 0."""
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)


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
