"""A condition on frames as a text, ``xgm > 800 & lit``: taken apart and worked out, never executed."""

from __future__ import annotations

import ast
import io
import operator
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import did_you_mean

WORDS = {"&": " and ", "|": " or ", "~": " not "}
"""Signs that bind more tightly than comparisons in Python, and mean the words here."""
COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
EXPECTED = (
    "expected comparisons (<, <=, >, >=, ==, !=, in) of names, numbers and texts, between(x, low, high), "
    "joined by and, or, not (&, |, ~)"
)
LONGEST = 2000


@dataclass(frozen=True, eq=False)
class Column:
    """A value for each frame, and where there is one, (frame,) both."""

    values: NDArray
    there: NDArray


@dataclass(frozen=True)
class Condition:
    """A text that was taken apart.

    Parameters
    ----------
    text : str
        Such as ``"xgm > 800 & lit"``: comparisons also chained (``1 < x <= 2``), ``x in (1, 2)``,
        ``between(x, low, high)`` with both ends, and names of booleans alone.
    """

    text: str

    def __post_init__(self) -> None:
        self.cuts()

    def cuts(self) -> list[ast.expr]:
        """Return the conditions that must all hold, in order."""
        if len(self.text) > LONGEST:
            raise ValueError(f"where= has {len(self.text)} characters; expected at most {LONGEST}")
        try:
            whole = ast.parse(_worded(self.text), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as e:
            raise ValueError(f"where={self.text!r}: {getattr(e, 'msg', e)}; {EXPECTED}") from None
        cuts = [*_all_of(whole)]
        for cut in cuts:
            self._check(cut)
        return cuts

    def names(self) -> list[str]:
        """Return the names in it, each once."""
        return list(dict.fromkeys(name for cut in self.cuts() for name in _names(cut)))

    def _check(self, node: ast.expr) -> None:
        """Refuse what is no condition."""
        match node:
            case ast.BoolOp():
                for part in node.values:
                    self._check(part)
            case ast.UnaryOp(op=ast.Not()):
                self._check(node.operand)
            case ast.Compare():
                self._check_value(node.left)
                for op, right in zip(node.ops, node.comparators, strict=True):
                    self._check_compared(op, right)
            case ast.Call(func=ast.Name(id="between"), args=[x, low, high], keywords=[]):
                for part in (x, low, high):
                    self._check_value(part)
            case ast.Name() | ast.Attribute():
                self._check_value(node)
            case _:
                raise self._strange(node)

    def _check_compared(self, op: ast.cmpop, right: ast.expr) -> None:
        if type(op) in COMPARED:
            self._check_value(right)
        elif isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.Tuple, ast.List)):
            if not all(_is_constant(one) for one in right.elts):
                raise self._strange(right)
        else:
            raise self._strange(right)

    def _check_value(self, node: ast.expr) -> None:
        if not (_is_constant(node) or _dotted(node)):
            raise self._strange(node)

    def _strange(self, node: ast.AST) -> ValueError:
        return ValueError(f"where={self.text!r}: {ast.unparse(node)!r} is not understood; {EXPECTED}")


def holds(node: ast.expr, column: Callable[[str], Column]) -> tuple[NDArray, NDArray]:
    """Return where a condition is true, and where that is known, (frame,) bool both.

    What needs a value that is missing is not known; neither is its opposite.

    Parameters
    ----------
    column : callable
        Returns the values of a name.
    """
    match node:
        case ast.BoolOp():
            parts = [holds(part, column) for part in node.values]
            every, some = (operator.and_, operator.or_)
            if isinstance(node.op, ast.Or):
                every, some = some, every
            yes = reduce(every, (true & known for true, known in parts))
            return yes, yes | reduce(some, (~true & known for true, known in parts))
        case ast.UnaryOp():
            true, known = holds(node.operand, column)
            return ~true & known, known
        case ast.Compare():
            left, out, sure = node.left, np.asarray(True), np.asarray(True)
            for op, right in zip(node.ops, node.comparators, strict=True):
                true, known = _compared(op, left, right, column)
                out, sure, left = out & true, sure & known, right
            return out, sure
        case ast.Call(args=[x, low, high]):
            chain = ast.Compare(low, [ast.LtE(), ast.LtE()], [x, high])
            return holds(chain, column)
    name = _dotted(node)
    found = column(name)
    if found.values.dtype != bool:
        raise ValueError(f"{name!r} is {found.values.dtype}, not a boolean: compare it, such as {name} > 0")
    return found.values & found.there, found.there


def _compared(
    op: ast.cmpop, left: ast.expr, right: ast.expr, column: Callable[[str], Column]
) -> tuple[NDArray, NDArray]:
    """Return where a comparison is true, and where both sides have a value."""
    if isinstance(right, (ast.Tuple, ast.List)):
        options = [_compared(ast.Eq(), left, one, column) for one in right.elts]
        known = _column(left, column).there
        found = np.logical_or.reduce([np.zeros(known.shape, bool), *(true for true, _ in options)])
        return (found if isinstance(op, ast.In) else ~found) & known, known
    a, b = _column(left, column), _column(right, column)
    texts = [x.values.dtype.kind in "US" for x in (a, b)]
    if texts[0] != texts[1]:
        sides = (f"{ast.unparse(n)} is {x.values.dtype}" for n, x in ((left, a), (right, b)))
        raise ValueError(f"{' and '.join(sides)}: expected two numbers or two texts")
    there = a.there & b.there
    if all(texts):
        a, b = (Column(x.values.astype("U"), x.there) for x in (a, b))
    return np.asarray(COMPARED[type(op)](a.values, b.values)) & there, there


def _column(node: ast.expr, column: Callable[[str], Column]) -> Column:
    if _is_constant(node):
        value = np.asarray(ast.literal_eval(node))
        return Column(value, np.asarray(True))
    return column(_dotted(node))


def _all_of(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for part in node.values:
            yield from _all_of(part)
    else:
        yield node


def _names(node: ast.AST) -> Iterator[str]:
    if name := _dotted(node):
        yield name
        return
    skipped = node.func if isinstance(node, ast.Call) else None
    for part in ast.iter_child_nodes(node):
        if part is not skipped:
            yield from _names(part)


def _dotted(node: ast.AST) -> str:
    """Return ``litframes.lit`` as it is written, "" of what is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _is_constant(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float, bool, str)


def _worded(text: str) -> str:
    """Return the text with words for signs, outside of quotes."""
    out, at = [], 0
    lines = text.strip()
    if "\n" in lines:
        raise ValueError("it has several lines")
    for token in tokenize.generate_tokens(io.StringIO(lines).readline):
        if token.type == tokenize.OP and token.string in WORDS:
            out += [lines[at : token.start[1]], WORDS[token.string]]
            at = token.end[1]
    return "".join([*out, lines[at:]]).strip()


def unknown(name: str, there: list[str]) -> KeyError:
    """Return the error that a name is none of those that there are."""
    known = (
        f"There are: {', '.join(sorted(there))}"
        if there
        else "None is given (labels={'xgm': ...}, --label xgm=SOURCE:KEY)"
    )
    return KeyError(f"where=: no label {name!r}.{did_you_mean(name, there)} {known}")
