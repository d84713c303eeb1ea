"""Value: an expression over the variables of a table, made by operators or of a text, which knows its text."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from ..declare.condition import Column
from ..declare.grammar import UNARY, checked, parse, written
from ..errors.near import did_you_mean, listed
from .evaluating import Source, rate, worked_out

OPERATORS: dict[np.ufunc, ast.operator] = {
    np.add: ast.Add(),
    np.subtract: ast.Sub(),
    np.multiply: ast.Mult(),
    np.true_divide: ast.Div(),
    np.floor_divide: ast.FloorDiv(),
    np.remainder: ast.Mod(),
    np.power: ast.Pow(),
}
COMPARED: dict[np.ufunc, ast.cmpop] = {
    np.less: ast.Lt(),
    np.less_equal: ast.LtE(),
    np.greater: ast.Gt(),
    np.greater_equal: ast.GtE(),
    np.equal: ast.Eq(),
    np.not_equal: ast.NotEq(),
}
JOINED: dict[np.ufunc, ast.boolop] = {np.bitwise_and: ast.And(), np.bitwise_or: ast.Or()}
SIGNS: dict[np.ufunc, ast.unaryop] = {
    np.invert: ast.Not(),
    np.logical_not: ast.Not(),
    np.negative: ast.USub(),
    np.positive: ast.UAdd(),
}
CALLED: dict[np.ufunc, str] = {
    **{getattr(np, {"round": "rint"}.get(name, name)): name for name in (*UNARY, "arctan2", "hypot")},
    np.minimum: "min",
    np.maximum: "max",
    np.isnan: "missing",
}


class Value(NDArrayOperatorsMixin):
    """An expression: ``ev.signal / ev.i0 > 2`` is one, and so is ``ev.xgm``.

    Operators and functions of numpy (``np.sqrt(ev.xgm)``) make others; nothing is read before `values`. Its text,
    ``str(value)``, says the same to `parsed`. Numbers are compared in the precision of the variable; what is
    calculated is float64 or int64. What is missing never passes a comparison, nor does its opposite.

    Parameters
    ----------
    node : ast.expr
        As `dxflow.declare.grammar.parse` gives it.
    table : Table, optional
        Whose variables are meant.
    """

    def __init__(self, node: ast.expr, table: Source | None = None) -> None:
        self.node, self.table = checked(node), table

    @property
    def name(self) -> str:
        """The name of a variable alone, otherwise the text."""
        return self.node.id if isinstance(self.node, ast.Name) else str(self)

    @property
    def values(self) -> NDArray:
        """Its values, (row, ...), per pulse, per train, or of the run; NaN (0, False) where missing."""
        return self.column().values

    @property
    def there(self) -> NDArray:
        """Where it has a value, of the same shape."""
        return self.column().there

    @property
    def rate(self) -> str:
        """Of what it has a value each: "pulse", "train" or "run"."""
        return rate(self.node, self._of())

    def column(self, at: str | None = None) -> Column:
        """Return its values and where they are, at its own rate or another; see `Table.evaluate`."""
        return evaluated(self, self._of(), at)

    def between(self, low: Any, high: Any) -> Value:
        """Return ``low <= value < high``."""
        return self._called("between", low, high)

    def isin(self, values: Iterable[Any]) -> Value:
        """Return whether it is one of some numbers or texts."""
        options: list[ast.expr] = [_node(one) for one in values]
        return Value(ast.Compare(self.node, [ast.In()], [ast.Tuple(options, ast.Load())]), self.table)

    def missing(self) -> Value:
        """Return whether there is no value, which is always known."""
        return self._called("missing")

    def any(self) -> Value:
        """Return whether a condition holds for any of the values that each row has."""
        return self._called("any")

    def all(self) -> Value:
        """Return whether a condition holds for all of the values that each row has."""
        return self._called("all")

    def sum(self) -> Value:
        """Return the sum of the values that each row has, of those that are there; missing without any."""
        return self._called("sum")

    def mean(self) -> Value:
        """Return the mean of the values that each row has, of those that are there; missing without any."""
        return self._called("mean")

    def min(self) -> Value:
        """Return the smallest of the values that each row has."""
        return self._called("min")

    def max(self) -> Value:
        """Return the largest of the values that each row has."""
        return self._called("max")

    def sqrt(self) -> Value:
        """Return the square root, missing of negative numbers."""
        return self._called("sqrt")

    def exp(self) -> Value:
        """Return e to the power of it."""
        return self._called("exp")

    def log(self) -> Value:
        """Return the natural logarithm, missing of what is not above 0."""
        return self._called("log")

    def where(self, condition: Any, other: Any = None) -> Value:
        """Return it where a condition holds, and another value, or none, where it does not."""
        others = [] if other is None else [_node(other)]
        args = [_node(condition), self.node, *others]
        return Value(ast.Call(ast.Name("where"), args, []), _one_table((self, condition, other)))

    def __getitem__(self, at: Any) -> Value:
        parts = [_index(part) for part in (at if isinstance(at, tuple) else (at,))]
        index = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
        return Value(ast.Subscript(self.node, index, ast.Load()), self.table)

    def __getattr__(self, name: str) -> Value:
        if name.startswith("_") or vars(self).get("table") is None:
            raise AttributeError(f"a value of no table has no {name!r}")
        full = f"{self.name}.{name}"
        if full not in self._of().data.variables:
            own = [one for one in dir(type(self)) if not one.startswith("_")]
            raise AttributeError(
                f"{self.name!r} has no {name!r}, and there is no variable {full!r}.{did_you_mean(name, own)}"
            )
        return Value(ast.Name(full), self.table)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Value:
        if method != "__call__" or options:
            return NotImplemented
        return Value(_made(ufunc, [_node(one) for one in inputs]), _one_table(inputs))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.array(self.values, dtype, copy=copy)

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self}: it has no single truth: join conditions by & | ~ in place of and, or, not, each in parentheses, "
            "and write x.between(low, high) in place of low <= x < high"
        )

    __iter__ = None
    __contains__ = None
    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return written(self.node)

    def __repr__(self) -> str:
        return f"Value({str(self)!r})"

    def _called(self, name: str, *others: Any) -> Value:
        args = [self.node, *(_node(one) for one in others)]
        return Value(ast.Call(ast.Name(name), args, []), _one_table((self, *others)))

    def _of(self) -> Source:
        if self.table is None:
            raise ValueError(f"{self}: it is of no table; expected ev.evaluate(value)")
        return self.table


class Names:
    """What variables have in common whose names begin alike: ``ev.azint`` of ``azint.intensity``."""

    def __init__(self, start: str, table: Source) -> None:
        self._start, self._table = start, table

    def __getattr__(self, name: str) -> Value | Names:
        if name.startswith("_"):
            raise AttributeError(name)
        return attribute(f"{self._start}.{name}", self._table)

    def __dir__(self) -> list[str]:
        return [
            n.removeprefix(f"{self._start}.") for n in self._table.names if n.startswith(f"{self._start}.")
        ]

    def __repr__(self) -> str:
        return f"{self._start}: {', '.join(dir(self))}"


def variable(name: str, table: Source) -> Value:
    """Return the variable of a name as a value."""
    return Value(ast.Name(name), table)


def attribute(name: str, table: Source) -> Value | Names:
    """Return the variable of a name, or what those have in common that begin with it.

    Raises
    ------
    AttributeError
        If there is none.
    """
    if name in table.data.variables:
        return variable(name, table)
    if any(known.startswith(f"{name}.") for known in table.names):
        return Names(name, table)
    raise AttributeError(f"no variable {name!r}.{did_you_mean(name, [*table.names, *table.selections])}")


def parsed(text: str, table: Source | None = None) -> Value:
    """Return the value that a text says: ``str(parsed(text))`` says the same.

    Raises
    ------
    ValueError
        If it is no expression; nothing of it is executed.
    """
    return Value(parse(text), table)


def evaluated(what: Any, table: Source, at: str | None = None) -> Column:
    """Return an expression's values and where they are; see `Table.evaluate`."""
    return worked_out(_node(parsed(what) if isinstance(what, str) else what), table, at)


