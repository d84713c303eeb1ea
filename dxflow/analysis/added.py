"""Variables that users add to a table: of expressions or data, kept beside it, and known when they are out of date."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace as renewed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..declare.condition import Column
from ..declare.grammar import names as names_in
from ..declare.grammar import written
from ..errors.kinds import TEXT, expect_all
from ..errors.near import did_you_mean, listed
from ..run.joined import nothing
from . import beside, masks
from .addition import Added, plain
from .aligned import aligned
from .columns import VALID
from .rows import PULSE, RUN, TRAIN
from .values import Value, parsed

if TYPE_CHECKING:
    import xarray as xr

    from .evaluating import Source


class Listed(Protocol):
    """A table: what is added to it, and what can be listed of it."""

    data: xr.Dataset
    path: Path | None
    about: dict[str, Any]
    columns: Any
    rows: Any

    @property
    def names(self) -> list[str]:
        """Names of variables."""

    @property
    def selections(self) -> Any:
        """Conditions by name."""

    @property
    def added(self) -> Mapping[str, Added]:
        """What was added."""

    def rate(self, name: str) -> str:
        """Return "pulse", "train" or "run"."""


def with_added(table: Any) -> Any:
    """Return a table with what is kept beside it."""
    table.added.find()
    return table


class Additions(Mapping[str, Added]):
    """The variables that were added to a table, by name; those that are out of date are listed, and not used.

    Parameters
    ----------
    table : Table
    """

    def __init__(self, table: Listed) -> None:
        self._table = table
        self._known: dict[str, Added] = {}
        self._digests: dict[str, str] = {}
        self._stamp = beside.stamp(table.path) if table.path is not None and table.path.exists() else ""

    def __getitem__(self, name: str) -> Added:
        if name not in self._known:
            raise KeyError(
                f"no variable {name!r} was added.{did_you_mean(name, self._known)} There are: {listed(self._known)}"
            )
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return "\n".join(map(str, self._known.values())) or "none: ev.add(name, expression or data) adds one"

    # Adding ---------------------------------------------------------------------------------------

    def add(self, name: str, what: Any, unit: str, doc: str, *, replace: bool) -> None:
        """Add a variable, and what is made of it anew; see `Table.add`."""
        known, data = dict(self._known), self._table.data
        try:
            self._add_one(name, what, unit, doc, replace=replace)
            for other in self._users([name]):
                one = self._known[other]
                self._add_one(other, one.expression, one.unit, one.doc, replace=True)
        except BaseException:
            # What could not be made of the new values is not to stand beside them with those of the old ones.
            changed = [n for n in self if self._known[n] is not known.get(n)]
            self._known, self._table.data, self._digests = known, data, {}
            for other in changed:
                self._table.columns.renew(data, other)
            raise

    def _add_one(self, name: str, what: Any, unit: str, doc: str, *, replace: bool) -> None:
        self._check_name(name, replace=replace)
        expect_all({"unit": TEXT, "doc": TEXT}, {"unit": unit, "doc": doc})
        column, one, dims = (
            self._of_expression(name, what) if isinstance(what, (Value, str)) else self._of_data(name, what)
        )
        one = renewed(one, unit=unit, doc=doc, stamp=self._stamp)
        self._forget(name)
        self._put(one, self._variables(one, column, dims))

    def _is_used(self, name: str) -> bool:
        """Return whether a variable was added and is not out of date."""
        return name in self._known and not self._known[name].stale

    def _check_name(self, name: str, *, replace: bool) -> None:
        if not isinstance(name, str) or not name.strip() or set("`\n\0") & set(name):
            raise ValueError(f"name={name!r}: expected a text without backticks, in one line")
        if name in self._table.selections:
            raise ValueError(f"{name!r} is a selection of the table; choose another name")
        if self._is_used(name):
            if not replace:
                raise ValueError(f"{name!r} was added already; replace=True replaces it")
            return
        owner, data = name.removesuffix(VALID), self._table.data
        if name in data.variables or name in data.dims:
            raise ValueError(
                f"{name!r} is what the table itself has, which is not changed; choose another name"
            )
        if owner != name and owner in data.variables or name + VALID in data.variables:
            raise ValueError(f"{name!r} and another variable would be taken for one; choose another name")

    def _of_expression(self, name: str, what: Value | str) -> tuple[Column, Added, list[str]]:
        """Work out an expression."""
        node = plain(parsed(what).node if isinstance(what, str) else what.node, self._table.selections)
        value = Value(node, self._source)
        if isinstance(what, Value) and what.table is not None and what.table is not self._source:
            raise ValueError(f"{what} is of another table; give its text, or open the tables together")
        inputs = list(dict.fromkeys(names_in(value.node)))
        if not inputs:
            raise ValueError(f"{name} = {what}: there is no variable in it")
        if name in inputs or any(name in self._needs(one) for one in inputs):
            raise ValueError(f"{name} would be made of itself: {written(value.node)}")
        column, rate = value.column(), value.rate
        return (
            column,
            Added(name, rate, expression=str(value), inputs=dict.fromkeys(inputs, "")),
            self._dims(name, column, rate, inputs),
        )

    def _needs(self, name: str) -> set[str]:
        """Return the names that an added variable was made of, those of others that it was made of as well."""
        found, ahead = set[str](), [name]
        while ahead:
            one = self._known.get(ahead.pop())
            new = set(one.inputs or ()) - found if one is not None else set()
            found |= new
            ahead += new
        return found

    def _users(self, names: Collection[str]) -> list[str]:
        """Return the variables that are made of some, also by way of others, each behind what it is made of."""
        needs = {n: self._needs(n) for n in self if self._is_used(n)}
        return sorted((n for n in needs if not needs[n].isdisjoint(names)), key=lambda n: len(needs[n]))

    def _dims(self, name: str, column: Column, rate: str, inputs: list[str]) -> list[str]:
        """Return the axes of values: those of a variable that they were made of, if it has the same ones."""
        rest = column.values.shape[0 if rate == RUN else 1 :]
        for one in inputs:
            if one in self._table.data.variables:
                variable = self._table.data[one]
                dims = [str(d) for d in variable.dims if d not in (PULSE, TRAIN)]
                if tuple(variable.sizes[d] for d in dims) == rest:
                    return dims
        return [f"{name}_dim{n}" for n in range(len(rest))]

    def _of_data(self, name: str, what: Any) -> tuple[Column, Added, list[str]]:
        """Align data with rows."""
        column, rate = aligned(name, what, self._table.rows)
        return column, Added(name, rate), self._dims_of_data(name, column, rate, what)

    def _dims_of_data(self, name: str, column: Column, rate: str, what: Any) -> list[str]:
        rest = column.values.shape[0 if rate == RUN else 1 :]
        own = [str(d) for d in getattr(what, "dims", ())][-len(rest) :] if rest else []
        sizes = self._table.data.sizes
        if len(own) == len(rest) and all(sizes.get(d, n) == n for d, n in zip(own, rest, strict=True)):
            return own
        return [f"{name}_dim{n}" for n in range(len(rest))]

    def _variables(self, one: Added, column: Column, dims: list[str]) -> dict[str, xr.Variable]:
        """Return the variable, and where it has a value if it cannot say so itself."""
        from xarray import Variable

        first = [] if one.rate == RUN else [one.rate]
        attrs = {"units": one.unit, "long_name": one.doc, "expression": one.expression}
        attrs = {k: v for k, v in attrs.items() if v} | {"source": "added", "rate": one.rate}
        values = np.where(column.there, column.values, nothing(column.values.dtype))
        made = {one.name: Variable([*first, *dims], values.astype(column.values.dtype, copy=False), attrs)}
        if column.values.dtype.kind in "iub" and not column.there.all():
            words = {"long_name": f"where {one.name} has a value"}
            made[one.name + VALID] = Variable([*first, *dims], np.array(column.there), words)
        return made

    def _put(self, one: Added, variables: Mapping[str, Any]) -> None:
        """Make variables part of the table, behind all that they may be made of."""
        self._known.pop(one.name, None)
        self._known[one.name] = one
        self._table.data = self._table.data.assign(variables)
        self._table.columns.renew(self._table.data, one.name)

    def drop(self, name: str) -> None:
        """Remove a variable; see `Table.drop`."""
        one = self[name]
        users = [n for n in self if name in (self._known[n].inputs or ()) and self._is_used(n)]
        selections = self._table.selections
        of = [n for n in selections if any(name in names_in(cut) for cut in selections.nodes(n))]
        if users or of:
            users += [f"the selection {n} (del ev.selections[{n!r}])" for n in of]
            raise ValueError(f"{name!r} is used by {listed(users)}; drop these first")
        if one.saved:
            beside.remove(Path(one.saved), [name])
        self._remove(name)

    def _remove(self, name: str) -> None:
        self._forget(name)
        del self._known[name]

    def _forget(self, name: str) -> None:
        """Take a variable out of the table, as far as it is there."""
        if self._is_used(name):
            own = [n for n in (name, name + VALID) if n in self._table.data.variables]
            self._table.data = self._table.data.drop_vars(own)
        self._table.columns.renew(self._table.data, name)
        self._digests = {}

    # Keeping --------------------------------------------------------------------------------------

    def save(self, to: str | Path | None) -> Path:
        """Keep all that were added; see `Table.save`."""
        path = self._place(to)
        new = {n: one for n, one in self._known.items() if not one.stale and one.saved != str(path)}
        data = {
            n: self._table.data[n].variable
            for n in map(str, self._table.data.data_vars)
            if n.removesuffix(VALID) in new
        }
        new = {n: self._with_digests(one) for n, one in new.items()}
        told = {n: one.told() for n, one in new.items()}
        selected, gone = self._table.selections.to_dict(), self._table.selections.gone
        beside.put(path, data, told, of=str(self._table.path or ""), selected=selected, gone=gone)
        self._known = {
            n: one if one.stale else renewed(new.get(n, one), saved=str(path))
            for n, one in self._known.items()
        }
        self._follow(path)
        return path

    def _with_digests(self, one: Added) -> Added:
        """Return what is known of a variable with digests of what it depends on: that is as it was when it was made."""
        inputs = None if one.inputs is None else {name: self._digest(name) for name in one.inputs}
        return renewed(one, inputs=inputs, rows=self._digest_of_rows(one.rate), digest=self._digest(one.name))

    def _place(self, to: str | Path | None) -> Path:
        if to is not None:
            return beside.checked(Path(to))
        if self._table.path is None:
            raise ValueError(
                "this table has no place of its own: ev.save('name.added.zarr'), ev.restore(...) reads it"
            )
        return beside.place(self._table.path)

    def _follow(self, path: Path) -> None:
        """Have what is kept as it is there now: others may have changed it since it was read."""
        kept, told = beside.read(path)
        used = [n for n in self if self._is_used(n)]
        now = {n: Added(name=n, saved=str(path), **facts) for n, facts in told.items()}
        changed = [n for n in used if now.get(n) not in (None, self._known[n])]
        anew = {*changed, *self._users(changed)}
        for name in (n for n in used if n not in now):
            self._let_go(name, path, gone=name in anew or self._is_lazy(name))
        for name in anew & now.keys():
            self._remove(name)
        for name in (n for n in now if n in anew):
            self._take(now[name], kept)
            if name in changed and self._is_used(name):
                said = f"{name!r} was replaced by another process since this table was opened"
                warnings.warn(f"{said}. It is now {self._known[name]}", stacklevel=4)
        # What was read from the store that was replaced is read from the new one.
        lazy = [n for n in map(str, kept.data_vars) if self._is_lazy(n)]
        self._table.data = self._table.data.assign({n: kept[n].variable for n in lazy})
        for name in lazy:
            self._table.columns.renew(self._table.data, name)

    def _let_go(self, name: str, path: Path, *, gone: bool) -> None:
        """Have a variable that another process has dropped in memory only, or not at all."""
        one, said = self._known[name], f"{name!r} was removed from {path} by another process"
        if gone:
            self._remove(name)
            warnings.warn(f"{said}, and is gone: {one.again()}", stacklevel=5)
        else:
            self._known[name] = renewed(one, saved="")
            warnings.warn(f"{said}, and is in memory only: ev.save() keeps it again", stacklevel=5)

    def _is_lazy(self, name: str) -> bool:
        """Return whether a variable of the table is still to be read."""
        data = self._table.data
        return name in data.variables and not data[name].variable._in_memory

    def find(self) -> None:
        """Take in what is kept beside the table, if anything is; what cannot be used is warned of."""
        if self._table.path is None:
            return
        path = beside.place(self._table.path)
        try:
            if beside.exists(path):
                self.restore(path)
        except (OSError, ValueError, KeyError, TypeError) as e:
            warnings.warn(f"{path}: what was added to this table cannot be used: {e}", stacklevel=4)

    def restore(self, path: Path) -> None:
        """Take in what `save` has kept; what is out of date is warned of, and not used."""
        kept, told = beside.read(path)
        if selected := beside.selections(path):
            self._table.selections.load(selected)
        for name, facts in told.items():
            self._take(Added(name=name, saved=str(path), **facts), kept)

    def _take(self, one: Added, kept: xr.Dataset) -> None:
        """Take in one variable that is kept, if it is not out of date."""
        name = one.name
        if why := self._why_stale(one):
            self._known[name] = renewed(one, stale=why)
            said = f"{name!r}, which was added to this table, is out of date: {why}. It is not used: {one.again()}"
            if name not in self._table.data.variables:
                self._table.columns.gone[name] = said
            warnings.warn(said, stacklevel=5)
        else:
            self._put(one, {n: kept[n].variable for n in (name, name + VALID) if n in kept})
            self._digests[name] = one.digest

    def _why_stale(self, one: Added) -> str:
        """Return why a variable that was kept is not to be used, "" if it is."""
        if self._is_used(one.name):
            return "another variable of this name was added since"
        if one.name in self._table.data.variables or one.name in self._table.data.dims:
            return "the table itself has a variable of this name now"
        inputs = dict(one.inputs or {})
        if one.stamp and one.stamp == self._stamp:
            # The table has not changed; what else was added may have.
            inputs = {n: digest for n, digest in inputs.items() if self._may_change(n)}
        elif one.rows != self._digest_of_rows(one.rate):
            return f"the {one.rate}s of the table are others now"
        for name, digest in inputs.items():
            if self._is_stale(name):
                return f"{name} is out of date"
            try:
                if self._digest(name) != digest:
                    return f"{name} has other values now"
            except (KeyError, ValueError):
                return f"there is no {name} now"
        return ""

    def _may_change(self, name: str) -> bool:
        """Return whether something may have other values, or be gone, though the table is as it was."""
        own = name in self._table.data.variables or name.startswith(masks.START)
        return name in self._known or not own

    def _is_stale(self, name: str) -> bool:
        return name in self._known and bool(self._known[name].stale)

    # What they depend on --------------------------------------------------------------------------

    @property
    def _source(self) -> Source:
        return self._table  # type: ignore[return-value]

    def _digest(self, name: str) -> str:
        """Return the digest of the values of a variable or selection."""
        if name not in self._digests:
            self._digests[name] = beside.digest(*beside.arrays(self._table.selections.column(name)))
        return self._digests[name]

    def _digest_of_rows(self, rate: str) -> str:
        rows = self._table.rows
        if rate == RUN:
            return ""
        return beside.digest(rows.trains) if rate == TRAIN else beside.digest(rows.train_ids, rows.pulse_ids)
