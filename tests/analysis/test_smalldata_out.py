"""Tables in the layout of LCLS: what is read again is the same, and SmallDataAna finds what it looks for."""

import h5py
import numpy as np
import pytest
import smalltables
import xarray as xr

import dxflow
from dxflow.analysis import Table, saved, smalldata_out


@pytest.fixture(scope="module")
def data():
    made = smalltables.dataset()
    rows, trains = made.sizes["pulse"], made.sizes["train"]
    made["cam.com"] = ("pulse", "five"), np.arange(rows * 5.0).reshape(rows, 5)
    made["pumped"] = "pulse", np.arange(rows) % 2 == 0
    made["pumped_valid"] = "pulse", np.arange(rows) % 3 > 0
    made["stage.x"] = "train", np.repeat(np.arange(trains), 2)[:trains] * 0.5
    made["bits"] = "train", np.arange(trains, dtype="u2")
    made["bits_valid"] = "train", np.arange(trains) != 1
    made["state"] = "train", np.array(["ON", "µ"] * trains)[:trains]
    made["scan.me"] = (), 4
    made["sum.image"] = ("module", "y", "x"), np.ones((2, 3, 4)), {"detector": "A"}
    return made.assign_attrs(scan="stage.x", rows="pulses", title="a trial")


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    about = {"losses": [{"cause": "one", "detail": "x" * 100_000}]}
    return smalldata_out.write(data, tmp_path_factory.mktemp("lcls") / "t.h5", about)


def test_what_is_read_again_is_the_same(data, path):
    ev, old = dxflow.open(path), Table(data)
    np.testing.assert_array_equal(ev.rows.train_ids, old.rows.train_ids)
    np.testing.assert_array_equal(ev.rows.pulse_ids, old.rows.pulse_ids)
    for name in old.names:
        at = None if old.rate(name) == "run" else "pulse"
        one, other = ev.column(name), old.column(name, at)
        there = other.there
        np.testing.assert_array_equal(one.there, there, name)
        np.testing.assert_array_equal(one.values[there], other.values[there], name)
        assert (one.values.dtype == bool) == (other.values.dtype == bool)
        assert ev.data[name].attrs.get("units") == data[name].attrs.get("units")
    assert ev.about["losses"][0]["cause"] == "one"
    attrs = {"rows": "pulses", "title": "a trial", "scan": "stage.x"}
    assert {name: ev.data.attrs[name] for name in attrs} == attrs
    np.testing.assert_array_equal(ev.mask("pumped"), old.mask("pumped"))


