"""Which files are closed, by their flag, their lock, newer sequences and time."""

import os
import time

import h5py
import pytest

from dxflow.live.closed import Closing, in_writing

NAMES = [f"RAW-R0001-{name}-S{n:05d}.h5" for name in ("AGIPD00", "DA01") for n in range(2)]


def made(folder, name, age=100.0):
    with h5py.File(folder / name, "w") as file:
        file["x"] = [1]
    grow_old(folder / name, age)
    return folder / name


def grow_old(path, age=100.0):
    os.utime(path, (time.time() - age,) * 2)


def closed(closing, folder):
    return {os.path.basename(one.path) for one in closing.look([str(folder)]) if one.closed}


def test_files_are_closed_that_have_a_newer_sequence_or_have_not_changed_for_a_while(tmp_path):
    closing = Closing()
    for name in NAMES[:3]:
        made(tmp_path, name, age=5)
    assert closed(closing, tmp_path) == {NAMES[0]}
    grow_old(tmp_path / NAMES[2], 31)
    assert closed(closing, tmp_path) == {NAMES[0], NAMES[2]}
    # That of another aggregator says nothing.
    made(tmp_path, NAMES[3], age=1)
    assert closed(closing, tmp_path) == {NAMES[0], NAMES[2]}
    grow_old(tmp_path / NAMES[1])
    grow_old(tmp_path / NAMES[3])
    assert closed(closing, tmp_path) == set(NAMES)
    seen = closing.look([str(tmp_path)])
    assert [(one.stream, one.sequence) for one in seen] == [
        ("RAW-R0001-AGIPD00", 0),
        ("RAW-R0001-AGIPD00", 1),
        ("RAW-R0001-DA01", 0),
        ("RAW-R0001-DA01", 1),
    ]


def test_a_file_that_changes_is_not_closed_any_more(tmp_path):
    closing, path = Closing(), made(tmp_path, NAMES[0])
    assert closed(closing, tmp_path) == {NAMES[0]}
    with h5py.File(path, "a") as file:
        file["more"] = [1]
    assert closed(closing, tmp_path) == set()
    assert time.time() - closing.changed < 50


@pytest.mark.parametrize("library", ["earliest", "latest"])
def test_a_file_that_is_open_for_writing_is_not_closed(tmp_path, library, monkeypatch):
    path = tmp_path / NAMES[0]
    file = h5py.File(path, "w", libver=library)
    file["x"] = [1]
    file.flush()
    try:
        grow_old(path)
        assert in_writing(str(path))
        assert closed(Closing(), tmp_path) == set()
        # Where a file system has no locks, the file still says so.
        monkeypatch.setattr("dxflow.live.closed._locked", lambda handle: False)
        assert in_writing(str(path))
    finally:
        file.close()
    monkeypatch.undo()
    grow_old(path)
    assert not in_writing(str(path))
    assert closed(Closing(), tmp_path) == {NAMES[0]}


def test_readers_and_files_that_are_none_are_no_writers(tmp_path):
    path = made(tmp_path, NAMES[0])
    with h5py.File(path, "r"):
        assert not in_writing(str(path))
    (tmp_path / NAMES[1]).write_bytes(b"\x89HDF")
    grow_old(tmp_path / NAMES[1])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "overview.h5").touch()
    assert closed(Closing(), tmp_path) == set(NAMES[:2])
    assert not in_writing(str(tmp_path / "gone.h5"))


def test_a_file_that_vanishes_between_two_looks_is_gone(tmp_path):
    closing = Closing()
    made(tmp_path, NAMES[0]).unlink()
    (tmp_path / NAMES[1]).symlink_to("nowhere.h5")
    assert closing.look([str(tmp_path)]) == []
