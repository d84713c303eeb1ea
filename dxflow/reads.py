"""What each algorithm of a plan reads, in words: sources, keys and masks, through all algorithms before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .binding import BoundAlgorithm
    from .plan import Plan


def reads(plan: Plan) -> dict[str, str]:
    """Return what each algorithm reads, by its name.

    Returns
    -------
    dict
        ``{"average": "subtract.img (subtract <- SPB_DET_AGIPD1M-1 image.data, mask image.mask)"}``.
    """
    return {a.name: _of(plan, a) for a in plan.algorithms}


def lines(plan: Plan) -> list[str]:
    """Return the same as lines of text."""
    return [f"{name}: reads {what}" for name, what in reads(plan).items()]


def _of(plan: Plan, bound: BoundAlgorithm) -> str:
    """Return what one algorithm reads."""
    what = {alias: _what(plan, ref) for alias, ref in bound.aliases.items()}
    return "; ".join(text if len(what) == 1 else f"{alias} = {text}" for alias, text in what.items())


def _what(plan: Plan, ref: int | str) -> str:
    """Return what an alias stands for."""
    if isinstance(ref, int):
        one = plan.inputs[ref]
        return f"{one.name} {one.key}" + (f", {one.masked}" if one.masked else "")
    maker = next(a for a in plan.algorithms if any(o.name == ref for o in a.outputs))
    return f"{ref} ({maker.name} <- {_of(plan, maker)})"
