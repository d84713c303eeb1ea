import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.declare.inputs import Key
from dxflow.reader.faults import InputChanged, ReadFault
from dxflow.reader.files import Files, stat_of
from dxflow.run.bound import BoundInput
from dxflow.run.extents import extents
from dxflow.run.index import plain
from dxflow.run.locate import Location

KINDS = {
    "contiguous": {},
    "chunked": {"chunks": 1},
    "chunks of three": {"chunks": 3},
    "deflate": {"chunks": 1, "compression": "gzip", "compression_opts": 1},
    "shuffle and deflate": {"chunks": 1, "compression": "gzip", "shuffle": True},
    "chunks of three, shuffle and deflate": {"chunks": 3, "compression": "gzip", "shuffle": True},
    "checksummed (left to HDF5)": {"chunks": 1, "fletcher32": True},
    "lzf (left to HDF5)": {"chunks": 2, "compression": "lzf"},
    "chunks that cut frames (left to HDF5)": {"cut": True, "compression": "gzip"},
}


def write(path, kind, values):
    options = dict(KINDS[kind])
    if "chunks" in options:
        options["chunks"] = (options["chunks"], *values.shape[1:])
    if options.pop("cut", False):
        options["chunks"] = (1, *values.shape[1:-2], 2, 3)
    if "chunks" in options:
        # Chunks may be larger than what is there only where it may grow.
        options["maxshape"] = (None, *values.shape[1:])
    with h5py.File(path, "w") as f:
        f.create_dataset("x", data=values, **options)


def bound(path, values, *, per_entry=1, plane=None, trains=1, roi=None):
    frame = values.shape[2:] if per_entry > 1 or plane is not None else values.shape[1:]
    # Entries of strips, (frame, strip).
    frame = frame if len(frame) == 2 else (1, *frame)
    counts = np.array([len(part) for part in np.array_split(np.arange(len(values)), trains)])
    location = Location(
        sources=("s",),
        files=(str(path),),
        datasets=("/x",),
        file=np.zeros((1, trains), np.int32),
        first=(np.cumsum(counts) - counts)[None],
        count=counts[None].astype(np.int32),
        shape=frame if roi is None else tuple(s.stop - s.start for s in roi),
        stored=frame,
        roi=roi,
        dtype=values.dtype,
        stats=(stat_of(str(path)),),
        per_entry=per_entry,
        plane=plane,
    )
    index = plain(np.arange(trains, dtype=np.uint64), counts * per_entry)
    return BoundInput(Key("s", "x"), "s", "x", "key", (0,), location, index)


def read(one, start, stop, files=None):
    """Read rows start:stop in a poisoned buffer."""
    files = files or Files()
    out = np.full((stop - start, *one.location.shape), 99, one.dtype)
    found = extents(files, one.location, one.index, 0, slice(0, len(one.index)))
    for a, b, extent, first in found.overlapping(start, stop):
        extent.read(a - first, b - first, out[a - start : b - start])
    files.close()
    return out


@given(
    kind=st.sampled_from(sorted(KINDS)),
    dtype=st.sampled_from(["f4", "u2", "u1", "i8"]),
    layout=st.sampled_from(["plain", "planes", "cells"]),
    rows=st.integers(1, 11),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    trains=st.integers(1, 3),
    roi=st.sampled_from(
        [None, (slice(1, 3), slice(0, 6)), (slice(0, 4), slice(2, 5)), (slice(2, 3), slice(5, 6))]
    ),
)
@settings(max_examples=120, deadline=None)
def test_any_stretch_of_any_layout_is_what_h5py_reads(
    tmp_path_factory, kind, dtype, layout, rows, cut, trains, roi
):
    path = tmp_path_factory.mktemp("x") / "x.h5"
    shape = {"plain": (rows, 4, 6), "planes": (rows, 2, 4, 6), "cells": (rows, 5, 4, 6)}[layout]
    values = np.random.default_rng(rows).integers(0, 90, shape).astype(dtype)
    write(path, kind, values)
    options = {"plain": {}, "planes": {"plane": 1}, "cells": {"per_entry": 5}}[layout]
    one = bound(path, values, trains=trains, roi=roi, **options)
    with h5py.File(path) as f:
        truth = f["x"][:, 1] if layout == "planes" else f["x"][:].reshape(-1, 4, 6)
    start, stop = sorted(round(c * len(one.index)) for c in cut)
    truth = truth if roi is None else truth[:, roi[0], roi[1]]
    np.testing.assert_array_equal(read(one, start, stop), truth[start:stop])


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("roi", [None, (slice(0, 1), slice(2, 5))])
def test_entries_of_strips_are_frames_of_one_row(tmp_path, kind, roi):
    values = np.random.default_rng(1).integers(0, 90, (5, 4, 6)).astype("u2")
    write(tmp_path / "x.h5", kind, values)
    one = bound(tmp_path / "x.h5", values, per_entry=4, trains=2, roi=roi)
    truth = values.reshape(-1, 1, 6)[:, :, roi[1] if roi else slice(None)]
    for start, stop in ((0, 20), (3, 14), (7, 8)):
        np.testing.assert_array_equal(read(one, start, stop), truth[start:stop])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_way_is_taken_for_what_it_is_for(tmp_path, kind):
    values = np.arange(96, dtype="f4").reshape(4, 4, 6)
    write(tmp_path / "x.h5", kind, values)
    files = Files()
    way = files.layout(str(tmp_path / "x.h5"), "/x").way
    files.close()
    expected = "hdf5" if "HDF5" in kind else "decode" if "deflate" in kind else "direct"
    assert way == expected


