"""What a plan of a stream has in place of large datasets: the parcels in which they lie, train by train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..reader.extents import Extents, Wanted
from ..reader.faults import ReadFault
from ..reader.files import Files
from ..reader.layout import Layout
from ..reader.stretches import stretches
from ..reader.ways import Broken, Direct, Extent
from ..run.extents import wanted

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .received import Piece

GONE = "not kept any more"
"""What frames count as that were freed before they were used."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Where the rows of a dataset are: of which trains, in which parcel, and where there."""

    train_ids: NDArray
    parcel: NDArray
    position: NDArray
    row_bytes: int


class Parcels:
    """The large datasets of some pieces of a stream; travels to workers with the plan.

    Parameters
    ----------
    pieces : sequence of Piece
        Those that are not freed yet.
    large : collection of str
        All datasets that are in parcels, also of pieces that are freed.
    """

    def __init__(self, pieces: Sequence[Piece], large: Sequence[str]) -> None:
        self.paths = tuple(piece.parcel for piece in pieces)
        self._rows: dict[str, Rows] = {name: _rows(pieces, name) for name in large}
        self._files = Files()

    def __getstate__(self) -> dict[str, Any]:
        return {"paths": self.paths, "_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._files = Files()

    def extents(self, bound: BoundInput, module: int, rows: slice, *, mask: bool) -> Extents | None:
        """Return where rows of a module, or of their masks, lie in parcels; None for what is in files."""
        at = (bound.mask.location if mask and bound.mask else None) or bound.location
        name = at.datasets[module].lstrip("/")
        if (where := self._rows.get(name)) is None:
            return None
        asked, out = wanted(self._files, at), []
        positions, lines = bound.index.train_positions(rows), bound.index.entries(module, rows)
        ids = bound.index.train_ids[positions]
        for a, b in stretches((positions[1:] == positions[:-1]) & (lines[1:] == lines[:-1] + 1), len(lines)):
            if lines[a] >= 0:
                out.append((a, self._extent(asked, where, name, int(ids[a]), int(lines[a]), b - a)))
        return Extents(out)

    def _extent(self, asked: Wanted, where: Rows, name: str, train: int, line: int, count: int) -> Extent:
        """Return some neighbouring frames of a train."""
        n = int(np.searchsorted(where.train_ids, train))
        if n == len(where.train_ids) or where.train_ids[n] != train:
            return Broken(ReadFault("", name, line, count, f"of train {train}, {GONE}", GONE), count)
        row = where.row_bytes
        target = asked.target(
            self.paths[where.parcel[n]], name, Layout("direct", "in memory", 0, row, asked.dtype.itemsize)
        )
        position = where.position[n] + line // asked.per_entry * row + int(target.within(np.array([line]))[0])
        return Direct(target, int(position), line, count)


def _rows(pieces: Sequence[Piece], name: str) -> Rows:
    """Return where the rows of a dataset are in some pieces."""
    there = [(n, *piece.at[name]) for n, piece in enumerate(pieces) if name in piece.at]
    if not there:
        return Rows(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    parcel = np.concatenate([np.full(len(ids), n) for n, ids, _, _ in there])
    ids, position = (np.concatenate([part[k] for part in there]) for k in (1, 2))
    order = np.argsort(ids)
    return Rows(ids[order], parcel[order], position[order], there[0][3])
