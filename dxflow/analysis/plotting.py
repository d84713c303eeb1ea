"""Plots of tables: a variable, two against each other, scans with on and off, cutflows, correlations, images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .cubes import make
from .onoff import PUMP
from .plots import maps
from .plots.bars import bars
from .plots.correlations import correlations as matrix
from .plots.drawing import draw
from .plots.histogram import drawn
from .plots.kinds import How
from .plots.parts import VALID
from .plots.plotted import Plot, plotted
from .plots.points import points
from .plots.samples import Sample
from .plots.style import label
from .rows import PULSE, RUN, TRAIN
from .variables import Variable

if TYPE_CHECKING:
    from xarray import Dataset

    from .cubes import Cube
    from .evaluating import Source

POSITIONS, BINS = 100, 50
"""Values of a scan that each have a bin, and bins of others."""


COUNTED = {PULSE: "pulses", TRAIN: "trains", RUN: "values"}
"""What is counted of variables by their rate."""


def plot(
    table: Source,
    x: Any,
    y: Any = None,
    *,
    where: Any = None,
    bins: Any = None,
    kind: str | None = None,
    at: Mapping[str, Any] | None = None,
    geometry: Any = None,
    ax: Any = None,
) -> Plot:
    """Return the plot of a variable, as its kind deserves; of two, their 2-D histogram.

    Parameters
    ----------
    table : Table
    x, y : str or Value
        ``"xgm"``, ``ev.signal / ev.xgm``; of two, one value for each row.
    where : selection, optional
        Which rows, see `Table.mask`.
    bins : int, array or (bins of x, bins of y), optional
        How many, or their edges.
    kind : str, optional
        Another picture than the usual one, such as ``"series"``, over trains; see `dxflow.analysis.plots.kinds`.
    at : mapping, optional
        The place along other axes: ``{"delay": 0.5}``; the middle by default.
    geometry : path or object, optional
        As of `dxflow.geometry.positions`: images of modules are put together.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn; in a figure of its own by default.

    Returns
    -------
    Plot
        ``axes, data = ev.plot("xgm")``: the axes, and what is drawn in them as an xarray.Dataset.
    """
    said = "" if where is None else _words(where)
    if y is not None:
        if kind not in (None, "map"):
            raise ValueError(f"kind={kind!r}: two variables are a 2-D histogram; leave out kind=")
        one, other = samples(table, (x, y), where)
        return plotted(maps.density(one, other, bins, said), ax)
    found = Variable.of(table, x)
    if found.rate == RUN and where is not None:
        raise ValueError(f"{found.name} is a value of the run: where= has no rows of it to choose")
    data = table.data if found.rate == RUN else _dataset(table, found, where)
    how = How(None, bins, said)
    return draw(data, found.name, kind=kind, at=at, geometry=geometry, ax=ax, how=how)


def scan(
    table: Source,
    x: str,
    y: Any,
    *,
    where: Any = None,
    on: Any = None,
    off: Any = None,
    bins: Any = None,
    normalise: Any = None,
    ax: Any = None,
) -> Plot:
    """Return the mean of a variable in bins of another with standard errors: a cube of one axis.

    Parameters
    ----------
    table : Table
    x : str
        What was scanned.
    y : str or Value
        What is averaged.
    where, on, off, normalise
        As of `Table.cube`.
    bins : optional
        As of `Table.cube`; by default a bin for each of up to 100 positions, otherwise 50.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    Plot
        Its data are ``mean``, ``sem`` and ``count``, (series, x); series are "on" and "off", or the variable.
    """
    bins = usual_bins(table, x, where) if bins is None else bins
    cube = make(table, {x: bins}, [y], where, divided=(normalise, "ratio", None), pump=(on, off))
    return plotted(_points(cube, x, where), ax)


def _points(cube: Cube, x: str, where: Any) -> Any:
    """Return the means of a cube of one variable over one axis."""
    data, (name,) = cube.stored, cube.of
    if more := [str(d) for d in data[f"{name}_mean"].dims if d not in (PUMP, x)]:
        raise ValueError(
            f"{name} has {', '.join(more)} in each row; expected one value: one of them, '{name}[3]', or draw a cube: "
            f"ev.cube({{{x!r}: ...}}, of={name!r}).plot('{name}_mean')"
        )
    kinds = data[PUMP].values.tolist() if PUMP in data.dims else [name]
    each = [data.sel({PUMP: kind}) if PUMP in data.dims else data for kind in kinds]
    series = {
        kind: tuple(one[f"{name}_{part}"].values for part in ("mean", "sem", "count"))
        for kind, one in zip(kinds, each, strict=True)
    }
    mean = data[f"{name}_mean"]
    how = data.attrs.get("normalise", "")
    about = {
        "x": label(x, data[x].attrs.get("units", "")),
        "y": label(f"{name} / {how.partition(',')[0]}" if how else name, mean.attrs.get("units", "")),
    }
    rows = int(data["n"].sum())
    title = f"{name} against {x}: {rows} rows" + (f", {_words(where)}" if where is not None else "")
    return points(series, data[x].values, about, title)


def usual_bins(table: Source, x: str, where: Any = None) -> Any:
    """Return bins for a scan: one for each position of a stepped one, otherwise equal ones without far outliers."""
    # Motors have a value per train: far fewer to be looked at than rows.
    values = sample(table, x, where if table.rate(x) == PULSE else None).numbers
    values = values[np.isfinite(values)]
    if len(np.unique(values[:: max(len(values) // 10**6, 1)])) <= POSITIONS:
        return "unique"
    low, high = drawn(values)
    return np.linspace(low, high, BINS + 1)


def cutflow(table: Source, where: Any, ax: Any = None) -> Plot:
    """Return the rows that each cut leaves as bars: alone, after those before it, and all others without it."""
    frame = table.selections.cutflow(where)
    counts = {words: frame[key].values for key, words in CUTS.items()}
    rows, passed = frame.attrs["rows"], frame.attrs["passed"]
    title = f"{passed} of {rows} rows pass"
    made = bars(np.array([str(cut) for cut in frame.index], "U"), counts, title, "", "rows")
    return plotted(made, ax)


CUTS = {"alone": "alone", "in_order": "after those above", "all_but_one": "all others, without it"}
"""Columns of a cutflow, and what they say."""


def correlations(
    table: Source, names: Sequence[Any] | None = None, where: Any = None, ax: Any = None
) -> Plot:
    """Return Pearson's correlation of each two variables, of the rows where both are there.

    Parameters
    ----------
    table : Table
    names : sequence of str or Value, optional
        All that have one number in each row or train by default; values per train are repeated for their pulses.
    where : selection, optional
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    Plot
        Its data are ``r`` and ``n``, of how many rows each is, (variable, other).
    """
    chosen = _numbers(table) if names is None else list(names)
    if len(chosen) < 2:
        raise ValueError(f"correlations of {[str(n) for n in chosen]}; expected two variables at least")
    return plotted(matrix(samples(table, chosen, where), "" if where is None else _words(where)), ax)


def _numbers(table: Source) -> list[str]:
    """Return the variables that have one number in each row or train."""
    data = table.data
    return [
        name
        for name in table.names
        if table.rate(name) != RUN and data[name].ndim == 1 and data[name].dtype.kind in "biuf"
    ]


def samples(table: Source, every: Sequence[Any], where: Any) -> list[Sample]:
    """Return the values of some variables, each with a row of the finest rate of them."""
    found = [Variable.of(table, one) for one in every]
    rate = next((r for r in (PULSE, TRAIN) if any(one.rate == r for one in found)), RUN)
    return [sample(table, one, where, rate) for one in found]


def sample(table: Source, what: Any, where: Any = None, at: str | None = None) -> Sample:
    """Return the values of a variable or of an expression, of the rows for which a condition holds.

    Parameters
    ----------
    at : {"pulse", "train"}, optional
        Of what there is a row each; with a condition, of pulses.
    """
    found = what if isinstance(what, Variable) else Variable.of(table, what)
    at = PULSE if where is not None else at or found.rate
    column, attrs = found.column(at), found.attrs
    made = Sample(
        found.name,
        column.values,
        column.there,
        attrs.get("units", ""),
        attrs.get("long_name", ""),
        COUNTED[at],
    )
    return made if where is None else made.chosen(table.selections.mask(where))


def _dataset(table: Source, found: Variable, where: Any) -> Dataset:
    """Return the values of an expression, or of the rows that are selected, as a dataset with ids."""
    import xarray as xr

    made = sample(table, found, where)
    rate = found.rate if where is None else PULSE
    keep = slice(None) if where is None else table.selections.mask(where)
    ids = {"train_id": (PULSE, table.rows.train_ids[keep])} if rate == PULSE else {TRAIN: table.rows.trains}
    ids.pop(found.name, None)
    axes = {dim: axis for dim, axis in found.axes.items() if hasattr(axis, "dims")}
    dims = (rate, *found.axes)
    values = {found.name: (dims, made.values, found.attrs), f"{found.name}{VALID}": (dims, made.there)}
    return xr.Dataset(values, {**axes, **ids})


def _words(where: Any) -> str:
    """Return a condition in words."""
    if isinstance(where, (list, tuple)) and not all(isinstance(one, (bool, np.bool_)) for one in where):
        return " & ".join(map(_words, where))
    return "some rows" if isinstance(where, (np.ndarray, list)) or hasattr(where, "dims") else str(where)
