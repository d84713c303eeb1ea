"""Frames that pass a condition: labels of booleans, or a text over labels by name, worked out when planning."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column, Condition, holds, unknown
from ..declare.grammar import written
from ..declare.labels import Labels
from ..errors import PlanError
from ..errors.kinds import shown
from ..errors.near import listed
from ..errors.usage import text_of

if TYPE_CHECKING:
    from ..declare.labelled import Asked
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex

NOT_KNOWN = "no value for where="
"""Cause of frames that are left out since nobody knows whether the condition holds."""


@dataclass(frozen=True)
class Passed:
    """What a condition left of the frames of an input, in plain values.

    `cuts` are conditions that must all hold, each with the frames that are left by it and those before it, `alone` the
    frames for which each holds; `unknown` are those for which a value is missing.
    """

    input: str
    frames: int
    cuts: tuple[tuple[str, int], ...]
    unknown: int
    alone: tuple[int, ...] = ()

    def __str__(self) -> str:
        alone = self.alone if len(self.cuts) > 1 else ()
        own = [f" ({n} alone)" if k else "" for k, n in enumerate(alone)] or [""]
        left = ", ".join(f"{n} with {cut}{more}" for (cut, n), more in zip(self.cuts, own, strict=True))
        none = f"; {self.unknown} have no value for it" if self.unknown else ""
        return f"{self.input}: of {self.frames} frames {left}{none}"


@dataclass(frozen=True)
class Cut:
    """A condition and what it left, kept with plan and result."""

    text: str
    labels: Mapping[str, str]
    """What its names stand for."""
    passed: tuple[Passed, ...] = ()


class Where:
    """The condition of a pass.

    Parameters
    ----------
    where : str, Labels, or what they take
        A text, or booleans.
    labels : mapping of str to Labels or what they take; or a result
        What the names in a text stand for. ``name.output`` is an output of the result under this name; those of a
        result without a name are called as in it.
    """

    def __init__(self, where: Any, labels: Any = None) -> None:
        self._named = {name: _labels(what, f"labels[{name!r}]") for name, what in _mapping(labels).items()}
        self.condition = Condition(where) if isinstance(where, str) else None
        self._alone = None if isinstance(where, str) else _labels(where, "where=")
        self._used: dict[str, str] = {}
        self._passed: dict[tuple[str, str, str], Passed] = {}
        self._known: dict[str, Labels] = {}

    def cut(self) -> Cut:
        """Return it in plain values, with what it left so far."""
        text = self.condition.text if self.condition else repr(self._alone)
        own = [one for (_, _, kind), one in self._passed.items() if kind != "pulses"]
        # Values of pulses have the frames of the detector that they are joined to.
        return Cut(text, dict(self._used), tuple(own or self._passed.values()))

    def of(self, bound: BoundInput, asked: Asked) -> BoundInput:
        """Return an input with the frames for which it is true."""
        index = bound.index
        keep, fails, cuts, alone = self._keep(index, asked)
        lost = ~fails & ~keep
        if lost.any() and bound.kind != "pulses":
            trains = np.unique(index.labels(slice(0, len(index)))["train_id"][lost])
            detail = f"{int(lost.sum())} frames are left out: a value is missing for {self.cut().text}"
            asked.faults.note(NOT_KNOWN, "", detail, trains, bound.name)
        said = Passed(bound.name, len(index), tuple(cuts), int(lost.sum()), tuple(alone))
        self._passed[bound.name, bound.key, bound.kind] = said
        if len(index) and not keep.any():
            raise ValueError(f"where= leaves no frame. {said}")
        return replace(bound, index=index.select(keep))

    def _keep(
        self, index: EntryIndex, asked: Asked
    ) -> tuple[NDArray, NDArray, list[tuple[str, int]], list[int]]:
        """Return which frames are left, (frame,), for which it is false, how many each cut leaves, and each alone."""
        column = partial(self._column, index=index, asked=asked)
        if self.condition is None:
            assert self._alone is not None
            alone = ast.Name("where")
            found = _joined(self._alone, index, asked)
            if found.values.dtype != bool:
                raise ValueError(
                    f"where={self._alone!r} is {found.values.dtype}; expected booleans, or a comparison such as "
                    'where="x > 0" with labels={"x": ...}'
                )
            keep, known = holds(alone, lambda _: found)
            return keep, known & ~keep, [(self._alone.source, int(keep.sum()))], [int(keep.sum())]
        keep, fails, cuts, own = np.ones(len(index), bool), np.zeros(len(index), bool), [], []
        for node in self.condition.cuts():
            true, sure = holds(node, column)
            fails |= ~true & sure
            keep &= true
            cuts.append((written(node), int(keep.sum())))
            own.append(int(np.broadcast_to(true, keep.shape).sum()))
        return keep, fails, cuts, own

    def _column(self, name: str, index: EntryIndex, asked: Asked) -> Column:
        """Return the values of a name, of each frame of an index."""
        if name not in self._known:
            self._known[name] = self._found(name, asked)
            self._used[name] = repr(self._known[name])
        try:
            return _joined(self._known[name], index, asked)
        except (KeyError, ValueError) as e:
            raise ValueError(f"label {name!r}: {text_of(e)}") from e

    def _found(self, name: str, asked: Asked) -> Labels:
        """Return the labels that a name stands for: given by it, or an output of a result."""
        if name in self._named:
            return self._named[name]
        before, _, _ = name.partition(".")
        there = [n for n in self._named if n]
        for given, start in ((before, f"{before}."), ("", "")):
            if given not in self._named or not self._named[given].of_result:
                continue
            outputs = self._named[given].outputs(asked)
            there += [f"{start}{one.rpartition('.')[2] if start else one}" for one in outputs]
            own = name.removeprefix(start)
            same = [one for one in outputs if one in (name, own) or one.endswith(f".{own}")]
            if len(same) == 1:
                return Labels(self._named[given].values, same[0])
        raise unknown(name, there)


def _joined(labels: Any, index: EntryIndex, asked: Asked) -> Column:
    """Return the value of labels for each frame of an index."""
    bound = labels.join(index, asked)
    values, there = bound.joined.values, bound.joined.there
    if values.ndim > 1:
        raise ValueError(
            f"{labels!r} has values of shape {values.shape[1:]}; expected one for each frame or train, "
            "such as PulseKey(...) of a list with a value for each pulse"
        )
    if bound.kind == "control":
        of = index.train_positions(slice(0, len(index)))
        values, there = values[of], there[of]
    return Column(values, there)


def _mapping(labels: Any) -> Mapping[str, Any]:
    if labels is None:
        return {}
    if not isinstance(labels, Mapping) or hasattr(labels, "coords"):
        return {"": labels}
    if strange := [name for name in labels if not (isinstance(name, str) and _is_name(name))]:
        raise PlanError(f"labels= has the name {strange[0]!r}; expected names such as xgm or litframes.lit")
    return labels


def _is_name(name: str) -> bool:
    from keyword import iskeyword

    return all(part.isidentifier() and not iskeyword(part) for part in name.split(".")) and name != "between"


def _labels(what: Any, said: str) -> Labels:
    """Return labels of what they take."""
    if isinstance(what, Labels):
        return what
    try:
        return Labels(what)
    except TypeError as e:
        raise PlanError(f"{said}: {e}") from e


def of(where: Any, labels: Any) -> Where | None:
    """Return the condition of a pass, None without one.

    Raises
    ------
    PlanError
    """
    if where is None:
        if labels is not None:
            raise PlanError(f"labels={shown(labels)}: they are for where=, which is not given")
        return None
    try:
        made = Where(where, labels)
    except ValueError as e:
        raise PlanError(str(e)) from e
    if made.condition and not made.condition.names():
        raise PlanError(f"where={where!r}: there is no name in it. Labels: {listed(_mapping(labels))}")
    return made
