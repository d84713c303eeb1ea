"""Rows: which train and pulse each row of a table is of, and where its train stands among the trains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..run.joined import nothing

if TYPE_CHECKING:
    from xarray import Dataset

PULSE, TRAIN, RUN = "pulse", "train", "run"
"""Rates, and the first dimensions, of variables: of a row, of a train, and of the whole run (no such dimension)."""

CLOCK, DIFFER = "pulses", "differ"
"""Attribute of tables: how slots of pulses are found in frames, JSON; what it says of runs where that differs."""
SLOTS = 451_389
"""Of 222 ns in a tenth of a second: from a train to the next."""
TIMESTAMPS = 2**40
"""Train ids from here on are times of events: seconds and, in the lower 32 bits, nanoseconds."""


def in_order(ids: Sequence[NDArray]) -> bool:
    """Return whether rows are in order of some ids, the first ones first, and each is there once."""
    later = np.zeros(max(len(ids[0]) - 1, 0), bool)
    for one in reversed(ids):
        later = (one[1:] > one[:-1]) | (one[1:] == one[:-1]) & later
    return bool(later.all())


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table, in order of train and pulse.

    `train_ids` and `pulse_ids` are (pulse,): both are empty where a table has values per train only; `trains` are the
    ids of its trains, (train,).
    """

    train_ids: NDArray
    pulse_ids: NDArray
    trains: NDArray

    @classmethod
    def of(cls, data: Dataset) -> Rows:
        """Return the rows of a table's dataset.

        Raises
        ------
        ValueError
            If it has rows or trains without ids.
        """
        for dim, ids in ((PULSE, "train_id"), (PULSE, "pulse_id"), (TRAIN, TRAIN)):
            if dim in data.dims and (ids not in data.coords or data[ids].dims != (dim,)):
                raise ValueError(f"it is no table: its dimension {dim!r} has no coordinate {ids!r}")
        none = np.zeros(0, np.uint64)
        trains, pulses = (data[i].values if i in data.coords else none for i in ("train_id", "pulse_id"))
        return cls(trains, pulses, data[TRAIN].values if TRAIN in data.dims else none)

    def __len__(self) -> int:
        return len(self.train_ids)

    @cached_property
    def of_train(self) -> NDArray:
        """The position of each row's train among `trains`, (pulse,); -1 of trains that are not there."""
        ids, order = self.train_ids, np.argsort(self.trains, kind="stable")
        if not len(order) or not len(ids):
            return np.full(len(self), -1)
        # Rows of a train follow each other: each is looked for once.
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        wanted = ids[starts]
        found = order[np.searchsorted(self.trains, wanted, sorter=order).clip(max=len(order) - 1)]
        found = np.where(self.trains[found] == wanted, found, -1)
        return np.repeat(found, np.diff(np.append(starts, len(ids))))

    def refuse_disorder(self) -> None:
        """Refuse rows that are not in order, where values would be at other rows without a word.

        Raises
        ------
        ValueError
        """
        given = (((self.train_ids, self.pulse_ids), ["train_id", "pulse_id"]), ((self.trains,), [TRAIN]))
        for ids, names in given:
            if not in_order(ids):
                raise ValueError(
                    f"the rows of the table are not in order of {' and '.join(names)}, each once, as it is needed to "
                    f"join by ids or find neighbours: make it of data.sortby({names})"
                )

    @cached_property
    def complete(self) -> bool:
        """Whether the train of every row is there."""
        return not (self.of_train < 0).any()

    @cached_property
    def times(self) -> NDArray:
        """When rows were, (pulse,), as whole numbers: slots of 222 ns, or nanoseconds of events with timestamps."""
        return when_of(self.train_ids, self.pulse_ids)

    @cached_property
    def digests(self) -> dict[str, str]:
        """What tells the rows, "pulse", and the trains, "train", from those of other tables."""
        ids = {PULSE: (self.train_ids, self.pulse_ids), TRAIN: (self.trains,)}
        made = {rate: hashlib.blake2b(digest_size=8) for rate in ids}
        for rate, parts in ids.items():
            for part in parts:
                made[rate].update(np.ascontiguousarray(part, np.uint64).data)
        return {rate: one.hexdigest() for rate, one in made.items()}

    def of_trains(self, found: Column) -> Column:
        """Return values of trains for each row; those of trains that are not there are missing."""
        size, of = len(self), self.of_train
        if self.complete:
            return Column(found.values[of], found.there[of])
        known = (of >= 0).reshape(-1, *(1,) * (found.values.ndim - 1))
        if not len(self.trains):
            shape = (size, *found.values.shape[1:])
            return Column(np.full(shape, nothing(found.values.dtype)), np.zeros(shape, bool))
        values = np.where(known, found.values[of], nothing(found.values.dtype)).astype(found.values.dtype)
        return Column(values, found.there[of] & known)


def when_of(train_ids: NDArray, pulse_ids: NDArray | int = 0) -> NDArray:
    """Return when trains and pulses were as whole numbers: slots of 222 ns, or nanoseconds of timestamps."""
    trains = train_ids.astype(np.int64)
    if len(trains) and trains.max() >= TIMESTAMPS:
        return (trains >> 32) * 10**9 + (trains & 0xFFFFFFFF)
    return trains * SLOTS + np.asarray(pulse_ids).astype(np.int64)
