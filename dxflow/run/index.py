"""Which entries there are: one row per frame, aligned over modules by train, pulse and cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .losses import Loss

NOT_IN_ALL = "not in all modules"
"""Frames that a module has, but that are no rows since others lack them."""
NOT_KNOWN = "the ids are not known"


@dataclass(frozen=True, eq=False)
class EntryIndex:
    """The rows that per-entry results have, and the entry of each module behind each row.

    Rows are sorted by train, then in the order of the first module that has them.

    Parameters
    ----------
    train_ids : ndarray of uint64, (train,)
        All trains of the plan, also those without entries.
    offsets : ndarray of int64, (train + 1,)
        Rows of train t are ``offsets[t]:offsets[t + 1]``.
    entry : ndarray of int32, (module, row) or (1, row) where all modules agree
        Number of the entry within its module's train; -1 where the module lacks it.
    pulse_ids, cell_ids : ndarray of uint32, (row,), or None
        None where entries have no pulse or cell.
    """

    train_ids: NDArray
    offsets: NDArray
    entry: NDArray
    pulse_ids: NDArray | None = None
    cell_ids: NDArray | None = None

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def counts(self) -> NDArray:
        """Rows in each train, (train,)."""
        return np.diff(self.offsets)

    @cached_property
    def entry_ids(self) -> NDArray:
        """Number of each row's entry in its train, (row,): what tells frames without pulse ids apart."""
        return self.entry.max(axis=0)

    @cached_property
    def _numbered(self) -> bool:
        """Whether rows are told apart by their entry in the train."""
        return self.pulse_ids is None and bool(self.entry_ids.max(initial=0) > 0)

    def rows(self, first: int, last: int) -> slice:
        """Return the rows of the trains at positions ``first:last``."""
        return slice(int(self.offsets[first]), int(self.offsets[last]))

    @cached_property
    def _train_of(self) -> NDArray:
        """Position of the train of every row, (row,)."""
        return np.repeat(np.arange(len(self.train_ids)), self.counts)

    def train_positions(self, rows: slice) -> NDArray:
        """Return the position of the train of each row, (row,); a view."""
        return self._train_of[rows]

    def entries(self, module: int, rows: slice) -> NDArray:
        """Return the entry numbers of one module, -1 where it lacks the row, (row,)."""
        return self.entry[module if len(self.entry) > 1 else 0, rows]

    def of_cells(self, rows: slice, cells: Sequence[int] | None) -> NDArray:
        """Return which of some rows are frames of these memory cells, (row,) bool; all if None, or not known."""
        if cells is None or self.cell_ids is None:
            return np.ones(rows.stop - rows.start, bool)
        return np.isin(self.cell_ids[rows], cells)

    def labels(self, rows: slice) -> dict[str, NDArray]:
        """Return train_id and, where there are, pulse_id and cell_id of each row.

        Without pulse ids, where a train has several entries, entry_id is the number of the entry in its train.
        """
        out = {"train_id": self.train_ids[self.train_positions(rows)]}
        if self._numbered:
            out["entry_id"] = self.entry_ids[rows]
        if self.pulse_ids is not None:
            out["pulse_id"] = self.pulse_ids[rows]
        if self.cell_ids is not None:
            out["cell_id"] = self.cell_ids[rows]
        return out

    def select(self, keep: NDArray) -> EntryIndex:
        """Return the index with only the rows where `keep` is true."""
        trains = self.train_positions(slice(0, len(self)))[keep]
        counts = np.bincount(trains, minlength=len(self.train_ids))
        return replace(
            self,
            offsets=_offsets(counts),
            entry=self.entry[:, keep],
            pulse_ids=None if self.pulse_ids is None else self.pulse_ids[keep],
            cell_ids=None if self.cell_ids is None else self.cell_ids[keep],
        )

    def left_out(self, keep: NDArray, modules: Sequence[int], sources: Sequence[str]) -> list[Loss]:
        """Return one loss per module that has rows which are left out since not all modules have them."""
        out = []
        for position, (number, source) in enumerate(zip(modules, sources, strict=True)):
            rows = np.flatnonzero(~keep & (self.entries(position, slice(0, len(self))) >= 0))
            if len(rows):
                trains = np.unique(self.labels(slice(0, len(self)))["train_id"][rows])
                loss = self._loss(number, source, rows, trains)
                out.append(replace(loss, cause=NOT_IN_ALL, detail="left out by align='inner'"))
        return out

    def missing(self, modules: Sequence[int], sources: Sequence[str]) -> list[Loss]:
        """Return one loss per module that lacks rows which others have."""
        out = []
        for position, (number, source) in enumerate(zip(modules, sources, strict=True)):
            lacking = np.flatnonzero(self.entries(position, slice(0, len(self))) < 0)
            if len(lacking):
                trains = self.train_ids[np.unique(np.searchsorted(self.offsets, lacking, side="right") - 1)]
                out.append(self._loss(number, source, lacking, trains))
        return out

    def _loss(self, number: int, source: str, lacking: NDArray, trains: NDArray) -> Loss:
        """Return the loss of these rows in one module."""
        return Loss(
            cause="missing module" if len(lacking) == len(self) else "missing frames",
            frames=len(lacking),
            trains=len(trains),
            first_train=int(trains[0]),
            last_train=int(trains[-1]),
            source=source,
            module=number,
            detail="the other modules have them",
        )


def _offsets(counts: NDArray) -> NDArray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def plain(train_ids: NDArray, counts: NDArray) -> EntryIndex:
    """Return the index of one source without pulse ids: its entries as they come."""
    offsets = _offsets(counts)
    entry = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    return EntryIndex(train_ids, offsets, entry[None].astype(np.int32))


