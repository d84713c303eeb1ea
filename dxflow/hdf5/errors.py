"""What can be wrong with data for a file, or with writing it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ..disk.process import ended
from ..sizes import show


class ExdfError(ValueError):
    """Data that a file cannot hold; the message says source, key and train, and what to do.

    Parameters
    ----------
    problem : str
    source, key : str
        Which data; "" where it is about none in particular.
    train : int, optional
        The first train it is about.
    """

    def __init__(self, problem: str, source: str = "", key: str = "", train: int | None = None) -> None:
        self.problem, self.source, self.key, self.train = problem, source, key, train
        super().__init__(problem)

    def __str__(self) -> str:
        where = [self.source, f"key {self.key}" if self.key else ""]
        where.append(f"train {self.train}" if self.train is not None else "")
        place = ", ".join(w for w in where if w)
        return f"{place}: {self.problem}" if place else self.problem

    def __reduce__(self) -> tuple:
        return type(self), (self.problem, self.source, self.key, self.train)


class WriteError(OSError):
    """A file that could not be written: the disk is full or read-only, or the process that wrote it died."""


def unwritten(path: Path, code: int, out: str, err: str) -> WriteError:
    """Return the error of a file whose process ended early; it may have left an answer, with "error" and "errno"."""
    answer = json.loads(out) if out.startswith("{") else {}
    said = answer.get("error") or f"the process that wrote it {ended(code)}. {err.strip()[-500:]}"
    # The process looked before it removed what it had written.
    free = answer.get("free")
    free = shutil.disk_usage(path.absolute().parent).free if free is None else free
    error = WriteError(f"{path} was not written: {said.strip()} ({show(free)} are free there)")
    error.errno = answer.get("errno")
    return error
