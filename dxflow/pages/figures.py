"""Figures: a picture of each variable of a dataset as its kind deserves, with what it is and the numbers behind it.

For a page that shows what changes, each part has an id of its own, always the same for the same name::

    figures = Figures(result.dataset, result.path)
    figures.groups                  # {"average": ["average.mean", ...]}: what belongs together
    str(figures.section("average")) # '<section id="variables-average-..."> ... </section>' with all of its figures
    figures.figure("average.mean")  # '<figure id="variable-average-mean-..."> ... </figure>' alone
    figures.id("average.mean")      # that id
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.plots import kinds
from ..analysis.plots.drawing import geometry_of, positions
from ..analysis.plots.images import Places
from ..analysis.plots.parts import VALID, Parts
from ..geometry import across
from ..html import page
from ..html.escaped import escaped, ident
from ..run.variants import axis_of
from .drawn import Easel, drawing
from .numbers import MOST, behind, file_of
from .shared import FEW, can_share, shared
from .thinned import thinned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xarray import DataArray, Dataset

    from ..analysis.plots.plotted import Picture

FIGURES = 120
"""Variables of a page that have a picture; others are listed."""
VARIANTS = 8
"""Of one variable, that have a picture."""
VALUES = 2**21
"""Of rows, that are read at most for a picture."""
MANY = 16
"""Groups on a page at most."""
FILES = 1_200_000
"""Bytes of all files with numbers of images and maps, about."""
FINE, COARSE = 170.0, 60.0
"""Dots per inch of images: of a few, and of very many."""
AREAS = ("image", "modules", "map")
OFFSET, COUNT = "_offset", "_count"
"""Ends of the names of variables that say where the events of each frame are in a table of events, and how many."""


class Figures:
    """The pictures of a dataset.

    Parameters
    ----------
    data : xarray.Dataset
        Of a result, a table, a cube or picked events.
    path : path, optional
        Where it is: the page says how it is opened.
    geometry, distance
        As of `dxflow.analysis.show`: by default the geometry beside the run, if it is there.
    """

    def __init__(
        self, data: Dataset, path: Any = None, geometry: Any = None, distance: float | None = None
    ) -> None:
        self.data, self.path = data, None if path is None else Path(path)
        self._geometry, self._distance = geometry, distance
        self._easel = Easel()
        if geometry is not None:
            # What is wrong with it is said at once.
            across(geometry, distance)
        self._known: dict[str, Parts] = {}
        self._places: dict[Any, Places | None] = {}
        self._made: dict[str, str] = {}

    @cached_property
    def names(self) -> list[str]:
        """What there is, without what says where other variables have values or where their events are."""
        every = [str(n) for n in self.data.data_vars]
        hidden = {n for n in every if n.endswith(VALID) and n.removesuffix(VALID) in self.data}
        hidden |= {n for n in every if n.endswith(OFFSET) and f"{n.removesuffix(OFFSET)}{COUNT}" in self.data}
        return [n for n in every if n not in hidden]

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Names by the algorithm that made them; "" of what none has made."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(name.partition(".")[0] if "." in name else "", []).append(name)
        others = found.pop("", None)
        # What no algorithm has made comes last.
        found |= {"": others} if others else {}
        return found if len(found) <= MANY else {"": self.names}

    @cached_property
    def drawn(self) -> frozenset[str]:
        """What has a picture: all that is no single value, but for what is too much for a page."""
        return frozenset([n for n in self.names if self.data[n].ndim][:FIGURES])

    @cached_property
    def _areas(self) -> int:
        """How many images and maps there are."""
        areas = (n for n in self.drawn if kinds.usual(self._parts(n)) in AREAS)
        return sum(len(self._several(n)) for n in areas)

    def _parts(self, name: str) -> Parts:
        """Return a variable with what belongs to it, found out once."""
        if name not in self._known:
            self._known[name] = Parts.of(self.data, name)
        return self._known[name]

    def id(self, name: str) -> str:
        """Return the id of the figure of a variable."""
        return ident(name, "variable")

    def section(self, group: str) -> page.Section:
        """Return all of a group: its single values as a table, and a figure for each other variable."""
        names = self.groups[group]
        with drawing():
            made = [self._made.get(n) or self._figure(n) for n in names if n in self.drawn]
        html = self._values([n for n in names if not self.data[n].ndim])
        html += f'<div class="figures">{"".join(made)}</div>' if made else ""
        if rest := [n for n in names if self.data[n].ndim and n not in self.drawn]:
            html += f"<p>Without a picture: {escaped(', '.join(rest))}.</p>"
        return page.Section(ident(group, "variables"), group or "variables", html)

    def sections(self) -> Iterable[page.Section]:
        """Yield all groups; many figures are drawn by two processes, if this one has nothing else to do."""
        names = [n for group in self.groups.values() for n in group if n in self.drawn]
        # Files of HDF5 that are open cannot be read by two processes.
        if len(names) >= FEW and self.path is not None and self.path.is_dir() and can_share():
            with drawing():
                self._made = shared(names, self._several_figures)
        return map(self.section, self.groups)

    def _several_figures(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self._figure(name) for name in names}

    def figure(self, name: str) -> str:
        """Return the picture of a variable; in its place what is wrong with it."""
        with drawing():
            return self._figure(name)

    def _figure(self, name: str) -> str:
        """Return the same, within `drawing`."""
        places = self._several(name)
        shown = "".join(f"<div>{self._shown(name, at)}</div>" for at in places)
        several = ' class="several"' if len(places) > 1 else ""
        more = self.data[name].sizes[axis] - len(places) if (axis := axis_of(self.data[name])) else 0
        left = f'<p class="muted">and {more} more variants</p>' if more else ""
        about = "".join(f'<p class="muted">{escaped(line)}</p>' for line in self._about(name))
        return (
            f'<figure id="{self.id(name)}"{several}><h3>{escaped(name)}</h3><div class="pictures">{shown}</div>'
            f"<figcaption>{about}{left}</figcaption></figure>"
        )

    def _about(self, name: str) -> list[str]:
        """Return type, axes and unit of a variable, whether it may change, and by what an image was put together."""
        array, lines = self.data[name], [_about(self.data[name])]
        if said := array.attrs.get("provisional"):
            lines.append(f"provisional: {said}")
        if self._positions(name) is not None:
            file = geometry_of(self.data, self._geometry) or "the geometry that was given"
            lines.append(f"put together by {file}")
        return lines

    def _several(self, name: str) -> list[dict[str, Any]]:
        """Return the places that have a picture each: variants, and the columns of tables of events."""
        array = self.data[name]
        if axis := axis_of(array):
            return [{axis: label} for label in array[axis].values[:VARIANTS].tolist()]
        if (column := self._columns(name)) and array.sizes[column] <= VARIANTS:
            return [{column: n} for n in range(array.sizes[column])]
        return [{}]

    def _columns(self, name: str) -> str:
        """Return the axis along which rows have numbers that mean something else each; "" if there is none."""
        one = self._parts(name)
        others = [str(d) for d in one.array.dims if d != one.rows]
        plain = len(others) == 1 and others[0] not in one.data.coords and one.array.dtype.kind in "iuf"
        return others[0] if one.rows and plain else ""

    def _said_of(self, name: str, at: dict[str, Any]) -> Dataset:
        """Return a variable and its parts, called what one of its columns is, if what it is says so."""
        column, said = self._columns(name), str(self.data[name].attrs.get("long_name", "")).split(", ")
        if column not in at or len(said) != self.data[name].sizes[column]:
            return self._parts(name).data
        one = self._parts(name)
        return one.data.assign({name: one.array.assign_attrs(long_name=said[at[column]])})

    def _shown(self, name: str, at: dict[str, Any]) -> str:
        """Return the picture at a place, with what is said of it."""
        try:
            title, picture, said = self._drawn(name, at)
        # One variable that is damaged, or of a kind that nobody has thought of, is no reason to have no page.
        except Exception as e:  # noqa: BLE001
            title, picture, said = "", f'<p class="warn">not drawn: {escaped(e, 300)}</p>', []
        lines = [escaped(one) for one in [title] if one not in ("", name)]
        return picture + "".join(f"<p>{line}</p>" for line in (*lines, *said))

    def _drawn(self, name: str, at: dict[str, Any]) -> tuple[str, str, list[str]]:
        """Return title, picture and further lines of a variable at a place."""
        how = kinds.How(self._positions(name), most=VALUES)
        full = kinds.picture(self._said_of(name, at), name, kind=self._kind(name, at), at=at, how=how)
        dots = float(np.clip(120 * np.sqrt(20 / max(self._areas, 1)), COARSE, FINE))
        picture, fewer = thinned(full, int(2.6 * dots))
        options = "".join(f", {option}" for option in self._options(name, at))
        made = self._easel.svg(picture, f"{name}: {full.title}", dots)
        said = [self._numbers(full, name), *([escaped(f"drawn: {fewer}")] if fewer else [])]
        return full.title + options, made, said

    def _options(self, name: str, at: dict[str, Any]) -> list[str]:
        """Return the options of a variant."""
        return [
            f"{str(label).rpartition('.')[2]} = {c.sel(place).item()}"
            for axis, value in at.items()
            for place in [{axis: value}]
            for label, c in self.data[name].coords.items()
            if c.dims == (axis,) and label != axis
        ]

    def _kind(self, name: str, at: dict[str, Any]) -> str | None:
        """Return another kind of picture than the usual one, where all of it is on a page or its change is wanted."""
        one = self._parts(name)
        if one.rows and one.array.dtype.kind == "b" and one.array.ndim - len(at) == 2:
            # Which modules have which trains.
            return "map"
        events = name.endswith(COUNT) and f"{name.removesuffix(COUNT)}{OFFSET}" in self.data
        return "series" if events and one.rows else None

    def _numbers(self, picture: Picture, name: str) -> str:
        """Return where the numbers behind a picture are: all of them, or as many as a page has room for."""
        most = int(np.clip(FILES / max(self._areas, 1), 20_000, MOST))
        for data, words in behind(picture):
            found = file_of(data, name, MOST)
            # Tables of one axis are small, whatever else there is.
            if found and (found.kind == "text/csv" or len(found.content) <= most):
                return f'<span class="screen">numbers: {found.link}{f", {words}" if words else ""}</span>'
        fewer, said = thinned(picture, max(int(np.sqrt(most / 4.6)), 8))
        found = file_of(fewer.data, name, most) if said else None
        if found is None:
            return '<span class="muted screen">more numbers than a page has room for</span>'
        return (
            f'<span class="screen">numbers: {found.link}, {escaped(said.removeprefix("drawn with "))}</span>'
        )

    def _positions(self, name: str) -> Places | None:
        """Return where pixels of a variable are, worked out once for all with the same modules."""
        array = self.data[name]
        key = array.shape[-2:] if array.dims[-2:] == ("ss", "fs") else None
        if key is None:
            return None
        if key not in self._places:
            found = positions(self.data, name, self._geometry, self._distance)
            self._places[key] = None if found is None or found.shape[1:3] != key else Places(found)
        return self._places[key]

    def _values(self, names: list[str]) -> str:
        """Return single values as a table."""
        if not names:
            return ""
        rows = [[n, _value(self.data[n]), _meaning(self.data[n])] for n in names]
        return page.grid(["", "value", "meaning"], rows, texts=3)


def _meaning(array: DataArray) -> str:
    """Return what a value is, and whether it may change."""
    said = [array.attrs.get("long_name"), "provisional" if "provisional" in array.attrs else ""]
    return ", ".join(str(one) for one in said if one)


def _value(array: DataArray) -> str:
    """Return a single value with its unit."""
    value = array.values[()]
    shown = f"{value:.6g}" if array.dtype.kind == "f" else str(value)
    return f"{shown} {array.attrs.get('units', '')}".rstrip()


def _about(array: DataArray) -> str:
    """Return type, axes and unit of a variable."""
    axes = " x ".join(f"{n} {dim}" for dim, n in array.sizes.items())
    unit = array.attrs.get("units")
    return f"{array.dtype} {axes}" + (f" ({unit})" if unit else "")
