"""Groups of frames: which label has how many values, and the group of each frame that is read.

An algorithm with groups has ``"by": None`` as its last input and an option ``groups`` (`add_arguments`), calls `joined`
in ``configure``, `of` in ``outputs`` and ``initialize``, puts `Groups.axes` before the axes of what it makes of each
group, and asks `Groups.slots` of a block or train where its frames belong.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, From, InputInfo, Labels, ModuleBlock, Output, PlanError, RunInfo, Train

MOST = 1000
"""Groups, unless `groups=` says which."""
FEW = 16
"""So many groups may have a single frame or train each."""
AXES = ("group", "train", "frame", "entry", "module", "ss", "fs", "x0", "x1", "valid", "values")
"""Names of other axes of results, which a label that is called so does not give to the axis of its groups."""
FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
"""How booleans are typed."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of frames, in their order.

    Parameters
    ----------
    name : str
        Of their axis.
    values : ndarray, (group,)
    ids : str, optional
        "cell" or "pulse" where they are of ids of frames; else those of the input "by".
    """

    name: str
    values: NDArray
    ids: str = ""

    def __post_init__(self) -> None:
        order = np.argsort(self.values, kind="stable")
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_sorted", self.values[order])

    def __len__(self) -> int:
        return len(self.values)

    def axes(
        self, shape: Sequence[int] = (), dims: Sequence[str] = (), coords: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return shape, dims and coords of an output of each group, whose own axes follow."""
        name = "group" if self.name in dims else self.name
        return {
            "shape": (len(self), *shape),
            "dims": (name, *dims),
            "coords": {name: self.values, **(coords or {})},
        }

    def slots(self, data: ModuleBlock | Train) -> NDArray:
        """Return the group of each frame of a block or train, (frame,), -1 of none; of a label of the train, ()."""
        if self.ids:
            return self.find(data.cell_ids if self.ids == "cell" else data.pulse_ids)
        return np.where(data.valid("by"), self.find(data["by"]), -1)

    def find(self, labels: Any) -> NDArray:
        """Return the group of each label, -1 of none."""
        have: NDArray = self._sorted  # type: ignore[attr-defined]
        at = np.minimum(np.searchsorted(have, labels), len(have) - 1)
        return np.where(have[at] == labels, self._order[at], -1)  # type: ignore[attr-defined]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which groups there are, beside the input "by"."""
    parser.add_argument(
        "--groups", nargs="+", help="values of the label, one group each, in this order; default: all"
    )


def joined(inputs: Mapping[str, Any], wanted: Sequence[Any] | None = None) -> dict[str, Any]:
    """Return the inputs of an algorithm: the label, if there is one, joined to the frames, and no empty ones."""
    own = {alias: what for alias, what in inputs.items() if what is not None}
    if not isinstance(wanted, (list, tuple, np.ndarray, type(None))):
        raise TypeError(f"groups={wanted!r}: expected a list of values, such as groups=[False, True]")
    if "by" in own and not isinstance(own["by"], (Labels, From)):
        own["by"] = Labels(own["by"])
    return own


def of_ids(name: str, img: InputInfo, per: str) -> Groups:
    """Return a group for each memory cell or pulse id; refuse data without."""
    ids = img.cells if per == "cell" else img.pulses
    if not len(ids):
        use = "per='run' or per='cell'" if len(img.cells) else "per='run'"
        raise PlanError(f"{name}: per={per!r}, but {img.name} {img.key} has no {per} ids; use {use}")
    return Groups(per, ids, per)


