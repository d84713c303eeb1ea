"""The plot of the recipe `reduce_raw`: lit frames over trains, what pixels say of them, and the bytes that remain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.analysis.plots.images import assemble, of_modules
from dxflow.copying.patterns import Grid
from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE, of_trains, spacious
from dxflow.sizes import show

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result
    from dxflow.codecs.trial import Comparison
    from dxflow.copying import CopyReport


DECADES = 300
"""Where the largest error is less than so many of the smallest, there is room for 1, 2 and 5 of each decade."""


def plot(
    results: Mapping[str, Result],
    steps: Mapping[str, CopyReport],
    codecs: Comparison | None,
    positions: NDArray | None,
) -> Any:
    """Return a figure of the results of the recipe, and of the copies that it planned.

    Parameters
    ----------
    results : mapping of str to Result
    steps : mapping of str to CopyReport
    codecs : Comparison, optional
    positions : ndarray, (module, ss, fs, 3), optional
        Pixel centres of the modules that were read or of all of the detector, m.
    """
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained", dpi=120)
    spacious(figure)
    grid = figure.add_gridspec(2, 6)
    lit, seen, where, size, error = (
        figure.add_subplot(grid[row, columns])
        for row, columns in (
            (0, slice(0, 2)),
            (0, slice(2, 4)),
            (0, slice(4, 6)),
            (1, slice(0, 3)),
            (1, slice(3, 6)),
        )
    )
    selected = results["lit"].selection()
    _over_trains(lit, selected)
    if "bright" in results:
        _pixels(seen, results["bright"].dataset, selected)
    else:
        _without(seen, "lit frames were not compared with pixels")
    if "signal" in results:
        _places(figure, where, results["signal"].dataset, positions)
    else:
        _without(where, "where signal is was not looked for")
    _sizes(size, steps)
    if codecs is None:
        _without(error, "no codecs were tried")
    else:
        codecs.draw(error)
        error.set_title("ratio against error, on some lit frames")
        _readable(error)
    name = Path(results["lit"].manifest["plan"]["run"]).name
    figure.suptitle(f"{name}: {int(selected.sum())} of {selected.size} frames are lit", fontsize=13)
    return figure


def _readable(axes: Any) -> None:
    """Put the legend below the points, and numbers of an axis of errors so far apart that they can be read."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if legend := axes.get_legend():
        said = {"title": legend.get_title().get_text(), "fontsize": 8, "title_fontsize": 8}
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, frameon=False, **said)
    if axes.get_xscale() == "log":
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < DECADES * low else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())


def _over_trains(axes: Any, lit: xr.DataArray) -> None:
    """Draw how many frames of each train there are, and are lit."""
    ids, train = np.unique(lit["train_id"].values, return_inverse=True)
    axes.step(ids, np.bincount(train), where="mid", color=GREY, label="frames")
    axes.step(ids, np.bincount(train, lit.values), where="mid", color=ORANGE, label="lit")
    axes.set(xlabel="train id", ylabel="frames of a train", title="lit frames")
    axes.set_ylim(bottom=0)
    of_trains(axes)
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


def _without(axes: Any, why: str) -> None:
    """Say why there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", transform=axes.transAxes)


def _places(figure: Any, axes: Any, found: xr.Dataset, positions: NDArray | None) -> None:
    """Draw the occupancy of each ASIC where it is; those without signal are pale."""
    mask, occupancy = found["signal.mask"], found["signal.occupancy"]
    shape = mask.shape[1:]
    ss, fs = (
        np.searchsorted(np.unique(occupancy.coords[f"asic_{axis}"]), np.arange(n), "right") - 1
        for axis, n in zip(("ss", "fs"), shape, strict=True)
    )
    asic = ss[:, None] * (fs.max() + 1) + fs
    where = _apart(shape, len(mask))
    if positions is not None and positions.shape[1:3] == shape and len(mask) <= len(positions):
        where = of_modules(mask, positions)
    axes.set_facecolor("#d8d8d8")
    for values, alpha in (
        (occupancy.values[:, asic], 0.25),
        (mask.where(mask).values * occupancy.values[:, asic], 1),
    ):
        image, extent = assemble(100 * values, where)
        shown = axes.imshow(
            image,
            extent=extent,
            origin="lower",
            cmap="magma",
            vmin=0,
            vmax=100,
            # Where they are drawn smaller than they are, matplotlib takes no whole numbers.
            alpha=np.where(np.isfinite(image), alpha, 0.0),
        )
    share = float(mask.mean())
    axes.set(xlabel="x (mm)", ylabel="y (mm)", title=f"occupancy: {share:.1%} of pixels with signal")
    figure.colorbar(shown, ax=axes, label="frames with signal (%)", shrink=0.72)


def _apart(shape: tuple[int, ...], modules: int) -> NDArray:
    """Return places of pixels, as nobody says where they are: modules side by side, 1 mm each, (module, ss, fs, 3)."""
    module, ss, fs = np.indices((modules, *shape))
    x = fs + module * (shape[1] + max(shape[1] // 16, 1))
    return np.stack([x, ss, np.zeros_like(ss)], axis=-1) * 1e-3


def _sizes(axes: Any, steps: Mapping[str, CopyReport]) -> None:
    """Draw the bytes of the run, and what remains of them after each step."""
    before = next(iter(steps.values())).before
    sizes = {"the run": before, **{name: step.after for name, step in steps.items()}}
    bars = axes.barh(list(sizes), list(sizes.values()), color=[GREY, *[BLUE] * len(steps)])
    axes.bar_label(bars, [f"{show(n)}, {n / max(before, 1):.1%}" for n in sizes.values()], padding=4)
    axes.invert_yaxis()
    axes.set(title="bytes that remain", xticks=[], xlim=(0, 1.4 * before))
