"""Rows of datasets in any order are those of h5py, whatever part is read, and a few at a time."""

import h5py
import numpy as np
import pytest

from dxflow.analysis import h5rows

KEYS = [slice(None), slice(3, 40, 7), slice(5, 5), 0, 49, -1]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("block", [1, 200, 2**25])
def test_any_part_in_any_order(tmp_path, monkeypatch, key, block):
    monkeypatch.setattr(h5rows, "BLOCK_BYTES", block)
    values = np.random.default_rng(0).random((60, 3))
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["x"] = values
    order = np.random.default_rng(1).permutation(60)[:50]
    array = h5rows.Rows(tmp_path / "a.h5", "x", (60, 3), values.dtype, order)
    assert array.shape == (50, 3)
    for rest in (slice(None), slice(0, 2), 1):
        np.testing.assert_array_equal(array.read((key, rest)), values[order][key][..., rest])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_any_part_of_arrays_of_different_lengths(tmp_path, key):
    parts = [np.full(n % 5, n, "i4") for n in range(60)]
    with h5py.File(tmp_path / "a.h5", "w") as f:
        made = f.create_dataset("x", (60,), h5py.vlen_dtype("i4"))
        for n, part in enumerate(parts):
            made[n] = part
        array = h5rows.Ragged(tmp_path / "a.h5", "x", made.dtype)
    whole = np.concatenate(parts)
    key = len(whole) - 1 if key == -1 else key
    np.testing.assert_array_equal(array.read((key,)), whole[key])
