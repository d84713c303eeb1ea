"""Histograms: their counts are those of numpy, whatever the values are."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.analysis.plots.histogram import checked, counted, histogram
from dxflow.analysis.plots.plotted import plotted
from dxflow.analysis.plots.samples import Sample
from dxflow.analysis.plots.screen import Screen

UNICODE = Screen(60, 12)


def variable(values, unit="uJ", there=None):
    values = np.asarray(values)
    if there is None:
        there = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return Sample("xgm", values, there, unit, "energy", "pulses")


@given(
    st.lists(st.floats(-100, 100) | st.integers(-100, 100), max_size=30),
    st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True),
    st.sampled_from([1, 0.1, 1 / 3]),
)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_numpy_also_of_values_on_edges(values, borders, scale):
    borders = np.sort(borders) * scale
    values = np.concatenate([values, borders])
    np.testing.assert_array_equal(counted(values, borders), np.histogram(values, borders)[0])
    regular = borders[0] + scale * np.arange(5)
    np.testing.assert_array_equal(counted(values, regular), np.histogram(values, regular)[0])


@pytest.mark.parametrize("scale", [1e-6, 1e-9, 1e-12, 1e-15, 1e9])
def test_counts_of_uneven_bins_are_right_however_small_the_unit(scale):
    borders = np.array([-1, 0, 0.1, 0.2, 0.5, 1, 2, 5, 10]) * scale
    values = np.random.default_rng(5).uniform(-1, 10, 1000) * scale
    expected = np.histogram(values, borders)[0]
    np.testing.assert_array_equal(counted(values, borders), expected)
    np.testing.assert_array_equal(histogram(variable(values), bins=borders).data["count"], expected)


def test_all_values_are_counted_somewhere():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 10_000), [1e6, -1e6, np.inf, np.nan]])
    data = histogram(variable(values)).data
    # Those far beyond all others make no empty axis.
    assert -8 < data["low"][0] < data["high"][-1] < 8
    assert data["count"].sum() + data["below"] + data["above"] + data["missing"] == len(values)
    assert data["missing"] == 2
    np.testing.assert_allclose(data["bin"], (data["low"] + data["high"]) / 2)


def test_whole_numbers_have_a_bin_each_and_many_the_same_number_in_each():
    data = histogram(
        variable(np.array([0, 3, 3, 5], np.uint8), there=np.array([True, True, True, True]))
    ).data
    assert data["bin"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert data["count"].values.tolist() == [1, 0, 0, 2, 0, 1]
    data = histogram(variable(np.arange(10_000)), bins=20).data
    assert set(data["count"].values[:-1].tolist()) == {500}
    assert data["count"].sum() == 10_000


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [np.inf]])
def test_without_values_it_says_so(values):
    made = histogram(variable(np.array(values, float)))
    assert made.data.sizes["bin"] == 0
    assert made.text(UNICODE) == [made.title, "no values"]
    axes, data = plotted(made)
    assert [text.get_text() for text in axes.texts] == ["no values"]
    assert data["missing"] == len(values)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e300, 1e-300, 2**53, 7 * 10**18])
def test_one_value_has_bins_around_it(value):
    data = histogram(variable([value] * 7)).data
    assert data["count"].sum() == 7
    assert data["low"][0] < value < data["high"][-1]


def test_times_stay_times():
    times = np.datetime64("2026-11-22T10:00:00", "ns") + np.arange(100) * np.timedelta64(1, "s")
    made = histogram(variable(times, "", np.ones(100, bool)))
    assert made.data["low"].dtype == times.dtype
    assert made.data["low"][0] == times[0]
    assert made.data["count"].sum() == 100
    assert "2026-11-22T10:00:00" in made.text(UNICODE)[-2]
    plotted(made)


def test_durations_are_in_seconds():
    axes, data = plotted(histogram(variable(np.arange(20).astype("m8[s]").astype("m8[ns]"), "")))
    assert data["low"].values[0] == 0
    assert data["high"].values[-1] == 19
    assert axes.get_xlabel() == "xgm (s)"


def test_values_that_differ_in_their_last_digit_are_constant():
    data = histogram(variable(1 + np.arange(50) % 3 * 2.3e-16)).data
    assert data["count"].sum() == 50
    assert (np.diff(data["bin"]) > 1e-9).all()


def test_positions_of_a_stepped_motor_have_a_bin_each():
    steps = np.repeat([0.0, 0.1, 0.2, 0.3], 10)
    data = histogram(variable(steps)).data
    assert data["count"].values.tolist() == [10] * 4
    np.testing.assert_allclose([*data["low"], data["high"][-1]], [-0.05, 0.05, 0.15, 0.25, 0.35])
    # As many values as places are no positions.
    assert histogram(variable(np.linspace(0, 1, 40))).data.sizes["bin"] == 10


def test_few_values_that_are_not_evenly_apart_are_bars_where_they_are():
    values, times = [0.0, 1.0, 30.0, 100.0], [5, 9, 7, 6]
    made = histogram(variable(np.repeat(values, times)))
    for name in ("bin", "low", "high"):
        assert made.data[name].values.tolist() == values
    assert made.data["count"].values.tolist() == times
    axes, _ = plotted(made)
    bars = axes.patches
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(values)
    assert len({round(bar.get_width(), 9) for bar in bars}) == 1
    assert bars[0].get_width() < 1
    # As text: what is at 0 and at 1 is in the first column, the others where they belong.
    drawn = [line[11:] for line in made.text(UNICODE) if line[10:11] in ("│", "┤")]
    at = [n for n in range(max(map(len, drawn))) if any(line[n : n + 1].strip() for line in drawn)]
    assert np.allclose(np.array(at) / at[-1], [0, 0.3, 1], atol=0.02)


def test_whole_numbers_have_whole_ticks():
    for values in (np.repeat([0, 1], 20), np.full(30, 2127), np.repeat([3, 4, 5], 1)):
        axes, _ = plotted(histogram(variable(values)))
        for axis in (axes.xaxis, axes.yaxis):
            assert not (axis.get_majorticklocs() % 1).any()


def test_booleans_and_texts_are_counted_each():
    made = histogram(variable([True, False, True, True], there=np.array([True, True, True, False])))
    assert made.data["name"].values.tolist() == ["False", "True"]
    assert made.data["count"].values.tolist() == [1, 2]
    made = histogram(variable(["ON", "OFF", "ON"]))
    assert dict(zip(made.data["name"].values, made.data["count"].values, strict=True)) == {"ON": 2, "OFF": 1}
    made = histogram(variable([f"s{n}" for n in range(100)] + ["s7"]))
    assert (made.data["name"][0], made.data["name"][-1]) == ("s7", "71 others")
    assert made.data["count"].sum() == 101


def test_labels_have_units_and_the_title_what_is_missing():
    axes, _ = plotted(histogram(variable([1.0, 2.0, np.nan]), where="xgm > 0"))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("xgm (µJ)", "pulses")
    assert axes.get_title(loc="left") == "energy: 2 values, 1 missing, xgm > 0"


def test_edges_that_do_not_rise_are_refused():
    for bins in ([1], [2, 1], [0, np.nan]):
        with pytest.raises(ValueError, match="expected how many, or edges that rise"):
            checked(bins)


def test_millions_of_values_are_counted_at_once():
    values = np.random.default_rng(1).normal(size=2_000_000).astype("f4")
    data = histogram(variable(values)).data
    assert isinstance(data, xr.Dataset)
    assert data.sizes["bin"] == 200


def test_numbers_below_uneven_bins_in_a_terminal_are_those_of_the_columns_above():
    values = [0.5, 1.5, 3.0, 50.0]
    made = histogram(variable(values), bins=[0, 1, 2, 4, 100])
    lines = made.text(UNICODE)
    assert lines[-2].split() == ["0", "2", "100"]
    # More bins than columns, of which the last column has fewer.
    edges = np.append(np.arange(70.0), [1000.0])
    lines = histogram(variable(np.arange(70.0) + 0.5), bins=edges).text(UNICODE)
    drawn, at = lines[-3], lines[-2]
    columns = drawn.count("─")
    together = 2
    assert columns == 35
    assert float(at.split()[1]) == together * columns / 2
    assert float(at.split()[2]) == 1000
