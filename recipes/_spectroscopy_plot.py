"""The plot of the recipe `spectroscopy`: mean spectrum with its error, spectra over trains, absorption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE, with_unit

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result


def plot(result: Result) -> Any:
    """Return a figure of a result of the recipe."""
    from matplotlib.figure import Figure

    data = result.dataset
    count = 2 + ("xas.mu" in data)
    figure = Figure(figsize=(4.8 * count, 4.4), layout="constrained", dpi=130)
    axes = figure.subplots(1, count)
    _mean(axes[0], data)
    _trains(figure, axes[1], data)
    if count > 2:
        _absorption(axes[2], data)
    frames = data["spectrum.sum"]
    trains = len(np.unique(frames.coords["train_id"]))
    figure.suptitle(
        f"{Path(result.manifest['plan']['run']).name}: {len(frames)} frames of {trains} trains", fontsize=13
    )
    return figure


def _mean(axes: Any, data: xr.Dataset) -> None:
    """Draw the mean of the spectra, what its error leaves open, and the background that was subtracted."""
    mean, error = data["spectrum.mean"], data["spectrum.error"].values
    x = mean[mean.dims[0]].values
    axes.fill_between(
        x, mean - error, mean + error, step="mid", color=BLUE, alpha=0.3, lw=0, label="standard error"
    )
    axes.step(x, mean, where="mid", color=BLUE, lw=1.4, label="mean of the spectra")
    if "spectrum.background" in data:
        below = data["spectrum.background"].mean("frame")
        axes.step(x, below, where="mid", color=GREY, lw=1, label="background, subtracted")
    axes.set(xlabel=_label(mean), ylabel=with_unit("signal per frame", mean), title="spectrum")
    axes.set_xlim(x[0], x[-1])
    # Room above the lines for what they are.
    axes.margins(y=0.05)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))
    axes.legend(frameon=False, loc="upper left")


def _trains(figure: Any, axes: Any, data: xr.Dataset) -> None:
    """Draw the mean spectrum of each train, to see whether anything moves."""
    spectrum = data["spectrum.spectrum"]
    each = spectrum.groupby("train_id").mean("frame")
    x = spectrum[spectrum.dims[1]].values
    shown = axes.pcolormesh(
        x, np.arange(len(each)), each.values, cmap="viridis", shading="nearest", rasterized=True
    )
    axes.set(xlabel=_label(spectrum), ylabel="train of the run", title="spectra over trains")
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(shown, ax=axes, label=with_unit("signal per frame", spectrum))


def _absorption(axes: Any, data: xr.Dataset) -> None:
    """Draw the ratio of sums at each energy."""
    mu = data["xas.mu"]
    axes.errorbar(
        mu[mu.dims[0]].values,
        mu.values,
        data["xas.error"].values,
        fmt="o-",
        ms=4,
        lw=1,
        capsize=2,
        color=ORANGE,
    )
    counted = {"left out": int(data["xas.left_out"].sum()), "at no step": int(data["xas.outside"])}
    said = "".join(f", {n} {what}" for what, n in counted.items() if n)
    axes.set(
        xlabel=_label(mu, "scan"), ylabel="signal / I0", title=f"{int(data['xas.frames'].sum())} frames{said}"
    )
    if "transmission" in mu.attrs.get("long_name", ""):
        axes.set_ylabel("-ln(signal / I0)")


def _label(array: xr.DataArray, name: str = "") -> str:
    """Return the label of the axis of a spectrum."""
    dim = str(array.dims[-1])
    unit = array[dim].attrs.get("units")
    said = name or dim.rpartition(".")[2]
    return f"{said} ({unit})" if unit else said
