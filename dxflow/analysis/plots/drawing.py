"""Draw a variable of any dataset with matplotlib, as its kind deserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ... import geometry as geometries
from .kinds import How, picture
from .plotted import Plot, plotted

if TYPE_CHECKING:
    from xarray import Dataset


def draw(
    data: Dataset,
    name: str,
    *,
    kind: str | None = None,
    at: Mapping[str, Any] | None = None,
    geometry: Any = None,
    ax: Any = None,
    how: How | None = None,
) -> Plot:
    """Return the plot that a variable deserves.

    Parameters
    ----------
    data : xarray.Dataset
        Of a result, a table or a cube.
    name, kind, at, how
        As of `dxflow.analysis.plots.kinds.picture`.
    geometry : path or object, optional
        As of `dxflow.geometry.positions`: images of modules are put together.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn; in a figure of its own by default.
    """
    how = how or How()
    if geometry is not None:
        how = replace(how, positions=geometries.across(geometry))
    return plotted(picture(data, name, kind=kind, at=at, how=how), ax)
