"""The parent's end of a process that writes one HDF5 file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.replace import appear
from .errors import WriteError
from .process import Writer


class Sink:
    """An HDF5 file that another process writes, under a temporary name until `publish`.

    Commands are sent and not waited for; what goes wrong is raised by one of the next, or by `close`. The other
    process ends with this one, however that ends, and removes the file if it is not complete.

    Parameters
    ----------
    path : path
        What the file is called in the end.
    idle : list of Writer, optional
        Processes that have nothing to do: one of them is taken, if there is one, and given back when it is done.

    Raises
    ------
    WriteError
        By any method: names the file, what HDF5 or the system said, and the free space.
    """

    def __init__(self, path: str | Path, idle: list[Writer] | None = None) -> None:
        self.path = Path(path)
        check(self.path)
        # Readers of a run directory look for *.h5. The name is short where the final one is as long as may be.
        self.temporary = self.path.with_name(f".dxflow-{uuid.uuid4().hex[:12]}.part")
        self._idle, self._done = idle, False
        self._writer = idle.pop() if idle else Writer("dxflow.hdf5.content")
        self._writer.begin("write", str(self.temporary.absolute()), made=self.temporary, path=self.path)

    def rows(
        self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Any = None, compressed: bool = True
    ) -> None:
        """Declare a dataset that grows by `append`: see `dxflow.hdf5.rows.storage`."""
        self._send("rows", path, dtype, tuple(shape), chunk, compressed)

    def append(self, path: str, values: NDArray) -> None:
        """Add rows to a dataset."""
        self._send("append", path, array=values)

    def array(self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Sequence[int]) -> None:
        """Make a dataset of one row of a shape, written by `region`; `chunk` begins with 1."""
        self._send("array", path, dtype, tuple(shape), tuple(chunk))

    def region(self, path: str, start: Sequence[int], values: NDArray) -> None:
        """Write a region of such a dataset, which begins and ends with a chunk."""
        self._send("region", path, [int(n) for n in start], array=values)

    def plain(self, path: str, values: NDArray) -> None:
        """Write a small array."""
        self._send("plain", path, array=values)

    def text(self, path: str, lines: Sequence[str]) -> None:
        """Write strings of any length, (line,)."""
        self._send("text", path, list(lines))

    def group(self, path: str) -> None:
        """Make a group, unless it is there."""
        self._send("group", path)

    def attributes(self, path: str, values: dict[str, Any]) -> None:
        """Set attributes, of something that there will be at the end."""
        for value in values.values():
            if np.asarray(value).dtype.kind in "OV":
                raise TypeError(
                    f"{type(value).__name__} {value!r} cannot be an attribute of a file: give a number or text"
                )
        self._send("attributes", path, values)

    def link(self, path: str, file: str, target: str) -> None:
        """Let a name stand for something in another file of the same directory."""
        self._send("link", path, file, target)

    def close(self) -> dict[str, Any]:
        """Finish the file, still under its temporary name; return its "bytes" and "crc32"."""
        answer = self._writer.end()
        self._done = True
        self._writer.close() if self._idle is None else self._idle.append(self._writer)
        return answer

    def publish(self, put: Callable[[Path, Path], None] = os.replace) -> None:
        """Give the finished file its name."""
        try:
            put(self.temporary, self.path)
        except OSError as e:
            raise _unnamed(self.path, e) from e

    def discard(self) -> None:
        """End the process and remove what it wrote."""
        if not self._done:
            self._writer.close()
        self.temporary.unlink(missing_ok=True)

    def _send(self, name: str, *arguments: Any, array: NDArray | None = None) -> None:
        """Send a command."""
        self._writer.send((name, arguments), array)


def replace_all(made: Mapping[Path, Sink], gone: Iterable[Path]) -> list[Path]:
    """Give finished files their names, in this order, and take others theirs away; all of it, or nothing.

    Returns
    -------
    list of path
        What the files that had a name before are called now: to be removed.

    Raises
    ------
    WriteError
    """
    aside: list[Path] = []
    with ExitStack() as undo:
        for path, sink in made.items():
            if os.path.lexists(path):
                aside.append(_aside(path, undo, move=False))
                sink.publish()
            else:
                sink.publish(appear)
                undo.callback(path.unlink)
        aside += [_aside(path, undo, move=True) for path in gone]
        undo.pop_all()
    return aside


def _aside(path: Path, undo: ExitStack, *, move: bool) -> Path:
    """Give a file another name, or a second one where it can have two."""
    old = path.with_name(f".dxflow-{uuid.uuid4().hex[:12]}.old")
    try:
        (os.rename if move else os.link)(path, old)
    except OSError as e:
        if move:
            raise _unnamed(path, e) from e
        return _aside(path, undo, move=True)
    # Where both names are of one file, it keeps them both.
    undo.callback(old.unlink, missing_ok=True)
    undo.callback(os.replace, old, path)
    return old


def _unnamed(path: Path, error: OSError, advice: str = "") -> WriteError:
    """Return the error of a file that cannot have its name."""
    return WriteError(f"{path}: {error.strerror}{advice}", str(path), number=error.errno)


def check(path: Path) -> None:
    """Refuse a place where no file can be made.

    Raises
    ------
    WriteError
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise WriteError(f"{path}: the folder {folder} does not exist; make it first", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(f"{path}: the folder {folder} is read-only; choose another", str(path))
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as e:
        raise _unnamed(path, e, "; choose another name") from e
