"""Shuffle and deflate are those of HDF5."""

import zlib

import h5py
import numpy as np
import pytest

from dxflow.hdf5 import deflate


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", "<f8", "S3"])
def test_what_is_compressed_here_hdf5_reads_back(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 255, 4 * 5 * 24, "u1").view("u1")[: 4 * 5 * 24]
    values = np.frombuffer(values.tobytes()[: 20 * np.dtype(dtype).itemsize], dtype).reshape(4, 5)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        shuffle = values.itemsize > 1
        made = file.create_dataset("x", (4, 5), dtype, chunks=(4, 5), compression="gzip", shuffle=shuffle)
        made.id.write_direct_chunk((0, 0), deflate.compress(values))
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"][:].tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", ["<u2", "<f4", "<f8", "S3"])
def test_shuffling_puts_the_bytes_of_equal_weight_together(dtype):
    flat = np.frombuffer(bytes(range(24)), dtype)
    expected = np.frombuffer(bytes(range(24)), "u1").reshape(-1, flat.itemsize).T
    assert np.array_equal(deflate.shuffled(flat), expected)


def test_without_the_fast_library_zlib_makes_the_same_stream(monkeypatch):
    values = np.arange(1000, dtype="f4")
    fast = zlib.decompress(deflate.compress(values))
    monkeypatch.setitem(__import__("sys").modules, "isal", None)
    deflate._deflate.cache_clear()
    try:
        assert deflate.engine() == "zlib"
        assert zlib.decompress(deflate.compress(values)) == fast
    finally:
        deflate._deflate.cache_clear()
