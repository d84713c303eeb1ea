"""Selections: conditions on the rows of a table under names, which are linked, kept with products, and counted."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column, may_hold
from ..declare.grammar import LONGEST, all_of, parse, written
from ..declare.grammar import names as names_in
from ..errors.near import did_you_mean, listed
from . import masks
from .cutflow import cutflow
from .evaluating import Known, Source, spread, tried, worked_out
from .links import needed, refuse_circle, refuse_deep, taken_apart
from .rows import PULSE, RUN, TRAIN
from .values import Value

if TYPE_CHECKING:
    from pandas import DataFrame

KEPT, UNPACKED = 64, 8
"""Masks that were given and are in no selection; those that are at hand as booleans."""
NONE = "no selections: ev.select(name, condition, ...) makes one"
KEY = "selections"
"""The attribute of a dataset that has its selections."""


class Selection(Value):
    """A condition on rows that has a name: a value like others, of which a cutflow is at hand.

    It is what its name stands for now: what is changed under the name takes effect wherever the name is used.
    """

    def __init__(self, name: str, table: Source) -> None:
        super().__init__(ast.Name(name), table)

    @property
    def cuts(self) -> list[Value]:
        """The conditions that must all hold, in order."""
        return [Value(node, self.table) for node in self._of().selections.nodes(self.name)]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Of which rows it is true, (pulse,)."""
        return self._of().selections.mask(self)

    @property
    def joins(self) -> list[str]:
        """What is said of variables that have no value per row: which one is taken."""
        return self._of().selections.joins(self)

    def cutflow(self) -> DataFrame:
        """Return how many rows each cut leaves; see `Table.cutflow`."""
        return self._of().selections.cutflow(self)

    def __repr__(self) -> str:
        counts = self.cutflow()
        return "\n".join([self._said(counts), str(counts), *self.joins])

    def _repr_html_(self) -> str:
        from html import escape

        counts = self.cutflow()
        said = "".join(f"<br>{escape(one)}" for one in self.joins)
        return f"<b>{escape(self._said(counts))}</b>{counts.to_html()}{said}"

    def _said(self, counts: DataFrame) -> str:
        return f"{self.name}: {counts.attrs['passed']} of {counts.attrs['rows']} rows"


