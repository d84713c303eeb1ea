"""What lies in the folder of a live reduction: removed, set aside for another one, or brought back."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ..disk import ours
from .parameters import FOLDER

ABOUT, DONE = "live.json", "done.json"
CHUNK, CHANGES = "chunk.json", "changes.json"
RESULT, BEFORE, OLD = "result.zarr", "before.zarr", "old-"
"""Name of the final result until it has its own name, of what was there before, of what goes."""
ASIDE = "before.live"
"""Holds what another reduction left, until this one has something to show."""
_OWN = re.compile(r"result\.zarr|before\.zarr|work-\d+\.zarr\.partial|old-.*|\d{4,}\.zarr")
_ASKED = re.compile(r"\d{4,}(\.answer)?\.json|\..*")
_NOTES = (CHUNK, CHANGES, FOLDER, DONE)


def empty(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove what was made there, but for some names; what says whose it is goes last."""
    for path in list(folder.iterdir()):
        if _OWN.fullmatch(path.name) and path.name not in keep:
            remove(path)
    asked = folder / FOLDER
    for path in list(asked.iterdir()) if asked.is_dir() else ():
        if _ASKED.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        asked.rmdir()
    if ASIDE not in keep:
        remove_aside(folder)
    for name in (CHUNK, CHANGES, DONE, ABOUT):
        (folder / name).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a result or journal of ours: under another name first, as a kill may come in between."""
    if path.is_symlink():
        path.unlink()
    elif path.name.startswith(OLD):
        shutil.rmtree(path, ignore_errors=True)
    elif path.exists() and not ours.obstacle(path, [ours.RESULT, ours.JOURNAL, ours.EMPTY]):
        old = path.with_name(f"{OLD}{path.name}")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
        shutil.rmtree(old, ignore_errors=True)


def remove_aside(folder: Path) -> None:
    """Remove what another reduction left."""
    if (folder / ASIDE).is_dir():
        empty(folder / ASIDE)
        with suppress(OSError):
            (folder / ASIDE).rmdir()


def set_aside(folder: Path) -> None:
    """Set aside what a reduction left, but for the result that was there before it; what says whose it is goes last."""
    remove_aside(folder)
    aside = folder / ASIDE
    aside.mkdir(exist_ok=True)
    names = sorted(name for name in os.listdir(folder) if _OWN.fullmatch(name) and name != BEFORE)
    for name in (*names, *_NOTES, ABOUT):
        _move(folder / name, aside / name)


def bring_back(folder: Path) -> None:
    """Bring back what was set aside, in place of what is there now: what says whose it is first, results last.

    Once that is in its place, this was begun before and interrupted, as setting it aside may have been.
    """
    aside = folder / ASIDE
    if (aside / ABOUT).exists():
        empty(folder, keep=(BEFORE, ASIDE))
    for name in (ABOUT, *_NOTES, *sorted(os.listdir(aside))):
        if not os.path.lexists(folder / name):
            _move(aside / name, folder / name)
    with suppress(OSError):
        aside.rmdir()


def interrupted(folder: Path) -> bool:
    """Return whether setting aside or bringing back was begun, and is to be ended by bringing back."""
    return (folder / ASIDE).is_dir() and not (folder / ASIDE / ABOUT).exists()


def _move(one: Path, other: Path) -> None:
    with suppress(FileNotFoundError):
        os.rename(one, other)
