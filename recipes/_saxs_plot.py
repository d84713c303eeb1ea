"""The plot of the recipe `saxs`: mean image, I(q) with its spread over frames, and the lit-frame trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.analysis.plots.images import assemble, of_modules

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result

MOSTLY = 0.9
"""Share of I(q) above zero from which on its axis is logarithmic."""
BLUE, ORANGE, GREY = "#1f5fa8", "#d9731a", "#8a8a8a"


def plot(result: Result, averaged: Result, positions: NDArray) -> Any:
    """Return a figure of a result of the recipe's data pass.

    Parameters
    ----------
    result : Result
    averaged : Result
        With the mean image: of lit frames, or the same result where there are none.
    positions : ndarray, (module, ss, fs, 3)
        Pixel centres of the modules that were read or of all of the detector, m.
    """
    # Figure rather than pyplot: no window system is touched, and no state is left behind.
    from matplotlib.figure import Figure

    data = result.dataset
    figure = Figure(figsize=(12.5, 7.2), layout="constrained", dpi=130)
    spacious(figure)
    image, *right = _axes(figure)
    which = "all" if averaged is result else "lit"
    _mean_image(figure, image, averaged.dataset["average.mean"], positions, f"mean of {which} frames")
    _intensity(right[0], data)
    _trace(right[1], data)
    figure.suptitle(f"{Path(result.manifest['plan']['run']).name}: {_frames(data)}", fontsize=13, x=0.5)
    return figure


def spacious(figure: Any) -> None:
    """Leave room around axes: an image of fixed aspect is placed anew after the layout, with its labels."""
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.12, h_pad=0.1)


def of_trains(axes: Any) -> None:
    """Make the numbers of an axis of train ids whole ones, few and written out."""
    axes.xaxis.get_major_locator().set_params(nbins=5, integer=True)
    axes.ticklabel_format(axis="x", useOffset=False)


def _axes(figure: Any) -> list[Any]:
    """Return the axes: a large one for the image, two above each other beside it."""
    grid = figure.add_gridspec(2, 2, width_ratios=(1.05, 1), height_ratios=(1.45, 1))
    return [figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1])]


def _frames(data: xr.Dataset) -> str:
    lit = data["litframes.lit"].values
    trains = len(np.unique(data["litframes.lit"].coords["train_id"]))
    return f"{len(lit)} frames of {trains} trains, {int(lit.sum())} of them lit"


def _mean_image(figure: Any, axes: Any, mean: xr.DataArray, positions: NDArray, title: str) -> None:
    """Draw the mean of each pixel where it is."""
    values = mean.values
    assembled, extent = assemble(values, of_modules(mean, positions))
    low, high = np.percentile(values[np.isfinite(values)], (1, 99.7)) if np.isfinite(values).any() else (0, 1)
    shown = axes.imshow(assembled, extent=extent, origin="lower", cmap="magma", vmin=min(low, 0), vmax=high)
    axes.set_facecolor("#d8d8d8")
    axes.set(xlabel="x (mm)", ylabel="y (mm)", title=f"{title}, dark subtracted")
    # The outermost modules do not touch the frame.
    left, right, bottom, top = extent
    around = 0.03 * max(right - left, top - bottom)
    axes.set(xlim=(left - around, right + around), ylim=(bottom - around, top + around))
    figure.colorbar(shown, ax=axes, label=with_unit("mean intensity", mean), shrink=0.72, extend="both")


def _intensity(axes: Any, data: xr.Dataset) -> None:
    """Draw I(q) of lit frames: mean, and between which values nine of ten frames are."""
    lit = data["litframes.lit"].values
    intensity, q = data["azint.intensity"], data["azint.intensity"].coords["q"].values
    # Without a lit frame, the dark ones are shown.
    values = intensity.values[lit if lit.any() else slice(None)]
    used = np.isfinite(values).any(axis=0)
    axes.set(
        xlabel=r"q ($\mathrm{\AA}^{-1}$)", ylabel=with_unit("I(q)", intensity), title="azimuthal average"
    )
    if not used.any():
        axes.text(0.5, 0.5, "no frame could be read", ha="center", transform=axes.transAxes)
        return
    low, high = np.nanpercentile(values[:, used], (5, 95), axis=0)
    axes.fill_between(q[used], low, high, color=BLUE, alpha=0.22, lw=0, label="90 % of single frames")
    mean = np.nanmean(values[:, used], axis=0)
    which = "lit" if lit.any() else "all"
    axes.plot(q[used], mean, color=BLUE, lw=1.6, label=f"mean of {which} frames")
    around = 0.02 * (q[used].max() - q[used].min())
    axes.set_xlim(q[used].min() - around, q[used].max() + around)
    _scale(axes, mean, high)
    axes.legend(frameon=False)


def _scale(axes: Any, mean: NDArray, high: NDArray) -> None:
    """Make the axis of intensity logarithmic, unless much of it is not above zero."""
    above = mean[mean > 0]
    if len(above) < MOSTLY * len(mean):
        axes.axhline(0, color=GREY, lw=0.6)
        return
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(np.percentile(above, 1) / 2, 1.5 * np.nanmax(high))


def _trace(axes: Any, data: xr.Dataset) -> None:
    """Draw the share of bright pixels of each frame, lit and dark ones apart."""
    lit = data["litframes.lit"].values
    share = 100 * data["litframes.lit_pixels"].values / np.maximum(data["litframes.valid_pixels"].values, 1)
    frame = np.arange(len(lit))
    for which, color, label in ((lit, ORANGE, "lit"), (~lit, GREY, "dark")):
        axes.plot(frame[which], share[which], ".", ms=4, color=color, label=f"{label} ({int(which.sum())})")
    axes.set(xlabel="frame of the run", ylabel="bright pixels (%)", title="lit frames")
    axes.set_xlim(-0.01 * len(lit), 1.01 * len(lit))
    axes.set_ylim(bottom=0, top=1.25 * max(share.max(initial=0), 0.1))
    axes.legend(frameon=False, ncols=2, loc="upper right", markerscale=2)


def with_unit(what: str, array: xr.DataArray) -> str:
    """Return an axis label with the unit of an array; detectors without one count in ADU."""
    unit = str(array.attrs.get("units") or "detector units")
    return f"{what} ({unit})"
