"""CRC-32 of bytes and of files, by the fastest library there is."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

BLOCK = 2**22


@cache
def _fastest() -> Callable[..., int]:
    """Return Intel's, else that of zlib."""
    try:
        from isal import isal_zlib
    except ImportError:
        # There are no wheels of it for some machines.
        return zlib.crc32
    return isal_zlib.crc32


def crc32(data: bytes | memoryview, so_far: int = 0) -> int:
    """Return the CRC-32 of bytes that follow others."""
    return _fastest()(data, so_far)


def digest(path: str | Path) -> tuple[int, int]:
    """Return the size and CRC-32 of a file."""
    crc = size = 0
    with open(path, "rb", buffering=0) as file:
        buffer = memoryview(bytearray(min(BLOCK, os.fstat(file.fileno()).st_size + 1)))
        while count := file.readinto(buffer):
            crc, size = crc32(buffer[:count], crc), size + count
    return size, crc


def secured(path: str | Path) -> tuple[int, int]:
    """Make a file last through a power loss; return its size and CRC-32, found while the disk is written."""
    with open(path, "rb") as file, ThreadPoolExecutor(1) as pool:
        synced = pool.submit(os.fsync, file.fileno())
        found = digest(path)
        synced.result()
    return found
