"""Results in one HDF5 file are written by the process in which HDF5 writes: what goes wrong there is said once."""

import signal
import subprocess

import numpy as np
import pytest
from samples import Noise, RoiSum

import dxflow
from dxflow.hdf5.errors import WriteError
from dxflow.hdf5.process import Writer
from dxflow.stores.hdf5 import file


@pytest.mark.parametrize("name", ["r.nxs", "r.nc"])
def test_a_full_disk_is_a_named_error_and_the_run_is_resumed(run, small_disk, monkeypatch, name):
    monkeypatch.setattr("dxflow.stores.store.output_bytes", lambda plan: 0)
    with pytest.raises(WriteError, match=rf"{name} was not written: .*are free there"):
        dxflow.reduce(run.path, Noise(), small_disk / name, cluster="here")
    assert not (small_disk / name).exists()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    resumed = dxflow.reduce(run.path, Noise(), small_disk / name, cluster="here", resume=True)
    assert resumed.manifest["chunks"]["computed"] == 0
    expected = [np.random.default_rng(int(train)).random(2**17) for train in run.train_ids]
    assert np.array_equal(resumed.dataset["noise.noise"], expected)


@pytest.mark.parametrize("work", ["write", "seal"])
def test_a_process_that_dies_is_a_named_error_and_the_run_is_resumed(run, tmp_path, monkeypatch, work):
    begin, path = Writer.begin, tmp_path / "r.nxs"

    def dying(self, name, *arguments, **named):
        begin(self, name, *arguments, **named)
        if name == work:
            self.process.send_signal(signal.SIGSEGV)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "begin", dying)
        with pytest.raises(WriteError, match=r"r\.nxs was not written: .*ended by SIGSEGV"):
            dxflow.reduce(run.path, RoiSum(ss=(0, 4)), path, cluster="here")
    assert not path.exists()
    dxflow.reduce(run.path, RoiSum(ss=(0, 4)), path, cluster="here", resume=True)
    assert dxflow.verify(path) == []


def test_a_file_that_hdf5_cannot_read_is_said_to_be_so(tmp_path):
    (tmp_path / "x.nxs").write_bytes(b"no HDF5")
    assert file.blamed(tmp_path / "x.nxs") == "HDF5 cannot read it"
