"""Selections of rows by name, against numpy."""

import json

import lclsfiles
import numpy as np
import pandas as pd
import pytest
from smalltables import dataset, table

import dxflow
from dxflow.analysis import saved
from dxflow.analysis.tables import Table

DATA = dataset()
XGM = DATA.xgm.values
DELAY = DATA.delay.sel(train=DATA.train_id).values
LIT = DATA.lit.values & DATA.lit_valid.values


@pytest.fixture
def ev():
    return table()


def test_all_cuts_of_a_selection_must_hold(ev):
    good = ev.select("good", ev.xgm > 800, ev.delay.between(-1, 3), "lit")
    expected = (XGM > 800) & (DELAY >= -1) & (DELAY < 3) & LIT
    for where in ("good", good, ev.good, ev["good"], ["xgm > 800", good], ev.selections["good"].cuts):
        np.testing.assert_array_equal(ev.mask(where), expected)
    np.testing.assert_array_equal(ev.mask(~good & (ev.signal > 3)), ev.mask("~good & signal > 3"))


def test_a_selection_in_others_is_linked(ev):
    ev.select("good", "xgm > 800")
    both = ev.select("both", "good", "lit")
    np.testing.assert_array_equal(both.mask, (XGM > 800) & LIT)
    ev.select("good", "xgm > 900")
    np.testing.assert_array_equal(both.mask, (XGM > 900) & LIT)
    with pytest.raises(ValueError, match="'good' would be made of itself: good -> both -> good"):
        ev.select("good", "both | lit")
    np.testing.assert_array_equal(both.mask, (XGM > 900) & LIT)
    with pytest.raises(ValueError, match="'good' is used by both"):
        del ev.selections["good"]


def test_selections_come_back_from_json_and_from_the_attributes_of_a_dataset(ev):
    ev.select("good", ev.xgm > 800, np.arange(len(ev.rows)) % 2 == 0)
    ev.select("dark", ~(ev.good | ev.lit))
    kept = json.dumps(ev.selections.to_dict())
    other = table()
    other.selections.load(json.loads(kept))
    third = Table(dataset().assign_attrs(ev.selections.as_attrs()))
    for one in (other, third):
        assert [*one.selections] == ["good", "dark"]
        for name in one.selections:
            np.testing.assert_array_equal(one.mask(name), ev.mask(name))
        assert json.dumps(one.selections.to_dict()) == kept


def test_ranges_are_half_open_and_exact_values_and_several_cuts_on_a_variable_are_cuts(ev):
    photons = DATA.photons.values
    np.testing.assert_array_equal(ev.mask(ev.photons.between(4, 6)), (photons == 4) | (photons == 5))
    np.testing.assert_array_equal(ev.mask(ev.photons == 4), photons == 4)
    np.testing.assert_array_equal(ev.mask(ev.photons.isin([4, 7])), np.isin(photons, [4, 7]))
    np.testing.assert_array_equal(ev.mask(ev.state == "MOVING"), ev.mask("state == 'MOVING'"))
    both = ev.select("both", ev.photons > 3, ev.photons != 5)
    np.testing.assert_array_equal(both.mask, (photons > 3) & (photons != 5))
    with pytest.raises(
        ValueError, match="between\\(photons, 4, 4\\)' is not understood; it holds for nothing"
    ):
        ev.photons.between(4, 4)


def test_unknown_names_are_refused_with_near_names_and_never_hold(ev):
    ev.select("good", "lit")
    for wrong in ("xmg > 3", "goood", ["lit", "~xmg"], "lit | xmg > 3"):
        with pytest.raises(KeyError, match=r"no variable or selection '\w+'. Did you mean '(xgm|good)'"):
            ev.mask(wrong)
    with pytest.raises(KeyError, match="no selection 'goood'. Did you mean 'good'"):
        ev.selections["goood"]
    with pytest.raises(KeyError, match="no variable 'goo'"):
        ev["goo"]
    with pytest.raises(AttributeError, match="no variable 'xmg'. Did you mean 'xgm'"):
        ev.xmg  # noqa: B018
    assert [*ev.selections] == ["good"]


