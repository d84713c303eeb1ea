"""Bins: the axes of a cube that follow from how a user cuts the values of a table, and the bin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .specs import MOST, ROUNDING, Bins, by_name, increase, parse
from .variables import Variable

if TYPE_CHECKING:
    from ..declare.condition import Column
    from .evaluating import Source

__all__ = ["MISSING", "OVER", "UNDER", "Axis", "Bins", "axes", "by_name", "parse"]

UNDER, OVER, MISSING = -1, -2, -3
"""Where values are that are in no bin."""


@dataclass(frozen=True, eq=False)
class Axis:
    """The bins of one variable, in order: half-open, the last one closed; those of positions hold both ends."""

    name: str
    lo: NDArray
    """Lower edge of each bin, or the least of the values at a position."""
    hi: NDArray
    """Upper edge, or the largest value."""
    centres: NDArray
    """Middles, or mean positions."""
    spec: Bins
    unit: str = ""
    doc: str = ""
    said: str = ""
    """What is special about it, in words; or nothing."""
    start: float = 0.0
    """Where the period of a circular variable begins."""

    def __len__(self) -> int:
        return len(self.lo)

    @property
    def discrete(self) -> bool:
        """Whether bins are positions, with nothing in between."""
        return self.spec.kind == "unique"

    def index(self, values: NDArray, there: NDArray | None = None) -> NDArray:
        """Return the bin of each value, (row,) int32: below 0 of what is in none, see `UNDER`, `OVER`, `MISSING`.

        What is between two positions is `OVER` the lower one.
        """
        from . import sums

        out = np.empty(len(values), np.int32)
        x = _fold(numbers(values, there), self.start, self.spec.period)
        lo, hi = (self._in_precision_of(values.dtype, edges) for edges in (self.lo, self.hi))
        sums.find(still(x), still(lo), still(hi), self.discrete, out)
        return out

    def _in_precision_of(self, dtype: np.dtype, edges: NDArray) -> NDArray:
        """Return edges that somebody gave as values of a type are: 0.9 is in the bin from 0.9 also as float32."""
        given = self.spec.kind == "edges" or bool(self.spec.numbers and self.spec.kind == "equal")
        if not given or self.spec.period or dtype.kind != "f" or dtype.itemsize >= 8:
            return edges
        return edges.astype(dtype).astype(np.float64)


def axes(table: Source, bins: Mapping[str, Any], mask: NDArray, at: str = "pulse") -> list[Axis]:
    """Return the axes of a cube.

    Parameters
    ----------
    bins : mapping of str to Bins, or what `Bins.of` takes
        By variable.
    mask : ndarray of bool, (row,)
        Which rows are used: bins follow from their values.
    at : {"pulse", "train"}
        Of what there is a row each.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such variable, it is no number per row, or bins cannot be made.
    """
    return [
        _Values(Variable.of(table, name), Bins.of(given), mask, at).axis() for name, given in bins.items()
    ]


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of a variable that bins are made for."""

    variable: Variable
    spec: Bins
    mask: NDArray
    at: str

    def axis(self) -> Axis:
        """Return the bins."""
        refuse_arrays(self.name, self.column)
        attrs = self.variable.attrs
        made = getattr(self, f"_{self.spec.kind}")()
        return replace(made, unit=attrs.get("units", ""), doc=attrs.get("long_name", ""))

    @property
    def name(self) -> str:
        """Of the axis."""
        return self.variable.name

    @cached_property
    def column(self) -> Column:
        """Value of each row."""
        return self.variable.column(self.at)

    def _chosen(self) -> NDArray:
        """Return the values of the rows that are used."""
        x = numbers(self.column.values, self.column.there)[self.mask]
        x = x[np.isfinite(x)]
        if not len(x):
            raise ValueError(
                f"bins: {self.name}: none of the {int(self.mask.sum())} rows that are selected has a value; give "
                "edges, or select others"
            )
        return x

    def _edges(self, edges: Any = None, said: str = "") -> Axis:
        edges = np.asarray(self.spec.numbers if edges is None else edges, float)
        lo, hi = edges[:-1], edges[1:]
        return Axis(self.name, lo, hi, lo + (hi - lo) / 2, self.spec, said=said, start=float(lo[0]))

    def _equal(self) -> Axis:
        low, high = self.spec.numbers or (0.0, self.spec.period)
        if high is None:
            low, high = np.min(x := self._chosen()), np.max(x)
        if low == high:
            return self._constant(low)
        edges = np.linspace(low, high, self.spec.count + 1)
        if not increase(edges):
            raise ValueError(
                f"bins: {self.name}: {self.spec.count} bins from {low:g} to {high:g} are narrower than numbers are"
            )
        return self._edges(edges)

    def _quantiles(self) -> Axis:
        x = _fold(self._chosen(), 0.0, self.spec.period)
        edges = np.unique(np.quantile(x, np.linspace(0, 1, self.spec.count + 1)))
        if len(edges) == 1:
            return self._constant(edges[0])
        fewer = f"{len(edges) - 1} bins in place of {self.spec.count}, as many values are equal"
        return self._edges(edges, fewer if len(edges) <= self.spec.count else "")

    def _constant(self, value: float) -> Axis:
        """Return one bin around the only value: 1 wide for whole numbers, otherwise a hundredth of the value."""
        half = 0.5 if self.column.values.dtype.kind in "biu" or not value else abs(value) / 200
        made = self._edges([value - half, value + half], f"{value:g} in all rows that are selected: one bin")
        return replace(made, centres=np.array([float(value)]))

    def _unique(self) -> Axis:
        start, x = 0.0, self._chosen()
        if self.spec.period:
            start = _largest_gap(np.unique(_fold(x, 0.0, self.spec.period)), self.spec.period)
        x, times = np.unique(_fold(x, start, self.spec.period), return_counts=True)
        reach = max(self.spec.numbers[0], ROUNDING * float(np.max(np.abs(x))))
        first = _firsts(x, reach)
        if len(first) > MOST:
            raise ValueError(
                f"bins: {self.name} has more than {MOST} positions that are over {reach:g} apart; give a tolerance, "
                "such as unique(0.01), a number of bins, or edges"
            )
        lo, counts = x[first], np.add.reduceat(times, first)
        offset = x - np.repeat(lo, np.diff(np.append(first, len(x))))
        mean = lo + np.add.reduceat(offset * times, first) / counts
        return Axis(self.name, lo, x[np.append(first[1:], len(x)) - 1], mean, self.spec, start=start)


