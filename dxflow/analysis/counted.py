"""Counted: a grid of bins that is filled from a table, what there is of each variable in each bin, as a dataset."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import sizes
from .grid import Grid
from .moments import Moments, moments
from .onoff import KINDS, PUMP, differences, kinds, truth
from .quantities import Cells, Divided
from .rows import PULSE, TRAIN
from .variables import Variable

if TYPE_CHECKING:
    from xarray import Dataset

    from .evaluating import Source

SUMS = 12
"""Numbers for each value of each bin that are in memory together, at most."""
ENDS = {"": "centres", "_lo": "lo", "_hi": "hi"}
OUTSIDE = {"under": "below all bins", "over": "above all bins, or between them", "missing": "without a value"}
DERIVED = ("sum", "std")
"""What follows from what is stored of a variable."""
PARTS = {
    "count": "values in the bin",
    "mean": "mean",
    "sem": "standard error of the mean",
    "weight": "sum of weights, times what it is divided by",
    "effective": "effective number, (sum w)^2 / sum w^2",
}


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows that are selected, and which of them are of which kind, (row,) bool all."""

    selected: NDArray
    kinds: tuple[NDArray, ...]

    @classmethod
    def of(cls, table: Source, where: Any, at: str, on: Any, off: Any) -> Chosen:
        """Return what a user selects."""
        if off is not None and on is None:
            raise ValueError("off= is given, and on= is not: expected both, or on= alone")
        selected = _mask(table, where, at)
        return cls(selected, (selected,) if on is None else kinds(table, on, off, selected, at))

    @property
    def used(self) -> NDArray:
        """Rows of any kind."""
        return np.logical_or.reduce(self.kinds)

    @property
    def pumped(self) -> bool:
        """Whether there are on and off."""
        return len(self.kinds) == len(KINDS)


def refuse_clash(*parts: Iterable[Any]) -> None:
    """Refuse parts of a cube if two of them have one name: one would be taken for the other.

    Raises
    ------
    ValueError
    """
    count = Counter(str(name) for part in parts for name in part)
    if clash := sorted(name for name, times in count.items() if times > 1):
        raise ValueError(
            f"{', '.join(clash)}: two parts of the cube have that name; name variables otherwise, of={{...}}"
        )


def followed(data: Dataset, names: Sequence[str], *, pumped: bool) -> Dataset:
    """Return a cube with the differences of some variables, if it has on and off.

    Raises
    ------
    ValueError
        If anything else has a name of these, or of what `Cube.data` makes of the variables.
    """
    more = [dict(differences(data, name)) for name in names] if pumped else []
    refuse_clash(data.variables, *more, *([f"{name}_{what}" for what in DERIVED] for name in names))
    return data.assign(_joined(more))


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: one for part in parts for name, one in part.items()}


def _mask(table: Source, where: Any, at: str) -> NDArray:
    """Return which rows are selected, or trains of a table that has no others."""
    if at == PULSE:
        return np.asarray(table.selections.mask(where))
    every = np.ones(len(table.rows.trains), bool)
    cuts = [] if where is None else truth(table, where, at)
    return every & cuts[0] if len(cuts) else every


