"""Writes a file with what remains of another: walks through it and copies, cuts or leaves out each object."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5o

from ..disk.checksums import digest, secured
from ..disk.openhdf5 import open_hdf5
from ..hdf5.wire import Message
from . import coded, outside, pixels, record
from .objects import again, dataset_like, file_like, group_like, link_like
from .rows import move
from .sections import Changes
from .tasks import FileTask

LARGE = 2**20
"""Stored bytes from which a dataset that stays as it is is moved in large batches rather than by HDF5's own copy."""


def write(sent: Iterable[Message], task: FileTask, path: str | Path, sync: bool) -> tuple[int, int]:
    """Write the remains of a file under a name that must not exist; return its bytes and CRC-32.

    Notes
    -----
    For a process of its own: HDF5 may crash when the disk is full.
    """
    descriptor = os.open(task.path, os.O_RDONLY)
    with open_hdf5(task.path) as original:
        made = file_like(path, original)
        cutter = _Cutter(original, made, Changes(original, task), descriptor)
        cutter.group(original["/"], made["/"], "")
        if task.record is not None:
            record.write(original, made, task)
        outside.write_record(original, made, task.pixels)
        coded.write_record(original, made, cutter.coded)
        made.close()
    os.close(descriptor)
    return secured(path) if sync else digest(path)


def _of_others(item: h5py.Dataset) -> bool:
    """Return whether a dataset only refers to other files, which may not be beside the copy, or not the same there."""
    return item.is_virtual and any(source.file_name != "." for source in item.virtual_sources())


class _Cutter:
    """Copies groups object by object; what is linked several times in the original is so in the copy."""

    def __init__(self, original: h5py.File, made: h5py.File, changes: Changes, descriptor: int) -> None:
        self.original, self.made, self.changes, self.descriptor = original, made, changes, descriptor
        self.coded: dict[str, coded.Done] = {}
        self._known: dict[Any, str] = {}

    def group(self, here: h5py.Group, there: h5py.Group, path: str) -> None:
        """Copy what is in a group."""
        for name in here:
            below = f"{path}/{name}" if path else name
            link = here.get(name, getlink=True)
            if self._gone(here, name, below):
                continue
            if isinstance(link, h5py.HardLink):
                self._object(here, there, name, below)
            else:
                link_like(there, name, link)

    def _gone(self, here: h5py.Group, name: str, path: str) -> bool:
        """Return whether something is left out: by its name, or as a group of nothing but such things."""
        gone = self.changes.gone
        if path in gone:
            return True
        if not isinstance(here.get(name, getlink=True), h5py.HardLink) or not any(
            g.startswith(f"{path}/") for g in gone
        ):
            return False
        inside = here[name]
        return (
            isinstance(inside, h5py.Group)
            and len(inside) > 0
            and all(self._gone(inside, n, f"{path}/{n}") for n in inside)
        )

    def _object(self, here: h5py.Group, there: h5py.Group, name: str, path: str) -> None:
        """Copy a group, a dataset or a type."""
        item = here[name]
        info = h5o.get_info(item.id)
        if info.rc > 1:
            if info.addr in self._known:
                there.id.links.create_hard(name.encode(), self.made.id, self._known[info.addr].encode())
                return
            self._known[info.addr] = path
        if isinstance(item, h5py.Group):
            self.group(item, group_like(there, name, item), path)
        elif isinstance(item, h5py.Dataset):
            self._dataset(item, there, name, path)
        else:
            h5o.copy(here.id, name.encode(), there.id, name.encode())

    def _dataset(self, item: h5py.Dataset, there: h5py.Group, name: str, path: str) -> None:
        """Copy a dataset, or what remains of it."""
        changes = self.changes
        steps, encoding = changes.task.pixels.get(path, ()), changes.task.coded.get(path)
        if encoding:
            rows = changes.rows.get(path, np.arange(len(item)))
            self.coded[path] = coded.move(item, there, name, rows, steps, encoding)
        elif steps:
            pixels.move(item, there, name, changes.rows.get(path, np.arange(len(item))), steps)
        elif path in changes.values:
            values = changes.values[path]
            dataset_like(there, name, item, len(values))[:] = values
        elif path in changes.rows:
            rows = changes.rows[path]
            move(item, dataset_like(there, name, item, len(rows)), rows, self.descriptor)
        elif item.dtype.hasobject:
            # HDF5's own copy of strings fails in files that have been written to: "past end of allocation".
            again(item, there, name)
        elif item.shape and (_of_others(item) or item.id.get_storage_size() > LARGE and not item.is_virtual):
            move(item, dataset_like(there, name, item, len(item)), np.arange(len(item)), self.descriptor)
        else:
            h5o.copy(item.parent.id, name.encode(), there.id, name.encode())
