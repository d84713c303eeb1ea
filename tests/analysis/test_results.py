"""A result as a table: its frames are rows, and what has other rows is joined to them or kept apart."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow.analysis import Table
from dxflow.analysis.results import _Result
from dxflow.simulate import make_run


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    run = make_run(folder / "r0003", detector="AGIPD500K", trains=6, pulses=4, module_shape=(8, 8))
    return dxflow.reduce(run.path, [RoiSum(), Stats(), TrainSums()], folder / "r0003.zarr", cluster="here")


def test_frames_are_rows_and_trains_beside_them(stored):
    ev, data = dxflow.open(stored.path).table, stored.dataset
    assert isinstance(ev, Table)
    assert ev.path == stored.path
    np.testing.assert_array_equal(ev.rows.train_ids, data.train_id)
    np.testing.assert_array_equal(ev.rows.pulse_ids, data.pulse_id)
    assert not ev.data["roisum.intensity"].variable._in_memory
    np.testing.assert_array_equal(ev.column("roisum.intensity").values, data["roisum.intensity"])
    assert {n: ev.rate(n) for n in ("tsum.s", "tsum.row", "tsum.tot", "stats.mean")} == {
        "tsum.s": "train",
        "tsum.row": "pulse",
        "tsum.tot": "run",
        "stats.mean": "run",
    }
    of_train = data["tsum.s"].sel(train=data.train_id).values
    np.testing.assert_array_equal(ev.column("tsum.s", at="pulse").values, of_train)
    assert ev.data["tsum.ev"].dims == data["tsum.ev"].dims
    assert ev.data["roisum.intensity"].attrs["units"] == "adu"


def frames(pairs, prefix=""):
    """Labels of frames along an axis."""
    dim = prefix.rstrip("_") or "frame"
    train, pulse = np.array(pairs, np.uint64).T
    return {f"{prefix}train_id": (dim, train), f"{prefix}pulse_id": (dim, pulse)}


def test_frames_of_another_detector_are_joined_by_train_and_pulse():
    one = [(1, 0), (1, 4), (2, 0), (2, 4), (3, 8)]
    other = [(2, 4), (1, 4), (3, 0), (1, 2)]
    data = xr.Dataset(
        {
            "a.x": ("frame", np.arange(5.0)),
            "b.y": ("frame_2", np.arange(4.0) + 10),
            "b.n": ("frame_2", np.arange(4) + 1),
            "b.flag": ("frame_2", np.ones(4, bool)),
            "b.flag_valid": ("frame_2", np.array([True, False, True, True])),
            "b.spectrum": (("variant", "frame_2"), np.arange(8.0).reshape(2, 4)),
        },
        {**frames(one), **frames(other, "frame_2_"), "train": np.array([1, 2, 3], np.uint64)},
    )
    made = _Result(data)
    ev = Table(made.table())
    wanted = pd.DataFrame(one, columns=["t", "p"]).merge(
        pd.DataFrame(other, columns=["t", "p"]).assign(y=data["b.y"].values, n=data["b.n"].values),
        on=["t", "p"],
        how="left",
    )
    np.testing.assert_array_equal(ev.column("b.y").values, wanted.y)
    column = ev.column("b.n")
    np.testing.assert_array_equal(column.there, wanted.n.notna())
    np.testing.assert_array_equal(column.values, wanted.n.fillna(0))
    assert ev.column("b.flag").there.tolist() == [False, False, False, True, False]
    assert ev.data["b.spectrum"].dims == ("pulse", "variant")
    np.testing.assert_array_equal(ev.data["b.spectrum"].values[:, 1], wanted.y - 6)
    assert made.notes == ["2 of 4 rows along frame_2 have no row here and are left out"]


def test_devices_with_an_entry_per_train_are_values_of_trains():
    data = xr.Dataset(
        {"cam.x": ("entry", [5.0, 6.0]), "cam.n": ("entry", [5, 6]), "a.x": ("frame", np.arange(3.0))},
        {
            **frames([(1, 0), (2, 0), (3, 0)]),
            "entry_train_id": ("entry", np.array([3, 1], np.uint64)),
            "train": np.array([1, 2, 3], np.uint64),
        },
    )
    ev = Table(_Result(data).table())
    assert ev.rate("cam.x") == "train"
    np.testing.assert_array_equal(ev.column("cam.x").values, [6, np.nan, 5])
    assert ev.column("cam.n").there.tolist() == [True, False, True]
    alone = Table(_Result(data.drop_dims("frame").rename(entry_train_id="train_id")).table())
    assert len(alone.rows) == 0
    np.testing.assert_array_equal(alone.column("cam.x").values, [6, np.nan, 5])


def test_entries_without_pulses_are_numbered_and_rows_are_put_in_order():
    data = xr.Dataset(
        {"cam.x": ("entry", np.arange(4.0))}, {"train_id": ("entry", np.array([2, 2, 1, 1], np.uint64))}
    )
    ev = Table(_Result(data).table())
    assert ev.rows.pulse_ids.tolist() == [0, 1, 0, 1]
    assert ev.column("cam.x").values.tolist() == [2, 3, 0, 1]


def test_frames_without_pulse_ids_are_not_joined_to_those_with_the_same_numbers():
    number = np.array([0, 1], np.uint32)
    data = xr.Dataset(
        {"jungfrau.x": ("frame", [1.0, 2.0]), "agipd.x": ("frame_2", [3.0, 4.0])},
        {
            "train_id": ("frame", np.array([1, 1], np.uint64)),
            "entry_id": ("frame", number),
            **frames([(1, 0), (1, 1)], "frame_2_"),
        },
    )
    ev = Table(_Result(data).table())
    assert ev.data["agipd.x"].dims == ("frame_2",)
    assert ev.data["frame_2_pulse_id"].values.tolist() == [0, 1]


def test_two_rows_of_one_pulse_are_refused():
    data = xr.Dataset({"a.x": ("frame", [1.0, 2.0])}, frames([(1, 4), (1, 4)]))
    with pytest.raises(ValueError, match="two rows are of train 1 and pulse 4"):
        _Result(data).table()