@dataclass(frozen=True, eq=False)
class Counted:
    """A grid that is filled: what there is of variables in its bins, as a dataset."""

    table: Source
    grid: Grid
    chosen: Chosen
    divided: Divided
    at: str
    incomplete: bool = False
    """Whether frames that are made of fewer modules than others count in what is made of all modules."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Of what there is for each bin."""
        return (*[PUMP] * self.chosen.pumped, *(axis.name for axis in self.grid.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what there is for each bin."""
        return (*[len(KINDS)] * self.chosen.pumped, *self.grid.shape)

    def cells(self) -> Cells:
        """Return the bins of rows, those of what is not pumped behind those that are."""
        return self._cells

    @cached_property
    def _cells(self) -> Cells:
        flat = self.grid.flat
        if self.chosen.pumped:
            flat = np.where((flat >= 0) & self.chosen.kinds[1], flat + self.grid.size, flat)
        return Cells(self.table, flat, math.prod(self.shape), self.at, self.incomplete)

    def dataset(self, variables: Sequence[Variable]) -> Dataset:
        """Return averages and counts with their axes."""
        import xarray as xr

        cells = self.cells()
        self._refuse_large(variables)
        self.divided.refuse_weights(cells)
        found = moments([self.divided.quantity(one, cells) for one in variables], cells.bins)
        n = np.bincount(cells.flat + 2, minlength=cells.bins + 2)[2:].reshape(self.shape)
        made: list[dict[str, Any]] = [{"n": (self.dims, n, {"long_name": f"{self._rows} in the bin"})}]
        labels: dict[str, Any] = {}
        for of, sums in zip(variables, found, strict=True):
            axes = {
                (dim if dim not in self.dims else f"{of.name}_{dim}"): axis for dim, axis in of.axes.items()
            }
            made += [self._averages(of, sums, axes), self._left_out(of)]
            labels |= {
                dim: (dim, axis.values, axis.attrs) for dim, axis in axes.items() if hasattr(axis, "dims")
            }
        made.append(self._outside())
        coords = [*self._coords(), labels]
        refuse_clash(*made, *coords)
        data = xr.Dataset(_joined(made), _joined(coords))
        return followed(data, [of.name for of in variables], pumped=self.chosen.pumped)

    def _refuse_large(self, variables: Sequence[Variable]) -> None:
        """Refuse sums that do not fit into memory."""
        values = math.prod(self.shape) * sum(of.width for of in variables)
        need, there = 8 * SUMS * values, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if need > 0.8 * there:
            raise ValueError(
                f"the sums of {' x '.join(map(str, self.shape))} bins take {sizes.show(need)}, more than 80 % of the "
                f"{sizes.show(there)} of this machine: fewer bins, or fewer variables in of="
            )

    @property
    def _rows(self) -> str:
        return str(self.table.data.attrs.get("rows", "rows")) if self.at == PULSE else "trains"

    def notes(self, variables: Sequence[Variable]) -> list[str]:
        """Return which rows do not count, and what is said of values per train in a table of rows."""
        cells = self.cells()
        said = self.divided.left_out(cells) if variables else []
        return said if self.at == TRAIN else [*said, *self._joins(variables, cells)]

    def lacking(self, variables: Sequence[Variable]) -> list[str]:
        """Return of which variables rows do not count since they are made of fewer modules than others."""
        every = [*variables, *(one for one in (self.divided.by, self.divided.weights) if one is not None)]
        found = [self.cells().lacking(one) for one in every]
        said = [f"{one} and do not count; incomplete=True counts them" for one in found if one is not None]
        return list(dict.fromkeys(said))

    def _joins(self, variables: Sequence[Variable], cells: Cells) -> list[str]:
        axes = [axis.name for axis in self.grid.axes if Variable.of(self.table, axis.name).rate == TRAIN]
        said = [f"{name}: for each row, the value of its train" for name in axes]
        rates = {of.name: self.divided.rate(of, cells) for of in variables}
        return said + [
            f"{name}: counts once for each train in a bin" for name, own in rates.items() if own == TRAIN
        ]

    def _averages(self, of: Variable, sums: Moments, axes: Mapping[str, Any]) -> dict[str, Any]:
        shape = (*self.shape, *(len(a) if hasattr(a, "dims") else a for a in axes.values()))
        unit = self.divided.unit(of)
        units = {"mean": unit, "sem": unit, "sum": unit}
        return {
            f"{of.name}_{what}": (
                (*self.dims, *axes),
                array.reshape(shape),
                {"long_name": f"{of.attrs.get('long_name', of.name)}, {words}", "units": units.get(what, "")},
            )
            for what, words in PARTS.items()
            if (array := getattr(sums, what)) is not None
        }

    def _left_out(self, of: Variable) -> dict[str, Any]:
        """Return how many rows of each bin are made of fewer modules than others, if any are."""
        cells = self.cells()
        if (short := cells.lacking(of)) is None:
            return {}
        n = np.bincount(cells.flat[short.rows], minlength=cells.bins).reshape(self.shape)
        words = f"{of.attrs.get('long_name', of.name)}, {self._rows} of fewer than {short.most} modules"
        return {f"{of.name}_incomplete": (self.dims, n, {"long_name": f"{words}, which do not count"})}

    def _coords(self) -> list[dict[str, Any]]:
        """Return the coordinates of each axis."""
        coords: list[dict[str, Any]] = [{PUMP: list(KINDS)}] if self.chosen.pumped else []
        for axis in self.grid.axes:
            about = {"units": axis.unit, "long_name": axis.doc or axis.name}
            coords.append(
                {f"{axis.name}{end}": (axis.name, getattr(axis, what), about) for end, what in ENDS.items()}
            )
        return coords

    def _outside(self) -> dict[str, Any]:
        return {
            f"{name}_{what}": ((), np.int64(count), {"long_name": f"selected {self._rows} {OUTSIDE[what]}"})
            for name, counts in self.grid.outside.items()
            for what, count in counts.items()
        }
