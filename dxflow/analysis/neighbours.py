"""Neighbours: the rows without pump that are nearest in time to each row with it, and what was measured in them."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import shown
from .complete import lacking
from .evaluating import Source
from .rows import PULSE, when_of
from .values import Value, evaluated, parsed
from .variables import Variable

if TYPE_CHECKING:
    from xarray import DataArray

REDUCED = ("mean", "all")


def nearest(table: Source, of: Value | str, on: Any, off: Any, n: int = 3, reduce: str = "mean") -> DataArray:
    """Return what was measured in the rows nearest in time; see `Table.nearest`."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n={n!r}: expected a whole number from 1, of rows")
    if reduce not in REDUCED:
        raise ValueError(f"reduce={reduce!r}: expected one of {', '.join(REDUCED)}")
    on, off = (table.selections.whole(one) for one in (on, off))
    pumped, dark = (table.selections.mask(one) for one in (on, off))
    if both := int((pumped & dark).sum()):
        raise ValueError(
            f"{both} rows are on and off: on={shown(str(on))} and off={shown(str(off))} share them"
        )
    at = table.selections.at
    found = evaluated(of, table, at)
    if found.values.dtype.kind not in "biuf":
        raise ValueError(f"of={str(of)!r} is {found.values.dtype}; expected numbers")
    values = np.where(found.there, found.values, np.nan).astype(float, copy=False)
    further = tuple(range(1, values.ndim))
    named = at == PULSE and (isinstance(of, str) or hasattr(of, "node"))
    if named and (short := lacking(table, Variable.of(table, of), pumped | dark)) is not None:
        warnings.warn(f"nearest: {short} and are no neighbours", stacklevel=3)
        dark = dark & ~short.rows
    rows, first, others = _windows(table, pumped, dark & ~np.isnan(values).all(axis=further), int(n))
    near = (values[others[first + k]] for k in range(n))
    neighbours = np.stack([*near], 1) if reduce == "all" else _mean(near)
    made = np.full((len(dark), *neighbours.shape[1:]), np.nan)
    made[rows] = neighbours
    told = {"of": str(of), "on": str(on), "off": str(off), "n": int(n), "reduce": reduce}
    return _labelled(table, of, made, told)


def _windows(table: Source, on: NDArray, off: NDArray, n: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return rows that are on, where their neighbours begin among rows that are off, and the latter.

    Rows without enough of them are left out.
    """
    table.rows.refuse_disorder()
    coords, pulses = table.data.coords, table.selections.at == PULSE
    when = table.rows.times if pulses else when_of(table.rows.trains)
    name = "run" if pulses else "train_run"
    run = coords[name].values if name in coords and coords[name].ndim else np.zeros(len(on))
    pumped, dark = np.flatnonzero(on), np.flatnonzero(off)
    first = np.full(len(pumped), -1)
    for one in np.unique(run):
        mine, theirs = np.flatnonzero(run[pumped] == one), np.flatnonzero(run[dark] == one)
        if len(theirs) >= n:
            others = when[dark[theirs]]
            # The n nearest follow each other. They begin one later as long as what comes in is nearer than what goes
            # out, others[i + n] - t < t - others[i], which is true of the first i and of no later one.
            begin = np.searchsorted(others[: len(others) - n] + others[n:], 2 * when[pumped[mine]])
            first[mine] = theirs[begin]
    found = first >= 0
    return pumped[found], first[found], dark


def _mean(near: Iterable[NDArray]) -> NDArray:
    """Return the mean of arrays, each time of the values that are there."""
    total: Any = 0
    count: Any = 0
    for one in near:
        there = ~np.isnan(one)
        total, count = total + np.where(there, one, 0), count + there
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def _labelled(table: Source, of: Value | str, values: NDArray, told: dict[str, Any]) -> DataArray:
    from xarray import DataArray

    node = (parsed(of) if isinstance(of, str) else of).node
    source = table.data[node.id] if isinstance(node, ast.Name) and node.id in table.data else None
    further = [f"dim_{n}" for n in range(1, values.ndim)]
    if source is not None and source.ndim > 1:
        further = [str(dim) for dim in source.dims[1:]]
    if told["reduce"] == "all":
        further = ["neighbour", *further][: values.ndim - 1]
    attrs = {k: source.attrs[k] for k in ("units",) if source is not None and k in source.attrs}
    what = "mean" if told["reduce"] == "mean" else "each"
    attrs |= {
        "long_name": f"{told['of']}, {what} of the {told['n']} nearest rows of {told['off']}",
        "nearest": json.dumps(told),
    }
    at = table.selections.at
    ids = {str(name): one for name, one in table.data.coords.items() if one.dims == (at,)}
    return DataArray(values, dims=(at, *further), coords=ids, attrs=attrs, name=f"{told['of']} nearest")
