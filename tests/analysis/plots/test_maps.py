"""Maps: 2-D histograms are those of numpy; axes follow from coordinates."""

import numpy as np
import pytest
import xarray as xr

from dxflow.analysis.plots.maps import Axis, density, of_array
from dxflow.analysis.plots.plotted import plotted
from dxflow.analysis.plots.samples import Sample
from dxflow.analysis.plots.screen import Screen

ASCII = Screen(42, 14, unicode=False)


def variable(values, name="delay", unit="ps"):
    values = np.asarray(values)
    there = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return Sample(name, values, there, unit, "", "pulses")


def test_counts_are_those_of_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5000), rng.normal(size=5000)
    x[:10], y[5:20] = np.nan, np.nan
    made = density(variable(x), variable(y, "xgm", "uJ"), bins=([-1, 0, 0.5, 2], 7))
    good = ~np.isnan(x + y)
    borders = made.data["x_edge"].values, made.data["y_edge"].values
    expected = np.histogram2d(x[good], y[good], borders)[0].T
    np.testing.assert_array_equal(made.data["count"], expected)
    assert made.data["missing"] == 20
    assert made.data["outside"] == good.sum() - expected.sum()
    assert len(borders[1]) == 8


def test_counts_of_uneven_bins_are_right_however_small_the_unit():
    rng = np.random.default_rng(1)
    x, y = 1e-12 * rng.uniform(0, 10, (2, 1000))
    uneven, even = 1e-12 * np.array([0, 0.1, 0.5, 2, 10]), 1e-12 * np.linspace(0, 10, 6)
    made = density(variable(x), variable(y, "y"), bins=(uneven, even))
    np.testing.assert_array_equal(made.data["count"], np.histogram2d(x, y, (uneven, even))[0].T)


def test_labels_have_units():
    axes, _ = plotted(density(variable([1.0, 2.0]), variable([3.0, 4.0], "xgm", "uJ"), where="lit"))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("delay (ps)", "xgm (µJ)")
    assert axes.get_title(loc="left") == "xgm against delay: 2 pulses, lit"
    assert axes.figure.axes[1].get_ylabel() == "pulses"


@pytest.mark.parametrize("values", [[], [np.nan], [np.nan, np.inf]])
def test_without_values_it_says_so(values):
    made = density(variable(np.array(values, float)), variable(np.ones(len(values))))
    assert made.text(ASCII)[1:] == ["no values"]
    axes, data = plotted(made)
    assert data["count"].size == 0


def test_constants_booleans_and_integers_have_bins():
    made = density(variable(np.ones(9)), variable(np.arange(9) % 2 == 0, "lit", ""))
    assert made.data["count"].sum() == 9
    assert made.data["y_edge"].values.tolist() == [-0.5, 0.5, 1.5]
    plotted(made)


def test_texts_and_values_of_another_shape_are_refused():
    with pytest.raises(TypeError, match="expected numbers"):
        density(variable(["a", "b"]), variable([1.0, 2.0]))
    with pytest.raises(ValueError, match="one value for each row"):
        density(variable(np.ones((2, 2))), variable([1.0, 2.0]))


def test_one_count_among_many_is_seen_and_empty_bins_are_not():
    x = np.repeat([0.5, 2.5], [1, 100_000])
    made = density(variable(x), variable(x), bins=([0, 1, 2, 3], [0, 1, 2, 3]))
    lines = made.text(ASCII)
    # Three rows of 30 columns: ten for each bin; the lowest bin is at the bottom left.
    drawn = [line[11:] for line in lines[2:-3]]
    assert drawn[0][20:] == "@" * 10
    assert drawn[0][:20].strip() == ""
    assert drawn[-1].rstrip() == "." * 10
    assert lines[-1] == "pulses: 1 to 1e+05"


def test_axes_have_borders_halfway_between_values_and_names_where_there_are():
    data = xr.DataArray(
        np.zeros((3, 2)),
        {"delay": ("delay", [0.0, 1.0, 3.0], {"units": "ps"}), "roi": ["a", "b"]},
        ("delay", "roi"),
        name="signal",
    )
    assert Axis.of(data, "delay").borders.tolist() == [-0.5, 0.5, 2.0, 4.0]
    assert Axis.of(data, "delay").label == "delay (ps)"
    axes, _ = plotted(of_array(data, "title"))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]
    wild = data.assign_coords(delay=[0.0, 3.0, 1.0])
    assert Axis.of(wild, "delay").label == "delay (number)"
    falling = data.assign_coords(delay=np.array([3, 2, 1], np.uint8))
    assert Axis.of(falling, "delay").borders.tolist() == [3.5, 2.5, 1.5, 0.5]


def test_trains_and_modules_have_whole_ticks():
    data = xr.DataArray(
        np.zeros((3, 2)), {"train": np.array([10001, 10002, 10003], "u8")}, ("train", "module"), name="valid"
    )
    axes, _ = plotted(of_array(data, ""))
    for axis in (axes.xaxis, axes.yaxis):
        assert not (axis.get_majorticklocs() % 1).any()
    axes, _ = plotted(of_array(data.assign_coords(train=[0.1, 0.2, 0.3]), ""))
    assert (axes.get_yticks() % 1).any()


def test_differences_are_symmetric_about_0():
    values = np.array([[-2.0, 0.0], [1.0, np.nan]])
    axes, _ = plotted(of_array(xr.DataArray(values, dims=("y", "x"), name="difference"), ""))
    (mesh,) = axes.collections
    low, high = mesh.get_clim()
    assert low == -high < 0
    assert mesh.get_cmap().name == "RdBu_r"


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        ([0.0, 1.0, 2.0, 3.0, 100.0], ["-0.5", "2", "148.5"]),
        ([0.0, 1.0, 2.0, 100.0], ["-0.5", "1.5", "149"]),
        ([100.0, 3.0, 2.0, 1.0, 0.0], ["148.5", "2", "-0.5"]),
        ([0.0, 1.0, 2.0, 3.0], ["-0.5", "1.5", "3.5"]),
    ],
)
def test_numbers_below_a_map_in_a_terminal_are_those_of_the_columns_above(x, wanted):
    data = xr.DataArray(np.arange(2.0 * len(x)).reshape(2, -1), {"x": x}, ("y", "x"), name="v")
    # As many columns as are in the middle: the middle number stands below what is there.
    numbers = of_array(data, "").text(ASCII)[-3].split()
    assert [float(n) for n in numbers] == pytest.approx([float(n) for n in wanted], rel=5e-3)


def test_numbers_below_a_2d_histogram_are_those_of_its_edges():
    made = density(variable([0.5, 60.0]), variable([0.5, 0.5], "y"), bins=([0, 1, 2, 4, 100], [0, 1]))
    assert made.text(ASCII)[-3].split() == ["0", "2", "100"]
