"""Show: what a result, table, cube or picked events hold, and a picture of a variable, in a terminal or as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import ours
from ..driver import livewords
from .plots import kinds
from .plots.drawing import geometry_of, positions
from .plots.parts import ROWS, TRAIN, VALID
from .plots.plotted import plotted
from .plots.screen import Screen

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

PICTURES = (".png", ".pdf", ".svg", ".jpg")
"""Endings of files that a picture is written to."""
PLAIN = {"Å⁻¹": "1/angstrom", "Å": "angstrom", "µ": "u", "μ": "u", "°": "deg"}
"""Units in ASCII."""
LIVE = "live      "
"""What a live run says of its result."""
MOST, WIDE = 14, 40
"""Variables that are listed above a picture; signs that their names take at most."""


def show(
    what: Any,
    variable: str | None = None,
    *,
    kind: str | None = None,
    at: Mapping[str, Any] | None = None,
    geometry: Any = None,
    distance: float | None = None,
    png: str | Path | None = None,
    screen: Screen | None = None,
    whole: bool = False,
) -> str:
    """Return what something holds, and the picture that its kind deserves, as text; or write that to a file.

    Parameters
    ----------
    what : path, Table, Result or xarray.Dataset
        A result, a table, a cube or picked events.
    variable : str, optional
        What is drawn; by default what there is to see, below a list of all variables.
    kind : {"image", "modules", "histogram", "series", "bars", "line", "points", "map"}, optional
        Another picture than the usual one.
    at : mapping, optional
        Where along other axes: ``{"delay": 0.5}``; the middle by default.
    geometry : path or object, optional
        As of `dxflow.geometry.positions`: images of modules are put together; by default that beside the run, if it
        is there.
    distance : float, optional
        As there.
    png : path, optional
        Write the picture there, as PNG or by its suffix as PDF or SVG, instead of drawing it as text.
    screen : Screen, optional
        Size, signs and colours of the terminal: 80 x 24 without colours by default.
    whole : bool
        List all variables, however many.

    Raises
    ------
    KeyError
        If there is no such variable or axis; the message says which there are.
    ValueError
        If it cannot be drawn so.
    """
    data, heading = opened(what)
    screen = screen or Screen()
    name = variable or kinds.first(data)
    so_far = [line for line in heading[1:] if line.startswith(f"{LIVE}snapshot")]
    said = [*heading, *_listed(data, whole, screen.width)] if variable is None else [*heading[:1], *so_far]
    if not name:
        return "\n".join(said)
    if name in data.variables and not data[name].ndim and png is None:
        return "\n".join([*said, f"{name}: {data[name].values}, {_said(data[name])}"])
    where = positions(data, name, geometry, distance)
    if where is not None and (file := geometry_of(data, geometry)):
        said = [*said, f"geometry  {file}"]
    picture = kinds.picture(data, name, kind=kind, at=at, how=kinds.How(where))
    if png is not None:
        return "\n".join([*said, f"picture   {_written(picture, Path(png))}"])
    # Beside a list a picture has half of the terminal at least.
    room = max(screen.height - len(said) - 2, 2 * screen.height // 3)
    fitting = Screen(screen.width, room, screen.unicode, screen.colour)
    return _written_as("\n".join([*said, "", *picture.text(fitting)]), screen)


def _written_as(text: str, screen: Screen) -> str:
    """Return text in the signs that a terminal has."""
    if screen.unicode:
        return text
    for sign, plain in PLAIN.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode()


def opened(what: Any) -> tuple[Dataset, list[str]]:
    """Return the dataset of something, and lines that say what it is."""
    import xarray as xr

    from ..driver.result import Result
    from . import listing
    from .opening import open as open_
    from .picked import Picks
    from .tables import Table

    found = open_(what) if isinstance(what, (str, Path)) else what
    if isinstance(found, xr.Dataset):
        return found, list(_about(found, None))
    data = (
        found.folded
        if isinstance(found, Picks)
        else found.data
        if not isinstance(found, Result)
        else found.dataset
    )
    # Cubes and picks say themselves how they were made.
    told = [] if isinstance(found, (Result, Table)) else repr(found).partition("\n<xarray")[0].splitlines()
    if isinstance(found, Table):
        told = listing.told(found)
    return data, [*_about(data, found.path), *told]


def _about(data: Dataset, path: Any) -> Iterator[str]:
    """Yield what a dataset is."""
    title = data.attrs.get("title", "")
    yield f"{path}: {title}" if path is not None and title else str(path or title or "dataset")
    sizes = ", ".join(f"{n} {dim}" for dim, n in data.sizes.items() if dim in (*ROWS, TRAIN))
    if sizes:
        yield f"rows      {sizes}"
    found = None if path is None else Path(path)
    for line in livewords.lines(data.attrs.get("live"), found, data.sizes.get(TRAIN)):
        yield f"{LIVE}{line}"


def _listed(data: Dataset, whole: bool, width: int) -> list[str]:
    """Return a line for each variable, as many as fit beside a picture."""
    # Numbers of the whole run, such as what is in no bin, are many and small.
    every = sorted(data.data_vars, key=lambda n: not data[n].ndim)
    names = [str(n) for n in every if not str(n).endswith(VALID)]
    wide = min(max(map(len, names), default=0), WIDE)
    lines = [_short(f"  {name:<{wide}}  {_said(data[name])}", width) for name in names]
    if whole or len(lines) <= MOST:
        return lines
    return [*lines[: MOST - 1], f"  ... and {len(lines) - MOST + 1} more: --all"]


def _short(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _said(array: DataArray) -> str:
    """Return axes, unit and meaning of a variable."""
    axes = " x ".join(f"{n} {dim}" for dim, n in array.sizes.items()) or "one value"
    unit, doc = array.attrs.get("units"), array.attrs.get("long_name")
    so_far = ", provisional" if "provisional" in array.attrs else ""
    return f"{array.dtype} {axes}" + (f" ({unit})" if unit else "") + (f", {doc}" if doc else "") + so_far


def _written(picture: Any, path: Path) -> Path:
    """Write a picture to a file, in place of an earlier one at most."""
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{path}: expected a picture, {', '.join(PICTURES)}")
    if why := ours.obstacle(path, [ours.PICTURE]):
        raise ValueError(why)
    return plotted(picture).save(path)
