"""What a worker does with partials: merge those of some fragments, finalize those of a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

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
    """Do a chunk that is the only one of its part, and finalize that: nobody has to wait for what is there.

    What is finalized is taken as the chunk made it. A result without a name, which nobody goes on with, has no use
    for it later: then it is not in the fragment, which is left when all is done.
    """
    held: list[tuple[Address, Mapping[str, Any], Mapping[str, NDArray]]] = []
    summary = run_chunk(work, number, leave=lambda *made: held.append(made))
    part, address = work.plan.chunks[number].part, work.plan.address(work.folder, number)
    if not held:
        finalize(work, [(part, address)])
        return summary
    ((at, meta, arrays),) = held
    found = _partials(work.plan, lambda o: arrays[o.name])
    own = {o.name for outputs in _whole_run(work.plan).values() for o in outputs}
    forgets = work.plan.store.temporary and not work.plan.chunk_trains
    start = perf_counter()
    if not forgets:
        work.leave(at, meta, arrays)
    with _finalizing(work, part):
        _finalize(work, part, found)
    if forgets:
        work.leave(at, meta, {name: array for name, array in arrays.items() if name not in own})
    summary.times["write"] += perf_counter() - start
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
    # Of trains that are not there, or none of which is selected, there may be no chunk.
    tree = Tree(partial(_merge, work), start=0)
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
        if _without_totals(work.plan, total):
            # It was finalized for a cluster that is lost, and what was made of it with it.
            total.path.unlink()
            run_part(work, next(c.number for c in work.plan.chunks if c.part == part))
            continue
        with _finalizing(work, part):
            _finalize(work, part, totals(work.plan, part, total))
    return len(parts)


@contextmanager
def _finalizing(work: Workspace, part: int) -> Iterator[None]:
    with alone(work, "finalize()", str(part)):
        work.prepare(work.plan.parts[part], "finalize")
        yield


def _finalize(work: Workspace, part: int, found: dict[str, Partial]) -> None:
    """Let the algorithms turn the totals of one part of the result into results, and hand them to the store."""
    for bound in work.plan.algorithms:
        if bound.name in found:
            with named(work.doing, f"in {bound.name}.finalize(), run {work.plan.run}"):
                bound.algorithm.finalize(found[bound.name])
    work.plan.store.keep(work.contents, part, _arrays(work.plan, found, stored=True))


def totals(plan: Plan, part: int, at: Address) -> dict[str, Partial]:
    """Return the whole-run outputs of a fragment of a part, by algorithm."""
    with fragments.Fragment(*at) as fragment:
        return _partials(plan, lambda o: fragment.of(o.name, _shape(plan, o, part), o.output.dtype))


def _without_totals(plan: Plan, at: Address) -> bool:
    own = {o.name for outputs in _whole_run(plan).values() for o in outputs}
    with fragments.Fragment(*at) as fragment:
        return own.isdisjoint(fragment.names())


def _partials(plan: Plan, array: Callable[[BoundOutput], NDArray]) -> dict[str, Partial]:
    return {name: Partial({o.key: array(o) for o in own}) for name, own in _whole_run(plan).items()}


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