class Selections(Mapping[str, Selection]):
    """The selections of a table by name; those that are kept with its dataset are there from the start.

    Parameters
    ----------
    table : Table
    """

    def __init__(self, table: Source) -> None:
        self._table = table
        self._nodes: dict[str, list[ast.expr]] = {}
        self._masks: dict[str, masks.Mask] = {}
        self._bits: dict[str, Column] = {}
        self.gone: set[str] = set()
        """Names of those that were deleted."""
        if kept := table.data.attrs.get(KEY):
            try:
                self.load(kept)
            except ValueError as e:
                warnings.warn(f"the attribute {KEY!r} of the table is not used: {e}", stacklevel=4)

    def __getitem__(self, name: str) -> Selection:
        if name not in self._nodes:
            raise KeyError(
                f"no selection {name!r}.{did_you_mean(name, self._nodes)} There are: {listed(self._nodes)}"
            )
        return Selection(name, self._table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __delitem__(self, name: str) -> None:
        own = self[name].name
        if users := [one for one, cuts in self._nodes.items() if any(own in names_in(cut) for cut in cuts)]:
            raise ValueError(f"{own!r} is used by {listed(users)}; delete these first")
        del self._nodes[own]
        self.gone.add(own)

    def define(self, name: str, *cuts: Any) -> Selection:
        """Give a name to conditions that must all hold; see `Table.select`."""
        self._check_name(name)
        nodes = [node for cut in cuts for node in self.cut(cut)]
        if not nodes:
            raise ValueError(f"selection {name!r}: there is no condition; expected at least one")
        refuse_circle(name, nodes, self._nodes)
        refuse_deep(self._nodes | {name: nodes})
        self._nodes[name] = nodes
        self.gone.discard(name)
        return self[name]

    def whole(self, where: Any) -> Value:
        """Return what `Table.mask` takes as one condition."""
        return Value(_all(self.cut(where)), self._table)

    def cut(self, what: Any) -> list[ast.expr]:
        """Return the conditions of whatever selects rows, checked without reading.

        Raises
        ------
        KeyError, TypeError, ValueError
            Of what selects none; the message says what does.
        """
        if isinstance(what, (list, tuple)) and not all(isinstance(one, (bool, np.bool_)) for one in what):
            return [node for one in what for node in self.cut(one)]
        nodes = [*all_of(self._node(what))]
        for node in nodes:
            tried(node, self._table)
        return nodes

    def knows(self, name: str) -> bool:
        """Return whether a name is that of a selection, or of a mask in one."""
        return name in self._nodes or name in self._masks

    def nodes(self, name: str) -> list[ast.expr]:
        """Return the conditions of a selection."""
        return list(self._nodes[self[name].name])

    @property
    def at(self) -> str:
        """What the table has a row for each: "pulse", or "train" if it has values per train only."""
        return PULSE if PULSE in self._table.data.dims else TRAIN

    def mask(self, where: Any = None, at: str | None = None) -> NDArray[np.bool_]:
        """Return for which rows conditions hold; see `Table.mask`."""
        keep = np.ones(self._size(at), bool)
        nodes = [] if where is None else self.cut(where)
        for node in taken_apart(nodes, self._nodes):
            keep &= self._held(node, at).values
        if len(keep) and not keep.any():
            counts = "; ".join(f"{n} with {cut}" for cut, n in self.cutflow(where)["alone"].items())
            warnings.warn(
                f"{written(_all(nodes))} holds for none of {len(keep)} rows: {counts}", stacklevel=3
            )
        return keep

    def cutflow(self, where: Any) -> DataFrame:
        """Return how many rows each condition leaves; see `Table.cutflow`."""
        nodes, title = self.cut(where), ""
        if len(nodes) == 1 and isinstance(nodes[0], ast.Name) and nodes[0].id in self:
            title, nodes = f"{nodes[0].id}: ", self.nodes(nodes[0].id)
        return cutflow([(written(one), self._held(one)) for one in nodes], self._size(None), title)

    def joins(self, where: Any) -> list[str]:
        """Return which value is meant of variables that have none per row: that of its train, or of the run."""
        said = {TRAIN: "of its train", RUN: "of the run"} if self.at == PULSE else {RUN: "of the run"}
        every = {name: self.rate(name) for name in self._variables(self.cut(where))}
        return [f"{name}: for each row, the value {said[own]}" for name, own in every.items() if own in said]

    def rate(self, name: str) -> str:
        """Return of what a selection, a mask or a variable has a value each."""
        if name in self._nodes:
            rates = {self.rate(one) for one in self._variables(self._nodes[name])}
            return next((one for one in (PULSE, TRAIN) if one in rates), RUN)
        return self._masks[name].rate if name in self._masks else self._table.rate(name)

    def column(self, name: str, at: str | None = None, known: Known | None = None) -> Column:
        """Return the values of a selection, a mask or a variable; see `Table.column`.

        Parameters
        ----------
        known : dict, optional
            Selections that were worked out for the same purpose, by name and rate.
        """
        if name in self._nodes:
            at, known = at or self.rate(name), {} if known is None else known
            if (name, at) not in known:
                found = [worked_out(node, self._table, at, known) for node in self._nodes[name]]
                true = reduce(np.logical_and, (one.values & one.there for one in found))
                false = reduce(np.logical_or, (one.there & ~one.values for one in found))
                known[name, at] = Column(true, true | false)
            return known[name, at]
        if name not in self._masks:
            return self._table.column(name, at)
        return spread(self._booleans(name), self._masks[name].rate, at, self._table.rows)

    def to_dict(self, names: Iterable[str] | None = None, largest: int | None = None) -> dict[str, Any]:
        """Return selections as JSON values: all, or these and what they are made of.

        Parameters
        ----------
        largest : int, optional
            Bytes of masks; of larger ones it is told that they were there.
        """
        chosen = self if names is None else needed(names, self._nodes)
        cuts = {name: [written(node) for node in self._nodes[name]] for name in self if name in chosen}
        used = {one for name in cuts for node in self._nodes[name] for one in names_in(node)} | set(
            names or ()
        )
        return {
            KEY: cuts,
            "masks": {name: mask.to_dict(largest) for name, mask in self._masks.items() if name in used},
        }

    def load(self, kept: str | Mapping[str, Any]) -> None:
        """Add the selections that `to_dict`, or a product, has; those of the same name are replaced.

        Raises
        ------
        ValueError
            If it has none, or they are no conditions.
        """
        try:
            given = json.loads(kept) if isinstance(kept, str) else kept
            bits = {name: masks.Mask.from_dict(one) for name, one in given.get("masks", {}).items()}
            nodes = {str(name): [_condition(text) for text in cuts] for name, cuts in given[KEY].items()}
        except (KeyError, TypeError, AttributeError, ValueError) as e:
            raise ValueError(f"there are no selections: {e}") from e
        every = self._nodes | nodes
        for name, cuts in nodes.items():
            refuse_circle(name, cuts, every)
        refuse_deep(every)
        self._masks |= bits
        self._nodes = every

    def as_attrs(self, where: Any = None) -> dict[str, str]:
        """Return attributes for a product: the condition, what its names stand for, the rows left by each cut.

        Parameters
        ----------
        where
            What `Table.mask` takes; without, all selections that there are.
        """
        if where is None:
            return {KEY: json.dumps(self.to_dict(None, masks.LARGEST))} if self else {}
        nodes = self.cut(where)
        counts = self.cutflow(where).reset_index()
        kept = self.to_dict({name for node in nodes for name in names_in(node)}, masks.LARGEST)
        told = {
            "where": [written(node) for node in nodes],
            "rows": self._size(None),
            "cutflow": counts.to_dict("records"),
            "joins": self.joins(where),
        }
        return {KEY: json.dumps(told | kept)}

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {cuts}" for name, cuts in self._lines()) or NONE

    def _repr_html_(self) -> str:
        from ..html import table

        return table("selections", self._lines(), "" if self else NONE)

    def _lines(self) -> list[tuple[str, str]]:
        return [(name, ", ".join(map(written, cuts))) for name, cuts in self._nodes.items()]

    def _node(self, what: Any) -> ast.expr:
        if isinstance(what, Value):
            node = what.node
            if (size := len(str(what))) > LONGEST:
                raise ValueError(
                    f"{str(what)[:40]}... has {size} characters, expected at most {LONGEST}: give booleans in place of "
                    "it, such as np.isin(ev.step.values, many)"
                )
        elif isinstance(what, str):
            node = ast.Name(what) if what in self or what in self._table.data.variables else _condition(what)
        elif hasattr(what, "__array__") or isinstance(what, (list, tuple)):
            return ast.Name(self._keep(masks.given(what, self._table.rows)))
        else:
            raise TypeError(
                f"{what!r} selects nothing; expected a condition such as ev.xgm > 200 or its text, the name of a "
                "selection, booleans, or a list of these"
            )
        if not may_hold(node):
            raise ValueError(f"{written(node)!r} is no condition: compare it, such as {written(node)} > 0")
        if not any(True for _ in names_in(node)):
            raise ValueError(f"{written(node)!r} is the same for all rows: there is no name in it")
        return node

    def _size(self, at: str | None) -> int:
        """Return how many rows, or trains, there are."""
        rows = self._table.rows
        return len(rows.trains if (at or self.at) == TRAIN else rows)

    def _keep(self, mask: masks.Mask) -> str:
        """Have a mask at hand; of those that are in no selection only the last ones stay."""
        self._masks[mask.name] = self._masks.pop(mask.name, mask)
        used = {name for nodes in self._nodes.values() for node in nodes for name in names_in(node)}
        for name in [one for one in self._masks if one not in used][:-KEPT]:
            del self._masks[name]
            self._bits.pop(name, None)
        return mask.name

    def _booleans(self, name: str) -> Column:
        """Return a mask as booleans; the last ones that were asked for stay at hand."""
        found = self._bits.pop(name, None) or self._masks[name].column(self._table.rows)
        self._bits[name] = found
        for oldest in [*self._bits][:-UNPACKED]:
            self._bits.pop(oldest, None)
        return found

    def _held(self, node: ast.expr, at: str | None = None) -> Column:
        """Return where a condition is true, and where that is known, for each row."""
        found = worked_out(node, self._table, at or self.at)
        return (
            Column(found.values & found.there, found.there)
            if isinstance(node, ast.Name | ast.Subscript)
            else found
        )

    def _check_name(self, name: str) -> None:
        if (
            not isinstance(name, str)
            or not name.strip()
            or name.startswith(masks.START)
            or set("`\n") & set(name)
        ):
            raise ValueError(f"selection {name!r}: expected a name, without backticks, in one line")
        if name in self._table.data.variables:
            raise ValueError(f"selection {name!r}: a variable of the table has that name; choose another")

    def _variables(self, nodes: list[ast.expr]) -> list[str]:
        """Return the variables and masks that conditions are made of, those of selections in them as well."""
        names = [name for node in nodes for name in names_in(node)]
        used = needed(names, self._nodes)
        names += [
            one for name in self if name in used for node in self._nodes[name] for one in names_in(node)
        ]
        return [name for name in dict.fromkeys(names) if name not in self._nodes]


def _condition(text: str) -> ast.expr:
    node = parse(text)
    if not may_hold(node):
        raise ValueError(f"{text!r} is no condition: compare it, such as {text} > 0")
    return node


def _all(nodes: list[ast.expr]) -> ast.expr:
    """Return that some conditions all hold, as one."""
    return nodes[0] if len(nodes) == 1 else ast.BoolOp(ast.And(), nodes)
