"""The X-ray pulses of a run: in which slots of which trains they came, and where lists per pulse have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.bunches import MEASURED, OWN, Bunches, own_pulses, undulator
from ..run.instruments import of_run
from ..run.whole import first_of_trains, stretches

if TYPE_CHECKING:
    from ..reader.files import Files
    from ..run.bound import BoundInput
    from ..run.findings import Faults
    from ..run.open import OpenedRun

BITS = 32
"""Of a pulse id, beside its train."""
Block = tuple[int, NDArray, NDArray]
"""Position of the first of some trains, what each of them has, (train, ...), and where there is anything, (train,)."""


@dataclass(frozen=True, eq=False)
class Beam:
    """Our pulses, in order: `of` the position of the train of each, `slots` (pulse,).

    `known` says of which trains there is a bunch pattern, (train,); `numbers` by undulator in which entry of its lists
    each pulse is, under None in those of the gas monitor, which may see those of two.
    """

    sase: int
    known: NDArray
    of: NDArray
    slots: NDArray
    numbers: Mapping[int | None, NDArray]

    @classmethod
    def made(cls, blocks: Iterable[Block], sase: int) -> Beam:
        """Return the pulses of an undulator in bunch patterns, (train, slot)."""
        parts: list[tuple[NDArray, ...]] = [(np.zeros(0, bool), *(np.zeros(0, np.int32) for _ in range(4)))]
        for first, table, known in blocks:
            train, slot = np.nonzero(own_pulses(table, sase) & known[:, None])
            entries = (_numbers(table, which)[train, slot] for which in (MEASURED[sase], OWN[sase]))
            parts.append((known, *(one.astype(np.int32) for one in (train + first, slot, *entries))))
        known, of, slots, seen, own = (np.concatenate(p) for p in zip(*parts, strict=True))
        return cls(sase, known, of, slots, {None: seen, sase: own})

    def entries(self, of: NDArray, slots: NDArray, sase: int | None) -> NDArray:
        """Return in which entry of a list the pulse of each slot is, -1 where none of ours is in it.

        Parameters
        ----------
        of : ndarray of int, (row,)
            Positions of trains.
        slots : ndarray of int, (row, exposure)
        """
        if not len(self.of):
            return np.full(slots.shape, -1, np.int32)
        have = keys(self.of, self.slots)
        wanted = keys(np.broadcast_to(of[:, None], slots.shape), np.clip(slots, 0, None))
        at = np.minimum(np.searchsorted(have, wanted), len(have) - 1)
        return np.where((have[at] == wanted) & (slots >= 0), self.numbers[sase][at], np.int32(-1))

    @property
    def first(self) -> NDArray:
        """The slot of the first pulse of each train, (train,); 0 without pulses."""
        out = np.zeros(len(self.known), np.int64)
        trains, at = np.unique(self.of, return_index=True)
        out[trains] = self.slots[at]
        return out


def _numbers(table: NDArray, which: tuple[int, int]) -> NDArray:
    """Return the number of each slot's pulse among those with some bits, (train, slot)."""
    bits, value = which
    return np.cumsum((table & np.uint32(bits)) == np.uint32(value), axis=1, dtype=np.int32) - 1


def found(opened: OpenedRun, clock: Mapping[str, Any], faults: Faults) -> Beam:
    """Return our pulses in a run.

    Parameters
    ----------
    clock : mapping
        ``sase`` and ``pattern``, as of `PulseKey`.

    Raises
    ------
    KeyError, ValueError
        If the run has no bunch pattern, or it is not known which pulses are ours.
    """
    bound = Bunches(clock.get("pattern")).bind(opened.run, opened.train_ids, faults)
    return Beam.made(blocks(bound, faults), undulator(clock.get("sase"), of_run(opened.run), "pulses"))


def blocks(bound: BoundInput, faults: Faults, files: Files | None = None) -> Iterator[Block]:
    """Yield the only entry of each train, some trains at a time."""
    for first, last, values, good in stretches(bound, faults, files):
        if len(values) == last - first and (bound.index.counts[first:last] == 1).all():
            yield first, values, good
        else:
            yield first, *first_of_trains(bound, values, good, first, last)


def keys(of: NDArray, pulse_ids: NDArray) -> NDArray:
    """Return one number for each train (its position) and pulse."""
    return (of.astype(np.uint64) << np.uint64(BITS)) | pulse_ids.astype(np.uint64)
