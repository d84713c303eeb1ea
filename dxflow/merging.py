"""What a worker does with partials: merge those of some fragments, finalize those of a part."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from . import fragments
from .contents import Contents
from .faults import named
from .outputs import Partial

if TYPE_CHECKING:
    from .chunk import Workspace
    from .outputs import BoundOutput
    from .plan import Plan


def merge(work: Workspace, part: int, children: Iterable[Path], into: Path) -> Path:
    """Merge the whole-run outputs of some fragments of a part, in order, into one; starts from an empty partial."""
    plan = work.plan
    if fragments.intact(into, plan.digest) is not None:
        return into
    whole = merged(work, part, children)
    fragments.write(into, {}, whole, of=plan.digest, lasting=not plan.store.temporary)
    return into


def merged(work: Workspace, part: int, children: Iterable[Path]) -> dict[str, NDArray]:
    """Return the whole-run outputs of some fragments of a part, merged in order into empty ones, by name."""
    work.prepare()
    totals = _empty(work.plan, part)
    for path in children:
        with fragments.Fragment(path, work.plan.digest) as child:
            for bound in work.plan.algorithms:
                if bound.name in totals:
                    into = totals[bound.name]
                    other = {key: child.like(f"{bound.name}.{key}", into[key]) for key in into}
                    with named(work.doing, f"in {bound.name}.merge(), run {work.plan.run}, {path.stem}"):
                        bound.algorithm.merge(into, Partial(other))
    return _arrays(work.plan, totals, stored=False)


def finalize(work: Workspace, part: int, total: Path) -> None:
    """Let the algorithms turn the totals of one part of the result into results, and hand them to the store."""
    work.prepare()
    with fragments.Fragment(total, work.plan.digest) as fragment:
        totals = {
            name: Partial(
                {o.key: fragment.of(o.name, _shape(work.plan, o, part), o.output.dtype) for o in own}
            )
            for name, own in _whole_run(work.plan).items()
        }
    for bound in work.plan.algorithms:
        if bound.name in totals:
            with named(work.doing, f"in {bound.name}.finalize(), run {work.plan.run}"):
                bound.algorithm.finalize(totals[bound.name])
    work.plan.store.keep(Contents.of(work.plan, work.folder), part, _arrays(work.plan, totals, stored=True))


def _whole_run(plan: Plan) -> dict[str, list[BoundOutput]]:
    """Return the whole-run outputs of each algorithm that has some."""
    found = {bound.name: [o for o in bound.outputs if o.whole_run] for bound in plan.algorithms}
    return {name: own for name, own in found.items() if own}


def _empty(plan: Plan, part: int) -> dict[str, Partial]:
    """Return fresh partials of a part, by algorithm."""
    return {
        name: Partial({o.key: o.array(0, 0, _modules(plan, o, part)) for o in own})
        for name, own in _whole_run(plan).items()
    }


def _shape(plan: Plan, o: BoundOutput, part: int) -> tuple[int, ...]:
    """Return the shape of a whole-run output of a part."""
    return o.shape(0, 0, _modules(plan, o, part))


def _modules(plan: Plan, o: BoundOutput, part: int) -> int:
    return min(plan.parts[part].stop - plan.parts[part].start, o.pixels[0])


def _arrays(plan: Plan, totals: dict[str, Partial], *, stored: bool) -> dict[str, NDArray]:
    """Return whole-run outputs by name; only those that are stored, if so asked."""
    outputs = {(o.algorithm, o.key): o for o in plan.outputs if o.output.store or not stored}
    return {
        outputs[name, key].name: partial[key]
        for name, partial in totals.items()
        for key in partial
        if (name, key) in outputs
    }
