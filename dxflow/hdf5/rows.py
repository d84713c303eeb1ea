"""HDF5 datasets, compressed by several threads and written chunk by chunk past HDF5's own filters."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .deflate import LEVEL, compress

CHUNK_BYTES = 2**20
"""What is compressed at once by default: small enough to read a few rows, large enough to compress."""
THREADS = min(2, os.cpu_count() or 1)
JOBS = 4
"""Chunks of a dataset that are being compressed while the next are prepared."""


@dataclass(frozen=True)
class Storage:
    """How rows are stored: type and shape of one, shape of a chunk (rows first), shuffle and gzip or not."""

    dtype: np.dtype
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    compressed: bool = True

    def check(self, path: str, values: NDArray) -> None:
        """Refuse values of another type: chunks are written as they are.

        Raises
        ------
        TypeError
        """
        if values.dtype != self.dtype:
            raise TypeError(f"{path}: values of {values.dtype} do not fit a dataset of {self.dtype}")


def storage(
    dtype: np.dtype,
    shape: Sequence[int],
    chunk: int | Sequence[int] | None = None,
    *,
    compressed: bool = True,
) -> Storage:
    """Return the storage of rows of a shape.

    Parameters
    ----------
    chunk : int, sequence of int or None
        Rows of a chunk; or its whole shape, rows first; None takes about 1 MiB.
    """
    shape = tuple(shape)
    if chunk is None:
        chunk = _about_a_mebibyte(shape, dtype.itemsize)
    whole = (chunk, *shape) if isinstance(chunk, int) else tuple(chunk)
    return Storage(dtype, shape, tuple(max(1, n) for n in whole), compressed)


def _about_a_mebibyte(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return as many rows as fit, or of a larger row its last axes as far as they fit."""
    chunk = [CHUNK_BYTES, *shape]
    for axis in range(len(chunk)):
        rest = math.prod(chunk[axis + 1 :]) * itemsize
        chunk[axis] = min(chunk[axis], max(1, CHUNK_BYTES // max(1, rest)))
    return tuple(chunk)


class Chunks:
    """A dataset of which regions are written that are whole chunks, or reach to its end.

    Parameters
    ----------
    dataset : h5py.Dataset
    storage : Storage
    pool : ThreadPoolExecutor
        Compresses.
    """

    def __init__(self, dataset: h5py.Dataset, storage: Storage, pool: ThreadPoolExecutor) -> None:
        self.dataset, self._storage, self._pool = dataset, storage, pool
        self._jobs: deque[tuple[tuple[int, ...], Future[bytes]]] = deque()

    def write(self, start: Sequence[int], values: NDArray) -> None:
        """Write a region that begins at `start`; the array may not be changed until `drain`."""
        self._storage.check(self.dataset.name, values)
        chunk = self.dataset.chunks
        for offset in product(*(range(0, n, c) for n, c in zip(values.shape, chunk, strict=True))):
            piece = values[tuple(slice(o, o + c) for o, c in zip(offset, chunk, strict=True))]
            at = tuple(s + o for s, o in zip(start, offset, strict=True))
            self._jobs.append((at, self._pool.submit(self._encode, piece)))
            self.drain(JOBS)

    def drain(self, most: int = 0) -> None:
        """Hand chunks to HDF5 in order, until at most so many are still being compressed."""
        while len(self._jobs) > most:
            at, job = self._jobs.popleft()
            self.dataset.id.write_direct_chunk(at, job.result())

    def _encode(self, piece: NDArray) -> bytes:
        """Return a chunk as it is stored: filled up with zeros at the end of the dataset."""
        if piece.shape != self.dataset.chunks:
            whole = np.zeros(self.dataset.chunks, piece.dtype)
            whole[tuple(slice(n) for n in piece.shape)] = piece
            piece = whole
        return compress(piece) if self._storage.compressed else piece.tobytes()


class Rows:
    """A dataset to which rows are appended.

    It is made when the first chunk is full, or at the end: a short one gets a chunk no larger than itself.
    """

    def __init__(self, file: h5py.File, path: str, storage: Storage, pool: ThreadPoolExecutor) -> None:
        self._file, self._path, self._storage, self._pool = file, path, storage, pool
        self._waiting: deque[NDArray] = deque()
        self._rows_waiting = self._rows = 0
        self._chunks: Chunks | None = None

    def append(self, values: NDArray) -> None:
        """Add rows, (row, *shape); the array may not be changed afterwards."""
        self._storage.check(self._path, values)
        if values.shape[1:] != self._storage.shape:
            raise ValueError(f"{self._path}: rows of {values.shape[1:]}, expected {self._storage.shape}")
        self._waiting.append(values)
        self._rows_waiting += len(values)
        step = self._storage.chunk[0]
        while self._rows_waiting >= step:
            self._write(self._rows_waiting // step * step)

    def finish(self) -> None:
        """Write what is left."""
        self._write(self._rows_waiting)
        assert self._chunks is not None
        self._chunks.drain()

    def _write(self, count: int) -> None:
        """Write so many rows: whole chunks, but for the last ones."""
        values, start = self._take(count), self._rows
        if self._chunks is None:
            self._chunks = Chunks(
                create(self._file, self._path, self._storage, count), self._storage, self._pool
            )
        self._rows += count
        if self._rows > self._chunks.dataset.shape[0]:
            self._chunks.dataset.resize(self._rows, 0)
        if count:
            self._chunks.write((start, *(0 for _ in self._storage.shape)), values)

    def _take(self, count: int) -> NDArray:
        """Return the next rows, without copying where they lie in one array."""
        taken = []
        self._rows_waiting -= count
        while count:
            first = self._waiting.popleft()
            if len(first) > count:
                self._waiting.appendleft(first[count:])
            taken.append(first[:count])
            count -= len(taken[-1])
        if len(taken) == 1:
            return taken[0]
        return np.concatenate([np.zeros((0, *self._storage.shape), self._storage.dtype), *taken])


def create(file: h5py.File, path: str, storage: Storage, rows: int) -> h5py.Dataset:
    """Make a dataset with so many rows, and room for more."""
    options: dict[str, Any] = {}
    if storage.compressed:
        options = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": storage.dtype.itemsize > 1}
    return file.create_dataset(
        path,
        shape=(rows, *storage.shape),
        # An axis of length 0 cannot be chunked unless it may grow.
        maxshape=(None, *(n or None for n in storage.shape)),
        chunks=(min(storage.chunk[0], max(1, rows)), *storage.chunk[1:]),
        dtype=storage.dtype,
        **options,
    )
