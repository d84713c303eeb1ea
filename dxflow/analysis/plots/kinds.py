"""Which picture which kind of variable deserves: the one place that says it, for the shell, notebooks and reports.

===========================================  ==========================================================================
axes of the variable                         picture
===========================================  ==========================================================================
(module, ss, fs), (ss, fs)                   image, put together by the geometry; without one modules side by side
(y, x)                                       image
(row,) numbers; row: pulse, frame, event     histogram; with ``kind="series"`` over trains
(row,) booleans                              share that is true, over trains
(row,) texts                                 bars of how often each is there
(train,)                                     series over trains
(row, x), (train, x)                         mean of the rows along x, and where 90 % of them are
(x,)                                         line, with a band of its standard error where that is known
(bin,) with standard error, few bins         points with error bars
(name,)                                      bars
(y, x) other axes                            map in colours
===========================================  ==========================================================================

Of further axes before these one place is shown: that which is asked for (``at``), or the middle; the title says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors.near import did_you_mean, listed
from . import histogram, images, lines, maps, points, samples, series
from .bars import Bars, bars

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset

    from .plotted import Picture

ROWS = ("pulse", "frame", "event")
"""First axes of variables that have a value, or several, for each X-ray pulse, image or event."""
TRAIN, VALID = "train", "_valid"
IMAGES = (("ss", "fs"), ("y", "x"))
LONG, FEW = 12, 80
"""Values from which on an axis is drawn along, and bins up to which each is a point."""
MOST = 2**24
"""Values that are read at most; of more rows some stretches are, evenly over all, and the title says so."""
STRETCHES = 16
MEANS = ("mean", "average", "difference", "contrast", "mu", "matrix", "spectrum")
"""Outputs of algorithms whose standard error is called ``error``."""
KINDS = ("image", "points", "map", "line", "histogram", "series", "bars", "modules")
"""What may be asked for in place of what is chosen; what says more of a dataset comes first."""
TELLING = ("mean", "image", "difference", "powder_max", "g2", "spectrum", "mu", "intensity", "sum", "lit")
"""Outputs that are shown first where none is named."""


def picture(
    data: Dataset,
    name: str,
    *,
    kind: str | None = None,
    at: Mapping[str, Any] | None = None,
    how: How | None = None,
) -> Picture:
    """Return the picture of a variable.

    Parameters
    ----------
    data : xarray.Dataset
        Of a result, a table, a cube or picked events.
    name : str
    kind : str, optional
        One of `KINDS` in place of the one that is usual.
    at : mapping, optional
        The place along other axes: a value of the coordinate (the nearest one), or a number without a coordinate.
    how : How, optional
        Where pixels are, which bins, which rows these are.

    Raises
    ------
    KeyError
        If there is no such variable or axis.
    ValueError
        If it cannot be drawn so.
    """
    one = Parts.of(data, name)
    one, said = one.placed(at or {})
    chosen = kind or one.usual()
    one, more = one.middle(chosen)
    title = ", ".join([one.title, *said, *more])
    return MADE[chosen](one, title, how or How())


@dataclass(frozen=True, eq=False)
class How:
    """What some kinds of pictures need to know: pixel centres (module, ss, fs, 3) in m, bins, which rows in words."""

    positions: NDArray | None = None
    bins: Any = None
    where: str = ""


@dataclass(frozen=True, eq=False)
class Parts:
    """A variable and what belongs to it: where it has values, its standard error, of how many values it is the mean."""

    data: Dataset
    name: str
    valid: str = ""
    error: str = ""
    count: str = ""

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
        names = [n for n in dict.fromkeys((name, valid, error, count)) if n]
        coords = data.coords.to_dataset()
        return cls(coords.assign({n: data[n] for n in names}), name, valid, error, count)

    @property
    def array(self) -> DataArray:
        """The variable."""
        return self.data[self.name]

    @property
    def title(self) -> str:
        """What it is."""
        return str(self.array.attrs.get("long_name") or self.name)

    def part(self, name: str) -> DataArray | None:
        """Return one of the parts, if it is there."""
        return self.data[name] if name else None

    @property
    def rows(self) -> str:
        """The axis of rows: pulses, frames, trains; "" if it has none."""
        for dim in map(str, self.array.dims):
            if dim in (*ROWS, TRAIN) or any(
                str(c).startswith("train_id") and self.data[c].dims == (dim,) for c in self.data.coords
            ):
                return dim
        return ""

    @property
    def image(self) -> list[str]:
        """The axes of its images: modules, if there are, ss and fs, or y and x; none if it has no images."""
        dims = [str(dim) for dim in self.array.dims]
        if tuple(dims[-2:]) not in IMAGES:
            return []
        return dims[-3:] if len(dims) > 2 and dims[-3].startswith("module") else dims[-2:]

    def usual(self) -> str:
        """Return the kind of picture that it deserves: the table above."""
        array, rows = self.array, self.rows
        if self.image:
            return "image"
        along = [str(d) for d in array.dims if str(d) != rows]
        if rows and not any(array.sizes[d] >= LONG for d in along):
            texts = "bars" if array.dtype.kind in "USO" else "histogram"
            return "series" if rows == TRAIN and texts != "bars" or array.dtype.kind == "b" else texts
        if rows or len(along) == 1:
            return "line" if rows else self._one(along[0])
        return "map" if along else "number"

    def _one(self, dim: str) -> str:
        """Return how values along one axis are drawn."""
        if dim in self.data.coords and self.data[dim].dtype.kind in "USO":
            return "bars"
        bins = self.count or f"{dim}_lo" in self.data.coords
        return "points" if self.error and bins and self.array.sizes[dim] <= FEW else "line"

    def needed(self, kind: str) -> list[str]:
        """Return the axes that a kind of picture has.

        Raises
        ------
        ValueError
            If the variable has not got them.
        """
        dims, rows = [str(d) for d in self.array.dims], self.rows
        along = [d for d in dims if d != rows]
        has = {
            "image": self.image,
            "modules": self.image,
            "histogram": [rows] if rows else dims,
            "series": [rows] if rows else [],
            "bars": [rows] if rows else dims[-1:],
            "line": ([rows] if rows else []) + along[-1:],
            "points": along[-1:] if self.error else [],
            "map": dims[-2:] if len(dims) > 1 else [],
            "number": [],
        }
        if kind not in has:
            raise ValueError(f"kind={kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}")
        if kind == "number":
            raise ValueError(f"{self.name} is one value: {self.array.values}; there is nothing to draw")
        if not has[kind]:
            raise ValueError(
                f"{self.name} {self.array.dims} cannot be drawn as {kind}; usual is {self.usual()}"
            )
        return has[kind]

    def placed(self, at: Mapping[str, Any]) -> tuple[Parts, list[str]]:
        """Return what is at a place along some axes, and that place in words."""
        data, said = self.data, []
        for dim, value in at.items():
            if dim not in self.array.dims:
                dims = [str(d) for d in self.array.dims]
                raise KeyError(
                    f"{self.name} has no axis {dim!r}.{did_you_mean(dim, dims)} Axes: {listed(dims)}"
                )
            number = _number(self.array, dim, value)
            said.append(_said(self.array, dim, number))
            data = data.isel({dim: number})
        return replace(self, data=data), said

    def middle(self, kind: str) -> tuple[Parts, list[str]]:
        """Return the middle of all axes that a kind of picture does not have, and of many rows some."""
        needed = self.needed(kind)
        others = [str(d) for d in self.array.dims if str(d) not in needed]
        empty = [d for d in others if not self.array.sizes[d]]
        if empty:
            raise ValueError(f"{self.name} has no values: its axis {empty[0]!r} is empty")
        places = {d: self.array.sizes[d] // 2 for d in others}
        said = [
            f"{_said(self.array, d, n)} ({n + 1} of {self.array.sizes[d]})"
            for d, n in places.items()
            if self.array.sizes[d] > 1
        ]
        one = replace(self, data=self.data.isel(places))
        return one._some(said) if one.rows in needed else (one, said)

    def _some(self, said: list[str]) -> tuple[Parts, list[str]]:
        """Return some stretches of rows where there are too many to be read for a picture."""
        rows, n = self.rows, self.array.sizes[self.rows]
        each = self.array.size // max(n, 1)
        if self.array.size <= MOST or not each:
            return self, said
        kept = max(MOST // each // STRETCHES, 1)
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
    return next((n for n in others if n in data and data[n].dims == data[name].dims), "")


# Each kind ----------------------------------------------------------------------------------------------


def _image(one: Parts, title: str, how: How) -> Picture:
    return images.of_array(one.array, how.positions, title)


def _modules(one: Parts, title: str, how: How) -> Picture:
    return images.of_array(one.array, None, title)


def _histogram(one: Parts, title: str, how: How) -> Picture:
    return histogram.histogram(_variable(one, title), how.bins, how.where)


def _variable(one: Parts, title: str) -> samples.Sample:
    counted = f"{one.rows}s" if one.rows else "values"
    return replace(samples.of_array(one.array, one.part(one.valid), counted), doc=title)


def _series(one: Parts, title: str, how: How) -> Picture:
    rows = one.rows
    ids = next(
        (c for c in one.data.coords if str(c).startswith("train_id") and one.data[c].dims == (rows,)), None
    )
    trains = one.data[ids].values if ids is not None else np.arange(one.array.sizes[rows])
    if rows == TRAIN and TRAIN in one.data.coords:
        trains = one.data[TRAIN].values
    return series.series(_variable(one, title), trains, how.where)


def _bars(one: Parts, title: str, how: How) -> Picture:
    if one.rows:
        return Bars.of(_variable(one, title), how.where)
    names = _x(one.array).astype("U")
    return bars(names, {one.name: one.array.values}, title, str(one.array.dims[0]), one.name)


def _x(array: DataArray) -> NDArray:
    dim = str(array.dims[0])
    return array[dim].values if dim in array.coords else np.arange(array.size)


def _line(one: Parts, title: str, how: How) -> Picture:
    if one.rows:
        return lines.of_rows(one.array.transpose(one.rows, ...), one.rows, title)
    return lines.of_array(one.array, one.part(one.error), title)


def _points(one: Parts, title: str, how: How) -> Picture:
    return points.of_array(one.array, one.data[one.error], one.part(one.count), title)


def _map(one: Parts, title: str, how: How) -> Picture:
    return maps.of_array(one.array, title)


MADE: dict[str, Callable[[Parts, str, How], Picture]] = {
    "image": _image,
    "modules": _modules,
    "histogram": _histogram,
    "series": _series,
    "bars": _bars,
    "line": _line,
    "points": _points,
    "map": _map,
}


def first(data: Dataset) -> str:
    """Return the variable that says most of a dataset; "" if none can be drawn."""
    names = [str(n) for n in data.data_vars if not str(n).endswith(VALID)]
    ranked = [(_rank(Parts.of(data, n)), place, n) for place, n in enumerate(names)]
    return min(((r, p, n) for r, p, n in ranked if r < LAST), default=(0, 0, ""))[2]


LAST = 90
"""Rank of what cannot be drawn."""


def _rank(one: Parts) -> int:
    """Return how little a variable says of a dataset."""
    kind = one.usual()
    if kind == "number" or not one.array.size:
        return LAST
    key = "mean" if one.name.endswith("_mean") else one.name.rpartition(".")[2]
    telling = TELLING.index(key) if key in TELLING else len(TELLING)
    return telling + (20 if one.array.dtype.kind not in "fc" else 0) + 2 * KINDS.index(kind)
