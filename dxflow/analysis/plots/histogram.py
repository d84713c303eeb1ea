"""Histogram: how often a variable has which values; of booleans and texts, how often it has each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .bars import Bars
from .screen import MARGIN, Area, Screen, Span, rows_of

if TYPE_CHECKING:
    from xarray import Dataset

    from .samples import Sample

FEWEST, MOST, WHOLE = 10, 200, 200
"""Bins of a histogram at least and at most, and the most of them that are one whole number each."""
POSITIONS, EACH = 100, 5
"""Values that have a bin each if there are no others, and how often each must be there on average."""
PEAKED = 100.0
"""How many times as many values the fullest bin must hold as the usual one for an axis of counts to be logarithmic."""
EVEN = 0.02
"""Part of a step by which steps between values may differ that are evenly apart."""
THIN = 0.006
"""Of the axis: a bar is at least as wide."""
SAME = 1e-12
"""Relative difference of the values of a constant."""
INSIDE, FAR = (0.1, 99.9), 8.0
"""Percentiles of values that are drawn, and how many times as far all must reach for the rest to be left out."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of bins, and what lies beyond them.

    `data` has ``count (bin)``, the coordinates ``bin`` (centres), ``low`` and ``high`` (edges; each bin holds its lower
    edge, the last one its upper one too), and the numbers ``below``, ``above`` and ``missing``. Of few values that are
    not evenly apart each is a bin: centre and edges are the value, and bars are drawn there, as bins between them
    would look like a density.
    """

    data: Dataset
    title: str = ""

    @property
    def alone(self) -> bool:
        """Whether bins are single values."""
        low, high = (self.data.variables[name].values for name in ("low", "high"))
        return len(low) > 1 and bool((low == high).all())

    def draw(self, axes: Any) -> None:
        """Draw steps, or bars at values."""
        data = self.data
        axes.set(xlabel=style.label(data.attrs["name"], data.attrs["units"]), ylabel=data.attrs["counted"])
        if not data.sizes["bin"]:
            return style.nothing(axes)
        low, high, counts = (data[name].values for name in ("low", "high", "count"))
        look: dict[str, Any] = {"color": style.BLUE, "alpha": 0.85, "lw": 0}
        if self.alone:
            wide = max(0.8 * np.diff(low).min(), THIN * (low[-1] - low[0]))
            axes.bar(low, counts, wide, **look)
            axes.margins(x=0.02)
        else:
            axes.stairs(counts, [*low, high[-1]], fill=True, **look)
            axes.set_xlim(low[0], high[-1])
        style.whole_numbers(axes.yaxis)
        if data["bin"].dtype.kind == "f" and not (data["bin"].values % 1).any():
            style.whole_numbers(axes.xaxis)
        if _is_log(counts):
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.5)
        return None

    def text(self, screen: Screen) -> list[str]:
        """Draw columns of blocks."""
        data = self.data
        if not data.sizes["bin"]:
            return [self.title, "no values"]
        room = screen.width - MARGIN - 2
        counts, x = _at(data, room) if self.alone else _columns(data, room)
        log = _is_log(data["count"].values)
        y = Span(0.5 if log else 0.0, float(counts.max()), log, data.attrs["counted"])
        area = Area(screen, x, y, rows_of(screen, 6), len(counts))
        area.columns_up(counts)
        return [self.title, *area.lines()]


def _is_log(counts: NDArray) -> bool:
    """Return whether some bins hold so many more values than others that these would not be seen."""
    some = counts[counts > 0]
    return bool(len(some) and some.max() > PEAKED * np.median(some))


def _at(data: Dataset, columns: int) -> tuple[NDArray, Span]:
    """Return counts for columns of cells, in which values are where they belong, and their axis."""
    values = data["low"].values
    at = np.rint((values - values[0]) / (values[-1] - values[0]) * (columns - 1)).astype(int)
    counts = np.bincount(at, data["count"].values, columns).astype(np.int64)
    return counts, Span.ends(values[0], values[-1], _label(data))


def _columns(data: Dataset, most: int) -> tuple[NDArray, Span]:
    """Return counts for columns of cells, as many bins in each, or as many columns for each bin, and their axis."""
    counts = data["count"].values
    together = -(-len(counts) // most)
    grouped = np.add.reduceat(counts, np.arange(0, len(counts), together))
    borders = np.append(data["low"].values[::together], data["high"].values[-1:])
    return np.repeat(grouped, most // len(grouped)), Span.along(borders, _label(data))


def histogram(variable: Sample, bins: Any = None, where: str = "") -> Histogram | Bars:
    """Return the histogram of a variable: of all its values that are there.

    Parameters
    ----------
    variable : Sample
    bins : int or sequence, optional
        How many, or their edges; by default one for each whole number where these are few, else the more
        the more values there are. Values that lie far beyond nearly all others are not drawn but counted.
    where : str
        What was selected, for the title.
    """
    if variable.values.dtype.kind in "USb":
        return Bars.of(variable, where)
    values = variable.numbers[variable.there & ~np.isinf(variable.numbers)]
    said = title(variable, len(values), where)
    if bins is None and (found := apart(variable, values)) is not None:
        data = _counted(variable, values, style.edges(found))
        return Histogram(data.assign_coords(dict.fromkeys(("bin", "low", "high"), ("bin", found))), said)
    return Histogram(_counted(variable, values, borders_of(variable, values, bins)), said)


def apart(variable: Sample, values: NDArray) -> NDArray | None:
    """Return the few values that all are, if they are not evenly apart; None otherwise."""
    if variable.values.dtype.kind != "f" or not len(values):
        return None
    low, high = drawn(values)
    if high - low <= SAME * max(abs(low), abs(high)) or (found := positions(values)) is None:
        return None
    steps = np.diff(found)
    return None if np.ptp(steps) <= EVEN * steps.max() else found


def title(variable: Sample, n: int, where: str = "") -> str:
    """Return what is shown: of how many values, and how many are missing."""
    missing = int(variable.there.size - n)
    what = f"{variable.doc or variable.name}: {n} values"
    return what + (f", {missing} missing" if missing else "") + (f", {where}" if where else "")


def _counted(variable: Sample, values: NDArray, borders: NDArray) -> Dataset:
    """Return counts between borders."""
    import xarray as xr

    counts = counted(values, borders)
    low, high = (variable.back(edge) for edge in (borders[:-1], borders[1:]))
    beyond = {"below": 0, "above": 0, "missing": variable.there.size - len(values)}
    if len(borders):
        beyond |= {"below": int((values < borders[0]).sum()), "above": int((values > borders[-1]).sum())}
    about = {"name": variable.name, "units": variable.unit, "counted": variable.counted}
    return xr.Dataset(
        {"count": ("bin", counts), **beyond},
        {
            "bin": variable.back((borders[:-1] + borders[1:]) / 2),
            "low": ("bin", low),
            "high": ("bin", high),
        },
        about,
    )


def counted(values: NDArray, borders: NDArray) -> NDArray:
    """Return how many values are in each bin: it holds its lower border, the last one also its upper one."""
    bins = len(borders) - 1
    if bins < 1:
        return np.zeros(0, np.int64)
    inside = values[(values >= borders[0]) & (values <= borders[-1])]
    return np.bincount(places(inside, borders), minlength=bins)


def places(values: NDArray, borders: NDArray) -> NDArray:
    """Return the bin of values that are inside of borders."""
    bins, steps = len(borders) - 1, np.diff(borders)
    # Borders have units: steps may be as small as 1e-15 (s).
    if np.allclose(steps, steps[0], rtol=1e-9, atol=0):
        # Far faster than to search; where rounding leaves a value one bin away it is moved.
        at = ((values - borders[0]) / steps[0]).astype(np.int64).clip(0, bins - 1)
        at -= values < borders[at]
        return at + ((values >= borders[at + 1]) & (at < bins - 1))
    return np.searchsorted(borders[1:-1], values, "right")


def borders_of(variable: Sample, values: NDArray, bins: Any = None) -> NDArray:
    """Return the edges of bins for the finite values of a variable."""
    if bins is not None and np.ndim(bins) == 1:
        return checked(bins)
    if not len(values):
        return np.zeros(0)
    low, high = drawn(values)
    if variable.values.dtype.kind in "iub":
        return _whole(np.floor(low), np.ceil(high), bins, len(values))
    if high - low <= SAME * max(abs(low), abs(high)):
        around = max(abs(low) * 1e-3, 0.5)
        low, high = low - around, high + around
    elif bins is None and (found := positions(values)) is not None:
        return style.edges(found)
    return np.linspace(low, high, int(bins or usual(len(values))) + 1)


def positions(values: NDArray) -> NDArray | None:
    """Return the few values that all are, such as the positions of a stepped motor; None if they are any."""
    found = np.unique(values[:: max(len(values) // 10**4, 1)])
    if not 1 < len(found) <= POSITIONS or len(found) * EACH > len(values):
        return None
    found = np.unique(values)
    near = np.diff(found) <= 1e-9 * (found[-1] - found[0])
    return found if len(found) <= POSITIONS and not near.any() else None


def usual(n: int) -> int:
    """Return how many bins a histogram of so many values has."""
    return int(np.clip(2 * np.cbrt(n), FEWEST, MOST))


def _whole(low: float, high: float, bins: int | None, n: int) -> NDArray:
    """Return bins of whole numbers, as many in each."""
    step = 1.0 if bins is None and high - low < WHOLE else np.ceil((high - low + 1) / (bins or usual(n)))
    # Of numbers as large as time stamps not all are floats.
    step = max(step, 4 * float(np.spacing(max(abs(low), abs(high)))))
    return low - (step if step > high - low else 1.0) / 2 + step * np.arange(int((high - low) // step) + 2)


def checked(bins: Any) -> NDArray:
    """Return edges that the user gave."""
    borders = np.asarray(bins, float)
    if len(borders) < 2 or not (np.diff(borders) > 0).all():
        raise ValueError(f"bins={bins!r}; expected how many, or edges that rise")
    return borders


def drawn(values: NDArray) -> tuple[float, float]:
    """Return between which values bins lie: all, unless a few are far beyond the others."""
    low, high = float(values.min()), float(values.max())
    near, far = (float(x) for x in np.percentile(values, INSIDE))
    return (near, far) if high - low > FAR * (far - near) > 0 else (low, high)


def _label(data: Dataset) -> str:
    return style.label(data.attrs["name"], data.attrs["units"])
