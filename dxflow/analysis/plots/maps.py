"""Map: values over two axes in colours: a 2-D histogram, spectra against a delay, a matrix of correlations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .histogram import borders_of, places
from .screen import MARGIN, UNDER, Screen, Span, below, resampled, rows_of, shaded, short

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from .samples import Sample

LONG = 28
"""Signs of a name beside an axis."""


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis: borders of its values, or their names; whether values are whole numbers."""

    label: str
    borders: NDArray
    words: NDArray | None = None
    whole: bool = False

    @classmethod
    def of(cls, array: DataArray, dim: str) -> Axis:
        """Return the axis of a dimension: by its coordinate if that rises or falls, else by number."""
        n = array.sizes[dim]
        if dim not in array.coords:
            return cls(dim, np.arange(n + 1) - 0.5, whole=True)
        values, label = array[dim].values, style.label(dim, array[dim].attrs.get("units"))
        if values.dtype.kind in "US":
            return cls(label, np.arange(n + 1) - 0.5, values.astype("U"))
        if values.dtype.kind in "mM":
            found = style.edges(values.astype("i8"))
            return cls(label, found.round().astype("i8").astype(values.dtype))
        steps = np.diff(values.astype(float)) if values.dtype.kind in "iuf" else np.zeros(max(n - 1, 0))
        if n > 1 and not ((steps > 0).all() or (steps < 0).all()):
            return cls(f"{dim} (number)", np.arange(n + 1) - 0.5, whole=True)
        return cls(label, style.edges(values), whole=values.dtype.kind in "iu")

    def span(self) -> Span:
        """Return the axis for a terminal."""
        if self.words is None:
            return Span.along(self.borders, self.label)
        return Span(0.0, 1.0, name=self.label, words=[str(word) for word in self.words])


@dataclass(frozen=True, eq=False)
class Map:
    """Values of (y, x) in colours.

    `data` has the one variable that is drawn, (y, x), and whatever else belongs to it.
    """

    data: Dataset
    name: str
    x: Axis
    y: Axis
    what: str
    title: str = ""
    counts: bool = False
    extent: tuple[float, float] | None = field(default=None)
    """Values of the first and the last colour; of the data by default."""
    whole: bool = False
    """Whether values are whole numbers."""

    @property
    def values(self) -> NDArray:
        """What is drawn, (y, x); bins without a count are empty."""
        values = self.data[self.name].values.astype(float)
        return np.where(values > 0, values, np.nan) if self.counts else values

    def draw(self, axes: Any) -> None:
        """Draw coloured rectangles."""
        values = self.values
        axes.set(xlabel=self.x.label, ylabel=self.y.label)
        if not np.isfinite(values).any():
            return style.nothing(axes)
        shown = axes.pcolormesh(
            self.x.borders, self.y.borders, values, rasterized=True, **self._colours(values)
        )
        if not self.counts:
            axes.set_facecolor(style.EMPTY)
        for axis, ticks in ((axes.xaxis, self.x), (axes.yaxis, self.y)):
            if ticks.words is not None:
                axis.set_ticks(range(len(ticks.words)), [str(w) for w in ticks.words])
            elif ticks.whole:
                style.whole_numbers(axis)
        style.coloured(axes, shown, values, self.what, whole=self.counts or self.whole)
        return None

    def _limits(self, values: NDArray) -> tuple[float, float, bool]:
        """Return the values of the first and the last colour, and whether colours are logarithmic between them."""
        if self.counts:
            return 1.0, max(float(np.nanmax(values)), 2.0), style.is_log(values)
        return *(self.extent or style.limits(values, whole=self.whole)), False

    def _colours(self, values: NDArray) -> dict[str, Any]:
        """Return norm and colour map of values."""
        from matplotlib.colors import LogNorm

        low, high, log = self._limits(values)
        if log:
            return {"norm": LogNorm(low, high), "cmap": style.RISING}
        return {
            "vmin": low,
            "vmax": high,
            "cmap": style.ABOUT_ZERO if style.both_ways(low, high) else style.RISING,
        }

    def text(self, screen: Screen) -> list[str]:
        """Draw in colours or shades, y upwards."""
        values = self.values
        if not np.isfinite(values).any():
            return [self.title, "no values"]
        low, high, log = self._limits(values)
        rows, columns = rows_of(screen, 7), screen.width - MARGIN - 2
        fine = 2 if screen.colour and screen.unicode else 1
        part = Span(low, high, log).part(resampled(values[::-1], (rows * fine, columns)))
        lines = shaded(part, 0.0, 1.0, screen, both_ways=style.both_ways(low, high))
        framing = framed(lines, self.x.span(), self.y.span(), columns)
        return [self.title, *framing, scale(self.what, low, high, screen)]


