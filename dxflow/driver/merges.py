"""Merging in a fixed tree: each group of neighbouring fragments as soon as all of it is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..disk.fragments import Address, merged_path
from ..worker import merging

if TYPE_CHECKING:
    from ..clusters.runner import Runner
    from ..planning.public import Plan

FAN_IN = 8
"""Fragments per merge: a constant, since it orders the additions."""
TASKS = 8
"""In which parts are finalized: each is short where there are many."""


class Node(NamedTuple):
    """A fragment that is there, or will be, and the future that makes it."""

    at: Address
    made: Any = None


class Merges:
    """The merges of a plan: of each part, always of groups of the same places, whatever is done first.

    What stands alone is not merged: merging into an empty partial would not change it. What is merged has the digest
    of its parts: another plan that has the same chunks at these places has the same merges.

    Parameters
    ----------
    plan : Plan
    runner : Runner
    folder : path
        Where the fragments are.
    known : collection of path
        Those that another plan has left.

    Attributes
    ----------
    paths : set of path
        The fragments of all merges so far.
    """

    def __init__(self, plan: Plan, runner: Runner, folder: Path, known: Collection[Path] = ()) -> None:
        self._plan, self._runner, self._folder, self._known = plan, runner, folder, known
        self._wanted = any(o.whole_run for o in plan.outputs)
        self._groups = Groups(plan)
        self._there: dict[tuple[int, int], dict[int, Node]] = {}
        """By part and level of the tree: what is there, by place."""
        self.paths: set[Path] = set()

    @property
    def alone(self) -> bool:
        """Whether each part has one chunk, and something to finalize."""
        return self._wanted and len(self._groups.levels) == len(self._plan.chunks)

    def add(self, number: int) -> None:
        """Note that a chunk is done; begin what that makes possible."""
        if self._wanted:
            plan, node = self._plan, Node(self._plan.address(self._folder, number))
            self._add(plan.chunks[number].part, 0, plan.places[number], node)

    def _add(self, part: int, level: int, place: int, node: Node) -> None:
        """Note that a node of the tree is there, or will be; submit the merge of its group if it is the last."""
        there, group = self._there.setdefault((part, level), {}), place // FAN_IN
        there[place] = node
        own = [(n, there[n]) for n in range(group * FAN_IN, (group + 1) * FAN_IN) if n in there]
        if level < self._groups.levels[part] and len(own) == self._groups.sizes[part, level, group]:
            self._add(part, level + 1, group, own[0][1] if len(own) == 1 else self._merge(part, level, own))

    def _merge(self, part: int, level: int, own: list[tuple[int, Node]]) -> Node:
        """Submit a merge, unless another plan has done it."""
        children = [(place % FAN_IN, node.at) for place, node in own]
        of = sha256(repr([(place, at.of) for place, at in children]).encode()).hexdigest()
        into = Address(merged_path(self._folder, part, level, own[0][0] // FAN_IN, of), of)
        self.paths.add(into.path)
        if into.path in self._known:
            return Node(into)
        after = [node.made for _, node in own if node.made is not None]
        return Node(into, self._runner.submit(merging.merge, part, children, into, after=after))

    def finals(self) -> list[Any]:
        """Finalize the parts, once all their chunks are done and the store is made; the futures say how many are."""
        there = {part for part, _ in self._there}
        roots = [(part, self._root(part)) for part in self._groups.levels if part in there]
        finals = []
        for group in (roots[n::TASKS] for n in range(min(TASKS, len(roots)))):
            after = [root.made for _, root in group if root.made is not None]
            totals = [(part, root.at) for part, root in group]
            finals.append(self._runner.submit(merging.finalize, totals, after=after))
        return finals

    def _root(self, part: int) -> Node:
        """Return the fragment of a whole part."""
        (root,) = self._there[part, self._groups.levels[part]].values()
        return root


class Groups:
    """The tree over the places of chunks: FAN_IN neighbours of each level make one of the next, until one is left.

    Attributes
    ----------
    levels : dict
        Part -> how many levels are above its chunks.
    sizes : Counter
        (part, level, group) -> how many it has.
    """

    def __init__(self, plan: Plan) -> None:
        self.levels: dict[int, int] = {}
        self.sizes: Counter[tuple[int, int, int]] = Counter()
        own: dict[int, set[int]] = defaultdict(set)
        for chunk in plan.chunks:
            own[chunk.part].add(plan.places[chunk.number])
        for part, places in own.items():
            self.levels[part] = 0
            while len(places) > 1:
                groups = [(part, self.levels[part], place // FAN_IN) for place in places]
                self.sizes.update(groups)
                places = {group for *_, group in groups}
                self.levels[part] += 1
