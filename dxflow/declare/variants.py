"""Variants: instances of one algorithm with other options, made together and put beside each other in the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors.kinds import shown
from ..errors.near import listed
from . import signatures

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Variant:
    """What several instances have in common: a name of all, the name of each, and the options that differ."""

    of: str
    names: tuple[str, ...]
    options: tuple[str, ...]

    def said(self, one: Any) -> str:
        """Return the name of an instance with the options that the others do not have."""
        return f"{one.name} ({', '.join(f'{k}={shown(one.options[k])}' for k in self.options)})"


def instances(cls: Any, name: Any, given: Mapping[str, Any]) -> list[Any]:
    """Return an instance for each value of the options that are given as lists; see `Algorithm.variants`."""
    known = signatures.actions(cls)
    options = {k: v for k, v in given.items() if k not in cls.inputs}
    inputs = {k: v for k, v in given.items() if k in cls.inputs}
    signatures.refuse_unknown(cls, options, known)
    for alias, what in inputs.items():
        if isinstance(what, (list, tuple)):
            raise TypeError(
                f"{cls.__name__}.variants: {alias}= is an input, which all variants share; for several inputs make "
                f"instances, {cls.__name__}({alias}=..., name=...)"
            )
    varied = {k: list(v) for k, v in options.items() if _several(known[k], v)}
    shared = {k: v for k, v in options.items() if k not in varied}
    count = _count(cls, varied, shared)
    of, names = _names(cls, name, count)
    _refuse_equal(cls, names, varied)
    variant = Variant(of, names, tuple(varied))
    made = [
        cls(name=own, **shared, **inputs, **{k: v[n] for k, v in varied.items()})
        for n, own in enumerate(names)
    ]
    for one in made:
        one.variant = variant
    return made


def _several(action: argparse.Action, value: Any) -> bool:
    """Return whether a value is a list of values of an option, of which some are lists themselves."""
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return action.nargs not in (None, "?", 0) and value.ndim == 2
    if not isinstance(value, (list, tuple, range, np.ndarray)):
        return False
    # Of an option that takes a pair, a list of numbers is one value, and a list of pairs are several.
    return action.nargs in (None, "?", 0) or all(isinstance(one, (list, tuple, type(None))) for one in value)


def _count(cls: Any, varied: Mapping[str, list], shared: Mapping[str, Any]) -> int:
    """Return how many variants there are, the length that all lists must have."""
    lengths = {k: len(v) for k, v in varied.items()}
    if not lengths:
        given = listed(f"{k}={shown(v)}" for k, v in shared.items())
        raise TypeError(
            f"{cls.__name__}.variants: no option is a list (given: {given}): give the values of one that differs, "
            f"such as {next(iter(shared), 'option')}=[...]"
        )
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{cls.__name__}.variants: lists of {listed(f'{n} {k}' for k, n in lengths.items())}; expected as many "
            "values of each: the first of all make the first variant"
        )
    if not (count := next(iter(lengths.values()))):
        raise ValueError(
            f"{cls.__name__}.variants: {listed(lengths)}: an empty list; expected at least one value"
        )
    return count


def _names(cls: Any, name: Any, count: int) -> tuple[str, tuple[str, ...]]:
    """Return the name of all variants, and that of each."""
    of = cls.ALG_ID or cls.__name__.lower()
    if name is None or isinstance(name, str):
        of = of if name is None else name
        return of, tuple(f"{of}_{n + 1}" for n in range(count))
    if not isinstance(name, (list, tuple)):
        raise TypeError(f"{cls.__name__}.variants: name={shown(name)}; expected a text, or a list of texts")
    names = tuple(name)
    if len(names) != count or len(set(names)) < count:
        raise ValueError(
            f"{cls.__name__}.variants: name={list(names)} for {count} variants; expected one text, or a name of its "
            "own for each"
        )
    return of, names


def _refuse_equal(cls: Any, names: Sequence[str], varied: Mapping[str, list]) -> None:
    """Refuse two variants that are the same."""
    for a, b in combinations(range(len(names)), 2):
        if all(np.array_equal(values[a], values[b]) for values in varied.values()):
            same = ", ".join(f"{k}={shown(v[a])}" for k, v in varied.items())
            raise ValueError(
                f"{cls.__name__}.variants: variants {a + 1} and {b + 1} are the same, {same}; expected different ones"
            )


def alike(several: Sequence[Any]) -> list[list[int]]:
    """Return the positions of instances whose tables are the same, together: see `Algorithm.alike`."""
    found: list[list[int]] = []
    for number, one in enumerate(several):
        same = (group for group in found if _share(several[group[0]], one))
        if (group := next(same, None)) is None:
            found.append([number])
        else:
            group.append(number)
    return found


def _share(one: Any, other: Any) -> bool:
    """Return whether two instances are variants of one algorithm that differ in nothing that tables depend on."""
    if not one.TABLES or one.variant is None or one.variant != other.variant:
        return False
    varied = set(one.variant.options) & set(one.TABLES)
    return all(np.array_equal(one.options[k], other.options[k]) for k in varied)
