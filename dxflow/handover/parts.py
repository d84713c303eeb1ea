"""Parts of what is exported: variables that have the same rows, with the labels of these; nothing is read here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import has_magic
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.columns import EVENT, VALID, Columns
from ..analysis.complete import USED, is_count
from ..analysis.cubes import Cube
from ..analysis.picked import Picks
from ..analysis.rows import PULSE, RUN, TRAIN, Rows
from ..analysis.tables import Table
from ..declare.condition import Column
from ..driver.result import Result
from ..errors.near import did_you_mean, listed

if TYPE_CHECKING:
    import xarray as xr

MOST = 64
"""Columns that a variable may have."""
RATES = (PULSE, TRAIN)


@dataclass
class Source:
    """What is exported, whatever kind it is of.

    Parameters
    ----------
    data : xarray.Dataset
    columns : Columns
        Of its variables.
    about : dict
        What it is, and of which run.
    binned : bool
        Whether all axes are those of bins.
    """

    data: xr.Dataset
    columns: Columns
    about: dict[str, str]
    binned: bool = False

    @classmethod
    def of(cls, what: Any) -> Source:
        """Return it of a path, or of what was opened.

        Raises
        ------
        TypeError
            If it is none of these.
        """
        from ..analysis.opening import open as opened

        kinds = (Table, Result, Cube, Picks)
        one = what if isinstance(what, kinds) else opened(what)
        path = getattr(one, "path", None)
        about = {"kind": type(one).__name__.lower(), "source": "" if path is None else str(path)}
        if isinstance(one, Result):
            one = _tabled(one)
        if isinstance(one, Table):
            # Of how many modules rows are made goes with whatever is exported of them.
            data = one.data.set_coords([n for n, v in one.data.data_vars.items() if is_count(str(n), v)])
            return cls(data, one.columns, about | _said(data))
        if not isinstance(one, kinds):
            raise TypeError(f"{what!r} is a {type(one).__name__}; expected a result, table, cube or picks")
        data = one.dataset if isinstance(one, Result) else one.flat if isinstance(one, Picks) else one.data
        none = np.zeros(0, np.uint64)
        return cls(data, Columns(data, Rows(none, none, none)), about | _said(data), isinstance(one, Cube))

    def named(self, names: Sequence[str]) -> list[str]:
        """Return the variables that are asked for by name or by pattern, all without any.

        Raises
        ------
        KeyError
            If there is none of a name.
        """
        known = self.columns.names
        out: dict[str, None] = {}
        for name in names:
            labels = [str(c) for c in self.data.coords]
            found = [name] if name in (*known, *labels) else []
            if not found and has_magic(name):
                found = [one for one in known if fnmatchcase(one, name)]
            if not found:
                raise KeyError(f"no variable {name!r}.{did_you_mean(name, known)} There are: {listed(known)}")
            out |= dict.fromkeys(found)
        return [*out] if names else known

    def labels(self, dims: Sequence[str]) -> list[str]:
        """Return the names of what labels some axes, one label for each place along one of them; ids are first."""
        coords = self.data.coords
        found = [
            (dim, [str(n) for n, c in coords.items() if c.dims == ((dim,) if dim else ())])
            for dim in dims or ("",)
        ]
        return [n for dim, names in found for n in sorted(names, key=lambda n: _rank(n, dim))]


def _rank(name: str, dim: str) -> int:
    """Return where a label stands among those of an axis."""
    ends = ("train_id", "pulse_id")
    if USED in name:
        return len(ends) + 1
    return -1 if name == dim else next((i for i, end in enumerate(ends) if name.endswith(end)), len(ends))


@dataclass
class Part:
    """Variables with the same rows.

    Parameters
    ----------
    name : str
        "pulse", "train", "run", or what the rows are of.
    dims : tuple of str
        Axes of the rows.
    variables : list of str
    at : str, optional
        The rate at which coarser values are repeated.
    """

    name: str
    dims: tuple[str, ...]
    variables: list[str] = field(default_factory=list)
    at: str | None = None

    def rows(self, source: Source) -> int:
        """Return how many rows there are."""
        return prod(source.data.sizes[d] for d in self.dims)

    def size(self, source: Source) -> int:
        """Return how many bytes the values have in memory, about."""
        each = [source.columns.array(n) for n in (*source.labels(self.dims), *self.variables)]
        inner = [
            prod(s for d, s in a.sizes.items() if d not in self.dims) * max(a.dtype.itemsize, 8) for a in each
        ]
        return self.rows(source) * sum(inner)

    def column(self, source: Source, name: str) -> tuple[Column, tuple[str, ...]]:
        """Return the values of a variable and where there are any, (row, ...), and their inner axes."""
        array = source.columns.array(name)
        found = source.columns.column(name, self.at if array.dims[:1] != self.dims else None)
        inner = tuple(
            str(d) for d in array.dims if d not in (*self.dims, *((PULSE, TRAIN) if self.at else ()))
        )
        shape = (self.rows(source), *(source.data.sizes[d] for d in inner))
        return Column(found.values.reshape(shape), found.there.reshape(shape)), inner

    def labels(self, source: Source) -> Iterator[tuple[str, Column]]:
        """Yield what labels the rows, axis by axis: a label for each row, or a number where nothing labels them."""
        shape = [source.data.sizes[d] for d in self.dims]
        for axis, dim in enumerate(self.dims):
            place = [n if i == axis else 1 for i, n in enumerate(shape)]

            def spread(values: NDArray, place: list[int] = place) -> NDArray:
                return np.broadcast_to(values.reshape(place), shape).reshape(-1)

            names = source.labels([dim])
            for name in names:
                found = source.columns.column(name)
                yield name, Column(spread(found.values), spread(found.there))
            if not names:
                yield dim, Column(spread(np.arange(shape[axis])), np.ones(self.rows(source), bool))
        for name in source.labels([]) if not self.dims else ():
            found = source.columns.column(name)
            yield name, Column(found.values.reshape(1), found.there.reshape(1))


def parts(source: Source, names: Sequence[str], at: str | None) -> tuple[list[Part], dict[str, str]]:
    """Return variables by their rows, and why others are left out.

    Parameters
    ----------
    source : Source
    names : sequence of str
        What is asked for; all that has few values in each row without any.
    at : {"pulse", "train"}, optional
        Repeat coarser values in each of these rows.

    Raises
    ------
    KeyError, ValueError
        If a name is none, or what it names has no columns.
    """
    if at is not None and at not in RATES:
        raise ValueError(f"at={at!r}: expected one of {listed(RATES)}")
    if at is not None and at not in source.data.dims:
        raise ValueError(f"at={at!r}: there is nothing with a value per {at} in it")
    made: dict[tuple[str, ...], Part] = {}
    left: dict[str, str] = {}
    for name in source.named(names):
        if name in source.data.coords and name in source.labels(_rows_of(source, name, at)):
            # It comes with the rows anyway.
            rows = _rows_of(source, name, at)
            made.setdefault(rows, Part(_called(rows), rows, at=at))
            continue
        if why := _refused(source, name, at, bool(names)):
            if names and not any(has_magic(n) for n in names):
                raise ValueError(f"{name!r}: {why}")
            left[name] = why
            continue
        rows = _rows_of(source, name, at)
        made.setdefault(rows, Part(_called(rows), rows, at=at)).variables.append(name)
    order = [*RATES, RUN]
    return sorted(made.values(), key=lambda p: order.index(p.name) if p.name in order else len(order)), left


def _rows_of(source: Source, name: str, at: str | None) -> tuple[str, ...]:
    """Return the axes of the rows of a variable."""
    dims = tuple(str(d) for d in source.columns.array(name).dims)
    if at is not None and not (at == TRAIN and dims[:1] == (PULSE,)) and not source.binned:
        return (at,)
    if dims and (dims[0] in RATES or dims[0].endswith(EVENT)):
        return dims[:1]
    return dims


def _refused(source: Source, name: str, at: str | None, asked: bool) -> str:
    """Return why a variable cannot be columns, and what to do; "" if it can."""
    array = source.columns.array(name)
    rows = _rows_of(source, name, at)
    inner = prod(s for d, s in array.sizes.items() if d not in rows and d not in RATES)
    shape = ", ".join(f"{d} {s}" for d, s in array.sizes.items())
    if at == TRAIN and array.dims[:1] == (PULSE,):
        return "values per pulse, and at='train' asks for one per train"
    if at is not None and (behind := [d for d in map(str, array.dims[1:]) if d in RATES]):
        return f"its axis {behind[0]} is not the first ({shape}): leave at= out for a line of each value"
    if at is not None and source.columns.rate(name) == RUN and array.ndim and not asked:
        return f"of the run ({shape}), not repeated in each row unless it is named"
    if inner > MOST:
        return f"{inner} values in each row ({shape}); {MOST} at most become columns: write .npz or .mat"
    if len(rows) > 1 and not source.binned and not asked:
        return f"no list ({shape}): write .npz or .mat, or name it for a line of each value"
    return ""


def _called(rows: tuple[str, ...]) -> str:
    return "-".join(rows) or RUN


def _tabled(result: Result) -> Any:
    """Return the rows of a result, or itself where two of its frames have the ids of one."""
    try:
        return result.table
    except ValueError:
        return result


def _said(data: Any) -> dict[str, str]:
    return {k: str(data.attrs[k]) for k in ("title", "run") if data.attrs.get(k)}


def unit_of(source: Source, name: str) -> str:
    """Return the unit of a variable."""
    return str(source.columns.array(name).attrs.get("units", ""))


def doc_of(source: Source, name: str) -> str:
    """Return what a variable is."""
    return str(source.columns.array(name).attrs.get("long_name", ""))


def valid_name(name: str) -> str:
    """Return the name of the variable that says where another has a value."""
    return f"{name}{VALID}"
