"""A folder beside a path for what is made there until it has its name, and what dead processes left of that."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk import ours
from ..disk.fragments import persist
from ..disk.lock import held, holder
from ..disk.replace import appear, replace

if TYPE_CHECKING:
    import xarray as xr

    from ..disk.lock import Lock


YOUNG = 60
"""Seconds."""


def unfinished(path: Path) -> str:
    """Say who writes, or did not finish, what should be at a path; "" if nobody began."""
    for folder in begun(path):
        who = holder(folder)
        return f"{who} is writing it" if who else "it was not finished; make it again"
    return ""


def _is_old(folder: Path) -> bool:
    """Return whether whoever made a folder would have said so by now."""
    try:
        return time.time() - folder.stat().st_mtime > YOUNG
    except OSError:
        return False


@contextmanager
def room(path: Path, what: str) -> Iterator[tuple[Path, Lock]]:
    """Have a folder beside a path while something is made there; those that dead processes left are removed."""
    for left in begun(path):
        if holder(left) is None and _is_old(left):
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
            for one in folder.glob("[!.]*"):
                one.unlink() if one.is_file() else shutil.rmtree(one, ignore_errors=True)


def begun(path: Path) -> list[Path]:
    """Return the folders in which somebody makes, or made, what is to have a name."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    parent = path.absolute().parent
    if not parent.is_dir():
        return []
    return [parent / name for name in os.listdir(parent) if pattern.fullmatch(name)]


def publish(made: Path, path: Path, old: Path, overwrite: bool, inputs: list[Path]) -> None:
    """Give what was made its name."""
    if overwrite and os.path.lexists(path):
        if why := ours.obstacle(path, [ours.RESULT], inputs):
            raise FileExistsError(why)
        replace(made, path, old)
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
