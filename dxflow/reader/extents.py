"""Where the wanted frames of a module lie, as stretches that are read at once."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from . import InputChanged, ReadFault, decode, runs
from .files import Files
from .layout import Layout

if TYPE_CHECKING:
    import h5py

    from ..index import EntryIndex
    from ..locate import Location


class Piece(Protocol):
    """A stretch of consecutive wanted frames that are read the same way."""

    @property
    def count(self) -> int:
        """Frames."""

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Fill ``out`` (frame, ...) with frames start:stop of the piece, or raise `ReadFault`."""


@dataclass(frozen=True, eq=False)
class Target:
    """What pieces have in common: the dataset, where a frame is in its row, and what of it is wanted.

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


@dataclass(frozen=True, eq=False)
class Direct:
    """Adjacent bytes of a file, read straight into the buffer."""

    target: Target
    offset: int
    line: int
    count: int

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Read with one call, without HDF5 and its lock."""
        self.target.banded(out, lambda lines: self._read(start, lines))

    def _read(self, start: int, out: NDArray) -> None:
        t = self.target
        into = out.reshape(-1).view(np.uint8).data
        at = self.offset + start * t.band_bytes
        try:
            with t.files.reading(t.path) as descriptor:
                while into:
                    if not (n := os.preadv(descriptor, [into], at)):
                        raise t.fault((self.line + start) // t.per_entry, len(out), "the file ends before")
                    into, at = into[n:], at + n
        except ReadFault:
            raise
        except OSError as e:
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
        for a, b in runs(chunks[1:] == chunks[:-1], len(chunks)):
            self._chunk(int(chunks[a]), inside[a:b], out[a:b], int(rows[a]))

    def stored(self, frame: int) -> bytes:
        """Return the compressed bytes of the chunk of a frame."""
        t, layout = self.target, self.target.layout
        chunk = int(self.lines[frame]) // t.per_entry // layout.chunk_rows
        with t.files.reading(t.path) as descriptor:
            return os.pread(descriptor, int(layout.sizes[chunk]), int(layout.offsets[chunk]))

    def _chunk(self, chunk: int, inside: NDArray, out: NDArray, row: int) -> None:
        t, layout = self.target, self.target.layout
        try:
            with t.files.reading(t.path) as descriptor:
                data = os.pread(descriptor, int(layout.sizes[chunk]), int(layout.offsets[chunk]))
            decode.into(out, data, layout, int(layout.masks[chunk]), inside, t.band_bytes)
        except (decode.DecodeError, OSError) as e:
            raise t.fault(row, len(inside), f"chunk {chunk}: {e}") from e


@dataclass(frozen=True, eq=False)
class ThroughHdf5:
    """Consecutive rows of a dataset that only HDF5 can read."""

    target: Target
    line: int
    count: int

    def read(self, start: int, stop: int, out: NDArray) -> None:
        """Read through h5py, row selections that cover the frames."""
        t, first, last = self.target, self.line + start, self.line + stop
        try:
            with t.files.hdf5:
                self._read(t.files.dataset(t.path, t.dataset), first, last, out)
        except (ReadFault, InputChanged):
            raise
        # What h5py raises for data that it cannot read.
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as e:
            raise t.fault(first // t.per_entry, stop - start, f"{type(e).__name__}: {e}") from e

    def _read(self, dataset: h5py.Dataset, first: int, last: int, out: NDArray) -> None:
        t = self.target
        part: tuple = () if t.whole else (t.band, slice(None) if t.columns is None else t.columns)
        if t.plane is not None:
            dataset.read_direct(out, (slice(first, last), t.plane, *part))
        elif t.per_entry == 1:
            dataset.read_direct(out, (slice(first, last), *part))
        else:
            rows = dataset[(slice(first // t.per_entry, -(-last // t.per_entry)), slice(None), *part)]
            skip = first % t.per_entry
            out[...] = rows.reshape(-1, *rows.shape[2:])[skip : skip + last - first]


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


class Extents:
    """The pieces that hold some rows (of the index) of one module, in order; rows that it lacks have none."""

    def __init__(self, pieces: list[tuple[int, Piece]]) -> None:
        self._starts = [start for start, _ in pieces]
        self._pieces = [piece for _, piece in pieces]

    def overlapping(self, start: int, stop: int) -> Iterator[tuple[int, int, Piece, int]]:
        """Yield (start, stop, piece, first row of the piece) of the stretches of rows start:stop that exist."""
        i = max(0, bisect_right(self._starts, start) - 1)
        while i < len(self._starts) and (first := self._starts[i]) < stop:
            a, b = max(start, first), min(stop, first + self._pieces[i].count)
            if a < b:
                yield a, b, self._pieces[i], first
            i += 1


def extents(files: Files, at: Location, index: EntryIndex, module: int, rows: slice) -> Extents:
    """Find where rows of a module lie; row numbers in the result count from ``rows.start``."""
    trains = index.train_positions(rows)
    entry = index.entries(module, rows)
    file = np.where(entry >= 0, at.file[module, trains], -1)
    lines = at.first[module, trains] * at.per_entry + entry
    out: list[tuple[int, Piece]] = []
    for start, stop in runs(file[1:] == file[:-1], len(file)):
        if file[start] >= 0:
            out += _of_file(files, at, module, int(file[start]), lines[start:stop], start)
    return Extents(out)


def _of_file(
    files: Files, at: Location, module: int, number: int, lines: NDArray, start: int
) -> Iterator[tuple[int, Piece]]:
    """Yield the pieces of wanted lines of one file."""
    path, dataset = at.files[number], at.datasets[module]
    files.expect(path, at.stats[number])
    try:
        layout = files.layout(path, dataset)
    except ReadFault as fault:
        yield start, Broken(fault, len(lines))
        return
    band = at.roi[0] if at.roi else slice(0, at.stored[0] if at.stored else 1)
    columns = at.roi[1] if at.roi and at.roi[1] != slice(0, at.stored[1]) else None
    target = Target(
        files, path, dataset, layout, at.stored, at.dtype.itemsize, at.per_entry, at.plane, band, columns
    )
    for first, piece in _pieces(target, lines):
        yield start + first, piece


def _pieces(target: Target, lines: NDArray) -> Iterator[tuple[int, Piece]]:
    """Yield the pieces of wanted lines of one dataset."""
    layout, rows = target.layout, lines // target.per_entry
    next_line = lines[1:] == lines[:-1] + 1
    if layout.way == "hdf5":
        yield from ((a, ThroughHdf5(target, int(lines[a]), b - a)) for a, b in runs(next_line, len(lines)))
        return
    position = layout.position(rows)
    written = position >= 0
    position = position + target.within(lines)
    adjacent = position[1:] == position[:-1] + target.band_bytes
    joined = adjacent if layout.way == "direct" else np.ones(len(adjacent), bool)
    for a, b in runs((written[1:] == written[:-1]) & (joined | ~written[1:]), len(lines)):
        if not written[a]:
            yield a, NeverWritten(target, int(lines[a]), b - a)
        elif layout.way == "direct":
            yield a, Direct(target, int(position[a]), int(lines[a]), b - a)
        else:
            yield a, Decoded(target, lines[a:b])
