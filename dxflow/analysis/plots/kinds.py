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
([name,] bin) with standard error, few bins  points with error bars, a series for each name: on and off
(name,)                                      bars
(y, x) other axes                            map in colours
===========================================  ==========================================================================

Of further axes before these one place is shown: that which is asked for (``at``), of cubes the bin with most rows,
otherwise the middle (the first of names); the title says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors.near import did_you_mean
from . import histogram, images, lines, maps, points, samples, series, style
from .bars import Bars, bars
from .parts import MOST, TRAIN, VALID, Parts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xarray import DataArray, Dataset

    from .plotted import Picture

LONG, FEW = 12, 80
"""Values from which on an axis is drawn along, and bins up to which each is a point."""
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
    chosen = kind or usual(one)
    how = how or How()
    one, more = one.middle(needed(one, chosen), how.most)
    one.load()
    title = ", ".join([one.title, *said, *more])
    return MADE[chosen](one, title, how)


@dataclass(frozen=True, eq=False)
class How:
    """What some kinds of pictures need to know: pixel centres (module, ss, fs, 3) in m, bins, which rows in words.

    And how many values of rows are read at most.
    """

    positions: NDArray | images.Places | None = None
    bins: Any = None
    where: str = ""
    most: int = MOST


def usual(one: Parts) -> str:
    """Return the kind of picture that a variable deserves: the table above."""
    array, rows = one.array, one.rows
    if one.image:
        return "image"
    along = [str(d) for d in array.dims if str(d) != rows]
    if rows and not any(array.sizes[d] >= LONG for d in along):
        if array.dtype.kind in "USO":
            return "bars"
        over = array.dtype.kind == "b" or (rows == TRAIN and array.dtype.kind != "M")
        return "series" if over else "histogram"
    if rows or len(along) == 1:
        return "line" if rows else _along(one, along[0])
    if len(along) > 1 and one.series:
        return _along(one, along[-1])
    return "map" if along else "number"


def _along(one: Parts, dim: str) -> str:
    """Return how values along one axis are drawn."""
    if one.named(dim):
        return "bars"
    bins = one.count or f"{dim}_lo" in one.data.coords
    return "points" if one.error and bins and one.array.sizes[dim] <= FEW else "line"


def needed(one: Parts, kind: str) -> list[str]:
    """Return the axes of a variable that a kind of picture has.

    Raises
    ------
    ValueError
        If the variable has not got them.
    """
    dims, rows = [str(d) for d in one.array.dims], one.rows
    along = [d for d in dims if d != rows]
    has = {
        "image": one.image,
        "modules": one.image,
        "histogram": [rows] if rows else dims,
        "series": [rows] if rows else [],
        "bars": [rows] if rows else dims[-1:],
        "line": ([rows] if rows else []) + along[-1:],
        "points": [*one.series, *along[-1:]] if one.error else [],
        "map": dims[-2:] if len(dims) > 1 else [],
        "number": [],
    }
    if kind not in has:
        raise ValueError(f"kind={kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}")
    if kind == "number":
        raise ValueError(f"{one.name} is one value: {one.array.values}; there is nothing to draw")
    if not has[kind]:
        raise ValueError(f"{one.name} {one.array.dims} cannot be drawn as {kind}; usual is {usual(one)}")
    return has[kind]


# Each kind ----------------------------------------------------------------------------------------------


def _image(one: Parts, title: str, how: How) -> Picture:
    return _whole(images.of_array(one.shown, images.of_one(how.positions, one.module), title), one)


def _modules(one: Parts, title: str, how: How) -> Picture:
    return _whole(images.of_array(one.shown, None, title), one)


def _whole(made: images.Image | maps.Map, one: Parts) -> Picture:
    """Return a picture whose colours know of whole numbers, also where some are missing."""
    return replace(made, whole=one.array.dtype.kind in "iub")


def _histogram(one: Parts, title: str, how: How) -> Picture:
    return histogram.histogram(_variable(one, title), how.bins, how.where)


def _variable(one: Parts, title: str) -> samples.Sample:
    counted = f"{one.rows}s" if one.rows else "values"
    return replace(samples.of_array(one.array, one.part(one.valid), counted), doc=title)


def _series(one: Parts, title: str, how: How) -> Picture:
    rows = one.rows
    ids = one.trains_of(rows)
    trains = one.data[ids].values if ids else np.arange(one.array.sizes[rows])
    if rows == TRAIN and TRAIN in one.data.coords:
        trains = one.data[TRAIN].values
    return series.series(_variable(one, title), trains, how.where)


def _bars(one: Parts, title: str, how: How) -> Picture:
    if one.rows:
        return Bars.of(_variable(one, title), how.where)
    names = _x(one.array).astype("U")
    label = style.label(one.name, one.array.attrs.get("units"))
    return bars(names, {one.name: one.shown.values}, title, str(one.array.dims[0]), label)


def _x(array: DataArray) -> NDArray:
    dim = str(array.dims[0])
    return array[dim].values if dim in array.coords else np.arange(array.size)


def _line(one: Parts, title: str, how: How) -> Picture:
    if one.rows:
        return lines.of_rows(one.shown.transpose(one.rows, ...), one.rows, title)
    return lines.of_array(one.shown, one.part(one.error), title)


def _points(one: Parts, title: str, how: How) -> Picture:
    return points.of_array(one.shown, one.data[one.error], one.part(one.count), title)


def _map(one: Parts, title: str, how: How) -> Picture:
    return _whole(maps.of_array(one.shown, title), one)


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
    # Of values of one device the plain one has the shortest name.
    ranked = [(_rank(Parts.of(data, n)), len(n), place, n) for place, n in enumerate(names)]
    return min((one for one in ranked if one[0] < LAST), default=(0, 0, 0, ""))[3]


LAST = 90
"""Rank of what cannot be drawn."""


def _rank(one: Parts) -> int:
    """Return how little a variable says of a dataset."""
    kind = usual(one)
    if kind == "number" or not one.array.size:
        return LAST
    key = "mean" if one.name.endswith("_mean") else one.name.rpartition(".")[2]
    telling = TELLING.index(key) if key in TELLING else len(TELLING)
    return telling + (20 if one.array.dtype.kind not in "fc" else 0) + 2 * KINDS.index(kind)
