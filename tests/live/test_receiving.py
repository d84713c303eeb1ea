"""Folders of parcels: held by who receives, and removed when nobody does."""

import fcntl
import os
import time

from dxflow.live.receiving import ABANDONED, LOCK, PREFIX, begun, clear


def left(folder, name, *, held):
    """Make the folder of another process; return its lock."""
    path = folder / f"{PREFIX}{os.getuid()}-{name}"
    path.mkdir()
    (path / "00000.parcel").write_bytes(b"x" * 100)
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT)
    if held:
        fcntl.flock(lock, fcntl.LOCK_EX)
    return path, lock


def test_what_nobody_holds_is_removed_and_nothing_else(tmp_path):
    dead, one = left(tmp_path, "dead", held=False)
    alive, two = left(tmp_path, "alive", held=True)
    begins = tmp_path / f"{PREFIX}{os.getuid()}-begins"
    old = tmp_path / f"{PREFIX}{os.getuid()}-old"
    mine, other = tmp_path / "mine", tmp_path / f"{PREFIX}{os.getuid() + 1}-other"
    for path in (begins, old, mine, other):
        path.mkdir()
    os.utime(old, (0, time.time() - ABANDONED - 1))
    link = tmp_path / f"{PREFIX}{os.getuid()}-link"
    link.symlink_to(mine)
    folder = begun(str(tmp_path))
    assert not dead.exists()
    assert not old.exists()
    assert all(path.exists() for path in (alive, begins, mine, other, link, folder))
    clear(str(tmp_path))
    assert folder.exists()
    os.close(two)
    clear(str(tmp_path))
    assert not alive.exists()
    assert folder.exists()
    os.close(one)
