"""Placed rows: in which bin the frame of each row is, and what it counts, as labels of frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Frames, Key
from ..declare.labels import Labels
from ..errors import PlanError
from ..run.joined import Labelled
from ..run.selection import FrameSelection
from .rows import PULSE, TRAIN
from .seen import frames_of, selection

if TYPE_CHECKING:
    from xarray import DataArray

    from ..run.index import EntryIndex
    from .evaluating import Source

IDS = ("pulse_id", "entry_id")
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
    unseen : int
        Rows that were left out since no frame sees them.
    """

    axes: Mapping[str, int]
    bins: NDArray
    ids: Mapping[str, NDArray]
    norm: NDArray | None = None
    weights: NDArray | None = None
    how: str = "ratio"
    unit: str = ""
    unseen: int = 0

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

    def seen(self, run: Any, frames: Frames | Key, clock: Mapping[str, Any] | None) -> Placed:
        """Return the rows that a frame belongs to, one for each frame, with the ids of these.

        Parameters
        ----------
        clock : mapping, optional
            Which slots of the bunch pattern frames see, as of `PulseKey`; None where rows are frames.

        Raises
        ------
        PlanError
            If rows of one frame are in different bins.
        """
        if not (names := [name for name in IDS if name in self.ids]):
            return self
        label, ids, there = frames_of(run, frames, self.ids["train_id"], self.ids[names[0]], clock)
        own = {"train_id": self.ids["train_id"], label: ids}
        return replace(self, ids=own, unseen=int((~there).sum()))._rows(there)._single()

    def _single(self) -> Placed:
        """Return one row for each frame; refuse rows of a frame that are not alike."""
        keys = np.stack([*self.ids.values()], axis=1)
        _, first, of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        if len(first) == len(keys):
            return self
        if any((v != v[first][of.ravel()]).any() for v in (self.bins, *self._numbers().values())):
            what = "trains" if len(self.ids) == 1 else "frames"
            raise PlanError(
                f"images=: the images have {len(first)} {what} for {len(keys)} rows, and rows of one are in different "
                "bins, or count differently: bin by what is the same for all of them, such as values per train"
            )
        return self._rows(np.sort(first))

    def labels(self, values: NDArray) -> Labels:
        """Return values of rows as labels of their frames."""
        return Labels(self._array(values))

    def frames(self) -> FrameSelection:
        """Return which frames are read."""
        (trains, *ids) = self.ids.values()
        return selection([*self.ids][-1], trains, ids[0] if ids else trains)

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
