"""Expressions as texts, ``xgm / i0 > 2 & lit``: taken apart, checked and written again, never executed."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterator
from copy import deepcopy
from keyword import iskeyword

LONGEST = 10_000
"""Characters of a text."""
DEEPEST = 100
"""Levels of a text, each in the next."""
WORDS = {"&": " and ", "|": " or ", "~": " not "}
"""Signs that bind more tightly than comparisons in Python, and mean the words here."""
COMPARED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
VALUE, CONDITION = "value", "condition"
TESTS = {"between": (VALUE,) * 3, "missing": (VALUE,), "any": (CONDITION,), "all": (CONDITION,)}
"""Functions that are true or false, and what they take."""
ROUNDED = ("floor", "ceil", "round", "sign")
UNARY = (
    *ROUNDED,
    "abs",
    "sqrt",
    "exp",
    "log",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
)
FUNCTIONS = {
    **dict.fromkeys(UNARY, (VALUE,)),
    **dict.fromkeys(("arctan2", "hypot"), (VALUE,) * 2),
    **dict.fromkeys(("sum", "mean"), (VALUE,)),
}
"""Functions that are values, and what they take; ``min``, ``max`` and ``where`` take several."""
EXTREMES = ("min", "max")
EXPECTED = (
    "expected comparisons (<, <=, >, >=, ==, !=, in) of names, numbers and texts, between(x, low, high), "
    "joined by and, or, not (&, |, ~)"
)
LOOSE = "in Python & and | bind more tightly than comparisons: put each in parentheses, (xgm > 200) & lit"
_PARTS = re.compile(
    r"""(?P<triple>'''|\"\"\")|(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""
    r"""|`(?P<name>[^`\n]+)`|(?P<word>[^\W\d]\w*)|(?P<other>.|\n)"""
)


def parse(text: str, said: str = "") -> ast.expr:
    """Return a condition or a value as a tree, every node of which is known.

    Parameters
    ----------
    text : str
        Names are dotted (``litframes.lit``), or anything between backticks: `` `SOURCE key` > 1 ``.
    said : str
        What errors call it, such as ``where=``.

    Raises
    ------
    ValueError
        If it is none, is too long, or too deep.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{said}{text[:40]!r}... has {len(text)} characters; expected at most {LONGEST}")
    try:
        worded, names = _worded(text.strip())
        tree = ast.parse(worded, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise ValueError(f"{said}{text!r}: {getattr(e, 'msg', e)}; {EXPECTED}") from None
    try:
        _check_depth(tree)
        return checked(_Named(names).visit(tree))
    except Strange as e:
        raise ValueError(f"{said}{text!r}: {e}") from None


class Strange(ValueError):
    """A part that is not understood."""

    def __init__(self, node: ast.AST, why: str = "") -> None:
        super().__init__(f"{ast.unparse(node)!r} is not understood; {why or EXPECTED}")


class Deep(Strange):
    """A text with too many parts in each other."""

    def __init__(self) -> None:
        ValueError.__init__(self, f"it is more than {DEEPEST} levels deep; expected parts of it as variables")


def checked(node: ast.expr) -> ast.expr:
    """Return a tree as it is, if all of it is known.

    Raises
    ------
    ValueError
        Of a part that is not.
    """
    _check_depth(node)
    (_check_condition if is_condition(node) else _check_value)(node)
    return node


def is_condition(node: ast.AST) -> bool:
    """Return whether a tree is true or false by what it is; a name may be either."""
    match node:
        case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in TESTS
    return False


def written(node: ast.expr) -> str:
    """Return a tree as the text that it is parsed from."""
    return ast.unparse(_Quoted().visit(deepcopy(node)))


def names(node: ast.AST) -> Iterator[str]:
    """Yield the names in a tree, in order."""
    if isinstance(node, ast.Name):
        yield node.id
        return
    skipped = node.func if isinstance(node, ast.Call) else None
    for part in ast.iter_child_nodes(node):
        if part is not skipped:
            yield from names(part)


def all_of(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the conditions that must all hold."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        for part in node.values:
            yield from all_of(part)
    else:
        yield node


def is_plain(name: str) -> bool:
    """Return whether a name needs no backticks."""
    plain = all(part.isidentifier() and not iskeyword(part) for part in name.split("."))
    return plain and unicodedata.normalize("NFKC", name) == name


def _check_condition(node: ast.expr) -> None:
    match node:
        case ast.BoolOp():
            for part in node.values:
                _check_condition(part)
        case ast.UnaryOp(op=ast.Not()):
            _check_condition(node.operand)
        case ast.Compare():
            _check_value(node.left)
            for op, right in zip(node.ops, node.comparators, strict=True):
                _check_compared(op, right)
        case ast.Call(func=ast.Name(id=name)) if name in TESTS:
            _check_call(node, name, TESTS[name])
        case ast.Name():
            pass
        case ast.Subscript():
            _check_value(node)
        case _:
            raise Strange(node, LOOSE if is_constant(node) or isinstance(node, ast.BinOp) else "")


def _check_compared(op: ast.cmpop, right: ast.expr) -> None:
    if isinstance(op, COMPARED):
        _check_value(right)
    elif isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.Tuple, ast.List)):
        for one in right.elts:
            if not is_constant(one):
                raise Strange(right)
    else:
        raise Strange(right)


def _check_value(node: ast.expr) -> None:
    match node:
        case ast.BinOp() if isinstance(node.op, ARITHMETIC):
            _check_value(node.left)
            _check_value(node.right)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            _check_value(node.operand)
        case ast.Subscript():
            _check_value(node.value)
            _check_index(node)
        case ast.Call(func=ast.Name(id=name)) if name in EXTREMES and node.args:
            _check_call(node, name, (VALUE,) * len(node.args))
        case ast.Call(func=ast.Name(id="where")):
            _check_call(node, "where", (CONDITION, VALUE, VALUE)[: max(len(node.args), 2)])
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            _check_call(node, name, FUNCTIONS[name])
        case ast.Name():
            pass
        case _ if is_condition(node):
            raise Strange(node, f"it is a condition, where a value is expected; {LOOSE}")
        case _ if not is_constant(node):
            raise Strange(node)


def _check_call(node: ast.Call, name: str, takes: tuple[str, ...]) -> None:
    if node.keywords or len(node.args) != len(takes):
        raise Strange(node)
    for part, kind in zip(node.args, takes, strict=True):
        (_check_condition if kind == CONDITION else _check_value)(part)
    if name == "between" and all(map(is_constant, node.args[1:])):
        low, high = (ast.literal_eval(one) for one in node.args[1:])
        if isinstance(low, str) == isinstance(high, str) and not low < high:
            raise Strange(node, f"it holds for nothing: low <= x < high; of one value, x == {low!r}")


def _check_index(node: ast.Subscript) -> None:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for part in parts:
        bounds = [part.lower, part.upper, part.step] if isinstance(part, ast.Slice) else [part]
        for bound in bounds:
            if bound is not None and not (is_constant(bound) and type(ast.literal_eval(bound)) is int):
                raise Strange(node, "expected whole numbers as index, such as roi[2] or roi[1:3]")


def is_constant(node: ast.AST) -> bool:
    """Return whether a tree is a number, perhaps with a sign, a boolean or a text."""
    signed = isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd))
    value = node.operand if isinstance(node, ast.UnaryOp) and signed else node
    kinds = (int, float) if signed else (int, float, bool, str)
    if not (isinstance(value, ast.Constant) and type(value.value) in kinds):
        return False
    return not isinstance(value.value, int) or abs(value.value) < 2**63 * 2


def _check_depth(tree: ast.AST) -> None:
    """Refuse a tree that is too deep for what calls itself, without calling itself."""
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > DEEPEST:
            raise Deep
        todo += [(part, depth + 1) for part in ast.iter_child_nodes(node)]


def _worded(text: str) -> tuple[str, dict[str, str]]:
    """Return a text with words for signs and identifiers for names that are none, and what these stand for."""
    if "\n" in text:
        raise ValueError("it has several lines")
    start = "_named"
    while start in text:
        start += "_"
    out: list[str] = []
    stands: dict[str, str] = {}
    for part in _PARTS.finditer(text):
        name, word, other = part["name"], part["word"], part["other"]
        if part["triple"] or (other and other in "#`'\""):
            raise ValueError(f"unexpected {part[0]!r}")
        if name or (word and not word.isascii()):
            stands[found := f"{start}{len(stands)}"] = name or word
            out.append(found)
        else:
            out.append(WORDS.get(part[0], part[0]))
    return "".join(out).strip(), stands


class _Named(ast.NodeTransformer):
    """Makes dotted names one name each, and ``x.between(1, 2)`` to ``between(x, 1, 2)``."""

    def __init__(self, stands: dict[str, str]) -> None:
        self._stands = stands

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self._stands.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        before = self.visit(node.value)
        if not isinstance(before, ast.Name):
            raise Strange(node)
        return ast.Name(f"{before.id}.{self._stands.get(node.attr, node.attr)}")

    def visit_Call(self, node: ast.Call) -> ast.expr:
        args = [self.visit(part) for part in node.args]
        if isinstance(node.func, ast.Attribute):
            args.insert(0, self.visit(node.func.value))
            return ast.Call(ast.Name(node.func.attr), args, node.keywords)
        return ast.Call(node.func, args, node.keywords)


class _Quoted(ast.NodeTransformer):
    """Puts names into backticks that are no identifiers."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return ast.Call(node.func, [self.visit(part) for part in node.args], node.keywords)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return node if is_plain(node.id) else ast.Name(f"`{node.id}`")
