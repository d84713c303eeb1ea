"""Stretches of frames that are read at once: as they are, decoded, through HDF5, or not at all."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from . import decode, gate
from .faults import ReadFault
from .files import Files
from .layout import DEFLATE, FLETCHER, Layout
from .stretches import stretches

if TYPE_CHECKING:
    import h5py

LARGE_STORED = 2**18
"""Stored bytes of a chunk from which on its size is tried out before HDF5 inflates it: less become 256 MiB at most."""


class Extent(Protocol):
    """A stretch of consecutive wanted frames that are read the same way."""

    @property
    def count(self) -> int:
        """Frames."""

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Fill ``out`` (frame, ...) with frames start:stop of the extent, or raise `ReadFault`."""


@dataclass(frozen=True, eq=False)
class Target:
    """What extents have in common: the dataset, where a frame is in its row, and what of it is wanted.

    `band` are the slow-scan rows that are read, `columns` the part of them that is kept (None: all).
    """

    files: Files
    path: str
    dataset: str
    layout: Layout
    stored: tuple[int, ...]
    itemsize: int
    per_entry: int
    plane: int | None
    band: slice
    columns: slice | None

    @property
    def frame_bytes(self) -> int:
        """Bytes of a whole frame, as stored."""
        return math.prod(self.stored) * self.itemsize

    @property
    def line_bytes(self) -> int:
        """Bytes of one slow-scan row."""
        return math.prod(self.stored[1:]) * self.itemsize

    @property
    def band_bytes(self) -> int:
        """Bytes that are read of a frame."""
        return (self.band.stop - self.band.start) * self.line_bytes if self.stored else self.itemsize

    @property
    def step(self) -> int:
        """Bytes from one frame to the next, of rows that follow each other."""
        return self.frame_bytes if self.plane is None else self.layout.row_bytes

    @property
    def whole(self) -> bool:
        """Whether whole frames are wanted."""
        return self.columns is None and self.band_bytes == self.frame_bytes

    def fault(self, first: int, count: int, detail: str, cause: str = "unreadable data") -> ReadFault:
        """Return the fault of rows of this dataset."""
        return ReadFault(self.path, self.dataset, first, count, detail, cause)

    def within(self, lines: NDArray) -> NDArray:
        """Return the bytes before what is wanted of each frame in its row; lines count frames."""
        skip = self.band.start * self.line_bytes if self.stored else 0
        if self.plane is not None:
            return np.full(len(lines), self.plane * self.frame_bytes + skip)
        return (lines % self.per_entry) * self.frame_bytes + skip

    def banded(self, out: NDArray, read: Callable[[NDArray], None]) -> None:
        """Let `read` fill ``out`` (frame, ss, fs), through a buffer of whole lines if only some columns are kept."""
        if self.columns is None:
            read(out)
            return
        lines = np.empty((len(out), self.band.stop - self.band.start, *self.stored[1:]), out.dtype)
        read(lines)
        out[...] = lines[:, :, self.columns]


def fill(out: NDArray, descriptor: int, at: int) -> None:
    """Fill an array with the bytes of a file from a position on.

    Raises
    ------
    EOFError, OSError
    """
    into = out.reshape(-1).view(np.uint8).data
    while into:
        if not (n := os.preadv(descriptor, [into], at)):
            raise EOFError("the file ends before")
        into, at = into[n:], at + n


