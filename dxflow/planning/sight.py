"""Which frames each algorithm sees: those where its own inputs are there, whatever else is in the pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bound import maker

if TYPE_CHECKING:
    from ..run.index import EntryIndex
    from .bound import BoundAlgorithm
    from .plan import Plan


@dataclass(frozen=True)
class Sight:
    """Frames that an algorithm sees: rows of an index, of modules where all of these inputs are there.

    Not those that it, or what it reads, said it cannot use: modules by position, with memory cells, None for all.
    """

    index: EntryIndex
    inputs: tuple[int, ...]
    lacks: tuple[tuple[int, tuple[int, ...] | None], ...] = ()


def sight(plan: Plan, bound: BoundAlgorithm) -> Sight:
    """Return what an algorithm sees.

    A block holds all its frames inputs, so each must be there, as must images that earlier algorithms hand on. A train
    is there if its first input is: the others are NaN, and said to be missing, where they have nothing.
    """
    refs, lead = list(bound.aliases.values()), plan.inputs[bound.stream]
    inputs, modules = {bound.stream}, lead.modules
    lacks = [(modules.index(lack.module), lack.cells) for lack in bound.lacks]
    for ref in refs if bound.algorithm.by_module else refs[:1]:
        if ref.made and bound.algorithm.by_module and ref.made.output.kind != "image":
            continue
        if ref.made:
            made = sight(plan, maker(plan, ref.made))
            if made.index is lead.index:
                inputs |= set(made.inputs)
                lacks += made.lacks
        elif plan.inputs[ref.number].kind == "frames":
            inputs.add(ref.number)
    return Sight(lead.index, tuple(sorted(inputs)), tuple(dict.fromkeys(lacks)))


def reads_no_frames(plan: Plan, bound: BoundAlgorithm) -> bool:
    """Return whether an algorithm works on trains whose frames it knows by id alone: any windows of others suit it."""
    inputs = [plan.inputs[ref.number] for ref in bound.aliases.values()]
    made = any(ref.made for ref in bound.aliases.values())
    by_id = plan.inputs[bound.stream].kind == "pulses" and all(i.kind != "frames" for i in inputs)
    return by_id and not made and not bound.algorithm.by_module


def by_train(plan: Plan, bound: BoundAlgorithm) -> bool:
    """Return whether an algorithm's chunks are finished train by train, since others read what that makes."""
    read = {o.name for o in bound.outputs if not o.transient} & plan.handed_on
    return bool(read) and bound.algorithm.overrides("finalize_chunk_processing")
