"""Texts are taken apart and written again: the same is said, names are kept as they are, nothing else is understood."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.declare.grammar import DEEPEST, LONGEST, names, parse, written

NAMES = st.sampled_from(
    ["x", "azint.intensity", "SOURCE/A:out key", "between", "delay_µs", "and", "größe", "a.b c"]
)
NUMBERS = st.integers(0, 2**64 - 1) | st.floats(0, allow_nan=False)
TEXTS = st.text(max_size=5)
VALUES = st.recursive(
    NAMES.map(ast.Name) | NUMBERS.map(ast.Constant),
    lambda part: (
        st.builds(
            lambda a, op, b: ast.BinOp(a, op, b),
            part,
            st.sampled_from([ast.Add(), ast.Sub(), ast.Pow()]),
            part,
        )
        | part.map(lambda a: ast.UnaryOp(ast.USub(), a))
        | part.map(lambda a: ast.Call(ast.Name("sqrt"), [a], []))
        | st.builds(
            lambda a, n: ast.Subscript(a, ast.Constant(n), ast.Load()), NAMES.map(ast.Name), st.integers(0, 3)
        )
    ),
    max_leaves=5,
)
CONDITIONS = st.recursive(
    st.builds(lambda a, b: ast.Compare(a, [ast.Lt()], [b]), VALUES, VALUES)
    | st.builds(lambda a, b: ast.Compare(a, [ast.Eq()], [ast.Constant(b)]), NAMES.map(ast.Name), TEXTS)
    | NAMES.map(ast.Name),
    lambda part: (
        part.map(lambda a: ast.UnaryOp(ast.Not(), a))
        | st.builds(
            lambda a, op, b: ast.BoolOp(op, [a, b]), part, st.sampled_from([ast.And(), ast.Or()]), part
        )
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(CONDITIONS | VALUES)
def test_what_is_written_says_the_same_when_it_is_parsed(node):
    text = written(node)
    again = parse(text)
    assert written(again) == text
    assert [*names(again)] == [*names(node)]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("`SOURCE/X key` > 1 & ~lit", "`SOURCE/X key` > 1 and (not lit)"),
        ("delay.between(-1, 5)", "between(delay, -1, 5)"),
        ("roi[2] + roi[1:3][0]", "roi[2] + roi[1:3][0]"),
        ("where(lit, xgm, -xgm) ** -2", "where(lit, xgm, -xgm) ** (-2)"),
        ("s == 'a & `b`'", "s == 'a & `b`'"),
        ("azint . intensity > 1", "azint.intensity > 1"),
        ("-2 ** 2", "-2 ** 2"),
        ("(-2) ** 2", "(-2) ** 2"),
        ("_named0 > `a b`", "_named0 > `a b`"),
        ("µ > 1", "`µ` > 1"),
    ],
)
def test_texts_have_one_form(text, canonical):
    assert written(parse(canonical)) == written(parse(text))
    assert [*names(parse(text))] == [*names(parse(canonical))]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "__import__('os').system('true')",
            "x.__class__()",
            "(lambda: 1)()",
            "[y for y in x]",
            "x if y else z",
        ),
        *(
            "open('/etc/passwd')",
            "x.y.z()",
            "sqrt(x, y)",
            "sqrt(x=1)",
            "sqrt(*x)",
            "between(x, 1)",
            "x[y]",
            "x[1.5]",
        ),
        *(
            "x @ y",
            "x << 3",
            "x & 3",
            "(x > 1) > 2",
            "(x & y) > 1",
            "x + (y > 1)",
            "f'{x}'",
            "b'x'",
            "1j",
            "x := 1",
        ),
        *(
            "x # & y",
            "'''a''' == x",
            "`x",
            "``",
            "x; y",
            "x\ny",
            "",
            "x is None",
            "...",
            "x > 10 ** 400 .real",
        ),
        *("1" + "0" * 30, "x" * (LONGEST + 1), "-" * (DEEPEST + 1) + "x", "(" * 300 + "x" + ")" * 300),
        *("between(x, 3, 3)", "between(x, 3, 2)", "x.between(-1, -2)"),
        "x" + " + x" * DEEPEST,
        "sqrt(" * DEEPEST + "x" + ")" * DEEPEST,
    ],
)
def test_nothing_else_is_understood_and_nothing_is_executed(text):
    with pytest.raises(ValueError, match=r"understood|expected|deep|no number"):
        parse(text)


def test_long_texts_are_refused_before_they_are_parsed():
    with pytest.raises(ValueError, match=f"characters; expected at most {LONGEST}"):
        parse("~" * 10**7)
