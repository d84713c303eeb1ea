"""Does the task of one file under a temporary name, in the process of `child` where HDF5 writes."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from ..disk.fragments import persist
from ..disk.process import ended, start
from ..reader.files import stat_of
from ..sizes import show
from . import bytewise
from .errors import CopyError
from .tasks import FileTask

TEMPORARY = ".dxflow-"


class Hands:
    """The parent's end of the process in which HDF5 writes; started for the first file that needs it.

    Notes
    -----
    For one thread at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._stopped = threading.Event()

    def do(self, task: FileTask, folder: Path, *, sync: bool = False, attempt: str = "") -> tuple[int, int]:
        """Copy a file into a folder, where it appears complete; return its bytes and CRC-32.

        Until then it is in the folder of an attempt in it: without that, nobody waits for it any more.

        Raises
        ------
        CopyError
            If that cannot be; names the file, the need and the free space.
        """
        part = folder / attempt / f"{TEMPORARY}{uuid.uuid4().hex[:12]}.part"
        try:
            _check(task)
            made = self._whole(task, part, sync) if task.whole else self._cut(task, part, sync)
            _check(task)
            os.replace(part, folder / task.name)
        except OSError as e:
            raise (
                e if isinstance(e, CopyError) else failed(task, folder, os.strerror(e.errno or 0), e.errno)
            ) from e
        finally:
            part.unlink(missing_ok=True)
        return made

    def _whole(self, task: FileTask, part: Path, sync: bool) -> tuple[int, int]:
        made = bytewise.copy(task.path, part, self._stopped.is_set)
        if sync:
            persist(part)
        return made

    def _cut(self, task: FileTask, part: Path, sync: bool) -> tuple[int, int]:
        """Let the other process write; return bytes and CRC-32 of what it wrote."""
        answer = self._asked((task, part.absolute(), sync))
        if "digest" in answer:
            return answer["digest"]
        said = answer.get("error") or f"the process that wrote it {ended(answer['ended'])}"
        raise failed(task, part.parent, said, answer.get("errno"))

    def _asked(self, task: tuple[FileTask, Path, bool]) -> dict[str, Any]:
        """Return the answer of the other process."""
        if self._process is None:
            self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (BrokenPipeError, EOFError, pickle.UnpicklingError):
            code = self._process.wait()
            self.close()
            return {"ended": code}

    def start(self) -> None:
        """Start the other process, which takes a moment to load its libraries."""
        self._process = start("dxflow.copying.child")

    def stop(self) -> None:
        """Let `do`, in another thread, fail soon."""
        self._stopped.set()
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the other process, and what it does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _check(task: FileTask) -> None:
    """Refuse a file that is not the one that was planned.

    Raises
    ------
    CopyError
    """
    try:
        now = stat_of(task.path)
    except OSError as e:
        raise CopyError(
            f"{task.path}: was there when the copy was planned, now: {e.strerror}", task.path
        ) from e
    if now != task.stat:
        raise CopyError(
            f"{task.path}: changed since the copy was planned (size {task.stat[0]} -> {now[0]}, changed or "
            "replaced): wait until nothing writes to the run, then copy again",
            task.path,
        )


def failed(task: FileTask, folder: Path, said: str, number: int | None) -> CopyError:
    """Return the error of a file that could not be copied."""
    free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    path = folder / task.name
    # A crash of HDF5 has no number; on a full disk that is what happens.
    full = " Is the disk full?" if number is None and free < task.bytes else ""
    return CopyError(
        f"{path} was not copied from {task.path}: {said}.{full} It needs {show(task.bytes)}, "
        f"{show(free)} are free there",
        str(path),
        task.bytes,
        free,
        number,
    )
