"""A result of a reduction as a table: its frames are the rows, and what has other rows is joined by train and pulse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..run.joined import nothing
from ..stores.lazy import Taken, lazy, variable
from .added import with_added
from .columns import VALID
from .complete import is_count, with_read
from .joining import places
from .rows import PULSE, RUN, TRAIN, in_order
from .tables import Table

if TYPE_CHECKING:
    import xarray as xr

    from ..driver.result import Result

TRAIN_ID, PULSE_ID = "train_id", "pulse_id"


def table(result: Result) -> Table:
    """Return the rows of a result as a table, lazily.

    The frames of the first detector are the rows. Frames of others are joined to them by train and pulse: what has no
    partner has no value. Devices with one entry per train are values of the train. What has other rows, such as
    peaks, keeps its own axis.

    Raises
    ------
    ValueError
        If two of its frames have the ids of one.
    """
    data, notes = tabled(result.dataset)
    lost = result.manifest.get("losses", [])
    return with_added(Table(data, result.path, {"result": str(result.path), "notes": notes, "losses": lost}))


def tabled(data: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Return the dataset of a result as that of a table, and what is to be said of it."""
    made = _Result(data)
    return made.table(), made.notes


@dataclass
class _Result:
    """A result whose rows become those of a table."""

    data: xr.Dataset
    notes: list[str] = field(default_factory=list)

    def table(self) -> xr.Dataset:
        """Return the dataset of the table."""
        import xarray as xr

        data: dict[str, Any] = {}
        for name, one in self._variables():
            data[name] = one
        labels = {str(n) for n in self.data.coords} - self.counts | {TRAIN_ID, PULSE_ID}
        coords = {n: v for n, v in data.items() if n in labels}
        attrs = {k: self.data.attrs[k] for k in ("title", RUN) if k in self.data.attrs}
        rest = {n: v for n, v in data.items() if n not in labels}
        return xr.Dataset(rest, coords, {**attrs, "rows": "frames"})

    @cached_property
    def counts(self) -> set[str]:
        """Names of what says of how many modules frames are made: labels of a result, variables of a table."""
        return {str(n) for n, one in self.data.coords.items() if is_count(str(n), one)}

    @cached_property
    def axes(self) -> dict[str, str]:
        """What the labels of each axis of rows begin with, by axis: "" of the first one."""
        out = {}
        for name, ids in self.data.coords.items():
            prefix = str(name).removesuffix(TRAIN_ID)
            if ids.ndim == 1 and str(name).endswith(TRAIN_ID) and prefix in ("", f"{ids.dims[0]}_"):
                out[str(ids.dims[0])] = prefix
        return out

    @cached_property
    def base(self) -> str:
        """The axis of the rows, "" if there are none."""
        first = next((dim for dim, prefix in self.axes.items() if not prefix), "")
        return "" if first and self._of_trains(first) else first

    def _of_trains(self, dim: str) -> bool:
        """Return whether an axis has entries of a device, one for each train at most."""
        prefix = self.axes[dim]
        ids = self.data[prefix + TRAIN_ID].values
        return prefix + PULSE_ID not in self.data.coords and len(np.unique(ids)) == len(ids)

    def _ids(self, dim: str) -> tuple[NDArray, NDArray]:
        """Return train and pulse ids of rows; entries of a device are numbered in each train."""
        prefix = self.axes[dim]
        trains = self.data[prefix + TRAIN_ID].values.astype(np.uint64)
        for name in (PULSE_ID, "entry_id"):
            if prefix + name in self.data.coords:
                return trains, self.data[prefix + name].values.astype(np.uint64)
        first = np.concatenate([[True], trains[1:] != trains[:-1]])
        starts = np.flatnonzero(first)
        return trains, (np.arange(len(trains)) - np.repeat(starts, np.diff([*starts, len(trains)]))).astype(
            "u8"
        )

    @cached_property
    def order(self) -> NDArray:
        """The rows in order of train and pulse.

        Raises
        ------
        ValueError
            If one is there twice.
        """
        trains, pulses = self._ids(self.base)
        if in_order((trains, pulses)):
            return np.arange(len(trains))
        order = np.lexsort((pulses, trains))
        again = (np.diff(trains[order]) == 0) & (np.diff(pulses[order]) == 0)
        if again.any():
            n = order[np.flatnonzero(again)[0]]
            raise ValueError(
                f"two rows are of train {trains[n]} and pulse {pulses[n]}: a table has each once; use the result's "
                "dataset instead"
            )
        return order

    @cached_property
    def places(self) -> dict[str, NDArray]:
        """By axis, which entry each row, or train, of the table is; -1 of none."""
        return {dim: self._places(dim) for dim in self.axes if dim == self.base or self._target(dim)}

    def _target(self, dim: str) -> str:
        """Return which axis of the table the entries of an axis are joined to, "" if to none."""
        if dim == self.base:
            return PULSE
        if self._of_trains(dim):
            return TRAIN if TRAIN in self.data.dims else ""
        # Numbers of frames in a train are no pulse ids, even where they are the same.
        both = self.base and all(self.axes[one] + PULSE_ID in self.data.coords for one in (self.base, dim))
        return PULSE if both else ""

    def _places(self, dim: str) -> NDArray:
        if dim == self.base:
            return self.order
        trains, pulses = self._ids(dim)
        if self._target(dim) == TRAIN:
            keys, wanted = trains, self.data[TRAIN].values.astype(np.uint64)
        else:
            own, other = self._ids(self.base), (trains, pulses)
            keys, wanted = _numbered(other, (own[0][self.order], own[1][self.order]))
        at = places(keys, wanted)
        if lost := len(keys) - len(np.unique(at[at >= 0])):
            self.notes.append(f"{lost} of {len(keys)} rows along {dim} have no row here and are left out")
        return at

    def _variables(self) -> Iterator[tuple[str, xr.Variable]]:
        """Yield all variables and labels as a table has them."""
        if self.base:
            for label, ids in zip((TRAIN_ID, PULSE_ID), self._ids(self.base), strict=True):
                attrs = self.data[label].attrs if label in self.data else {}
                yield label, variable([PULSE], ids[self.order], attrs)
        joined = {self.axes[dim] + name for dim in self.places for name in (TRAIN_ID, PULSE_ID, "entry_id")}
        for name, one in self.data.variables.items():
            if name in self.counts:
                one = with_read(self.data[name], self.data).variable
            if name not in joined:
                yield from self._variable(str(name), one)

    def _variable(self, name: str, one: xr.Variable) -> Iterator[tuple[str, xr.Variable]]:
        dim = next((d for d in map(str, one.dims) if d in self.places), "")
        if not dim:
            rate = TRAIN if TRAIN in one.dims else RUN
            turned = one.transpose(TRAIN, ...) if TRAIN in one.dims else one.copy(deep=False)
            turned.attrs = {**one.attrs, "rate": rate} if name not in self.data.coords else dict(one.attrs)
            yield name, turned
            return
        at, target, turned = self.places[dim], self._target(dim), one.transpose(dim, ...)
        dims, attrs = [target, *map(str, turned.dims[1:])], {**one.attrs, "rate": target}
        same = len(at) == len(turned) and (at == np.arange(len(at))).all()
        if same:
            renamed = turned.copy(deep=False)
            renamed.dims = dims
            renamed.attrs = attrs
            yield name, renamed
            return
        yield name, lazy(Taken(turned, at, nothing(one.dtype)), dims, attrs, kept=True)
        own = name.endswith(VALID) or f"{name}{VALID}" in self.data
        own = own or (name in self.data.coords and name not in self.counts)
        if one.dtype.kind in "iub" and not own and (at < 0).any():
            yield f"{name}{VALID}", variable([target], at >= 0, {"long_name": f"where {name} has a value"})


def _numbered(one: tuple[NDArray, NDArray], other: tuple[NDArray, NDArray]) -> tuple[NDArray, NDArray]:
    """Return a number for each pair of ids, the same for the same pair in both."""
    trains = np.unique(np.concatenate([one[0], other[0]]))
    pulses = np.unique(np.concatenate([one[1], other[1]]))
    first, second = (
        np.searchsorted(trains, t) * len(pulses) + np.searchsorted(pulses, p) for t, p in (one, other)
    )
    return first, second
