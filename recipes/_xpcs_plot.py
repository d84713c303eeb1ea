"""The plot of the recipe `xpcs`: g2 with its error and decay, contrast of regions, the mean two-time matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

    from dxflow import Result

CLEAR = 3.0
"""Standard errors that g2 - 1 must have for a lag to say something of the decay."""
MATRICES = 100
"""Trains whose matrices are averaged for the plot."""


def plot(result: Result) -> Any:
    """Return a figure of a result of the recipe."""
    from matplotlib.figure import Figure

    data = result.dataset
    count = 2 + ("g2.c" in data)
    figure = Figure(figsize=(5.2 * count, 4.4), layout="constrained", dpi=130)
    axes = figure.subplots(1, count)
    _g2(axes[0], data)
    _contrast(axes[1], data)
    if count > 2:
        _matrix(figure, axes[2], data)
    name = Path(result.manifest["plan"]["run"]).name
    trains = int(data["g2.trains"].max())
    figure.suptitle(f"{name}: {trains} train{'s' * (trains != 1)}", fontsize=13)
    return figure


def decay(lag: NDArray, g2: NDArray, error: NDArray) -> tuple[float, float]:
    """Return contrast and time constant tau of contrast * exp(-2 lag / tau) + 1; NaN where no decay is seen.

    A straight line through ln(g2 - 1), of lags from the first to the last one before g2 comes near 1; not of lag 0,
    which has photon noise.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        clear = (g2 - 1 > CLEAR * error) & (error > 0) & (lag > 0)
    stop = np.argmin(clear[1:]) + 1 if not clear[1:].all() else len(lag)
    own = slice(1, stop)
    if stop < 3:
        return np.nan, np.nan
    slope, start = np.polyfit(lag[own], np.log(g2[own] - 1), 1, w=(g2[own] - 1) / error[own])
    return float(np.exp(start)), float(-2 / slope) if slope < 0 else np.nan


def _g2(axes: Any, data: xr.Dataset) -> None:
    """Draw g2 - 1 of each region against the lag, and its decay."""
    lag = data["lag"].values
    for n, (q, color) in enumerate(_colours(data)):
        g2, error = data["g2.mean"].values[n], data["g2.error"].values[n]
        contrast, tau = decay(lag, g2, error)
        said = f": $\\tau$ = {tau:.3g} µs" if np.isfinite(tau) else ""
        axes.errorbar(lag[1:], g2[1:] - 1, error[1:], fmt="o", ms=3, lw=1, color=color, label=f"{q}{said}")
        if np.isfinite(tau):
            axes.plot(lag, contrast * np.exp(-2 * lag / tau), lw=1, color=color)
    axes.axhline(0, color="#8a8a8a", lw=0.6)
    axes.set(xlabel="lag (µs)", ylabel="g2 - 1", title="mean of the trains")
    axes.legend(frameon=False, title=_label(data))


def _contrast(axes: Any, data: xr.Dataset) -> None:
    """Draw the contrast of each region, both ways."""
    q = data["q"].values.astype(float)
    for way, shape, shift in zip(data["way"].values, "os", (-1, 1), strict=True):
        own = data["contrast.contrast"].sel(way=way).values
        error = data["contrast.error"].sel(way=way).values
        apart = 0.04 * shift * (np.diff(q).min() if len(q) > 1 else 1)
        axes.errorbar(q + apart, own, error, fmt=shape, ms=5, lw=1, capsize=3, label=f"by {way}")
    axes.set(xlabel=_label(data), ylabel="contrast", title="speckle of single frames")
    low, high = axes.get_ylim()
    # Contrast is 0 to 1: a point that is far off, as of few frames, is out of the picture.
    axes.set_ylim(max(min(0, low), -0.5), min(1.2 * high, 1.5))
    axes.legend(frameon=False)


def _matrix(figure: Any, axes: Any, data: xr.Dataset) -> None:
    """Draw the mean matrix of the first region, without its diagonal, which has photon noise."""
    mean = data["g2.c"][:MATRICES, 0].mean("train").values
    np.fill_diagonal(mean, np.nan)
    x, y = data["t1"].values, data["t2"].values
    shown = axes.pcolormesh(x, y, mean.T, cmap="viridis", shading="nearest", rasterized=True)
    axes.set_facecolor("#d9d9d9")
    axes.set(
        xlabel="t1 (µs)",
        ylabel="t2 (µs)",
        title=f"two-time correlation where t1 is not t2\n{_label(data)} {_colours(data)[0][0]}",
        aspect="equal",
    )
    figure.colorbar(shown, ax=axes, label="C(t1, t2)", shrink=0.8)


def _colours(data: xr.Dataset) -> list[tuple[str, Any]]:
    """Return the name and the colour of each region."""
    from matplotlib import colormaps

    q = data["q"].values
    return [(f"{x:.4g}", colormaps["viridis"](0.85 * n / max(1, len(q) - 1))) for n, x in enumerate(q)]


def _label(data: xr.Dataset) -> str:
    """Return the name of the axis of regions."""
    unit = data["q"].attrs.get("units")
    return r"q ($\mathrm{\AA}^{-1}$)" if unit else "region"
