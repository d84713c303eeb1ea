"""Datasets written chunk by chunk hold what was put in."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from dxflow.hdf5.rows import CHUNK_BYTES, Chunks, Rows, create, storage


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", libver="v110") as opened:
        yield opened


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
@pytest.mark.parametrize("pieces", [[7], [1] * 7, [3, 0, 4], [0], []])
def test_rows_come_back_whatever_pieces_they_came_in(file, pool, shape, pieces, compressed):
    made = storage(np.dtype("f4"), shape, 3, compressed=compressed)
    rows, values = Rows(file, "a/b", made, pool), []
    for n in pieces:
        values.append(np.random.default_rng(n).normal(size=(n, *shape)).astype("f4"))
        rows.append(values[-1])
    rows.finish()
    expected = np.concatenate([np.zeros((0, *shape), "f4"), *values])
    assert np.array_equal(file["a/b"][:], expected)
    assert file["a/b"].compression == ("gzip" if compressed else None)


def test_a_short_dataset_gets_a_chunk_no_longer_than_itself(file, pool):
    rows = Rows(file, "x", storage(np.dtype("u8"), ()), pool)
    rows.append(np.arange(5, dtype="u8"))
    rows.finish()
    assert file["x"].chunks == (5,)


def test_chunks_have_about_a_mebibyte():
    assert storage(np.dtype("f4"), (512, 128)).chunk == (4, 512, 128)
    assert storage(np.dtype("f4"), (16, 512, 128)).chunk == (1, 4, 512, 128)
    assert storage(np.dtype("f8"), (10**6,)).chunk == (1, CHUNK_BYTES // 8)
    assert storage(np.dtype("f8"), (0, 3)).chunk == (CHUNK_BYTES, 1, 3)
    assert storage(np.dtype("u1"), ()).chunk == (CHUNK_BYTES,)


def test_rows_larger_than_a_chunk_are_split_along_their_axes(file, pool):
    values = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("f4")
    rows = Rows(file, "x", storage(np.dtype("f4"), (4, 6), (1, 3, 4)), pool)
    rows.append(values)
    rows.finish()
    assert np.array_equal(file["x"][:], values)


def test_an_axis_of_length_0_can_be_stored(file, pool):
    rows = Rows(file, "x", storage(np.dtype("f4"), (0, 2)), pool)
    rows.append(np.zeros((3, 0, 2), "f4"))
    rows.finish()
    assert file["x"].shape == (3, 0, 2)


def test_regions_of_whole_chunks_may_come_in_any_order(file, pool):
    values = np.arange(4 * 6, dtype="i4").reshape(1, 4, 6)
    made = storage(np.dtype("i4"), (4, 6), (1, 2, 6))
    chunks = Chunks(create(file, "x", made, 1), made, pool)
    chunks.write((0, 2, 0), values[:, 2:])
    chunks.write((0, 0, 0), values[:, :2])
    chunks.drain()
    assert np.array_equal(file["x"][:], values)
