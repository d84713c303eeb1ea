"""Placed rows: in which bin the frame of each row is, and what it counts, as labels of frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.labels import Labels
from ..run.joined import Labelled
from ..run.selection import FrameSelection
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from xarray import DataArray

    from ..run.index import EntryIndex
    from .evaluating import Source

IDS = ("pulse_id", "cell_id", "entry_id")
"""Labels of rows that tell the frames of a train apart."""
ROWS = "row"


@dataclass(frozen=True, eq=False)
class Placed:
    """Which bin each row is in, and what its frame counts.

    Parameters
    ----------
    axes : mapping of str to int
        How many bins each axis has.
    bins : ndarray of int, (row,)
        The bin of each row, the last axis fastest; below 0 of those in none.
    ids : mapping of str to ndarray, (row,)
        ``train_id``, and of rows that are no trains ``pulse_id`` or others.
    norm, weights : ndarray of float64, (row,), optional
        What images are divided by, and how much they count; rows where one is not above 0 are not used.
    how : {"ratio", "each"}
        The ratio of sums, or frame by frame.
    unit : str
        Of `norm`.
    """

    axes: Mapping[str, int]
    bins: NDArray
    ids: Mapping[str, NDArray]
    norm: NDArray | None = None
    weights: NDArray | None = None
    how: str = "ratio"
    unit: str = ""

    @classmethod
    def of(
        cls, table: Source, axes: Mapping[str, int], bins: NDArray, at: str = PULSE, **divided: Any
    ) -> Placed:
        """Return it with the ids of the rows, or trains, of a table."""
        if at == TRAIN:
            return cls(axes, bins, {"train_id": table.rows.trains}, **divided)
        given = {name: table.data[name].values for name in ("train_id", *IDS) if name in table.data.coords}
        return cls(axes, bins, given, **divided)

    def used(self) -> Placed:
        """Return the rows whose frames are read."""
        keep = self.bins >= 0
        for values in self._numbers().values():
            keep = keep & (values > 0) & np.isfinite(values)
        return self._rows(keep)

    def of_trains(self) -> Placed | None:
        """Return the same with one row for each train, if all rows of a train are alike; otherwise None."""
        _, first, of = np.unique(self.ids["train_id"], return_index=True, return_inverse=True)
        values = [self.bins, *self._numbers().values()]
        if any((v != v[first][of]).any() for v in values):
            return None
        one = self._rows(first)
        return replace(one, ids={"train_id": one.ids["train_id"]})

    def labels(self, values: NDArray) -> Labels:
        """Return values of rows as labels of their frames."""
        return Labels(self._array(values))

    def by_cell(self) -> Placed:
        """Return the same with memory cells in place of pulses."""
        return replace(self, ids={name: self.ids[name] for name in ("train_id", "cell_id")})

    def frames(self) -> Any:
        """Return which frames are read."""
        if "cell_id" in self.ids and len(self.ids) == 2:
            return FrameSelection(in_cells=(self.ids["train_id"], self.ids["cell_id"]))
        return self._array(np.ones(len(self.bins), bool))

    def rows_of(self, index: EntryIndex) -> NDArray:
        """Return the row of each frame of an index, (frame,), -1 of those without."""
        own = Labelled(np.arange(len(self.bins)), np.ones(len(self.bins), bool), self.ids).to(index)
        rows = np.where(own.there, own.values, -1)
        return rows if len(rows) == len(index) else rows[index.train_positions(slice(0, len(index)))]

    def given(self) -> dict[str, Labels]:
        """Return what the frames are divided by, and their weights."""
        units = {"i0": {"units": self.unit}}
        found = {name: self._array(values) for name, values in self._numbers().items()}
        return {name: Labels(array.assign_attrs(units.get(name, {}))) for name, array in found.items()}

    def _numbers(self) -> dict[str, NDArray]:
        both = {"i0": self.norm, "weights": self.weights}
        return {name: values for name, values in both.items() if values is not None}

    def _array(self, values: NDArray) -> DataArray:
        from xarray import DataArray

        return DataArray(values, dims=ROWS, coords={name: (ROWS, ids) for name, ids in self.ids.items()})

    def _rows(self, keep: NDArray) -> Placed:
        norm, weights = (None if v is None else v[keep] for v in (self.norm, self.weights))
        ids = {name: values[keep] for name, values in self.ids.items()}
        return replace(self, bins=self.bins[keep], ids=ids, norm=norm, weights=weights)
