"""What a chunk adds up: the whole-run outputs of each algorithm, closed at the end of its units, merged in a tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..planning.sight import by_train
from ..planning.units import Tree, adds_up

if TYPE_CHECKING:
    from ..declare.outputs import Partial
    from ..planning.bound import BoundAlgorithm
    from ..planning.plan import Plan
    from .hooks import Calls
    from .presence import Presence

HOOK = "finalize_chunk_processing"


def finishing(plan: Plan) -> list[BoundAlgorithm]:
    """Return the algorithms that finish the trains of a unit, when all of their modules were worked on."""
    return [a for a in plan.algorithms if a.algorithm.overrides(HOOK) and not by_train(plan, a)]


class Totals:
    """What algorithms close at the end of their units: whole-run outputs, and rows that they finish."""

    def __init__(self, presence: Presence, calls: Calls, algorithms: Iterable[BoundAlgorithm]) -> None:
        self._own = [_Total(presence, calls, a) for a in algorithms]

    def reach(self, train: int) -> None:
        """Close all units that end before a train, or the position after the last."""
        for total in self._own:
            total.reach(train)


class _Total:
    """Those of one algorithm: `first` is where its unit of now begins."""

    def __init__(self, presence: Presence, calls: Calls, bound: BoundAlgorithm) -> None:
        self._presence, self._shares, self._calls, self._bound = presence, presence.shares, calls, bound
        self._first, self._end = calls.chunk.first, calls.chunk.last
        self._tree = Tree(self._merge)
        self._finishes = bound.algorithm.overrides(HOOK) and not by_train(calls.plan, bound)

    def reach(self, train: int) -> None:
        """Close the units that end before a train."""
        unit = self._bound.unit
        while self._first < self._end and (last := min((self._first // unit + 1) * unit, self._end)) <= train:
            self._close(last)
            self._first = last

    def _close(self, last: int) -> None:
        """Finish a unit; where a hook has failed, whatever was made so far is worthless, and will be made again."""
        shares, calls, bound = self._shares, self._calls, self._bound
        trains = set(range(self._first, last))
        shares.gather(bound)
        if self._finishes and trains - calls.excluded and not trains & calls.failed:
            for first, end in self._spans(last):
                finish(self._presence, calls, bound, first, end)
        whole = adds_up(bound) and not calls.failed
        if whole:
            self._tree.add(self._first, last, shares.whole_run(bound))
        if last < self._end:
            shares.renew(bound)
        elif whole:
            shares.put(bound, self._tree.result())

    def _spans(self, last: int) -> list[tuple[int, int]]:
        """Return the trains that are finished at once: of a unit, or one after the other as where others read on."""
        if not self._bound.algorithm.FINISHES_TRAINS:
            return [(self._first, last)]
        return [(one, one + 1) for one in range(self._first, last) if one not in self._calls.excluded]

    def _merge(self, into: Partial, other: Partial) -> None:
        with self._calls.merging(self._bound):
            self._bound.algorithm.merge(into, other)


def finish(presence: Presence, calls: Calls, bound: BoundAlgorithm, first: int, last: int) -> None:
    """Let an algorithm finish some trains: those of a unit, or one if others read on."""
    out = presence.shares.of_trains(bound, first, last)
    with calls.of(bound, HOOK, first, last):
        bound.algorithm.finalize_chunk_processing(out)
    presence.note_trains(bound, out, first, last)
