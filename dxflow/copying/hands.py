"""Does the task of one file under a temporary name, where something is left out in the process in which HDF5 writes."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from typing import Any

from ..disk.fragments import persist
from ..hdf5.errors import WriteError, unwritten
from ..hdf5.process import Writer
from ..reader.files import stat_of
from . import bytewise
from .tasks import FileTask

TEMPORARY = ".dxflow-"


class Hands(Writer):
    """Copies files one after the other; the process in which HDF5 writes starts for the first that needs it.

    With `coded`, it loads what pixels are rounded with, too.
    """

    def __init__(self, *, coded: bool = False) -> None:
        # Another process might be writing to the original.
        super().__init__(f"dxflow.copying.{'warm' if coded else 'cut'}", locks=True)
        self._stopped = threading.Event()

    def copy(self, task: FileTask, folder: Path, *, sync: bool = False, attempt: str = "") -> tuple[int, int]:
        """Copy a file into a folder, where it appears complete; return its bytes and CRC-32.

        Until then it is in the folder of an attempt in it: without that, nobody waits for it any more.

        Raises
        ------
        WriteError
            If that cannot be; names the file, the need and the free space.
        """
        part = folder / attempt / f"{TEMPORARY}{uuid.uuid4().hex[:12]}.part"
        try:
            _check(task)
            made = (self._whole if task.whole else self._cut)(task, part, sync, folder)
            _check(task)
            os.replace(part, folder / task.name)
        except OSError as e:
            raise (e if isinstance(e, WriteError) else failed(task, folder, e)) from e
        finally:
            part.unlink(missing_ok=True)
        return made

    def _whole(self, task: FileTask, part: Path, sync: bool, folder: Path) -> tuple[int, int]:
        made = bytewise.copy(task.path, part, self._stopped.is_set)
        if sync:
            persist(part)
        return made

    def _cut(self, task: FileTask, part: Path, sync: bool, folder: Path) -> tuple[int, int]:
        """Let the other process write; return bytes and CRC-32 of what it wrote."""
        return self.do("write", task, part.absolute(), sync, made=part, **_named(task, folder))

    def stop(self) -> None:
        """Let `copy`, in another thread, fail soon."""
        self._stopped.set()
        super().stop()


def _check(task: FileTask) -> None:
    """Refuse a file that is not the one that was planned.

    Raises
    ------
    WriteError
    """
    try:
        now = stat_of(task.path)
    except OSError as e:
        raise WriteError(
            f"{task.path}: was there when the copy was planned, now: {e.strerror}", task.path
        ) from e
    if now != task.stat:
        raise WriteError(
            f"{task.path}: changed since the copy was planned (size {task.stat[0]} -> {now[0]}, changed or "
            "replaced): wait until nothing writes to the run, then copy again",
            task.path,
        )


def failed(task: FileTask, folder: Path, error: OSError) -> WriteError:
    """Return the error of a file that could not be copied."""
    return unwritten(**_named(task, folder), said=os.strerror(error.errno or 0), number=error.errno)


def _named(task: FileTask, folder: Path) -> dict[str, Any]:
    """Return what `unwritten` is to say of a file that is not copied."""
    words = f"was not copied from {task.path}"
    return {"path": folder / task.name, "words": words, "need": task.bytes}
