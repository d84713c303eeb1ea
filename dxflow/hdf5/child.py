"""The process that writes one HDF5 file: it does what it reads from its standard input.

A full disk can crash the process in which HDF5 writes. Here that is this one, and its parent gets an error.

Each command is a line of JSON, ``[name, arguments, bytes]``, and that many bytes of an array. What went wrong, or the
size and checksum of the finished file, is a line of JSON on the standard output. At the end of the input without
``close`` the unfinished file is removed: nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from ..disk.checksums import secured
from .rows import Chunks, Rows, create, layout

THREADS = min(2, os.cpu_count() or 1)


class Hdf5:
    """The commands: what can be asked for in a file.

    Parameters
    ----------
    path : path
        Made here, and must not exist.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        # Version 1.10 of the format has checksums on all metadata; HDF5 reads it since 2016.
        self._file = h5py.File(path, "x", libver="v110")
        self._pool = ThreadPoolExecutor(THREADS)
        self._rows: dict[str, Rows] = {}
        self._arrays: dict[str, Chunks] = {}
        self._attributes: list[tuple[str, dict[str, Any]]] = []

    def rows(
        self, path: str, dtype: str, shape: Sequence[int], chunk: Any = None, compressed: bool = True
    ) -> None:
        """Declare a dataset that grows by `append`."""
        made = layout(np.dtype(dtype), shape, chunk, compressed=compressed)
        self._rows[path] = Rows(self._file, path, made, self._pool)

    def append(self, path: str, values: NDArray) -> None:
        """Add rows to a dataset."""
        self._rows[path].append(values)

    def array(self, path: str, dtype: str, shape: Sequence[int], chunk: Sequence[int]) -> None:
        """Make a dataset of one row that is written region by region."""
        made = layout(np.dtype(dtype), shape, chunk)
        self._arrays[path] = Chunks(create(self._file, path, made, 1), made, self._pool)

    def region(self, path: str, start: Sequence[int], values: NDArray) -> None:
        """Write a region of whole chunks of such a dataset."""
        self._arrays[path].write((0, *start), values[np.newaxis])

    def plain(self, path: str, values: NDArray) -> None:
        """Write a small array as it is."""
        self._file.create_dataset(path, data=values)

    def text(self, path: str, lines: Sequence[str]) -> None:
        """Write strings of any length."""
        self._file.create_dataset(path, data=[s.encode() for s in lines], dtype=h5py.string_dtype())

    def group(self, path: str) -> None:
        """Make a group, unless it is there."""
        self._file.require_group(path)

    def attributes(self, path: str, values: dict[str, Any]) -> None:
        """Set attributes of a group or dataset; at the end, since datasets of rows are made late."""
        self._attributes.append((path, values))

    def link(self, path: str, file: str, target: str) -> None:
        """Let a name stand for something in another file of the same directory."""
        self._file[path] = h5py.ExternalLink(file, target)

    def close(self) -> dict[str, Any]:
        """Finish all datasets and make the file last; return its size and checksum."""
        for rows in self._rows.values():
            rows.finish()
        for chunks in self._arrays.values():
            chunks.drain()
        for path, values in self._attributes:
            self._file[path].attrs.update(values)
        self._file.close()
        size, crc = secured(self.path)
        return {"bytes": size, "crc32": crc}


def main() -> None:
    """Do the commands of the standard input; leave without closing HDF5 if one fails."""
    # An interrupt is for the parent, whose end is the end of the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, file = sys.stdin.buffer, None
    try:
        file = Hdf5(json.loads(source.readline())[1][0])
        answer = _work(file, source)
    except BaseException as e:  # noqa: BLE001 - whatever it is, the parent is to know it
        _leave(file, _failure(e, file), 1)
    _leave(None if answer else file, answer, 0)


def _failure(error: BaseException, file: Hdf5 | None) -> dict[str, Any]:
    """Return what the parent is told: what the system said if it said something, else what HDF5 did."""
    number = getattr(error, "errno", None)
    text = os.strerror(number) if number else f"{type(error).__name__}: {error}".replace("\n", " ")
    free = shutil.disk_usage(file.path.parent).free if file else None
    return {"error": text, "errno": number, "free": free}


def _work(file: Hdf5, source: BinaryIO) -> dict[str, Any]:
    """Do all commands; return what the parent is told, or nothing if the input ends without ``close``."""
    while line := source.readline():
        name, arguments, array = json.loads(line)
        if array is not None:
            arguments.append(_array(source, *array))
        answer = getattr(file, name)(*arguments)
        if name == "close":
            return answer
    return {}


def _array(source: BinaryIO, dtype: str, shape: Sequence[int]) -> NDArray:
    """Read an array."""
    values = np.empty(shape, np.dtype(dtype))
    view, got = values.reshape(-1).view(np.uint8).data, 0
    while got < values.nbytes:
        count = source.readinto(view[got:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"the input ended after {got} of {values.nbytes} bytes of an array")
        got += count
    return values


def _leave(file: Hdf5 | None, answer: dict[str, Any], code: int) -> None:
    """Answer and end the process at once; an unfinished file is removed, not closed."""
    if file is not None:
        file.path.unlink(missing_ok=True)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    # HDF5 would try to write what it holds when Python ends, and crash on a full disk.
    os._exit(code)
