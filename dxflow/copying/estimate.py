"""How many bytes a file of the copy will have, from what HDF5 says is stored of each dataset."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from ..disk.openhdf5 import open_hdf5
from . import coded, pixels
from .record import can_hold, record_bytes, version_of
from .rows import table
from .sections import Changes
from .tasks import FileTask


def estimate(task: FileTask) -> int:
    """Return the expected bytes of the copy of a file; cut datasets are counted chunk by chunk."""
    if task.whole:
        return task.stat[0]
    with open_hdf5(task.path) as file:
        changes, stored, kept, counted = Changes(file, task), 0, 0, 0
        objects = _objects(file)
        for path, item in objects.items():
            size = item.id.get_storage_size() if isinstance(item, h5py.Dataset) else 0
            stored += size
            if not any(path.startswith(f"{gone}/") or path == gone for gone in changes.gone):
                kept += _after(item, path, size, changes)
                counted += 1
        # What is not values: headers, names, attributes, the index of chunks.
        rest = max(0, task.stat[0] - stored) * counted / max(1, len(objects))
        return int(kept + rest) + _record(file, task)


def _objects(file: h5py.File) -> dict[str, h5py.HLObject]:
    found: dict[str, h5py.HLObject] = {}
    file.visititems(found.__setitem__)
    return found


def _after(item: h5py.HLObject, path: str, size: int, changes: Changes) -> int:
    """Return the stored bytes of what remains of a dataset."""
    steps, encoding = changes.task.pixels.get(path, ()), changes.task.coded.get(path)
    if steps or encoding:
        kept = changes.rows.get(path, np.arange(len(item)))
        return coded.sampled(item, kept, steps, encoding) if encoding else pixels.sampled(item, kept, steps)
    if path in changes.values:
        return len(changes.values[path]) * item.dtype.itemsize
    if path not in changes.rows or not size:
        return size
    rows = changes.rows[path]
    if item.chunks and item.chunks[0] == 1 and item.id.get_create_plist().get_nfilters():
        return _chunks(item, rows)
    return int(size * len(rows) / max(1, len(item)))


def _chunks(item: h5py.Dataset, rows: NDArray) -> int:
    """Return the stored bytes of the chunks of some rows."""
    chunks = table(item)
    return int(chunks.size[np.isin(chunks.row, rows)].sum())


def _record(file: h5py.File, task: FileTask) -> int:
    """Return the bytes of the record of what was dropped."""
    if task.record is None or not can_hold(version_of(file)):
        return 0
    rows = len(file["INDEX/trainId"]) if task.trains is None else int(task.trains.sum())
    keys = sum(len(file[f"INSTRUMENT/{name}"]) for name in task.cuts)
    # Each dataset has a header, and there is room between them.
    return record_bytes(rows, task.record.width, keys) + 5 * keys * 600 + len(task.record.parameters) * 1500
