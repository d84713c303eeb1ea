"""The plot of the recipe `reduce_raw`: lit frames over trains, what pixels say of them, and the bytes that remain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dxflow.copying.patterns import Grid
from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE
from dxflow.sizes import show

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result
    from dxflow.copying import CopyReport


def plot(results: Mapping[str, Result], steps: Mapping[str, CopyReport]) -> Any:
    """Return a figure of the results of the recipe, and of the copies that it planned."""
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 7.2), layout="constrained", dpi=130)
    lit, seen, size = figure.subplots(3, 1)
    selected = results["lit"].selection()
    _over_trains(lit, selected)
    if "bright" in results:
        _pixels(seen, results["bright"].dataset, selected)
    _sizes(size, steps)
    name = Path(results["lit"].manifest["plan"]["run"]).name
    figure.suptitle(f"{name}: {int(selected.sum())} of {selected.size} frames are lit", fontsize=13)
    return figure


def _over_trains(axes: Any, lit: xr.DataArray) -> None:
    """Draw how many frames of each train there are, and are lit."""
    ids, train = np.unique(lit["train_id"].values, return_inverse=True)
    axes.step(ids, np.bincount(train), where="mid", color=GREY, label="frames")
    axes.step(ids, np.bincount(train, lit.values), where="mid", color=ORANGE, label="lit")
    axes.set(xlabel="train id", ylabel="frames of a train", title="lit frames")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.legend(frameon=False)


def _pixels(axes: Any, bright: xr.Dataset, lit: xr.DataArray) -> None:
    """Draw the share of bright pixels in frames that are lit by timing, and in others."""
    share = Grid.of(bright["litframes.lit_pixels"] / np.maximum(bright["litframes.valid_pixels"], 1))
    known = Grid.of(lit).among(share.train_ids, share.values.shape[1])
    values, there = 100 * share.values, share.there & known.there
    edges = np.linspace(values[there].min(initial=0), values[there].max(initial=0) + 1e-9, 80)
    for which, color, label in (
        (there & ~known.values, GREY, "dark by timing"),
        (there & known.values, ORANGE, "lit by timing"),
    ):
        axes.hist(values[which], bins=edges, color=color, alpha=0.7, label=f"{label} ({int(which.sum())})")
    axes.set(xlabel="bright pixels (%)", ylabel="frames", title="pixels of a sample", yscale="log")
    axes.legend(frameon=False)


def _sizes(axes: Any, steps: Mapping[str, CopyReport]) -> None:
    """Draw the bytes of the run, and what remains of them after each step."""
    before = next(iter(steps.values())).before
    sizes = {"the run": before, **{name: step.after for name, step in steps.items()}}
    bars = axes.barh(list(sizes), list(sizes.values()), color=[GREY, *[BLUE] * len(steps)])
    axes.bar_label(bars, [f"{show(n)}, {n / max(before, 1):.1%}" for n in sizes.values()], padding=4)
    axes.invert_yaxis()
    axes.set(title="bytes that remain", xticks=[], xlim=(0, 1.3 * before))