def test_adjacent_frames_are_read_by_one_call(tmp_path):
    values = np.arange(240, dtype="f4").reshape(10, 4, 6)
    write(tmp_path / "x.h5", "contiguous", values)
    files = Files()
    one = bound(tmp_path / "x.h5", values, trains=3)
    found = list(extents(files, one.location, one.index, 0, slice(0, 10)).overlapping(0, 10))
    files.close()
    assert [(a, b) for a, b, _, _ in found] == [(0, 10)]


def test_rows_that_were_never_written_are_a_fault_and_not_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        dataset = f.create_dataset("x", (6, 4, 6), "f4", chunks=(2, 4, 6))
        dataset[0:2] = 1
        dataset[4:6] = 2
    one = bound(tmp_path / "x.h5", np.zeros((6, 4, 6), "f4"))
    with pytest.raises(ReadFault, match=r"rows 2-3: these rows were never written") as e:
        read(one, 0, 6)
    assert e.value.cause == "never written"
    assert (read(one, 0, 2) == 1).all()
    assert (read(one, 4, 6) == 2).all()


def test_a_contiguous_dataset_that_was_never_written_is_a_fault(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("x", (6, 4, 6), "f4")
    one = bound(tmp_path / "x.h5", np.zeros((6, 4, 6), "f4"))
    with pytest.raises(ReadFault, match="never written"):
        read(one, 0, 6)


@pytest.mark.parametrize("kind", ["deflate", "shuffle and deflate", "chunks of three, shuffle and deflate"])
def test_any_changed_byte_of_a_compressed_chunk_is_noticed(tmp_path, kind):
    path = tmp_path / "x.h5"
    rng = np.random.default_rng(5)
    values = rng.integers(0, 9, (3, 4, 6)).astype("f4")
    write(path, kind, values)
    with h5py.File(path) as f:
        info = f["x"].id.get_chunk_info(0)
    whole = path.read_bytes()
    for position in range(info.byte_offset, info.byte_offset + info.size):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        one = bound(path, values)
        # A bit that carries no information (an unused bit of the header) may change nothing.
        try:
            np.testing.assert_array_equal(read(one, 0, 3), values)
            continue
        except ReadFault as e:
            said = str(e)
        assert f"{path}: /x" in said


def test_a_file_that_changed_since_the_plan_is_an_error(tmp_path):
    values = np.arange(96, dtype="f4").reshape(4, 4, 6)
    write(tmp_path / "x.h5", "contiguous", values)
    one = bound(tmp_path / "x.h5", values)
    write(tmp_path / "x.h5", "contiguous", values + 1)
    with pytest.raises(InputChanged, match="changed since the run was planned"):
        read(one, 0, 4)


def test_a_file_that_is_truncated_while_open_is_an_error(tmp_path):
    values = np.arange(96, dtype="f4").reshape(4, 4, 6)
    write(tmp_path / "x.h5", "contiguous", values)
    one = bound(tmp_path / "x.h5", values)
    files = Files()
    found = list(extents(files, one.location, one.index, 0, slice(0, 4)).overlapping(0, 4))
    out = np.zeros((4, 4, 6), "f4")
    found[0][2].read(0, 4, out)
    with open(tmp_path / "x.h5", "r+b") as f:
        f.truncate(2100)
    with pytest.raises(ReadFault, match="the file ends before"):
        found[0][2].read(0, 4, out)
    with pytest.raises(InputChanged, match=r"x\.h5: changed"):
        files.verify()
    files.close()


def test_external_storage_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(96))
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("x", (4, 6), "f4", external=[(str(tmp_path / "secret"), 0, 96)])
    one = bound(tmp_path / "x.h5", np.zeros((4, 6), "f4"))
    with pytest.raises(ReadFault, match="external storage is refused"):
        read(one, 0, 4)


def test_a_chunk_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("x", (2, 2**14, 2**14), "f4", chunks=(2, 2**14, 2**14), compression="gzip")
    one = bound(tmp_path / "x.h5", np.zeros((2, 4, 6), "f4"))
    with pytest.raises(ReadFault, match="chunks of 2147483648 bytes are refused"):
        read(one, 0, 1)