def _node(what: Any) -> ast.expr:
    """Return what stands for a value, a number or a text in an expression."""
    if isinstance(what, Value):
        return what.node
    if isinstance(what, (np.generic, np.ndarray)) or hasattr(what, "coords"):
        if np.ndim(what):
            raise ValueError(
                f"an array of shape {np.shape(what)} is no part of an expression: give it a name, ev.add(name, array), "
                "or give booleans to ev.select and where="
            )
        kind = np.asarray(what).dtype.kind
        what = str(np.asarray(what)) if kind == "M" else what.item()
    if type(what) not in (int, float, bool, str):
        raise TypeError(
            f"{what!r} is no part of an expression; expected values of a table, numbers and texts"
        )
    if what != what:
        raise ValueError("nan is what is missing: use value.missing()")
    signed = type(what) in (int, float) and math.copysign(1, what) < 0
    return ast.UnaryOp(ast.USub(), ast.Constant(-what)) if signed else ast.Constant(what)


def _made(ufunc: np.ufunc, nodes: list[ast.expr]) -> ast.expr:
    """Return the expression that a function of numpy makes of others."""
    if ufunc in OPERATORS:
        return ast.BinOp(nodes[0], OPERATORS[ufunc], nodes[1])
    if ufunc in COMPARED:
        return ast.Compare(nodes[0], [COMPARED[ufunc]], nodes[1:])
    if ufunc in JOINED:
        kind = type(JOINED[ufunc])
        parts = [
            one.values if isinstance(one, ast.BoolOp) and isinstance(one.op, kind) else [one] for one in nodes
        ]
        return ast.BoolOp(JOINED[ufunc], [part for some in parts for part in some])
    if ufunc in SIGNS:
        return ast.UnaryOp(SIGNS[ufunc], nodes[0])
    if ufunc in CALLED:
        return ast.Call(ast.Name(CALLED[ufunc]), nodes, [])
    raise TypeError(f"{ufunc.__name__} of a value; expected one of {listed(f.__name__ for f in CALLED)}")


def _index(part: Any) -> ast.expr:
    if isinstance(part, slice):
        bounds = (part.start, part.stop, part.step)
        return ast.Slice(*(None if bound is None else _node(bound) for bound in bounds))
    if isinstance(part, (bool, str, float, Value)):
        raise TypeError(f"[{part!r}]: expected whole numbers as index, such as ev.roi[2] or ev.roi[1:3]")
    return _node(part)


def _one_table(values: Iterable[Any]) -> Source | None:
    """Return the table that values are of."""
    tables = {id(v.table): v.table for v in values if isinstance(v, Value) and v.table is not None}
    if len(tables) > 1:
        raise ValueError("values of two tables in one expression: open them together, dxflow.open([a, b])")
    return next(iter(tables.values()), None)
