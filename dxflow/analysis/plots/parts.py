"""Parts: a variable of a dataset with what belongs to it, and one place along the axes that a picture does not have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors.near import did_you_mean, listed
from ..columns import VALID

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

ROWS = ("pulse", "frame", "event")
"""First axes of variables that have a value, or several, for each X-ray pulse, image or event."""
TRAIN = "train"
IMAGES = (("ss", "fs"), ("y", "x"))
MOST = 2**24
"""Values that are read at most; of more rows some stretches are, evenly over all, and the title says so."""
STRETCHES = 16
MEANS = ("mean", "average", "difference", "contrast", "mu", "matrix", "spectrum")
"""Outputs of algorithms whose standard error is called ``error``."""
ROWS_IN_BINS = "n"
"""Variable of a cube that says how many rows are in each bin."""
SERIES = 4
"""Named things that are drawn together at most."""


@dataclass(frozen=True, eq=False)
class Parts:
    """A variable and what belongs to it.

    Names of what says where it has values, of its standard error, of how many values it is the mean, and of how many
    rows are in each bin of its cube; "" of what there is not.
    """

    data: Dataset
    name: str
    valid: str = ""
    error: str = ""
    count: str = ""
    n: str = ""
    module: tuple[int, int] | None = None
    """Of images of one module, which was asked for: the how-manieth it is, and of how many."""

    @classmethod
    def of(cls, data: Dataset, name: str) -> Parts:
        """Return a variable of a dataset with its parts.

        Raises
        ------
        KeyError
            If there is none; the message says which there are.
        """
        if name not in data.variables:
            names = [str(n) for n in data.data_vars if not str(n).endswith(VALID)]
            raise KeyError(f"no variable {name!r}.{did_you_mean(name, names)} There are: {listed(names)}")
        valid = f"{name}{VALID}" if f"{name}{VALID}" in data else ""
        error, count = (_same(data, name, others) for others in (_errors(name), _counts(name)))
        rows = (
            ROWS_IN_BINS
            if ROWS_IN_BINS in data
            and set(data.variables[ROWS_IN_BINS].dims) <= set(data.variables[name].dims)
            else ""
        )
        names = [n for n in dict.fromkeys((name, valid, error, count, rows)) if n]
        return cls(data[names], name, valid, error, count, rows)

    @cached_property
    def array(self) -> DataArray:
        """The variable."""
        return self.data[self.name]

    @property
    def title(self) -> str:
        """What it is."""
        return str(self.array.attrs.get("long_name") or self.name)

    @property
    def shown(self) -> DataArray:
        """The variable with NaN where integers and booleans have no value; as it is where all are there."""
        valid = self.part(self.valid)
        if valid is None or self.array.dtype.kind not in "biuf" or bool(valid.all()):
            return self.array
        array = self.array.astype(float) if self.array.dtype.kind == "b" else self.array
        # Axes stay in the order of the values.
        return array.where(valid).transpose(*array.dims)

    def part(self, name: str) -> DataArray | None:
        """Return one of the parts, if it is there."""
        return self.data[name] if name else None

    @cached_property
    def rows(self) -> str:
        """The axis of rows: pulses, frames, trains; "" if it has none."""
        for dim in map(str, self.array.dims):
            if dim in (*ROWS, TRAIN) or self.trains_of(dim):
                return dim
        return ""

    def trains_of(self, dim: str) -> str:
        """Return the coordinate that has the train of each row, of events called after them; "" if none."""
        ids = (str(c) for c in self.data.coords if self.data.variables[c].dims == (dim,))
        return next((c for c in ids if c.startswith("train_id") or c.endswith("_train_id")), "")

    @property
    def image(self) -> list[str]:
        """The axes of its images: modules, if there are, ss and fs, or y and x; none if it has no images."""
        dims = [str(dim) for dim in self.array.dims]
        if tuple(dims[-2:]) not in IMAGES:
            return []
        return dims[-3:] if len(dims) > 2 and dims[-3].startswith("module") else dims[-2:]

    @property
    def series(self) -> list[str]:
        """The axis of a few named things, such as on and off, before the last one, if values have errors."""
        dims = [str(d) for d in self.array.dims][-2:-1]
        few = [d for d in dims if self.named(d) and self.array.sizes[d] <= SERIES]
        return few if self.error and not self.rows else []

    def named(self, dim: str) -> bool:
        """Return whether an axis has names in place of numbers."""
        return dim in self.data.coords and self.data[dim].dtype.kind in "USO"

    def load(self) -> None:
        """Read what is left of the variable and of its parts, once."""
        for name in filter(None, {self.name, self.valid, self.error, self.count}):
            self.data.variables[name].load()

    def placed(self, at: Mapping[str, Any]) -> tuple[Parts, list[str]]:
        """Return what is at a place along some axes, and that place in words."""
        data, said, module = self.data, [], self.module
        for dim, value in at.items():
            if dim not in self.array.dims:
                dims = [str(d) for d in self.array.dims]
                raise KeyError(
                    f"{self.name} has no axis {dim!r}.{did_you_mean(dim, dims)} Axes: {listed(dims)}"
                )
            number = _number(self.array, dim, value)
            said.append(_said(self.array, dim, number))
            data = data.isel({dim: number})
            if dim in self.image[:-2]:
                module = number, self.array.sizes[dim]
        return replace(self, data=data, module=module), said

    def middle(self, needed: Collection[str], most: int = MOST) -> tuple[Parts, list[str]]:
        """Return one place along all axes but some, and of more than `most` values those of a part of the rows."""
        others = [str(d) for d in self.array.dims if str(d) not in needed]
        empty = [d for d in others if not self.array.sizes[d]]
        if empty:
            raise ValueError(f"{self.name} has no values: its axis {empty[0]!r} is empty")
        places = {d: 0 if self.named(d) else self.array.sizes[d] // 2 for d in others}
        places |= self._fullest({d: n for d, n in places.items() if self.named(d)}, others)
        said = [
            f"{_said(self.array, d, n)} ({n + 1} of {self.array.sizes[d]})"
            for d, n in places.items()
            if self.array.sizes[d] > 1
        ]
        one = replace(self, data=self.data.isel(places))
        return one._some(said, most) if one.rows in needed else (one, said)

    def _fullest(self, named: Mapping[str, int], others: Collection[str]) -> dict[str, int]:
        """Return the place of the bin with most rows along the axes of a cube that have numbers."""
        if (n := self.part(self.n)) is None or not n.size:
            return {}
        n = n.isel(named, missing_dims="ignore")
        n = n.sum([d for d in n.dims if d not in others])
        places = np.unravel_index(int(np.argmax(n.values)), n.shape) if n.values.any() else ()
        return {str(d): int(at) for d, at in zip(n.dims, places, strict=False)}

    def _some(self, said: list[str], most: int) -> tuple[Parts, list[str]]:
        """Return some stretches of rows where there are too many to be read for a picture."""
        rows, n = self.rows, self.array.sizes[self.rows]
        each = self.array.size // max(n, 1)
        if self.array.size <= most or not each:
            return self, said
        kept = max(most // each // STRETCHES, 1)
        starts = np.arange(STRETCHES) * (n - kept) // (STRETCHES - 1)
        at = np.unique(starts[:, None] + np.arange(kept))
        return replace(self, data=self.data.isel({rows: at})), [*said, f"{len(at)} of {n} {rows}s"]


def _number(array: DataArray, dim: str, value: Any) -> int:
    """Return the number of the place along an axis: nearest to a value of its coordinate, or counted from 0."""
    n = array.sizes[dim]
    values = array[dim].values if dim in array.coords else np.arange(n)
    if values.dtype.kind in "USO":
        names = values.astype("U").tolist()
        if str(value) not in names:
            raise KeyError(
                f"no {dim} {str(value)!r}.{did_you_mean(str(value), names)} There are: {listed(names)}"
            )
        return names.index(str(value))
    if values.dtype.kind in "iu" and str(value).isdecimal() and (values == int(value)).any():
        return int(np.argmax(values == int(value)))
    try:
        away = np.abs(values.astype(float) - float(value))
    except (TypeError, ValueError) as e:
        raise ValueError(f"{dim}={value!r}; expected a number: {e}") from None
    if not n or not np.isfinite(away).any():
        raise ValueError(f"{dim} has no values")
    if dim not in array.coords and away.min() > 0:
        raise ValueError(f"{dim}={value}; expected a whole number from 0 to {n - 1}")
    return int(np.nanargmin(away))


def _said(array: DataArray, dim: str, number: int) -> str:
    """Return a place along an axis in words."""
    if dim not in array.coords:
        return f"{dim} {number}"
    coordinate = array[dim]
    value, unit = coordinate.values[number], coordinate.attrs.get("units", "")
    shown = f"{value:.6g}" if coordinate.dtype.kind == "f" else str(value)
    return f"{dim} {shown} {unit}".rstrip()


def _errors(name: str) -> list[str]:
    """Return what the standard error of a variable may be called."""
    algorithm, _, key = name.rpartition(".")
    own = [f"{algorithm}.error"] if key in MEANS and algorithm else []
    means = [f"{name.removesuffix('_mean')}_sem"] if name.endswith("_mean") else []
    return [*means, f"{name}_error", f"{name}_sem", *own]


def _counts(name: str) -> list[str]:
    """Return what may be called how many values a variable is the mean of."""
    algorithm, _, key = name.rpartition(".")
    own = [f"{algorithm}.{n}" for n in ("frames", "trains", "count")] if key in MEANS and algorithm else []
    return [f"{name.removesuffix('_mean')}_count", *own]


def _same(data: Dataset, name: str, others: list[str]) -> str:
    """Return the first of some variables that is there, with the same axes."""
    dims = data.variables[name].dims
    return next((n for n in others if n in data and data.variables[n].dims == dims), "")
