"""Rows put together: X-ray pulses or detector frames by train and pulse, and the values that belong to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.bunches import DESTINATION, MEASURED, OWN, SASE1_AND_3, own_pulses
from ..run.joined import nothing
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from xarray import Variable

VALID = "_valid"
TRAINS = 1000
"""Whose bunch patterns are looked at together."""
BITS = 32
"""Of a pulse id, beside its train."""


@dataclass(frozen=True, eq=False)
class Beam:
    """The bunch patterns of a run: `table` (train, slot), and of which trains it is known, (train,) bool."""

    table: NDArray
    known: NDArray
    sase: int
    source: str = ""

    def measured(self, slots: NDArray, of: NDArray, sase: int | None) -> NDArray:
        """Return in which entry of a list per pulse the pulse of each slot is, -1 where there is no pulse of ours.

        Parameters
        ----------
        slots : ndarray of int, (row, exposure)
        of : ndarray of int, (row,)
            Positions of their trains, in order.
        sase : int, optional
            The list has entries for the pulses of this undulator; by default for all that the gas monitor sees.
        """
        bits, value = MEASURED[self.sase] if sase is None else OWN[sase]
        out = np.full(slots.shape, -1, np.int32)
        for first in range(0, len(self.table), TRAINS):
            table = self.table[first : first + TRAINS]
            rows = slice(*np.searchsorted(of, [first, first + TRAINS]))
            listed = (table & np.uint32(bits)) == np.uint32(value)
            number = np.cumsum(listed, axis=1, dtype=np.int32) - 1
            number[~own_pulses(table, self.sase) | ~self.known[first : first + TRAINS, None]] = -1
            at, inside = slots[rows], (slots[rows] >= 0) & (slots[rows] < table.shape[1])
            found = number[(of[rows] - first)[:, None], np.clip(at, 0, table.shape[1] - 1)]
            out[rows] = np.where(inside, found, -1)
        return out

    def pulses(self) -> tuple[NDArray, NDArray]:
        """Return the position of the train and the slot of each of our pulses, in order."""
        found = []
        for first in range(0, len(self.table), TRAINS):
            part = slice(first, first + TRAINS)
            train, slot = np.nonzero(own_pulses(self.table[part], self.sase) & self.known[part, None])
            found.append((train.astype(np.int32) + np.int32(first), slot.astype(np.uint32)))
        none = [(np.zeros(0, np.int32), np.zeros(0, np.uint32))]
        trains, slots = (np.concatenate(parts) for parts in zip(*(found or none), strict=True))
        return trains, slots

    def not_ours(self, sase: int) -> bool:
        """Return whether a list of the pulses of an undulator has none of our pulses."""
        return sase not in OWN or OWN[sase] != OWN[self.sase]


def shares_monitor(sase: int) -> bool:
    """Return whether the gas monitor of an undulator sees the pulses of another one, too."""
    return MEASURED[sase] == (DESTINATION, SASE1_AND_3)


@dataclass(frozen=True, eq=False)
class Grid:
    """The rows of a table that is being made, in order of train and pulse, and its trains.

    `trains` are ids, (train,); `of` the position of each row's train, (row,); `slots` those of the bunch pattern that
    each row sees, (row, exposure), None where that is not known; `kind` is "pulses", "frames" or "" without rows.
    """

    trains: NDArray
    of: NDArray
    pulse_ids: NDArray
    kind: str = ""
    cells: NDArray | None = None
    slots: NDArray | None = None
    beam: Beam | None = None

    def __len__(self) -> int:
        return len(self.of)

    @classmethod
    def of_pulses(cls, trains: NDArray, beam: Beam) -> Grid:
        """Return a row for each X-ray pulse."""
        of, slots = beam.pulses()
        return cls(trains, of, slots, "pulses", None, slots.astype(np.int32)[:, None], beam)

    @cached_property
    def keys(self) -> NDArray:
        """One number for each row's train and pulse, in order."""
        return keys(self.of, self.pulse_ids)

    @cached_property
    def _entries(self) -> dict[int | None, NDArray]:
        return {}

    def entries(self, sase: int | None) -> NDArray:
        """Return which entries of a list per pulse the rows see, (row, exposure): see `Beam.measured`."""
        if sase not in self._entries:
            assert self.beam is not None
            assert self.slots is not None
            self._entries[sase] = self.beam.measured(self.slots, self.of, sase)
        return self._entries[sase]

    def of_lists(self, lists: NDArray, there: NDArray, sase: int | None = None) -> tuple[NDArray, NDArray]:
        """Return the value of each row of a list per pulse, and which there are: the sum over the pulses that it sees.

        A frame that sees no pulse has the sum 0; one of whose pulses has no entry has no value.

        Parameters
        ----------
        lists : ndarray, (train, entry)
        there : ndarray of bool, (train,)
        """
        at, width = self.entries(sase), lists.shape[1]
        known = there & (self.beam.known if self.beam is not None else False)
        good, values = known[self.of], np.zeros(len(self), lists.dtype)
        flat = lists.reshape(-1)
        for n in range(at.shape[1]):
            seen = at[:, n] >= 0
            good &= at[:, n] < width
            place = self.of.astype(np.int64) * width + np.clip(at[:, n], 0, max(width - 1, 0))
            values += np.where(seen, flat[place], 0) if width else 0
        return with_nothing(values, good)

    def seen(self) -> NDArray:
        """Return how many X-ray pulses each row sees, (row,)."""
        return (self.entries(None) >= 0).sum(axis=1).astype(np.uint16)

    def flags(self, flagged: NDArray, there: NDArray) -> tuple[NDArray, NDArray]:
        """Return of each row whether one of its slots is flagged, (train, slot), and where that is known.

        It is known of rows with an X-ray pulse, in trains that are there.
        """
        assert self.slots is not None
        inside = (self.slots >= 0) & (self.slots < flagged.shape[1])
        at = np.clip(self.slots, 0, flagged.shape[1] - 1)
        values = (flagged[self.of[:, None], at] & inside).any(axis=1)
        return with_nothing(values, there[self.of] & (self.entries(None) >= 0).any(axis=1))


