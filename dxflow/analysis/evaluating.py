"""Expressions worked out on a table: by which rate, for which rows, and of none, to see whether they can be."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..declare.condition import Column, aligned, evaluate
from ..declare.grammar import is_condition, written
from ..declare.grammar import names as names_in
from ..errors.near import did_you_mean, listed
from .rows import PULSE, RUN, TRAIN, Rows

if TYPE_CHECKING:
    from xarray import Dataset

Known = dict[tuple[str, str], Column]
"""Selections that are worked out, by name and rate."""


class Source(Protocol):
    """What expressions are worked out on: a `Table`."""

    data: Dataset
    rows: Rows

    @property
    def names(self) -> list[str]:
        """Names of all variables."""

    @property
    def selections(self) -> Any:
        """Conditions by name, which may stand where variables do."""

    def rate(self, name: str) -> str:
        """Return "pulse", "train" or "run": of what a variable has a value each."""

    def column(self, name: str, at: str | None = None) -> Column:
        """Return the values of a variable and where there is one."""


def worked_out(node: ast.expr, table: Source, at: str | None = None, known: Known | None = None) -> Column:
    """Return an expression's values and where they are; see `Table.evaluate`.

    Parameters
    ----------
    known : dict, optional
        Selections that were worked out for the same purpose; others are added.
    """
    known = {} if known is None else known
    own = rate(node, table)
    if own == TRAIN and at == PULSE and not table.rows.complete:
        own = PULSE
    found = evaluate(node, lambda name: _column(name, own, table, known))
    if not (isinstance(node, ast.Name) or is_condition(node)):
        found = _filled(found)
    return spread(_rows(found, own, table), own, at, table.rows)


def tried(node: ast.expr, table: Source) -> None:
    """Refuse what is no condition on rows, without reading: it is worked out for no row at all.

    Raises
    ------
    KeyError
        If it has names that are neither variables nor selections.
    ValueError
        If it is no boolean, or has several values for each row.
    """

    def column(name: str) -> Column:
        shape, dtype = _shape(name, table)
        return Column(np.zeros(shape, dtype), np.zeros(shape, bool))

    found, text = evaluate(node, column), written(node)
    if found.values.dtype != bool:
        raise ValueError(f"{text!r} is {found.values.dtype}, not a boolean: compare it, such as {text} > 0")
    if found.values.ndim > 1:
        name = next(n for n in names_in(node) if len(_shape(n, table)[0]) > 1)
        raise ValueError(
            f"{text!r} has values of shape {found.values.shape[1:]} for each row; expected one: index {name}, such as "
            f"{name}[0], or reduce it, {name}.sum(), {name}.max(), any({text}) or all({text})"
        )


def _shape(name: str, table: Source) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of a variable for no rows, (0, ...), or of the run, (1, ...)."""
    selections = table.selections
    if selections.knows(name):
        return (0,), np.dtype(bool)
    if name not in table.data.variables:
        known = [*table.names, *selections]
        more = f"; selections: {listed(selections)}" if selections else ""
        said = f"{did_you_mean(name, known)} There are: {listed(table.names)}{more}"
        raise KeyError(f"no variable or selection {name!r}.{said}")
    array = table.data[name]
    dtype = np.dtype("U1") if array.dtype.kind == "O" else array.dtype
    return ((1, *array.shape) if table.rate(name) == RUN else (0, *array.shape[1:])), dtype


def rate(node: ast.expr, table: Source) -> str:
    """Return of what an expression has a value each: the finest of its variables' rates."""
    rates = {table.selections.rate(name) for name in names_in(node)}
    return next((one for one in (PULSE, TRAIN) if one in rates), RUN)


def _column(name: str, at: str, table: Source, known: Known | None) -> Column:
    """Return a variable by another rate; what the run has once is (1, ...), for all rows."""
    selections = table.selections
    if selections.rate(name) != RUN:
        return selections.column(name, at, known)
    found = selections.column(name, None, known)
    return Column(found.values[None], found.there[None])


def _rows(found: Column, own: str, table: Source) -> Column:
    """Return values with their own first axis, also if they are the same for all; none of the run has one."""
    if own == RUN:
        return Column(*(np.asarray(one)[(0,) * (np.ndim(one) > 0)] for one in (found.values, found.there)))
    size = len(table.rows) if own == PULSE else len(table.rows.trains)
    shape = (size, *np.shape(found.values)[1:])
    values, there = (np.broadcast_to(one, shape) for one in aligned(found.values, found.there))
    return Column(values, there)


def _filled(found: Column) -> Column:
    """Return values that are NaN, 0 or False where they are missing."""
    values, there = np.asarray(found.values), found.there
    if values.dtype == bool or there.all():
        return Column(values & there if values.dtype == bool else values, there)
    values, there = np.broadcast_arrays(*aligned(values, there))
    return Column(
        np.where(there, values, values.dtype.type(math.nan if values.dtype.kind == "f" else 0)), there
    )


def spread(found: Column, own: str, at: str | None, rows: Rows) -> Column:
    """Return values of trains, or of the run, for each row or train."""
    order = (PULSE, TRAIN, RUN)
    at = at or own
    if at not in order or order.index(at) > order.index(own):
        raise ValueError(f"there is a value per {own}; expected one per {at}")
    if at == own:
        return found
    if own == RUN:
        shape = (len(rows) if at == PULSE else len(rows.trains), *np.shape(found.values))
        return Column(np.broadcast_to(found.values, shape), np.broadcast_to(found.there, shape))
    return rows.of_trains(found)
