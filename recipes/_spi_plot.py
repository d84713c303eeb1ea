"""The plot of the recipe `spi`: scores over trains with the threshold, their histogram, and the hit rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE, of_trains, spacious
from dxflow.recipes._sfx_plot import draw_rate

if TYPE_CHECKING:
    from dxflow import Result

BINS = 80
FAR = 10
"""Scores of more than so many thresholds are drawn logarithmically."""
MOST = 20_000
"""Points that are drawn of misses."""


def plot(result: Result) -> Any:
    """Return a figure of a result with hits of single particles."""
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    data = result.dataset
    figure = Figure(figsize=(12.5, 7.2), layout="constrained", dpi=130)
    spacious(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    over, among, rate = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
    there = data["spihits.hit_valid"].values.astype(bool)
    trains, score, hit, miss = (
        data[name].values[there] for name in ("train_id", "spihits.score", "spihits.hit", "spihits.miss")
    )
    kinds = {"misses": (~hit & ~miss, GREY), "misses that are kept": (miss, BLUE), "hits": (hit, ORANGE)}
    threshold = data["spihits.threshold"].values
    _over_trains(over, trains, score, kinds)
    over.plot(data["train"].values, threshold, color="black", lw=1, label="threshold")
    over.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=4, markerscale=2)
    _histogram(among, score, kinds, threshold[np.isfinite(threshold)])
    draw_rate(rate, trains, hit)
    share = f"{hit.mean():.2%}" if len(hit) else "none"
    name = Path(result.manifest["plan"]["run"]).name
    figure.suptitle(f"{name}: {int(hit.sum())} hits in {len(hit)} frames ({share})", fontsize=13)
    return figure


def _over_trains(axes: Any, trains: NDArray, score: NDArray, kinds: dict[str, Any]) -> None:
    """Draw the score of each frame, some of very many misses."""
    for label, (which, color) in kinds.items():
        at = np.flatnonzero(which)
        drawn = at[:: 1 + len(at) // MOST]
        more = f", 1 of {1 + len(at) // MOST} drawn" if len(at) > len(drawn) else ""
        axes.plot(
            trains[drawn], score[drawn], ".", ms=4, color=color, label=f"{label} ({len(at)}{more})", zorder=2
        )
    axes.set(xlabel="train id", ylabel="score: lit pixels", title="scores and their threshold")
    of_trains(axes)
    _scale(axes, "y", score)


def _histogram(axes: Any, score: NDArray, kinds: dict[str, Any], threshold: NDArray) -> None:
    """Draw how many frames have which score, and between which scores the threshold was."""
    edges = _edges(score)
    parts = [score[which] for which, _ in kinds.values()]
    axes.hist(parts, bins=edges, stacked=True, color=[color for _, color in kinds.values()])
    if len(threshold):
        axes.axvspan(threshold.min(), threshold.max(), color="black", alpha=0.15, lw=0)
        axes.axvline(
            np.median(threshold), color="black", lw=1, label="threshold: median, and range over trains"
        )
        axes.legend(frameon=False)
    axes.set(xlabel="score: lit pixels", ylabel="frames", title="distribution of scores", yscale="log")
    _scale(axes, "x", score)


def _linear(score: NDArray) -> float:
    """Return up to which score axes are linear; 0: all of them are."""
    usual = max(2 * float(np.median(score)), 1.0) if len(score) else 1.0
    return usual if score.max(initial=0) > FAR * usual else 0.0


def _edges(score: NDArray) -> NDArray:
    """Return edges of bins, of equal width on the axis."""
    low, high = score.min(initial=score.max(initial=1)), score.max(initial=1) + 1
    if not (linear := _linear(score)):
        return np.linspace(low, high, BINS + 1)
    return np.unique(
        np.concatenate([np.linspace(0, linear, BINS // 2), np.geomspace(linear, high, BINS // 2)])
    )


def _scale(axes: Any, which: str, score: NDArray) -> None:
    """Make an axis of scores logarithmic above what is usual, if some are far above it."""
    if linear := _linear(score):
        getattr(axes, f"set_{which}scale")("symlog", linthresh=linear)
