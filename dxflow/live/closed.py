"""Which files of a run that grows are closed: nobody has them open for writing, and nothing more comes.

A file is closed when its HDF5 consistency flag is clear and nobody holds its lock, and there is a newer sequence of the
same aggregator, or it has not changed for half a minute. Nothing is opened with HDF5 here, and a lock is only tried
where a writer had it long ago: a reader never keeps a writer from a file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..disk.marks import PATTERN

QUIET = 30.0
"""Seconds without a change after which a file is closed that has no newer sequence."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLAGS = {0: 20, 1: 20, 2: 11, 3: 11}
"""Version of the superblock -> where its consistency flags are."""
WRITTEN = 0b101
"""Of the flags: open for writing, and for that beside readers."""
Identity = tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """A file of a run, as it is now."""

    path: str
    stream: str
    """What writes its sequences: the name of the file without their number."""
    sequence: int
    closed: bool
    identity: Identity
    """Size, time of last change in ns, inode."""


class Closing:
    """Looks at the files of folders again and again.

    Parameters
    ----------
    quiet : float
        Seconds without a change after which a file is closed.

    Attributes
    ----------
    changed : float
        When something changed last, in seconds since the epoch.
    """

    def __init__(self, quiet: float = QUIET) -> None:
        self.quiet, self.changed = quiet, 0.0
        self._known: dict[str, tuple[Identity, bool]] = {}
        self._there: frozenset[str] | None = None

    def look(self, folders: Sequence[str]) -> list[Seen]:
        """Return what is in folders now, in the order of names."""
        found = [one for folder in folders for one in self._in(folder)]
        newest: dict[tuple[str, str], int] = {}
        for path, stream, number, _ in found:
            at = os.path.dirname(path), stream
            newest[at] = max(newest.get(at, 0), number)
        there = frozenset(path for path, *_ in found)
        if self._there is not None and there != self._there:
            self.changed = time.time()
        self._there = there
        return [
            Seen(
                path,
                stream,
                number,
                self._closed(path, stat, newest[os.path.dirname(path), stream] > number),
                stat,
            )
            for path, stream, number, stat in found
        ]

    def _in(self, folder: str) -> list[tuple[str, str, int, Identity]]:
        """Return path, stream, sequence and identity of the files of a folder."""
        found = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if not entry.name.endswith(".h5") or entry.name.lower() == "overview.h5":
                    continue
                try:
                    stat = os.stat(entry.path)
                except OSError:
                    # It was removed, or renamed, a moment ago.
                    continue
                self.changed = max(self.changed, stat.st_mtime, stat.st_ctime)
                named = PATTERN.fullmatch(entry.name)
                stream = entry.name.rpartition("-")[0] if named else entry.name
                number = int(named[4]) if named else 0
                found.append((entry.path, stream, number, (stat.st_size, stat.st_mtime_ns, stat.st_ino)))
        return found

    def _closed(self, path: str, identity: Identity, followed: bool) -> bool:
        """Return whether a file is closed; one that is stays so until it is changed."""
        before = self._known.get(path)
        if before is not None and before[0] != identity:
            self.changed = time.time()
        if before == (identity, True):
            return True
        age = time.time() - identity[1] / 1e9
        closed = (followed or age >= self.quiet) and not in_writing(path)
        self._known[path] = identity, closed
        return closed


def in_writing(path: str) -> bool:
    """Return whether a file says that it is open for writing, or somebody has it locked for that."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        # What cannot be read is a fault of a file that is closed.
        return False
    try:
        return _flagged(os.pread(handle, 24, 0)) or _locked(handle)
    finally:
        os.close(handle)


def _flagged(head: bytes) -> bool:
    """Return whether the begin of an HDF5 file says that it is being written."""
    if not head.startswith(SIGNATURE) or len(head) < 24 or head[8] not in FLAGS:
        return False
    return bool(head[FLAGS[head[8]]] & WRITTEN)


def _locked(handle: int) -> bool:
    """Return whether a process has an open file locked for writing, as HDF5 does where the file system has locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