def test_vectors_are_refused_with_the_way_out_and_without_reading(ev):
    with pytest.raises(ValueError, match=r"roi > 3' has values of shape \(3,\) .* index roi, such as roi"):
        ev.select("bright", ev.roi > 3)
    roi = DATA.roi.values
    for where, expected in (
        (ev.roi[1] > 3, roi[:, 1] > 3),
        ((ev.roi > 3).any(), (roi > 3).any(1)),
        ("sum(roi) > 6", roi.sum(1, dtype=float) > 6),
    ):
        np.testing.assert_array_equal(ev.mask(where), expected)
    nothing = dataset().assign(roi=DATA.roi * np.nan)
    with pytest.warns(UserWarning, match="holds for none of"):
        assert not Table(nothing).mask("sum(roi) >= 0").any()


def test_columns_are_read_when_they_are_used_and_not_before(ev):
    ev.columns.column = None
    ev.select("good", "xgm > 3 & sum(roi) > 2", ev.delay.between(1, 2))
    with pytest.raises(ValueError, match="not a boolean: compare it, such as xgm > 0"):
        ev.select("bad", "xgm")
    with pytest.raises(ValueError, match="expected two numbers or two texts"):
        ev.select("bad", "state > 3")
    assert [*ev.selections] == ["good"]


def test_what_selects_nothing_is_refused(ev):
    for wrong, error, said in (
        ((), ValueError, "there is no condition"),
        (("1 < 2",), ValueError, "the same for all rows"),
        ((True,), TypeError, "selects nothing"),
        ((ev.xgm + 1,), ValueError, r"'xgm \+ 1' is no condition"),
        (("xgm + 1",), ValueError, r"'xgm \+ 1' is no condition"),
        (("__import__('os').system('true')",), ValueError, "not understood"),
        ((None,), TypeError, "selects nothing"),
        ((np.arange(3),), TypeError, "an array of int64 selects nothing"),
        ((ev.xgm > 3, lambda row: row), TypeError, "selects nothing"),
    ):
        with pytest.raises(error, match=said):
            ev.select("wrong", *wrong)
    for name in ("xgm", "", "a`b", "mask:1", 3, "a\nb"):
        with pytest.raises(ValueError, match="selection "):
            ev.select(name, "lit")
    assert not ev.selections


def test_operators_that_bind_more_tightly_than_comparisons_are_told(ev):
    with pytest.raises(ValueError, match="put each in parentheses"):
        ev.xgm > 200 & ev.lit  # noqa: B015
    with pytest.raises(ValueError, match="put each in parentheses"):
        ev.lit & ev.xgm > 200  # noqa: B015
    with pytest.raises(TypeError, match="no single truth: join conditions by & | ~"):
        ev.lit and ev.laser  # noqa: B018
    with pytest.raises(TypeError, match="write x.between"):
        1 < ev.xgm < 2  # noqa: B015
    text = "lit & xgm > 200"
    np.testing.assert_array_equal(ev.mask(text), LIT & (XGM > 200))


def test_an_empty_selection_is_said_with_the_cut_that_empties_it(ev):
    none = ev.select("none", "lit", ev.xgm > 1e9)
    with pytest.warns(
        UserWarning, match=r"none holds for none of \d+ rows: \d+ with lit; 0 with xgm > 1000000000.0"
    ):
        assert not none.mask.any()
    assert repr(none).startswith(f"none: 0 of {len(ev.rows)} rows")


def test_which_value_is_meant_of_variables_of_other_rates_is_said(ev):
    ev.select("late", ev.delay > 2, ev.energy > 9)
    both = ev.select("both", "late", "lit")
    said = ["delay: for each row, the value of its train", "energy: for each row, the value of the run"]
    assert both.joins == said
    assert all(one in repr(both) and one in both._repr_html_() for one in said)
    assert json.loads(ev.selections.as_attrs("both")["selections"])["joins"] == said


