"""Copies a file that stays as it is, byte by byte, within the kernel where that is possible."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..disk.checksums import crc32

PER_CALL = 2**21
"""Bytes copied at once: few enough to be in the cache when they are read again for the checksum."""
ELSEWHERE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
"""What kernels say that cannot copy from this file system to that one."""


def copy(path: str, to: Path, stopped: Callable[[], bool]) -> tuple[int, int]:
    """Copy a file to a name that must not exist, with mode and times, unless stopped; return its bytes and CRC-32."""
    buffer = memoryview(bytearray(PER_CALL))
    with open(path, "rb", buffering=0) as source, open(to, "x+b", buffering=0) as target:
        size, done, crc = os.fstat(source.fileno()).st_size, 0, 0
        while done < size:
            if stopped():
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            if not (n := _some(source.fileno(), target.fileno(), done)):
                raise OSError(errno.EIO, f"the file ends after {done} of {size} bytes")
            crc, done = _crc32(target.fileno(), done, buffer[:n], crc), done + n
    shutil.copystat(path, to)
    return size, crc


def _crc32(file: int, at: int, view: memoryview, crc: int) -> int:
    """Return the CRC-32 with some more bytes of a file."""
    while view:
        if not (n := os.preadv(file, [view], at)):
            raise OSError(errno.EIO, f"the copy ends after {at} bytes")
        crc, view, at = crc32(view[:n], crc), view[n:], at + n
    return crc


def _some(source: int, target: int, at: int) -> int:
    """Copy some bytes from a position on; return how many, 0 at the end of the file."""
    try:
        return os.copy_file_range(source, target, PER_CALL, at, at)
    except OSError as e:
        if e.errno not in ELSEWHERE:
            raise
    data = os.pread(source, 2**20, at)
    return os.pwrite(target, data, at) if data else 0
