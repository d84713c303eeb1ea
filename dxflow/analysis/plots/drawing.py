"""Draw a variable of any dataset with matplotlib, as its kind deserves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import geometry as geometries
from .kinds import How, picture
from .parts import IMAGES
from .plotted import Plot, plotted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xarray import Dataset


def draw(
    data: Dataset,
    name: str,
    *,
    kind: str | None = None,
    at: Mapping[str, Any] | None = None,
    geometry: Any = None,
    distance: float | None = None,
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
        As of `dxflow.geometry.positions`: images of modules are put together; by default that beside the run.
    distance : float, optional
        As there.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn; in a figure of its own by default.
    """
    how = replace(how or How(), positions=positions(data, name, geometry, distance))
    return plotted(picture(data, name, kind=kind, at=at, how=how), ax)


def positions(data: Dataset, name: str, given: Any = None, distance: float | None = None) -> NDArray | None:
    """Return where pixels are: by a geometry that is given, or that lies beside the run; None if it is not known."""
    if given is not None:
        return geometries.across(given, distance)
    run = str(data.attrs.get("run", ""))
    if not run or name not in data or data[name].dims[-2:] != IMAGES[0]:
        return None
    try:
        found = geometries.across(geometries.beside(run), distance)
    except (ValueError, OSError, ImportError):
        return None
    return found if found.shape[1:3] == data[name].shape[-2:] else None


def geometry_of(data: Dataset, given: Any = None) -> str:
    """Return the file that says where pixels are: that which is given, or lies beside the run; "" if it is none."""
    if given is not None:
        return str(given) if isinstance(given, (str, Path)) else ""
    try:
        return str(geometries.beside(str(data.attrs.get("run", ""))))
    except ValueError:
        return ""
