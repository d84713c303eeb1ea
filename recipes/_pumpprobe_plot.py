"""The plot of `pumpprobe` and `scan`: on and off, their difference in q and delay, a q-range against the delay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow.recipes._saxs_plot import BLUE, GREY, ORANGE, with_unit

if TYPE_CHECKING:
    import xarray as xr

Q = r"q ($\mathrm{\AA}^{-1}$)"


def plot(data: xr.Dataset, run: str) -> Any:
    """Return a figure of what was compared: on, off, their difference and its error, (delay, q) each."""
    from matplotlib.figure import Figure

    difference = data["difference.difference"]
    scanned = difference.ndim > 1
    figure = Figure(figsize=(15 if scanned else 10, 4.6), layout="constrained", dpi=130)
    axes = figure.subplots(1, 3 if scanned else 2)
    _both(axes[0], data)
    if scanned:
        _image(figure, axes[1], difference)
        _against_delay(axes[2], data)
    else:
        _alone(axes[1], data)
    figure.suptitle(f"{Path(run).name}: pumped minus unpumped", fontsize=13)
    return figure


def _both(axes: Any, data: xr.Dataset) -> None:
    """Draw the means of pumped and of other frames: over all delays, and where the effect is largest."""
    on, off = data["difference.on"], data["difference.off"]
    q = on["q"].values
    at = ... if on.ndim == 1 else _largest(data)[0]
    where = "" if on.ndim == 1 else f", {on.dims[0]} {on[on.dims[0]].values[at]:.3g}"
    for one, color, label in ((off, GREY, "unpumped"), (on, ORANGE, "pumped")):
        axes.plot(q, one.values[at], color=color, lw=1.5, label=label)
    axes.set(xlabel=Q, ylabel=with_unit("I(q)", on), title=f"I(q){where}")
    axes.legend(frameon=False)


def _image(figure: Any, axes: Any, difference: xr.DataArray) -> None:
    """Draw the difference in q and delay, symmetric about 0."""
    delay = difference[difference.dims[0]]
    most = np.nanpercentile(np.abs(difference.values), 99.5) if np.isfinite(difference.values).any() else 1
    shown = axes.pcolormesh(
        *(_edges(difference[dim].values) for dim in ("q", str(delay.name))),
        np.ma.masked_invalid(difference.values),
        cmap="RdBu_r",
        vmin=-most,
        vmax=most,
        rasterized=True,
    )
    axes.set_facecolor("#d8d8d8")
    axes.set(xlabel=Q, ylabel=_delay(delay), title="difference")
    figure.colorbar(shown, ax=axes, label=with_unit("pumped - unpumped", difference), extend="both")


def _against_delay(axes: Any, data: xr.Dataset) -> None:
    """Draw a q-range with its errors against the delay: that asked for, or the bin with the largest effect."""
    name = "band_difference" if "band_difference.difference" in data else "difference"
    values, error = data[f"{name}.difference"], data[f"{name}.error"]
    bins = values[values.dims[1]]
    bin_ = 0 if name != "difference" else _largest(data)[1]
    delay = values[values.dims[0]]
    axes.axhline(0, color=GREY, lw=0.8)
    axes.errorbar(
        delay.values,
        values.values[:, bin_],
        error.values[:, bin_],
        fmt="o-",
        color=BLUE,
        ms=4,
        lw=1,
        capsize=2,
    )
    what = "q-range about" if name != "difference" else "bin with the largest effect,"
    axes.set(
        xlabel=_delay(delay),
        ylabel=with_unit("pumped - unpumped", values),
        title=f"{what} {bins.values[bin_]:.3g} " + r"$\mathrm{\AA}^{-1}$",
    )


def _alone(axes: Any, data: xr.Dataset) -> None:
    """Draw the difference of a run without delays."""
    difference, error = data["difference.difference"], data["difference.error"].values
    q = difference["q"].values
    axes.axhline(0, color=GREY, lw=0.8)
    axes.fill_between(
        q, difference - error, difference + error, color=BLUE, alpha=0.3, lw=0, label="standard error"
    )
    axes.plot(q, difference, color=BLUE, lw=1.4, label="difference")
    axes.set(xlabel=Q, ylabel=with_unit("pumped - unpumped", difference), title="difference")
    axes.legend(frameon=False)


def _largest(data: xr.Dataset) -> tuple[int, int]:
    """Return delay and bin at which the effect is largest, in its errors."""
    values, error = data["difference.difference"].values, data["difference.error"].values
    ratio = np.nan_to_num(np.abs(values) / np.where(error > 0, error, np.nan))
    delay, bin_ = np.unravel_index(np.argmax(ratio), ratio.shape)
    return int(delay), int(bin_)


def _delay(delay: xr.DataArray) -> str:
    """Return the label of an axis of delays, with its unit."""
    unit = delay.attrs.get("units")
    name = "delay" if delay.name in ("group", "delay") else f"delay, {delay.name}"
    return f"{name} ({unit})" if unit else str(name)


def _edges(centres: NDArray) -> NDArray:
    """Return the borders between values, halfway; of a single one, around it."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
