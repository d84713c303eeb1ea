"""The stage "rows": what an algorithm makes, once, of its own rows of the whole run, left in a fragment of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import Partial, touched, valid_name
from ..declare.views import missing_value
from ..disk import fragments
from ..disk.fragments import Address, rows_path
from .alone import alone
from .hooks import named

if TYPE_CHECKING:
    from xarray import Dataset

    from ..declare.outputs import BoundOutput
    from ..planning.bound import BoundAlgorithm
    from ..planning.public import Plan
    from ..stores.contents import Contents
    from .workspace import Workspace


def finalize_rows(work: Workspace, number: int) -> None:
    """Let an algorithm, by number, make of its rows what it makes of all of them; leave a fragment."""
    plan = work.plan
    at = Address(rows_path(work.folder, number, plan.digest), plan.digest)
    if fragments.intact(*at) is not None:
        return
    with alone(work, "finalize_rows()", str(number)):
        work.prepare(plan.modules(plan.stretches[0]), "finalize_rows")
        work.leave(at, {}, _finalized(work, plan.algorithms[number]))


def _finalized(work: Workspace, bound: BoundAlgorithm) -> dict[str, NDArray]:
    """Return what an algorithm makes of its rows, and where that is valid."""
    plan, contents = work.plan, work.contents
    out = Partial({o.key: np.zeros(_shape(plan, o), o.output.dtype) for o in bound.finals})
    with named(work.doing, f"in {bound.name}.finalize_rows(), run {plan.run}"):
        bound.algorithm.finalize_rows(rows_of(contents, bound), out)
    arrays: dict[str, NDArray] = {}
    for o in bound.finals:
        there = _there(contents, bound, o) & (o.key in touched(out))
        arrays[o.name] = out[o.key]
        if o.output.kind != "run":
            arrays[o.name][~there] = missing_value(np.dtype(o.output.dtype))
            arrays[valid_name(o)] = there
    return arrays


def rows_of(contents: Contents, bound: BoundAlgorithm) -> Dataset:
    """Return the rows that an algorithm made of the whole run, also those that are not stored, with their labels."""
    import xarray as xr

    variables: dict[str, Any] = {}
    labels: dict[str, Any] = {"train": ("train", contents.plan.train_ids)}
    for o in bound.rows:
        labels |= _ids(contents, bound, o)
        says = [contents.where_valid(o)] if o.says_valid else []
        for variable in (*contents.of_output(o), *says):
            into = variables if variable.output else labels
            dims = (_axis(contents, bound, o, variable.dims[0]), *variable.dims[1:])
            values = contents.rows(variable, 0, variable.shape[0])
            into[_own(bound, variable.name)] = [_own(bound, dim) for dim in dims], values
    return xr.Dataset(variables, labels)


def _own(bound: BoundAlgorithm, name: str) -> str:
    """Return a name without that of the algorithm."""
    return name.removeprefix(f"{bound.name}.")


def _axis(contents: Contents, bound: BoundAlgorithm, o: BoundOutput, dim: str) -> str:
    """Return the name of the first axis: whatever else is in the pass, "frame" of rows of the first input."""
    if o.output.kind != "entry":
        return dim
    return "frame" if o.index is contents.plan.sights[bound.name].index else f"{o.output.alias}_entry"


def _ids(contents: Contents, bound: BoundAlgorithm, o: BoundOutput) -> dict[str, tuple[str, NDArray]]:
    """Return train, pulse and cell ids of the rows of an output; those of events are variables of it."""
    if o.output.kind != "entry" or o.index is None:
        return {}
    row = _axis(contents, bound, o, "")
    before = "" if row == "frame" else f"{o.output.alias}_"
    return {f"{before}{name}": (row, ids) for name, ids in o.index.labels(slice(0, len(o.index))).items()}


def _shape(plan: Plan, o: BoundOutput) -> tuple[int, ...]:
    return o.shape(0 if o.index is None else len(o.index), len(plan.train_ids), 0)


def _there(contents: Contents, bound: BoundAlgorithm, o: BoundOutput) -> NDArray:
    """Return for which frames or trains there was something that the algorithm could use."""
    sight = contents.plan.sights[bound.name]
    if o.output.kind == "train":
        return contents.used(sight, "train_used") > 0
    if o.index is sight.index:
        return contents.used(sight, "modules_used") > 0
    return np.ones(() if o.index is None else len(o.index), bool)
