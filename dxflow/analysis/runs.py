"""Tables of several runs as one: rows after each other, in order of time, with the run of each row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.grammar import names as names_in
from ..declare.grammar import parse
from ..errors.near import listed
from ..run.joined import nothing
from ..stores.lazy import Joined, Stacked, Taken, lazy, variable
from . import masks
from .columns import EVENT, OFFSET, VALID
from .complete import BY, EXPRESSION
from .rows import CLOCK, DIFFER, PULSE, RUN, TRAIN, in_order
from .selections import KEY
from .tables import Table

if TYPE_CHECKING:
    import xarray as xr

OF_RUN = "of_run"
"""The axis of what there is once for each run, such as images."""
OTHERS = "tables that are joined have the same; open these runs one by one, or make their tables alike"
IDS = {PULSE: ("train_id", "pulse_id"), TRAIN: (TRAIN,)}
_NUMBERS = (re.compile(r"(?<![A-Za-z])[rR](?:un)?[-_]?(\d+)"), re.compile(r"(\d+)(?!.*\d)"))
"""How names say the number of a run: r0034, Run0034; or by their last number."""


def join(tables: Sequence[Table]) -> Table:
    """Return tables of several runs as one; values are read when they are used.

    ``run`` says of which run a row is, ``train_run`` of which a train is. A variable that only some have is missing in
    the others. A number of the run becomes one of its trains (of its rows, where there are no trains); an array of the
    run gets an axis ``of_run``, or, where its shape or labels differ, ``@`` and the number of the run in its name.

    Parameters
    ----------
    tables : sequence of Table

    Raises
    ------
    ValueError
        If rows are of different kinds, units or shapes, or one is there twice.
    """
    if not tables:
        raise ValueError("no tables; expected at least one")
    parts = sorted(
        tables, key=lambda t: min((int(i[0]) for i in (t.rows.train_ids, t.rows.trains) if len(i)), default=0)
    )
    made = _Join(parts)
    lost = [
        {**loss, "run": loss.get("run") or str(n)}
        for t, n in zip(parts, made.numbers, strict=True)
        for loss in t.about.get("losses", ())
    ]
    about = {"tables": [str(t.path) for t in parts], "runs": made.numbers, "losses": lost}
    table = Table(made.dataset(), None, about)
    table.selections.load({"selections": _common(parts)})
    return table


@dataclass
class _Join:
    """Tables that become one."""

    tables: Sequence[Table]

    def __post_init__(self) -> None:
        if several := [str(t.path) for t in self.tables if RUN in t.data.coords]:
            raise ValueError(f"{listed(several)} are of several runs already; give the table of each run")
        self._refuse("rows", [str(t.data.attrs.get("rows", "")) for t in self.tables])

    def _refuse(self, what: str, said: Sequence[str]) -> None:
        """Refuse what differs from run to run; empty texts say nothing."""
        known: dict[str, int] = {}
        for number, one in zip(self.numbers, said, strict=True):
            known.setdefault(one, number)
        known.pop("", None)
        if len(known) > 1:
            words = ", ".join(f"{one} in run {number}" for one, number in known.items())
            raise ValueError(f"{what}: {words}; tables that are joined have the same")

    @cached_property
    def numbers(self) -> list[int]:
        """The number of each run: as the table says, or its name, or its place among the others."""
        found = [_number(t) for t in self.tables]
        return [n for n in found if n is not None] if None not in found else list(range(len(found)))

    @cached_property
    def labels(self) -> set[str]:
        """Names of coordinates."""
        return {str(n) for t in self.tables for n in t.data.coords}

    @cached_property
    def events(self) -> set[str]:
        """Axes along which each row has several values."""
        dims = {str(d) for t in self.tables for d in t.data.dims}
        names = {str(n) for t in self.tables for n in t.data.variables}
        return {d for d in dims if d.endswith(EVENT) and d.removesuffix(EVENT) + OFFSET in names}

    def size(self, table: Table, dim: str) -> int:
        return table.data.sizes.get(dim, 0)

    @cached_property
    def order(self) -> dict[str, NDArray | None]:
        """By axis, the order of rows and trains; None if they are in order.

        Raises
        ------
        ValueError
            If one is there twice.
        """
        return {dim: self._order(dim) for dim in IDS}

    def _order(self, dim: str) -> NDArray | None:
        there = [t.data for t in self.tables if dim in t.data.dims]
        if not there:
            return None
        ids = [np.concatenate([d[name].values for d in there]).astype(np.uint64) for name in IDS[dim]]
        if in_order(ids):
            return None
        order = np.lexsort(ids[::-1])
        again = np.logical_and.reduce([np.diff(one[order]) == 0 for one in ids])
        if again.any():
            n = order[np.flatnonzero(again)[0]]
            runs = np.repeat(self.numbers, [self.size(t, dim) for t in self.tables])
            twice = sorted(
                {int(runs[m]) for m in np.flatnonzero(np.logical_and.reduce([i == i[n] for i in ids]))}
            )
            said = ", ".join(f"{name} {one[n]}" for name, one in zip(IDS[dim], ids, strict=True))
            raise ValueError(
                f"{int(again.sum())} rows along {dim} are there twice, the first is {said} (run "
                f"{listed(map(str, twice))}): a run is given twice, or tables of it overlap"
            )
        return order

    def dataset(self) -> xr.Dataset:
        """Return the dataset of all."""
        import xarray as xr

        names = dict.fromkeys(str(n) for t in self.tables for n in t.data.variables)
        made = {asked: dict(self._joined(asked)) for asked in names}
        coords = {n: v for asked in names if asked in self.labels for n, v in made[asked].items()}
        coords |= dict(self._runs())
        rest = {n: v for asked in names if asked not in self.labels for n, v in made[asked].items()}
        if any(OF_RUN in v.dims for v in rest.values()):
            coords[OF_RUN] = variable([OF_RUN], np.array(self.numbers, np.int64), {"long_name": "run"})
        first, *others = (t.data.attrs for t in self.tables)
        known = {k: v for k, v in first.items() if k != KEY and all(o.get(k) == v for o in others)}
        if len({t.data.attrs.get(CLOCK) for t in self.tables}) > 1:
            known[CLOCK] = DIFFER
        title = f"{len(self.tables)} tables, runs {listed(map(str, self.numbers))}"
        return xr.Dataset(rest, coords, {**known, "title": title, RUN: self.numbers})

    def _runs(self) -> Iterator[tuple[str, xr.Variable]]:
        """Yield of which run each row and train is."""
        for dim, name in ((PULSE, RUN), (TRAIN, "train_run")):
            if any(dim in t.data.dims for t in self.tables):
                numbers = np.repeat(
                    np.array(self.numbers, np.int64), [self.size(t, dim) for t in self.tables]
                )
                order = self.order[dim]
                yield (
                    name,
                    variable([dim], numbers if order is None else numbers[order], {"long_name": "run"}),
                )

    # One variable ---------------------------------------------------------------------------------

    def _joined(self, name: str) -> Iterator[tuple[str, xr.Variable]]:
        """Yield a variable of all runs, and where it has a value."""
        found = [t.data.variables.get(name) for t in self.tables]
        there = [v for v in found if v is not None]
        if name in self.labels and not self._has_rows(there[0]):
            if self.differing.keys() & set(there[0].dims):
                yield from self._apart(name, found)
            else:
                yield name, there[0]
            return
        self._refuse(f"units of {name}", ["" if v is None else str(v.attrs.get("units", "")) for v in found])
        if any(v.dims[:1] == (TRAIN,) for v in there):
            # What moves in some runs is kept once in those where it does not.
            found = [self._of_trains(v, t) for v, t in zip(found, self.tables, strict=True)]
            there = [v for v in found if v is not None]
        first = self._first(name, there)
        if other := sorted(self.differing.keys() & {str(d) for v in there for d in v.dims}):
            if any(self._has_rows(v) for v in there):
                raise ValueError(f"{name} has {self.differing[other[0]]}: {OTHERS}")
            yield from self._apart(name, found)
        elif first in (PULSE, TRAIN, *self.events):
            yield from self._after_each_other(name, found, first)
        elif all(not v.ndim for v in there):
            yield from self._repeated(name, found)
        elif len({(v.dims, v.shape, v.dtype) for v in there}) == 1:
            each = [
                None if v is None else lazy(Stacked([v]), [OF_RUN, *map(str, v.dims)], v.attrs) for v in found
            ]
            yield from self._filled(name, each, OF_RUN, lambda _: 1)
        else:
            yield from self._apart(name, found)

    def _of_trains(self, one: xr.Variable | None, table: Table) -> xr.Variable | None:
        """Return a value of the run as one of its trains; others as they are."""
        if one is None or {PULSE, TRAIN, *self.events} & set(one.dims) or TRAIN not in table.data.dims:
            return one
        return _repeated(one, TRAIN, self.size(table, TRAIN))

    def _first(self, name: str, there: Sequence[xr.Variable]) -> str:
        """Return the first axis, which all have."""
        rates = {
            str(v.dims[0]) if v.dims and v.dims[0] in (PULSE, TRAIN, *self.events) else RUN for v in there
        }
        if len(rates) > 1:
            raise ValueError(
                f"{name} has a value per {' and per '.join(sorted(rates))} in different runs; tables that are joined "
                "have the same"
            )
        return rates.pop()

    def _has_rows(self, one: xr.Variable) -> bool:
        """Return whether something has values of rows, trains or events."""
        return bool({PULSE, TRAIN, *self.events} & set(one.dims))

    @cached_property
    def differing(self) -> dict[str, str]:
        """By axis whose labels are others in some runs, which labels, and two of these runs.

        Raises
        ------
        ValueError
            If a label of no axis differs.
        """
        out: dict[str, str] = {}
        for name in sorted(self.labels):
            found = [t.data.variables.get(name) for t in self.tables]
            (first, run), *rest = [(v, n) for v, n in zip(found, self.numbers, strict=True) if v is not None]
            if self._has_rows(first):
                continue
            for v, n in rest:
                if v.dims != first.dims or not _equal(v.values, first.values):
                    said = f"other labels {name!r} in run {n} than in run {run}"
                    if not first.dims and not v.dims:
                        raise ValueError(f"{said}: {OTHERS}")
                    out |= {str(d): said for d in (*first.dims, *v.dims)}
                    break
        return out

    def _after_each_other(
        self, name: str, found: Sequence[xr.Variable | None], dim: str
    ) -> Iterator[tuple[str, xr.Variable]]:
        like = next(v for v in found if v is not None)
        found = [v if v is None or set(v.dims) != set(like.dims) else v.transpose(*like.dims) for v in found]
        shapes = {v.shape[1:] for v in found if v is not None}
        if len(shapes) > 1:
            raise ValueError(f"{name} has values of shapes {listed(map(str, shapes))} in different runs")
        if name.endswith(OFFSET) and name.removesuffix(OFFSET) + EVENT in self.events:
            before = 0
            shifted: list[xr.Variable | None] = []
            for v, t in zip(found, self.tables, strict=True):
                shifted.append(None if v is None else v.copy(data=v.values + before))
                before += self.size(t, name.removesuffix(OFFSET) + EVENT)
            found = shifted
        yield from self._filled(name, found, dim, lambda t: self.size(t, dim))

    def _repeated(self, name: str, found: Sequence[xr.Variable | None]) -> Iterator[tuple[str, xr.Variable]]:
        """Yield a number of the run as one of its trains, or of its rows."""
        dim = TRAIN if all(TRAIN in t.data.dims for t in self.tables) else PULSE
        each = [
            None if v is None else _repeated(v, dim, self.size(t, dim))
            for v, t in zip(found, self.tables, strict=True)
        ]
        yield from self._filled(name, each, dim, lambda t: self.size(t, dim))

    def _apart(self, name: str, found: Sequence[xr.Variable | None]) -> Iterator[tuple[str, xr.Variable]]:
        """Yield arrays of runs that do not fit together, each under a name of its own."""
        used = Counter[int]()
        for number, v in zip(self.numbers, found, strict=True):
            if v is not None:
                # Two tables may be of parts of one run.
                end = f"@{number}{'_' * used[number]}"
                used[number] += 1
                own = v.copy(deep=False)
                own.dims = [f"{d}{end}" for d in v.dims]
                yield f"{name}{end}", own

    def _filled(
        self, name: str, found: Sequence[xr.Variable | None], dim: str, size: Callable[[Table], int]
    ) -> Iterator[tuple[str, xr.Variable]]:
        """Yield parts as one variable, with nothing in runs that have none, and where there is something."""
        like = next(v for v in found if v is not None)
        kinds = {_kind(v.dtype) for v in found if v is not None}
        if len(kinds) > 1:
            raise ValueError(f"{name} has {' and '.join(sorted(kinds))} in different runs")
        both = list(zip(found, self.tables, strict=True))
        parts = [self._nothing(name, like, t, size(t)) if v is None else v for v, t in both]
        rate = {"rate": dim if dim in IDS else RUN} if "rate" in like.attrs else {}
        attrs = {**like.attrs, **rate, **self._expressions(found), **_algorithms(found)}
        yield name, self._ordered(parts, dim, attrs)
        if like.dtype.kind in "iub" and self._has_gaps(name, both, size):
            there = [variable([dim], np.broadcast_to(v is not None, (size(t),))) for v, t in both]
            yield name + VALID, self._ordered(there, dim, {"long_name": f"where {name} has a value"})

    def _expressions(self, found: Sequence[xr.Variable | None]) -> dict[str, str]:
        """Return of what a variable that was added was made, where runs do not have the same."""
        of = [str(v.attrs.get(EXPRESSION, "data")) if v is not None else "" for v in found]
        if not any(v is not None and EXPRESSION in v.attrs for v in found) or len({*of} - {""}) == 1:
            return {}
        said = [f"{text} (run {number})" for text, number in zip(of, self.numbers, strict=True) if text]
        return {EXPRESSION: "; ".join(said)}

    def _has_gaps(self, name: str, both: Sequence[tuple[Any, Table]], size: Callable[[Table], int]) -> bool:
        """Return whether integers are missing in some runs, and nothing else says so."""
        said = name.endswith(VALID) or name in self.labels or any(name + VALID in t.data for _, t in both)
        return not said and any(v is None and size(t) for v, t in both)

    def _nothing(self, name: str, like: xr.Variable, table: Table, rows: int) -> xr.Variable:
        """Return what stands for a variable in a run that does not have it."""
        fill = "" if like.dtype.kind == "O" else nothing(like.dtype)
        if name.endswith(VALID):
            # Where others say that they have a value, one that says nothing has them all.
            fill = name.removesuffix(VALID) in table.data
        values = np.broadcast_to(np.asarray(fill, like.dtype), (rows, *like.shape[1:]))
        return variable([str(d) for d in like.dims], values)

    def _ordered(self, parts: Sequence[xr.Variable], dim: str, attrs: Any) -> xr.Variable:
        dims, order = [str(d) for d in parts[0].dims], self.order.get(dim)
        joined = lazy(Joined(parts), dims, attrs, kept=order is None)
        if order is None:
            return joined
        return lazy(Taken(joined, order, nothing(joined.dtype)), dims, attrs, kept=True)


def _algorithms(found: Sequence[xr.Variable | None]) -> dict[str, str]:
    """Return of which algorithms rows are that are counted, in any run."""
    by = [str(v.attrs[BY]).split() for v in found if v is not None and BY in v.attrs]
    return {BY: " ".join(dict.fromkeys(name for own in by for name in own))} if by else {}


def _common(tables: Sequence[Table]) -> dict[str, list[str]]:
    """Return the selections that all tables have alike, but for those of booleans that were given for rows."""
    first, *others = (t.selections.to_dict() for t in tables)
    same = {
        name: cuts
        for name, cuts in first["selections"].items()
        if all(one["selections"].get(name) == cuts for one in others)
    }
    while odd := [n for n, cuts in same.items() if any(_is_lost(one, same, first) for one in _names(cuts))]:
        for name in odd:
            del same[name]
    return same


def _names(cuts: Sequence[str]) -> list[str]:
    return [name for cut in cuts for name in names_in(parse(cut))]


def _is_lost(name: str, same: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Return whether a name is that of a selection that not all have, or of booleans."""
    return name.startswith(masks.START) or name in first["selections"] and name not in same


def _repeated(one: xr.Variable, dim: str, size: int) -> xr.Variable:
    """Return a value of the run as one of each row or train."""
    return variable([dim, *map(str, one.dims)], np.broadcast_to(one.values, (size, *one.shape)), one.attrs)


def _number(table: Table) -> int | None:
    """Return the number of a table's run, if it says one."""
    said = table.data.attrs.get(RUN)
    if isinstance(said, (int, np.integer)):
        return int(said)
    for text in (str(said or "").rpartition("/")[2], table.path.stem if table.path else ""):
        for pattern in _NUMBERS:
            if found := pattern.search(text):
                return int(found[1])
    return None


def _equal(one: NDArray, other: NDArray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f")


def _kind(dtype: np.dtype) -> str:
    return {"M": "times", "U": "texts", "O": "texts", "S": "texts"}.get(dtype.kind, "numbers")
