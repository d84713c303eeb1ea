"""The plot of the recipe `dark`: offsets over memory cells, noise, levels of the gain, bad pixels by cause."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.algorithms.dark import shares
from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result

COLORS = {"high": BLUE, "medium": ORANGE, "low": GREY}
BINS = 80


def plot(results: Mapping[str, Result]) -> Any:
    """Return a figure of the results of `Pedestal`, by gain stage."""
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 7.6), layout="constrained", dpi=130)
    (offsets, noises), (levels, causes) = figure.subplots(2, 2)
    for stage, result in results.items():
        data, color = result.dataset, COLORS[stage]
        good = data["dark.bad"].values == 0
        _offsets(offsets, data, good, stage, color)
        _histogram(noises, data["dark.noise"].values[good], stage, color)
        if "dark.gain_level" in data:
            _histogram(levels, data["dark.gain_level"].values[good], stage, color)
    offsets.margins(y=0.12)
    offsets.set(xlabel="memory cell", ylabel="offset (ADU)", title="offset: median and nine in ten pixels")
    noises.set(xlabel="noise (ADU)", ylabel="pixels and memory cells", title="noise of good pixels")
    levels.set(xlabel="level of the gain (ADU)", ylabel="pixels and memory cells", title="gain stages")
    if not levels.has_data():
        levels.text(0.5, 0.5, "no level is recorded", ha="center", transform=levels.transAxes)
    _causes(causes, results)
    for axes in (offsets, noises, *([levels] if levels.has_data() else [])):
        axes.legend(frameon=False)
    names = ", ".join(Path(r.manifest["plan"]["run"]).name for r in results.values())
    figure.suptitle(f"dark runs {names}", fontsize=13)
    return figure


def _offsets(axes: Any, data: xr.Dataset, good: NDArray, stage: str, color: str) -> None:
    """Draw the offsets of good pixels against the memory cell."""
    cells = data["dark.offset"].coords["cell"].values
    found = [
        np.percentile(some, (5, 50, 95)) if len(some) else np.full(3, np.nan)
        for some in (data["dark.offset"].values[0, n][good[0, n]] for n in range(len(cells)))
    ]
    low, middle, high = np.transpose(found)
    axes.fill_between(cells, low, high, color=color, alpha=0.22, lw=0)
    axes.plot(cells, middle, color=color, marker=".", lw=1.2, label=f"{stage} gain")


def _histogram(axes: Any, values: NDArray, stage: str, color: str) -> None:
    """Draw how many pixels have which value, but for the thousandth that is farthest off."""
    if len(values):
        low, high = np.percentile(values, (0.05, 99.95))
        axes.hist(
            values,
            BINS,
            range=(low, max(high, low + 1e-6)),
            color=color,
            histtype="step",
            lw=1.6,
            label=f"{stage} gain",
        )


def _causes(axes: Any, results: Mapping[str, Result]) -> None:
    """Draw the share of bad pixels by cause."""
    for place, (stage, result) in enumerate(results.items()):
        table = shares(result.dataset)
        table = table[table["too few"] < 1]
        found = table.mean() if len(table) else table.sum()
        at = np.arange(len(found)) + 0.26 * (place - (len(results) - 1) / 2)
        axes.barh(at, 100 * np.asarray(found), 0.24, color=COLORS[stage])
        axes.set_yticks(np.arange(len(found)), list(found.index), fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="pixels and memory cells (%)", title="bad pixels by cause")