def of(algorithm: Algorithm, info: RunInfo, each: int) -> Groups | None:
    """Return the groups of the input "by", None if there is no such input, or say what is wrong.

    Parameters
    ----------
    algorithm : Algorithm
        With an option ``groups``.
    info : RunInfo
    each : int
        Bytes that one group takes.
    """
    wanted = getattr(algorithm, "groups", None)
    if "by" not in algorithm.inputs:
        if wanted is not None:
            raise PlanError(f"{algorithm.name}: groups={list(wanted)}: of which label? Expected by= with it")
        return None
    by = info["by"]
    if len(by.shape) > 1:
        raise PlanError(
            f"{algorithm.name}: by= has values of shape {by.shape[1:]}; expected one for each frame or train"
        )
    if by.dtype.kind not in "biufSU":
        raise PlanError(f"{algorithm.name}: {_named(by)} is {by.dtype}; expected booleans, numbers or texts")
    if wanted is None and by.values is None:
        raise PlanError(
            f"{algorithm.name}: by={algorithm.inputs['by']!r} is made in this pass: give groups=, its values, such as "
            "groups=[False, True]"
        )
    if wanted is None and not len(by.values):  # type: ignore[arg-type]
        raise PlanError(f"{algorithm.name}: {_named(by)} has no value for a frame that is read")
    if wanted is None:
        _refuse_many(algorithm.name, by, each)
    values = by.values if wanted is None else _wanted(algorithm.name, wanted, by)
    return Groups(_axis(algorithm.inputs["by"], by), np.asarray(values))


def ungrouped() -> Output:
    """Return the output that says which frames belong to no group: ``out.ungrouped |= slots < 0``."""
    return Output(per="img", dtype="?", doc="frames without a label, or of another than the groups")


def _named(by: InputInfo) -> str:
    """Return what the label is called in messages."""
    return "by=" if by.key == "values" else f"by= ({by.key})"


def _axis(label: Any, by: InputInfo) -> str:
    """Return the name of the axis: that of the label, without its algorithm."""
    name = (label.output if isinstance(label, From) else by.key).rpartition(".")[2]
    plain = name.isidentifier() and name not in AXES and not name.endswith(("_id", "_used"))
    return name if plain else "group"


def _refuse_many(name: str, by: InputInfo, each: int) -> None:
    """Refuse labels that are no groups: nearly every frame or train has a value of its own."""
    assert by.values is not None
    n, own = len(by.values), by.dtype.kind == "f" and len(by.values) > max(FEW, by.frames // 2)
    if own or n > MOST:
        what = f"{n} different values in {by.frames} {'trains' if by.kind == 'control' else 'frames'}"
        raise PlanError(
            f"{name}: {_named(by)} has {what}, one group each, {n * each / 1e9:.3g} GB: make it fewer first, "
            "Labels(...).bins(edges) or Labels(...).steps(tolerance), or say which with groups=[...]"
        )


def _wanted(name: str, wanted: Sequence[Any], by: InputInfo) -> NDArray:
    """Return the groups that were asked for as values of the label; refuse those that it cannot have."""
    values = np.array([_value(name, one, by.dtype) for one in wanted])
    if by.dtype.kind == "f":
        values = values.astype(by.dtype)
    if not len(values) or len(np.unique(values)) < len(values):
        raise PlanError(
            f"{name}: groups={list(wanted)}: expected different values of the label, at least one"
        )
    if by.values is not None and not np.isin(values, by.values).any():
        has = ", ".join(str(v) for v in by.values[:FEW].tolist()) + (", ..." if len(by.values) > FEW else "")
        raise PlanError(f"{name}: groups={list(wanted)}: no frame has one of them; {_named(by)} has {has}")
    return values


def _value(name: str, one: Any, dtype: np.dtype) -> Any:
    """Return a value as the label would have it, of a text that was typed, too."""
    kind = dtype.kind
    try:
        if kind == "b":
            return FLAGS[str(one).lower()]
        if kind in "SU":
            return np.asarray(one, kind)[()]
        number = float(one)
        if kind in "iu" and number != int(number):
            raise ValueError
        return int(one) if kind in "iu" else number
    except (KeyError, ValueError, TypeError, OverflowError):
        raise PlanError(f"{name}: groups={one!r}: expected values as the label has them, {dtype}") from None
