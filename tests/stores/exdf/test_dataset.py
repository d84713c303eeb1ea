"""Rows of several files are read as one array, lazily."""

import h5py
import numpy as np
import pytest

from dxflow.disk.manifest import Damage
from dxflow.stores.exdf.dataset import File, _Array


@pytest.fixture
def array(tmp_path):
    """Return an array of 10 rows in files of 4, 0, 5 and 1."""
    values, files, at = np.arange(30.0).reshape(10, 3), [], 0
    for n in (4, 0, 5, 1):
        path = tmp_path / f"{len(files)}.h5"
        with h5py.File(path, "w") as file:
            file["x"] = values[at : at + n]
            file["run"] = values[np.newaxis]
        at += n
        files.append(File(path, path.stat().st_size, 0, checked=True))
    return values, files


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:, :],
        np.s_[3:8, 1],
        np.s_[::3, :],
        np.s_[1::4, ::2],
        np.s_[9, 2],
        np.s_[4, :],
        np.s_[5:5, :],
        np.s_[8:2, :],
        np.s_[0:4:7, :],
    ],
)
def test_rows_are_those_of_the_whole(array, key):
    values, files = array
    lazy = _Array(files, "INSTRUMENT", "x", np.dtype("f4"))
    assert lazy.shape == (10, 3)
    got = lazy[key]
    assert got.dtype == np.float32
    assert np.array_equal(got, values[key].astype("f4"))


def test_values_of_the_run_are_read_from_the_first_file(array):
    values, files = array
    lazy = _Array(files, "RUN", "run", np.dtype("f8"))
    assert lazy.shape == (10, 3)
    assert np.array_equal(lazy[2:4, 1], values[2:4, 1])


def test_a_file_of_another_size_or_checksum_is_named(array):
    _, (one, *_) = array
    with pytest.raises(Damage, match=rf"{one.path}: \d+ bytes, 5 were written"):
        File(one.path, 5, 0).check()
    with pytest.raises(Damage, match=r"0\.h5: checksum \w+, it was 00000001 when written"):
        File(one.path, one.bytes, 1).check()
    File(one.path, one.bytes, 1).check(whole=False)