def _fill_each(out: NDArray, descriptor: int, at: int, step: int) -> None:
    """Fill rows of an array from positions of a file that are so far from each other.

    Raises
    ------
    EOFError, OSError
    """
    into = out.reshape(-1).view(np.uint8).data
    size = len(into) // max(1, len(out))
    for start in range(0, len(into), size):
        if os.preadv(descriptor, [into[start : start + size]], at) < size:
            fill(out[start // size], descriptor, at)
        at += step


@dataclass(frozen=True, eq=False)
class Direct:
    """Frames at the same distance from each other in a file, read straight into the buffer."""

    target: Target
    offset: int
    line: int
    count: int

    def begins(self, start: int) -> int:
        """Return the position in the file of a frame."""
        return self.offset + start * self.target.step

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Read without HDF5 and its lock: with one call, or one for each frame of which only some rows are wanted."""
        self.target.banded(out, lambda lines: self._read(start, lines))

    def _read(self, start: int, out: NDArray) -> None:
        t = self.target
        try:
            with t.files.reading(t.path) as descriptor:
                if t.step == t.band_bytes:
                    fill(out, descriptor, self.begins(start))
                else:
                    _fill_each(out, descriptor, self.begins(start), t.step)
        except (EOFError, OSError) as e:
            raise t.fault((self.line + start) // t.per_entry, len(out), str(e)) from e


@dataclass(frozen=True, eq=False)
class Decoded:
    """Frames of compressed chunks, decoded into the buffer one by one."""

    target: Target
    lines: NDArray

    @property
    def count(self) -> int:
        """Frames."""
        return len(self.lines)

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Read and decode each chunk once for the consecutive frames that lie in it."""
        self.target.banded(out, lambda lines: self._read(start, stop, lines))

    def _read(self, start: int, stop: int, out: NDArray) -> None:
        t = self.target
        rows = self.lines[start:stop] // t.per_entry
        chunks = t.layout.chunk_of(rows)
        inside = (rows - chunks * t.layout.chunk_rows) * t.layout.row_bytes + t.within(self.lines[start:stop])
        for a, b in stretches(chunks[1:] == chunks[:-1], len(chunks)):
            self._chunk(int(chunks[a]), inside[a:b], out[a:b], int(rows[a]))

    def stored(self, start: int, stop: int) -> list[bytes]:
        """Return the compressed bytes of the chunks of frames start:stop; adjacent ones are read at once."""
        t, layout = self.target, self.target.layout
        chunks = self.lines[start:stop] // t.per_entry // layout.chunk_rows
        offsets, ends = layout.offsets[chunks], layout.offsets[chunks] + layout.sizes[chunks]
        found: list[bytes] = []
        with self._named(int(chunks[0]), int(self.lines[start]) // t.per_entry, stop - start):
            self._refuse_long(int(layout.sizes[chunks].max()))
            with t.files.reading(t.path) as descriptor:
                for a, b in stretches(offsets[1:] == ends[:-1], len(chunks)):
                    first = int(offsets[a])
                    data = os.pread(descriptor, int(ends[b - 1]) - first, first)
                    edges = zip((offsets[a:b] - first).tolist(), (ends[a:b] - first).tolist(), strict=True)
                    found += [data[i:j] for i, j in edges]
        return found

    def planes(self, frame: int, stored: bytes) -> NDArray:
        """Return the lines that are wanted of a frame, all columns, from the bytes of its chunk, which has one row.

        Bytes that are shuffled stay so: (byte of a value, value). Others are unsigned values, (1, value).
        """
        t, line = self.target, self.lines[frame : frame + 1]
        chunk, first, n = int(line[0]) // t.per_entry, int(t.within(line)[0]), t.band_bytes
        with self._named(chunk, chunk, 1):
            found, shuffled = decode.decoded(stored, t.layout, int(t.layout.masks[chunk]))
        if shuffled:
            first, n = first // t.itemsize, n // t.itemsize
            return np.ascontiguousarray(found.reshape(t.itemsize, -1)[:, first : first + n])
        return found[first : first + n].view(f"u{t.itemsize}").reshape(1, -1)

    def _bytes(self, chunk: int) -> bytes:
        """Read a chunk as it is stored, unless it claims more bytes than it can have."""
        t, layout = self.target, self.target.layout
        self._refuse_long(int(layout.sizes[chunk]))
        with t.files.reading(t.path) as descriptor:
            return os.pread(descriptor, int(layout.sizes[chunk]), int(layout.offsets[chunk]))

    def _refuse_long(self, size: int) -> None:
        """Raise if a chunk claims more bytes than it can have."""
        layout = self.target.layout
        if size > layout.limit:
            raise decode.DecodeError(f"{size} bytes for one of {layout.chunk_bytes}")

    @contextmanager
    def _named(self, chunk: int, row: int, count: int) -> Iterator[None]:
        """Say of whatever goes wrong with a chunk where that is."""
        try:
            yield
        except (decode.DecodeError, OSError) as e:
            raise self.target.fault(row, count, f"chunk {chunk}: {e}") from e

    def _chunk(self, chunk: int, inside: NDArray, out: NDArray, row: int) -> None:
        t, layout = self.target, self.target.layout
        with self._named(chunk, row, len(inside)):
            decode.into(out, self._bytes(chunk), layout, int(layout.masks[chunk]), inside, t.band_bytes)


@dataclass(frozen=True, eq=False)
class ThroughHdf5:
    """Consecutive rows of a dataset that only HDF5 can read."""

    target: Target
    line: int
    count: int

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Read through h5py, row selections that cover the frames."""
        t, first, last = self.target, self.line + start, self.line + stop
        with t.files.hdf5, gate.wrapped(t.path, t.dataset, first // t.per_entry, stop - start):
            dataset = t.files.dataset(t.path, t.dataset)
            self._bounded(dataset, first // t.per_entry, -(-last // t.per_entry))
            self._read(dataset, first, last, out)

    def _bounded(self, dataset: h5py.Dataset, first: int, last: int) -> None:
        """Refuse rows whose chunks are more than they claim when they are decoded: HDF5 would make all of it."""
        layout = self.target.layout
        if not layout.limit:
            return
        for number in range(first // layout.chunk_rows, -(-last // layout.chunk_rows)):
            if layout.sizes[number] > layout.limit:
                raise ValueError(f"a chunk of {layout.sizes[number]} stored bytes is refused")
            if DEFLATE in layout.filters and layout.sizes[number] > LARGE_STORED:
                _try_out(dataset, number * layout.chunk_rows, layout)

    def _read(self, dataset: h5py.Dataset, first: int, last: int, out: NDArray) -> None:
        t = self.target
        part: tuple = () if t.whole else (t.band, slice(None) if t.columns is None else t.columns)
        if t.plane is not None:
            dataset.read_direct(out, (slice(first, last), t.plane, *part))
        elif t.per_entry == 1 and len(dataset.shape) == 1 + len(t.stored):
            dataset.read_direct(out, (slice(first, last), *part))
        else:
            # Of entries (frame, strip) there is no axis of rows.
            part = part[len(t.stored) + 2 - len(dataset.shape) :]
            rows = dataset[(slice(first // t.per_entry, -(-last // t.per_entry)), slice(None), *part)]
            skip = first % t.per_entry
            out[...] = rows.reshape(-1, *out.shape[1:])[skip : skip + last - first]


def _try_out(dataset: h5py.Dataset, row: int, layout: Layout) -> None:
    """Inflate the chunks of some rows, as far as they may be long."""
    ends = [range(0, n, c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)]
    for corner in itertools.product(*ends):
        skipped, stored = dataset.id.read_direct_chunk((row, *corner))
        applied = [f for i, f in enumerate(layout.filters) if not skipped >> i & 1]
        while applied and applied[-1] == FLETCHER:
            applied, stored = applied[:-1], stored[:-4]
        if applied and applied[-1] == DEFLATE:
            decode.refuse_longer(stored, layout.limit)


@dataclass(frozen=True, eq=False)
class NeverWritten:
    """Rows that the file has room for, but nobody wrote: HDF5 would hand out its fill value."""

    target: Target
    line: int
    count: int

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Raise a fault that says so."""
        first = (self.line + start) // self.target.per_entry
        raise self.target.fault(first, stop - start, "these rows were never written", "never written")


@dataclass(frozen=True, eq=False)
class Broken:
    """Rows of a dataset that cannot be opened."""

    fault: ReadFault
    count: int

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Raise the fault of opening it."""
        raise self.fault
