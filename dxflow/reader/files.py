"""Open files of a worker: the descriptors that are read, and the layouts HDF5 gave, checked against the plan."""

from __future__ import annotations

import os
import resource
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..disk.openhdf5 import open_hdf5
from . import gate
from .faults import InputChanged
from .known import Identity, Known, identity_of, known_of
from .layout import Layout, begins, layout_of, odd, parts_of

if TYPE_CHECKING:
    import h5py

    from .opened import Opened

OPEN_FILES = 24
"""Of each of two kinds: clusters limit a process to as little as 64 in all."""
PLANNED = 256
"""While a run is planned, which looks at all of its files several times; HDF5 keeps half a megabyte for each."""
ABSENT = ("", "")
"""Stands for a link where there is none, nor an object."""
T = TypeVar("T")
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
    planning : bool
        More may be open at a time.
    """

    def __init__(self, *, planning: bool = False) -> None:
        self._planning, self._most = planning, planned() if planning else OPEN_FILES
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._readers: Counter[str] = Counter()
        self._handles: OrderedDict[str, h5py.File] = OrderedDict()
        self._layouts: dict[tuple[str, str], Layout] = {}
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self._virtual: set[tuple[str, str]] = set()
        self._known: dict[str, tuple[Identity, Known]] = {}
        self._last: tuple[tuple[str, str], Any] | None = None
        self._planned: dict[str, Stat] = {}
        self._seen: dict[str, Stat] = {}
        self._lock = threading.Lock()
        self.hdf5 = threading.RLock()

    def expect(self, files: Iterable[str], planned: Iterable[Stat]) -> None:
        """Note what files were when they were planned; that is checked when they are opened and by `verify`."""
        self._planned.update(zip(files, planned, strict=True))

    def seen(self, path: str) -> Stat:
        """Return what a file was before anything was read of it here."""
        if path not in self._seen:
            self._seen[path] = stat_of(path)
        return self._seen[path]

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
        if self._planning:
            # HDF5 has the file open anyway, and nobody else reads.
            with self.hdf5:
                yield self.handle(path).id.get_vfd_handle()
            return
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
            return self._real(path, name)

    def _real(self, path: str, name: str) -> tuple[str, str]:
        """Return the same, found once."""
        real = self._places.get((path, name))
        if real is None:
            real = self._places[path, name] = gate.follow(self._link, path, name)
        return real

    def _link(self, path: str, name: str) -> gate.Link | None:
        """Return what the first link on the way to an object leads to."""
        key = "link", name
        if key not in self._known_of(path):
            file, known = self.handle(path), self._known_of(path)
            try:
                link = gate.first_link(file, name, known.groups)
            except KeyError:
                known.keep(key, ABSENT)
                raise
            known.keep(key, link)
            return link
        if (link := self._known_of(path)[key]) == ABSENT:
            raise KeyError(f"there is no {name}")
        return link

    def recall(self, path: str, kind: str, name: str, ask: Callable[[], T]) -> T:
        """Return what `ask` says of an object, which is not asked again while the file is the same.

        What depends on other files is not kept, nor is a fault.
        """
        with self.hdf5, gate.wrapped(path, name):
            known = self._known_of(path)
            if (kind, name) in known:
                return cast("T", known[kind, name])
        value = ask()
        with self.hdf5, gate.wrapped(path, name):
            # The file may have become another between the two.
            if self._known_of(path) is known and self._direct(path, name):
                known.keep((kind, name), value)
        return value

    def _direct(self, path: str, name: str) -> bool:
        """Return whether an object lies in its file, or is known not to: without any link or virtual dataset."""
        try:
            return self._real(path, name) == (path, name) and (path, name) not in self._virtual
        except KeyError:
            return True

    def _known_of(self, path: str) -> Known:
        """Return what is known of a file."""
        if path not in self._known:
            self._check(path)
            self._meet(path, os.stat(path))
        return self._known[path][1]

    def _meet(self, path: str, stat: os.stat_result) -> None:
        """Forget what was known of a file if it is another one, or was written to."""
        self._seen.setdefault(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))
        identity = identity_of(stat)
        if path in self._known and self._known[path][0] == identity:
            return
        if path in self._known:
            self._places.clear()
            self._layouts = {key: layout for key, layout in self._layouts.items() if key[0] != path}
            self._virtual = {key for key in self._virtual if key[0] != path}
        self._known[path] = identity, known_of(path, identity)

    def dataset(self, path: str, name: str) -> Opened:
        """Return an open HDF5 dataset; use it under `hdf5`.

        Raises
        ------
        ReadFault
            If it cannot be opened, or must not be read.
        """
        with self.hdf5, gate.wrapped(path, name):
            real = self._real(path, name)
            dataset, known = self._object(real), self._known_of(real[0])
            if ("checked", real[1]) not in known:
                gate.checked(dataset, *real)
                known.keep(("checked", real[1]), True)
            return dataset

    def has(self, path: str, name: str) -> bool:
        """Return whether there is a dataset, which may still be unreadable.

        Raises
        ------
        ReadFault
            If a link on the way to it leaves the run.
        """
        return self.recall(path, "has", name, lambda: self._has(path, name))

    def _has(self, path: str, name: str) -> bool:
        import h5py

        with self.hdf5, gate.wrapped(path, name):
            try:
                real = self._real(path, name)
            except KeyError:
                return False
            return isinstance(self._object(real), h5py.Dataset)

    def _object(self, real: tuple[str, str]) -> Any:
        """Return an open object; the last one is kept, since it is asked for several times in a row."""
        import h5py

        from .opened import Opened

        # Closing its file makes it false.
        if self._last is None or self._last[0] != real or not self._last[1]:
            handle = self.handle(real[0])
            found = h5py.h5o.open(handle.id, real[1].encode())
            is_dataset = isinstance(found, h5py.h5d.DatasetID)
            self._last = real, Opened(found) if is_dataset else handle[real[1]]
        return self._last[1]

    def handle(self, path: str) -> h5py.File:
        """Return an open HDF5 file; it may be closed when others are asked for."""

        if path in self._handles:
            self._handles.move_to_end(path)
            return self._handles[path]
        self._check(path)
        if why := gate.regular(path):
            raise OSError(why)
        self.seen(path)
        handle = self._handles[path] = open_hdf5(path)
        self._meet(path, os.fstat(handle.id.get_vfd_handle()))
        if len(self._handles) > self._most:
            self._handles.popitem(last=False)[1].close()
        return handle

    def release(self, path: str) -> None:
        """Close a file that will hardly be asked for again."""
        with self.hdf5:
            self._last = None
            if path in self._handles:
                self._handles.pop(path).close()

    def room(self, path: str) -> int:
        """Return how many more bytes of answers are kept of a file."""
        with self.hdf5:
            return self._known_of(path).room

    def layout(self, path: str, name: str) -> Layout:
        """Return how a dataset is stored; HDF5 is asked once, also for later passes of this process."""
        with self.hdf5:
            if (path, name) not in self._layouts:
                self._layouts[path, name] = layout = self._layout(*self.place(path, name))
                if layout.way == "virtual":
                    self._virtual.add((path, name))
            return self._layouts[path, name]

    def _layout(self, path: str, name: str) -> Layout:
        """Return how a dataset behind all links is stored."""
        with gate.wrapped(path, name):
            known, key = self._known_of(path), ("layout", name)
            if key in known:
                return cast("Layout", known[key])
            layout = layout_of(self.dataset(path, name), path, self._odd(path))
            # Where other files come in, and in a file that became another one meanwhile, nothing is kept.
            if layout.way != "virtual" and self._known_of(path) is known:
                known.keep(key, layout)
            return layout

    def begins(self, path: str, name: str) -> int | None:
        """Return where a dataset begins that lies in one stretch, None for others; less is asked than of `layout`."""
        with self.hdf5, gate.wrapped(path, name):
            return begins(self.dataset(path, name), self._odd(path))

    def _odd(self, path: str) -> str:
        """Return why the bytes of a file are not where HDF5 says, or ""."""
        known = self._known_of(path)
        if ("odd", "") in known:
            return str(known["odd", ""])
        known.keep(("odd", ""), found := odd(self.handle(path).id))
        return found

    def others(self, path: str, name: str) -> list[str]:
        """Return the files that a dataset lies in, if that is not `path` alone.

        Where its chunks are is not asked: a file may have 100,000 of them, and only who reads them needs it.

        Raises
        ------
        ReadFault
            As `layout` does.
        """
        real, name = self.place(path, name)
        found = [real] if real != path else []
        for part in self._parts(real, name):
            found += [part.path] if part.path != real else []
            if os.path.exists(part.path):
                found += self.others(part.path, part.name)
        return list(dict.fromkeys(found))

    def _parts(self, path: str, name: str) -> tuple[gate.Part, ...]:
        """Return what a dataset is made of if it is a virtual one, which is noted."""
        with self.hdf5, gate.wrapped(path, name):
            parts = parts_of(self.dataset(path, name), path)
            if parts is not None:
                self._virtual.add((path, name))
            return parts or ()

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
        # How datasets are stored is forgotten, too: the files may be others by then.
        self._last = None
        for known in (self._layouts, self._known, self._places, self._virtual):
            known.clear()
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
        while self._handles:
            self._handles.popitem()[1].close()

    def __del__(self) -> None:
        self.close()
