"""Cubes: variables averaged in bins of others, compared with loops over rows and with what was planted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lclsfiles
import numpy as np
import pytest
import xarray as xr
from campaign import cubes as campaign
from smalltables import dataset, rows, table

import dxflow
from dxflow.analysis import saved
from dxflow.analysis.cubes import Cube
from dxflow.analysis.tables import Table

SEED = int(os.environ.get("DXFLOW_SEED", "20261122"))
EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "8"))


def test_random_cubes_are_equal_to_loops_over_rows():
    campaign.tried(EXAMPLES, SEED)()


def test_a_cube_is_seen_to_be_wrong(monkeypatch):
    """The campaign itself: a row on an edge that is counted in the bin below is found."""
    ev = rows(a=campaign.EDGES, **{n: np.arange(6.0) for n in ("x", "far", "whole", "slow", "i0", "w")})
    ev.data["curve"] = (("pulse", "q"), np.ones((6, 3)))
    options = {"normalise": None, "how": "ratio", "weights": None}
    case = campaign.Case(ev, {"a": campaign.SPECS["edges"]}, np.ones(6, bool), options)
    campaign.check(case)
    monkeypatch.setattr(
        campaign, "bin_of", lambda x, bins: np.searchsorted(campaign.EDGES, x, "left").clip(1) - 1
    )
    with pytest.raises(AssertionError):
        campaign.check(case)


def test_means_errors_counts_sums_and_widths_have_their_names_units_and_axes():
    ev = table()
    data = ev.cube({"delay": "-1:5:3", "xgm": [0, 800, 2000]}, ["signal", "roi"], "lit").data
    assert data.signal_mean.dims == ("delay", "xgm")
    assert data.roi_sem.dims == ("delay", "xgm", "region")
    assert data.delay.values.tolist() == [0, 2, 4]
    assert data.delay_lo.values.tolist() == [-1, 1, 3]
    assert data.delay_hi.values.tolist() == [1, 3, 5]
    assert (data.delay.attrs["units"], data.signal_std.attrs["units"]) == ("ps", "photons")
    own = ev.mask("lit & delay >= 1 & delay < 3 & xgm >= 0 & xgm < 800")
    x = dataset().signal.values[own]
    one = data.sel(delay=2, xgm=400)
    assert int(one.n) == int(one.signal_count) == own.sum()
    np.testing.assert_allclose([one.signal_sum, one.signal_std], [x.sum(), x.std(ddof=1)], 1e-13)


def test_values_per_train_count_once_in_each_bin():
    ev = table(trains=10, pulses=8)
    data = ev.cube({"laser": "unique"}, "delay").data
    delay, laser = dataset(10, 8).delay.values, dataset(10, 8).laser.values
    for n in (0, 1):
        x = delay[(laser == n) & np.isfinite(delay)]
        assert int(data.delay_count[n]) == len(x)
        assert float(data.delay_sem[n]) == pytest.approx(x.std(ddof=1) / np.sqrt(len(x)))
    assert data.n.sum() == len(ev.rows)


def test_the_order_of_a_scan_never_matters():
    rng = np.random.default_rng(0)
    x = np.repeat(np.arange(5.0), 40)
    y = x + rng.normal(0, 1, 200)
    order = rng.permutation(200)
    a, b = (rows(x=x[o], y=y[o]).cube({"x": "unique"}, "y").data for o in (np.arange(200), order))
    np.testing.assert_allclose(a.y_mean, b.y_mean, 1e-14)
    np.testing.assert_array_equal(a.n, b.n)


def test_a_bin_without_rows_has_count_0_and_nan():
    data = rows(x=[0.5, 2.5], y=[1.0, 2]).cube({"x": "0:3:3"}, "y").data
    assert data.y_count.values.tolist() == [1, 0, 1]
    assert np.isnan(data.y_mean.values).tolist() == [False, True, False]
    assert np.isnan(data.y_sem).all()


def test_a_ratio_of_sums_is_not_the_mean_of_ratios_and_its_error_is_that_of_repeated_runs():
    rng = np.random.default_rng(5)
    i0 = rng.gamma(3, 1, 60 * 300)
    ev = rows(x=np.repeat(np.arange(300), 60), y=rng.poisson(4 * i0), i0=i0)
    data = ev.cube({"x": "unique"}, "y", normalise="i0").data
    pulls = (data.y_mean.values - 4) / data.y_sem.values
    assert 0.9 < pulls.std() < 1.15
    assert abs(pulls.mean()) < 0.2


def test_the_error_of_a_weighted_mean_is_that_of_repeated_runs():
    rng = np.random.default_rng(6)
    ev = rows(x=np.repeat(np.arange(400), 50), y=rng.normal(7, 2, 20000), w=rng.gamma(2, 1, 20000))
    data = ev.cube({"x": "unique"}, "y", weights="w").data
    pulls = (data.y_mean.values - 7) / data.y_sem.values
    assert 0.93 < pulls.std() < 1.12
    assert abs(pulls.mean()) < 0.2


def test_each_row_by_its_own_leaves_out_what_has_none():
    data = rows(x=[0.0] * 4, y=[1.0, 2, 3, 4], i0=[2, 0, np.nan, 1]).cube(
        {"x": [0, 1]}, "y", normalise="i0", how="each"
    )
    assert float(data.data.y_mean[0]) == (0.5 + 4) / 2
    assert int(data.data.y_count[0]) == 2
    assert data.stored.attrs["normalise"] == "i0, row by row"


def test_weights_of_0_do_not_count_and_wrong_ones_are_refused():
    ev = rows(x=[0.0] * 4, y=[1.0, 2, 3, 100], w=[1, 1, 2, 0], bad=[1, -1, 1, 1], none=[0.0] * 4)
    data = ev.cube({"x": [0, 1]}, "y", weights="w").data
    assert int(data.y_count[0]) == 3
    assert float(data.y_mean[0]) == 9 / 4
    assert float(data.y_effective[0]) == 16 / 6
    with pytest.raises(ValueError, match="weights='bad': 1 of 4 rows are below 0 or infinite"):
        ev.cube({"x": [0, 1]}, "y", weights="bad")
    assert int(ev.cube({"x": [0, 1]}, "y", weights="none").data.y_count[0]) == 0


def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(2)
    ev = rows(x=rng.random(5000), y=rng.normal(1e6, 1, 5000))
    made = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        data = ev.cube({"x": 7}, "y").stored
        made.append((data.y_mean.values.tobytes(), data.y_sem.values.tobytes()))
    assert len(set(made)) == 1


def test_large_means_lose_no_digits():
    rng = np.random.default_rng(2)
    x = 1e9 + rng.normal(0, 1e-3, 20000)
    data = rows(x=np.zeros(20000), y=x).cube({"x": [0, 1]}, "y").data
    assert float(data.y_std[0]) == pytest.approx((x - 1e9).std(ddof=1), rel=1e-12)


def test_a_saved_cube_is_opened_with_all_it_says(tmp_path):
    made = table().cube({"delay": "unique(0.1)"}, ["signal", "roi"], "xgm > 500", normalise="xgm", on="laser")
    made.save(tmp_path / "c.zarr")
    found = dxflow.open(tmp_path / "c.zarr")
    assert isinstance(found, Cube)
    xr.testing.assert_identical(found.data.load(), made.data)
    assert repr(found) == repr(made)
    assert "signal_std" not in found.stored
    for text in ("delay: ", "signal (photons/uJ)", "xgm > 500", "xgm, ratio of sums", "laser"):
        assert text in repr(found)
        assert text.replace(">", "&gt;") in found._repr_html_()


def test_what_is_left_out_is_counted_and_said():
    ev = rows(x=[-1, 0, 1, 2, 3, np.nan], y=np.ones(6), z=[0, 0, 0, 0, 0, 9.0])
    made = ev.cube({"x": [0, 1, 2], "z": [0, 1]}, "y")
    assert [int(made.data[f"x_{what}"]) for what in ("under", "over", "missing")] == [1, 1, 1]
    assert "laser: for each row, the value of its train" in repr(table().cube({"xgm": 3}, where="laser"))
    assert [int(made.data[f"z_{what}"]) for what in ("under", "over", "missing")] == [0, 1, 0]
    assert made.stored.attrs["notes"] == "x: 1 under, 1 over, 1 missing of 6 rows\nz: 1 over of 6 rows"
    with pytest.warns(UserWarning, match="y > 5 holds for none of 6 rows"):
        ev.cube({"x": [0, 1]}, "y", "y > 5")
    with pytest.warns(UserWarning, match="none of the 6 selected rows is in a bin"):
        ev.cube({"x": [10, 11]}, "y")
    with pytest.warns(UserWarning, match="y: 1 in all rows that are selected: one bin"):
        ev.cube({"y": 5}, "x")


def test_rows_that_cannot_be_divided_or_weighted_are_counted_and_said():
    ev = rows(x=np.zeros(5), y=np.ones(5), i0=[1, 0, -1, np.nan, 2], w=[1.0, 1, 1, 1, 0])
    made = ev.cube({"x": [0, 1]}, "y", normalise="i0", weights="w")
    assert "i0: 3 of 5 in bins are missing or not above 0, and do not count" in made.stored.attrs["notes"]
    assert "w: 1 of 5 in bins are without a weight, or with 0, and do not count" in repr(made)
    assert int(made.data.y_count[0]) == 1


def test_names_that_would_be_there_twice_are_refused():
    ev = rows(x=np.zeros(5), x_lo=np.ones(5), n=np.arange(5), pump=np.arange(5))
    with pytest.raises(ValueError, match="n: two parts of the cube have that name"):
        ev.cube({"n": 3}, "x")
    with pytest.raises(ValueError, match="pump: two"):
        ev.cube({"pump": 3}, "x", on="x_lo > 0")
    assert "x_lo_mean" in ev.cube({"x": [0, 1]}, "x_lo").data
    with pytest.raises(ValueError, match="x_lo: two"):
        ev.cube({"x": [0, 1], "x_lo": [0, 1]}, "n")


@pytest.mark.parametrize(
    ("bins", "of", "on", "clash"),
    [
        ("x", ["a", "a_difference"], "lit", "a_difference_sem"),
        ("x", ["a", "a_relative"], "lit", "a_relative_sem"),
        ("a_sum", ["a"], None, "a_sum"),
        ("x", {"a": "b", "x": "b", "x_missing": "b"}, None, ""),
        ("x", ["a", "a_difference"], None, ""),
    ],
)
def test_no_part_of_a_cube_takes_the_place_of_another(bins, of, on, clash):
    """The standard error of a variable is that of no difference which has its name."""
    ones, x = np.ones(8), np.arange(8)
    more = dict.fromkeys(("a", "b", "a_difference", "a_relative"), ones)
    ev = rows(x=x, a_sum=x, lit=x % 2 == 0, **more)
    if clash:
        with pytest.raises(ValueError, match=f"{clash}.*: two parts of the cube have that name"):
            ev.cube({bins: [0, 8]}, of, on=on)
    else:
        assert len(ev.cube({bins: [0, 8]}, of, on=on).of) == len(of)


def test_ids_and_runs_are_axes_like_others():
    ev = table()
    ev.data["run"] = ("pulse", np.where(ev.rows.train_ids < 10010, 34, 35))
    data = ev.cube(["run=unique", "train_id=10001:10021:4"], "xgm").data
    assert data.run.values.tolist() == [34, 35]
    assert (data.n.values > 0).sum() == 5
    assert data.n.sum() == len(ev.rows)


def test_what_made_a_cube_is_in_its_attributes(tmp_path):
    path = saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    ev = dxflow.open(path)
    ev.select("good", "xgm > 200", "signal < 9")
    ev.select("hot", ev.laser)
    attrs = ev.cube({"delay": 3}, "signal", "good", on="hot").stored.attrs
    assert attrs["table"] == str(path)
    assert attrs["where"] == "good: xgm > 200 & signal < 9"
    assert attrs["on"] == "hot: laser"
    assert json.loads(attrs["selections"])["cutflow"][-1]["in_order"] == ev.mask("good").sum()
    assert ev.cube({"delay": 3}, "signal", ev.mask("good")).stored.attrs["where"] == "an array"


def test_what_cannot_be_averaged_is_refused():
    ev = table()
    bins = {"delay": "unique"}
    for of, error, said in (
        ("sginal", KeyError, "Did you mean 'signal'"),
        ("energy", ValueError, "energy is one value of the whole run"),
        ("state", TypeError, "state is <U6; expected numbers"),
        (["xgm", "xgm"], ValueError, "xgm, xgm: expected each once"),
        ([3], TypeError, "3: expected the name of a variable"),
    ):
        with pytest.raises(error, match=said):
            ev.cube(bins, of)
    with pytest.raises(ValueError, match="how='mean': expected 'ratio' or 'each'"):
        ev.cube(bins, "xgm", how="mean")
    with pytest.raises(KeyError, match="no variable 'dealy'. Did you mean 'delay'"):
        ev.cube({"dealy": 3}, "xgm")


def test_expressions_are_averaged_and_cut_into_bins_like_variables():
    ev, data = table(), dataset()
    made = ev.cube({"signal - 3": [-1, 0, 1]}, {"both": "signal * xgm"}, "lit", weights=ev.xgm * 1).data
    part, product = data.signal.values - 3, data.signal.values * data.xgm.values
    own = ev.mask("lit") & (part >= 0) & (part <= 1) & np.isfinite(product)
    expected = np.average(product[own], weights=data.xgm.values[own])
    assert float(made.both_mean[1]) == pytest.approx(expected, rel=1e-13)
    plain = ev.cube({"signal - 3": 2}, ["xgm - 1", ev.roi * 2, ev["delay"] + 1])
    assert plain.of == ["xgm - 1", "roi * 2", "delay + 1"]
    assert plain.data["roi * 2_mean"].shape == (2, 3)
    assert plain.data["delay + 1_count"].sum() <= 2 * data.sizes["train"]


def test_a_cube_is_the_same_from_zarr_from_a_file_of_lcls_and_from_runs_that_are_joined(tmp_path):
    known = lclsfiles.write(tmp_path / "xpp_Run0012.h5", "lcls1")
    first = dxflow.open(tmp_path / "xpp_Run0012.h5")
    saved.write(first.data, tmp_path / "all.zarr", "table", {})
    half = len(first.rows) // 2
    for run, part in ((12, slice(0, half)), (13, slice(half, None))):
        data = first.data.isel(pulse=part).assign_attrs(run=run)
        saved.write(data, tmp_path / f"r{run}.zarr", "table", {})
    opened = [first, dxflow.open(tmp_path / "all.zarr"), dxflow.open(str(tmp_path / "r1*.zarr"))]
    options = {"on": "lightStatus.laser", "normalise": "ipm2.sum"}
    made = [
        ev.cube(
            {"ipm2.sum": "quantiles(3)"}, ["epix.spectrum", "evr.code_90"], "lightStatus.xray", **options
        ).data
        for ev in opened
    ]
    for other in made[1:]:
        xr.testing.assert_equal(made[0], other)
    assert int(made[0].n.sum()) == (known["xray"] & np.isfinite(known["sum"]) & (known["number"] != 4)).sum()


def test_a_table_of_trains_alone_has_cubes_of_trains():
    data = dataset().drop_dims("pulse")
    made = Table(data).cube({"laser": "unique"}, "delay").data
    x = data.delay.values[~data.laser.values]
    assert int(made.n[0]) == len(x)
    assert float(made.delay_mean[0]) == pytest.approx(np.nanmean(x))


def test_kernels_are_compiled_once_for_all_kinds_of_numbers():
    """What a first cube takes is compiling: it must not be done again for each dtype."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); from smalltables import table; from dxflow.analysis import sums;"
        "ev = table(); [ev.cube({b: 3}, ['signal', 'roi', 'photons', 'lit', 'delay'], normalise=n) "
        "for b in ('xgm', 'photons', 'laser') for n in (None, 'photons')];"
        "print([len(f.signatures) for f in (sums.find, sums.combine, sums.once, sums.add, sums.add_pairs)])"
    )
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert out.stdout.strip() == "[1, 1, 1, 1, 1]"


def test_values_per_train_count_once_wherever_the_rows_of_a_train_are():
    data = dataset()
    mixed = data.isel(pulse=np.random.default_rng(0).permutation(data.sizes["pulse"]))
    found, same = (Table(one).cube({"xgm": 4}, of="delay").data for one in (mixed, data))
    np.testing.assert_array_equal(found["delay_count"], same["delay_count"])
    np.testing.assert_allclose(found["delay_mean"], same["delay_mean"], rtol=1e-12)
