"""Files are read and written also where the file system has no locks; a writer is seen where it has."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import dxflow
from dxflow.algorithms.average import Average
from dxflow.disk.openhdf5 import open_hdf5


def without_locks(number, *arguments):
    """Run the command line where every flock() fails with an errno."""
    words = [sys.executable, "-m", "nolocks", number, "dxflow", *arguments]
    done = subprocess.run(
        [str(w) for w in words], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# "No locks available" of NFS, "Operation not supported" of others: HDF5 itself takes neither for what it is.
@pytest.mark.parametrize(("number", "name"), [(37, "x.nxs"), (95, "x/"), (37, "x.nc")])
def test_a_run_is_reduced_where_there_are_no_locks_to_the_same_bits(gappy, tmp_path, number, name):
    to = f"{tmp_path}/{name}"
    without_locks(number, "reduce", gappy.path, "--to", to, "--cluster", "here", "average")
    expected = dxflow.reduce(gappy.path, Average(), cluster="here", quiet=True)
    found = dxflow.open(to).dataset
    for one in ("average.mean", "average.count"):
        np.testing.assert_array_equal(found[one], expected.dataset[one])


def test_and_copied(gappy, tmp_path):
    without_locks(37, "copy", gappy.path, tmp_path / "copy", "--workers", "1")
    files = sorted(Path(gappy.path).glob("*.h5"))
    assert files
    for file in files:
        with h5py.File(file) as one, h5py.File(tmp_path / "copy" / file.name) as other:
            assert np.array_equal(one["INDEX/trainId"], other["INDEX/trainId"])


HOLD = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); sys.stdin.read()"


def test_who_writes_is_seen_where_there_are_locks(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = 1
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "x.h5"], **pipes) as writer:
        writer.stdout.readline()
        with pytest.raises(OSError, match="unable to lock file"):
            open_hdf5(tmp_path / "x.h5")
        writer.stdin.close()
    with open_hdf5(tmp_path / "x.h5") as file:
        assert file["x"][()] == 1
    with pytest.raises(OSError, match="No such file"):
        open_hdf5(tmp_path / "y.h5")
