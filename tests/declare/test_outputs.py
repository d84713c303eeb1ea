"""Outputs: declarations that make sense, merge rules with identities, events in order, partials that refuse."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dxflow.declare.events import Events, EventView
from dxflow.declare.outputs import BoundOutput, Output, Partial, identity, merge_into, touched

RULES = ("sum", "min", "max")
INTEGERS = ("i4", "u2", "i8")


def bound(output, pixels=(2, 3, 4)):
    return BoundOutput("alg", "x", output, -1, pixels)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"merge": "mean"}, "expected one of"),
        ({"shape": (3,), "dims": ("a", "b")}, "2 names"),
        ({"per": ("img", "module")}, "must be"),
    ],
)
def test_an_output_that_makes_no_sense_is_refused_where_it_is_declared(wrong, says):
    with pytest.raises(ValueError, match=says):
        Output(**wrong)


def test_kind_and_alias_follow_from_per():
    kinds = {per: (Output(per=per).kind, Output(per=per).alias) for per in ("run", "train", "pixel", "event")}
    assert kinds == {
        "run": ("run", None),
        "train": ("train", None),
        "pixel": ("pixel", None),
        "event": ("event", None),
    }
    assert (Output(per="img").kind, Output(per="img").alias) == ("entry", "img")
    assert (Output(per=("img", "pixel")).kind, Output(per=("img", "pixel")).alias) == ("image", "img")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "?", *INTEGERS])
def test_merging_into_a_fresh_array_changes_nothing(rule, dtype):
    values = np.array([0, 1, 1, 0], dtype) if dtype == "?" else np.array([3, 0, 117, 1], dtype)
    if dtype[0] in "if":
        values[0] = -5
    fresh = np.full(4, identity(dtype, rule), dtype)
    merge_into(fresh, values, rule)
    assert fresh.tolist() == values.tolist()


@given(
    parts=hnp.arrays("i8", st.tuples(st.integers(2, 6), st.just(3)), elements=st.integers(-(2**40), 2**40)),
    rule=st.sampled_from(RULES),
    cut=st.integers(1, 5),
)
def test_integers_merge_to_the_same_in_any_grouping(parts, rule, cut):
    def merged(rows):
        out = np.full(3, identity("i8", rule), "i8")
        for row in rows:
            merge_into(out, row, rule)
        return out

    cut = min(cut, len(parts) - 1)
    grouped = merged([merged(parts[:cut]), merged(parts[cut:])])
    oracle = {"sum": sum, "min": min, "max": max}[rule]
    assert grouped.tolist() == merged(parts).tolist() == [oracle(column) for column in parts.T.tolist()]


def test_nan_is_not_hidden_by_min_and_max():
    for rule in ("min", "max"):
        out = np.array([1.0, np.nan, 2.0])
        merge_into(out, np.array([np.nan, 1.0, 5.0]), rule)
        assert np.isnan(out).tolist() == [True, True, False]


def test_a_sum_of_booleans_is_whether_any_is_true():
    out = np.array([True, False, False])
    merge_into(out, np.array([True, True, False]), "sum")
    assert out.tolist() == [True, True, False]


def test_arrays_have_the_shape_of_their_kind_and_begin_at_the_identity():
    shapes = {
        "run": (5,),
        "pixel": (5, 2, 3, 4),
        "train": (7, 5),
        "img": (11, 5),
        ("img", "pixel"): (2, 11, 5, 3, 4),
    }
    for per, shape in shapes.items():
        array = bound(Output(per=per, shape=(5,), merge="min")).array(11, 7, 2)
        assert array.shape == shape
        assert np.isposinf(array).all()


def test_assigning_to_a_partial_writes_into_the_array_that_is_there():
    array = np.zeros((2, 3))
    out = Partial({"a": array})
    out.a = 1
    out.a += 1
    out["a"] = out["a"] * 3
    assert array.tolist() == [[6, 6, 6], [6, 6, 6]]
    assert out.a is array


def test_a_partial_refuses_what_was_not_declared_and_what_does_not_fit():
    out = Partial({"mean": np.zeros(3)})
    with pytest.raises(AttributeError, match="'man'.*Did you mean 'mean'\\? Declared: mean"):
        out.man = 1
    with pytest.raises(AttributeError, match="'man'"):
        out["man"]
    with pytest.raises(ValueError, match="broadcast"):
        out.mean = np.zeros(4)


def test_a_partial_survives_pickling():
    out = pickle.loads(pickle.dumps(Partial({"a": np.arange(3)})))
    assert out.a.tolist() == [0, 1, 2]
    assert "a" in out
    assert list(out) == ["a"]


def test_what_others_add_to_is_not_overwritten_and_the_right_way_is_named():
    total, hit = np.full(3, 7.0), np.zeros(3, bool)
    out = Partial({"total": total, "hit": hit}, {"total": "sum", "hit": "sum"})
    with pytest.raises(ValueError, match=r"out\.total \+= \.\.\."):
        out.total = 1
    with pytest.raises(ValueError, match=r"out\.hit \|= \.\.\."):
        out["hit"] = True
    assert total.tolist() == [7, 7, 7]


def test_adding_to_what_others_add_to_may_be_written_in_every_way():
    total = np.full(3, 7.0)

    def fresh():
        return Partial({"total": total}, {"total": "sum"})

    out = fresh()
    out.total += 1
    out = fresh()
    out.total = out.total + 1
    out = fresh()
    out["total"][:] += 1
    out = fresh()
    np.add(out.total, 1, out=out.total)
    assert total.tolist() == [11, 11, 11]


def test_assigning_the_least_or_largest_applies_the_rule():
    low, high = np.array([2.0, 5.0]), np.array([2, 5], "i4")
    out = Partial({"low": low, "high": high}, {"low": "min", "high": "max"})
    out.low, out.high = np.array([3, 4]), np.array([3, 4])
    out.high = np.maximum(out.high, 4)
    assert (low.tolist(), high.tolist()) == ([2, 4], [4, 5])


@pytest.mark.parametrize(
    ("dtype", "value", "says"),
    [
        ("i4", 3.7, "3.7"),
        ("i4", [1.0, np.nan], "nan"),
        ("i4", 2**31, "2147483648"),
        ("i4", 1e12, "1000000000000"),
        ("u1", 300, "300"),
        ("u1", -1, "-1"),
        ("u8", -1, "-1"),
        ("i8", 2.0**63, "9.2"),
        ("i4", 1 + 2j, "1"),
        ("?", 2, "2"),
        ("?", 0.5, "0.5"),
        ("i4", np.ma.masked_array([1, 2], [False, True]), "nan"),
    ],
)
def test_integers_refuse_numbers_that_they_cannot_hold(dtype, value, says):
    array = np.zeros(2, dtype)
    with pytest.raises(ValueError, match=f"out.n is .*cannot hold .*{says}"):
        Partial({"n": array}).n = value
    assert not array.any()


@given(
    values=hnp.arrays("f8", 3, elements=st.integers(-200, 300).map(float)),
    dtype=st.sampled_from(["u1", "i1", "i2"]),
)
def test_whole_numbers_in_range_are_taken_from_floats_and_no_others(values, dtype):
    array, limits = np.zeros(3, dtype), np.iinfo(dtype)
    if all(limits.min <= v <= limits.max for v in values):
        Partial({"n": array}).n = values
        assert array.tolist() == values.tolist()
    else:
        with pytest.raises(ValueError, match="cannot hold"):
            Partial({"n": array}).n = values


def test_masked_numbers_are_nan_and_nan_alone_leaves_an_integer_without_a_value():
    mean, n = np.zeros(2), np.full(2, 4)
    out = Partial({"mean": mean, "n": n})
    out.mean = np.ma.masked_array([1, 2], [False, True])
    assert mean[0] == 1
    assert np.isnan(mean[1])
    out.n = np.nan
    assert n.tolist() == [4, 4]
    assert touched(out) == {"mean"}


def test_events_are_checked_like_other_integers_and_are_not_assigned():
    view = EventView(Events((), "i4", "hits"), np.zeros(3, int), 0, 0)
    with pytest.raises(ValueError, match=r"out\.hits is int32, which cannot hold 0\.5"):
        view.append([1, 0.5])
    with pytest.raises(TypeError, match=r"out\.hits\.append\(rows\)"):
        Partial({"hits": view}).hits = [1]
