"""Texts of variable length: any that HDF5 wrote are read, damaged ones are refused before HDF5 stands still in them."""

import multiprocessing
import re

import h5py
import pytest

from dxflow.reader.faults import ReadFault
from dxflow.reader.files import Files

TEXTS = ["1.0", "", "SPB_DET_AGIPD1M-1/DET/0CH0:xtdf", "x" * 5000, "\u00e9"]


def write(path, texts=TEXTS, **options):
    with h5py.File(path, "w") as f:
        f.create_dataset("x", data=texts, dtype=h5py.string_dtype(), **options)
        f["one"] = 3
        f.create_dataset("refs", data=[f["one"].ref], dtype=h5py.ref_dtype)
    return str(path)


def texts(path, name="x"):
    files = Files()
    try:
        return [v.decode() for v in files.dataset(path, name)[:]]
    finally:
        files.close()


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}, {"chunks": (3,), "maxshape": (None,)}],
)
def test_any_texts_are_read(tmp_path, options):
    assert texts(write(tmp_path / "x.h5", **options)) == TEXTS
    assert texts(write(tmp_path / "x.h5", TEXTS * 100, **options)) == TEXTS * 100
    assert Files().dataset(str(tmp_path / "x.h5"), "refs").shape == (1,)


def _answer(path, out):
    try:
        out.put(texts(path) or "nothing")
    except (ReadFault, OSError, UnicodeDecodeError, RuntimeError) as e:
        out.put(f"{type(e).__name__}: {e}")


def answer(path):
    """Return what reading gives, in a process of its own: HDF5 may never come back."""
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_answer, args=(path, out))
    child.start()
    try:
        return out.get(timeout=20)
    finally:
        child.kill()
        child.join()


def test_zeros_anywhere_in_a_heap_are_refused_and_never_waited_for(tmp_path):
    path = tmp_path / "x.h5"
    write(path, ["1.0", "abc", "d" * 100])
    data = path.read_bytes()
    (heap,) = (found.start() for found in re.finditer(b"GCOL", data))
    said = set()
    for at in range(heap, heap + 208, 8):
        path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
        got = answer(str(path))
        said.add("damaged" if "the heap of its texts" in got else "other")
    assert said == {"damaged", "other"}


def test_a_heap_that_is_elsewhere_or_endless_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    write(path)
    data = path.read_bytes()
    heap = data.index(b"GCOL")
    for at, new in ((heap, b"XXXX"), (heap + 8, b"\xff" * 8), (heap + 24, b"\xff" * 8)):
        path.write_bytes(data[:at] + new + data[at + len(new) :])
        with pytest.raises(ReadFault, match="x: damaged: the heap of its texts, at byte"):
            texts(str(path))
