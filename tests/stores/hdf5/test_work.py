"""Regions of datasets are written as HDF5 would write them, whole chunks past its filters."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from dxflow.stores.hdf5.work import _put, _whole_chunks

SHAPE, CHUNK = (11, 4, 6), (3, 4, 2)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", "?", "c8", "c16", ">f4"])
@pytest.mark.parametrize(
    ("regions", "direct"),
    [
        ([((0, 0, 0), (6, 4, 6)), ((6, 0, 0), (5, 4, 6))], True),
        ([((0, 0, 0), (11, 4, 2)), ((0, 0, 2), (11, 4, 4))], True),
        ([((0, 0, 0), (4, 4, 6)), ((4, 0, 0), (7, 4, 6))], False),
    ],
)
def test_regions_are_read_back_by_hdf5_alone(tmp_path, dtype, regions, direct):
    values = (np.random.default_rng(3).random(SHAPE) * 200).astype(dtype)
    stored = {"chunks": CHUNK, "shuffle": True, "compression": "gzip", "compression_opts": 1}
    with h5py.File(tmp_path / "x.h5", "w") as file, ThreadPoolExecutor(2) as pool:
        made = file.create_dataset("x", SHAPE, values.dtype, **stored)
        for start, count in regions:
            piece = values[tuple(slice(a, a + n) for a, n in zip(start, count, strict=True))]
            assert _whole_chunks(made, start, piece) == direct
            _put(made, start, piece, pool)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["x"][()], values)


def test_a_changed_byte_of_a_chunk_is_noticed_by_hdf5_alone(tmp_path):
    values = np.random.default_rng(4).random((64, 64))
    with h5py.File(tmp_path / "x.h5", "w") as file, ThreadPoolExecutor(2) as pool:
        made = file.create_dataset("x", values.shape, "f8", chunks=(32, 64), compression="gzip", shuffle=True)
        _put(made, (0, 0), values, pool)
        file.flush()
        chunk = made.id.get_chunk_info(1)
    good = (tmp_path / "x.h5").read_bytes()
    for at in np.random.default_rng(5).integers(chunk.byte_offset, chunk.byte_offset + chunk.size, 40):
        (tmp_path / "x.h5").write_bytes(good[:at] + bytes([good[at] ^ 8]) + good[at + 1 :])
        with h5py.File(tmp_path / "x.h5") as file, pytest.raises(OSError, match="read data"):
            file["x"][()]
