"""Quantities: what a cube averages, divides by and weighs with, read from a table block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import sums
from .bins import numbers, refuse_arrays
from .columns import VALID
from .moments import Quantity
from .rows import PULSE, RUN, TRAIN

if TYPE_CHECKING:
    from xarray import DataArray

    from .tables import Table


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
    """

    table: Table
    flat: NDArray
    bins: int
    at: str

    @cached_property
    def trains(self) -> tuple[NDArray, NDArray]:
        """The trains that are in each bin: their numbers and their bins."""
        if self.at == TRAIN:
            return np.arange(len(self.flat)), self.flat
        chosen, of = np.empty(len(self.flat), bool), self.table.rows.of_train
        sums.once(self.flat, of, np.full(self.bins, -1), chosen)
        return of[chosen], self.flat[chosen]

    def rate(self, *names: str | None) -> str:
        """Return of what some variables together have a value each: of a train only if all do."""
        rates = {self.table.rate(name) for name in names if name is not None}
        return PULSE if PULSE in rates and self.at == PULSE else TRAIN

    def bins_of(self, rate: str) -> NDArray:
        """Return the bins of rows or trains."""
        return self.flat if rate == PULSE else self.trains[1]

    def values(self, name: str, rate: str) -> NDArray:
        """Return a number for each row or train, float64, NaN where missing."""
        column = self.table.column(name, at=rate)
        refuse_arrays(name, column)
        x = numbers(column.values, column.there)
        return x if rate == PULSE else x[self.trains[0]]

    def reader(self, name: str, rate: str) -> Callable[[slice], NDArray]:
        """Return what reads rows of a variable as (row, value) float64, NaN where missing."""
        array = self.table.columns.array(name)
        if rate == PULSE and array.ndim > 1 and self.table.rate(name) == PULSE:
            return _lazily(array, self.table.data.get(f"{name}{VALID}"))
        column = self.table.column(name, at=rate)
        at = self.trains[0] if rate == TRAIN else slice(None)

        def read(rows: slice) -> NDArray:
            own = rows if rate == PULSE else at[rows]
            return numbers(column.values[own], column.there[own]).reshape(rows.stop - rows.start, -1)

        return read


def _lazily(array: DataArray, valid: DataArray | None) -> Callable[[slice], NDArray]:
    """Return what reads rows of an array that need not fit into memory."""

    def read(rows: slice) -> NDArray:
        values = array[rows].values
        there = None if valid is None else valid[rows].values
        if there is not None:
            there = np.broadcast_to(there.reshape(there.shape + (1,) * (values.ndim - there.ndim)), values.shape)
        return numbers(values, there).reshape(len(values), -1)

    return read


@dataclass(frozen=True)
class Divided:
    """By what quantities are divided, and how they are weighted.

    Parameters
    ----------
    by : str, optional
        What each is divided by.
    how : {"ratio", "each"}
        The ratio of sums, or row by row.
    weights : str, optional
        Of rows.
    """

    by: str | None = None
    how: str = "ratio"
    weights: str | None = None

    def quantity(self, name: str, cells: Cells) -> Quantity:
        """Return what is averaged for a variable."""
        by = None if name == self.by else self.by
        rate = cells.rate(name, by, self.weights)
        x = None if by is None else cells.values(by, rate)
        w = None if self.weights is None else cells.values(self.weights, rate)
        flat, read = cells.bins_of(rate), cells.reader(name, rate)
        if w is not None:
            _refuse(self.weights, w[flat >= 0])
        width = int(np.prod(cells.table.columns.array(name).shape[1:]))
        if x is not None and self.how == "each":
            return Quantity(flat, width, _each(read, x), None, w)
        return Quantity(flat, width, read, x, w)

    def unit(self, name: str, unit: str, table: Table) -> str:
        """Return the unit of a variable that is divided."""
        by = "" if self.by in (None, name) else str(table.columns.array(str(self.by)).attrs.get("units", ""))
        return f"{unit or '1'}/{by}" if by else unit


def _each(read: Callable[[slice], NDArray], x: NDArray) -> Callable[[slice], NDArray]:
    """Return what reads values over x, NaN where x is not above 0."""

    def divided(rows: slice) -> NDArray:
        own = x[rows, None]
        return read(rows) / np.where(own > 0, own, np.nan)

    return divided


def _refuse(name: Any, weights: NDArray) -> None:
    """Refuse weights below 0, and infinite ones."""
    if wrong := int(np.count_nonzero((weights < 0) | np.isinf(weights))):
        raise ValueError(f"weights={name!r}: {wrong} of {len(weights)} rows are below 0 or infinite; expected w >= 0")


def refuse_other(table: Table, name: str) -> None:
    """Refuse what cannot be averaged.

    Raises
    ------
    KeyError, TypeError, ValueError
        What it is, and what to do.
    """
    array = table.columns.array(name)
    if table.rate(name) == RUN:
        raise ValueError(f"of={name!r} is one value of the whole run; expected a value per pulse or train")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"of={name!r} is {array.dtype}; expected numbers")
