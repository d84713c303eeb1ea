"""Small-data files of LCLS, written by h5py alone, are tables: each event once, in order of time, gaps said."""

import pickle

import h5py
import lclsfiles
import numpy as np
import pandas as pd
import pytest

import dxflow
from dxflow.analysis import Table, smalldata


@pytest.fixture(params=["lcls1", "lcls2"])
def layout(request):
    return request.param


def some(ev, name, row):
    """The values of a row that has several."""
    data, base = ev.data, name.rpartition(".")[0] if ".var_" in name else name
    first, count = int(data[f"{base}_offset"][row]), int(data[f"{base}_len"][row])
    return data[name][first : first + count].values


def test_events_are_rows_in_order_of_time_whatever_their_order_in_the_file(layout, tmp_path):
    order = np.random.default_rng(1).permutation(60)
    known = lclsfiles.write(tmp_path / "xpp_Run0012.h5", layout, order=order)
    ev = dxflow.open(tmp_path / "xpp_Run0012.h5")
    assert isinstance(ev, Table)
    np.testing.assert_array_equal(ev.rows.train_ids, known["stamps"])
    np.testing.assert_array_equal(ev.rows.pulse_ids, known["fiducials"] if layout == "lcls1" else 0)
    np.testing.assert_array_equal(ev.column("ipm2.sum").values, known["sum"])
    np.testing.assert_array_equal(ev.column("ipm2.sum").there, ~np.isnan(known["sum"]))
    np.testing.assert_array_equal(ev.data["epix.spectrum"].values, known["spectrum"])
    np.testing.assert_array_equal(
        ev.data["epix.spectrum"][7:50:4, 1:3].values, known["spectrum"][7:50:4, 1:3]
    )
    np.testing.assert_array_equal(ev.data["epix.spectrum"][9].values, known["spectrum"][9])
    assert ev.column("epicsUser.state").values[:3].tolist() == ["MOVING", "ON", "MOVING"]
    assert ev.data.attrs["run"] == 12
    assert ev.data.attrs["rows"] == "events"
    first = {"lcls1": "2017-07-14T02:40:00", "lcls2": "2020-12-13T02:03:20"}[layout]
    assert ev.data.time.values[0] == np.datetime64(first)


def test_missing_integers_are_missing_and_flags_are_booleans(layout, tmp_path):
    known = lclsfiles.write(tmp_path / "a.h5", layout)
    ev = dxflow.open(tmp_path / "a.h5")
    code, laser = ev.column("evr.code_90"), ev.column("lightStatus.laser")
    np.testing.assert_array_equal(code.there, known["code_there"])
    np.testing.assert_array_equal(code.values, np.where(known["code_there"], known["code"], 0))
    assert laser.values.dtype == bool
    np.testing.assert_array_equal(laser.there, known["number"] != 4)
    np.testing.assert_array_equal(laser.values, known["laser"] & laser.there)
    expected = known["xray"] & (known["sum"] > 1) & known["code_there"] & (known["code"] < 100)
    np.testing.assert_array_equal(ev.mask("lightStatus.xray & ipm2.sum > 1 & evr.code_90 < 100"), expected)


@pytest.mark.parametrize("kind", ["i4", "i8", "u4", "u8"])
def test_the_missing_integer_of_each_type_is_known(kind, tmp_path):
    path = tmp_path / "a.h5"
    values = np.array([3, lclsfiles.MISSING, 0], "i8").astype(kind)
    with h5py.File(path, "w") as f:
        f["timestamp"], f["x"] = np.arange(1, 4, dtype="u8"), values
    column = dxflow.open(path).column("x")
    assert column.there.tolist() == [True, False, True]
    assert column.values.tolist() == [3, 0, 0]
    assert column.values.dtype == kind


def test_small_integers_have_no_missing_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["timestamp"], f["x"] = np.arange(1, 4, dtype="u8"), np.array([97, 1, 2], "u1")
    assert dxflow.open(tmp_path / "a.h5").column("x").there.all()


def test_several_values_per_event_are_those_of_their_event(layout, tmp_path):
    order = np.random.default_rng(2).permutation(60)
    lclsfiles.write(tmp_path / "a.h5", layout, order=order)
    ev = dxflow.open(tmp_path / "a.h5")
    for n in (0, 1, 2, 31, 59):
        assert some(ev, "epix.var_drop.adu", n).tolist() == [10.0 * n] * (n % 3)
        assert some(ev, "epix.ragged_phot", n).tolist() == [n] * (n % 4)
    assert ev.rate("epix.var_drop.adu") == "run"
    assert float(ev.data["epix.ragged_phot"].sum()) == sum(n * (n % 4) for n in range(60))
    assert ev.data["epix.ragged_phot"][4].item() == ev.data["epix.ragged_phot"].values[4]


def test_what_is_of_the_run_has_no_rows_whatever_its_length(layout, tmp_path):
    lclsfiles.write(tmp_path / "a.h5", layout)
    ev = dxflow.open(tmp_path / "a.h5")
    assert ev.rate("UserDataCfg.epix.ped") == "run"
    assert ev.rate("Sums.epix_calib") == "run"
    assert ev.data["Sums.epix_calib"].shape == (3, 4)
    assert float(ev.data["epicsOnce.photon_energy"]) == 9.5
    assert ev.data["UserDataCfg.epix.name"].item() == "epix_1"
    assert (ev.column("epicsOnce.photon_energy", at="pulse").values == 9.5).all()


