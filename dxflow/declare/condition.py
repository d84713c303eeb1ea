"""A condition on frames as a text, ``xgm / i0 > 2 & lit``: worked out in three-valued logic, never executed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import did_you_mean
from .grammar import EXPECTED, ROUNDED, all_of, is_condition, is_constant, names, parse, written

COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.remainder,
    ast.Pow: np.power,
}
REDUCED: dict[str, Callable[..., Any]] = {"sum": np.sum, "mean": np.sum, "min": np.min, "max": np.max}
LARGEST = 2.0**63
KNOWN = np.asarray(True)


@dataclass(frozen=True, eq=False)
class Column:
    """A value for each frame, and where there is one, both (frame, ...)."""

    values: NDArray
    there: NDArray


Columns = Callable[[str], Column]
"""The values of a name: (frame, ...), or (1, ...) of what is the same for all."""


@dataclass(frozen=True)
class Condition:
    """A text that was taken apart.

    Parameters
    ----------
    text : str
        Such as ``"xgm > 800 & lit"``: comparisons also chained (``1 < x <= 2``), ``x in (1, 2)``,
        ``between(x, low, high)``, which is ``low <= x < high``, and names of booleans alone; of names, numbers and
        what is calculated of them (``signal / i0``, ``sqrt(x)``).
    """

    text: str

    def __post_init__(self) -> None:
        self.cuts()

    def cuts(self) -> list[ast.expr]:
        """Return the conditions that must all hold, in order."""
        tree = parse(self.text, "where=")
        if not may_hold(tree):
            raise ValueError(f"where={self.text!r}: {written(tree)!r} is no condition; {EXPECTED}")
        return [*all_of(tree)]

    def names(self) -> list[str]:
        """Return the names in it, each once."""
        return list(dict.fromkeys(name for cut in self.cuts() for name in names(cut)))


def may_hold(node: ast.expr) -> bool:
    """Return whether a tree can be true or false."""
    return is_condition(node) or isinstance(node, (ast.Name, ast.Subscript))


def evaluate(node: ast.expr, column: Columns) -> Column:
    """Return a condition, or a value, of each frame, and where it is known."""
    if is_condition(node):
        return Column(*holds(node, column))
    return _value(node, column)


def holds(node: ast.expr, column: Columns) -> tuple[NDArray, NDArray]:
    """Return where a condition is true, and where that is known, (frame,) bool both.

    What needs a value that is missing is not known; neither is its opposite.

    Parameters
    ----------
    column : callable
        Returns the values of a name.
    """
    match node:
        case ast.BoolOp():
            return _joined(node, column)
        case ast.UnaryOp():
            true, known = holds(node.operand, column)
            return ~true & known, known
        case ast.Compare():
            left, out, sure = node.left, KNOWN, KNOWN
            for op, right in zip(node.ops, node.comparators, strict=True):
                true, known = _compared(op, left, right, column)
                out, sure, left = _both(out, true), _both(sure, known), right
            return out, sure
        case ast.Call(func=ast.Name(id=name), args=args) if name in TESTS:
            return TESTS[name](args, column)
    found = _value(node, column)
    if found.values.dtype != bool:
        said = written(node)
        raise ValueError(f"{said!r} is {found.values.dtype}, not a boolean: compare it, such as {said} > 0")
    return found.values & found.there, found.there


def _joined(node: ast.BoolOp, column: Columns) -> tuple[NDArray, NDArray]:
    """Return where all of some conditions are true, or any of them, and where that is known."""
    parts = [holds(part, column) for part in node.values]
    true, known = (aligned(*arrays) for arrays in zip(*parts, strict=True))
    every, some = (
        (operator.or_, operator.and_) if isinstance(node.op, ast.Or) else (operator.and_, operator.or_)
    )
    yes = reduce(every, true)
    return yes, yes | reduce(some, (~one & sure for one, sure in zip(true, known, strict=True)))


def _between(args: list[ast.expr], column: Columns) -> tuple[NDArray, NDArray]:
    x, low, high = args
    return holds(ast.Compare(low, [ast.LtE(), ast.Lt()], [x, high]), column)


def _missing(args: list[ast.expr], column: Columns) -> tuple[NDArray, NDArray]:
    there = _value(args[0], column).there
    return ~there, np.ones_like(there)


def _any(args: list[ast.expr], column: Columns) -> tuple[NDArray, NDArray]:
    true, known = np.broadcast_arrays(*holds(args[0], column))
    axes = _further(true, "any", args[0])
    some = np.asarray(true.any(axes))
    return some, np.asarray(some | known.all(axes))


def _all(args: list[ast.expr], column: Columns) -> tuple[NDArray, NDArray]:
    true, known = np.broadcast_arrays(*holds(args[0], column))
    axes = _further(true, "all", args[0])
    return np.asarray(true.all(axes)), np.asarray(known.all(axes) | (known & ~true).any(axes))


TESTS = {"between": _between, "missing": _missing, "any": _any, "all": _all}


def _compared(op: ast.cmpop, left: ast.expr, right: ast.expr, column: Columns) -> tuple[NDArray, NDArray]:
    """Return where a comparison is true, and where both sides have a value."""
    if isinstance(right, (ast.Tuple, ast.List)):
        options = [_compared(ast.Eq(), left, one, column) for one in right.elts]
        known = _value(left, column).there
        found = np.logical_or.reduce([np.zeros(known.shape, bool), *(true for true, _ in options)])
        return (found if isinstance(op, ast.In) else ~found) & known, known
    a, b = _dated(_value(left, column), _value(right, column))
    texts = [_kind(x) in "US" for x in (a, b)]
    if texts[0] != texts[1]:
        sides = (f"{written(n)} is {np.asarray(x.values).dtype}" for n, x in ((left, a), (right, b)))
        raise ValueError(f"{' and '.join(sides)}: expected two numbers or two texts")
    if all(texts):
        a, b = (Column(np.asarray(x.values).astype("U"), x.there) for x in (a, b))
    with np.errstate(all="ignore"):
        true = np.asarray(COMPARED[type(op)](*aligned(a.values, b.values)))
    there = _both(a.there, b.there)
    return _both(true, there), there


def _dated(a: Column, b: Column) -> tuple[Column, Column]:
    """Return what is compared, a text beside times as the time that it says, in UTC."""
    if {_kind(a), _kind(b)} != {"M", "U"}:
        return a, b
    try:
        return tuple(Column(np.asarray(x.values, "M8[ns]"), x.there) for x in (a, b))  # type: ignore[return-value]
    except ValueError as e:
        raise ValueError(f"{e}: expected a time such as '2026-11-22T10:00:00'") from None


def _value(node: ast.expr, column: Columns) -> Column:
    """Return a value of each frame: numbers alone stay as they are, so that they have the precision of the others."""
    if is_constant(node):
        return Column(ast.literal_eval(node), KNOWN)
    match node:
        case ast.Name(id=name):
            return column(name)
        case ast.Subscript():
            return _indexed(node, column)
        case ast.BinOp():
            a, b = (numbers(_value(side, column), side) for side in (node.left, node.right))
            return _calculated(ARITHMETIC[type(node.op)], a, b)
        case ast.UnaryOp():
            found = numbers(_value(node.operand, column), node.operand)
            return Column(-found.values, found.there) if isinstance(node.op, ast.USub) else found
        case ast.Call(func=ast.Name(id="where"), args=args):
            return _chosen(args, column)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _function(name, args, column)
    raise ValueError(f"{written(node)!r} is not understood; {EXPECTED}")


def _function(name: str, args: list[ast.expr], column: Columns) -> Column:
    found = [numbers(_value(one, column), one) for one in args]
    if name in REDUCED and len(found) == 1:
        return _reduced(name, found[0], args[0])
    if name in REDUCED:
        return reduce(partial(_calculated, np.minimum if name == "min" else np.maximum), found)
    whole = found[0].values.dtype.kind == "i"
    if whole and name in ROUNDED:
        return found[0]
    ufunc = getattr(np, {"round": "rint"}.get(name, name))
    if not (whole and name in ("abs", "sign")):
        found = [Column(one.values.astype(float), one.there) for one in found]
    return _sound(ufunc, *found)


def numbers(found: Column, node: ast.expr) -> Column:
    """Return values as int64 or float64, so that nothing wraps; integers beyond have no value."""
    kind = _kind(found)
    if kind not in "biuf":
        raise ValueError(f"{written(node)!r} is {np.asarray(found.values).dtype}; expected numbers")
    if kind == "f":
        return Column(np.asarray(found.values, float), found.there)
    values, there = np.asarray(found.values), found.there
    if values.dtype == np.uint64:
        there = there & (values < np.uint64(2**63))
    return Column(values.astype(np.int64, copy=False), there)


def _calculated(ufunc: np.ufunc, a: Column, b: Column) -> Column:
    """Return what becomes of two values; what is no finite number, or no integer of 64 bits, has no value."""
    whole = a.values.dtype.kind == b.values.dtype.kind == "i"
    if not whole or ufunc in (np.true_divide, np.power):
        return _sound(ufunc, *(Column(one.values.astype(float, copy=False), one.there) for one in (a, b)))
    x, y = aligned(a.values, b.values)
    there = _both(a.there, b.there)
    with np.errstate(all="ignore"):
        out = ufunc(x, y)
        if ufunc in (np.add, np.subtract, np.multiply) and _large(x, y):
            there = _both(there, abs(ufunc(x.astype(float), y.astype(float))) < LARGEST)
    return Column(out, _both(there, y != 0) if ufunc in (np.floor_divide, np.remainder) else there)


def _large(x: NDArray, y: NDArray) -> bool:
    """Return whether sums or products might be more than 64 bits have."""
    return any(one.size and max(abs(int(one.max())), abs(int(one.min()))) >= 2**31 for one in (x, y))


def _sound(ufunc: np.ufunc, *found: Column) -> Column:
    """Return what a function gives where that is a finite number."""
    with np.errstate(all="ignore"):
        out = ufunc(*aligned(*(one.values for one in found)))
    return Column(out, reduce(_both, (one.there for one in found), np.isfinite(out)))


def _indexed(node: ast.Subscript, column: Columns) -> Column:
    """Return some of the values that each frame has."""
    found, name = _value(node.value, column), written(node)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    at = (slice(None), *(_index(part) for part in parts))
    try:
        there = np.broadcast_to(aligned(found.values, found.there)[1], found.values.shape)
        return Column(found.values[at], there[at])
    except IndexError:
        shape = np.shape(found.values)[1:]
        said = (
            f"there are values of shape {shape} for each row" if shape else "there is one value for each row"
        )
        raise ValueError(f"{name!r}: {said}") from None


def _index(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else ast.literal_eval(part) for part in parts))
    return ast.literal_eval(node)


def _chosen(args: list[ast.expr], column: Columns) -> Column:
    """Return one value where a condition holds, and another, or none, where it does not."""
    true, known = holds(args[0], column)
    one, *other = (numbers(_value(arg, column), arg) for arg in args[1:])
    if not other:
        return Column(aligned(one.values, true)[0], _both(one.there, true))
    true, known, x, y = aligned(true, known, one.values, other[0].values)
    there = np.where(true, *aligned(true, one.there, other[0].there)[1:])
    return Column(np.where(true, x, y), _both(there, known))


def _reduced(name: str, found: Column, node: ast.expr) -> Column:
    """Return the sum, mean or extreme of the values that each frame has, of those that are there."""
    axes = _further(found.values, name, node)
    values, there = np.broadcast_arrays(*aligned(found.values, found.there))
    count = there.sum(axes)
    start = {"min": np.inf, "max": -np.inf}.get(name, 0)
    with np.errstate(all="ignore"):
        filled = np.where(there, values, start)
        out = REDUCED[name](filled, axes)
        out = out / count if name == "mean" else out
    return Column(out, count > 0)


def _further(values: NDArray, name: str, node: ast.expr) -> tuple[int, ...]:
    """Return the axes that follow that of the rows."""
    if values.ndim < 2:
        raise ValueError(
            f"{name}({written(node)}): there is one value for each row; expected several, as of a vector"
        )
    return tuple(range(1, values.ndim))


def aligned(*arrays: Any) -> list[Any]:
    """Return arrays whose first axes are the same: those with fewer get further ones of length 1."""
    most = max(np.ndim(one) for one in arrays)
    return [
        one if np.ndim(one) in (0, most) else one.reshape(one.shape + (1,) * (most - one.ndim))
        for one in arrays
    ]


def _both(a: NDArray, b: NDArray) -> NDArray:
    """Return where both hold."""
    if a is KNOWN or b is KNOWN:
        return b if a is KNOWN else a
    a, b = aligned(a, b)
    return a & b


def _kind(found: Column) -> str:
    return np.asarray(found.values).dtype.kind


def unknown(name: str, there: list[str]) -> KeyError:
    """Return the error that a name is none of those that there are."""
    known = (
        f"There are: {', '.join(sorted(there))}"
        if there
        else "None is given (labels={'xgm': ...}, --label xgm=SOURCE:KEY)"
    )
    return KeyError(f"where=: no label {name!r}.{did_you_mean(name, there)} {known}")
