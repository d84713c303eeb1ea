"""What cubes of other tools get wrong, one test each: sums for means, widths of nothing, bins too many, events lost."""

import numpy as np
import pandas as pd
import pytest
from smalltables import rows

from dxflow.analysis import moments


def test_a_step_scan_of_n_points_has_n_bins():
    """Edges made of the positions, with one more before the first, give n + 1, the first one empty."""
    ev = rows(x=np.repeat([0.1, 0.2, 0.4], 5), y=np.ones(15))
    data = ev.cube({"x": "unique"}, "y").data
    assert data.x.values.tolist() == [0.1, 0.2, 0.4]
    assert data.n.values.tolist() == [5, 5, 5]


def test_events_on_the_outer_edges_are_not_lost():
    """A strict cut on the range of the bins drops those that are just there."""
    data = rows(x=[0.0, 1, 2], y=[1.0, 2, 3]).cube({"x": [0, 1, 2]}, "y").data
    assert data.n.values.tolist() == [1, 2]


def test_what_is_called_a_mean_is_one_and_its_width_is_that_of_a_sample():
    """Elsewhere the variable of that name is the sum of its events, and the width is divided by n."""
    y = np.array([1.0, 2, 4])
    data = rows(x=np.zeros(3), y=y).cube({"x": [0, 1]}, "y").data
    assert float(data.y_mean[0]) == pytest.approx(y.mean())
    assert float(data.y_sum[0]) == pytest.approx(7)
    assert float(data.y_std[0]) == pytest.approx(y.std(ddof=1))


def test_each_variable_has_its_own_count():
    """The events of the bin are too many for what is missing in some: sum / count is then no mean."""
    data = (
        rows(x=np.zeros(4), y=[1.0, np.nan, 3, np.nan], z=np.arange(4.0)).cube({"x": [0, 1]}, ["y", "z"]).data
    )
    assert [int(data[name][0]) for name in ("n", "y_count", "z_count")] == [4, 2, 4]
    assert float(data.y_mean[0]) == 2


def test_mean_positions_are_there_in_any_number_of_dimensions():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 500))
    data = rows(a=a, b=b).cube({"a": "0:1:2", "b": "0:1:2"}, ["a", "b"]).data
    own = (a < 0.5) & (b >= 0.5)
    assert float(data.a_mean[0, 1]) == pytest.approx(a[own].mean(), rel=1e-13)
    assert float(data.b_mean[0, 1]) == pytest.approx(b[own].mean(), rel=1e-13)


def test_widths_are_of_each_element():
    """One width over all elements and events is none of any of them."""
    ev = rows(x=np.zeros(50))
    curve = np.random.default_rng(1).normal([0, 100, 1000], [1, 2, 3], (50, 3))
    ev.data["curve"] = (("pulse", "q"), curve)
    data = ev.cube({"x": [0, 1]}, "curve").data
    np.testing.assert_allclose(data.curve_std[0], curve.std(axis=0, ddof=1), 1e-12)


def test_a_row_of_which_nothing_is_there_is_missing_and_not_0():
    ev = rows(x=np.zeros(3))
    ev.data["curve"] = (("pulse", "q"), [[1.0, 2], [np.nan, np.nan], [np.nan, 4]])
    data = ev.cube({"x": [0, 1]}, "curve").data
    assert data.curve_count[0].values.tolist() == [1, 2]
    assert data.curve_mean[0].values.tolist() == [1, 3]


@pytest.mark.parametrize("lanes", [1, 3, 8, 40])
def test_widths_of_parts_do_not_add_up_but_merge(lanes, monkeypatch):
    """Where events of a bin are on several workers, the sum of their widths is no width."""
    monkeypatch.setattr(moments, "LANES", lanes)
    y = np.random.default_rng(2).normal(1e5, 1, 300) + np.linspace(0, 50, 300)
    data = rows(x=np.zeros(300), y=y).cube({"x": [0, 1]}, "y").data
    assert float(data.y_std[0]) == pytest.approx(y.std(ddof=1), rel=1e-12)


def test_a_selection_that_is_not_there_selects_nothing_rather_than_everything():
    with pytest.raises(KeyError, match="goood"):
        rows(x=np.zeros(3), good=[True] * 3).cube({"x": [0, 1]}, "x", where="goood")


def test_bins_are_in_order_of_their_positions_however_the_scan_went():
    """Appended as steps end, they are in the order of the scan, and those that came back twice are two."""
    x = np.repeat([3.0, 1, 2, 1, 3], 4)
    data = rows(x=x, y=np.arange(20.0)).cube({"x": "unique"}, "y").data
    means = pd.Series(np.arange(20.0)).groupby(x).mean()
    assert data.x.values.tolist() == means.index.tolist()
    assert data.y_mean.values.tolist() == means.tolist()


def test_a_label_is_the_middle_and_edges_are_beside_it():
    """Labels that are left edges shift a scan by half a bin."""
    data = rows(x=[0.5, 3]).cube({"x": [0, 1, 4]}, "x").data
    assert data.x.values.tolist() == [0.5, 2.5]
    assert np.stack([data.x_lo, data.x_hi]).tolist() == [[0, 1], [1, 4]]


@pytest.mark.parametrize(
    ("value", "kind"), [(16777217, "i4"), (60000, "u2"), (250, "u1"), (0.1, "f4"), (True, "?")]
)
def test_sums_are_in_float64_whatever_numbers_are(value, kind):
    """16777216 + 1 is 16777216 in float32, and 2000 times 60000 is 3584 in 16 bits."""
    y = np.full(2000, value, kind)
    data = rows(x=np.zeros(2000), y=y).cube({"x": [0, 1]}, "y").data
    assert float(data.y_sum[0]) == pytest.approx(2000 * float(y[0]), rel=1e-14)
    assert float(data.y_std[0]) == 0


def test_a_variance_is_not_what_is_left_of_two_large_sums():
    y = 1e8 + np.random.default_rng(3).normal(0, 1, 1000)
    data = rows(x=np.zeros(1000), y=y).cube({"x": [0, 1]}, "y").data
    assert float(data.y_std[0]) ** 2 == pytest.approx((y - 1e8).var(ddof=1), rel=1e-10)


def test_a_weak_shot_does_not_dominate_what_is_divided():
    """The mean of ratios is another quantity, which shots without light make."""
    i0 = np.array([10.0, 10, 10, 1e-6])
    ev = rows(x=np.zeros(4), y=i0 * 2 + [0, 0, 0, 1], i0=i0)
    assert float(ev.cube({"x": [0, 1]}, "y", normalise="i0").data.y_mean[0]) == pytest.approx(2 + 1 / 30)
    assert float(ev.cube({"x": [0, 1]}, "y", normalise="i0", how="each").data.y_mean[0]) > 1e5
