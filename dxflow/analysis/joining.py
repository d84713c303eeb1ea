"""Rows put together: X-ray pulses or detector frames by train and pulse, and the values that belong to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..run.joined import nothing
from ..run.whole import TRAINS
from .beam import Beam, Block, keys
from .columns import VALID
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from xarray import Variable


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
    unknown: str = "the run has no bunch pattern"
    """Why `slots` are None."""

    def __len__(self) -> int:
        return len(self.of)

    @classmethod
    def of_pulses(cls, trains: NDArray, beam: Beam) -> Grid:
        """Return a row for each X-ray pulse."""
        return cls(trains, beam.of, beam.slots.astype(np.uint32), "pulses", None, beam.slots[:, None], beam)

    @cached_property
    def keys(self) -> NDArray:
        """One number for each row's train and pulse, in order."""
        return keys(self.of, self.pulse_ids)

    @cached_property
    def _entries(self) -> dict[int | None, NDArray]:
        return {}

    def entries(self, sase: int | None) -> NDArray:
        """Return which entries of a list per pulse the rows see, (row, exposure): see `Beam.entries`."""
        if sase not in self._entries:
            assert self.beam is not None
            assert self.slots is not None
            pulses = self.kind == "pulses"
            own = self.beam.numbers[sase][:, None] if pulses else self.beam.entries(self.of, self.slots, sase)
            self._entries[sase] = own
        return self._entries[sase]

    def of_lists(
        self, lists: Iterable[Block], dtype: np.dtype, sase: int | None = None
    ) -> tuple[NDArray, NDArray | None]:
        """Return the value of each row of a list per pulse, the sum over the pulses that it sees, and which there are.

        A frame that sees no pulse has the sum 0; one of whose pulses has no entry has no value. None: all are there.

        Parameters
        ----------
        lists : iterable of (first, values, there)
            Those of some trains after the other, (train, entry) and (train,).
        sase : int, optional
            They have the pulses of this undulator; by default all that the gas monitor sees.
        """
        assert self.beam is not None
        if self.entries(sase).shape[1] > 1:
            # Sums of several do not fit where each of them does.
            dtype = np.zeros(0, dtype).sum().dtype
        values, missing = np.zeros(len(self), dtype), list[NDArray]()
        for first, block, there in lists:
            start, stop = np.searchsorted(self.of, [first, first + len(block)])
            rows, known = slice(start, stop), there & self.beam.known[first : first + len(block)]
            if (places := self._places(sase, first, block.shape)) is not None:
                # Nothing is made on the way: a page of memory that is new costs more than what is written to it.
                np.take(block.reshape(-1), places[rows], out=values[rows], mode="clip")
                good = known[self.of[rows] - first] if not known.all() else None
            else:
                own = self.of[rows] - first, self.entries(sase)[rows]
                values[rows], good = self._sums(block.astype(dtype, copy=False), known, *own)
            if good is not None:
                missing.append(np.flatnonzero(~good) + start)
        if not missing:
            return values, None
        there = np.ones(len(self), bool)
        there[np.concatenate(missing)] = False
        return with_nothing(values, there)

    @staticmethod
    def _sums(block: NDArray, known: NDArray, of: NDArray, entries: NDArray) -> tuple[NDArray, NDArray]:
        """Return the sum of the entries that each of some rows sees, and which rows have one."""
        good, width = known[of], block.shape[1]
        values = np.zeros(len(of), block.dtype)
        for at in entries.T:
            good &= at < width
            if width:
                found = block[of, np.clip(at, 0, width - 1)]
                values += np.where(at >= 0, found, found.dtype.type(0))
        return values, good

    def _places(self, sase: int | None, first: int, shape: tuple[int, ...]) -> NDArray | None:
        """Return where in a block of trains the value of each row is, (row,); None where some have none, or several."""
        key = sase, shape[1]
        if first % TRAINS or shape[0] > TRAINS:
            return None
        if key not in self._kept:
            at = self.entries(sase)
            plain = at.shape[1] == 1 and len(at) and at.min() >= 0 and at.max() < shape[1]
            self._kept[key] = (self.of % TRAINS).astype(np.intp) * shape[1] + at[:, 0] if plain else None
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[int | None, int], NDArray | None]:
        return {}

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
