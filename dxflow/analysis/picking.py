"""Picking: which rows of a table are the best of their bins, by a variable, their order or chance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..errors.kinds import shown
from .aligned import aligned
from .bins import Bins, parse
from .complete import lacking
from .evaluating import spread
from .picked import Picks, made
from .rows import PULSE, RUN
from .values import Value
from .variables import Variable

RULES = ("largest", "smallest", "first")
MOST = 10**8
"""Rows that can be picked."""
WITHOUT = ("first", "random")
"""Rules that look at no variable."""


@dataclass(frozen=True)
class Rule:
    """Which rows of a bin are better than others.

    Parameters
    ----------
    name : {"largest", "smallest", "first", "nearest", "random"}
    to : float, optional
        Of "nearest": the value; or `quantile`, that of the rows of each bin.
    seed : int
        Of "random".
    """

    name: str
    to: float | None = None
    quantile: float | None = None
    seed: int = 0

    def __str__(self) -> str:
        if self.name == "nearest":
            return f"nearest({f'{self.to!r}' if self.quantile is None else f'quantile={self.quantile!r}'})"
        return f"random({self.seed})" if self.name == "random" else self.name


def nearest(value: float | None = None, *, quantile: float | None = None) -> Rule:
    """Return the rule that rows are the better the nearer they are to a value, or to a quantile of their bin.

    Parameters
    ----------
    value : float, optional
        In the unit of the variable.
    quantile : float, optional
        From 0 to 1, of the values of each bin; 0.5 is the median.
    """
    if (value is None) == (quantile is None):
        raise ValueError("nearest: expected a value or quantile=, one of them")
    if quantile is not None and not 0 <= quantile <= 1:
        raise ValueError(f"nearest: quantile={quantile!r}; expected a number from 0 to 1")
    if value is not None and not np.isfinite(value):
        raise ValueError(f"nearest: {value!r}; expected a number")
    return Rule("nearest", value, quantile)


def random(seed: int) -> Rule:
    """Return the rule that chance decides: the same for the same seed, train and pulse, whatever else there is."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"random: seed={shown(seed)}; expected a whole number from 0")
    return Rule("random", seed=int(seed))


def pick(
    table: Any, k: int = 1, by: Any = None, of: Any = None, rule: str | Rule = "largest", where: Any = None
) -> Picks:
    """Return the k best rows of each bin; see `Table.pick`."""
    rule, k = _rule(rule), _number(k)
    if PULSE not in table.data.dims:
        raise ValueError("pick: this table has values per train only; expected rows of pulses or frames")
    column, attrs = _column(table, of, rule)
    keep = table.mask(where)
    if column is not None:
        keep = keep & column.there
    if isinstance(of, (str, Value)) and (short := lacking(table, Variable.of(table, of), keep)):
        without = f"where='modules_used == {short.most}' leaves them out"
        warnings.warn(f"pick: {short} and are compared as they are: {without}", stacklevel=3)
    places = _places(table, by, keep)
    if places.size * k > MOST:
        raise ValueError(f"pick: k={k} of each of {places.size} bins; expected up to {MOST:.0e} rows in all")
    bins = np.where(keep, np.maximum(places.index, -1), -1)
    ids = [table.rows.train_ids, table.rows.pulse_ids]
    keys = _keys(rule, column, bins, places.size, ids)
    rows, count = _best(bins, keys, k, places.size, ids)
    about = {
        "rule": str(rule),
        "of": _name(of),
        "by": _said(by),
        "where": "" if where is None else str(where),
    } | table.selections.as_attrs(where)
    return made(table, rows, count, places, column, about, attrs)


def _best(bins: NDArray, keys: NDArray, k: int, number: int, ids: list[NDArray]) -> tuple[NDArray, NDArray]:
    """Return the best rows of each bin, and how many it has; of equal ones, those of lower train and pulse ids."""
    from .topk import best

    trains, pulses = ids
    falls = (trains[1:] < trains[:-1]) | ((trains[1:] == trains[:-1]) & (pulses[1:] < pulses[:-1]))
    if not falls.any():
        return best(bins, keys, k, number)
    order = np.lexsort((pulses, trains))
    rows, count = best(bins[order], keys[order], k, number)
    return np.where(rows >= 0, order[rows], -1), count


