"""Fragments: whole or not there, and every changed byte is noticed."""

import json
import os
import re
import tracemalloc
import zlib
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
    path = tmp_path_factory.mktemp("fragment") / "chunk-000003.fragment"
    fragments.write(path, META, ARRAYS)
    return path


KINDS = pytest.mark.parametrize("kind", [fragments.Fragment, fragments.Held])


@KINDS
def test_what_is_written_is_read_back(good, kind):
    with kind(good) as fragment:
        assert fragment.meta == META
        assert sorted(fragment.names()) == sorted(ARRAYS)
        for name, array in ARRAYS.items():
            assert fragment[name].dtype == array.dtype
            np.testing.assert_array_equal(fragment[name], array)
        np.testing.assert_array_equal(fragment.of("b/rows", (2, 3), "u2", 1, 2), ARRAYS["b/rows"][1:])
    assert fragments.intact(good) == META


def test_what_is_small_is_held_in_memory_and_what_is_large_is_not(tmp_path):
    path, large = tmp_path / "held.fragment", np.arange(fragments.SMALL)
    fragments.write(path, META, ARRAYS | {"large": large})
    with fragments.Held(path) as fragment:
        pass
    assert fragment._file.closed
    assert fragment.nbytes < fragments.SMALL
    np.testing.assert_array_equal(fragment["large"], large)
    path.unlink()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(fragment[name], array)
    with pytest.raises(fragments.DamagedFragment):
        fragment["large"]


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
    """Bytes between arrays are for nobody: those may change, the content never."""
    content = bytearray(good.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    changed = good.with_name("changed.fragment")
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
    cut = good.with_name("cut.fragment")
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert fragments.intact(cut) is None


@KINDS
def test_a_changed_value_is_noticed_and_the_message_names_file_and_array(good, kind):
    content = bytearray(good.read_bytes())
    at = content.find(ARRAYS["a.x"].tobytes())
    content[at + 9] ^= 1
    changed = good.with_name("value.fragment")
    changed.write_bytes(content)
    assert fragments.intact(changed) is None
    says = re.escape(f"{changed}: a.x: ")
    with kind(changed) as fragment, pytest.raises(fragments.DamagedFragment, match=says):
        fragment["a.x"]


def test_a_missing_fragment_is_not_intact_and_not_damaged(tmp_path):
    assert fragments.intact(tmp_path / "none.fragment") is None
    with pytest.raises(FileNotFoundError):
        fragments.Fragment(tmp_path / "none.fragment")


def forged(path, change, arrays=ARRAYS):
    """Write a fragment whose head, with its checksum, says something else than what follows it."""
    fragments.write(path, META, arrays)
    content = path.read_bytes()
    _, length, _ = fragments.START.unpack(content[: fragments.START.size])
    first = fragments.START.size + length
    head = json.loads(content[fragments.START.size : first])
    change(head)
    text = json.dumps(head).encode()
    start = fragments.START.pack(fragments.MAGIC, len(text), zlib.crc32(text))
    path.write_bytes(start + text + content[first:])


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="Python objects"):
        fragments.write(tmp_path / "x.fragment", {}, {"a": np.array([{}], object)})
    path = tmp_path / "y.fragment"
    for described in ("|O", [["a", "|O"]]):
        forged(path, lambda head, of=described: head["arrays"]["a.x"].__setitem__(0, of))
        with fragments.Fragment(path) as fragment, pytest.raises(fragments.DamagedFragment, match="objects"):
            fragment["a.x"]
        assert fragments.intact(path) is None


@pytest.mark.parametrize("step", ["writev", "fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_fragment_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "x.fragment"
    fragments.write(path, {"version": 1}, ARRAYS)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        fragments.write(path, {"version": 2}, ARRAYS)
    monkeypatch.undo()
    assert fragments.intact(path) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.fragment"]


def test_data_are_synced_before_the_name_appears(tmp_path, monkeypatch):
    calls, path = [], tmp_path / "x.fragment"
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(("sync", path.exists())), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append(("rename", path.exists())), rename(*a)))
    fragments.write(path, {}, ARRAYS)
    assert calls == [("sync", False), ("rename", False)]


def test_a_fragment_of_another_plan_is_not_taken_for_this_one(tmp_path):
    path = tmp_path / "x.fragment"
    fragments.write(path, META, ARRAYS, of="one")
    assert fragments.intact(path, "one") == META
    assert fragments.intact(path, "other") is None
    with pytest.raises(fragments.DamagedFragment, match=r"belongs to another plan \(one, not other\)"):
        fragments.Fragment(path, "other")


