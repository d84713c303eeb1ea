"""Where the wanted frames of a module lie, as stretches that are read at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import gate
from .faults import ReadFault
from .files import Files
from .stretches import stretches
from .ways import Broken, Decoded, Direct, Extent, NeverWritten, Target, ThroughHdf5, fill

if TYPE_CHECKING:
    from .layout import Layout

DEEPEST = 4
"""Virtual datasets of virtual datasets, and so on."""
LARGEST_ARRAY = 2**29
"""Bytes of ids that are read at once: those of 67 million frames of one module in one file."""


class Extents:
    """The extents that hold some rows (of the index) of one module, in order; rows that it lacks have none."""

    def __init__(self, extents: list[tuple[int, Extent]]) -> None:
        self._starts = [start for start, _ in extents]
        self._extents = [extent for _, extent in extents]

    def overlapping(self, start: int, stop: int) -> Iterator[tuple[int, int, Extent, int]]:
        """Yield (start, stop, extent, first row of the extent) of the stretches of rows start:stop that exist."""
        i = max(0, bisect_right(self._starts, start) - 1)
        while i < len(self._starts) and (first := self._starts[i]) < stop:
            a, b = max(start, first), min(stop, first + self._extents[i].count)
            if a < b:
                yield a, b, self._extents[i], first
            i += 1

    def begins(self, row: int) -> int | None:
        """Return the position in its file of a row that is read as it is, straight into a buffer."""
        found = next(self.overlapping(row, row + 1), None)
        if found is None or not isinstance(found[2], Direct) or found[2].target.columns is not None:
            return None
        return found[2].begins(row - found[3])


def array(files: Files, path: str, name: str, *, filled: bool = False) -> NDArray:
    """Return a small dataset of numbers, such as ids, read in the same ways as frames; it may not be written to.

    Parameters
    ----------
    filled : bool
        Rows that were never written are 0, as in an index that nobody filled in, rather than a fault.

    Raises
    ------
    ReadFault
    """
    return files.recall(
        path, "filled" if filled else "array", name, lambda: _array(files, path, name, filled)
    )


def _array(files: Files, path: str, name: str, filled: bool) -> NDArray:
    """Read a small dataset."""
    with files.hdf5, gate.wrapped(path, name):
        path, name = files.place(path, name)
        dataset, at = files.dataset(path, name), files.begins(path, name)
        shape, dtype = dataset.shape, dataset.dtype.newbyteorder("=")
        if dtype.kind not in "iufb":
            raise TypeError(f"it has values of type {dtype}, not numbers")
        if math.prod(int(n) for n in shape) * dtype.itemsize > LARGEST_ARRAY:
            raise ValueError(f"it claims to be {shape}, which is refused")
        out = np.zeros(shape, dtype)
    if at is None:
        _read(files, path, name, out, filled)
    else:
        _read_whole(files, path, name, out, at)
    out.flags.writeable = False
    return out


def _read_whole(files: Files, path: str, name: str, out: NDArray, at: int) -> None:
    """Read a dataset that lies in one stretch of a file."""
    try:
        with files.reading(path) as descriptor:
            fill(out, descriptor, at)
    except (EOFError, OSError) as e:
        raise ReadFault(path, name, 0, len(out), str(e)) from e


def _read(files: Files, path: str, name: str, out: NDArray, filled: bool) -> None:
    """Read a dataset extent by extent."""
    shape, every = out.shape, np.arange(len(out))
    wanted = Wanted(files, shape[1:], out.dtype, 1, None, slice(0, shape[1] if shape[1:] else 1), None)
    for first, extent in of_file(wanted, path, name, every, 0):
        if not (filled and isinstance(extent, NeverWritten)):
            extent.read(0, extent.count, out[first : first + extent.count])


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is wanted of the rows of a dataset, whichever file it is in."""

    files: Files
    stored: tuple[int, ...]
    dtype: np.dtype
    per_entry: int
    plane: int | None
    band: slice
    columns: slice | None

    def target(self, path: str, name: str, layout: Layout) -> Target:
        """Return the target of extents of a dataset."""
        return Target(
            self.files,
            path,
            name,
            layout,
            self.stored,
            self.dtype.itemsize,
            self.per_entry,
            self.plane,
            self.band,
            self.columns,
        )


