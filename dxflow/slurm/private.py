"""Folders that only their user can enter: credentials, job scripts and logs lie in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .commands import OptionError

ELSE = "give another directory= ($DXFLOW_HOME), such as one in your home"


def folder(path: Path) -> Path:
    """Make a folder that only its user can enter, or make it so.

    Raises
    ------
    OptionError
        If that cannot be, or somebody else could replace it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise OptionError(
            f"{path}: the folder for job scripts and logs cannot be made ({e.strerror}); {ELSE}"
        ) from e
    refuse_open(path)
    mine = path.stat()
    if mine.st_uid != os.getuid():
        raise OptionError(f"{path} belongs to somebody else, who could read the credentials in it; {ELSE}")
    if stat.S_IMODE(mine.st_mode) & 0o077:
        path.chmod(0o700)
    refuse_shared(path)
    return path


def refuse_open(path: Path) -> None:
    """Raise if a folder lies in one in which everybody may rename it: /tmp, where only owners may, is none of these."""
    for parent in path.absolute().resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise OptionError(
                f"{path}: everybody can write to {parent}, and so could put other credentials there; "
                f"chmod o-w {parent}, or {ELSE}"
            )


def refuse_shared(path: Path) -> None:
    """Raise if others can enter a folder all the same: some file systems know no such modes."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise OptionError(f"{path}: others can read this folder, and chmod does not change that; {ELSE}")
