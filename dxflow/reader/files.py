"""Open files of a worker: the descriptors that are read, and the layouts HDF5 gave, checked against the plan."""

from __future__ import annotations

import os
import resource
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import InputChanged, gate
from .layout import Layout, layout_of

if TYPE_CHECKING:
    import h5py

OPEN_FILES = 24
"""Of each of two kinds: clusters limit a process to as little as 64 in all."""
PLANNED = 256
"""While a run is planned, which looks at all of its files several times; HDF5 keeps half a megabyte for each."""
Stat = tuple[int, int, int]
"""Size, time of last change in ns, inode."""


def stat_of(path: str) -> Stat:
    """Return what tells a file from another version of it."""
    s = os.stat(path)
    return s.st_size, s.st_mtime_ns, s.st_ino


def planned() -> int:
    """Return how many files may be open while a run is planned: an eighth of what this process is allowed."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return PLANNED if allowed == resource.RLIM_INFINITY else max(OPEN_FILES, min(PLANNED, allowed // 8))


class Files:
    """Files by path; the ones not used for longest are closed when there are many.

    Threads may share it: a descriptor stays open while it is `reading`, and HDF5 is used under `hdf5`.

    Parameters
    ----------
    most : int
        How many files of each kind are open, descriptors and those of HDF5.
    """

    def __init__(self, most: int = OPEN_FILES) -> None:
        self._most = most
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._readers: Counter[str] = Counter()
        self._handles: OrderedDict[str, h5py.File] = OrderedDict()
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self._planned: dict[str, Stat] = {}
        self._lock = threading.Lock()
        self.hdf5 = threading.RLock()

    def expect(self, files: Iterable[str], planned: Iterable[Stat]) -> None:
        """Note what files were when they were planned; that is checked when they are opened and by `verify`."""
        self._planned.update(zip(files, planned, strict=True))

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
        if len(self._descriptors) >= self._most:
            idle = next((p for p in self._descriptors if not self._readers[p]), None)
            if idle is not None:
                os.close(self._descriptors.pop(idle))
        self._descriptors[path] = os.open(path, os.O_RDONLY)
        return self._descriptors[path]

    def place(self, path: str, name: str) -> tuple[str, str]:
        """Return the file and name of a dataset behind all links.

        Raises
        ------
        ReadFault
            If the file or the dataset cannot be opened, or a link leaves the run.
        """
        with self.hdf5, gate.wrapped(path, name):
            return self.followed(path, name)

    def followed(self, path: str, name: str) -> tuple[str, str]:
        """Return the file and name of an object behind all links, which are followed once; use it under `hdf5`.

        Raises
        ------
        ReadFault
            If a link leaves the run.
        KeyError
            If there is no such object.
        """
        if (path, name) not in self._places:
            self._places[path, name] = gate.follow(self.handle, path, name)
        return self._places[path, name]

    def dataset(self, path: str, name: str) -> h5py.Dataset:
        """Return an open HDF5 dataset; use it under `hdf5`.

        Raises
        ------
        ReadFault
            If it cannot be opened, or must not be read.
        """
        with self.hdf5, gate.wrapped(path, name):
            path, name = self.followed(path, name)
            return gate.checked(self.handle(path)[name], path, name)

    def handle(self, path: str) -> h5py.File:
        """Return an open HDF5 file; it may be closed when others are asked for."""
        import h5py

        if path in self._handles:
            self._handles.move_to_end(path)
            return self._handles[path]
        self._check(path)
        if why := gate.regular(path):
            raise OSError(why)
        handle = self._handles[path] = h5py.File(path, "r")
        if len(self._handles) > self._most:
            self._handles.popitem(last=False)[1].close()
        return handle

    def layout(self, path: str, name: str) -> Layout:
        """Return how a dataset is stored; HDF5 is asked once."""
        with self.hdf5:
            if (path, name) not in self._layouts:
                real = self.place(path, name)
                with gate.wrapped(*real):
                    self._layouts[path, name] = layout_of(self.dataset(*real), real[0])
            return self._layouts[path, name]

    def others(self, path: str, name: str) -> list[str]:
        """Return the files that a dataset lies in, if that is not `path` alone."""
        real, name = self.place(path, name)
        layout = self.layout(real, name)
        found = [real] if real != path else []
        for part in layout.parts:
            found += [part.path] if part.path != real else []
            if os.path.exists(part.path):
                found += self.others(part.path, part.name)
        return list(dict.fromkeys(found))

    def _check(self, path: str) -> None:
        planned = self._planned.get(path)
        if planned is None:
            return
        try:
            now = stat_of(path)
        except OSError as e:
            raise InputChanged(f"{path}: was there when the run was planned, now: {e}") from e
        if now != planned:
            raise InputChanged(
                f"{path}: changed since the run was planned (size {planned[0]} -> {now[0]}, changed or replaced): "
                "wait until nothing writes to the run, then plan again"
            )

    def close(self) -> None:
        """Close everything; what is asked for later is opened again."""
        # Where datasets are and how they are stored is forgotten, too: the files may be others by then.
        self._layouts.clear()
        self._places.clear()
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        while self._handles:
            self._handles.popitem()[1].close()

    def __del__(self) -> None:
        self.close()
