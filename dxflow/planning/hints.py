"""What a plan says of pulses that it cannot know, and what algorithms say of what they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plan import Plan


def hints(plan: Plan) -> list[str]:
    """Return all of it, line by line."""
    said = [f"{a.name}: {line}" for a in plan.algorithms for line in a.algorithm.hints(a.info)]
    return said + _pulses(plan)


def _pulses(plan: Plan) -> list[str]:
    """Return, for arrays of a gas monitor that are read as if they belonged to the train, what to read instead."""
    refs = [
        (a, alias, plan.inputs[ref.number])
        for a in plan.algorithms
        for alias, ref in a.aliases.items()
        if not ref.made and plan.inputs[a.stream].kind == "frames"
    ]
    return [
        f"{a.name}: {alias!r} has all {i.shape[1]} pulses of a train at once; PulseKey({i.name!r}, {i.key!r}, ...) "
        "gives each frame the value of its own"
        for a, alias, i in refs
        if i.kind == "key" and len(i.shape) == 2 and i.shape[1] > 1 and "XGM" in i.name.upper()
    ]