def test_ids_flags_and_fill_values_are_those_of_lcls(data, path):
    with h5py.File(path) as file:
        rows = data.sizes["pulse"]
        seconds, rest = file["event_time"][()] >> 32, file["event_time"][()] & 0xFFFFFFFF
        stamps = seconds * 10**9 + rest
        assert (np.diff(stamps) > 0).all()
        of = np.searchsorted(data.train, data.train_id)
        late = stamps - data.time.values[of].astype("M8[ns]").astype("i8")
        np.testing.assert_allclose(late, data.pulse_id * 221.538, atol=1)
        assert file["fiducials"].shape == (rows,)
        laser = np.where(data.pumped_valid, data.pumped, -99999)
        np.testing.assert_array_equal(file["lightStatus/laser"], laser)
        assert (file["lightStatus/xray"][()] == 1).all()
        assert (file["bits"][()] == -99999).sum() == (of == 1).sum()
        np.testing.assert_array_equal(file["scan/stage_x"], data["stage.x"][of])
        np.testing.assert_array_equal(file["scan/varStep"], of // 2)
        np.testing.assert_array_equal(file["damage/pumped"], data.pumped_valid)
        assert file["UserDataCfg/scan/me"][()] == 4
        assert file["Sums/sum_image"].shape == (2, 3, 4)


def as_smalldataana_does(file):
    """Return the fields that SmallDataAna loads when it opens a file; it fails where shapes are not as it thinks."""
    events = file["event_time"].shape[0]
    out = {}
    for name, node in file.items():
        if isinstance(node, h5py.Dataset):
            assert node.shape == (events,), name
            out[name] = node[()]
            continue
        for leaf, data in node.items():
            if isinstance(data, h5py.Group):
                assert all(isinstance(one, h5py.Dataset) for one in data.values()), (name, leaf)
            elif data.shape[0] == events and len(data.shape) <= 2:
                assert "com" not in leaf or data.shape[1:] in ((), (1,), (2,))
                dims = ["time", f"dim_{name}_{leaf}"][: data.ndim]
                out[f"{name}__{leaf}"] = xr.DataArray(data[()], dims=dims)
    return xr.Dataset({k: v if hasattr(v, "dims") else ("time", v) for k, v in out.items()})


def test_times_are_nanoseconds_and_missing_where_there_are_none(data, tmp_path):
    times = data["time"].values.astype("M8[ms]")
    times[3] = np.datetime64("NaT")
    path = smalldata_out.write(data.assign(moved=("train", times)), tmp_path / "t.h5", {})
    found, of = dxflow.open(path).column("moved"), Table(data).rows.of_train
    np.testing.assert_array_equal(found.there, of != 3)
    wanted = times.astype("M8[ns]").astype("i8")[of]
    np.testing.assert_array_equal(found.values[found.there], wanted[found.there])


def test_smalldataana_opens_it(data, path):
    with h5py.File(path) as file:
        found = as_smalldataana_does(file)
        assert file["cam/com/values"].shape == (data.sizes["pulse"], 5)
    assert {"event_time", "fiducials", "pumped", "stage__x", "lightStatus__laser", "scan__varStep"} <= set(
        found
    )


def test_only_what_dxflow_made_is_replaced(data, path, tmp_path):
    with pytest.raises(FileExistsError, match="overwrite"):
        smalldata_out.write(data, path, {})
    smalldata_out.write(data, path, {"losses": [{"cause": "one"}]}, overwrite=True)
    (tmp_path / "mine.h5").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="dxflow did not make"):
        smalldata_out.write(data, tmp_path / "mine.h5", {}, overwrite=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        smalldata_out.write(data, tmp_path / "no" / "t.h5", {})
    assert [p.name for p in tmp_path.iterdir()] == ["mine.h5"]


def test_what_appears_while_it_is_written_is_not_replaced(data, tmp_path, monkeypatch):
    close = smalldata_out.Sink.close

    def closed(sink):
        sink.path.write_bytes(b"mine")
        return close(sink)

    monkeypatch.setattr(smalldata_out.Sink, "close", closed)
    with pytest.raises(FileExistsError, match="dxflow did not make"):
        smalldata_out.write(data, tmp_path / "t.h5", {}, overwrite=True)
    assert (tmp_path / "t.h5").read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5"]


@pytest.mark.parametrize("name", ["RAW-R0001-DA01-S00000.h5", "CORR-R0001-AGIPD00-S00000.h5"])
def test_nothing_is_written_beside_the_files_of_a_run_or_inside_a_result(data, tmp_path, name):
    """A file there would be taken for one of the run."""
    (tmp_path / "r0001").mkdir()
    (tmp_path / "r0001" / name).touch()
    for to in ("t.h5", "t.zarr"):
        with pytest.raises(
            ValueError, match=r"would lie in the run directory .*r0001, .*choose another folder"
        ):
            (smalldata_out if to == "t.h5" else saved).write(
                data, tmp_path / "r0001" / to, *(["table"] if to == "t.zarr" else []), {}
            )
    inside = saved.write(data[["bits"]], tmp_path / "made.zarr", "table", {}) / "t.h5"
    with pytest.raises(ValueError, match=r"would lie in .*made\.zarr, which is a result"):
        smalldata_out.write(data, inside, {})
    assert [p.name for p in (tmp_path / "r0001").iterdir()] == [name]


def test_a_disk_that_fills_leaves_nothing(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smalldata_out.Sink, "append", full)
    with pytest.raises(OSError, match="No space left"):
        smalldata_out.write(data, tmp_path / "t.h5", {})
    assert list(tmp_path.iterdir()) == []


def test_values_of_trains_alone_are_events_too(data, tmp_path):
    trains = data.drop_dims("pulse")
    ev = dxflow.open(smalldata_out.write(trains, tmp_path / "t.h5", {}))
    np.testing.assert_array_equal(ev.rows.train_ids, data.train)
    np.testing.assert_array_equal(ev.column("stage.x").values, data["stage.x"])
