import ast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.declare.condition import Column, Condition, holds

X = [1.0, 2.0, None, 3.0, 2.5, None]
Y = [2, 2, 1, 0, None, 3]
B = [True, False, True, None, False, None]
S = ["on", "off", "on", "on", None, "off"]


def column(values):
    there = np.array([v is not None for v in values])
    given = [v for v in values if v is not None]
    kind = type(given[0])
    return Column(np.array([kind() if v is None else v for v in values]), there)


COLUMNS = {"x": column(X), "y": column(Y), "b": column(B), "s": column(S), "r.lit": column(B)}
ROWS = [{"x": x, "y": y, "b": b, "s": s} for x, y, b, s in zip(X, Y, B, S, strict=True)]


def passed(text):
    """Return which rows pass, and of which that is known."""
    keep, out = np.ones(6, bool), np.zeros(6, bool)
    for node in Condition(text).cuts():
        true, sure = (np.broadcast_to(one, 6) for one in holds(node, COLUMNS.__getitem__))
        assert not (true & ~sure).any()
        out, keep = out | (~true & sure), keep & true
    return keep.tolist(), (keep | out).tolist()


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("x > 1 & b", [0, 0, 0, 0, 0, 0]),
        ("x >= 1 & b", [1, 0, 0, 0, 0, 0]),
        ("x > 1 and not b", [0, 1, 0, 0, 1, 0]),
        ("~(x > 2)", [1, 1, 0, 0, 0, 0]),
        ("x != 2", [1, 0, 0, 1, 1, 0]),
        ("1 < x <= 2.5", [0, 1, 0, 0, 1, 0]),
        ("between(x, 2, 2.5)", [0, 1, 0, 0, 0, 0]),
        ("x == y", [0, 1, 0, 0, 0, 0]),
        ("y in (2, 3)", [1, 1, 0, 0, 0, 1]),
        ("y not in [2, 3]", [0, 0, 1, 1, 0, 0]),
        ("s == 'on' | y > 2", [1, 0, 1, 1, 0, 1]),
        ("s == 'a & b'", [0] * 6),
        ("r.lit", [1, 0, 1, 0, 0, 0]),
        ("y > -1 & x < +2", [1, 0, 0, 0, 0, 0]),
        ("x > 5 | b", [1, 0, 1, 0, 0, 0]),
        ("(1 < 2) | x > 2", [1] * 6),
        ("b == True", [1, 0, 1, 0, 0, 0]),
    ],
)
def test_signs_bind_less_than_comparisons_and_what_is_missing_never_passes(text, keep):
    assert passed(text)[0] == [bool(k) for k in keep]


def three(value):
    return lambda row: value


def compared(name, sign, number):
    def result(row):
        x = row[name]
        if x is None:
            return None
        return {"<": x < number, "<=": x <= number, ">": x > number, "==": x == number, "!=": x != number}[
            sign
        ]

    return f"{name} {sign} {number}", result


def negated(part):
    text, of = part
    return f"~({text})", lambda row: None if of(row) is None else not of(row)


def joined(parts, sign):
    def result(row):
        found = [of(row) for _, of in parts]
        first = sign != "&"
        if first in found:
            return first
        return None if None in found else not first

    return f" {sign} ".join(f"({text})" for text, _ in parts), result


LEAVES = st.builds(
    compared, st.sampled_from("xy"), st.sampled_from(["<", "<=", ">", "==", "!="]), st.integers(0, 3)
) | st.just(("b", lambda row: row["b"]))
TREES = st.recursive(
    LEAVES,
    lambda part: (
        st.builds(negated, part)
        | st.builds(joined, st.lists(part, min_size=2, max_size=3), st.sampled_from("&|"))
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_conditions_are_those_of_three_valued_logic(tree):
    text, of = tree
    keep, known = passed(text)
    assert keep == [of(row) is True for row in ROWS]
    assert known == [of(row) is not None for row in ROWS]


@pytest.mark.parametrize(
    "text",
    [
        *("x >", "", "x = 3", "x > 1 +", "(x", "x\n> 3", "'a", "x > 3; y", "a b"),
        *("__import__('os').system('true')", "x.__class__()", "f(x)", "x + 1", "x[b]", "[b for b in x]"),
        *(
            "lambda: x",
            "x if b else y",
            "x > y()",
            "b := True",
            "x is None",
            "x in y",
            "-b",
            "x > -s()",
            "3",
            "{x}",
        ),
        *("between(x, 1)", "between(x, low=1, high=2)", "f'{x}' == s", "x > 1j", "b'a' == s", "*x"),
        *("x > 1 " * 500, "(" * 500 + "b" + ")" * 500),
    ],
)
def test_nothing_else_is_understood(text):
    with pytest.raises(ValueError, match="where="):
        Condition(text).cuts()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="s is <U3 and 1 is int64: expected two numbers or two texts"):
        passed("s == 1")
    with pytest.raises(ValueError, match="'x' is float64, not a boolean: compare it, such as x > 0"):
        passed("x & b")


def test_names_and_cuts():
    condition = Condition("x > 1 & (b | r.lit) & between(y, 1, x)")
    assert condition.names() == ["x", "b", "r.lit", "y"]
    assert [ast.unparse(cut) for cut in condition.cuts()] == ["x > 1", "b or r.lit", "between(y, 1, x)"]
