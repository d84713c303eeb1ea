"""Merging in a fixed tree: each group of neighbouring fragments as soon as all of it is there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk.fragments import chunk_path, merged_path
from ..worker import merging

if TYPE_CHECKING:
    from ..clusters.runner import Runner
    from ..planning.public import Plan

FAN_IN = 8
"""Fragments per merge: a constant, since it orders the additions."""
TASKS = 8
"""In which parts are finalized: each is short where there are many."""


class Merges:
    """The merges of a plan: of each part, always of groups of the same neighbours, whatever is done first.

    What stands alone is not merged: merging into an empty partial would not change it.

    Parameters
    ----------
    plan : Plan
    runner : Runner
    folder : path
        Where the fragments are.
    """

    def __init__(self, plan: Plan, runner: Runner, folder: Path) -> None:
        self._plan, self._runner, self._folder = plan, runner, folder
        self._wanted = any(o.whole_run for o in plan.outputs)
        self._count: Counter[int] = Counter()
        """Chunks of each part."""
        self._place: list[int] = []
        """Of each chunk, among those of its part."""
        for chunk in plan.chunks:
            self._place.append(self._count[chunk.part])
            self._count[chunk.part] += 1
        self._there: dict[tuple[int, int, int], tuple[Path, Any]] = {}
        """Fragment, and the future that makes it, by part, level of the tree and place."""

    @property
    def alone(self) -> bool:
        """Whether there are several parts, each has one chunk, and all have something to finalize."""
        return self._wanted and len(self._count) == len(self._plan.chunks) > 1

    def add(self, number: int) -> None:
        """Note that a chunk is done; begin what that makes possible."""
        if self._wanted:
            path, part = chunk_path(self._folder, number, self._plan.digest), self._plan.chunks[number].part
            self._add(part, 0, self._place[number], (path, None))

    def _add(self, part: int, level: int, at: int, node: tuple[Path, Any]) -> None:
        """Note that a node of the tree is there, or will be; submit the merge of its group if it is the last."""
        self._there[part, level, at] = node
        size, number = -(-self._count[part] // FAN_IN**level), at // FAN_IN
        group = [(part, level, n) for n in range(number * FAN_IN, min((number + 1) * FAN_IN, size))]
        if size > 1 and all(one in self._there for one in group):
            nodes = [self._there[one] for one in group]
            into = merged_path(self._folder, part, level, number, self._plan.digest)
            merged = nodes[0] if len(nodes) == 1 else self._merge(part, nodes, into)
            self._add(part, level + 1, number, merged)

    def _merge(self, part: int, nodes: list[tuple[Path, Any]], into: Path) -> tuple[Path, Any]:
        """Submit one merge."""
        paths, after = [path for path, _ in nodes], [future for _, future in nodes if future is not None]
        return into, self._runner.submit(merging.merge, part, paths, into, after=after)

    def finals(self) -> list[Any]:
        """Finalize the parts, once all their chunks are done and the store is made; the futures say how many are."""
        there = {part for part, _, _ in self._there}
        roots = [(part, *self._root(part)) for part in self._count if part in there]
        finals = []
        for group in (roots[n::TASKS] for n in range(min(TASKS, len(roots)))):
            after = [future for _, _, future in group if future is not None]
            totals = [(part, path) for part, path, _ in group]
            finals.append(self._runner.submit(merging.finalize, totals, after=after))
        return finals

    def _root(self, part: int) -> tuple[Path, Any]:
        """Return the fragment of a whole part, and the future that makes it."""
        count = self._count[part]
        return self._there[part, next(level for level in range(count) if FAN_IN**level >= count), 0]