def keys(of: NDArray, pulse_ids: NDArray) -> NDArray:
    """Return one number for each train (its position) and pulse."""
    return (of.astype(np.uint64) << np.uint64(BITS)) | pulse_ids.astype(np.uint64)


def places(have: NDArray, wanted: NDArray) -> NDArray:
    """Return where each of the wanted keys is, the first of several, -1 where it is not."""
    if not len(have):
        return np.full(len(wanted), -1)
    order = np.argsort(have, kind="stable")
    at = np.minimum(np.searchsorted(have[order], wanted), len(have) - 1)
    return np.where(have[order][at] == wanted, order[at], -1)


def with_nothing(values: NDArray, there: NDArray) -> tuple[NDArray, NDArray]:
    """Return values with what stands for none where there is none, and which there are; NaN are none."""
    if not there.all():
        values = values.copy() if not values.flags.writeable else values
        values[~there] = nothing(values.dtype)
    return values, there


def variables(
    name: str, dims: tuple[str, ...], values: NDArray, there: NDArray | None, attrs: Mapping[str, Any]
) -> dict[str, Variable]:
    """Return a variable, and beside integers and booleans of which some are missing where they have a value."""
    from xarray import Variable

    made = {name: Variable(dims, values, dict(attrs))}
    if there is not None and values.dtype.kind in "iub" and not there.all():
        words = {"long_name": f"where {name} has a value", "rate": attrs.get("rate", "")}
        made[f"{name}{VALID}"] = Variable(dims[: there.ndim], there, words)
    return made


def coordinates(grid: Grid, times: NDArray) -> dict[str, Variable]:
    """Return the labels of rows and trains."""
    from xarray import Variable

    out = {TRAIN: Variable((TRAIN,), grid.trains, {"long_name": "train ID"})}
    if len(times) and not np.isnat(times).all():
        out["time"] = Variable((TRAIN,), times, {"long_name": "time of the train, UTC"})
    if grid.kind:
        out["train_id"] = Variable((PULSE,), grid.trains[grid.of], {"long_name": "train ID"})
        out["pulse_id"] = Variable((PULSE,), grid.pulse_ids, {"long_name": "pulse ID"})
    if grid.cells is not None:
        out["cell_id"] = Variable((PULSE,), grid.cells, {"long_name": "memory cell"})
    return out
