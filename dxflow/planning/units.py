"""Units: trains that an algorithm adds up at once; their sums merge in one tree, however the run is cut and read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .bound import BoundAlgorithm
    from .plan import Plan

T = TypeVar("T")


class Tree(Generic[T]):
    """Neighbouring stretches of trains merged in pairs, as the digits of a binary counter are carried.

    The pair whose border is the odder number goes first, 3 before 2 before 4: which pairs there are follows from the
    borders alone, wherever and in how many steps it is done.

    Parameters
    ----------
    merge : callable
        Merges the second of two values into the first.
    start : int, optional
        Where the first of all possible stretches begins, if some may be missing: the pairs are the same then as if
        these were there, with nothing in them.
    """

    def __init__(self, merge: Callable[[T, T], object], start: int | None = None) -> None:
        self._merge, self._next = merge, start
        self._open: list[tuple[int, T | None]] = []

    def add(self, first: int, last: int, value: T) -> None:
        """Add the next stretch, ``first:last``."""
        if self._next is not None:
            for missing in range(self._next, first):
                self._put(missing, missing + 1, None)
            self._next = last
        self._put(first, last, value)

    def _put(self, first: int, last: int, value: T | None) -> None:
        self._open.append((first, value))
        while len(self._open) > 1 and _evenness(self._open[-1][0]) < _evenness(last):
            self._fold()

    def result(self) -> T:
        """Return all merged into one."""
        while len(self._open) > 1:
            self._fold()
        value = self._open[0][1]
        assert value is not None
        return value

    def _fold(self) -> None:
        _, last = self._open.pop()
        first, value = self._open[-1]
        if value is None:
            self._open[-1] = first, last
        elif last is not None:
            self._merge(value, last)


def _evenness(border: int) -> int:
    """Return the largest power of two that divides a number."""
    return border & -border


def adds_up(bound: BoundAlgorithm) -> bool:
    """Return whether an algorithm makes something of several trains at once; others have units of one train."""
    return any(o.whole_run for o in bound.outputs)


def stretch(plan: Plan) -> int:
    """Return how many trains blocks are read of, module after module, before those of the next trains.

    What modules share under a rule of its own is made train by train, as beside algorithms that need whole trains.
    """
    if any(o.output.kind == "run" and o.output.merge == "custom" for o in plan.outputs):
        return 1
    return min((a.unit for a in plan.algorithms if adds_up(a)), default=len(plan.train_ids))
