"""Cubes: variables of a table averaged in bins of others, with errors and counts; on, off and their difference."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import Kind, expect
from ..errors.near import listed
from .grid import OUTSIDE, Grid, grid
from .moments import Moments, moments
from .onoff import KINDS, PUMP, differences, kinds
from .quantities import Cells, Divided, refuse_other
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from xarray import Dataset

    from .tables import Table

HOW = Kind("'ratio' or 'each'", lambda how: how in ("ratio", "each"))
WORDS = {"ratio": "ratio of sums", "each": "row by row"}
PARTS = {
    "count": "values in the bin",
    "mean": "mean",
    "sem": "standard error of the mean",
    "weight": "sum of weights, times what it is divided by",
    "effective": "effective number, (sum w)^2 / sum w^2",
}


class Cube:
    """Averages of variables in bins, as `Table.cube` makes them.

    Parameters
    ----------
    stored : xarray.Dataset
        What is kept of it: ``<variable>_count``, ``_mean``, ``_sem`` and what is around them.
    path : path, optional
        Where it is kept.
    """

    def __init__(self, stored: Dataset, path: str | Path | None = None) -> None:
        self.stored, self.path = stored, None if path is None else Path(path)

    @cached_property
    def data(self) -> Dataset:
        """All of it: what is stored, and ``<variable>_sum`` and ``_std`` (ddof 1) that follow from it."""
        return self.stored.assign({key: array for name in self.of for key, array in _derived(self.stored, name)})

    @property
    def of(self) -> list[str]:
        """The variables that are averaged."""
        return [str(name) for name in json.loads(self.stored.attrs["of"])]

    @property
    def axes(self) -> list[str]:
        """The variables that are cut into bins."""
        return [str(name) for name in json.loads(self.stored.attrs["bins"])]

    @property
    def on(self) -> Dataset:
        """What is pumped."""
        return self._kind("on")

    @property
    def off(self) -> Dataset:
        """What is not."""
        return self._kind("off")

    def _kind(self, kind: str) -> Dataset:
        if PUMP not in self.stored.dims:
            raise ValueError("the cube does not tell on from off; expected one that was made with on=")
        return self.data.sel({PUMP: kind})

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {label:<12} {text}" for label, text in self._lines())])

    def _repr_html_(self) -> str:
        from ..html import table

        return table(self._title, self._lines())

    @property
    def _title(self) -> str:
        return f"cube of {self.stored.attrs.get('title') or self.stored.attrs.get('run') or 'a table'}"

    def _lines(self) -> list[tuple[str, str]]:
        data, attrs = self.stored, self.stored.attrs
        lines = [("bins", f"{name}: {data.sizes[name]}, {self._range(name)}") for name in self.axes]
        lines += [("of", f"{name}{_unit(data[f'{name}_mean'])}") for name in self.of]
        lines += [(key, str(attrs[key])) for key in ("where", "on", "off", "normalise", "weights") if attrs.get(key)]
        lines.append(("rows", f"{int(data.n.sum())} in bins, {attrs['selected']} selected of {attrs['rows_in_all']}"))
        return lines + [("note", note) for note in attrs["notes"].splitlines()]

    def _range(self, name: str) -> str:
        lo, hi = self.stored[f"{name}_lo"].values, self.stored[f"{name}_hi"].values
        return f"{lo[0]:g} to {hi[-1]:g}{_unit(self.stored[name])}"


def _unit(array: Any) -> str:
    unit = array.attrs.get("units", "")
    return f" ({unit})" if unit else ""


def make(
    table: Table,
    bins: Mapping[str, Any],
    of: Any = (),
    where: Any = None,
    normalise: str | None = None,
    how: str = "ratio",
    weights: str | None = None,
    on: Any = None,
    off: Any = None,
) -> Cube:
    """Return a cube of a table; see `Table.cube`."""
    expect(HOW, how, "how=", ValueError)
    if off is not None and on is None:
        raise ValueError("off= is given, and on= is not: expected both, or on= alone")
    names = [of] if isinstance(of, str) else list(of)
    for name in names:
        refuse_other(table, name)
    at = PULSE if len(table.rows) else TRAIN
    chosen = _mask(table, where, at)
    used, selected = chosen, [chosen]
    if on is not None:
        selected = [*kinds(table, on, off, chosen)]
        used = selected[0] | selected[1]
    cells = grid(table, bins, used, at)
    divided = Divided(normalise, how, weights)
    data = _dataset(table, names, cells, divided, selected, at)
    notes = _notes(cells, chosen, used, normalise)
    return Cube(data.assign_attrs(attrs))
