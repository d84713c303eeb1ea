"""Results: labelled and lazy, with losses, account, times and a report, as long as anyone refers to them."""

import gc

import numpy as np
import pytest
import xarray as xr
from samples import Bright, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Result


@pytest.fixture(scope="module")
def result(gappy):
    return dxflow.reduce(gappy.path, [TrainSums(), RoiSum(), Bright(above=4000)], cluster="here")


def test_the_dataset_has_names_labels_units_and_how_it_was_made(result, gappy):
    data = result.dataset
    assert isinstance(data, xr.Dataset)
    assert data["roisum.intensity"].attrs == {"units": "adu", "long_name": "sum of the band"}
    assert data["tsum.pix"].dims == ("module", "ss", "fs")
    assert data.module.values.tolist() == gappy.module_numbers.tolist()
    assert data.train.values.tolist() == gappy.train_ids.tolist()
    assert data.pulse_id.values.tolist() == gappy.pulse_ids.tolist()
    assert data.cell_id.values.tolist() == gappy.cell_ids.tolist()
    assert data.attrs["run"] == gappy.path
    assert '"ss": [0, 512]' in data.attrs["roisum.options"]


def test_events_have_their_train_and_counts(result):
    data = result.dataset
    rows, trains = data["tsum.ev"].values, data["tsum.ev_train_id"].values
    assert rows[:, 0].tolist() == trains.tolist()
    assert data["tsum.ev_count"].sum() == len(rows)


def test_losses_and_account_are_tables(result):
    assert set(result.losses.cause) == {"missing frames", "missing trains"}
    account = result.account
    masked = account.drop(columns=["input", "module", "expected", "used", "there"]).sum(axis=1)
    assert (account.expected == account.used + masked).all()


def test_times_say_where_they_went(result):
    times = result.times
    assert times["wall"] > 0
    assert set(times["sum"]) >= {"read", "wait", "compute", "write"}
    assert times["bytes"] == result.account["used"].sum() * 8 * 8 * 4
    assert any(word in times["bound"] for word in ("bounded by", "nothing"))


def test_report_and_representations_name_losses_and_the_place(result):
    report = result.report()
    assert report.partition("\nlost     ")[2].splitlines() == [
        "train 10004: missing trains: in no file of the run, in 1 gaps",
        "         SPB_DET_AGIPD500K2G, 3 trains in 10003-10010: missing trains: no image.data in them",
        "         module 2 (CORR-R0001-AGIPD02-S00000.h5), 2 trains in 10001-10005: missing frames, 9 frames: "
        "the other modules have them",
        "         module 5 (CORR-R0001-AGIPD05-S00001.h5), train 10008: missing frames, 6 frames: "
        "the other modules have them",
    ]
    assert str(result.path) in repr(result)
    assert report in str(result)
    html = result._repr_html_()
    assert "missing frames" in html
    assert "roisum.intensity" in html


def test_a_result_without_losses_says_so(run):
    report = dxflow.reduce(run.path, RoiSum(), cluster="here").report()
    assert "lost     nothing" in report


def test_a_selecting_result_selects_and_another_says_that_it_does_not(result, run):
    assert result.selection().dtype == bool
    with pytest.raises(TypeError, match="selects no frames; it holds"):
        dxflow.reduce(run.path, Stats(), cluster="here").selection()


def test_values_of_an_unnamed_result_are_there_as_long_as_anything_refers_to_them(run):
    array = dxflow.reduce(run.path, RoiSum(), cluster="here").dataset["roisum.intensity"]
    kept = dxflow.reduce(run.path, RoiSum(), cluster="here")
    gc.collect()
    np.testing.assert_array_equal(array.values, kept.dataset["roisum.intensity"].values)
    assert np.isfinite(array.values).all()


def test_the_files_of_an_unnamed_result_go_with_it(run):
    result = dxflow.reduce(run.path, RoiSum(), cluster="here")
    folder = result.path.parent
    assert folder.exists()
    del result
    gc.collect()
    assert not folder.exists()


def test_a_result_on_disk_is_opened_by_its_path(run, tmp_path):
    made = dxflow.reduce(run.path, RoiSum(), tmp_path / "r.zarr", cluster="here")
    opened = Result(tmp_path / "r.zarr")
    xr.testing.assert_identical(opened.dataset.load(), made.dataset.load())
    assert opened.report() == made.report()
