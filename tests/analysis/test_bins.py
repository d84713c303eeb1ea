"""How values are cut: texts and other forms mean the same, and each kind of bins is what it says."""

import numpy as np
import pytest
import xarray as xr

from dxflow.analysis.bins import MISSING, OVER, UNDER, Bins, axes, by_name, parse
from dxflow.analysis.tables import Table


def axis(values, given, mask=None):
    values = np.asarray(values)
    n = len(values)
    data = xr.Dataset(
        {"x": (("pulse", "q")[: values.ndim], values, {"units": "mm"})},
        {"train_id": ("pulse", np.arange(n, dtype="u8")), "pulse_id": ("pulse", np.zeros(n, "u8"))},
    )
    return axes(Table(data), {"x": given}, np.ones(n, bool) if mask is None else mask)[0]


@pytest.mark.parametrize(
    ("text", "bins"),
    [
        ("50", Bins.equal(50)),
        ("-1:5:50", Bins.equal(50, -1, 5)),
        ("-1,0,.5,1e3", Bins.edges([-1, 0, 0.5, 1000])),
        ("[0, 0.1]", Bins.edges(np.array([0, 0.1]))),
        ("unique", Bins.unique()),
        ("unique(0.01)", Bins.unique(0.01)),
        ("quantiles(10)", Bins.quantiles(10)),
        ("36%360", Bins.equal(36, period=360)),
        ("-90:90:2%360", Bins.equal(2, -90, 90, 360)),
        ("0.1,0.2", Bins.edges([0.1, 0.2])),
        ("0.30000000000000004,1", Bins.edges([0.1 + 0.2, 1])),
    ],
)
def test_a_text_says_what_bins_are_and_bins_say_the_text(text, bins):
    assert parse(f"delay={text}") == ("delay", bins)
    assert Bins.of(str(bins)) == bins == Bins.of(bins)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0",
        "-3",
        "1.5",
        "1:2",
        "1:2:3:4",
        "3,2",
        "1",
        "1,1",
        "unique(-1)",
        "unique(1,2)",
        "quantiles",
        "a,b",
    ]
    + ["1:5:inf", "nan,1", "36%", "36%-1", "36%x", "0:400:3%360", "__import__('os')", "5:1:10", "2000000"],
)
def test_what_is_no_bins_is_refused_with_what_is_expected(wrong):
    if wrong == "1":
        assert Bins.of(wrong) == Bins.equal(1)
        return
    with pytest.raises(ValueError, match="bins: "):
        Bins.of(wrong)


def test_other_kinds_are_refused():
    for wrong in (None, 1.5, [[0, 1]], ["a", "b"], {"a": 1}, True):
        with pytest.raises((TypeError, ValueError), match="bins: .*expected"):
            Bins.of(wrong)
    with pytest.raises(ValueError, match="both low= and high="):
        Bins.equal(3, low=1)
    with pytest.raises(ValueError, match="expected a name, =, and a number of bins"):
        parse("50")


def test_bins_of_several_variables_are_a_dict_or_texts():
    two = {"delay": Bins.equal(50), "SOURCE a=b": Bins.unique()}
    assert by_name(["delay=50", "SOURCE a=b=unique"]) == two == by_name(two)
    assert by_name("x=1,2") == {"x": Bins.edges([1, 2])}
    for wrong, error in (
        (3, TypeError),
        ([3], TypeError),
        ({}, ValueError),
        ([], ValueError),
        ("x", ValueError),
    ):
        with pytest.raises(error, match="bins: .*expected"):
            by_name(wrong)


def test_edges_are_half_open_and_the_last_one_is_closed():
    found = axis([-1, 0, 0.5, 1, 2, 3, np.nan, np.inf], [0, 1, 2])
    assert found.index(np.array([-1, 0, 0.5, 1, 2, 3, np.nan, np.inf])).tolist() == [
        UNDER,
        0,
        0,
        1,
        1,
        OVER,
        MISSING,
        OVER,
    ]
    assert found.centres.tolist() == [0.5, 1.5]
    assert found.unit == "mm"


def test_a_number_of_bins_is_over_the_range_of_what_is_selected():
    found = axis([0, 1, 2, 10], 4, np.array([True, True, True, False]))
    assert found.lo.tolist() == [0, 0.5, 1, 1.5]
    assert found.hi[-1] == 2


