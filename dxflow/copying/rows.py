"""Moves some rows of a dataset to another: stored chunks as they are where that can be, through HDF5 elsewhere."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import h5py
import numpy as np
from h5py import h5d, h5s
from numpy.typing import NDArray

from ..codecs.table import make_known
from ..reader.stretches import stretches
from .objects import Damaged, refuse_references

BATCH = 2**22
"""Bytes that are read at once where stored chunks lie side by side."""


def move(source: h5py.Dataset, into: h5py.Dataset, rows: NDArray, descriptor: int) -> None:
    """Copy rows, (row,) rising, into a dataset of as many rows.

    Parameters
    ----------
    descriptor : int
        Of the file of `source`, open for reading without HDF5.
    """
    if not len(rows) or source.size == 0:
        return
    kind = source.id.get_create_plist().get_layout()
    # Values of a type with references to other places of the file, and files whose addresses are not positions.
    plain = not source.dtype.hasobject and not source.file.userblock_size
    refuse_references(source)
    if plain and kind == h5d.CHUNKED:
        _Chunks(source, into, rows, descriptor).move()
    elif plain and kind == h5d.CONTIGUOUS and not source.id.get_create_plist().get_external_count():
        _contiguous(source, into, rows, descriptor)
    else:
        through_hdf5(source, into, rows, 0, len(rows))


@dataclass(frozen=True, eq=False)
class Table:
    """The stored chunks of a dataset, in the order of its rows.

    Parameters
    ----------
    row : ndarray of int64, (chunk,)
        First row of each.
    offset : ndarray of int64, (chunk, axis)
        Where it lies in the dataset.
    at, size, mask : ndarray of int64, (chunk,)
        Position in the file, stored bytes, filters that were skipped.
    """

    row: NDArray
    offset: NDArray
    at: NDArray
    size: NDArray
    mask: NDArray


def table(dataset: h5py.Dataset) -> Table:
    """Ask HDF5 once where all chunks are; those that were never written are not among them."""
    found: list[h5d.StoreInfo] = []
    dataset.id.chunk_iter(found.append)
    offset = np.array([i.chunk_offset for i in found], np.int64).reshape(len(found), dataset.ndim)
    place = np.array([(i.byte_offset, i.size, i.filter_mask) for i in found], np.int64).reshape(-1, 3)
    order = np.argsort(offset[:, 0], kind="stable")
    return Table(offset[order, 0], offset[order], *place[order].T)


class _Chunks:
    """Moves rows of a chunked dataset: whole chunks as they are, others by reading and writing rows."""

    def __init__(self, source: h5py.Dataset, into: h5py.Dataset, rows: NDArray, descriptor: int) -> None:
        self.source, self.into, self.rows, self.descriptor = source, into, rows, descriptor
        self.step, self.name = source.chunks[0], source.name
        self.table = table(source)
        self.buffer = memoryview(mmap.mmap(-1, max(BATCH, int(self.table.size.max(initial=1)))))

    def move(self) -> None:
        """Move all rows; the chunks of the target have as many rows as those of the source."""
        as_they_are = self._moved_whole()
        for start, stop in stretches(as_they_are[1:] == as_they_are[:-1], len(as_they_are)):
            if as_they_are[start]:
                self._stored(np.arange(start, stop))
            else:
                through_hdf5(
                    self.source,
                    self.into,
                    self.rows,
                    start * self.step,
                    min(stop * self.step, len(self.rows)),
                )

    def _moved_whole(self) -> NDArray:
        """Return which chunks of rows of the target are one of the source, (chunk,)."""
        firsts = np.arange(0, len(self.rows), self.step)
        lasts = np.minimum(firsts + self.step, len(self.rows)) - 1
        first, last = self.rows[firsts], self.rows[lasts]
        together = (first % self.step == 0) & (last - first == lasts - firsts)
        # A chunk that is not full only fits where both datasets end.
        full = (lasts - firsts == self.step - 1) | (last == len(self.source) - 1)
        return np.asarray(together & full)

    def _stored(self, targets: NDArray) -> None:
        """Move chunks of rows of the target from the source as they are."""
        wanted = self.rows[targets * self.step]
        left = np.searchsorted(self.table.row, wanted, "left")
        count = np.searchsorted(self.table.row, wanted, "right") - left
        chunks = np.repeat(left, count) + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        offsets = self.table.offset[chunks]
        offsets[:, 0] = np.repeat(targets * self.step, count)
        for start, stop in self._batches(chunks):
            self._batch(chunks[start:stop], offsets[start:stop])

    def _batches(self, chunks: NDArray) -> Iterator[tuple[int, int]]:
        """Yield stretches of chunks that lie side by side in the file and fit the buffer."""
        at, size = self.table.at[chunks], self.table.size[chunks]
        apart = np.flatnonzero(at[1:] != at[:-1] + size[:-1]) + 1
        for start, stop in pairwise((0, *apart.tolist(), len(chunks))):
            held = 0
            for n, more in enumerate(size[start:stop].tolist(), start):
                if held and held + more > len(self.buffer):
                    yield start, n
                    start, held = n, 0
                held += more
            if start < stop:
                yield start, stop

    def _batch(self, chunks: NDArray, offsets: NDArray) -> None:
        """Read chunks that lie side by side at once, and hand each to HDF5 as it is."""
        sizes = self.table.size[chunks]
        view = self.buffer[: int(sizes.sum())]
        _read(self.descriptor, view, int(self.table.at[chunks[0]]), self.name)
        at, write = 0, self.into.id.write_direct_chunk
        for offset, size, mask in zip(
            offsets.tolist(), sizes.tolist(), self.table.mask[chunks].tolist(), strict=True
        ):
            write(tuple(offset), view[at : at + size], mask)
            at += size


def _contiguous(source: h5py.Dataset, into: h5py.Dataset, rows: NDArray, descriptor: int) -> None:
    """Gather rows of a contiguous dataset and write many at once, without conversion."""
    if (start := source.id.get_offset()) is None:
        return
    stored, name = source.id.get_storage_size(), source.name
    bytes_of_row = stored // len(source)
    if stored <= 2 * BATCH:
        whole = np.empty((len(source), bytes_of_row), np.uint8)
        _read(descriptor, whole.reshape(-1).data, start, name)
        _write(into, 0, len(rows), whole[rows].reshape(-1))
        return
    buffer = np.empty(max(bytes_of_row, BATCH - BATCH % bytes_of_row), np.uint8)
    per_write = len(buffer) // bytes_of_row
    for first in range(0, len(rows), per_write):
        part = rows[first : first + per_write]
        for a, b in stretches(np.diff(part) == 1, len(part)):
            view = buffer[a * bytes_of_row : b * bytes_of_row].data
            _read(descriptor, view, start + int(part[a]) * bytes_of_row, name)
        _write(into, first, len(part), buffer)


def _write(into: h5py.Dataset, first: int, count: int, buffer: NDArray) -> None:
    """Write the bytes of rows as they are stored."""
    shape = (count, *into.shape[1:])
    space = into.id.get_space()
    space.select_hyperslab((first, *(0 for _ in shape[1:])), shape)
    into.id.write(h5s.create_simple(shape), space, buffer, into.id.get_type())


def _read(descriptor: int, view: memoryview, at: int, name: str) -> None:
    """Fill a buffer from a position of the file."""
    while view:
        if not (n := os.preadv(descriptor, [view], at)):
            raise Damaged(f"{name}: the file ends before its data, at {at} bytes")
        view, at = view[n:], at + n


def through_hdf5(source: h5py.Dataset, into: h5py.Dataset, rows: NDArray, start: int, stop: int) -> None:
    """Read and write the rows number start:stop, decoded, a few chunks at a time."""
    row_bytes = max(1, int(np.prod(source.shape[1:], dtype=np.int64)) * source.dtype.itemsize)
    step = source.chunks[0] if source.chunks else max(1, BATCH // row_bytes)
    for first, values in blocks(source, rows, start, stop, step):
        into[first : first + len(values)] = values


def blocks(
    source: h5py.Dataset, rows: NDArray, start: int, stop: int, step: int
) -> Iterator[tuple[int, NDArray]]:
    """Yield (number of the first, values) of `step` of the rows number start:stop at a time, decoded."""
    make_known(source)
    chunk = source.chunks[0] if source.chunks else step
    last, block = -1, np.empty(0)
    for first in range(start, stop, step):
        part = rows[first : min(first + step, stop)]
        values = np.empty((len(part), *source.shape[1:]), source.dtype)
        # Chunks are read whole and kept while their rows come: HDF5 would decode them once per stretch of rows.
        for a, b in stretches(np.diff(part // chunk) == 0, len(part)):
            if (number := int(part[a]) // chunk) != last:
                last, block = number, source[number * chunk : (number + 1) * chunk]
            values[a:b] = block[part[a:b] - number * chunk]
        yield first, values