def of_file(
    wanted: Wanted, path: str, name: str, lines: NDArray, start: int, depth: int = 0
) -> Iterator[tuple[int, Extent]]:
    """Yield the extents of wanted lines of one dataset, which may be made of others."""
    try:
        path, name = wanted.files.place(path, name)
        layout = wanted.files.layout(path, name)
        if depth:
            _fits(wanted, path, name)
    except ReadFault as fault:
        yield start, Broken(fault, len(lines))
        return
    target = wanted.target(path, name, layout)
    if layout.way == "virtual":
        yield from _of_parts(target, wanted, lines, start, depth)
        return
    there = lines // wanted.per_entry < layout.rows
    for a, b in stretches(there[1:] == there[:-1], len(lines)):
        if there[a]:
            yield from ((start + a + n, extent) for n, extent in _extents(target, lines[a:b]))
        else:
            row = int(lines[a]) // wanted.per_entry
            yield start + a, Broken(target.fault(row, b - a, f"it has only {layout.rows} rows"), b - a)


def _fits(wanted: Wanted, path: str, name: str) -> None:
    """Raise if the source of a virtual dataset has other values than it claims."""
    with wanted.files.hdf5:
        dataset = wanted.files.dataset(path, name)
        planes = dataset.shape[1 : len(dataset.shape) - len(wanted.stored)]
        strips = (wanted.per_entry, *wanted.stored[1:]) if wanted.stored[:1] == (1,) else wanted.stored
        if dataset.dtype.newbyteorder("=") != wanted.dtype or dataset.shape[1 + len(planes) :] not in (
            wanted.stored,
            strips,
        ):
            detail = f"it has {dataset.dtype} {dataset.shape[1:]}, not what the virtual dataset claims"
            raise ReadFault(path, name, 0, 0, detail)


def _of_parts(
    target: Target, wanted: Wanted, lines: NDArray, start: int, depth: int
) -> Iterator[tuple[int, Extent]]:
    """Yield the extents of wanted lines of a virtual dataset; rows that no source has were never written."""
    parts, rows = target.layout.parts, lines // wanted.per_entry
    part = np.searchsorted([p.start for p in parts], rows, side="right") - 1
    part[rows >= np.array([*(p.stop for p in parts), 0])[part]] = -1
    for a, b in stretches(part[1:] == part[:-1], len(part)):
        if part[a] < 0:
            yield start + a, NeverWritten(target, int(lines[a]), b - a)
        elif depth == DEEPEST:
            yield (
                start + a,
                Broken(target.fault(int(rows[a]), b - a, "too many virtual datasets of each other"), b - a),
            )
        else:
            source = parts[part[a]]
            shift = (source.first - source.start) * wanted.per_entry
            yield from of_file(wanted, source.path, source.name, lines[a:b] + shift, start + a, depth + 1)


def _extents(target: Target, lines: NDArray) -> Iterator[tuple[int, Extent]]:
    """Yield the extents of wanted lines of one dataset."""
    layout, rows = target.layout, lines // target.per_entry
    written, position = layout.written(rows), np.zeros(0)
    joined = np.full(max(0, len(lines) - 1), True)
    if layout.way == "direct":
        position = layout.position(rows) + target.within(lines)
        joined = position[1:] == position[:-1] + target.step
    elif layout.way == "hdf5":
        joined = lines[1:] == lines[:-1] + 1
    for a, b in stretches((written[1:] == written[:-1]) & (joined | ~written[1:]), len(lines)):
        if not written[a]:
            yield a, NeverWritten(target, int(lines[a]), b - a)
        elif layout.way == "direct":
            yield a, Direct(target, int(position[a]), int(lines[a]), b - a)
        elif layout.way == "decode":
            yield a, Decoded(target, lines[a:b])
        else:
            yield a, ThroughHdf5(target, int(lines[a]), b - a)
