"""Copies a file that stays as it is, byte by byte, within the kernel where that is possible."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

PER_CALL = 2**28
"""Bytes asked for at once, so that other threads and signals get their turn."""
ELSEWHERE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
"""What kernels say that cannot copy from this file system to that one."""


def copy(path: str, to: Path, stopped: Callable[[], bool]) -> int:
    """Copy a file to a name that must not exist, with mode and times, unless stopped; return its bytes."""
    with open(path, "rb", buffering=0) as source, open(to, "xb", buffering=0) as target:
        size, done = os.fstat(source.fileno()).st_size, 0
        while done < size:
            if stopped():
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            if not (n := _some(source.fileno(), target.fileno(), done)):
                raise OSError(errno.EIO, f"the file ends after {done} of {size} bytes")
            done += n
    shutil.copystat(path, to)
    return size


def _some(source: int, target: int, at: int) -> int:
    """Copy some bytes from a position on; return how many, 0 at the end of the file."""
    try:
        return os.copy_file_range(source, target, PER_CALL, at, at)
    except OSError as e:
        if e.errno not in ELSEWHERE:
            raise
    data = os.pread(source, 2**20, at)
    return os.pwrite(target, data, at) if data else 0
