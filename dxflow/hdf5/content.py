"""What a `Sink` asks for, done: datasets, attributes and links of one file, in the process in which HDF5 writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..disk.checksums import secured
from .rows import THREADS, Chunks, Rows, create, storage
from .wire import Message


def write(sent: Iterable[Message], path: str) -> dict[str, Any]:
    """Make a file, do the commands that are sent, and make the file last; return its size and checksum."""
    content = _Content(path)
    for (name, arguments), array in sent:
        getattr(content, name)(*arguments, *(() if array is None else (array,)))
    content.close()
    size, crc = secured(path)
    return {"bytes": size, "crc32": crc}


class _Content:
    """A file that must not exist; the commands are the methods of `Sink` of the same names, and explained there."""

    def __init__(self, path: str) -> None:
        # Version 1.10 of the format has checksums on all metadata; HDF5 reads it since 2016.
        self._file = h5py.File(path, "x", libver="v110")
        self._pool = ThreadPoolExecutor(THREADS)
        self._rows: dict[str, Rows] = {}
        self._arrays: dict[str, Chunks] = {}
        self._attributes: list[tuple[str, dict[str, Any]]] = []

    def rows(
        self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Any = None, compressed: bool = True
    ) -> None:
        made = storage(dtype, shape, chunk, compressed=compressed)
        self._rows[path] = Rows(self._file, path, made, self._pool)

    def append(self, path: str, values: NDArray) -> None:
        self._rows[path].append(values)

    def array(self, path: str, dtype: np.dtype, shape: Sequence[int], chunk: Sequence[int]) -> None:
        made = storage(dtype, shape, chunk)
        self._arrays[path] = Chunks(create(self._file, path, made, 1), made, self._pool)

    def region(self, path: str, start: Sequence[int], values: NDArray) -> None:
        self._arrays[path].write((0, *start), values[np.newaxis])

    def plain(self, path: str, values: NDArray) -> None:
        self._file.create_dataset(path, data=values)

    def text(self, path: str, lines: Sequence[str]) -> None:
        self._file.create_dataset(path, data=[s.encode() for s in lines], dtype=h5py.string_dtype())

    def group(self, path: str) -> None:
        self._file.require_group(path)

    def attributes(self, path: str, values: dict[str, Any]) -> None:
        # At the end: datasets of rows are made late.
        self._attributes.append((path, values))

    def link(self, path: str, file: str, target: str) -> None:
        self._file[path] = h5py.ExternalLink(file, target)

    def close(self) -> None:
        """Finish all datasets."""
        for rows in self._rows.values():
            rows.finish()
        for chunks in self._arrays.values():
            chunks.drain()
        for path, values in self._attributes:
            self._file[path].attrs.update(values)
        self._file.close()
