"""Points: means of bins with their errors against what was scanned, of all rows or of pumped and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style
from .screen import LINE, OTHER, Area, Screen, Span, rows_of

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

SIGNS = (("●", "o"), ("○", "x"), ("◆", "+"), ("◇", "*"))
"""Of each series, beyond ASCII and within."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points with bars of their standard errors.

    `data` has ``mean (series, x)``, ``sem`` and ``count``, and the coordinates ``x`` and ``series``.
    """

    data: Dataset
    title: str = ""

    def draw(self, axes: Any) -> None:
        """Draw points with error bars."""
        data = self.data
        axes.set(xlabel=data.attrs["x"], ylabel=data.attrs["y"])
        if not np.isfinite(data["mean"].values).any():
            return style.nothing(axes)
        for n, name in enumerate(data["series"].values):
            one = data.isel(series=n)
            form = {"fmt": "os^v"[n % 4], "ms": 4, "lw": 1, "capsize": 2, "color": style.COLOURS[n % 4]}
            # Open signs where they mean "off".
            form |= {"mfc": "white"} if n % 2 else {}
            axes.errorbar(one["x"].values, one["mean"].values, one["sem"].values, label=str(name), **form)
            axes.plot(one["x"].values, one["mean"].values, color=form["color"], lw=0.7, alpha=0.6, zorder=1)
        if data.sizes["series"] > 1:
            axes.legend()
        return None

    def text(self, screen: Screen) -> list[str]:
        """Draw signs with bars."""
        data = self.data
        mean, sem, x = (data[name].values for name in ("mean", "sem", "x"))
        if not np.isfinite(mean).any():
            return [self.title, "no values"]
        error = np.nan_to_num(sem)
        y = Span.over(mean - error, mean + error, name=data.attrs["y"])
        area = Area(screen, Span.over(x, name=data.attrs["x"]), y, rows_of(screen, 7))
        signs = [SIGNS[n % 4][0 if screen.unicode else 1] for n in range(len(mean))]
        for n in reversed(range(len(mean))):
            area.points(x, mean[n], sem[n], signs[n], (LINE, OTHER)[n % 2])
        names = [str(name) for name in data["series"].values]
        legend = ", ".join(f"{sign} {name}" for sign, name in zip(signs, names, strict=True))
        return [self.title, *area.lines(), *([legend] * (len(names) > 1))]


def points(series: Mapping[str, Sequence[Any]], x: Any, about: dict[str, str], title: str) -> Points:
    """Return points: (mean, standard error, count) by name, and the labels ``x`` and ``y``."""
    import xarray as xr

    stacked = [np.stack([np.asarray(v, float) for v in one]) for one in zip(*series.values(), strict=True)]
    values = {k: (("series", "x"), v) for k, v in zip(("mean", "sem", "count"), stacked, strict=True)}
    return Points(xr.Dataset(values, {"x": np.asarray(x), "series": list(series)}, about), title)


def of_array(array: DataArray, error: DataArray, count: DataArray | None, title: str) -> Points:
    """Return an array of ([series,] x), with its standard errors, as points."""
    dim, n = str(array.dims[-1]), array.shape[-1]
    x = array[dim].values if dim in array.coords and array[dim].dtype.kind in "iuf" else np.arange(n)
    unit = array[dim].attrs.get("units") if dim in array.coords else ""
    about = {"x": style.label(dim, unit), "y": style.label(str(array.name), array.attrs.get("units"))}
    counts = np.full(array.shape, np.nan) if count is None else count.values
    names = [str(array.name)] if array.ndim == 1 else [str(name) for name in array[array.dims[0]].values]
    each = (one.reshape(len(names), n) for one in (array.values, error.values, counts))
    return points(dict(zip(names, zip(*each, strict=True), strict=True)), x, about, title)