def test_a_discrete_scan_has_as_many_bins_as_positions():
    rng = np.random.default_rng(3)
    planted = np.array([-1.0, 0.1, 0.25, 7])
    x = rng.choice(planted, 300)
    found = axis(x, "unique")
    assert found.centres.tolist() == planted.tolist()
    near = axis(x + rng.uniform(-0.01, 0.01, 300), "unique(0.02)")
    assert len(near) == 4
    np.testing.assert_allclose(near.centres, planted, atol=0.003)
    assert (near.index(x + 0.5) < 0).all()


def test_positions_that_follow_each_other_closely_are_within_the_tolerance_of_the_lowest():
    found = axis(np.arange(0, 10) / 10, "unique(0.25)")
    assert found.lo.tolist() == [0, 0.3, 0.6, 0.9]
    assert found.hi.tolist() == [0.2, 0.5, 0.8, 0.9]


def test_a_position_is_the_mean_of_its_values():
    found = axis([1.0, 1.0, 1.0, 1.5, 9], "unique(1)")
    assert found.centres.tolist() == [1.125, 9]


def test_too_many_positions_ask_for_a_tolerance():
    with pytest.raises(ValueError, match=r"x has more than 100000 positions .* unique\(0.01\)"):
        axis(np.random.default_rng(0).random(150_000), "unique")


def test_quantiles_hold_equally_many_and_fewer_bins_are_said():
    x = np.random.default_rng(1).normal(0, 1, 1000)
    found = axis(x, "quantiles(10)")
    assert np.bincount(found.index(x)).tolist() == [100] * 10
    tied = axis(np.repeat([0.0, 1.0], [90, 10]), "quantiles(4)")
    assert tied.said == "1 bins in place of 4, as many values are equal"


def test_circular_variables_go_round():
    found = axis([0, 359, 721, -10], "4%360")
    assert found.index(np.array([0, 359, 721, -10, 360, np.inf])).tolist() == [0, 3, 0, 3, 0, MISSING]
    across = axis([0.0], [350, 360, 370], None)
    assert across.index(np.array([5.0])).tolist() == [UNDER]
    across = axis([0.0], Bins.edges([350, 360, 370], period=360))
    assert across.index(np.array([5.0, 355, 10, 11])).tolist() == [1, 0, 1, OVER]


def test_a_circular_position_is_whole_where_the_circle_begins():
    x = np.array([359.99, 0.01, 0.0, 90, 90.01, 719.99])
    found = axis(x, "unique(0.05)%360")
    assert len(found) == 2
    assert found.index(x).tolist() == [0, 0, 0, 1, 1, 0]
    assert found.centres[0] % 360 == pytest.approx(359.9975)


def test_a_constant_has_one_bin_of_a_sensible_width():
    for values, width in (([3.0, 3.0], 0.03), ([0.0], 1), ([5, 5], 1), ([-2e-12], 2e-14)):
        found = axis(values, 10)
        assert len(found) == 1
        assert found.hi[0] - found.lo[0] == pytest.approx(width)
        assert found.centres[0] == values[0]
        assert found.index(np.asarray(values, float)).tolist() == [0] * len(values)
        assert "in all rows that are selected: one bin" in found.said


def test_without_a_value_there_are_no_bins_but_those_that_are_given():
    for given in ("10", "unique", "quantiles(2)"):
        with pytest.raises(
            ValueError, match="x: none of the 2 rows that are selected has a value; give edges"
        ):
            axis([np.nan, np.nan], given)
    assert len(axis([np.nan], "0:1:3")) == 3


def test_texts_and_arrays_are_no_axes():
    with pytest.raises(TypeError, match="x is <U1; expected numbers"):
        axis(["a", "b"], "unique")
    with pytest.raises(TypeError, match=r"x has \(2,\) values in each row"):
        axis(np.zeros((1, 2)), 3)


def test_edges_are_compared_in_the_precision_of_the_variable():
    values = np.array([0.1, 0.7, 0.9, 1.0, 1.1], np.float32)
    made = axis(values, [0, 0.1, 0.9, 1.0, 1.1])
    assert made.index(values).tolist() == [1, 1, 2, 3, 3]
    assert made.lo.tolist() == [0, 0.1, 0.9, 1.0]
    assert axis(values.astype("f8"), [0, 0.9, 1.1]).index(values.astype("f8")).tolist() == [0, 0, 0, 1, OVER]
