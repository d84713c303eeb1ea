"""Open files of a worker: the descriptors that are read, and the layouts HDF5 gave, checked against the plan."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import InputChanged, ReadFault
from .layout import Layout, layout_of

if TYPE_CHECKING:
    import h5py

OPEN_FILES = 24
"""Of each of two kinds: clusters limit a process to as little as 64 in all."""
Stat = tuple[int, int, int]
"""Size, time of last change in ns, inode."""


def stat_of(path: str) -> Stat:
    """Return what tells a file from another version of it."""
    s = os.stat(path)
    return s.st_size, s.st_mtime_ns, s.st_ino


class Files:
    """Files by path; the ones not used for longest are closed when there are many.

    Threads may share it: a descriptor stays open while it is `reading`, and HDF5 is used under `hdf5`.
    """

    def __init__(self) -> None:
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._readers: Counter[str] = Counter()
        self._handles: OrderedDict[str, h5py.File] = OrderedDict()
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._planned: dict[str, Stat] = {}
        self._lock = threading.Lock()
        self.hdf5 = threading.RLock()

    def expect(self, path: str, planned: Stat) -> None:
        """Note what a file was when it was planned; it is checked when opened and by `verify`."""
        self._planned[path] = planned

    def verify(self) -> None:
        """Check that all files in use still are what they were.

        Raises
        ------
        InputChanged
        """
        for path in {*self._descriptors, *self._handles}:
            self._check(path)

    @contextmanager
    def reading(self, path: str) -> Iterator[int]:
        """Lend an open descriptor."""
        with self._lock:
            descriptor = self._descriptor(path)
            self._readers[path] += 1
        try:
            yield descriptor
        finally:
            with self._lock:
                self._readers[path] -= 1

    def _descriptor(self, path: str) -> int:
        """Return an open descriptor, closing one that nobody reads if there are many."""
        if path in self._descriptors:
            self._descriptors.move_to_end(path)
            return self._descriptors[path]
        self._check(path)
        if len(self._descriptors) >= OPEN_FILES:
            idle = next((p for p in self._descriptors if not self._readers[p]), None)
            if idle is not None:
                os.close(self._descriptors.pop(idle))
        self._descriptors[path] = os.open(path, os.O_RDONLY)
        return self._descriptors[path]

    def dataset(self, path: str, name: str) -> Any:
        """Return an open HDF5 dataset; use it under `hdf5`.

        Raises
        ------
        ReadFault
            If the file or the dataset cannot be opened.
        """
        try:
            dataset = self._handle(path)[name]
        except (OSError, KeyError) as e:
            raise ReadFault(path, name, 0, 0, f"{type(e).__name__}: {e}") from e
        other = os.path.realpath(dataset.file.filename)
        if os.path.dirname(other) != os.path.dirname(os.path.realpath(path)):
            raise ReadFault(path, name, 0, 0, f"a link that leaves the run, to {other}, is refused")
        return dataset

    def _handle(self, path: str) -> h5py.File:
        import h5py

        if path in self._handles:
            self._handles.move_to_end(path)
            return self._handles[path]
        self._check(path)
        handle = self._handles[path] = h5py.File(path, "r")
        if len(self._handles) > OPEN_FILES:
            self._handles.popitem(last=False)[1].close()
        return handle

    def layout(self, path: str, name: str) -> Layout:
        """Return how a dataset is stored; HDF5 is asked once."""
        with self.hdf5:
            if (path, name) not in self._layouts:
                self._layouts[path, name] = layout_of(self.dataset(path, name), path)
            return self._layouts[path, name]

    def _check(self, path: str) -> None:
        planned = self._planned.get(path)
        try:
            now = stat_of(path)
        except OSError as e:
            raise InputChanged(f"{path}: was there when the run was planned, now: {e}") from e
        if planned is not None and now != planned:
            raise InputChanged(
                f"{path}: changed since the run was planned (size {planned[0]} -> {now[0]}, changed or replaced): "
                "wait until nothing writes to the run, then plan again"
            )

    def close(self) -> None:
        """Close everything."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        while self._handles:
            self._handles.popitem()[1].close()