def test_products_keep_the_condition_all_that_its_names_stand_for_and_what_was_left(ev):
    ev.select("other", "laser")
    ev.select("good", ev.xgm > 800, "~other")
    kept = json.loads(ev.selections.as_attrs(["good", "photons > 3"])["selections"])
    assert kept["where"] == ["good", "photons > 3"]
    assert kept["selections"] == {"other": ["laser"], "good": ["xgm > 800", "not other"]}
    assert [line["in_order"] for line in kept["cutflow"]] == [
        ev.mask("good").sum(),
        ev.mask(["good", "photons > 3"]).sum(),
    ]
    again = table()
    again.selections.load(kept)
    np.testing.assert_array_equal(again.mask(kept["where"]), ev.mask("good & photons > 3"))


def test_what_is_no_selections_is_refused_and_changes_nothing(ev):
    ev.select("good", "lit")
    for wrong in ("{", "[]", {"selections": {"a": ["x >"]}}, {"selections": {"a": ["b"], "b": ["a"]}}, {}):
        with pytest.raises(ValueError, match="there are no selections|made of itself"):
            ev.selections.load(wrong)
    assert [*ev.selections] == ["good"]
    foreign = Table(DATA.assign_attrs(selections="by hand"))
    with pytest.warns(UserWarning, match="the attribute 'selections' of the table is not used"):
        assert foreign.mask("lit").any()


def test_selections_may_be_made_of_each_other_many_times_over_and_each_is_worked_out_once(ev):
    ev.select("s0", "lit")
    for number in range(1, 50):
        ev.select(f"s{number}", f"s{number - 1} & ~~s{number - 1} | s{number - 1}")
    np.testing.assert_array_equal(ev.mask("s49"), LIT)
    with pytest.raises(ValueError, match="more than 50 times over"):
        ev.select("s0", ev.select("before", "lit"))
    np.testing.assert_array_equal(ev.mask("s49"), LIT)


def test_selections_are_saved_beside_a_table_with_what_was_added_and_found_again(tmp_path):
    path = saved.write(DATA, tmp_path / "t.zarr", "table", {})
    ev, colleague = dxflow.open(path), dxflow.open(path)
    ev.add("twice", "2 * xgm")
    ev.add("thrice", "3 * xgm")
    ev.select("good", "twice > 1600", np.arange(len(ev.rows)) % 2 == 0)
    ev.select("bad", "~good")
    ev.save()
    colleague.select("dark", "~lit")
    colleague.save()
    again = dxflow.open(path)
    assert sorted(again.selections) == ["bad", "dark", "good"]
    for name in ("good", "bad"):
        np.testing.assert_array_equal(again.mask(name), ev.mask(name))
    del again.selections["bad"]
    again.save()
    again.drop("thrice")
    assert sorted(dxflow.open(path).selections) == ["dark", "good"]


def test_rows_of_a_table_without_pulses_are_trains():
    trains = Table(DATA[["delay", "laser", "energy"]])
    late = trains.select("late", "delay > 2", trains.laser)
    np.testing.assert_array_equal(late.mask, (DATA.delay.values > 2) & DATA.laser.values)
    assert trains.cutflow("late").attrs["rows"] == 20
    assert not late.joins
    found = trains.nearest("delay", "laser", "~laser", n=1)
    assert found.dims == ("train",)
    assert found.values[1] == DATA.delay.values[0]


