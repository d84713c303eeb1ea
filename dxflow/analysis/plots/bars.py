"""Bars: how often a variable has each of its values, or how many rows pass each cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .screen import LINE, OTHER, Screen, short

if TYPE_CHECKING:
    from xarray import Dataset

    from .samples import Sample

MOST = 30
"""Values that have a bar of their own."""
OTHERS = "others"


@dataclass(frozen=True, eq=False)
class Bars:
    """Counts by name.

    `data` has ``count (name)``, or several variables of the same axis that are drawn beside each other.
    """

    data: Dataset
    title: str = ""

    @classmethod
    def of(cls, variable: Sample, where: str = "") -> Bars:
        """Return how often a variable has each value, the most frequent ones first; booleans: False, True."""
        values = variable.values[variable.there]
        names, counts = np.unique(values, return_counts=True)
        missing = int(variable.there.size - len(values))
        title = f"{variable.doc or variable.name}: {len(values)} values"
        title += (f", {missing} missing" if missing else "") + (f", {where}" if where else "")
        names, counts = _frequent(names.astype("U"), counts, order=values.dtype.kind != "b")
        return bars(names, {"count": counts}, title, variable.name, variable.counted)

    def draw(self, axes: Any) -> None:
        """Draw horizontal bars, the first at the top."""
        data = self.data
        names, series = data["name"].values, list(data.data_vars.items())
        if not len(names):
            style.nothing(axes)
        for n, (name, counts) in enumerate(series):
            at = np.arange(len(names)) + (n - (len(series) - 1) / 2) * 0.8 / len(series)
            drawn = axes.barh(at, counts, 0.76 / len(series), color=style.COLOURS[n % 4], label=str(name))
            axes.bar_label(drawn, [_written(v) for v in counts.values], padding=3, fontsize=7)
        axes.set_yticks(range(len(names)), [str(name) for name in names])
        axes.set(xlabel=data.attrs["counted"], ylabel=data.attrs["name"], ylim=(len(names) - 0.4, -0.6))
        axes.margins(x=0.15)
        axes.xaxis.get_major_locator().set_params(nbins=5)
        axes.xaxis.set_major_formatter("{x:,g}")
        if len(series) > 1:
            # Bars may be anywhere in the axes.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(series))

    def text(self, screen: Screen) -> list[str]:
        """Draw a bar in each line, with its count."""
        names = [str(name) for name in self.data["name"].values]
        series = [counts.values for counts in self.data.data_vars.values()]
        if not names:
            return [self.title, "no values"]
        most, wide = (
            float(np.nanmax([*series, [0.0] * len(names)])),
            min(max(map(len, names)), screen.width // 2),
        )
        numbers = max(len(_written(v)) for s in series for v in s)
        room = screen.width - wide - numbers - 3
        out = [self.title]
        for name, *each in zip(names, *series, strict=True):
            for n, value in enumerate(each):
                bar = screen.paint(_bar(value, most, room, screen), (LINE, OTHER)[n % 2])
                out.append(f"{name[:wide] if n == 0 else '':>{wide}} {bar} {_written(value)}")
        return out


def bars(names: NDArray, counts: dict[str, NDArray], title: str, name: str, counted: str) -> Bars:
    """Return bars of counts."""
    import xarray as xr

    about = {"name": name, "counted": counted}
    return Bars(xr.Dataset({k: ("name", v) for k, v in counts.items()}, {"name": names}, about), title)


def _bar(value: float, most: float, room: int, screen: Screen) -> str:
    """Return a bar of a length; what is there at all is seen."""
    long = max(round(room * value / most), 1) if value > 0 else 0
    return ("█" if screen.unicode else "#") * long


def _written(value: Any) -> str:
    """Return a count, or another number, as text."""
    return f"{value:,}" if isinstance(value, (int, np.integer)) else short(float(value))


def _frequent(names: NDArray, counts: NDArray, *, order: bool) -> tuple[NDArray, NDArray]:
    """Return the most frequent names, and what all others have together."""
    if not order:
        return names, counts
    first = np.argsort(-counts, kind="stable")
    names, counts = names[first], counts[first]
    if len(names) <= MOST:
        return names, counts
    rest = counts[MOST - 1 :].sum()
    named = f"{len(names) - MOST + 1} {OTHERS}"
    return np.append(names[: MOST - 1], named), np.append(counts[: MOST - 1], rest)
