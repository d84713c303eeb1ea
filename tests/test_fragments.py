"""Fragments: whole or not there, and every changed byte is noticed."""

import json
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow import fragments

ARRAYS = {
    "a.x": np.arange(7.0),
    "b/rows": np.arange(6, dtype="u2").reshape(2, 3),
    "c": np.array(5),
    "none": np.zeros((0, 3)),
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
