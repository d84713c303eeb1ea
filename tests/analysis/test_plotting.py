"""Plots of tables: what is drawn is what numpy makes of the same rows, and axes have units."""

import numpy as np
import pandas as pd
import pytest
import smalltables

from dxflow.analysis.plots.correlations import pearson
from dxflow.analysis.plots.screen import Screen


@pytest.fixture(scope="module")
def ev():
    table = smalltables.table(trains=60, pulses=10, seed=2)
    table.select("good", table.xgm > 500, "lit")
    return table


def text(axes):
    return axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")


def test_a_variable_is_a_histogram_of_its_rows(ev):
    axes, data = ev.plot("xgm")
    values = ev.column("xgm").values
    edges = [*data["low"].values, data["high"].values[-1]]
    np.testing.assert_array_equal(data["count"], np.histogram(values[~np.isnan(values)], edges)[0])
    assert text(axes)[:2] == ("xgm (µJ)", "pulses")
    assert f"{np.isnan(values).sum()} missing" in text(axes)[2]


def test_only_rows_that_are_selected_are_drawn_and_the_title_says_so(ev):
    axes, data = ev.plot("xgm", where="good", bins=[500, 1000, 5000])
    values = ev.column("xgm").values[ev.mask("good")]
    np.testing.assert_array_equal(data["count"], np.histogram(values, [500, 1000, 5000])[0])
    assert text(axes)[2].endswith(", good")
    axes, data = ev.plot("delay", where=[ev.good, "laser"])
    assert int(data["count"].sum() + data["missing"]) == (ev.mask("good") & ev.mask("laser")).sum()
    assert text(axes)[2].endswith(", good & laser")
    assert ev.plot("xgm", where=ev.mask("good")).data["count"].sum() == ev.mask("good").sum()


def test_expressions_are_drawn_under_their_text(ev):
    axes, data = ev.plot(ev.signal / ev.xgm)
    expected = ev.column("signal").values / ev.column("xgm").values
    assert data["count"].sum() == np.isfinite(expected).sum()
    assert text(axes)[0] == "signal / xgm"
    assert ev.plot("signal / xgm").data.equals(data)


def test_two_variables_are_a_2d_histogram_also_of_different_rates(ev):
    axes, data = ev.plot("delay", ev.signal * 2)
    delay, signal = (ev.column(name, at="pulse").values for name in ("delay", "signal"))
    good = ~np.isnan(delay)
    edges = data["x_edge"].values, data["y_edge"].values
    expected = np.histogram2d(delay[good], 2 * signal[good], edges)[0].T
    np.testing.assert_array_equal(data["count"], expected)
    assert text(axes)[:2] == ("delay (ps)", "signal * 2")
    assert data["missing"] == (~good).sum()
    time, _ = ev.plot("time", "xgm")
    assert time.get_xlim()[0] < time.get_xlim()[1]


def test_kinds_that_are_asked_for(ev):
    axes, data = ev.plot("xgm", kind="series")
    values, trains = ev.column("xgm").values, ev.rows.train_ids
    expected = pd.Series(values).groupby(trains).mean()
    np.testing.assert_array_equal(data["x"], expected.index)
    np.testing.assert_allclose(data["value"], expected.values)
    assert text(axes)[:2] == ("train", "xgm (µJ)")
    with pytest.raises(ValueError, match="leave out kind="):
        ev.plot("xgm", "signal", kind="line")


def test_every_variable_can_be_drawn_with_and_without_rows(ev):
    with pytest.warns(UserWarning, match="holds for none"):
        ev.mask("xgm < 0")
    for name in ev.names:
        if name not in ("energy", "image"):
            assert ev.plot(name).data.sizes
            with pytest.warns(UserWarning, match="holds for none"):
                assert ev.plot(name, where="xgm < 0").data.sizes
    assert ev.plot("image").axes.images
    with pytest.raises(ValueError, match="value of the run"):
        ev.plot("image", where="good")


def test_drawing_into_axes_of_the_user_and_no_state_of_pyplot(ev):
    from matplotlib.figure import Figure

    given = Figure().subplots(1, 2)
    assert ev.plot("xgm", ax=given[0]).axes is given[0]
    assert ev.plot("xgm", ax=given[0])._repr_png_() is None
    made = ev.plot("xgm", "signal")
    assert made._repr_png_()[:4] == b"\x89PNG"
    assert "2-D" not in repr(made)
    assert "signal against xgm" in repr(made)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert pyplot.get_fignums() == []
    assert made.figure.get_dpi() != pyplot.rcParams["savefig.dpi"]


def test_a_figure_is_saved_as_text_for_papers(ev, tmp_path):
    path = ev.plot("xgm").save(tmp_path / "xgm.svg")
    assert ">xgm (µJ)</text>" in path.read_text()