def test_selections_are_the_same_from_zarr_from_a_file_of_lcls_and_from_runs_that_are_joined(tmp_path):
    known = lclsfiles.write(tmp_path / "xpp_Run0012.h5", "lcls1")
    first = dxflow.open(tmp_path / "xpp_Run0012.h5")
    saved.write(first.data, tmp_path / "all.zarr", "table", {})
    half = len(first.rows) // 2
    for run, part in ((12, slice(0, half)), (13, slice(half, None))):
        data = first.data.isel(pulse=part).assign_attrs(run=run)
        saved.write(data, tmp_path / f"r{run}.zarr", "table", {})
    opened = [first, dxflow.open(tmp_path / "all.zarr"), dxflow.open(str(tmp_path / "r1*.zarr"))]
    for ev in opened:
        ev.select("good", "ipm2.sum > 1 & lightStatus.xray", "~(evr.code_90 > 100)")
    for other in opened[1:]:
        np.testing.assert_array_equal(other.mask("good"), first.mask("good"))
        pd.testing.assert_frame_equal(other.cutflow("good"), first.cutflow("good"))
    assert 0 < first.mask("good").sum() < (known["xray"] & (known["sum"] > 1)).sum()
    for run in (12, 13):
        one = dxflow.open(tmp_path / f"r{run}.zarr")
        one.select("bright", "ipm2.sum > 1")
        one.select("off", "~bright", "~lightStatus.laser")
        one.select("own", "off" if run == 12 else "bright")
        one.select("half", np.arange(len(one.rows)) > 3)
        one.save()
    assert [*dxflow.open(str(tmp_path / "r1?.zarr")).selections] == ["bright", "off"]
    near = [ev.nearest("ipm2.sum", "lightStatus.laser", "~lightStatus.laser", n=2).values for ev in opened]
    np.testing.assert_array_equal(near[0], near[1])
    edge = np.flatnonzero(near[0] != near[2])
    assert set(edge[np.isfinite(near[0][edge])]) <= set(range(half - 3, half + 3))


def test_cubes_and_picked_events_have_the_selections_that_made_them(ev):
    ev.select("good", "xgm > 800", np.arange(len(ev.rows)) % 2 == 0)
    for attrs in (
        ev.cube({"delay": 3}, "signal", "good").data.attrs,
        ev.pick(1, where="good", of="xgm").data.attrs,
    ):
        again = table()
        again.selections.load(attrs["selections"])
        np.testing.assert_array_equal(again.mask("good"), ev.mask("good"))


def test_large_masks_are_kept_with_tables_and_only_told_of_in_attributes():
    ev = table(trains=3000, pulses=100)
    random = np.random.default_rng(0).random(len(ev.rows)) > 0.5
    ev.select("random", random)
    attrs = ev.selections.as_attrs("random")
    assert len(attrs["selections"]) < 2000
    again = table(trains=3000, pulses=100)
    again.selections.load(attrs["selections"])
    with pytest.raises(ValueError, match="too large to be kept with a product: give it again"):
        again.mask("random")
    again.selections.load(ev.selections.to_dict())
    np.testing.assert_array_equal(again.mask("random"), random)


def test_masks_that_are_in_no_selection_do_not_pile_up(ev):
    many = [np.arange(len(ev.rows)) != n for n in range(20)]
    assert ev.mask(many).sum() == len(ev.rows) - 20
    ev.select("kept", many[3])
    for n in range(100):
        ev.mask(np.arange(len(ev.rows)) != n)
    np.testing.assert_array_equal(ev.mask("kept"), many[3])
    assert len(ev.selections._masks) <= 65
    assert len(ev.selections._bits) <= 8


def test_times_are_compared_with_times(ev):
    late = np.datetime64("2026-11-22T10:00:01")
    expected = DATA.time.sel(train=DATA.train_id).values >= late
    for where in (ev.time >= late, "time >= '2026-11-22T10:00:01'", str(ev.time >= late)):
        np.testing.assert_array_equal(ev.mask(where), expected)
    with pytest.raises(ValueError, match="expected a time such as"):
        ev.mask("time > 'noon'")


def test_more_values_than_a_text_may_have_are_given_as_booleans(ev):
    with pytest.raises(
        ValueError, match="expected at most 10000: give booleans in place of it, such as np.isin"
    ):
        ev.select("many", ev.train_id.isin(range(10001, 20000)))
