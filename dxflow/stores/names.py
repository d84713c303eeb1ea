"""Names that reach the disk, checked in the plan: of algorithms, outputs, axes and labels; none means two things."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..declare.outputs import BoundOutput, Partial
from ..errors import PlanError
from .exdf import given
from .variables import Variables

if TYPE_CHECKING:
    from ..planning.public import Plan

LONGEST = 100
"""Bytes: results are files, and their names have those of an algorithm, an output and a suffix."""
OF_EVENTS = ("train_id", "pulse_id", "cell_id", "entry_id", "count", "offset", "event")
"""What the labels of an event output are called, after its name."""
LABELS = "iufbMU"
"""Kinds of values that label an axis: numbers, times, text."""


def check(plan: Plan) -> None:
    """Refuse names that no file can have, or that would mean two things in the result.

    Raises
    ------
    PlanError
    """
    for bound in plan.algorithms:
        _check_name(bound.name, f"name={bound.name!r}", "the name of an algorithm")
    stored = [o for o in plan.results if o.output.store]
    given.check(stored)
    for o in plan.results:
        _check_key(o)
    for o in stored:
        _check_axes(o)
        _check_coordinates(o)
    _refuse_twice(stored)
    if any(o.output.dims for o in stored):
        _check_together(plan, {dim for o in stored for dim in o.output.dims})


def problem(name: object) -> str:
    """Return why something cannot be a name, "" if it can."""
    if not isinstance(name, str) or not name:
        return "it is empty, or no text"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is no valid text"
    if size > LONGEST:
        return f"it has {size} bytes, of {LONGEST} that are possible"
    if bad := sorted({c for c in name if c in "/\\" or c.isspace() or not c.isprintable()}):
        return f"it has {', '.join(map(repr, bad))} in it"
    return "it begins with a dot" if name.startswith(".") else ""


def _check_name(name: object, shown: str, what: str) -> None:
    if why := problem(name):
        raise PlanError(f"{shown} cannot be {what}: {why}. Use letters, digits, _, - and .")


def _check_key(o: BoundOutput) -> None:
    """Refuse names of outputs that are too long, or that ``out.<name>`` does not give."""
    _check_name(o.key, f"{o.name}: {o.key!r}", "the name of an output")
    if hasattr(Partial, o.key):
        raise PlanError(f"{o.name}: out.{o.key} is a method of `out`; name the output otherwise")


def _check_axes(o: BoundOutput) -> None:
    for dim in o.output.dims:
        _check_name(dim, f"{o.name}: dims={dim!r}", "the name of an axis")


def _check_coordinates(o: BoundOutput) -> None:
    """Refuse labels of no axis, of another length, or that are neither numbers, times nor text."""
    sizes = dict(zip(o.output.dims, o.output.shape, strict=False))
    for name in o.output.coords:
        if (axis := o.output.axis(name)) not in sizes:
            raise PlanError(
                f"{o.name}: coords of {name!r}, but its axes are dims={tuple(o.output.dims)}; further labels "
                "of one say which: (axis, values)"
            )
        if axis != name:
            _check_name(name, f"{o.name}: coords of {name!r}", "the name of a label")
        values = o.output.coordinate(name)[0]
        if values.shape != (sizes[axis],):
            raise PlanError(
                f"{o.name}: coords of {name!r} have shape {values.shape}, but the axis has {sizes[axis]} entries"
            )
        if values.dtype.kind not in LABELS:
            raise PlanError(
                f"{o.name}: coords of {name!r} are {values.dtype}; labels of an axis are numbers, times or text"
            )


def _refuse_twice(stored: Sequence[BoundOutput]) -> None:
    """Refuse outputs that are named as the labels of another."""
    made = Counter(n for o in stored for n in _names(o))
    for o in stored:
        if made[o.name] > 1:
            other = next(p for p in stored if p is not o and o.name in _names(p))
            raise PlanError(
                f"{o.name} would also be the name of a label that {other.name} has; name one of them otherwise"
            )


def _names(o: BoundOutput) -> Iterator[str]:
    """Yield what an output is called in a result, and its labels."""
    yield o.name
    if o.output.kind == "event":
        yield from (f"{o.name}_{label}" for label in OF_EVENTS)
    if np.dtype(o.output.dtype).kind in "iub":
        yield f"{o.name}_valid"


def _check_together(plan: Plan, dims: set[str]) -> None:
    """Refuse axes that are named as others of the result but have another length, or as its labels."""
    known = Variables(plan)
    labels = {name: c.dims for name, c in known.coordinates.items()}
    arrays = {name: (v.dims, v.shape) for name, v in known.variables.items()}
    arrays |= {name: (c.dims, c.values.shape) for name, c in known.coordinates.items()}
    sizes: dict[str, tuple[int, str]] = {"train": (len(plan.train_ids), "train_id")}
    for name, (axes, shape) in arrays.items():
        for dim, size in zip(axes, shape, strict=True):
            first, other = sizes.setdefault(dim, (size, name))
            if first != size or axes.count(dim) > 1:
                raise PlanError(
                    f"{name}: its axis {dim!r} has {size} entries, that of {other} has {first}: two axes cannot have "
                    "one name; give Output other dims"
                )
    # Stores add these to the labels.
    added = {"time", *(f"{o.name}_offset" for o in plan.outputs if o.output.kind == "event")}
    for dim in sorted(dims & {*added, *labels, *arrays}):
        if dim in added or labels.get(dim, ()) != (dim,):
            raise PlanError(f"dims={dim!r}: the result has a label of this name; give Output other dims")
    own = {*added, *sizes, *known.variables, *dict(known.row_labels())}
    further = {n for o in plan.results if o.output.store for n in o.output.coords if o.output.axis(n) != n}
    if twice := sorted(further & own):
        raise PlanError(
            f"coords of {twice[0]!r}: the result has a label or an axis of this name; call it otherwise"
        )