def test_rows_of_one_time_are_said_and_the_first_is_used(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["timestamp"], f["x"] = np.array([5, 3, 5, 4], "u8"), np.array([1.0, 2.0, 3.0, 4.0])
    with pytest.warns(UserWarning, match="1 rows have the time of another one; the first of each is used"):
        ev = dxflow.open(tmp_path / "a.h5")
    assert ev.rows.train_ids.tolist() == [3, 4, 5]
    assert ev.column("x").values.tolist() == [2.0, 4.0, 1.0]


def test_values_in_other_files_are_read_and_missed_if_these_are_gone(tmp_path):
    parts = []
    for n in range(2):
        parts.append(tmp_path / f"a_part{n}.h5")
        with h5py.File(parts[-1], "w") as f:
            f["timestamp"], f["x"] = np.arange(3, dtype="u8") * 2 + n + 1, np.arange(3.0) + 10 * n
    with h5py.File(tmp_path / "a.h5", "w") as f:
        for name, dtype in (("timestamp", "u8"), ("x", "f8")):
            whole = h5py.VirtualLayout((6,), dtype)
            for n, part in enumerate(parts):
                whole[3 * n : 3 * n + 3] = h5py.VirtualSource(part.name, name, (3,))
            f.create_virtual_dataset(name, whole, fillvalue=-1)
    ev = dxflow.open(tmp_path / "a.h5")
    assert ev.column("x").values.tolist() == [0, 10, 1, 11, 2, 12]
    parts[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"a_part1\.h5, which have its values, are not beside it"):
        dxflow.open(tmp_path / "a.h5")


def test_what_is_no_small_data_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["entry/data"] = [1, 2]
    with pytest.raises(ValueError, match="no small-data file: it has neither event_time.* It holds entry"):
        dxflow.open(tmp_path / "a.h5")
    (tmp_path / "b.xtc2").touch()
    with pytest.raises(ValueError, match="raw data of LCLS, which are not read"):
        dxflow.open(tmp_path / "b.xtc2")
    (tmp_path / "c.h5").write_bytes(b"no HDF5")
    with pytest.raises(OSError, match=r"c\.h5"):
        dxflow.open(tmp_path / "c.h5")


def test_lengths_that_do_not_fit_are_damage(tmp_path):
    lclsfiles.write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as f:
        f["epix/var_drop_len"][3] = 9
    with pytest.raises(OSError, match="epix/var_drop/adu has 60 values, epix/var_drop_len says"):
        dxflow.open(tmp_path / "a.h5")


def test_a_file_that_is_cut_short_is_said_to_be(tmp_path):
    lclsfiles.write(tmp_path / "a.h5")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"a\.h5"):
        dxflow.open(tmp_path / "a.h5")


def test_a_group_by_of_pandas_says_the_same(layout, tmp_path):
    known = lclsfiles.write(tmp_path / "a.h5", layout, order=np.arange(60)[::-1])
    ev = dxflow.open(tmp_path / "a.h5")
    frame = pd.DataFrame({k: known[k] for k in ("sum", "delay", "laser")})
    expected = frame.groupby(["delay", "laser"])["sum"].mean()
    found = ev.data[["ipm2.sum", "scan.lxt", "lightStatus.laser"]].to_dataframe()
    found = (
        found[["ipm2.sum", "scan.lxt"]]
        .assign(laser=known["laser"])
        .groupby(["scan.lxt", "laser"])["ipm2.sum"]
        .mean()
    )
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=0)


def test_nothing_is_read_before_it_is_used(tmp_path):
    lclsfiles.write(tmp_path / "a.h5")
    data = smalldata.read(tmp_path / "a.h5")
    assert not data["ipm2.sum"].variable._in_memory
    assert not data["epix.spectrum"].variable._in_memory


def test_names_that_would_be_the_same_are_told_apart(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["timestamp"], f["a/b"], f["a.b"] = np.arange(1, 3, dtype="u8"), [1.0, 2.0], [3.0, 4.0]
        f["a/b"].dims[0].label = "a.b"
    ev = dxflow.open(tmp_path / "a.h5")
    assert {name: ev.column(name).values.tolist() for name in ev.names} == {"a.b": [1, 2], "a.b_": [3, 4]}


def test_what_is_left_out_is_said_and_events_may_be_none(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["timestamp"], f["x/y"], f["n"] = np.zeros(0, "u8"), np.zeros((0, 3)), np.zeros(0, "i8")
        f["record"] = np.zeros(2, [("a", "f4")])
    ev = dxflow.open(tmp_path / "a.h5")
    assert repr(ev).splitlines()[-1] == "left out, neither numbers nor texts: record"
    assert ev.mask("n > 3").shape == (0,)


def test_what_is_not_read_yet_may_be_sent_to_other_processes(tmp_path):
    known = lclsfiles.write(tmp_path / "a.h5", order=np.arange(60)[::-1])
    data = pickle.loads(pickle.dumps(dxflow.open([tmp_path / "a.h5"]).data))
    assert not data["ipm2.sum"].variable._in_memory
    np.testing.assert_array_equal(data["ipm2.sum"], known["sum"])
