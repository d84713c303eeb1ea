"""Heaps of texts in a file, checked before HDF5 walks through them: some damage makes it stand still for ever."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .faults import ReadFault

if TYPE_CHECKING:
    import h5py

REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
"""What is stored of a text in its dataset."""
HEAD = struct.Struct("<4sB3xQ")
OBJECT = struct.Struct("<HH4xQ")
LARGEST = 2**30


def checked(dataset: h5py.Dataset, path: str, name: str) -> None:
    """Refuse texts whose heap is damaged.

    Raises
    ------
    ReadFault
    """
    import h5py

    # Whatever lies in a heap is an object in Python.
    if dataset.dtype.kind != "O" or h5py.check_string_dtype(dataset.dtype) is None:
        return
    made = h5py.h5i.get_file_id(dataset.id).get_create_plist()
    if made.get_userblock() or made.get_sizes() != (8, 8):
        return
    with open(path, "rb", buffering=0) as file:
        stored = b"".join(os.pread(file.fileno(), size, at) for at, size in _stored(dataset))
        found = np.frombuffer(stored[: len(stored) // REFERENCE.itemsize * REFERENCE.itemsize], REFERENCE)
        for heap in sorted(set(found["heap"].tolist()) - {0}):
            if why := _wrong(file.fileno(), heap):
                raise ReadFault(path, name, 0, 0, f"damaged: the heap of its texts, at byte {heap}, {why}")


def _stored(dataset: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of what is stored of a dataset and not compressed."""
    if not dataset.chunks:
        if (at := dataset.id.get_offset()) is not None:
            yield at, dataset.id.get_storage_size()
    elif not dataset.id.get_create_plist().get_nfilters():
        for number in range(dataset.id.get_num_chunks()):
            chunk = dataset.id.get_chunk_info(number)
            yield chunk.byte_offset, chunk.size


def _wrong(file: int, at: int) -> str:
    """Return what is wrong with a heap, or ""."""
    try:
        head = os.pread(file, HEAD.size, at)
    except (OverflowError, OSError):
        head = b""
    if len(head) < HEAD.size or (said := HEAD.unpack(head))[0] != b"GCOL":
        return "is none"
    if said[2] > LARGEST or len(heap := os.pread(file, said[2], at)) < said[2]:
        return "is longer than its file"
    position = HEAD.size
    while position + OBJECT.size <= len(heap):
        index, _, size = OBJECT.unpack_from(heap, position)
        position += size if index == 0 else OBJECT.size + -(-size // 8) * 8
        # HDF5 would stand still there.
        if not (index or size) or position > len(heap):
            return "holds a text of no or too many bytes"
    return ""