@dataclass(frozen=True)
class Places:
    """The bins of a table's rows.

    Parameters
    ----------
    index : ndarray of int64, (row,)
        Number of each row's bin, below 0 of rows in none.
    dims : tuple of str
    shape : tuple of int
    coords : mapping
        Of the dataset of what is in bins.
    """

    index: NDArray
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    coords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of bins."""
        return math.prod(self.shape)


def _places(table: Any, by: Any, keep: NDArray) -> Places:
    """Return the bins that `by` means."""
    if by is None:
        return Places(np.zeros(len(keep), np.int64))
    if isinstance(by, (str, Value, Mapping)):
        return _of_variables(table, by, keep)
    wrong = (
        f"pick: by={shown(by)}: expected a variable, bins by variable, or numbers of bins, one for each of "
        f"{len(keep)} rows"
    )
    try:
        column, rate = aligned("pick: by=", by, table.rows)
    except ValueError as e:
        raise TypeError(f"{wrong}; {e}") from e
    if column.values.dtype.kind not in "iu" or column.values.ndim != 1:
        raise TypeError(wrong)
    found = spread(column, rate, PULSE, table.rows)
    index = np.where(found.there, found.values, -1).astype(np.int64)
    return Places(index, ("bin",), (int(index.max(initial=-1)) + 1,))


def _of_variables(table: Any, by: Any, keep: NDArray) -> Places:
    """Return the bins that values of variables are in."""
    from .counted import ENDS
    from .grid import grid

    if isinstance(by, str) and "=" in by and by not in table.data.variables:
        by = dict([parse(by)])
    found = grid(table, by if isinstance(by, Mapping) else {str(by): "unique"}, keep)
    coords = {
        f"{axis.name}{end}": (
            axis.name,
            getattr(axis, what),
            {"units": axis.unit, "long_name": axis.doc or axis.name},
        )
        for axis in found.axes
        for end, what in ENDS.items()
    }
    return Places(found.flat, tuple(axis.name for axis in found.axes), found.shape, coords)


def _keys(rule: Rule, column: Column | None, bins: NDArray, number: int, ids: list[NDArray]) -> NDArray:
    """Return what the rows of a bin are ordered by, the best first, unsigned (row,)."""
    from .topk import sortable

    if rule.name == "first":
        return np.zeros(len(bins), np.uint64)
    if rule.name == "random":
        return chance(rule.seed, *ids)
    assert column is not None
    values = np.where(column.there, column.values, 0)
    if rule.name == "nearest":
        return sortable(_distance(values, rule, bins, number))
    return ~sortable(values) if rule.name == "largest" else sortable(values)


def _distance(values: NDArray, rule: Rule, bins: NDArray, number: int) -> NDArray:
    """Return how far values are from the one that is looked for; whole numbers of 64 bits are told apart."""
    values = values.astype(np.longdouble if values.dtype.kind in "iu" else np.float64)
    to: Any = rule.to
    if rule.quantile is not None:
        to = quantiles(values, bins, number, rule.quantile)[bins]
    with np.errstate(invalid="ignore"):
        away = np.where(values == to, 0, np.abs(values - to))
    return np.where(np.isnan(away), np.inf, away).astype(np.float64)


def quantiles(values: NDArray, bins: NDArray, number: int, quantile: float) -> NDArray:
    """Return a quantile of the values of each bin, and 0 behind them for those in none, (bin + 1,)."""
    small = bins.astype(np.int16 if number < 2**15 else np.int64)
    order = np.argsort(small, kind="stable")
    ends = np.searchsorted(small[order], np.arange(number + 1))
    out = np.zeros(number + 1, values.dtype)
    for b in np.flatnonzero(np.diff(ends)):
        out[b] = np.quantile(values[order[ends[b] : ends[b + 1]]], quantile)
    return out


def chance(seed: int, *ids: NDArray) -> NDArray:
    """Return random numbers that follow from a seed and ids alone, unsigned (row,)."""
    out = _mixed(np.full(ids[0].shape, seed, np.uint64))
    for one in ids:
        out = _mixed(out ^ one.astype(np.uint64))
    return out


def _mixed(x: NDArray) -> NDArray:
    """Return a step of SplitMix64: every bit of the argument changes about half of those of the result."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _column(table: Any, of: Any, rule: Rule) -> tuple[Column | None, dict[str, str]]:
    """Return the values that decide, one for each row, with their unit."""
    if of is None:
        if rule.name in WITHOUT:
            return None, {}
        raise ValueError(f"pick: rule={str(rule)!r} needs of=, the variable that it looks at")
    if isinstance(of, (str, Value)):
        variable = Variable.of(table, of)
        column, attrs = variable.column(PULSE), variable.attrs
    else:
        column, attrs = _given(table, of), {}
    if column.values.ndim != 1:
        raise ValueError(
            f"pick: {_name(of)!r} has {column.values.shape[1:]} values per row; expected one: index it, "
            f"'{_name(of)}[0]', or reduce it, ev[{_name(of)!r}].sum()"
        )
    if column.values.dtype.kind not in "biuf":
        raise TypeError(f"pick: {_name(of)!r} is {column.values.dtype}; expected numbers")
    return column, attrs


def _given(table: Any, of: Any) -> Column:
    """Return values that a user has worked out: those of trains are those of their rows."""
    column, rate = aligned("pick: of=", of, table.rows)
    if rate == RUN:
        raise ValueError(
            f"pick: of={shown(of)} is one value; expected one for each of {len(table.rows)} rows"
        )
    return spread(column, rate, PULSE, table.rows)


def _said(by: Any) -> str:
    """Return how rows are cut into bins, as a text."""
    if isinstance(by, Mapping):
        return ", ".join(f"{name}={Bins.of(what)}" for name, what in by.items())
    return str(by) if isinstance(by, (str, Value)) else "" if by is None else "numbers"


def _name(of: Any) -> str:
    if of is None or isinstance(of, (str, Value)):
        return "" if of is None else str(of)
    return str(getattr(of, "name", None) or "values")


def _rule(rule: Any) -> Rule:
    if isinstance(rule, Rule):
        return rule
    if rule not in RULES:
        raise ValueError(
            f"pick: rule={shown(rule)}; expected one of {list(RULES)}, nearest(...) or random(seed)"
        )
    return Rule(rule)


def _number(k: Any) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"pick: k={shown(k)}; expected how many rows of each bin, from 1")
    return int(k)
