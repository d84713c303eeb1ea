"""A folder beside a path for what is made there until it has its name, and what dead processes left of that."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import ours
from ..disk.fragments import persist
from ..disk.lock import held, holder
from ..disk.replace import appear, replace

if TYPE_CHECKING:
    import xarray as xr

    from ..disk.lock import Lock


MADE, REPLACED = "store", "replaced"
"""In a folder: what is made there, and what had its name before."""
YOUNG = 60
"""Seconds."""


def unfinished(path: Path) -> str:
    """Say who writes, or did not finish, what should be at a path; "" if nobody began."""
    for folder in begun(path):
        if who := holder(folder):
            return f"{who} is writing it"
        if _between(folder):
            return f"it is {folder / REPLACED}, since a process was killed while replacing it: move it back"
        return "it was not finished; make it again"
    return ""


def recover(path: Path, *, alone: bool = False) -> None:
    """Give what was about to be replaced its name again, if whoever did that was killed before it gave the new one.

    Parameters
    ----------
    alone : bool
        Whether it is known that no other process works on it, whatever a process that died may seem to do.

    Raises
    ------
    OSError
        If it cannot have its name.
    """
    if os.path.lexists(path):
        return
    for folder in begun(path):
        if _between(folder) and (alone or holder(folder) is None):
            # Others may do the same at this time.
            with suppress(FileExistsError, FileNotFoundError):
                appear(folder / REPLACED, path)
            return


def _between(folder: Path) -> bool:
    """Return whether somebody was, or is, between taking a name away and giving it to what was made."""
    return all(os.path.lexists(folder / one) for one in (MADE, REPLACED))


def _is_old(folder: Path) -> bool:
    """Return whether whoever made a folder would have said so by now."""
    try:
        return time.time() - folder.stat().st_mtime > YOUNG
    except OSError:
        return False


@contextmanager
def room(path: Path, what: str) -> Iterator[tuple[Path, Lock]]:
    """Have a folder beside a path while something is made there; those that dead processes left are removed.

    What is made is to be called `MADE` there; it goes in the end, if it has no other name by then.
    """
    recover(path)
    for left in begun(path):
        if holder(left) is None and _is_old(left) and not _needed(left, path):
            shutil.rmtree(left, ignore_errors=True)
    folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with held(folder, what) as lock:
        try:
            yield folder, lock
        except OSError as e:
            if e.errno is None or e.filename:
                raise
            raise OSError(e.errno, f"{path}: {e.strerror}") from e
        finally:
            for one in [] if _needed(folder, path) else folder.glob("[!.]*"):
                one.unlink() if one.is_file() else shutil.rmtree(one, ignore_errors=True)


def _needed(folder: Path, path: Path) -> bool:
    """Return whether a folder has all that there is of what had a name."""
    return _between(folder) and not os.path.lexists(path)


def begun(path: Path) -> list[Path]:
    """Return the folders in which somebody makes, or made, what is to have a name."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    parent = path.absolute().parent
    if not parent.is_dir():
        return []
    return [parent / name for name in os.listdir(parent) if pattern.fullmatch(name)]


def publish(folder: Path, path: Path, overwrite: bool, inputs: list[Path]) -> None:
    """Give what was made in a folder its name."""
    made = folder / MADE
    if overwrite and os.path.lexists(path):
        if why := ours.obstacle(path, [ours.RESULT], inputs):
            raise FileExistsError(why)
        replace(made, path, folder / REPLACED)
    else:
        try:
            appear(made, path)
        except FileExistsError as e:
            raise FileExistsError(f"{path} appeared while it was being made; choose another name") from e
    persist(path.parent)


def read_from(data: xr.Dataset) -> list[Path]:
    """Return the files from which values of a dataset are still to be read."""
    lazy = [v for v in data.variables.values() if not v._in_memory]
    return [p for v in lazy for p in ours.paths_in(v)]
