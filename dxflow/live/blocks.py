"""Blocks: rows of some trains, as they go into a stream once; again only if late data have changed them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import VALUE, packed
from .shares import Shares

TRAINS = 64
BYTES = 2**20
"""Of a block, if a train has less."""


@dataclass
class Block:
    """Rows of some trains that were sent."""

    id: str
    trains: NDArray
    crc: int
    size: int
    old: bool = False
    """Whether there is a later one for the same trains."""


@dataclass
class Entry:
    """Rows of some trains that are to be sent."""

    trains: NDArray
    rows: NDArray
    """The train of each row."""
    crc: int
    fields: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(map(len, self.fields.values()))


class Stream:
    """The rows along an axis that are in a stream.

    Parameters
    ----------
    axis : str
    """

    def __init__(self, axis: str) -> None:
        self.axis = axis
        self.blocks: list[Block] = []
        """As they are in the stream, the oldest first."""

    @property
    def last(self) -> str:
        """The id of the newest entry."""
        return self.blocks[-1].id if self.blocks else "0-0"

    def entries(self, shares: Shares, wanted: NDArray) -> Iterator[Entry]:
        """Yield what is not in the stream yet, or was changed since; `wanted` are the ids of the trains to be kept."""
        of_rows = shares.trains[self.axis]
        rows = np.flatnonzero(np.isin(of_rows, wanted))
        rows = rows[np.argsort(of_rows[rows], kind="stable")]
        values = _taken(shares, self.axis, rows)
        of_rows = of_rows[rows]
        current = [block for block in self.blocks if not block.old]
        for block in current:
            if block.trains[0] >= wanted[0]:
                mine = _of(of_rows, block.trains)
                crc, fields = _fields(values, mine)
                if crc != block.crc:
                    block.old = True
                    yield Entry(block.trains, of_rows[mine], crc, fields())
        known = np.concatenate([np.zeros(0, np.int64), *(block.trains for block in current)])
        new = np.setdiff1d(of_rows, known)
        each = max(1, min(TRAINS, int(BYTES / max(shares.train_bytes, 1))))
        for first in range(0, len(new), each):
            trains = new[first : first + each]
            mine = _of(of_rows, trains)
            crc, fields = _fields(values, mine)
            yield Entry(trains, of_rows[mine], crc, fields())

    def trim(self, first: int, memory: int) -> int:
        """Forget blocks before a train and those that others replace, and return how many entries are to be kept."""
        size = sum(block.size for block in self.blocks)
        while self.blocks[1:] and (self.blocks[0].old or self.blocks[0].trains[-1] < first or size > memory):
            size -= self.blocks.pop(0).size
        return len(self.blocks)


def _taken(shares: Shares, axis: str, rows: NDArray) -> dict[str, NDArray]:
    """Return the values of some rows, by variable."""
    if not len(rows):
        return {}
    # A slice is read at once; what is before it is not read.
    first = int(rows.min())
    span, own = slice(first, int(rows.max()) + 1), rows - first
    whole = len(rows) == span.stop - first and (np.diff(own) == 1).all()
    found = {name: shares.turned(name, span) for name in shares.rows.get(axis, ())}
    return found if whole else {name: values[own] for name, values in found.items()}


def _of(of_rows: NDArray, trains: NDArray) -> slice | NDArray:
    """Return which rows some trains have, both in order: mostly neighbours, of which no copy is needed."""
    first, last = np.searchsorted(of_rows, trains, "left"), np.searchsorted(of_rows, trains, "right")
    if (first[1:] == last[:-1]).all():
        return slice(int(first[0]), int(last[-1]))
    return np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])


def _fields(values: dict[str, NDArray], mine: slice | NDArray) -> tuple[int, Any]:
    """Return a checksum of some rows, and what gives them as fields of an entry."""
    taken = {name: np.ascontiguousarray(one[mine]) for name, one in values.items()}
    crc = 0
    for name, one in taken.items():
        crc = zlib.crc32(one.view(np.uint8).data if one.size else b"", zlib.crc32(name.encode(), crc))
    return crc, lambda: {VALUE + name: packed(one) for name, one in taken.items()}
