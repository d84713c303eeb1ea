"""What a chunk adds up: the whole-run outputs of each algorithm, closed at the end of its units, merged in a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..declare.outputs import Partial
from ..planning.sight import by_train
from ..planning.units import Tree, adds_up
from . import presence
from .hooks import hook_context, named

if TYPE_CHECKING:
    from ..planning.binding import BoundAlgorithm
    from .account import ChunkState

HOOK = "finalize_chunk_processing"


class Totals:
    """The whole-run outputs of all algorithms in a chunk."""

    def __init__(self, state: ChunkState) -> None:
        plan = state.plan
        finished = [a for a in plan.algorithms if a.algorithm.overrides(HOOK) and not by_train(plan, a)]
        self._own = [_Total(state, a) for a in plan.algorithms if adds_up(a) or a in finished]

    def reach(self, train: int) -> None:
        """Close all units that end before a train, or the position after the last."""
        for total in self._own:
            total.reach(train)


class _Total:
    """Those of one algorithm: `first` is where its unit of now begins."""

    def __init__(self, state: ChunkState, bound: BoundAlgorithm) -> None:
        self._state, self._bound, self._first = state, bound, state.chunk.first
        self._tree = Tree(self._merge)
        self._finishes = bound.algorithm.overrides(HOOK)

    def reach(self, train: int) -> None:
        """Close the units that end before a train."""
        end = self._state.chunk.last
        while self._first < end and (last := min(self._end, end)) <= train:
            self._close(last)
            self._first = last

    @property
    def _end(self) -> int:
        return (self._first // self._bound.unit + 1) * self._bound.unit

    def _close(self, last: int) -> None:
        """Finish a unit; where a hook has failed, whatever was made so far is worthless, and will be made again."""
        state, bound, trains = self._state, self._bound, set(range(self._first, last))
        state.gather(bound)
        if self._finishes and trains - state.excluded and not trains & state.failed:
            finish(state, bound, self._first, last)
        whole = adds_up(bound) and not state.failed
        if whole:
            self._tree.add(self._first, last, state.whole_run(bound))
        if last < state.chunk.last:
            state.renew(bound)
        elif whole:
            state.put(bound, self._tree.result())

    def _merge(self, into: Partial, other: Partial) -> None:
        state, name = self._state, self._bound.name
        with named(state.doing, f"in {name}.merge(), run {state.plan.run}, chunk {state.chunk.number}"):
            self._bound.algorithm.merge(into, other)


def finish(state: ChunkState, bound: BoundAlgorithm, first: int, last: int) -> None:
    """Let an algorithm finish some trains: those of a unit, or one if others read on."""
    out = state.as_chunk(bound, first, last)
    with hook_context(bound.algorithm, HOOK, state, first, last):
        bound.algorithm.finalize_chunk_processing(out)
    for train in range(first, last):
        presence.note_train(state, bound, out, train)
