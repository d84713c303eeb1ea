"""What the process in which HDF5 writes does with the file of a result: fill it, seal it, find damage."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...codecs.table import make_known
from ...disk import checksums
from ...disk.checksums import BLOCK
from ...disk.marks import GROUP
from ...hdf5.rows import THREADS, Chunks, Storage
from ...hdf5.wire import Message

MARK = b"dxflow crc32 "
"""Stands before the checksum, so that it is found without HDF5, which damage could crash."""


def write(sent: Iterable[Message], maker: str, path: Path, task: dict[str, Any]) -> None:
    """Let a format make the file, then fill its datasets with the arrays that are sent."""
    file, datasets = import_module(maker).create(path, task)
    pieces: dict[str, list[Any]] = {}
    pool = ThreadPoolExecutor(THREADS)
    for (name, region), values in sent:
        if values is not None and values.size:
            _put(datasets[name], region, values, pool)
            pieces.setdefault(name, []).append([region, values.shape, _crc32(values)])
    file.close()
    with h5py.File(path, "r+") as again:
        group = again.require_group(GROUP)
        group.create_dataset("pieces", data=json.dumps(pieces), dtype=h5py.string_dtype())


def _put(dataset: Any, region: Sequence[int], values: NDArray, pool: ThreadPoolExecutor) -> None:
    """Write a region; whole chunks are compressed by several threads, faster than HDF5 does."""
    deflated = dataset.chunks and dataset.compression == "gzip"
    made = deflated and Storage(values.dtype, dataset.shape[1:], dataset.chunks)
    if made and _whole_chunks(dataset, region, values):
        chunks = Chunks(dataset, made, pool)
        chunks.write(region, values)
        chunks.drain()
    else:
        dataset[_slices(region, values.shape)] = values


def _whole_chunks(dataset: Any, region: Sequence[int], values: NDArray) -> bool:
    """Return whether a region begins with a chunk and ends with one, or with the dataset, and is stored as it is."""
    same = values.dtype == dataset.dtype or values.dtype.kind == "b" and dataset.dtype.itemsize == 1
    edges = zip(region, values.shape, dataset.shape, dataset.chunks, strict=True)
    return same and all(a % c == 0 and ((a + n) % c == 0 or a + n == end) for a, n, end, c in edges)


def _slices(region: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(region, shape, strict=True))


def _crc32(values: Any) -> int:
    return checksums.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def damaged(sent: Iterable[Message], path: Path) -> list[str]:
    """Return the names of the arrays of a file that are not as they were written."""
    with h5py.File(path, "r") as file:
        pieces = json.loads(file[GROUP]["pieces"][()])
        places = json.loads(file[GROUP]["manifest"][()])["hdf5"]["variables"]
        return [n for n, of in pieces.items() if not _whole(file, places[n]["path"], of)]


def _whole(file: h5py.File, path: str, pieces: Sequence[Any]) -> bool:
    """Return whether all pieces of an array can be read and are as they were written."""
    make_known(file[path])
    try:
        return all(_crc32(file[path][_slices(a, n)]) == crc for a, n, crc in pieces)
    # Whatever HDF5 makes of changed bytes.
    except Exception:  # noqa: BLE001
        return False


def seal(sent: Iterable[Message], path: Path, manifest: str) -> None:
    """Add the manifest and the checksum of the whole file, and make the file last."""
    with h5py.File(path, "r+") as file:
        group = file.require_group(GROUP)
        group.attrs["NX_class"] = "NXcollection"
        group.create_dataset("manifest", data=manifest, dtype=h5py.string_dtype())
        at = group.create_dataset("crc32", data=np.bytes_(MARK + b"0" * 8))
        file.flush()
        offset = at.id.get_offset() + len(MARK)
    with open(path, "r+b") as raw:
        raw.seek(offset)
        raw.write(b"%08x" % crc32(path, offset))
        raw.flush()
        os.fsync(raw.fileno())


def crc32(path: Path, offset: int) -> int:
    """Return the CRC-32 of a file in which its own checksum counts as zeros."""
    crc, at = 0, 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            a, b = max(offset - at, 0), min(offset + 8 - at, len(block))
            if a < b:
                block = block[:a] + b"0" * (b - a) + block[b:]
            crc, at = checksums.crc32(block, crc), at + len(block)
    return crc


def unreadable(sent: Iterable[Message], path: Path) -> list[str]:
    """Return the paths of compressed datasets of a file that HDF5 cannot read; others have no checksums."""
    found: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks and item.size and not _readable(item):
            found.append(name)

    with h5py.File(path, "r") as file:
        file.visititems(look)
    return found


def _readable(dataset: h5py.Dataset) -> bool:
    """Return whether all chunks can be read."""
    make_known(dataset)
    try:
        for region in dataset.iter_chunks():
            dataset[region]
    # Whatever HDF5 makes of changed bytes.
    except Exception:  # noqa: BLE001
        return False
    return True
