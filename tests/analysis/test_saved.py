"""Datasets saved and read: the same values, complete or absent, and nothing of others replaced."""

import json
import os
import threading
import time

import numpy as np
import pytest
import xarray as xr
from smalltables import dataset

import dxflow
from dxflow.analysis import saved
from dxflow.disk.manifest import Damage


def odd():
    """A dataset of all kinds of values and names that a table may have."""
    data = dataset()
    data["SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD"] = ("train", np.arange(20, dtype="u2"))
    data[".hidden"] = ((), np.array("a text"))
    data["zarr.json"] = data.xgm > 800
    data["100%/µ"] = ("train", np.arange(20) * 1j)
    data["objects"] = ("train", np.array(["a", "bcd"] * 10, object))
    data["nothing"] = (("none", "axis"), np.zeros((0, 3), "f4"))
    data["when"] = ("axis", np.array(["2026-11-22", "NaT", "2000-01-01"], "M8[ns]"))
    data["xgm"].attrs |= {"edges": np.arange(3), "one": np.float32(1), "_FillValue": 800}
    return data.assign_coords({"a label": ("train", np.arange(20))})


def test_what_was_saved_is_read_lazily_and_the_same(tmp_path):
    data, to = odd(), tmp_path / "t.zarr"
    assert saved.write(data, to, "table", {"run": 3}) == to
    found = saved.read(to)
    assert not found.xgm.variable._in_memory
    assert found.xgm.attrs.pop("edges") == [0, 1, 2]
    del data.xgm.attrs["edges"], data.xgm.attrs["_FillValue"]
    xr.testing.assert_identical(found.load(), data.assign(objects=data.objects.astype("U3")))
    assert os.listdir(tmp_path) == ["t.zarr"]
    assert dxflow.verify(to) == []


def test_xarray_alone_reads_it(tmp_path):
    saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    found = xr.open_zarr(tmp_path / "t.zarr")
    xr.testing.assert_equal(found.load(), dataset())
    assert found.xgm.attrs["units"] == "uJ"


def test_large_variables_are_written_in_parts_from_lazy_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "CHUNK_BYTES", 200)
    monkeypatch.setattr(saved, "SHARD_BYTES", 1000)
    data = dataset()
    saved.write(data, tmp_path / "a.zarr", "table", {})
    saved.write(saved.read(tmp_path / "a.zarr"), tmp_path / "b.zarr", "table", {})
    xr.testing.assert_identical(saved.read(tmp_path / "b.zarr").load(), data)
    assert len(list((tmp_path / "b.zarr" / "xgm").iterdir())) > 2


