"""Line: values against a coordinate, with a band of errors or of what single rows have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .screen import Area, Screen, Span, rows_of

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

NINE_OF_TEN = (5, 95)
"""Percentiles between which nine of ten rows are."""


@dataclass(frozen=True, eq=False)
class Line:
    """A line and a band.

    `data` has ``value (x)``, perhaps ``low`` and ``high`` of the band, and the coordinate ``x``; its attributes are
    the labels, and what the band is.
    """

    data: Dataset
    title: str = ""

    def draw(self, axes: Any) -> None:
        """Draw the line upon its band."""
        data = self.data
        x, y = data["x"].values, data["value"].values
        axes.set(xlabel=data.attrs["x"], ylabel=data.attrs["y"])
        if not np.isfinite(y).any():
            return style.nothing(axes)
        if "low" in data:
            axes.fill_between(x, data["low"], data["high"], alpha=0.25, lw=0, label=data.attrs["band"])
        axes.plot(x, y, label=data.attrs["line"], marker="o" if len(x) < 3 else "")
        if style.is_log(y):
            axes.set_yscale("log", nonpositive="clip")
            axes.set_ylim(*_around(y, data))
        if "low" in data:
            axes.legend()
        axes.margins(x=0.02)
        if x.dtype.kind in "iu":
            style.whole_numbers(axes.xaxis)
        return None

    def text(self, screen: Screen) -> list[str]:
        """Draw the line in dots, the band in shades."""
        data = self.data
        x, y = data["x"].values.astype(float), data["value"].values
        if not np.isfinite(y).any():
            return [self.title, "no values"]
        log = style.is_log(y)
        band = [data[k].values for k in ("low", "high") if k in data]
        vertical = Span(*_around(y, data), True) if log else Span.over(y, *band)
        words = _times(data["x"].values)
        area = Area(
            screen,
            Span.over(x, name=data.attrs["x"], words=words),
            _named(vertical, data.attrs["y"]),
            rows_of(screen, 7),
        )
        if band:
            area.band(x, *band)
        area.line(x, y)
        return [
            self.title,
            *area.lines(),
            *([f"line: {data.attrs['line']}; shaded: {data.attrs['band']}"] * bool(band)),
        ]


def line(
    x: NDArray, y: NDArray, band: tuple[NDArray, NDArray] | None, about: dict[str, str], title: str
) -> Line:
    """Return a line; `about` has the labels ``x``, ``y``, and what ``line`` and ``band`` are."""
    import xarray as xr

    values = {"value": ("x", np.asarray(y, float))}
    if band is not None:
        values |= {name: ("x", np.asarray(v, float)) for name, v in zip(("low", "high"), band, strict=True)}
    return Line(xr.Dataset(values, {"x": np.asarray(x)}, {"line": "value", "band": "", **about}), title)


def of_array(array: DataArray, error: DataArray | None, title: str) -> Line:
    """Return an array of one dimension as a line, with its standard error if that is known."""
    y = array.values.astype(float)
    band = None if error is None else (y - error.values, y + error.values)
    about = {"line": str(array.name), "band": "standard error", **_labels(array, str(array.dims[0]))}
    return line(_x(array), y, band, about, title)


def of_rows(array: DataArray, rows: str, title: str) -> Line:
    """Return the mean of rows, (row, x), and between which values nine of ten of them are."""
    values = array.values
    x = _x(array.isel({rows: 0}, missing_dims="ignore")) if len(values) else np.zeros(0)
    mean, low, high = _spread(values)
    there = int(np.isfinite(values).any(axis=1).sum()) if values.dtype.kind == "f" else len(values)
    about = {"line": "mean", "band": f"90 % of {there} {rows}s", **_labels(array, str(array.dims[1]))}
    return line(x if len(values) else np.arange(values.shape[1]), mean, (low, high), about, title)


def _spread(values: NDArray) -> NDArray:
    """Return mean, and between which values nine of ten of them are, (3, x), of rows (row, x)."""
    found = np.full((3, values.shape[1]), np.nan)
    if values.dtype.kind == "f" and len(values) and np.isfinite(values).all():
        # Several times as fast where nothing is missing and each x is one stretch of memory.
        found[0] = values.mean(axis=0, dtype=float)
        ordered = np.sort(np.ascontiguousarray(values.T), axis=1)
        for row, percent in zip(found[1:], NINE_OF_TEN, strict=True):
            at = percent / 100 * (len(values) - 1)
            low, part = int(at), at - int(at)
            row[:] = ordered[:, low] * (1 - part) + ordered[:, min(low + 1, len(values) - 1)] * part
        return found
    values = values.astype(float)
    if (used := np.isfinite(values).any(axis=0)).any():
        found[0, used] = np.nanmean(values[:, used], axis=0)
        found[1:, used] = np.nanpercentile(values[:, used], NINE_OF_TEN, axis=0)
    return found


def _labels(array: DataArray, dim: str) -> dict[str, str]:
    unit = array[dim].attrs.get("units") if dim in array.coords else ""
    return {"x": style.label(dim, unit), "y": style.label(str(array.name), array.attrs.get("units"))}


def _x(array: DataArray) -> NDArray:
    """Return the coordinate of an array of one dimension; the number of each value without one."""
    dim = str(array.dims[0])
    numbers = dim in array.coords and array[dim].dtype.kind in "iufmM"
    return array[dim].values if numbers else np.arange(array.sizes[dim])


def _around(y: NDArray, data: Dataset) -> tuple[float, float]:
    """Return the ends of a logarithmic axis: nearly all values, and the band above them."""
    high = np.nanmax(data["high"].values) if "high" in data else np.nanmax(y)
    return float(np.percentile(y[y > 0], 1) / 1.5), float(1.3 * max(high, np.nanmax(y)))


def _named(span: Span, name: str) -> Span:
    return Span(span.low, span.high, span.log, name, span.words)


def _times(x: NDArray) -> list[str]:
    """Return first and last time as they are written; none of numbers."""
    return [str(np.datetime_as_string(t, "s")) for t in (x.min(), x.max())] if x.dtype.kind == "M" else []
