"""Values that are known before the run, joined to its frames or trains by their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import listed
from .index import EntryIndex

WAYS = (("pulse_id",), ("pulse_id", "cell_id"), ("entry_id",), ("cell_id",))
"""By which ids of a frame, beside its train, values are joined: the first that both sides have and that is unique."""
BITS = {"pulse_id": 24, "cell_id": 16, "entry_id": 24}
FEW = 3
"""Frames that a message names."""


@dataclass(frozen=True, eq=False)
class Joined:
    """A value for each row of an index, (row, ...), 0 or NaN where there is none, and where there is one, (row,)."""

    values: NDArray
    there: NDArray
    by: tuple[str, ...]
    """Ids that it was joined by."""

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.values.nbytes + self.there.nbytes


@dataclass(frozen=True, eq=False)
class Labelled:
    """Values with ids: `values` (label, ...), `there` (label,), `ids` by name, (label,), "train_id" among them."""

    values: NDArray
    there: NDArray
    ids: Mapping[str, NDArray]

    def to(self, index: EntryIndex, wanted: NDArray | None = None) -> Joined:
        """Return the value of each row of an index, or of those that are wanted, (row,) bool.

        Raises
        ------
        ValueError
            If they have no ids in common, an id stands for several values, or no row has one.
        """
        own = index.labels(slice(0, len(index)))
        if index.pulse_ids is None:
            own["entry_id"] = index.entry_ids
        names = self._way(own, index.train_ids)
        found = _places(*(_keys(side, names, index.train_ids) for side in (self.ids, own)))
        there = found >= 0
        there[there] = self.there[found[there]]
        if wanted is not None:
            there &= wanted
        if len(self.there) and not self.there.any():
            raise ValueError(f"it has no values: all {len(self.there)} are missing")
        if (len(index) if wanted is None else wanted.any()) and not there.any():
            raise ValueError(
                f"none of its values belongs to a frame or train that is read: {self._span(index)}"
            )
        values = np.full((len(found), *self.values.shape[1:]), nothing(self.values.dtype), self.values.dtype)
        values[there] = self.values[found[there]]
        return Joined(values, there, names)

    def _way(self, own: Mapping[str, NDArray], trains: NDArray) -> tuple[str, ...]:
        """Return the ids to join by; refuse those that stand for several values."""
        common: list[tuple[str, ...]] = [way for way in WAYS if all(n in self.ids and n in own for n in way)]
        if len(self.ids) > 1 and not common:
            raise ValueError(
                f"it has {listed(self.ids)}, and what is read has {listed(own)}: nothing to join them by"
            )
        ways = [("train_id", *way) for way in common or [()]]
        repeated = [_repeated(*_keys(self.ids, way, trains)) for way in ways]
        unique = [way for way, rows in zip(ways, repeated, strict=True) if not len(rows)]
        if not unique:
            raise ValueError(self._several(ways[0], repeated[0]))
        return unique[0]

    def _several(self, names: Sequence[str], rows: NDArray) -> str:
        """Say which frames or trains, at these places, have several values."""
        each = [", ".join(f"{n.removesuffix('_id')} {self.ids[n][row]}" for n in names) for row in rows[:FEW]]
        more = f" and {len(rows) - FEW} more" if len(rows) > FEW else ""
        return f"it has several values for {'; '.join(each)}{more}; expected one for each"

    def _span(self, index: EntryIndex) -> str:
        """Return which trains there are on both sides."""
        sides = {"values are of": self.ids["train_id"][self.there], "the run has": index.train_ids}
        return ", ".join(
            f"{what} {len(np.unique(ids))} trains" + (f" from {ids.min()} to {ids.max()}" if len(ids) else "")
            for what, ids in sides.items()
        )


def nothing(dtype: np.dtype) -> Any:
    """Return what stands for no value: NaN of floats, NaT of times, 0 and "" of others."""
    if dtype.kind in "fc":
        return np.nan
    return np.datetime64("NaT") if dtype.kind == "M" else np.zeros((), dtype)[()]


def _keys(ids: Mapping[str, NDArray], names: Sequence[str], trains: NDArray) -> tuple[NDArray, NDArray]:
    """Return one integer for each (train, id, ...), and which of them are of one of the trains and can be ids."""
    at = np.minimum(np.searchsorted(trains, ids["train_id"]), len(trains) - 1)
    keys, known = at.astype(np.int64), trains[at] == ids["train_id"]
    for name in names[1:]:
        known = known & (ids[name] < 2 ** BITS[name])
        keys = (keys << BITS[name]) | np.where(known, ids[name], 0).astype(np.int64)
    return keys, known


def _repeated(keys: NDArray, known: NDArray) -> NDArray:
    """Return where keys first are that come several times."""
    at = np.flatnonzero(known)
    _, first, times = np.unique(keys[at], return_index=True, return_counts=True)
    return np.sort(at[first[times > 1]])


def _places(have: tuple[NDArray, NDArray], wanted: tuple[NDArray, NDArray]) -> NDArray:
    """Return where each of the wanted keys is among those that there are, -1 where it is not."""
    keys, known = have
    order = np.flatnonzero(known)[np.argsort(keys[known])]
    if not len(order):
        return np.full(len(wanted[0]), -1)
    at = np.minimum(np.searchsorted(keys[order], wanted[0]), len(order) - 1)
    return np.where(keys[order][at] == wanted[0], order[at], -1)
