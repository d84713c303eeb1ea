"""Trains keep the times, flags and numbers of the run they come from."""

import dataclasses

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from samples import RoiSum

import dxflow
from dxflow.simulate import make_run
from dxflow.stores.origin import origin


@pytest.mark.parametrize("version", ["0.5", "1.0", "1.1", "1.3"])
def test_times_and_flags_are_those_of_the_run_in_any_version(tmp_path, version):
    make_run(tmp_path / "r", version=version, detector="AGIPD500K", module_shape=(8, 8), trains=4, pulses=2)
    found = origin(dxflow.plan(str(tmp_path / "r"), RoiSum(ss=(0, 4)), cluster="here"))
    times = RunDirectory(tmp_path / "r").train_timestamps()
    assert found.timestamps.tolist() == (times.astype(int) * ~np.isnat(times)).tolist()
    assert found.flags.tolist() == [1] * 4
    assert (found.proposal, found.run) == ((0, 1) if version == "0.5" else (900000, 1))


def test_a_train_that_no_file_knows_has_no_time(run):
    plan = dxflow.plan(run.path, RoiSum(ss=(0, 4)), cluster="here")
    more = dataclasses.replace(plan, train_ids=np.append(plan.train_ids, np.uint64(99999)))
    found = origin(more)
    assert found.timestamps[-1] == 0
    assert found.timestamps[:-1].all()


def test_files_that_are_not_of_the_facility_are_no_trouble(tmp_path):
    made = make_run(tmp_path / "r", detector="AGIPD500K", module_shape=(8, 8), trains=4, pulses=2)
    plan = dxflow.plan(made.path, RoiSum(ss=(0, 4)), cluster="here")
    with h5py.File(tmp_path / "r" / "zz.h5", "w") as file:
        file["x"] = 1
    assert origin(dataclasses.replace(plan, train_ids=plan.train_ids + np.uint64(1))).timestamps[-1] == 0


FILE = "CORR-R0001-AGIPD00-S00000.h5"


def _exchange(file):
    file.move("INDEX/timestamp", "kept")
    file.move("METADATA/dataFormatVersion", "INDEX/timestamp")
    file.move("kept", "METADATA/dataFormatVersion")


def _floats(file):
    values = file["INDEX/timestamp"][()]
    del file["INDEX/timestamp"]
    file["INDEX/timestamp"] = values.astype("f8")


def _elsewhere(file):
    del file["INDEX/timestamp"]
    file["INDEX/timestamp"] = h5py.ExternalLink("/etc/passwd", "/x")


def _short(file):
    values = file["INDEX/timestamp"][()]
    del file["INDEX/timestamp"]
    file["INDEX/timestamp"] = values[:1]


@pytest.mark.parametrize("spoil", [_exchange, _floats, _elsewhere, _short])
def test_a_file_that_is_not_as_it_should_be_costs_no_result_and_gives_no_times(tmp_path, spoil):
    options = {"detector": "AGIPD500K", "module_shape": (8, 8), "trains": 4, "pulses": 2, "sequences": 1}
    made = make_run(tmp_path / "r", **options)
    plan = dxflow.plan(made.path, RoiSum(ss=(0, 4)), cluster="here", quiet=True)
    expected = origin(plan).timestamps
    with h5py.File(tmp_path / "r" / FILE, "r+") as file:
        spoil(file)
    # Another file says the same of these trains.
    assert origin(plan).timestamps.tolist() == expected.tolist()
    result = dxflow.reduce(made.path, RoiSum(ss=(0, 4)), cluster="here", quiet=True, on_fault="mask")
    assert result.dataset.time.values.astype("i8").tolist() == expected.tolist()
