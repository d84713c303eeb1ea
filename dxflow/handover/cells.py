"""What a cell of a run table shows of a variable: data, a number or text, a line or an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..sizes import show
from .asrows import as_text
from .parts import EVENT, RATES, Source, unit_of
from .spelled import python_name

if TYPE_CHECKING:
    from xarray import DataArray

LARGEST = 50_000_000
"""Bytes of data that are kept in a cell; of more only what is drawn."""
MOST = 1_000_000_000
"""Bytes of data that are read for a cell."""
TEXTS = 3
"""Different texts that a cell names."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What is kept and shown.

    ``summary`` is the name of a function of NumPy that makes a number of the data, ``value`` a number or text that is
    shown instead, also where no data are kept; without both a small line or image is made of ``preview``, or of the
    data. ``why`` says why there is nothing.
    """

    data: Any = None
    summary: str | None = None
    value: Any = None
    preview: Any = None
    unit: str | None = None
    why: str = ""


def shown(source: Source, name: str, own: str) -> Shown:
    """Return what is shown of a variable.

    Parameters
    ----------
    source : Source
    name : str
    own : str
        What it is called there.
    """
    array, unit = source.columns.array(name), unit_of(source, name) or None
    if array.nbytes > MOST:
        return Shown(
            why=f"has {show(array.nbytes)}, too much for a cell: give something smaller, such as its mean"
        )
    found = source.columns.column(name)
    kind = found.values.dtype.kind
    if kind == "c":
        return Shown(why="is complex, which is not kept: add its magnitude as a variable")
    if not found.there.any():
        return Shown(why="has no value in this run")
    if kind in "USO":
        return _texts(found)
    values = _numbers(found)
    if not array.ndim:
        return Shown(_one(values), unit=unit)
    data = _labelled(source, name, own, values)
    kept = data if data.nbytes <= LARGEST else None
    dims = tuple(map(str, array.dims))
    if kind in "mM":
        return Shown(kept, value=str(values[found.there][0]))
    if dims[0] in RATES or dims[0].endswith(EVENT):
        return _rows(data, kept, unit)
    preview = None if array.ndim < 3 and kept is not None else _picture(source, name, values)
    return Shown(kept, preview=preview, unit=unit)


def _rows(data: DataArray, kept: DataArray | None, unit: str | None) -> Shown:
    """Return what is shown of values per pulse or train: their mean, and of lines and images the mean one."""
    if data.ndim > 1 and data[0].size == 1:
        data = data.isel(dict.fromkeys(data.dims[1:], 0), drop=True)
        kept = None if kept is None else data
    if data.ndim == 1:
        value = None if kept is not None else float(data.mean(skipna=True))
        return Shown(kept, "nanmean", value, unit=unit)
    mean = data.mean(str(data.dims[0]), skipna=True)
    return Shown(mean if kept is None else kept, preview=_flat(mean.values), unit=unit)


def _texts(found: Column) -> Shown:
    """Return what is shown of texts: those that there are."""
    texts = as_text(found.values)
    if not texts.ndim:
        return Shown(str(texts))
    different = np.unique(texts[texts != ""]).tolist()
    more = f", and {len(different) - TEXTS} more" if len(different) > TEXTS else ""
    return Shown(", ".join(different[:TEXTS]) + more)


def _numbers(found: Column) -> NDArray:
    """Return numbers, NaN where there is no value."""
    values, there = found.values, found.there
    if values.dtype.kind in "iub" and not there.all():
        return np.where(there, values, np.nan)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _one(values: NDArray) -> Any:
    return str(values) if values.dtype.kind in "mM" else values[()]


def _labelled(source: Source, name: str, own: str, values: NDArray) -> DataArray:
    """Return values with their labels and nothing that a netCDF file would not take."""
    import xarray as xr

    array = source.columns.array(name)
    dims = {str(d): python_name(str(d)) if "/" in str(d) else str(d) for d in array.dims}
    coords = {
        str(n): (tuple(dims[str(d)] for d in c.dims), c.values)
        for n, c in array.coords.items()
        if "/" not in str(n) and c.dims and c.dtype.kind in "iufbM"
    }
    told = {k: str(array.attrs[k]) for k in ("units", "long_name") if array.attrs.get(k)}
    return xr.DataArray(values, coords, tuple(dims.values()), own, told)


def _flat(values: NDArray) -> NDArray:
    """Return numbers as a line or an image: modules and other axes one below the other."""
    values = values.astype(np.float32) if values.dtype.kind == "b" else values
    return values if values.ndim < 3 else values.reshape(-1, values.shape[-1])


def _picture(source: Source, name: str, values: NDArray) -> Any:
    """Return a picture of images of modules, put together where a geometry lies beside the run; else an array."""
    from matplotlib.figure import Figure

    from ..analysis.plots.drawing import draw, positions

    try:
        if values.ndim == 3 and positions(source.data, name) is not None:
            figure = Figure(figsize=(5, 5), layout="constrained")
            draw(source.data, name, ax=figure.add_subplot())
            return figure
    except (ValueError, KeyError, TypeError):
        # A picture that cannot be drawn is no reason to show nothing.
        pass
    return _flat(values)
