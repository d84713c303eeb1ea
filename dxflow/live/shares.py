"""Shares: what of a snapshot is feedback: rows by their axis, totals, rows that may still change, and neither."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.columns import EVENT, OFFSET
from ..sizes import show
from .layout import OFFSETS, PROVISIONAL

if TYPE_CHECKING:
    import xarray as xr

TRAIN = "train"
TRAIN_ID = "train_id"
OF_A_TRAIN, OF_THE_RUN = 1 / 64, 1 / 4
"""Shares of the memory that a variable may take: of a train's rows, and of the run."""


@dataclass
class Shares:
    """Which variables of a snapshot are published, as what.

    Parameters
    ----------
    data : xarray.Dataset
        Of the snapshot, lazy.
    memory : int
        Bytes for all of them.
    """

    data: xr.Dataset
    memory: int
    rows: dict[str, list[str]] = field(init=False, default_factory=dict)
    """By axis, variables with a value for each of its rows; ids of rows among them."""
    totals: list[str] = field(init=False, default_factory=list)
    provisional: dict[str, list[str]] = field(init=False, default_factory=dict)
    """As `rows`."""
    offsets: dict[str, str] = field(init=False, default_factory=dict)
    """What says where the events of each train begin, and the axis of these: worked out where it is read."""
    left_out: dict[str, str] = field(init=False, default_factory=dict)
    """By name, why."""

    def __post_init__(self) -> None:
        for name, one in self.data.variables.items():
            events = f"{str(name).removesuffix(OFFSET)}{EVENT}"
            if name in self.data.coords and str(name).endswith(OFFSET) and events in self.trains:
                # It counts from the first train of the run, which may be gone.
                self.offsets[str(name)] = events
            elif why := self._unfit(one):
                self.left_out[str(name)] = why
            else:
                self._sort(str(name), one)
        self._spare()

    @cached_property
    def trains(self) -> dict[str, NDArray]:
        """The train id of each row, by axis."""
        out: dict[str, NDArray] = {}
        for name, ids in self.data.coords.items():
            # Of frames, "train_id"; of other rows with a name before it.
            if ids.ndim == 1 and (str(name) == TRAIN or str(name).endswith(TRAIN_ID)):
                out.setdefault(str(ids.dims[0]), ids.values.astype(np.int64))
        return out

    @cached_property
    def all_trains(self) -> NDArray:
        """The ids of all trains, in order."""
        return np.unique(np.concatenate([np.zeros(0, np.int64), *self.trains.values()]))

    def axis(self, one: xr.Variable) -> str:
        """Return along which axis a variable has a value for each row; "" if it is of the run."""
        return next((str(dim) for dim in one.dims if dim in self.trains), "")

    def turned(self, name: str, rows: Any = slice(None)) -> NDArray:
        """Return values of some rows of a variable, (row, ...)."""
        one = self.data.variables[name]
        axis = self.axis(one)
        values = one.isel({axis: rows}).transpose(axis, ...).values if axis else one.values
        return values.astype("U") if values.dtype.kind == "O" else values

    @cached_property
    def train_bytes(self) -> float:
        """Bytes of all rows of a train."""
        sizes = (self.data.variables[n].nbytes for names in self.rows.values() for n in names)
        return sum(sizes) / max(len(self.all_trains), 1)

    def described(self) -> dict[str, Any]:
        """Return what is to be known of all variables: JSON values."""
        kinds = [(n, "rows", axis) for axis, names in self.rows.items() for n in names]
        kinds += [(n, PROVISIONAL, axis) for axis, names in self.provisional.items() for n in names]
        kinds += [(n, "total", "") for n in self.totals]
        kinds += [(n, OFFSETS, axis) for n, axis in self.offsets.items()]
        return {name: self._described(name, kind, axis) for name, kind, axis in kinds}

    def _described(self, name: str, kind: str, axis: str) -> dict[str, Any]:
        one = self.data.variables[name]
        dims = [str(d) for d in (one.transpose(axis, ...) if axis in one.dims else one).dims]
        return {
            "kind": kind,
            "axis": axis,
            "dims": dims,
            "shape": [one.sizes[d] for d in dims if d != axis],
            "label": name in self.data.coords,
            "attrs": dict(one.attrs),
        }

    def _unfit(self, one: xr.Variable) -> str:
        """Return why a variable is not published, "" if it is."""
        axis = self.axis(one)
        if one.dtype.kind not in "biufcMmUSO":
            return f"it is {one.dtype}"
        size, limit = one.nbytes, int(self.memory * OF_THE_RUN)
        if axis:
            size = size // max(len(np.unique(self.trains[axis])), 1)
            limit = int(self.memory * OF_A_TRAIN)
        if size <= limit:
            return ""
        return f"{show(size)}{' a train' if axis else ''}: feedback has up to {show(limit)}"

    def _sort(self, name: str, one: xr.Variable) -> None:
        axis = self.axis(one)
        if not axis:
            self.totals.append(name)
        else:
            groups = self.provisional if PROVISIONAL in one.attrs else self.rows
            groups.setdefault(axis, []).append(name)

    def _spare(self) -> None:
        """Leave out the largest totals if all together are too many."""
        left = self.memory // 2
        for name in sorted(self.totals, key=lambda n: self.data.variables[n].nbytes):
            left -= self.data.variables[name].nbytes
            if left < 0:
                self.totals.remove(name)
                self.left_out[name] = f"all totals together would be more than {show(self.memory // 2)}"


def wanted_trains(shares: Shares, trains: int, memory: int) -> NDArray:
    """Return the ids of the newest trains of which rows are kept: so many, or as fit."""
    fitting = int(memory / 2 / shares.train_bytes) if shares.train_bytes else trains
    return shares.all_trains[-max(1, min(trains, fitting)) :]
