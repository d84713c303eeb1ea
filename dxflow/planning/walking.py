"""Which walk a plan needs: the smallest windows in which all of its algorithms find what they work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sight import by_train, reads_no_frames
from .steps import groups
from .strips import Strips
from .walks import ModuleTrains, Trains, Walk, WholeFrames

if TYPE_CHECKING:
    from .plan import Plan


def walk(plan: Plan) -> Walk:
    """Return the smallest windows in which all algorithms of a plan find what they need."""
    own = [a.algorithm for a in plan.algorithms if not reads_no_frames(plan, a)]
    algorithms = own or [a.algorithm for a in plan.algorithms]
    if all(a.STRIPS for a in algorithms):
        return Strips(plan)
    whole_trains = any(a.WHOLE_TRAINS for a in algorithms)
    if all(a.by_module for a in algorithms) and not any(a.reads_rows for a in plan.algorithms):
        return ModuleTrains(plan) if whole_trains else Walk(plan)
    frames = all(a.by_module or a.WHOLE_FRAMES for a in algorithms) and not whole_trains
    return WholeFrames(plan) if frames and _by_frames(plan) else Trains(plan)


def _by_frames(plan: Plan) -> bool:
    """Return whether frames can come before modules: all algorithms follow the same, and none adds up in that order."""
    ordered = [o for a in plan.algorithms if a.algorithm.by_module for o in a.outputs]
    if any(
        o.output.kind == "train" or (o.output.kind == "run" and o.output.merge == "custom") for o in ordered
    ):
        return False
    handed = [o for o in plan.outputs if o.name in plan.handed_on]
    finished = [a for a in plan.algorithms if by_train(plan, a)]
    return (
        len(groups(plan)) == 1 and not finished and all(o.output.kind in ("entry", "image") for o in handed)
    )
