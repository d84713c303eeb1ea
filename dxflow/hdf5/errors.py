"""What can be wrong with data for a file, or with writing it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..sizes import show

LITTLE = 2**20
"""Free bytes of a disk that is called full."""


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
    """A file that could not be written: the disk is full or read-only, or the process that wrote it died.

    Of a copy also: the original is unreadable, or changed meanwhile.

    Parameters
    ----------
    message : str
    path : str
        Of the file that is missing.
    need, free : int, optional
        Bytes of that file, where they are known, and bytes that the disk has.
    number : int, optional
        What the system said, as in `errno`.
    """

    def __init__(
        self,
        message: str,
        path: str = "",
        need: int | None = None,
        free: int | None = None,
        number: int | None = None,
    ) -> None:
        super().__init__(message)
        self.path, self.need, self.free, self.errno = path, need, free, number

    def __reduce__(self) -> tuple:
        return type(self), (self.args[0], self.path, self.need, self.free, self.errno)


def unwritten(
    path: Path,
    said: str,
    number: int | None = None,
    *,
    free: int | None = None,
    need: int | None = None,
    words: str = "was not written",
) -> WriteError:
    """Return the error of a file that could not be written, with what the system or HDF5 said of it."""
    if free is None:
        folder = path.absolute().parent
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    # A crash of HDF5 has no number; on a full disk that is what happens.
    full = ". Is the disk full?" if number is None and free < (need or LITTLE) else ""
    needs = f"it needs {show(need)}, " if need else ""
    message = f"{path} {words}: {said}{full} ({needs}{show(free)} are free there)"
    return WriteError(message, str(path), need, free, number)
