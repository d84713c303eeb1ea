"""Bytes of what is worked on at once: blocks of frames, whole trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..run.bound import train_bytes
from .bound import maker

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex
    from .bound import BoundAlgorithm
    from .plan import Plan


@dataclass(frozen=True, eq=False)
class Group:
    """Algorithms whose blocks are cut from the same frames, how many a block holds, and the inputs that are read."""

    lead: int
    index: EntryIndex
    frames: int
    inputs: tuple[int, ...]
    algorithms: tuple[BoundAlgorithm, ...]


def groups(plan: Plan) -> list[Group]:
    """Return the algorithms of a plan grouped by the frames they follow, in order of appearance."""
    members: dict[tuple, list[BoundAlgorithm]] = {}
    for bound in plan.algorithms:
        members.setdefault(_frames_of(plan, bound), []).append(bound)
    return [
        Group(
            algorithms[0].stream,
            plan.inputs[algorithms[0].stream].index,
            frames_per_block(plan, algorithms[0]),
            _read_for(plan, algorithms),
            (*algorithms,),
        )
        for algorithms in members.values()
    ]


def together(algorithms: Sequence[BoundAlgorithm]) -> list[tuple[BoundAlgorithm, ...]]:
    """Return algorithms in their order, instances together that a hook of their class serves at once."""
    found: dict[object, list[BoundAlgorithm]] = {}
    for bound in algorithms:
        read = tuple((alias, ref.number, ref.made and ref.made.name) for alias, ref in bound.aliases.items())
        shared = _serves(type(bound.algorithm))
        found.setdefault((type(bound.algorithm), read, bound.lacks) if shared else bound, []).append(bound)
    return [tuple(several) for several in found.values()]


def _serves(cls: type[Algorithm]) -> bool:
    """Return whether a class serves instances together: not if one derived from it has another hook for each."""
    made = [
        next(n for n, c in enumerate(cls.__mro__) if hook in vars(c))
        for hook in ("process_variants", "process_module_data", "process_train_data")
    ]
    return cls.overrides("process_variants") and made[0] <= min(made[1:])


def one_group(plan: Plan, inputs: list[int]) -> Group:
    """Return all algorithms as one group, which reads these inputs."""
    lead = plan.algorithms[0].stream
    return Group(lead, plan.inputs[lead].index, 0, tuple(inputs), plan.algorithms)


def _leading(plan: Plan, bound: BoundAlgorithm) -> int:
    """Return the input whose frames set the size of an algorithm's blocks: its first, or that of what it reads."""
    first = (
        bound.read[:1] if not bound.reads_rows else [o for o in bound.read if o.output.kind == "image"][:1]
    )
    return _leading(plan, maker(plan, first[0])) if first else bound.stream


def _frames_of(plan: Plan, bound: BoundAlgorithm) -> tuple:
    """Return what algorithms have in common whose blocks are the same frames."""
    lead = plan.inputs[_leading(plan, bound)]
    return plan.inputs[bound.stream].index, lead.modules, lead.frame_bytes


def _read_for(plan: Plan, algorithms: list[BoundAlgorithm]) -> tuple[int, ...]:
    """Return the inputs that blocks of these algorithms hold: frames, and the first input of each."""
    numbers = {number for a in algorithms for number in a.inputs}
    streams = {a.stream for a in algorithms}
    wanted = {n for n in numbers | streams if plan.inputs[n].kind == "frames" or n in streams}
    return tuple(sorted(n for n in wanted if plan.inputs[n].kind != "pulses"))


def frames_per_block(plan: Plan, bound: BoundAlgorithm) -> int:
    """Return how many frames a block of an algorithm holds; its own inputs alone decide."""
    return max(1, plan.block_bytes // max(1, plan.inputs[_leading(plan, bound)].frame_bytes))


def frame_buffer_bytes(bound: BoundInput) -> int:
    """Return the bytes that a frame of a module takes in a buffer, with its valid pixels where they are kept."""
    return bound.frame_bytes + (bound.frame_bytes // bound.dtype.itemsize if bound.keeps_valid else 0)


def largest_chunk(plan: Plan) -> int:
    """Return the bytes of input of the largest chunk."""
    before = np.concatenate([[0], np.cumsum(sum(train_bytes(i) for i in plan.inputs))])
    widest = max(len(i.modules) for i in plan.inputs)
    share = max(part.stop - part.start for part in plan.parts) / widest
    return int(max(before[c.last] - before[c.first] for c in plan.chunks) * share)
