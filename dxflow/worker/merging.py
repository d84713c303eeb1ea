"""What a worker does with partials: merge those of some fragments, finalize those of a part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ..declare.outputs import Partial
from ..disk import fragments
from ..planning.units import Tree
from .alone import alone
from .chunk import run_chunk
from .hooks import named

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from ..disk.fragments import Address
    from ..planning.public import Plan
    from .summary import Summary
    from .workspace import Workspace


def run_part(work: Workspace, number: int) -> Summary:
    """Do a chunk that is the only one of its part, and finalize that: nobody has to wait for what is there."""
    summary, plan = run_chunk(work, number), work.plan
    finalize(work, [(plan.chunks[number].part, plan.address(work.folder, number))])
    return summary


def merge(work: Workspace, part: int, children: Sequence[tuple[int, Address]], into: Address) -> Address:
    """Merge the whole-run outputs of some fragments of a part, each at its place, into one."""
    if fragments.intact(*into) is None:
        with alone(work, "merge()", into.path.name):
            work.leave(into, {}, merged(work, part, children))
    return into


def merged(work: Workspace, part: int, children: Sequence[tuple[int, Address]]) -> dict[str, NDArray]:
    """Return the whole-run outputs of some fragments of a part, merged in a tree over their places, by name."""
    work.prepare(work.plan.parts[part], "merge")
    tree = Tree(partial(_merge, work))
    for place, at in children:
        tree.add(place, place + 1, totals(work.plan, part, at))
    return _arrays(work.plan, tree.result(), stored=False)


def _merge(work: Workspace, into: dict[str, Partial], other: dict[str, Partial]) -> None:
    for bound in work.plan.algorithms:
        if bound.name in into:
            with named(work.doing, f"in {bound.name}.merge(), run {work.plan.run}"):
                bound.algorithm.merge(into[bound.name], other[bound.name])


def finalize(work: Workspace, parts: Sequence[tuple[int, Address]]) -> int:
    """Finalize some parts of the result, given with the fragments of their totals; return how many."""
    for part, total in parts:
        with alone(work, "finalize()", str(part)):
            work.prepare(work.plan.parts[part], "finalize")
            _finalize(work, part, total)
    return len(parts)


def _finalize(work: Workspace, part: int, total: Address) -> None:
    """Let the algorithms turn the totals of one part of the result into results, and hand them to the store."""
    found = totals(work.plan, part, total)
    for bound in work.plan.algorithms:
        if bound.name in found:
            with named(work.doing, f"in {bound.name}.finalize(), run {work.plan.run}"):
                bound.algorithm.finalize(found[bound.name])
    work.plan.store.keep(work.contents, part, _arrays(work.plan, found, stored=True))


def totals(plan: Plan, part: int, at: Address) -> dict[str, Partial]:
    """Return the whole-run outputs of a fragment of a part, by algorithm."""
    with fragments.Fragment(*at) as fragment:
        return {
            name: Partial({o.key: fragment.of(o.name, _shape(plan, o, part), o.output.dtype) for o in own})
            for name, own in _whole_run(plan).items()
        }


def _whole_run(plan: Plan) -> dict[str, list[BoundOutput]]:
    """Return the whole-run outputs of each algorithm that has some."""
    found = {bound.name: [o for o in bound.outputs if o.whole_run] for bound in plan.algorithms}
    return {name: own for name, own in found.items() if own}


def _shape(plan: Plan, o: BoundOutput, part: int) -> tuple[int, ...]:
    """Return the shape of a whole-run output of a part."""
    return o.shape(0, 0, _modules(plan, o, part))


def _modules(plan: Plan, o: BoundOutput, part: int) -> int:
    return min(plan.parts[part].stop - plan.parts[part].start, o.pixels[0])


def _arrays(plan: Plan, found: dict[str, Partial], *, stored: bool) -> dict[str, NDArray]:
    """Return whole-run outputs by name; only those that are stored, if so asked."""
    outputs = {(o.algorithm, o.key): o for o in plan.outputs if o.output.store or not stored}
    return {
        outputs[name, key].name: own[key]
        for name, own in found.items()
        for key in own
        if (name, key) in outputs
    }