def refuse_arrays(name: str, column: Column) -> None:
    """Refuse what is no number per row.

    Raises
    ------
    TypeError
        What it is, and what to do.
    """
    if column.values.dtype.kind not in "biuf":
        raise TypeError(f"{name} is {column.values.dtype}; expected numbers (others may be in where=)")
    if column.values.ndim != 1:
        raise TypeError(
            f"{name} has {column.values.shape[1:]} values in each row; expected one: add one of them, or their sum, "
            "as a variable"
        )


def _largest_gap(x: NDArray, period: float) -> float:
    """Return the middle of the largest gap between values on a circle: no position is there."""
    gaps = np.append(x[0] + period - x[-1], np.diff(x))
    widest = int(np.argmax(gaps))
    return float(x[widest] - gaps[widest] / 2)


def _firsts(x: NDArray, reach: float) -> NDArray:
    """Return where each position begins, in sorted values."""
    starts = np.append(0, np.flatnonzero(np.diff(x) > reach) + 1)
    if np.all(x[np.append(starts[1:], len(x)) - 1] - x[starts] <= reach):
        return starts
    # Neighbours are near each other all along: one position after the other.
    first, after = [0], 0
    while len(first) <= MOST:
        after = int(np.searchsorted(x, x[first[-1]] + reach, side="right"))
        if after == len(x):
            break
        first.append(after)
    return np.array(first)


def numbers(values: NDArray, there: NDArray | None = None) -> NDArray:
    """Return values as float64, NaN where missing; the same array if it is that."""
    x = values.astype(np.float64, copy=False)
    return x if there is None or there.all() else np.where(there, x, np.nan)


def still(values: NDArray) -> NDArray:
    """Return values as kernels take them, contiguous and not to be written: others are compiled for once more."""
    values = np.ascontiguousarray(values).view()
    values.flags.writeable = False
    return values


def _fold(values: NDArray, start: float, period: float | None) -> NDArray:
    """Return values of a circular variable in the period from `start`; others as they are."""
    if not period:
        return values
    inside = (values >= start) & (values < start + period)
    # What is infinite is nowhere on a circle.
    with np.errstate(invalid="ignore"):
        return np.where(inside, values, start + np.mod(values - start, period))