def scale(what: str, low: float, high: float, screen: Screen) -> str:
    """Return what colours or signs mean."""
    signs = f" ({UNDER.strip()} below 0)" if style.both_ways(low, high) and not screen.colour else ""
    return f"{what}: {short(low)} to {short(high)}{signs}"


def framed(lines: list[str], x: Span, y: Span, columns: int) -> list[str]:
    """Return lines of an image with the ends of its axes."""
    ends = {0: y.at(1.0), len(lines) - 1: y.at(0.0)}
    inside = [f"{ends.get(n, '')[:MARGIN]:>{MARGIN}} {line}" for n, line in enumerate(lines)]
    return [f"  {y.name}", *inside, *below(x, columns, MARGIN + 1)]


def density(x: Sample, y: Sample, bins: Any = None, where: str = "") -> Map:
    """Return the 2-D histogram of two variables: of rows where both are there.

    Parameters
    ----------
    x, y : Sample
        A value of each row.
    bins : int or (bins of x, bins of y), optional
        As for a histogram.
    """
    import xarray as xr

    xs, ys = x.numbers, y.numbers
    if xs.shape != ys.shape or xs.ndim != 1:
        raise ValueError(
            f"{x.name} is {xs.shape} and {y.name} is {ys.shape}; expected one value for each row of both"
        )
    good = np.isfinite(xs) & np.isfinite(ys)
    each = (
        bins if isinstance(bins, (tuple, list)) and len(bins) == 2 and np.ndim(bins[0]) < 2 else (bins, bins)
    )
    borders = [borders_of(v, values[good], b) for v, values, b in zip((x, y), (xs, ys), each, strict=True)]
    counts, inside = counted(xs[good], ys[good], *borders)
    names = [v.name if x.name != y.name else f"{v.name} ({a})" for v, a in ((x, "x"), (y, "y"))]
    n = int(good.sum())
    data = xr.Dataset(
        {"count": (("y", "x"), counts), "outside": n - inside, "missing": len(good) - n},
        {f"{a}_edge": (f"{a}_border", v.back(b)) for a, v, b in zip("xy", (x, y), borders, strict=True)},
        {"x": names[0], "y": names[1], "x_units": x.unit, "y_units": y.unit},
    )
    of_x, of_y = (Axis(style.label(v.name, v.unit), v.back(b)) for v, b in zip((x, y), borders, strict=True))
    missing = f", {len(good) - n} missing" if n < len(good) else ""
    title = f"{y.name} against {x.name}: {n} {x.counted}{missing}" + (f", {where}" if where else "")
    return Map(data, "count", of_x, of_y, x.counted, title, counts=True)


def counted(x: NDArray, y: NDArray, x_borders: NDArray, y_borders: NDArray) -> tuple[NDArray, int]:
    """Return how many points are in each bin, (y, x), and how many in any."""
    shape = max(len(y_borders) - 1, 0), max(len(x_borders) - 1, 0)
    if 0 in shape:
        return np.zeros(shape, np.int64), 0
    inside = (x >= x_borders[0]) & (x <= x_borders[-1]) & (y >= y_borders[0]) & (y <= y_borders[-1])
    at = places(y[inside], y_borders) * shape[1] + places(x[inside], x_borders)
    return np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape), int(inside.sum())


def of_array(array: DataArray, title: str) -> Map:
    """Return an array of two dimensions as a map: the last one along x."""
    y, x = (str(dim) for dim in array.dims)
    name = str(array.name)
    what = style.label(name, array.attrs.get("units"))
    whole = array.dtype.kind in "iub"
    return Map(
        array.to_dataset(name=name), name, Axis.of(array, x), Axis.of(array, y), what, title, whole=whole
    )