def test_cutflows_are_bars(ev):
    axes, data = ev.plot_cutflow("good")
    frame = ev.cutflow("good")
    np.testing.assert_array_equal(data["alone"], frame["alone"])
    np.testing.assert_array_equal(data["after those above"], frame["in_order"])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["xgm > 500", "lit"]
    assert axes.get_xlabel() == "rows"
    assert text(axes)[2] == f"{ev.mask('good').sum()} of {len(ev.rows)} rows pass"


def test_correlations_are_those_of_numpy_of_the_rows_where_both_are(ev):
    names = ["xgm", "delay", "lit", "photons", "xgm + signal"]
    axes, data = ev.correlations(names)
    columns = [ev.evaluate(name, at="pulse") for name in names]
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            both = a.there & b.there
            assert data["n"][i, j] == both.sum()
            expected = np.corrcoef(a.values[both].astype(float), b.values[both].astype(float))[0, 1]
            assert float(data["r"][i, j]) == pytest.approx(expected, abs=1e-10)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    every = ev.correlations().data
    assert set(every["variable"].values) == {"xgm", "signal", "lit", "photons", "delay", "laser"}
    with pytest.raises(ValueError, match="two variables at least"):
        ev.correlations(["xgm"])
    with pytest.raises(TypeError, match="expected numbers"):
        ev.correlations(["xgm", "state"])


def test_correlations_without_common_rows_or_of_constants_are_missing():
    a = np.array([1.0, 2.0, 3.0, np.nan, np.nan, 4.0])
    b = np.array([np.nan, np.nan, np.nan, 1.0, 2.0, 3.0])
    large = 1e9 + np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    flat = np.full(6, 0.1)
    r, n = pearson([a, b, large, flat, np.full(6, np.inf)])
    assert n[0, 1] == 1
    assert np.isnan(r[0, 1])
    assert np.isnan(r[3]).all()
    assert n[4].tolist() == [0] * 5
    assert r[0, 2] == pytest.approx(np.corrcoef(a[[0, 1, 2, 5]], large[[0, 1, 2, 5]])[0, 1])
    assert np.diag(r)[:3].tolist() == pytest.approx([1, 1, 1])


def test_correlations_are_a_table_in_a_terminal(ev):
    from dxflow.analysis.plots.correlations import correlations
    from dxflow.analysis.plots.samples import Sample

    x = np.arange(4.0)
    there = np.ones(4, bool)
    made = correlations([Sample(n, v, there) for n, v in (("a", x), ("b", -x), ("flat", 0 * x))])
    assert made.text(Screen(40, 12)) == [
        "correlations of 4 values",
        " 1 a      1.00",
        " 2 b     -1.00  1.00",
        " 3 flat      -     -     -",
        "             1     2     3",
    ]


def test_scans_are_means_of_bins_with_errors_of_on_and_off(ev):
    axes, data = ev.scan("delay", "signal", on="laser", where="good", normalise="xgm", bins=[-1, 1, 2, 5])
    delay, laser = (ev.column(name, at="pulse") for name in ("delay", "laser"))
    signal, i0 = ev.column("signal").values, ev.column("xgm").values
    assert data["series"].values.tolist() == ["on", "off"]
    for n, pumped in enumerate((True, False)):
        for k, (low, high) in enumerate(((-1, 1), (1, 2), (2, 5))):
            inside = (delay.values >= low) & ((delay.values < high) | ((high == 5) & (delay.values == 5)))
            inside &= ev.mask("good") & (laser.values == pumped)
            assert data["count"][n, k] == inside.sum()
            assert float(data["mean"][n, k]) == pytest.approx(signal[inside].sum() / i0[inside].sum())
            assert data["sem"][n, k] > 0
    assert text(axes)[:2] == ("delay (ps)", "signal / xgm (photons/µJ)")
    assert text(axes)[2].endswith("good")
    assert [one.get_text() for one in axes.get_legend().get_texts()] == ["on", "off"]


def test_a_stepped_scan_has_a_bin_for_each_position_and_others_fifty(ev):
    data = ev.scan("delay", "signal").data
    delay = ev.column("delay").values
    np.testing.assert_allclose(data["x"], np.unique(delay[~np.isnan(delay)]))
    assert data["series"].values.tolist() == ["signal"]
    assert ev.scan("xgm", ev.signal * 2).data.sizes["x"] == 50
    with pytest.raises(ValueError, match=r"one of them, 'roi\[3\]'"):
        ev.scan("delay", "roi")
    assert ev.scan("delay", "roi[0]").data.sizes["series"] == 1


def test_ids_and_times_are_drawn_as_variables(ev):
    assert ev.plot("train_id").data["count"].sum() == len(ev.rows)
    assert ev.plot("time").data["low"].dtype.kind == "M"
