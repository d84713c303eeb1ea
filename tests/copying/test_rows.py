"""Rows of a dataset of any layout are moved as numpy would take them."""

import os

import h5py
import numpy as np
import pytest

from dxflow.copying.objects import dataset_like
from dxflow.copying.rows import move

RNG = np.random.default_rng(5)
VALUES = RNG.integers(0, 1000, (60, 6, 4)).astype("u2")

LAYOUTS = {
    "chunks of a frame": {"chunks": (1, 6, 4), "maxshape": (None, 6, 4)},
    "compressed chunks of a frame": {"chunks": (1, 6, 4), "compression": "gzip", "shuffle": True},
    "chunks of parts of a frame": {"chunks": (1, 3, 2), "compression": "gzip"},
    "chunks of several frames": {"chunks": (7, 6, 4), "compression": "gzip"},
    "chunks of parts of several frames": {"chunks": (7, 4, 4)},
    "chunks longer than the selection": {"chunks": (60, 6, 4)},
    "contiguous": {},
    "lzf": {"chunks": (4, 6, 4), "compression": "lzf"},
    "checksums": {"chunks": (1, 6, 4), "fletcher32": True},
    "scale and offset": {"chunks": (1, 6, 4), "scaleoffset": 0},
}

ROWS = {
    "random": np.sort(RNG.choice(60, 17, replace=False)),
    "all": np.arange(60),
    "none": np.zeros(0, np.int64),
    "a stretch of whole chunks": np.arange(14, 35),
    "the end": np.arange(56, 60),
    "one": np.array([59]),
}


def moved(path, name, rows):
    """Return the dataset in a second file that holds some rows."""
    there = path.with_name(f"{name}.h5")
    descriptor = os.open(path, os.O_RDONLY)
    with h5py.File(path) as f, h5py.File(there, "w") as out:
        into = dataset_like(out, "x", f[name], len(rows))
        move(f[name], into, rows, descriptor)
    os.close(descriptor)
    return h5py.File(there)["x"]


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_rows_of_any_layout_are_those_that_numpy_takes(tmp_path, layout, rows, libver):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w", libver=libver) as f:
        f.create_dataset("x", data=VALUES, **layout)
    into = moved(path, "x", rows)
    np.testing.assert_array_equal(into[:], VALUES[rows])
    assert into.chunks == layout.get("chunks")


@pytest.mark.parametrize(
    "name", ["chunks of a frame", "compressed chunks of a frame", "chunks of parts of a frame"]
)
def test_stored_chunks_of_whole_frames_are_moved_byte_by_byte(tmp_path, name):
    path, rows = tmp_path / "in.h5", ROWS["random"]
    with h5py.File(path, "w") as f:
        f.create_dataset("x", data=VALUES, **LAYOUTS[name])
    into = moved(path, "x", rows)
    with h5py.File(path) as f:
        infos = [into.id.get_chunk_info(n) for n in range(into.id.get_num_chunks())]
        for info in infos:
            here = info.chunk_offset
            there = (int(rows[here[0]]), *here[1:])
            assert into.id.read_direct_chunk(here) == f["x"].id.read_direct_chunk(there)


def test_damaged_chunks_are_moved_without_being_decoded(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as f:
        x = f.create_dataset("x", data=VALUES, chunks=(1, 6, 4), compression="gzip")
        x.id.write_direct_chunk((3, 0, 0), b"this is no deflate stream")
    into = moved(path, "x", np.array([2, 3, 5]))
    assert into.id.read_direct_chunk((1, 0, 0)) == (0, b"this is no deflate stream")


def test_chunks_that_were_never_written_stay_so(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("x", (60, 6, 4), "u2", chunks=(1, 6, 4), fillvalue=9)[10:12] = VALUES[10:12]
        f.create_dataset("flat", (60, 6, 4), "u2")
    into = moved(path, "x", np.array([0, 11, 30]))
    assert into.id.get_num_chunks() == 1
    np.testing.assert_array_equal(into[1], VALUES[11])
    assert (into[2] == 9).all()
    assert moved(path, "flat", np.array([0, 11])).id.get_storage_size() == 0


@pytest.mark.parametrize("chunks", [None, (5,)])
def test_strings_and_lists_of_any_length_are_moved(tmp_path, chunks):
    path, rows = tmp_path / "in.h5", np.array([1, 4, 8])
    with h5py.File(path, "w") as f:
        f.create_dataset("text", data=[f"text {n}" * n for n in range(10)], chunks=chunks)
        lists = f.create_dataset("lists", (10,), h5py.vlen_dtype("i4"), chunks=chunks)
        for n in range(10):
            lists[n] = np.arange(n)
    assert moved(path, "text", rows).asstr()[:].tolist() == [f"text {n}" * n for n in rows]
    assert [v.tolist() for v in moved(path, "lists", rows)[:]] == [list(range(n)) for n in rows]


def test_rows_of_a_virtual_dataset_become_values(tmp_path):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as f:
        f["real"] = VALUES
        virtual = h5py.VirtualLayout(VALUES.shape, "u2")
        virtual[:] = h5py.VirtualSource(".", "real", VALUES.shape)
        f.create_virtual_dataset("x", virtual)
    into = moved(path, "x", ROWS["random"])
    assert not into.is_virtual
    np.testing.assert_array_equal(into[:], VALUES[ROWS["random"]])


@pytest.mark.parametrize("dtype", [">f4", "i1", "c8", "S7", [("a", "u1"), ("b", ">f8")]])
def test_types_are_kept_as_they_are_stored(tmp_path, dtype):
    path, rows = tmp_path / "in.h5", np.array([0, 7, 8, 19])
    values = np.frombuffer(RNG.bytes(20 * np.dtype(dtype).itemsize), dtype)
    with h5py.File(path, "w") as f:
        f["x"] = values
        f.create_dataset("chunked", data=values, chunks=(3,))
    for name in ("x", "chunked"):
        into = moved(path, name, rows)
        assert into.dtype == np.dtype(dtype)
        assert into[:].tobytes() == values[rows].tobytes()
