"""The plot of the recipe `sfx`: maximum of all hits, hit rate over trains, and how many peaks frames have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.analysis.plots.images import assemble, of_modules
from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE, of_trains, spacious

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result

MOST, FEWEST = 100, 40
"""Stretches of trains that the hit rate is drawn of; frames that these have at least."""


def plot(result: Result, positions: NDArray, fewest: int) -> Any:
    """Return a figure of a result of the recipe's first pass.

    Parameters
    ----------
    result : Result
    positions : ndarray, (module, ss, fs, 3)
        Pixel centres of the modules that were read or of all of the detector, m.
    fewest : int
        Peaks of a hit.
    """
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    data = result.dataset
    figure = Figure(figsize=(12.5, 7.2), layout="constrained", dpi=130)
    spacious(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.05, 1))
    image, rate, count = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
    _powder(figure, image, data["peaks.powder_max"], positions)
    there = data["peaks.n_peaks_valid"].values
    hit, peaks = (data[f"peaks.{name}"].values[there] for name in ("hit", "n_peaks"))
    draw_rate(rate, data["train_id"].values[there], hit)
    _counts(count, peaks, fewest)
    share = f"{hit.mean():.2%}" if len(hit) else "none"
    name = Path(result.manifest["plan"]["run"]).name
    figure.suptitle(f"{name}: {int(hit.sum())} hits in {len(hit)} frames ({share})", fontsize=13)
    return figure


def _powder(figure: Any, axes: Any, powder: xr.DataArray, positions: NDArray) -> None:
    """Draw the maximum of all hits where it is."""
    values = powder.values
    assembled, extent = assemble(values, of_modules(powder, positions))
    high = np.nanpercentile(values, 99.7) if np.isfinite(values).any() else 1
    shown = axes.imshow(assembled, extent=extent, origin="lower", cmap="magma", vmin=0, vmax=max(high, 1e-9))
    axes.set_facecolor("#d8d8d8")
    axes.set(xlabel="x (mm)", ylabel="y (mm)", title="maximum of all hits")
    figure.colorbar(shown, ax=axes, label=str(powder.attrs.get("units") or "detector units"), shrink=0.72)


def draw_rate(axes: Any, trains: NDArray, hit: NDArray) -> None:
    """Draw the share of hits over stretches of trains, with its standard error."""
    axes.set(xlabel="train id", ylabel="hits (%)", title="hit rate")
    ids, train = np.unique(trains, return_inverse=True)
    if not len(ids):
        return
    stretch = train * max(1, min(MOST, len(ids), len(trains) // FEWEST)) // len(ids)
    frames, hits, first = np.bincount(stretch), np.bincount(stretch, hit), np.bincount(stretch, trains)
    share = hits / frames
    error = np.sqrt(share * (1 - share) / frames)
    axes.errorbar(first / frames, 100 * share, 100 * error, fmt=".", color=BLUE, ecolor=GREY)
    axes.axhline(100 * hit.mean(), color=ORANGE, lw=1, label=f"mean {hit.mean():.2%}")
    axes.set_ylim(bottom=0)
    of_trains(axes)
    axes.legend(frameon=False, loc="lower right")


def _counts(axes: Any, peaks: NDArray, fewest: int) -> None:
    """Draw how many frames have how many peaks, and from where on they are hits."""
    top = int(peaks.max(initial=fewest))
    bins = np.unique(np.linspace(0, top + 1, min(top + 1, 80) + 1).astype(int)) - 0.5
    counts, *_ = axes.hist(peaks, bins=bins, color=BLUE)
    axes.axvline(fewest - 0.5, color=ORANGE, lw=1.5, label=f"hits: {fewest} peaks or more")
    axes.set(xlabel="peaks of a frame", ylabel="frames", title="number of peaks", yscale="log")
    axes.set_ylim(0.5, 3 * max(counts.max(), 1))
    axes.legend(frameon=False)
