"""Quantities: what a cube averages, divides by and weighs with, read from a table block by block."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .bins import numbers, refuse_arrays
from .columns import VALID, there_is
from .complete import Lacking, lacking
from .moments import Quantity
from .rows import PULSE, TRAIN
from .variables import Variable

if TYPE_CHECKING:
    from xarray import DataArray

    from .evaluating import Source


@dataclass(frozen=True, eq=False)
class Cells:
    """The bins of rows, and of trains: a value per train counts once in each bin that rows of its train are in.

    Parameters
    ----------
    table : Table
    flat : ndarray of int64, (row,)
        Below 0 of rows that are in no bin.
    bins : int
    at : {"pulse", "train"}
        Of what there is a row each.
    incomplete : bool
        Whether rows that are made of fewer modules than others count.
    """

    table: Source
    flat: NDArray
    bins: int
    at: str
    incomplete: bool = False
    _known: dict[tuple[str, str], NDArray] = field(default_factory=dict, init=False)
    """What all quantities are divided by, or weighted."""
    _compared: dict[tuple[str, ...], Lacking | None] = field(default_factory=dict, init=False)
    """Of which rows modules are missing, by what counts them."""

    @cached_property
    def trains(self) -> tuple[NDArray, NDArray]:
        """The trains that are in each bin: their numbers and their bins."""
        if self.at == TRAIN:
            return np.arange(len(self.flat)), self.flat
        from . import sums

        chosen, flat, of = np.empty(len(self.flat), bool), self.flat, self.table.rows.of_train
        if (of[1:] < of[:-1]).any():
            # Rows of a train are to follow each other.
            order = np.argsort(of, kind="stable")
            flat, of = flat[order], of[order]
        sums.once(flat, of, np.full(self.bins, -1), chosen)
        return of[chosen], flat[chosen]

    def rate(self, *variables: Variable | None) -> str:
        """Return of what some variables together have a value each: of a train only if all do."""
        rates = {one.rate for one in variables if one is not None}
        return PULSE if PULSE in rates and self.at == PULSE else TRAIN

    def bins_of(self, rate: str) -> NDArray:
        """Return the bins of rows or trains."""
        return self.flat if rate == PULSE else self.trains[1]

    def lacking(self, of: Variable) -> Lacking | None:
        """Return which rows in bins do not count in a variable since they are made of fewer modules than others."""
        if self.incomplete or self.at == TRAIN or of.rate != PULSE:
            return None
        return lacking(self.table, of, self._inside, self._compared)

    @cached_property
    def _inside(self) -> NDArray:
        return self.flat >= 0

    def counted(self, rate: str, *variables: Variable | None) -> NDArray:
        """Return the bins of rows or trains, -1 of rows that are made of fewer modules than others."""
        flat = self.bins_of(rate)
        short = [self.lacking(one) for one in variables if one is not None] if rate == PULSE else []
        rows = [one.rows for one in short if one is not None]
        return np.where(np.logical_or.reduce(rows), -1, flat) if rows else flat

    def values(self, of: Variable, rate: str) -> NDArray:
        """Return a number for each row or train, float64, NaN where missing."""
        key = ast.dump(of.node), rate
        if key not in self._known:
            column = of.column(rate)
            refuse_arrays(of.name, column)
            x = numbers(column.values, column.there)
            self._known[key] = x if rate == PULSE else x[self.trains[0]]
        return self._known[key]

    def reader(self, of: Variable, rate: str) -> Callable[[slice], NDArray]:
        """Return what reads rows of a variable as (row, value) float64, NaN where missing."""
        if of.array is not None and of.array.ndim > 1 and rate == of.rate == PULSE:
            return _lazily(of.array, there_is(self.table.data, f"{of.array.name}{VALID}"))
        column = of.column(rate)
        at = self.trains[0] if rate == TRAIN else None

        def read(rows: slice) -> NDArray:
            own = rows if at is None else at[rows]
            return numbers(column.values[own], column.there[own]).reshape(rows.stop - rows.start, -1)

        return read


def _lazily(array: DataArray, valid: DataArray | None) -> Callable[[slice], NDArray]:
    """Return what reads rows of an array that need not fit into memory."""

    def read(rows: slice) -> NDArray:
        values = array[rows].values
        there = None if valid is None else valid[rows].values
        if there is not None:
            there = np.broadcast_to(
                there.reshape(there.shape + (1,) * (values.ndim - there.ndim)), values.shape
            )
        return numbers(values, there).reshape(len(values), -1)

    return read


@dataclass(frozen=True)
class Divided:
    """By what quantities are divided, and how they are weighted.

    Parameters
    ----------
    by : Variable, optional
        What each is divided by, but for itself.
    how : {"ratio", "each"}
        The ratio of sums, or row by row.
    weights : Variable, optional
        Of rows.
    """

    by: Variable | None = None
    how: str = "ratio"
    weights: Variable | None = None

    def by_for(self, of: Variable) -> Variable | None:
        """Return what a variable is divided by."""
        return None if self.by is None or ast.dump(of.node) == ast.dump(self.by.node) else self.by

    def rate(self, of: Variable, cells: Cells) -> str:
        """Return of what there is a value each of a variable that is divided and weighted."""
        return cells.rate(of, self.by_for(of), self.weights)

    def numbers(self, cells: Cells) -> tuple[NDArray | None, NDArray | None]:
        """Return what images are divided by and their weights, of each row."""
        given = (self.by, self.weights)
        x, w = (None if one is None else _whole(cells, one) for one in given)
        return x, w

    def refuse_weights(self, cells: Cells) -> None:
        """Refuse weights below 0, and infinite ones."""
        if self.weights is None:
            return
        w = cells.values(self.weights, cells.at)[cells.flat >= 0]
        if wrong := int(np.count_nonzero((w < 0) | np.isinf(w))):
            raise ValueError(
                f"weights={self.weights.name!r}: {wrong} of {len(w)} rows are below 0 or infinite; expected w >= 0"
            )

    def quantity(self, of: Variable, cells: Cells) -> Quantity:
        """Return what is averaged for a variable."""
        by, rate = self.by_for(of), self.rate(of, cells)
        x, w = (None if one is None else cells.values(one, rate) for one in (by, self.weights))
        flat, read = cells.counted(rate, of, by, self.weights), cells.reader(of, rate)
        if x is not None and self.how == "each":
            return Quantity(flat, of.width, _each(read, x), None, w)
        return Quantity(flat, of.width, read, x, w)

    def left_out(self, cells: Cells) -> list[str]:
        """Return how many rows in bins do not count since they have nothing to be divided by, or no weight."""
        if self.by is None and self.weights is None:
            return []
        said, rate = [], cells.rate(self.by, self.weights)
        inside = cells.bins_of(rate) >= 0
        for one, what in ((self.by, "missing or not above 0"), (self.weights, "without a weight, or with 0")):
            x = None if one is None else cells.values(one, rate)[inside]
            if (
                one is not None
                and x is not None
                and (out := int(np.count_nonzero(~(np.isfinite(x) & (x > 0)))))
            ):
                said.append(f"{one.name}: {out} of {len(x)} in bins are {what}, and do not count")
        return said

    def unit(self, of: Variable) -> str:
        """Return the unit of a variable that is divided."""
        by = self.by_for(of)
        units = [one.attrs.get("units", "") for one in (of, by) if one is not None]
        return f"{units[0] or '1'}/{units[1]}" if units[1:] and units[1] else units[0]


def _whole(cells: Cells, one: Variable) -> NDArray:
    """Return what images are divided by, or their weights, NaN in rows that do not count in it."""
    values, short = cells.values(one, cells.at), cells.lacking(one)
    return values if short is None else np.where(short.rows, np.nan, values)


def _each(read: Callable[[slice], NDArray], x: NDArray) -> Callable[[slice], NDArray]:
    """Return what reads values over x, NaN where x is not above 0."""

    def divided(rows: slice) -> NDArray:
        own = x[rows, None]
        return read(rows) / np.where(own > 0, own, np.nan)

    return divided