def test_what_is_there_is_replaced_only_when_asked_and_if_dxflow_made_it(tmp_path):
    to = tmp_path / "t.zarr"
    saved.write(dataset(seed=1), to, "table", {})
    with pytest.raises(FileExistsError, match="exists: choose another name, or overwrite=True"):
        saved.write(dataset(), to, "table", {})
    saved.write(dataset(), to, "table", {}, overwrite=True)
    xr.testing.assert_identical(saved.read(to).load(), dataset())
    with pytest.raises(FileExistsError, match="which is read"):
        saved.write(saved.read(to), to, "table", {}, overwrite=True)
    (to / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"also holds notes\.txt"):
        saved.write(dataset(), to, "table", {}, overwrite=True)
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "x").write_text("mine")
    with pytest.raises(FileExistsError, match="dxflow did not make"):
        saved.write(dataset(), tmp_path / "other.zarr", "table", {}, overwrite=True)
    with pytest.raises(ValueError, match="would lie in"):
        saved.write(dataset(), to / "x.zarr", "table", {})
    assert sorted(os.listdir(tmp_path)) == ["other.zarr", "t.zarr"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (dataset().assign(bad=("train", np.array([{}] * 20, object))), "bad holds objects"),
        (dataset().assign(bad=("train", np.zeros(20, "m8[s]"))), "bad is timedelta64"),
        (dataset().assign({3: ((), 1.0)}), "a variable is called 3"),
        (dataset().assign({"x" * 300: ((), 1.0)}), "is too long for a name"),
        (dataset().assign(bad=((), 1.0, {"f": print})), "bad: an attribute cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_left(tmp_path, data, why):
    with pytest.raises(ValueError, match=why):
        saved.write(data, tmp_path / "t.zarr", "table", {})
    assert os.listdir(tmp_path) == []


def test_no_folder_and_no_format_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
        saved.write(dataset(), tmp_path / "no" / "t.zarr", "table", {})
    for name in ("t.csv", "t.nc", "t.h5"):
        with pytest.raises(ValueError, match=r"a table is written as name\.zarr"):
            saved.write(dataset(), tmp_path / name, "table", {})
    with pytest.raises(ValueError, match=r"a cube is written as name\.zarr or name\.nc or name\.h5"):
        saved.write(dataset(), tmp_path / "t.csv", "cube", {})


def test_what_a_dead_process_left_is_said_and_goes(tmp_path):
    left = tmp_path / ".t.zarr.0123abcd.part"
    (left / "store").mkdir(parents=True)
    os.utime(left, (0, 0))
    new = tmp_path / ".t.zarr.0123abce.part"
    new.mkdir()
    with pytest.raises(FileNotFoundError, match="it was not finished; make it again"):
        dxflow.open(tmp_path / "t.zarr")
    saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    assert sorted(os.listdir(tmp_path)) == [new.name, "t.zarr"]


def test_of_two_that_write_one_name_at_a_time_one_wins_and_what_is_there_is_whole(tmp_path):
    to, failed = tmp_path / "t.zarr", []

    def write(seed):
        try:
            saved.write(dataset(seed=seed), to, "table", {"seed": seed})
        except FileExistsError as e:
            failed.append(str(e))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(failed) == 1
    seed = json.loads((to / "dxflow.json").read_text())["about"]["seed"]
    xr.testing.assert_identical(saved.read(to).load(), dataset(seed=seed))
    assert os.listdir(tmp_path) == ["t.zarr"]


def test_damage_is_found_and_named(tmp_path):
    to = tmp_path / "t.zarr"
    saved.write(dataset(), to, "table", {})
    file = to / "xgm" / "c.0"
    good = file.read_bytes()
    file.write_bytes(good[:20] + bytes([good[20] ^ 1]) + good[21:])
    with pytest.raises(Damage, match=r"xgm/c\.0"):
        saved.read(to).xgm.load()
    assert "xgm/c.0" in dxflow.verify(to)[0]
    file.write_bytes(good[:-1])
    with pytest.raises(Damage, match=r"xgm/c\.0"):
        dxflow.open(to)


def test_a_million_rows_are_there_at_once(tmp_path):
    rows = 2**20
    data = xr.Dataset({f"v{n}": ("pulse", np.arange(rows) * 1.0) for n in range(6)})
    saved.write(data, tmp_path / "t.zarr", "table", {})
    began = time.process_time()
    found = saved.read(tmp_path / "t.zarr")
    assert time.process_time() - began < 0.5
    assert found.v3[-1] == rows - 1


@pytest.mark.parametrize("name", ["c.nc", "c.h5"])
def test_cubes_are_saved_as_netcdf_too(name, tmp_path):
    data, to = odd().drop_vars(["100%/µ", "nothing"]), tmp_path / name
    data.attrs |= {"of": ["a", "b"], "nested": {"a": [1, None]}, "none": []}
    saved.write(data, to, "cube", {"run": 3})
    found = saved.read(to)
    assert dxflow.verify(to) == []
    assert found.attrs == data.attrs
    for one in data.variables:
        np.testing.assert_array_equal(found[one].values, data[one].values, one)
        assert found[one].dtype == data[one].dtype or data[one].dtype.kind in "OU"
        assert found[one].dims == data[one].dims
    assert set(found.coords) == set(data.coords)
    assert found.xgm.attrs["units"] == "uJ"
    alone = xr.open_dataset(to, engine="h5netcdf")
    np.testing.assert_array_equal(alone.xgm, data.xgm)
    assert (alone.state == data.state).all()
    np.testing.assert_array_equal(alone.time, data.time)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        saved.write(data, to, "cube", {})
    saved.write(data.isel(pulse=[1]), to, "cube", {}, overwrite=True)
    assert saved.read(to).sizes["pulse"] == 1
    assert os.listdir(tmp_path) == [name]


def test_netcdf_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="is complex128, which netCDF does not have"):
        saved.write(odd(), tmp_path / "c.nc", "cube", {})
    assert os.listdir(tmp_path) == []
