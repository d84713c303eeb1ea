"""Fragments: whole or not there, and every changed byte is noticed."""

import io
import json
import os
import re
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.disk import fragments

ARRAYS = {
    "a.x": np.arange(7.0),
    "b/rows": np.arange(6, dtype="u2").reshape(2, 3),
    "c": np.array(5),
    "none": np.zeros((0, 3)),
    "fields": np.zeros(2, [("a", "<f4"), ("b", "<i2", (3,))]),
    "times": np.zeros(2, "M8[ns]"),
}
META = {"chunk": 3, "losses": [], "text": "grüße"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("fragment") / "chunk-000003.npz"
    fragments.write(path, META, ARRAYS)
    return path


def test_what_is_written_is_read_back(good):
    with fragments.Fragment(good) as fragment:
        assert fragment.meta == META
        assert sorted(fragment.names()) == sorted(ARRAYS)
        for name, array in ARRAYS.items():
            assert fragment[name].dtype == array.dtype
            np.testing.assert_array_equal(fragment[name], array)
    assert fragments.intact(good) == META


def test_several_threads_read_at_once(good):
    """Python 3.11 fails now and then if texts are compiled in several threads, as numpy does for each header."""

    def read(_):
        with fragments.Fragment(good) as fragment:
            return [fragment[name].dtype for name in ARRAYS]

    with ThreadPoolExecutor(8) as pool:
        assert all(found == [a.dtype for a in ARRAYS.values()] for found in pool.map(read, range(500)))


@settings(deadline=None, max_examples=500)
@given(data=st.data())
def test_any_changed_byte_is_noticed_or_changes_nothing(good, data):
    """Zip keeps some header bytes twice and some for nobody: those may change, the content never."""
    content = bytearray(good.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    changed = good.with_name("changed.npz")
    changed.write_bytes(content)
    if fragments.intact(changed) is not None:
        with fragments.Fragment(changed) as fragment:
            assert fragment.meta == META
            assert sorted(fragment.names()) == sorted(ARRAYS)
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(fragment[name], array)


@settings(deadline=None)
@given(data=st.data())
def test_any_truncation_is_noticed(good, data):
    content = good.read_bytes()
    cut = good.with_name("cut.npz")
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert fragments.intact(cut) is None


def test_a_changed_value_is_noticed_and_the_message_names_file_and_array(good):
    content = bytearray(good.read_bytes())
    at = content.find(ARRAYS["a.x"].tobytes())
    content[at + 9] ^= 1
    changed = good.with_name("value.npz")
    changed.write_bytes(content)
    assert fragments.intact(changed) is None
    says = re.escape(f"{changed}: a.x: ")
    with fragments.Fragment(changed) as fragment, pytest.raises(fragments.DamagedFragment, match=says):
        fragment["a.x"]


def test_a_missing_fragment_is_not_intact_and_not_damaged(tmp_path):
    assert fragments.intact(tmp_path / "none.npz") is None
    with pytest.raises(FileNotFoundError):
        fragments.Fragment(tmp_path / "none.npz")


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        fragments.write(tmp_path / "x.npz", {}, {"a": np.array([{}], object)})
    text = np.frombuffer(json.dumps({"meta": {}, "arrays": ["a"]}).encode(), np.uint8)
    with open(tmp_path / "y.npz", "wb") as f:
        np.savez(f, meta=text, a=np.array([{}], object))
    with fragments.Fragment(tmp_path / "y.npz") as fragment, pytest.raises(fragments.DamagedFragment):
        fragment["a"]
    assert fragments.intact(tmp_path / "y.npz") is None


@pytest.mark.parametrize("step", ["_append", "fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_fragment_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "x.npz"
    fragments.write(path, {"version": 1}, ARRAYS)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    owner = fragments if step == "_append" else os
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="No space"):
        fragments.write(path, {"version": 2}, ARRAYS)
    monkeypatch.undo()
    assert fragments.intact(path) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_data_are_synced_before_the_name_appears(tmp_path, monkeypatch):
    calls, path = [], tmp_path / "x.npz"
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(("sync", path.exists())), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append(("rename", path.exists())), rename(*a)))
    fragments.write(path, {}, ARRAYS)
    assert calls == [("sync", False), ("rename", False)]


def test_a_fragment_of_another_plan_is_not_taken_for_this_one(tmp_path):
    path = tmp_path / "x.npz"
    fragments.write(path, META, ARRAYS, of="one")
    assert fragments.intact(path, "one") == META
    assert fragments.intact(path, "other") is None
    with pytest.raises(fragments.DamagedFragment, match=r"belongs to another plan \(one, not other\)"):
        fragments.Fragment(path, "other")


def bomb(path, name, *, stored=False):
    """Write a fragment one array of which would have 6 GiB."""
    fragments.write(path, META, ARRAYS)
    with np.load(path) as good:
        arrays = {k: good[k] for k in good.files}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (6 << 30,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            if key != name:
                with archive.open(f"{key}.npy", "w") as file:
                    np.lib.format.write_array(file, array)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            file.write(head.getvalue())
            for _ in range(1 if stored else 8):
                file.write(bytes(2**20))


@pytest.mark.parametrize("name", ["meta", "a.x"])
@pytest.mark.parametrize("stored", [True, False])
def test_no_more_bytes_are_made_of_a_fragment_than_it_has(tmp_path, name, stored):
    path = tmp_path / "bomb.npz"
    bomb(path, name, stored=stored)
    tracemalloc.start()
    try:
        assert fragments.intact(path) is None
        with pytest.raises(fragments.DamagedFragment), fragments.Fragment(path) as fragment:
            fragment[name]
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_an_array_that_the_plan_does_not_have_is_refused_before_it_is_read(good):
    with fragments.Fragment(good) as fragment:
        np.testing.assert_array_equal(fragment.of("b/rows", (2, 3), "u2"), ARRAYS["b/rows"])
        for shape, dtype in (((3, 2), "u2"), ((2, 3), "i2"), ((6,), "u2")):
            with pytest.raises(
                fragments.DamagedFragment, match=r"b/rows is uint16 \(2, 3\), but the plan has"
            ):
                fragment.of("b/rows", shape, dtype)
