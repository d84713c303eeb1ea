"""What is known of files of which nobody wrote since: plain values, kept for later plans and passes of a process."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any

FILES, ROOM = 2048, 2**17
"""So many files are remembered, and so many bytes of each: 256 MiB at most, and a hundredth of it usually."""
SETTLED = 2 * 10**9
"""Nanoseconds: clocks of file systems are coarse, a file that is younger may change and keep its times."""
LEAST = 256
"""Bytes that any value takes, roughly."""
Identity = tuple[int, int, int, int, int]


class Known:
    """What was read of one version of a file; never anything open, and nothing that depends on another file."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        """Objects that lie in the file itself, as do those on the way to them."""
        self._values: dict[tuple[str, str], Any] = {}
        self.room = ROOM
        """So many bytes more are kept."""

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._values

    def __getitem__(self, key: tuple[str, str]) -> Any:
        return self._values[key]

    def keep(self, key: tuple[str, str], value: Any) -> None:
        """Keep a value, or not if there are too many; what is not kept is read again."""
        size = max(LEAST, getattr(value, "nbytes", 0))
        if size <= self.room:
            self.room -= size
            self._values[key] = value


def identity_of(stat: os.stat_result) -> Identity:
    """Return what no other file has, nor this one after it was written to."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def known_of(path: str, identity: Identity) -> Known:
    """Return what this process knows of a file; nothing yet of one that was written to a moment ago."""
    age = time.time_ns() - max(identity[-2:])
    return _shared(path, identity) if age > SETTLED else Known()


@lru_cache(maxsize=FILES)
def _shared(path: str, identity: Identity) -> Known:
    """Return the same object for the same version of a file."""
    return Known()