def align(
    train_ids: NDArray, counts: NDArray, pulses: Sequence[NDArray], cells: Sequence[NDArray | None]
) -> EntryIndex:
    """Return the index over all modules: the union of their (train, pulse, cell).

    Entries whose `doubts` are not empty are no rows.

    Parameters
    ----------
    train_ids : ndarray of uint64, (train,)
    counts : ndarray of int, (module, train)
        Entries of each module in each train; 0 where it has none.
    pulses, cells : per module an ndarray of int, (entry,)
        Over all trains, in order. Cells may be None for all modules.
    """
    found = [_keys(c, p, q) for c, p, q in zip(counts, pulses, cells, strict=True)]
    keys, numbers = ([f[i] for f in found] for i in (0, 1))
    if all(np.array_equal(keys[0], k) for k in keys) and all(np.array_equal(numbers[0], n) for n in numbers):
        union, entry = keys[0], numbers[0][None].astype(np.int32)
    else:
        union = np.unique(np.concatenate(keys))
        entry = np.full((len(keys), len(union)), -1, np.int32)
        for one, mine, number in zip(entry, keys, numbers, strict=True):
            one[np.searchsorted(union, mine)] = number
    trains = union >> _TRAIN
    return EntryIndex(
        train_ids=train_ids,
        offsets=_offsets(np.bincount(trains, minlength=len(train_ids))),
        entry=entry,
        pulse_ids=((union >> _PULSE) & (2 ** (_TRAIN - _PULSE) - 1)).astype(np.uint32),
        cell_ids=None if all(c is None for c in cells) else (union & (2**_PULSE - 1)).astype(np.uint32),
    )


def strange(counts: NDArray, pulses: Sequence[NDArray], cells: Sequence[NDArray | None]) -> list[NDArray]:
    """Return, per module, positions of trains in which other modules agree on frames, and it has none of these."""
    keys = [_keys(c, p, q)[0] for c, p, q in zip(counts, pulses, cells, strict=True)]
    if len(keys) < 3 or all(np.array_equal(keys[0], k) for k in keys):
        return [np.zeros(0, np.int64)] * len(keys)
    union, times = np.unique(np.concatenate(keys), return_counts=True)
    agreed = np.unique(union[times > 1] >> _TRAIN)
    own = [
        (np.unique(k >> _TRAIN), np.unique(k[times[np.searchsorted(union, k)] > 1] >> _TRAIN)) for k in keys
    ]
    return [np.setdiff1d(np.intersect1d(has, agreed), shares) for has, shares in own]


# A (train position, pulse, cell) as one integer, so that aligning is sorting: 16 bits of cell, 24 of pulse.
_PULSE, _TRAIN = 16, 40


def doubts(counts: NDArray, pulses: NDArray, cells: NDArray | None) -> dict[str, NDArray]:
    """Return, by reason, which entries of a module cannot be told from others, (entry,) bool.

    Parameters
    ----------
    counts : ndarray of int, (train,)
    pulses, cells : ndarray of int, (entry,)
        Negative where unknown.
    """
    pulses = np.asarray(pulses).astype(np.int64)
    cell = np.zeros_like(pulses) if cells is None else np.asarray(cells).astype(np.int64)
    unknown = (pulses < 0) | (cell < 0)
    large = (pulses >= 2 ** (_TRAIN - _PULSE)) | (cell >= 2**_PULSE)
    keys = _packed(counts, np.where(unknown | large, 0, pulses), np.where(unknown | large, 0, cell))
    twice = np.zeros(len(keys), bool)
    # Ids that increase are the rule, and nothing needs to be sorted then.
    if (unknown | large).any() or not (keys[1:] > keys[:-1]).all():
        known = np.flatnonzero(~(unknown | large))
        _, number, times = np.unique(keys[known], return_inverse=True, return_counts=True)
        twice[known] = times[number] > 1
    ids = "pulse id" if cells is None else "pulse id and cell"
    return {
        NOT_KNOWN: unknown,
        "pulse ids are below 2**24 and cells below 2**16": large,
        f"the same {ids} several times in a train": twice,
    }


def _packed(counts: NDArray, pulses: NDArray, cells: NDArray) -> NDArray:
    trains = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.asarray((trains << _TRAIN) | (pulses << _PULSE) | cells)


def _keys(counts: NDArray, pulses: NDArray, cells: NDArray | None) -> tuple[NDArray, NDArray]:
    """Return one integer per entry of a module that sorts by train, pulse and cell, and its number, (entry,) each."""
    bad = np.logical_or.reduce(list(doubts(counts, pulses, cells).values()))
    pulses = np.asarray(pulses).astype(np.int64)
    cell = np.zeros_like(pulses) if cells is None else np.asarray(cells).astype(np.int64)
    number = np.arange(len(pulses)) - np.repeat(_offsets(counts)[:-1], counts)
    if not bad.any():
        return _packed(counts, pulses, cell), number
    good = np.bincount(np.repeat(np.arange(len(counts)), counts)[~bad], minlength=len(counts))
    return _packed(good, pulses[~bad], cell[~bad]), number[~bad]


def same_rows(a: EntryIndex, b: EntryIndex) -> bool:
    """Return whether two indexes have the same rows: trains, pulses, cells."""
    return (
        np.array_equal(a.offsets, b.offsets)
        and _equal(a.pulse_ids, b.pulse_ids)
        and _equal(a.cell_ids, b.cell_ids)
        and np.array_equal(np.broadcast_to(a.entry, b.entry.shape) if len(a.entry) == 1 else a.entry, b.entry)
    )


def _equal(a: NDArray | None, b: NDArray | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