LARGE = 6 << 30
CLAIMS = {
    "a long array": lambda head: head["arrays"]["a.x"].__setitem__(1, [LARGE]),
    "wide values": lambda head: head["arrays"]["a.x"].__setitem__(0, f"|V{LARGE // 4}"),
    "an array before all": lambda head: head["arrays"]["a.x"].__setitem__(2, -64),
    "an array behind all": lambda head: head["arrays"]["a.x"].__setitem__(2, LARGE),
    "a negative length": lambda head: head["arrays"]["a.x"].__setitem__(1, [-1, -7]),
    "no checksums": lambda head: head["arrays"]["a.x"].__setitem__(3, []),
    "no place": lambda head: head["arrays"].update({"a.x": ["<f8", [7]]}),
    "no array": lambda head: head["arrays"].pop("a.x"),
    "no dtype": lambda head: head["arrays"]["a.x"].__setitem__(0, "none"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_more_bytes_are_made_of_a_fragment_than_it_has(tmp_path, claim):
    path = tmp_path / "forged.fragment"
    forged(path, CLAIMS[claim])
    tracemalloc.start()
    try:
        with fragments.Fragment(path) as fragment, pytest.raises(fragments.DamagedFragment, match=r"a\.x"):
            fragment["a.x"]
        assert claim == "no array" or fragments.intact(path) is None
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_head_is_no_longer_than_one_that_was_written(tmp_path):
    path = tmp_path / "x.fragment"
    for length in (2**63, LARGE, 2**26 + 1, 1000):
        path.write_bytes(fragments.START.pack(fragments.MAGIC, length, 0) + bytes(100))
        with pytest.raises(fragments.DamagedFragment, match=f"would have {length} bytes"):
            fragments.Fragment(path)


@pytest.mark.parametrize("content", [b"", b"dxflow fragment", b"PK\3\4" + bytes(200), b"dxflow fragment\n"])
def test_another_file_is_no_fragment(tmp_path, content):
    (tmp_path / "x.fragment").write_bytes(content)
    with pytest.raises(fragments.DamagedFragment, match="no fragment begins with"):
        fragments.Fragment(tmp_path / "x.fragment")


MANY = np.random.default_rng(1).integers(0, 255, (5000, 33, 20), np.uint8)
"""Three blocks and a part of one."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("fragment") / "large.fragment"
    columns = np.arange(400_000.0).reshape(2, -1).T
    fragments.write(
        path, META, {"small": np.arange(3), "many": MANY, "last": np.arange(3), "columns": columns}
    )
    return path


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5000), st.integers(0, 5000))
def test_some_rows_are_those_of_the_array(large, a, b):
    with fragments.Fragment(large) as fragment:
        start, stop = min(a, b), max(a, b)
        found = fragment.of("many", MANY.shape, "u1", start, stop)
        np.testing.assert_array_equal(found, MANY[start:stop])


def test_large_arrays_begin_at_a_page_and_those_of_any_order_are_read_back(large):
    at = large.read_bytes().find(MANY.tobytes())
    assert at > 0
    assert at % 4096 == 0
    with fragments.Fragment(large) as fragment:
        np.testing.assert_array_equal(fragment["columns"], np.arange(400_000.0).reshape(2, -1).T)
        assert fragment["many"].flags.writeable


@pytest.mark.parametrize("block", range(4))
def test_rows_are_checked_but_only_those_that_are_asked_for(large, tmp_path, block):
    content = bytearray(large.read_bytes())
    at = content.find(MANY.tobytes()) + block * fragments.BLOCK + 17
    content[at] ^= 4
    changed = tmp_path / "x.fragment"
    changed.write_bytes(content)
    rows = [n * fragments.BLOCK // (33 * 20) + 2 for n in range(4)]
    with fragments.Fragment(changed) as fragment:
        for n, row in enumerate(rows):
            if n == block:
                with pytest.raises(fragments.DamagedFragment, match="many: bytes .* not as it was written"):
                    fragment.of("many", MANY.shape, "u1", row, row + 5)
            else:
                found = fragment.of("many", MANY.shape, "u1", row, row + 5)
                np.testing.assert_array_equal(found, MANY[row : row + 5])
    assert fragments.intact(changed) is None


def test_neither_writing_nor_reading_copies_a_large_array(tmp_path):
    path, array = tmp_path / "x.fragment", np.ones((16, 1 << 20))
    tracemalloc.start()
    try:
        fragments.write(path, META, {"a": array})
        assert tracemalloc.get_traced_memory()[1] < array.nbytes / 16
        with fragments.Fragment(path) as fragment:
            fragment.verify()
            assert tracemalloc.get_traced_memory()[1] < array.nbytes / 16
            assert fragment.of("a", array.shape, "f8", 3, 4).sum() == 1 << 20
            assert tracemalloc.get_traced_memory()[1] < array.nbytes / 8
            assert fragment["a"].shape == array.shape
        assert tracemalloc.get_traced_memory()[1] < 1.2 * array.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1500])
def test_any_number_of_arrays_is_written(tmp_path, count):
    arrays = {f"{n}": np.full(n % 7, n) for n in range(count)}
    fragments.write(tmp_path / "x.fragment", META, arrays)
    assert fragments.intact(tmp_path / "x.fragment") == META
    with fragments.Fragment(tmp_path / "x.fragment") as fragment:
        assert all(np.array_equal(fragment[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("dtype", [">f8", "c16", "f2", "S3", "U4", "m8[s]", "?", "V3", "g"])
def test_any_dtype_but_objects_is_read_back(tmp_path, dtype):
    array = np.arange(24, dtype="u1").repeat(16)[: 16 * np.dtype(dtype).itemsize].view(dtype)
    fragments.write(tmp_path / "x.fragment", META, {"a": array})
    with fragments.Fragment(tmp_path / "x.fragment") as fragment:
        assert fragment["a"].dtype == array.dtype
        assert fragment["a"].tobytes() == array.tobytes()


def test_a_system_that_writes_a_little_at_a_time_writes_all(tmp_path, monkeypatch):
    some, path = os.writev, tmp_path / "x.fragment"
    monkeypatch.setattr(os, "writev", lambda handle, parts: some(handle, [parts[0][:7]]))
    fragments.write(path, META, ARRAYS)
    assert fragments.intact(path) == META


def test_an_array_that_the_plan_does_not_have_is_refused_before_it_is_read(good):
    with fragments.Fragment(good) as fragment:
        np.testing.assert_array_equal(fragment.of("b/rows", (2, 3), "u2"), ARRAYS["b/rows"])
        for shape, dtype in (((3, 2), "u2"), ((2, 3), "i2"), ((6,), "u2")):
            with pytest.raises(
                fragments.DamagedFragment, match=r"b/rows is uint16 \(2, 3\), but the plan has"
            ):
                fragment.of("b/rows", shape, dtype)
