"""Files and directories that appear whole under their name, by one rename where the file system can."""

from __future__ import annotations

import ctypes
import errno
import os
import uuid
from pathlib import Path

AT_FDCWD = -100
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""What systems say that cannot exchange two names, or look whether one is free."""


def put(path: Path, text: str) -> None:
    """Write a small file, which appears whole, or takes the place of another."""
    # Names may be as long as systems allow.
    temporary = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace(made: Path, path: Path, old: Path) -> None:
    """Give `made` the name `path`, and what has it so far the name `old`, in the same file system.

    Where names cannot be exchanged there is nothing under `path` between two renames: whoever is killed there leaves
    both `made` and `old`, and whoever comes next has to give one of them the name.
    """
    if exchange(made, path):
        os.replace(made, old)
        return
    os.replace(path, old)
    try:
        os.replace(made, path)
    except BaseException:
        appear(old, path)
        raise


def appear(made: Path, path: Path) -> None:
    """Give `made` the name `path`, which nothing may have.

    Raises
    ------
    FileExistsError
        If something has it.
    """
    if _rename(made, path, RENAME_NOREPLACE):
        return
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(made), None, str(path))
    os.rename(made, path)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or directories at once; return False where that cannot be.

    Raises
    ------
    OSError
    """
    return _rename(one, other, RENAME_EXCHANGE)


def _rename(one: Path, other: Path, how: int) -> bool:
    """Rename in a way that only some systems know; return whether this one does."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
