"""Outputs that are made when the pass is over, of all rows of the run: what they need, and who can read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PlanError
from ..errors.near import listed
from .bound import ROWS

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm
    from ..declare.outputs import BoundOutput
    from .bound import BoundAlgorithm

OF_ROWS = ("run", "train", "entry")
"""Kinds that can be made of rows."""


def check(algorithm: Algorithm, made: Sequence[BoundOutput], finals: Sequence[BoundOutput]) -> None:
    """Refuse a hook without outputs, outputs without a hook, and kinds that cannot be made of rows."""
    hook, name = algorithm.overrides("finalize_rows"), algorithm.name
    if bool(finals) != hook:
        has = (
            f"makes {listed(o.key for o in finals)} with stage='rows'"
            if finals
            else "implements finalize_rows"
        )
        lacks = "does not implement finalize_rows()" if finals else "declares no Output(..., stage='rows')"
        raise PlanError(f"{name}: it {has}, but {lacks}")
    if finals and not any(o.output.kind in ROWS for o in made):
        raise PlanError(
            f"{name}: finalize_rows needs rows: declare an output per train, entry or event beside it"
        )
    for o in finals:
        if o.output.kind not in OF_ROWS or o.output.merge != "sum":
            raise PlanError(
                f"{o.name}: per={o.output.per!r}, merge={o.output.merge!r} with stage='rows': expected one per run, "
                "train or entry, which is made at once and not merged"
            )


def too_late(makers: Sequence[BoundAlgorithm], reader: Algorithm, alias: str, name: str) -> str:
    """Return what is wrong with reading an output that is made when the pass is over; "" if it is none."""
    if not any(o.name == name for a in makers for o in a.finals):
        return ""
    return (
        f"{reader.name} reads {name!r} as {alias!r}, but that is made of all rows of the run, when this pass is over: "
        f"read it in a second pass, as Labels(result, {name!r}), or select by it with frames="
    )
