"""Thinned: pictures with as many values as a page can show: means of pixels, lines that keep what sticks out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..analysis.plots.images import Image
from ..analysis.plots.lines import Line
from ..analysis.plots.maps import Axis, Map

if TYPE_CHECKING:
    from xarray import Dataset

    from ..analysis.plots.plotted import Picture

POINTS = 800
"""Of a line."""


def thinned(picture: Picture, pixels: int) -> tuple[Picture, str]:
    """Return a picture with fewer values where it has too many, and in words what these are; "" if nothing is changed.

    Parameters
    ----------
    pixels : int
        Of an image or a map, along each side.
    """
    if isinstance(picture, Image):
        return _image(picture, pixels)
    if isinstance(picture, Map):
        return _map(picture, pixels)
    if isinstance(picture, Line) and picture.data.sizes["x"] > POINTS:
        return replace(
            picture, data=_line(picture.data)
        ), f"drawn with {POINTS} of {picture.data.sizes['x']} points"
    return picture, ""


def means(values: NDArray, rows: int, columns: int) -> NDArray:
    """Return the means of blocks of so many rows and columns, of what is there; the last ones are smaller."""
    if (rows, columns) == (1, 1):
        return values
    high, wide = (-(-n // k) for n, k in zip(values.shape, (rows, columns), strict=True))
    whole = np.zeros((high * rows, wide * columns))
    there = np.zeros(whole.shape, bool)
    inside = slice(values.shape[0]), slice(values.shape[1])
    np.isfinite(values, out=there[inside])
    np.copyto(whole[inside], values, where=there[inside])
    total, count = (_added(one, rows, columns) for one in (whole, there))
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _added(values: NDArray, rows: int, columns: int) -> NDArray:
    """Return sums of blocks: one row of all blocks after the other, as numpy is slow along short axes."""
    added = np.zeros((len(values) // rows, values.shape[1]))
    for row in range(rows):
        added += values[row::rows]
    total = np.zeros((len(added), values.shape[1] // columns))
    for column in range(columns):
        total += added[:, column::columns]
    return total


def _steps(shape: tuple[int, ...], pixels: int) -> list[int]:
    return [max(-(-n // pixels), 1) for n in shape]


def _image(image: Image, pixels: int) -> tuple[Image, str]:
    values = image.data["image"].values
    # Pixels stay square.
    k = max(_steps(values.shape, pixels))
    if k == 1:
        return image, ""
    fewer = means(values, k, k)
    left, right, bottom, top = image.data.attrs["extent"]
    wide = (right - left) * fewer.shape[1] * k / values.shape[1]
    high = (top - bottom) * fewer.shape[0] * k / values.shape[0]
    # What is too much of the last block lies at the end of rows: above where they go upwards, below otherwise.
    extent = (left, left + wide, bottom, bottom + high)
    said = f"means of {k} x {k} pixels"
    about = {"extent": extent, "points": f"{said}, of those that have a value"}
    data = image.data.drop_vars("image").assign(image=(("row", "column"), fewer)).assign_attrs(about)
    return replace(image, data=data, pixels=None), said


def _map(drawn: Map, pixels: int) -> tuple[Map, str]:
    values = drawn.values
    rows, columns = (
        1 if axis.words is not None else k
        for axis, k in zip((drawn.y, drawn.x), _steps(values.shape, pixels), strict=True)
    )
    if (rows, columns) == (1, 1):
        return drawn, ""
    y, x = _axis(drawn.y, rows), _axis(drawn.x, columns)
    fewer = replace(drawn, data=_placed(drawn, means(values, rows, columns), y, x), y=y, x=x)
    return fewer, f"means of {rows} x {columns} values"


def _placed(drawn: Map, values: NDArray, y: Axis, x: Axis) -> Dataset:
    """Return the values of a map with where they are."""
    import xarray as xr

    ends = {
        f"{name}_{'names' if axis.words is not None else 'borders'}": (
            f"{name}_end",
            axis.borders if axis.words is None else axis.words,
        )
        for name, axis in (("y", y), ("x", x))
    }
    return xr.Dataset({drawn.name: (("y", "x"), values)}, ends, {"y": y.label, "x": x.label})


def _axis(axis: Axis, k: int) -> Axis:
    """Return an axis with each k-th border, and the last one."""
    if k == 1:
        return axis
    borders = axis.borders[::k]
    return replace(
        axis, borders=borders if len(axis.borders) % k == 1 else np.append(borders, axis.borders[-1:])
    )


def _line(data: Dataset) -> Dataset:
    """Return a line of fewer points: the lowest and the highest of each stretch, so that no peak is lost."""
    y = data["value"].values
    borders = np.linspace(0, len(y), POINTS // 2 + 1).astype(int)
    known = np.isfinite(y)
    keep = []
    for a, b in zip(borders[:-1], borders[1:], strict=True):
        part, there = y[a:b], known[a:b]
        ends = (np.where(there, part, np.inf).argmin(), np.where(there, part, -np.inf).argmax())
        keep += sorted({a + int(n) for n in ends})
    return data.isel(x=keep)
