"""The parent's end of a process that writes one HDF5 file."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.process import errors, finish, start, unlocked
from ..disk.replace import appear
from .errors import WriteError, unwritten

PIPE_BYTES = 2**20
"""How long compressing and synchronising what was sent last may take."""


class Sink:
    """An HDF5 file that another process writes, under a temporary name until `publish`.

    Commands are sent and not waited for; what goes wrong is raised by one of the next, or by `close`. The other
    process ends with this one, however that ends, and removes the file if it is not complete.

    Parameters
    ----------
    path : path
        What the file is called in the end.

    Raises
    ------
    WriteError
        By any method: names the file, what HDF5 or the system said, and the free space.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check(self.path)
        # Readers of a run directory look for *.h5. The name is short where the final one is as long as may be.
        self.temporary = self.path.with_name(f".dxflow-{uuid.uuid4().hex[:12]}.part")
        self.answer: dict[str, Any] = {}
        self._errors = errors()
        self._process = start("dxflow.hdf5.child", stderr=self._errors, env=unlocked())
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        with suppress(OSError):
            # Fewer switches between the two processes, where the system allows so much.
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._send("open", str(self.temporary.absolute()))

    def rows(
        self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Any = None, compressed: bool = True
    ) -> None:
        """Declare a dataset that grows by `append`: see `dxflow.hdf5.rows.layout`."""
        self._send("rows", path, dtype.str, list(shape), chunk, compressed)

    def append(self, path: str, values: NDArray) -> None:
        """Add rows to a dataset."""
        self._send("append", path, array=values)

    def array(self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Sequence[int]) -> None:
        """Make a dataset of one row of a shape, written by `region`; `chunk` begins with 1."""
        self._send("array", path, dtype.str, list(shape), list(chunk))

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
        if values:
            self._send("attributes", path, values)

    def link(self, path: str, file: str, target: str) -> None:
        """Let a name stand for something in another file of the same directory."""
        self._send("link", path, file, target)

    def close(self) -> dict[str, Any]:
        """Finish the file, still under its temporary name; return its "bytes" and "crc32"."""
        self._send("close")
        out, err = finish(self._process, self._errors)
        if self._process.returncode or not out:
            raise self._failure(out, err)
        self.answer = json.loads(out)
        return self.answer

    def publish(self) -> None:
        """Give the finished file its name."""
        try:
            os.replace(self.temporary, self.path)
        except OSError as e:
            raise WriteError(e.errno, f"{self.path}: {e.strerror}") from e

    def discard(self) -> None:
        """End the process and remove what it wrote."""
        if self._process.poll() is None:
            self._process.kill()
            finish(self._process, self._errors)
        self.temporary.unlink(missing_ok=True)

    def _send(self, name: str, *arguments: Any, array: NDArray | None = None) -> None:
        """Send a command."""
        head = None if array is None else [array.dtype.str, array.shape]
        try:
            self._pipe.write(json.dumps([name, arguments, head], default=_plain).encode() + b"\n")
            if array is not None and array.size:
                self._pipe.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            self._pipe.flush()
        except (BrokenPipeError, ValueError) as e:
            raise self._failure(*finish(self._process, self._errors)) from e

    def _failure(self, out: str, err: str) -> WriteError:
        """Return the error for a process that ended early, and clean up."""
        self.temporary.unlink(missing_ok=True)
        return unwritten(self.path, self._process.returncode, out, err)


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
                _appear(sink)
                undo.callback(path.unlink)
        aside += [_aside(path, undo, move=True) for path in gone]
        undo.pop_all()
    return aside


def _appear(sink: Sink) -> None:
    try:
        appear(sink.temporary, sink.path)
    except OSError as e:
        raise WriteError(e.errno, f"{sink.path}: {e.strerror}") from e


def _aside(path: Path, undo: ExitStack, *, move: bool) -> Path:
    """Give a file another name, or a second one where it can have two."""
    old = path.with_name(f".dxflow-{uuid.uuid4().hex[:12]}.old")
    try:
        (os.rename if move else os.link)(path, old)
    except OSError as e:
        if move:
            raise WriteError(e.errno, f"{path}: {e.strerror}") from e
        return _aside(path, undo, move=True)
    # Where both names are of one file, it keeps them both.
    undo.callback(old.unlink, missing_ok=True)
    undo.callback(os.replace, old, path)
    return old


def _plain(value: Any) -> Any:
    """Return a number or array of numpy, which an attribute may be, as Python has it."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(
        f"{type(value).__name__} {value!r} cannot be an attribute of a file: give a number or text"
    )


def check(path: Path) -> None:
    """Refuse a place where no file can be made.

    Raises
    ------
    WriteError
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise WriteError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WriteError(f"{path}: the folder {folder} is read-only; choose another")
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as e:
        raise WriteError(e.errno, f"{path}: {e.strerror}; choose another name") from e
