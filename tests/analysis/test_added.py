"""Variables that are added: right, found again, said to be out of date when they are; nothing kept without a word."""

import os
import subprocess
import sys
import threading
import time
import warnings

import lclsfiles
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from smalltables import dataset, table

import dxflow
from dxflow import PlanError
from dxflow.analysis import Table, beside, saved
from dxflow.analysis.added import Additions
from dxflow.disk import lock


@pytest.fixture
def path(tmp_path):
    return saved.write(dataset(), tmp_path / "t.zarr", "table", {})


def quiet(path):
    """Open without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return dxflow.open(path)


def test_an_expression_is_a_variable_like_others():
    ev, data = table(), dataset()
    made = ev.add("ratio", ev.signal / ev.xgm, unit="photons/uJ", doc="per energy")
    expected = data.signal.values / data.xgm.values
    np.testing.assert_array_equal(made.values, expected)
    np.testing.assert_array_equal(ev.column("ratio").there, ~np.isnan(expected))
    assert ev.data.ratio.attrs == {
        "units": "photons/uJ",
        "long_name": "per energy",
        "expression": "signal / xgm",
        "source": "added",
        "rate": "pulse",
    }
    ev.add("twice", "2 * ratio")
    np.testing.assert_array_equal(ev.twice.values, 2 * expected)
    np.testing.assert_array_equal(ev.mask("twice > 0.01"), np.nan_to_num(2 * expected) > 0.01)
    assert str(ev.added["ratio"]) == "ratio = signal / xgm [photons/uJ] (in memory)"
    assert list(ev.added) == ["ratio", "twice"]
    assert "ratio" in ev.names


def test_expressions_have_the_rate_of_their_variables_and_their_axes():
    ev, data = table(), dataset()
    ev.add("late", "delay > 2")
    ev.add("double", ev.roi * 2)
    ev.add("wave", "12.398 / energy")
    assert [ev.rate(n) for n in ("late", "double", "wave")] == ["train", "pulse", "run"]
    assert ev.data.double.dims == ("pulse", "region")
    np.testing.assert_array_equal(ev.data.late.values, data.delay.values > 2)
    np.testing.assert_array_equal(ev.column("late").there, ~np.isnan(data.delay.values))
    np.testing.assert_allclose(ev.data.wave, 12.398 / 9.3)


def test_data_are_aligned_by_their_number():
    ev, data = table(), dataset()
    rows, trains = len(ev.rows), len(ev.rows.trains)
    ev.add("number", np.arange(rows))
    ev.add("temperature", np.ma.masked_equal(np.arange(trains), 3), unit="K")
    ev.add("spectrum", np.ones((rows, 5), "f4"))
    ev.add("distance", 0.2)
    assert [ev.rate(n) for n in ("number", "temperature", "spectrum", "distance")] == [
        "pulse",
        "train",
        "pulse",
        "run",
    ]
    assert ev.data.spectrum.dims == ("pulse", "spectrum_dim0")
    assert ev.column("temperature").there.tolist() == [n != 3 for n in range(trains)]
    column = ev.column("temperature", at="pulse")
    np.testing.assert_array_equal(column.there, data.train_id.values != 10004)
    for wrong in (np.arange(rows - 1), np.arange(rows + 1)):
        with pytest.raises(
            ValueError, match=rf"x has {len(wrong)} values; expected one for each of {rows} rows"
        ):
            ev.add("x", wrong)
    assert "x" not in ev.names


def test_data_with_ids_are_joined_as_pandas_does():
    ev, data = table(), dataset()
    rng = np.random.default_rng(5)
    some = rng.permutation(len(ev.rows))[:50]
    array = xr.DataArray(
        np.arange(50),
        dims="row",
        coords={n: ("row", data[n].values[some]) for n in ("train_id", "pulse_id")},
    )
    ev.add("mark", array)
    keys = ["train_id", "pulse_id"]
    frame = data[["xgm"]].to_dataframe()[keys].reset_index(drop=True)
    right = pd.DataFrame({n: array[n].values for n in keys} | {"mark": array.values})
    wanted = frame.merge(right, on=keys, how="left")["mark"]
    np.testing.assert_array_equal(ev.column("mark").there, wanted.notna())
    np.testing.assert_array_equal(ev.column("mark").values, wanted.fillna(0))
    ev.add("per_train", xr.DataArray([1.0, 2.0], dims="train", coords={"train": [10005, 10002]}))
    assert ev.rate("per_train") == "train"
    assert ev.data.per_train.sel(train=[10002, 10005]).values.tolist() == [2.0, 1.0]
    assert ev.data.per_train.notnull().sum() == 2
    with pytest.raises(ValueError, match="none of its values belongs"):
        ev.add("other", xr.DataArray([1.0], dims="train", coords={"train": [7]}))


def test_names_that_are_taken_are_refused():
    ev = table()
    ev.select("good", "xgm > 800")
    ev.add("ratio", "signal / xgm")
    for name, why in (
        ("xgm", "the table itself has"),
        ("train_id", "the table itself has"),
        ("pulse", "the table itself has"),
        ("good", "is a selection"),
        ("ratio", "was added already; replace=True"),
        ("xgm_valid", "would be taken for one"),
        ("", "expected a text"),
        ("a`b", "expected a text"),
    ):
        with pytest.raises(ValueError, match=why):
            ev.add(name, "xgm * 2")
    with pytest.raises(ValueError, match="the table itself has"):
        ev.add("xgm", "signal", replace=True)
    with pytest.raises(KeyError, match="Did you mean 'signal'"):
        ev.add("x", "signl * 2")
    with pytest.raises(ValueError, match="no variable in it"):
        ev.add("x", "2 * 3")
    with pytest.raises(ValueError, match="is of another table"):
        ev.add("x", table().xgm * 2)
    assert list(ev.added) == ["ratio"]


def test_what_was_made_of_one_that_is_replaced_is_made_anew():
    ev, data = table(), dataset()
    ev.add("a", "xgm * 2")
    ev.add("b", "a + 1")
    ev.add("c", "b + 1")
    ev.add("a", "signal", replace=True)
    np.testing.assert_array_equal(ev.c.values, data.signal.values + 2)
    with pytest.raises(ValueError, match="would be made of itself"):
        ev.add("a", "c + 1", replace=True)
    with pytest.raises(ValueError, match="'b' is used by c; drop these first"):
        ev.drop("b")
    ev.drop("c")
    assert "c" not in ev.data
    with pytest.raises(KeyError, match="no variable 'c'"):
        ev["c"]


def test_nothing_is_kept_without_save_and_all_is_found_again_with_it(path):
    ev = dxflow.open(path)
    ev.add("ratio", "signal / xgm", unit="1/uJ", doc="ratio")
    ev.add("flag", np.ma.masked_equal(np.arange(len(ev.rows)) % 3, 2))
    ev.add("more", "ratio + flag")
    del ev
    assert os.listdir(path.parent) == ["t.zarr"]
    ev = dxflow.open(path)
    assert "ratio" not in ev.names
    ev.add("ratio", "signal / xgm", unit="1/uJ", doc="ratio")
    ev.add("flag", np.ma.masked_equal(np.arange(len(ev.rows)) % 3, 2))
    ev.add("more", "ratio + flag")
    assert ev.save() == path.with_name("t.added.zarr")
    again = quiet(path)
    assert not again.data.ratio.variable._in_memory
    xr.testing.assert_identical(again.data.load(), ev.data)
    assert again.added["more"].expression == "ratio + flag"
    assert again.added["ratio"].unit == "1/uJ"
    assert "in memory" not in repr(again.added)
    assert dxflow.verify(path.with_name("t.added.zarr")) == []
    assert sorted(os.listdir(path.parent)) == ["t.added.zarr", "t.zarr"]


def test_what_is_saved_later_stands_beside_what_was(path):
    one, other = dxflow.open(path), dxflow.open(path)
    one.add("a", "xgm * 2")
    one.save()
    other.add("b", "xgm * 3")
    other.save()
    again = quiet(path)
    assert set(again.added) == {"a", "b"}
    again.add("a", "xgm * 5", replace=True)
    again.save()
    np.testing.assert_array_equal(again.b.values, dataset().xgm.values * 3)
    np.testing.assert_array_equal(quiet(path).a.values, dataset().xgm.values * 5)
    again.drop("b")
    assert list(quiet(path).added) == ["a"]


def test_processes_that_save_at_the_same_time_lose_nothing(path):
    code = (
        "import sys, dxflow\n"
        "ev = dxflow.open(sys.argv[1])\n"
        "for n in range(3):\n"
        "    ev.add(f'{sys.argv[2]}{n}', f'xgm * {n + 2}')\n"
        "    ev.save()\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [one.wait(120) for one in both] == [0, 0]
    assert set(quiet(path).added) == {f"{name}{n}" for name in "ab" for n in range(3)}
    assert sorted(os.listdir(path.parent)) == ["t.added.zarr", "t.zarr"]


def changed(data, name):
    values = data[name].values.copy()
    values[0] += 1
    return data.assign({name: (data[name].dims, values, data[name].attrs)})


def test_what_is_out_of_date_is_said_to_be_and_not_used(path):
    ev = dxflow.open(path)
    ev.add("a", "signal * 2")
    ev.add("b", "a + 1")
    ev.add("c", "xgm * 2")
    ev.add("given", np.arange(len(ev.rows)))
    ev.save()
    saved.write(changed(dataset(), "signal"), path, "table", {}, overwrite=True)
    with pytest.warns(UserWarning, match="out of date") as said:
        ev = dxflow.open(path)
    texts = [str(one.message) for one in said]
    assert "'a', which was added to this table, is out of date: signal has other values now" in texts[0]
    assert "ev.add('a', 'signal * 2') makes it anew, ev.drop('a') removes it" in texts[0]
    assert "'b', which was added to this table, is out of date: a is out of date" in texts[1]
    assert set(ev.names) & set(ev.added) == {"c", "given"}
    with pytest.raises(KeyError, match="'a', which was added to this table, is out of date"):
        ev.column("a")
    with pytest.raises(KeyError, match="out of date"):
        ev.evaluate("b * 2")
    ev.add("a", "signal * 2")
    ev.drop("b")
    ev.save()
    assert set(quiet(path).added) == {"a", "c", "given"}


def test_other_rows_make_all_out_of_date(path):
    ev = dxflow.open(path)
    ev.add("given", np.arange(len(ev.rows)))
    ev.add("late", "delay + 1")
    ev.save()
    saved.write(dataset().isel(pulse=slice(1, None)), path, "table", {}, overwrite=True)
    with pytest.warns(UserWarning, match="'given'.*: the pulses of the table are others now") as said:
        ev = dxflow.open(path)
    # Data are no expression that could be given again.
    assert "ev.add('given', values) gives it anew, of these rows" in str(said[0].message)
    assert set(ev.names) & set(ev.added) == {"late"}
    saved.write(
        dataset().drop_vars("delay").assign(late=("train", np.ones(20))), path, "table", {}, overwrite=True
    )
    with pytest.warns(UserWarning, match="the table itself has a variable of this name now"):
        ev = dxflow.open(path)
    assert (ev.late.values == 1).all()
    ev.drop("late")
    assert (ev.late.values == 1).all()


def test_a_table_that_was_made_again_the_same_keeps_them(path):
    ev = dxflow.open(path)
    ev.add("a", "signal * 2")
    ev.save()
    saved.write(dataset(), path, "table", {"made": "again"}, overwrite=True)
    assert "a" in quiet(path).names


def test_damage_of_what_was_added_does_not_keep_the_table_from_being_opened(path):
    ev = dxflow.open(path)
    ev.add("a", "signal * 2")
    ev.save()
    (path.with_name("t.added.zarr") / "a" / "c.0").unlink()
    with pytest.warns(UserWarning, match=r"what was added to this table cannot be used: .*a/c\.0: missing"):
        ev = dxflow.open(path)
    assert "a" not in ev.names


def test_tables_of_lcls_and_results_and_runs_have_them_too(tmp_path):
    lclsfiles.write(tmp_path / "x_Run0001.h5", order=np.arange(60)[::-1])
    lclsfiles.write(tmp_path / "x_Run0002.h5", seconds=100)
    ev = dxflow.open(tmp_path / "x_Run0001.h5")
    ev.add("double", "ipm2.sum * 2")
    assert ev.save().name == "x_Run0001.h5.added.zarr"
    np.testing.assert_array_equal(quiet(tmp_path / "x_Run0001.h5").double.values, ev.data["ipm2.sum"] * 2)
    both = quiet(str(tmp_path / "x_Run*"))
    assert np.isnan(both.double.values[60:]).all()
    both.add("triple", "ipm2.sum * 3")
    with pytest.raises(ValueError, match=r"no place of its own: ev\.save\('name\.added\.zarr'\)"):
        both.save()
    both.save(tmp_path / "both.added.zarr")
    again = dxflow.open(str(tmp_path / "x_Run*.h5"))
    again.restore(tmp_path / "both.added.zarr")
    np.testing.assert_array_equal(again.triple.values, both.triple.values)
    with pytest.raises(ValueError, match="has what was added to a table"):
        dxflow.open(tmp_path / "both.added.zarr")
    with pytest.raises(ValueError, match=r"kept as name\.added\.zarr"):
        both.save(tmp_path / "both.zarr")


def test_the_same_is_added_to_the_same_values_of_any_origin(tmp_path):
    known = lclsfiles.write(tmp_path / "a.h5", order=np.random.default_rng(3).permutation(60))
    ev = dxflow.open(tmp_path / "a.h5")
    saved.write(ev.data, tmp_path / "a.zarr", "table", {})
    parts = [
        Table(dxflow.open(tmp_path / "a.zarr").data.isel(pulse=s).assign_attrs(run=n))
        for n, s in enumerate((slice(0, 25), slice(25, None)))
    ]
    tables = [ev, dxflow.open(tmp_path / "a.zarr"), dxflow.analysis.runs.join(parts)]
    for one in tables:
        one.select("good", "lightStatus.xray & evr.code_90 < 150")
        one.add("x", "where(good, ipm2.sum / scan.lxt)")
    for one in tables[1:]:
        np.testing.assert_array_equal(one.x.values, tables[0].x.values)
        np.testing.assert_array_equal(one.mask("good"), tables[0].mask("good"))
    good = known["xray"] & known["code_there"] & (known["code"] < 150)
    np.testing.assert_array_equal(tables[0].mask("good"), good)


def test_a_selection_in_an_expression_is_taken_as_it_is_then(path):
    ev, data = dxflow.open(path), dataset()
    ev.select("lively", "xgm > 800")
    ev.select("good", "lively", "photons > 3")
    ev.add("x", "where(good, signal)")
    assert ev.added["x"].expression == "where(xgm > 800 and photons > 3, signal)"
    before = ev.x.values.copy()
    ev.select("lively", "xgm > 100")
    ev.save()
    np.testing.assert_array_equal(quiet(path).x.values, before)
    np.testing.assert_array_equal(
        before, np.where((data.xgm > 800) & (data.photons > 3), data.signal, np.nan)
    )


def test_what_others_have_replaced_meanwhile_makes_out_of_date_what_was_made_of_it(path):
    one = dxflow.open(path)
    one.add("a", "signal * 2")
    one.save()
    other = dxflow.open(path)
    other.add("b", "a + 1")
    one.add("a", "signal * 3", replace=True)
    one.save()
    with pytest.warns(UserWarning, match="'b'.*: a has other values now|'a' was replaced by another"):
        other.save()
    with pytest.warns(UserWarning, match="'b'.*: a has other values now"):
        again = dxflow.open(path)
    assert set(again.names) & set(again.added) == {"a"}


def test_threads_that_save_at_the_same_time_lose_nothing(path):
    def work(name):
        ev = dxflow.open(path)
        ev.add(name, "xgm * 2")
        ev.save()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert set(quiet(path).added) == set("abcd")


def test_what_was_added_since_is_not_replaced_by_what_is_restored(path, tmp_path):
    ev = dxflow.open(path)
    ev.add("a", "signal * 2")
    ev.save(tmp_path / "own.added.zarr")
    ev = dxflow.open(path)
    ev.add("a", "signal * 5")
    with pytest.warns(UserWarning, match="another variable of this name was added since"):
        ev.restore(tmp_path / "own.added.zarr")
    np.testing.assert_array_equal(ev.a.values, dataset().signal * 5)


@pytest.mark.parametrize(
    "what", [None, dataset(), np.array([{}] * 141, object)], ids=["none", "dataset", "objects"]
)
def test_what_is_no_data_is_refused(what):
    ev = table()
    assert len(ev.rows) == 141
    with pytest.raises((TypeError, ValueError), match="x (is|holds)"):
        ev.add("x", what)
    with pytest.raises(TypeError, match="unit=3: expected a text"):
        ev.add("x", "xgm", unit=3)
    assert "x" not in ev.names


def test_one_that_another_process_replaced_is_that_one_with_a_warning(path):
    """Never the values of one expression under the text of another, read later or not."""
    data, one = dataset(), dxflow.open(path)
    one.add("v", "xgm + 1")
    one.add("u", "v + 1")
    one.add("n", np.arange(len(one.rows)))
    one.save()
    lazy, other = dxflow.open(path), dxflow.open(path)
    other.add("v", "xgm * 100", replace=True)
    other.add("v2", "v / 2")
    other.save()
    for ev in (one, lazy):
        ev.add("w", "xgm * 3", replace="w" in ev.added)
        with pytest.warns(UserWarning, match="was replaced by another process") as told:
            ev.save()
        said = [str(one.message) for one in told]
        assert len(said) == 2
        assert said[0].startswith("'v' was replaced by another process since this table was opened.")
        assert "It is now v = xgm * 100 (in " in said[0]
        assert said[1].startswith("'u' was replaced")
        np.testing.assert_array_equal(ev.v.values, data.xgm * 100)
        np.testing.assert_array_equal(ev.u.values, data.xgm * 100 + 1)
        np.testing.assert_array_equal(ev.n.values, np.arange(len(ev.rows)))
        assert str(ev.added["v"]).startswith("v = xgm * 100 (in ")
    assert set(quiet(path).added) == {"n", "v", "u", "v2", "w"}


def test_what_is_made_of_one_that_another_process_replaced_is_out_of_date(path):
    one = dxflow.open(path)
    one.add("v", "xgm + 1")
    one.save()
    other = dxflow.open(path)
    other.add("v", "xgm * 100", replace=True)
    other.save()
    one.add("w", "v + 1")
    with pytest.warns(UserWarning, match="'w'.*: v has other values now|'v' was replaced by another"):
        one.save()
    assert one.added["w"].stale
    assert "w" not in one.names
    with pytest.raises(KeyError, match=r"ev\.add\('w', 'v \+ 1'\) makes it anew"):
        one.column("w")
    one.add("w", "v + 1")
    one.save()
    np.testing.assert_array_equal(quiet(path).w.values, dataset().xgm * 100 + 1)


def test_one_that_another_process_dropped_is_in_memory_only_or_gone(path):
    one = dxflow.open(path)
    one.add("v", "xgm + 1")
    one.add("k", "xgm + 2")
    one.save()
    lazy = dxflow.open(path)
    dxflow.open(path).drop("v")
    lazy.add("w", "xgm * 3")
    with pytest.warns(UserWarning, match="'v' was removed from .* by another process, and is gone: ev.add"):
        lazy.save()
    assert list(lazy.added) == ["k", "w"]
    with pytest.warns(UserWarning, match="'v' was removed .* is in memory only: ev.save.. keeps it again"):
        one.save()
    np.testing.assert_array_equal(one.v.values, dataset().xgm + 1)
    assert set(quiet(path).added) == {"k", "w"}
    one.save()
    assert set(quiet(path).added) == {"k", "w", "v"}


def test_each_is_kept_behind_what_it_is_made_of(path):
    ev = dxflow.open(path)
    ev.add("r", np.arange(len(ev.rows)))
    ev.add("s", "r + 1")
    ev.save()
    ev.add("a", "xgm + 1")
    ev.add("r", "a * 2", replace=True)
    assert list(ev.added) == ["a", "r", "s"]
    ev.save()
    again = quiet(path)
    assert list(again.added) == ["a", "r", "s"]
    np.testing.assert_array_equal(again.s.values, (dataset().xgm + 1) * 2 + 1)


def test_what_is_made_of_one_that_is_replaced_is_made_anew_once(monkeypatch):
    ev = table()
    ev.add("v0", "xgm + 1")
    ev.add("v1", "v0 + 1")
    for n in range(2, 40):
        # Each is made of the two before it: as many ways lead to the first as there are rabbits.
        ev.add(f"v{n}", f"v{n - 1} + v{n - 2}")
    made, of = [], Additions._of_expression

    def counted(self, name, what):
        made.append(name)
        return of(self, name, what)

    monkeypatch.setattr(Additions, "_of_expression", counted)
    ev.add("v0", "xgm * 2", replace=True)
    assert made == [f"v{n}" for n in range(40)]
    np.testing.assert_array_equal(ev.v2.values, dataset().xgm * 4 + 1)


def test_if_one_cannot_be_made_anew_all_stay_as_they_were():
    ev, data = table(), dataset()
    ev.add("v", "xgm + 1")
    ev.add("w", "v + roi[0]")
    ev.add("u", "w + 1")
    with pytest.raises(ValueError, match="expected numbers"):
        ev.add("v", np.full(len(ev.rows), "a text"), replace=True)
    np.testing.assert_array_equal(ev.v.values, data.xgm + 1)
    np.testing.assert_array_equal(ev.w.values, data.xgm + 1 + data.roi[:, 0].astype("f8"))
    assert [str(one) for one in ev.added.values()] == [
        "v = xgm + 1 (in memory)",
        "w = v + roi[0] (in memory)",
        "u = w + 1 (in memory)",
    ]


def test_what_a_selection_is_made_of_is_not_dropped():
    ev = table()
    ev.add("v", "xgm + 1")
    ev.select("good", "v > 800", "signal > 0")
    with pytest.raises(
        ValueError, match=r"'v' is used by the selection good \(del ev.selections\['good'\]\)"
    ):
        ev.drop("v")
    assert ev["good"].mask.any()
    del ev.selections["good"]
    ev.drop("v")
    assert "v" not in ev.names


@pytest.mark.parametrize("change", ["save", "drop"])
def test_a_place_where_nothing_can_be_kept_is_told_at_once(path, tmp_path, change, monkeypatch):
    ev = dxflow.open(path)
    ev.add("v", "xgm + 1")
    with pytest.raises(
        FileNotFoundError, match="no: does not exist|folder .*/no does not exist; make it first"
    ):
        ev.save(tmp_path / "no" / "x.added.zarr")
    ev.save()

    def denied(*args, **options):
        raise PermissionError(13, "Permission denied")

    began = time.monotonic()
    monkeypatch.setattr(lock.Path, "mkdir", denied)
    with pytest.raises(PlanError, match="Permission denied; choose another place"):
        ev.save() if change == "save" else ev.drop("v")
    assert time.monotonic() - began < beside.PATIENCE / 2
