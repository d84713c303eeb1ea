"""A copy neither writes into files that the original refers to, nor reads from any, nor lacks what lies there."""

import hashlib
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import dxflow
from dxflow import PlanError

NAME = "INSTRUMENT/SPB_DET_AGIPD1M-1/CORR/0CH0:output/image/data"
FILE = "CORR-R0001-AGIPD00-S00000.h5"
SELECTIONS = {"whole": {}, "trains": {"trains": [10003, 10004]}, "sources": {"sources": "*DET*"}}


@pytest.fixture(scope="module")
def small(made):
    return made(trains=4, pulses=2, modules=2, module_shape=(8, 8), sequences=1, devices=("xgm",))


@pytest.fixture
def moved(small, tmp_path):
    """Return a function that moves a dataset of the run into another file; and the digests of all files then."""
    run = tmp_path / "run"
    shutil.copytree(small.path, run)

    def move(how):
        with h5py.File(run / FILE, "r+") as f:
            values = f[NAME][...]
            del f[NAME]
            other = run / "data.bin" if "in the run" in how else tmp_path / "secret.bin"
            if "storage" in how:
                f.create_dataset(NAME, values.shape, values.dtype, external=[(str(other), 0, values.nbytes)])
                f[NAME][...] = values
                return
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            with h5py.File(other, "w") as g:
                g["x"] = values
            layout[...] = h5py.VirtualSource(other.name if "in the run" in how else other, "x", values.shape)
            f.create_virtual_dataset(NAME, layout)
            if "missing" in how:
                other.unlink()

    return run, move


def digests(folder):
    return {
        p: hashlib.sha256(p.read_bytes()).digest()
        for p in Path(folder).rglob("*")
        if p.is_file() and p.name != "karabo_data_map.json"
    }


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("external storage", "by external storage, which is refused"),
        ("external storage in the run", "by external storage, which is refused"),
        ("virtual", "which is no file of the run"),
        ("virtual and missing", "which is missing"),
    ],
)
def test_what_lies_in_other_files_is_refused_before_anything_is_written(moved, tmp_path, how, says, select):
    run, move = moved
    move(how)
    before = digests(tmp_path)
    with pytest.raises(PlanError, match=rf"{FILE}: /{NAME}.*{says}"):
        dxflow.copy_run(run, tmp_path / "copy", cluster="here", **SELECTIONS[select])
    assert digests(tmp_path) == before


def test_rows_of_a_virtual_dataset_of_the_run_become_values(moved, small, tmp_path):
    run, move = moved
    move("virtual, in the run")
    dxflow.copy_run(run, tmp_path / "copy", cluster="here", trains=[10002, 10003])
    with h5py.File(tmp_path / "copy" / FILE) as copy, h5py.File(Path(small.path) / FILE) as original:
        assert not copy[NAME].is_virtual
        np.testing.assert_array_equal(copy[NAME][...], original[NAME][2:6])


def test_a_virtual_dataset_of_a_file_that_is_not_in_the_copy_is_refused_of_a_file_that_stays_as_it_is(
    moved, tmp_path
):
    run, move = moved
    move("virtual, in the run")
    with pytest.raises(PlanError, match=r"virtual dataset of data.bin, which is not in the copy as it is"):
        dxflow.copy_run(run, tmp_path / "copy", cluster="here")


@pytest.mark.parametrize("name", ["INDEX/trainId", "METADATA/dataSources/dataSourceId"])
def test_an_index_in_another_file_is_refused(moved, tmp_path, name):
    run, _ = moved
    with h5py.File(run / FILE, "r+") as f, h5py.File(tmp_path / "other.h5", "w") as g:
        g["x"] = f[name][...]
        del f[name]
        f[name] = h5py.ExternalLink(os.fspath(tmp_path / "other.h5"), "x")
    with pytest.raises(
        PlanError, match=rf"{FILE}: .*{name}: a link that leaves the run, to .*other.h5, is refused"
    ):
        dxflow.copy_run(run, tmp_path / "copy", cluster="here", trains=[10002])
