import ast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.declare.condition import Column, Condition, evaluate, holds
from dxflow.declare.grammar import parse

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


C = {"i": [3, -7, 0, 250, None, 12], "u": [0, 200, 255, None, 1, 7], "f": [0.5, -2.0, None, 0.0, 1e300, 3.0]}
KINDS = {"i": np.int64, "u": np.uint8, "f": np.float64}
CALCULATED = {
    name: Column(
        np.array([0 if v is None else v for v in c], KINDS[name]), np.array([v is not None for v in c])
    )
    for name, c in C.items()
}


def calculated(a, sign, b):
    """Return the text of a calculation, and what Python makes of a row: None where it is no finite number."""

    def result(row):
        x, y = a[1](row), b[1](row)
        if x is None or y is None or (sign in "/%//" and y == 0):
            return None
        out = {"+": x + y, "-": x - y, "*": x * y, "/": sign == "/" and x / y, "//": sign == "//" and x // y}
        out |= {"%": sign == "%" and x % y}
        return (
            out[sign]
            if abs(out[sign]) < 2**63 or isinstance(out[sign], float) and np.isfinite(out[sign])
            else None
        )

    return f"({a[0]} {sign} {b[0]})", result


def named(name):
    return name, lambda row: C[name][row]


def number(value):
    return str(value), lambda row: value


CALCULATIONS = st.recursive(
    st.sampled_from(list(C)).map(named) | st.sampled_from([2, 7, 0, 0.25, 10**17]).map(number),
    lambda part: st.builds(calculated, part, st.sampled_from(["+", "-", "*", "/", "//", "%"]), part),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(CALCULATIONS, CALCULATIONS)
def test_what_is_calculated_is_what_python_calculates_without_wrapping(a, b):
    true, known = holds(parse(f"{a[0]} < {b[0]}"), CALCULATED.__getitem__)
    for row in range(6):
        x, y = a[1](row), b[1](row)
        if isinstance(x, float) or isinstance(y, float):
            # An integer becomes a float64 beside one, as in numpy.
            x, y = (None if v is None else float(v) for v in (x, y))
        expected = None if x is None or y is None else x < y
        found = [bool(np.broadcast_to(one, 6)[row]) for one in (true, known)]
        assert found == [expected is True, expected is not None], (row, x, y)


def test_small_integers_do_not_wrap_and_what_is_no_number_is_missing():
    assert evaluate(parse("u - 201"), CALCULATED.__getitem__).values.tolist()[1:3] == [-1, 54]
    huge = {"x": Column(np.array([2**63 - 1, 5], np.uint64), np.ones(2, bool))}
    assert evaluate(parse("x + 1"), huge.__getitem__).there.tolist() == [False, True]
    for text in ("1 / (f - f)", "log(-abs(f) - 1)", "exp(abs(f) * 1e3 + 800)", "i % 0"):
        assert not evaluate(parse(text), CALCULATED.__getitem__).there[[0, 1, 5]].any(), text


def test_values_are_compared_in_their_own_precision_and_ids_exactly():
    single = Column(np.array([0.1, 0.7], "f4"), np.ones(2, bool))
    ids = Column(np.array([2**53 + 1, 2**63 + 1], np.uint64), np.ones(2, bool))
    known = {"x": single, "id": ids}.__getitem__
    assert holds(parse("x == 0.1"), known)[0].tolist() == [True, False]
    assert holds(parse("between(x, 0.7, 0.8)"), known)[0].tolist() == [False, True]
    assert holds(parse(f"id == {2**53}"), known)[0].tolist() == [False, False]
    assert holds(parse(f"id in ({2**53 + 1}, {2**63})"), known)[0].tolist() == [True, False]


def test_vectors_are_indexed_or_reduced_by_what_is_there():
    there = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], bool)
    vector = Column(np.where(there, np.arange(9.0).reshape(3, 3), np.nan), there)
    one = Column(np.array([10.0, 20, 30]), np.ones(3, bool))
    known = {"v": vector, "x": one}.__getitem__
    for text, values, where in (
        ("sum(v)", [3, 8, 0], [1, 1, 0]),
        ("mean(v) + x", [11, 24, 0], [1, 1, 0]),
        ("max(v[1:])", [2, 5, 0], [1, 1, 0]),
        ("min(v)", [0, 3, 0], [1, 1, 0]),
        ("v[1]", [1, 0, 0], [1, 0, 0]),
        ("sum(v * x)", [30, 160, 0], [1, 1, 0]),
    ):
        found = evaluate(parse(text), known)
        assert found.there.tolist() == [bool(w) for w in where], text
        assert np.where(found.there, found.values, 0).tolist() == values, text
    any_, all_ = (holds(parse(f"{name}(v > 3)"), known) for name in ("any", "all"))
    assert [one.tolist() for one in any_] == [[False, True, False], [True, True, False]]
    assert [one.tolist() for one in all_] == [[False, False, False], [True, True, False]]
    with pytest.raises(ValueError, match=r"'v\[7\]': there are values of shape \(3,\) for each row"):
        evaluate(parse("v[7]"), known)
    with pytest.raises(ValueError, match="there is one value for each row"):
        evaluate(parse("sum(x)"), known)
