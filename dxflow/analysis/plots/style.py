"""How pictures look: colours that all people tell apart, labels with units, limits that outliers do not stretch."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a8a8a"
"""Colours that people with every kind of colour vision tell apart.

References
----------
M. Okabe and K. Ito (2008), Color Universal Design, https://jfly.uni-koeln.de/color/.
"""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
EMPTY = "#d8d8d8"
"""Where an image has no value."""
RISING, ABOUT_ZERO = "viridis", "RdBu_r"
"""Colour maps of values that rise, and of those that go both ways from 0."""
MOSTLY, WIDE = 0.9, 50.0
"""Share of values above 0 from which on an axis may be logarithmic, and how far the values must reach for it."""
BOTH_WAYS = 0.2
"""Share of the larger side that the smaller one reaches where values go both ways from 0."""
UNITS = {"1/angstrom": "Å⁻¹", "angstrom": "Å", "um": "µm", "uJ": "µJ", "us": "µs", "deg": "°"}
"""Units as they are written in papers, also as parts of others."""
_UNIT = re.compile(rf"(?<!\w)({'|'.join(UNITS)})(?!\w)")


def styled() -> AbstractContextManager[Any]:
    """Return a context in which figures look as in papers; outside of it nothing is changed."""
    import matplotlib as mpl
    from matplotlib.rcsetup import cycler

    return mpl.rc_context(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.formatter.useoffset": False,
            "axes.formatter.limits": (-4, 5),
            "legend.frameon": False,
            "legend.fontsize": 8,
            "lines.linewidth": 1.3,
            "image.cmap": RISING,
            "image.interpolation": "nearest",
            "figure.dpi": 110,
            "savefig.dpi": 200,
            # Texts in files for papers stay texts.
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
        }
    )


def label(name: str, unit: Any = None) -> str:
    """Return the label of an axis: a name and its unit."""
    written = _UNIT.sub(lambda found: UNITS[found[0]], str(unit or ""))
    return f"{name} ({written})" if written else name


def finite(values: NDArray) -> NDArray:
    """Return the finite values, as one row."""
    return values[np.isfinite(values)]


def is_log(values: NDArray, wide: float = WIDE) -> bool:
    """Return whether values are better seen on a logarithmic axis: nearly all above 0, over a wide range."""
    some = finite(values)
    above = some[some > 0]
    if not len(above) or len(above) < MOSTLY * len(some):
        return False
    low, high = np.percentile(above, (2, 98))
    return bool(high > wide * low)


def limits(values: NDArray, *, whole: bool = False) -> tuple[float, float]:
    """Return between which values colours change: without outliers, symmetric where values go both ways from 0.

    Of whole numbers they are whole.
    """
    some = finite(values)
    if not len(some):
        return 0.0, 1.0
    low, high = (float(x) for x in np.percentile(some, (1, 99.7)))
    low, high = (float(np.floor(low)), float(np.ceil(high))) if whole else (low, high)
    if both_ways(low, high):
        return -max(-low, high), max(-low, high)
    if whole and low == high and low in (0, 1):
        return 0.0, 1.0
    around = 1.0 if whole else 0.5
    return (low, high) if low < high else (low - around, high + around)


def both_ways(low: float, high: float) -> bool:
    """Return whether limits go both ways from 0."""
    return low < 0 < high and min(-low, high) > BOTH_WAYS * max(-low, high)


def edges(centres: NDArray) -> NDArray:
    """Return the borders between values, halfway; of a single one, around it."""
    centres = np.asarray(centres, float)
    if len(centres) < 2:
        return np.concatenate([centres - 0.5, centres + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def coloured(axes: Any, shown: Any, values: NDArray, what: str, *, whole: bool = False) -> None:
    """Add the colours of an image beside its axes, pointed where values lie beyond; `whole` numbers have no halves."""
    low, high = shown.get_clim()
    some = finite(np.asarray(values, float))
    beyond = (len(some) > 0 and some.min() < low, len(some) > 0 and some.max() > high)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(beyond, "both")
    bar = axes.figure.colorbar(shown, ax=axes, label=what, extend=extend)
    if whole:
        whole_numbers(bar.long_axis)


def whole_numbers(axis: Any) -> None:
    """Have ticks at whole numbers only, if an axis is linear."""
    from matplotlib.ticker import MaxNLocator

    if isinstance(locator := axis.get_major_locator(), MaxNLocator):
        locator.set_params(integer=True, min_n_ticks=1)


def nothing(axes: Any, why: str = "no values") -> None:
    """Say in the middle of axes that there is nothing to draw."""
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GREY, transform=axes.transAxes)
