"""Cubes: variables of a table averaged in bins of others, with errors and counts; on, off and their difference."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import Kind, expect
from .bins import by_name
from .columns import there_is
from .complete import lacking
from .counted import Chosen, Counted, followed
from .grid import Grid, grid
from .images import Asked, imaged, lazily
from .onoff import KINDS, PUMP
from .placed import Placed
from .quantities import Divided
from .rows import PULSE, TRAIN
from .variables import Variable

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from ..driver.result import Result
    from .evaluating import Source
    from .plots.plotted import Plot

HOW = Kind("'ratio' or 'each'", lambda how: how in ("ratio", "each"))
WORDS = {"ratio": "ratio of sums", "each": "row by row"}


class Cube:
    """Averages of variables in bins, as `Table.cube` makes them.

    Parameters
    ----------
    stored : xarray.Dataset
        What is kept of it: ``<variable>_count``, ``_mean``, ``_sem`` and what is around them.
    path : path, optional
        Where it is kept.
    about : dict, optional
        How it was made.
    """

    def __init__(
        self, stored: Dataset, path: str | Path | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.stored, self.path = stored, None if path is None else Path(path)
        self.about = dict(about or {})
        self.result: Result | None = None
        """Of the pass in which images were read."""

    @cached_property
    def data(self) -> Dataset:
        """All of it: what is stored, and ``<variable>_sum`` and ``_std`` (ddof 1) that follow from it."""
        stored = lazily(self.stored)
        return stored.assign({key: array for name in self.of for key, array in _derived(stored, name)})

    @property
    def of(self) -> list[str]:
        """The variables that are averaged."""
        return [str(name) for name in json.loads(self.stored.attrs["of"])]

    @property
    def axes(self) -> list[str]:
        """The variables that are cut into bins."""
        return [str(name) for name in json.loads(self.stored.attrs["bins"])]

    def save(self, to: str | Path, overwrite: bool = False) -> Path:
        """Write it, complete or not at all; `dxflow.open` opens it.

        Parameters
        ----------
        to : path
            Ends with ``.zarr`` or ``.nc``.
        overwrite : bool
            Whether it may replace another result of dxflow.
        """
        from .saved import write

        self.path = write(self.stored, to, "cube", self.about, overwrite)
        return self.path

    @property
    def difference(self) -> Dataset:
        """Pumped minus not: the variables by name, their standard errors as ``<variable>_sem``."""
        return self._of_both("difference")

    @property
    def relative(self) -> Dataset:
        """The difference over what is not pumped, as `difference` has it."""
        return self._of_both("relative")

    def _of_both(self, what: str) -> Dataset:
        data = self.on.drop_vars(PUMP)
        named = {f"{name}_{what}{end}": f"{name}{end}" for name in self.of for end in ("", "_sem")}
        return data[[*named]].rename(named)

    def plot(self, variable: str, **options: Any) -> Plot:
        """Draw a variable, such as ``"signal_mean"``, or the image of a bin, ``at={"delay": 0.5}, geometry=...``.

        See `dxflow.analysis.plots.drawing.draw`.
        """
        from .plots.drawing import draw

        return draw(self.data, variable, **options)

    @property
    def on(self) -> Dataset:
        """What is pumped."""
        return self._kind("on")

    @property
    def off(self) -> Dataset:
        """What is not."""
        return self._kind("off")

    def _kind(self, kind: str) -> Dataset:
        if PUMP not in self.stored.dims:
            raise ValueError("the cube does not tell on from off; expected one that was made with on=")
        return self.data.sel({PUMP: kind})

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {label:<12} {text}" for label, text in self._lines())])

    def _repr_html_(self) -> str:
        from ..html import table

        return table(self._title, self._lines())

    @property
    def _title(self) -> str:
        return f"cube of {self.stored.attrs.get('title') or self.stored.attrs.get('run') or 'a table'}"

    def _lines(self) -> list[tuple[str, str]]:
        data, attrs = self.stored, self.stored.attrs
        lines = [("bins", f"{name}: {data.sizes[name]}, {self._range(name)}") for name in self.axes]
        lines += [("of", f"{name}{_unit(data[f'{name}_mean'])}") for name in self.of]
        lines += [
            (key, str(attrs[key])) for key in ("where", "on", "off", "normalise", "weights") if attrs.get(key)
        ]
        lines.append(
            ("rows", f"{int(data.n.sum())} in bins, {attrs['selected']} selected of {attrs['rows_in_all']}")
        )
        return lines + [("note", note) for note in attrs["notes"].splitlines()]

    def _range(self, name: str) -> str:
        lo, hi = self.stored[f"{name}_lo"].values, self.stored[f"{name}_hi"].values
        return f"{lo[0]:g} to {hi[-1]:g}{_unit(self.stored[name])}"


def _unit(array: Any) -> str:
    unit = array.attrs.get("units", "")
    return f" ({unit})" if unit else ""


def make(
    table: Source,
    bins: Mapping[str, Any] | str | Sequence[str],
    of: Any = (),
    where: Any = None,
    *,
    divided: tuple[Any, str, Any] = (None, "ratio", None),
    pump: tuple[Any, Any] = (None, None),
    images: Asked | None = None,
    incomplete: bool = False,
) -> Cube:
    """Return a cube of a table; see `Table.cube`.

    Parameters
    ----------
    divided : tuple
        `normalise`, `how` and `weights`.
    pump : tuple
        `on` and `off`.
    images : Asked, optional
        What is made of frames of the detector.
    incomplete : bool
        Whether frames that are made of fewer modules than others count.
    """
    by, how, weights = divided
    expect(HOW, how, "how=", ValueError)
    variables = _variables(table, of)
    at = PULSE if PULSE in table.data.dims else TRAIN
    chosen = Chosen.of(table, where, at, *pump)
    specs = by_name(bins)
    whole, short = (chosen.used, []) if incomplete or at == TRAIN else _complete(table, specs, chosen.used)
    found = grid(table, specs, whole, at)
    one, other = (None if name is None else Variable.of(table, name) for name in (by, weights))
    counted = Counted(table, found, chosen, Divided(one, how, other), at, incomplete)
    data = counted.dataset(variables)
    short += counted.lacking(variables)
    rules = [one for one in (where, *pump) if one is not None] if at == PULSE else []
    joins = [said for one in rules for said in table.selections.joins(one)]
    notes = list(dict.fromkeys([*counted.notes(variables), *joins]))
    told = _told(table, variables, where, pump, divided) | _selections(table, where, at)
    said = _said(table, found, chosen, data, short, notes)
    lost = getattr(table, "about", {}).get("losses")
    about = {"losses": lost} if lost else {}
    cube = Cube(data.assign_attrs(told | said), about=about)
    return cube if images is None else _with_images(cube, counted, images)


def _complete(table: Source, bins: Mapping[str, Any], used: NDArray) -> tuple[NDArray, list[str]]:
    """Return which rows are in bins at all: not those whose value is of fewer modules than that of others; and why."""
    found = [lacking(table, Variable.of(table, name), used) for name in bins]
    short = [one for one in found if one is not None]
    out = used & ~np.logical_or.reduce([one.rows for one in short]) if short else used
    return out, [f"{one} and are in no bin; incomplete=True has them" for one in short]


def _with_images(cube: Cube, counted: Counted, images: Asked) -> Cube:
    """Return a cube with what is made of frames."""
    cells, divided = counted.cells(), counted.divided
    norm, weights = divided.numbers(cells)
    unit = "" if divided.by is None else divided.by.attrs.get("units", "")
    axes = dict(zip(counted.dims, counted.shape, strict=True))
    placed = Placed.of(
        counted.table, axes, cells.flat, counted.at, norm=norm, weights=weights, how=divided.how, unit=unit
    )
    found = imaged(counted.table, placed, images)
    if clash := sorted({*map(str, found.data.data_vars)} & {*map(str, cube.stored.data_vars)}):
        raise ValueError(f"of: {', '.join(clash)} are of images=, too: name variables otherwise")
    stored = cube.stored.assign(found.data.data_vars).assign_coords(found.data.coords)
    stored = followed(stored, found.names, pumped=counted.chosen.pumped)
    notes = [note for note in (cube.stored.attrs["notes"], *found.notes) if note]
    attrs = {"of": json.dumps([*cube.of, *found.names]), "notes": "\n".join(notes)}
    both = [*cube.about.get("losses", ()), *(one for one in found.losses)]
    once = [one for n, one in enumerate(both) if one not in both[:n]]
    made = Cube(stored.assign_attrs(attrs), about={"losses": once})
    made.result = found.result
    return made


def _variables(table: Source, of: Any) -> list[Variable]:
    """Return what is averaged."""
    named = (
        of if isinstance(of, Mapping) else {None: of} if isinstance(of, str) or hasattr(of, "node") else None
    )
    given = [(None, one) for one in of] if named is None else [*named.items()]
    variables = [Variable.of(table, what, name) for name, what in given]
    for one in variables:
        one.refuse_other("of")
    if len({one.name for one in variables}) < len(variables):
        raise ValueError(f"of: {', '.join(one.name for one in variables)}: expected each once")
    return variables


def _told(
    table: Source,
    variables: Sequence[Variable],
    where: Any,
    pump: tuple[Any, Any],
    divided: tuple[Any, str, Any],
) -> dict[str, str]:
    """Return what was asked for, as texts."""
    (by, how, weights), (on, off) = divided, pump
    told = {"where": where, "on": on, "off": off, "normalise": by, "weights": weights}
    out = {key: _text(what, table) for key, what in told.items() if what is not None}
    if by is not None:
        out["normalise"] += f", {WORDS[how]}"
    return out | {"of": json.dumps([one.name for one in variables])}


def _text(what: Any, table: Source) -> str:
    """Return a selection in words; of a name, what it stands for as well."""
    if isinstance(what, (list, tuple)) and not isinstance(what[:1] and what[0], (bool, np.bool_)):
        return " & ".join(_text(one, table) for one in what)
    if isinstance(what, (np.ndarray, list, tuple)) or hasattr(what, "dims"):
        return "an array"
    if str(what).strip("`") in table.selections:
        return f"{what}: {' & '.join(map(str, table.selections[str(what).strip('`')].cuts))}"
    return str(what)


def _selections(table: Source, where: Any, at: str) -> dict[str, str]:
    """Return the selections that are used, or all, with how many rows each cut leaves."""
    return dict(table.selections.as_attrs(where)) if at == PULSE else {}


def _said(
    table: Source, found: Grid, chosen: Chosen, data: Dataset, strange: Sequence[str], more: Sequence[str]
) -> dict[str, Any]:
    """Return what became of the rows; what is strange is a warning as well."""
    selected, used, inside = int(chosen.selected.sum()), int(chosen.used.sum()), int(data.n.sum())
    notes = [f"{axis.name}: {axis.said}" for axis in found.axes if axis.said]
    if not inside and (selected or PULSE not in table.data.dims):
        notes.append(f"none of the {selected} selected rows is in a bin")
    if chosen.pumped:
        notes += [
            f"none of the {selected} selected rows is {kind}"
            for kind, own in zip(KINDS, chosen.kinds, strict=True)
            if not own.any()
        ]
    notes += strange
    for note in notes:
        warnings.warn(f"cube: {note}", stacklevel=4)
    for name, counts in found.outside.items():
        left = [f"{count} {what}" for what, count in counts.items() if count]
        notes += [f"{name}: {', '.join(left)} of {used} rows"] * bool(left)
    if used < selected:
        notes.append(f"{selected - used} of the selected rows are neither on nor off")
    notes += more
    about = {key: table.data.attrs[key] for key in ("title", "run") if key in table.data.attrs}
    about |= {"table": str(path)} if (path := getattr(table, "path", None)) else {}
    bins = json.dumps({axis.name: str(axis.spec) for axis in found.axes})
    rows = {"rows_in_all": len(chosen.selected), "selected": selected}
    return about | rows | {"bins": bins, "notes": "\n".join(notes)}


def _derived(data: Dataset, name: str) -> Iterator[tuple[str, DataArray]]:
    """Yield the sum and the standard deviation of a variable, by name."""
    count, mean, sem = (data[f"{name}_{what}"] for what in ("count", "mean", "sem"))
    total = there_is(data, f"{name}_weight", count) * mean
    number = there_is(data, f"{name}_effective", count)
    words = mean.attrs.get("long_name", name).removesuffix(", mean")
    yield f"{name}_sum", total.astype(mean.dtype).assign_attrs(long_name=f"{words}, sum")
    std = (
        (sem * np.sqrt(number))
        .astype(mean.dtype)
        .assign_attrs(sem.attrs | {"long_name": f"{words}, standard deviation"})
    )
    yield f"{name}_std", std
