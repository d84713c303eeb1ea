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
    from .plan import Plan


def merge(work: Workspace, part: int, children: Iterable[Path], into: Path) -> Path:
    """Merge the whole-run outputs of some fragments of a part, in order, into one; starts from an empty partial."""
    if fragments.intact(into) is not None:
        return into
    fragments.write(into, {}, merged(work, part, children), lasting=not work.plan.store.temporary)
    return into


def merged(work: Workspace, part: int, children: Iterable[Path]) -> dict[str, NDArray]:
    """Return the whole-run outputs of some fragments of a part, merged in order into empty ones, by name."""
    work.prepare()
    totals = _empty(work.plan, part)
    for path in children:
        with fragments.Fragment(path) as child:
            for bound in work.plan.algorithms:
                if bound.name in totals:
                    other = Partial({key: child[f"{bound.name}.{key}"] for key in totals[bound.name]})
                    with named(work.doing, f"in {bound.name}.merge(), run {work.plan.run}, {path.stem}"):
                        bound.algorithm.merge(totals[bound.name], other)
    return _arrays(work.plan, totals, stored=False)


def finalize(work: Workspace, part: int, total: Path) -> None:
    """Let the algorithms turn the totals of one part of the result into results, and hand them to the store."""
    work.prepare()
    with fragments.Fragment(total) as fragment:
        totals = {
            name: Partial({key: fragment[f"{name}.{key}"] for key in own})
            for name, own in _keys(work.plan).items()
        }
    for bound in work.plan.algorithms:
        if bound.name in totals:
            with named(work.doing, f"in {bound.name}.finalize(), run {work.plan.run}"):
                bound.algorithm.finalize(totals[bound.name])
    work.plan.store.keep(Contents.of(work.plan, work.folder), part, _arrays(work.plan, totals, stored=True))


def _keys(plan: Plan) -> dict[str, list[str]]:
    """Return the names of the whole-run outputs of each algorithm that has some."""
    keys = {bound.name: [o.key for o in bound.outputs if o.whole_run] for bound in plan.algorithms}
    return {name: own for name, own in keys.items() if own}


def _empty(plan: Plan, part: int) -> dict[str, Partial]:
    """Return fresh partials of a part, by algorithm."""
    modules = plan.parts[part].stop - plan.parts[part].start
    return {
        bound.name: Partial(
            {o.key: o.array(0, 0, min(modules, o.pixels[0])) for o in bound.outputs if o.whole_run}
        )
        for bound in plan.algorithms
        if bound.name in _keys(plan)
    }


def _arrays(plan: Plan, totals: dict[str, Partial], *, stored: bool) -> dict[str, NDArray]:
    """Return whole-run outputs by name; only those that are stored, if so asked."""
    outputs = {(o.algorithm, o.key): o for o in plan.outputs if o.output.store or not stored}
    return {
        outputs[name, key].name: partial[key]
        for name, partial in totals.items()
        for key in partial
        if (name, key) in outputs
    }
