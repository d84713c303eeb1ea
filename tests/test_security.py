"""What hostile files, names and other users of a machine may not do; other tests of this are with what they test."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import dxflow
from dxflow.algorithms.average import Average
from dxflow.clusters import Local

MALICE = "open({flag!r}, 'w').close()\n"


def of_worker(dask_worker):
    """Return the permissions of a worker's folder, and what it has of shared memory."""
    mapped = Path("/proc/self/maps").read_text().splitlines()
    # Python's semaphores hold no data.
    shared = [line for line in mapped if "/dev/shm/" in line and "/dev/shm/sem." not in line]
    return stat.S_IMODE(os.stat(dask_worker.local_directory).st_mode), shared


def test_scratch_folders_of_workers_are_closed_to_others_and_they_share_no_memory(usual_workers):
    cluster = Local(workers=1)
    client = cluster.start()
    try:
        ((mode, shared),) = client.run(of_worker).values()
    finally:
        client.close()
        cluster.close()
    assert mode & 0o077 == 0
    assert shared == []


def test_code_beside_the_data_or_in_the_working_directory_is_not_run(run, tmp_path):
    flag = tmp_path / "ran"
    for name in ("average", "numpy", "json", "dxflow", "extra_data", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(MALICE.format(flag=str(flag)))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("dxflow"),
            "reduce",
            run.path,
            "--to",
            "x.zarr",
            "--workers",
            "1",
            "average",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not flag.exists()


def test_a_result_with_pickles_in_it_is_not_unpickled(run, tmp_path):
    flag, path = tmp_path / "ran", tmp_path / "x.zarr"
    dxflow.reduce(run.path, Average(), path, cluster="here")
    name = "average.mean"
    pickled = [{"name": "numcodecs.pickle", "configuration": {}}]
    for file, inside in (
        (path / name / "zarr.json", ()),
        (path / "zarr.json", ("consolidated_metadata", "metadata", name)),
    ):
        described = json.loads(file.read_text())
        array = described
        for key in inside:
            array = array[key]
        array["codecs"] = pickled
        file.write_text(json.dumps(described))
    for file in (path / name).rglob("*"):
        if file.is_file() and file.name != "zarr.json":
            file.write_bytes(_pickle(flag))
    with pytest.raises(Exception, match=r"pickle|codec|changed|manifest|checksum|damaged"):
        np.asarray(dxflow.open(path).dataset[name])
    with pytest.raises(Exception, match=r"pickle|codec"):
        np.asarray(zarr.open(path)[name])
    assert not flag.exists()


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def _pickle(flag):
    import pickle

    return pickle.dumps(Touch(flag))


def test_files_get_the_permissions_that_the_user_has_chosen(run, tmp_path):
    for mask in (0o077, 0o022):
        before = os.umask(mask)
        try:
            dxflow.reduce(run.path, Average(), tmp_path / f"{mask}.zarr", cluster="here")
        finally:
            os.umask(before)
        files = list((tmp_path / f"{mask}.zarr").rglob("*"))
        assert files
        assert all(stat.S_IMODE(p.stat().st_mode) & mask == 0 for p in files)
