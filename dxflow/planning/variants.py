"""Variants in a plan: instances that differ in options, what they are called together, and who may read which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import PlanError
from ..errors.near import listed

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm
    from .bound import BoundAlgorithm
    from .plan import Plan


def flat(algorithms: Any) -> list[Any]:
    """Return what a user gives as algorithms as one list: one of them, some, and lists of variants among them."""
    if not isinstance(algorithms, Sequence):
        return [algorithms]
    return [one for some in algorithms for one in (some if isinstance(some, (list, tuple)) else [some])]


def families(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the names of variants and the values of the options in which they differ, by their common name."""
    found: dict[str, list[Algorithm]] = {}
    for bound in plan.algorithms:
        if bound.algorithm.variant is not None:
            found.setdefault(bound.algorithm.variant.of, []).append(bound.algorithm)
    return {
        of: {"names": [a.name for a in several], "options": _options(several)}
        for of, several in found.items()
    }


def _options(several: Sequence[Algorithm]) -> dict[str, list]:
    """Return the values of the options that differ: numbers and truth values as they are, all others as text."""
    assert several[0].variant is not None
    return {k: _column([a.options[k] for a in several]) for k in several[0].variant.options}


def _column(values: list[Any]) -> list[Any]:
    if all(v is None or isinstance(v, (int, float, np.number, np.bool_)) for v in values):
        column = np.array([np.nan if v is None else v for v in values])
        return [None if v != v else v for v in column.tolist()]  # noqa: PLR0124 - JSON has no NaN
    return [_text(v) for v in values]


def _text(value: Any) -> str:
    """Return a value as one writes it on the command line."""
    if isinstance(value, (list, tuple)):
        return ":".join(map(_text, value))
    return (
        str(value)
        if isinstance(value, (str, int, float, np.number)) or hasattr(value, "__fspath__")
        else repr(value)
    )


def one_of(made: Sequence[BoundAlgorithm], reader: Algorithm, alias: str, name: str) -> str:
    """Return what is wrong with reading an output of all variants at once; "" if that is not meant."""
    several = [(a.algorithm, v) for a in made if (v := a.algorithm.variant) is not None]
    meant = [(one, v) for one, v in several if name == v.of or name.startswith(f"{v.of}.")]
    if not meant or any(a.name == name.partition(".")[0] for a in made):
        return ""
    (first, variant), rest = meant[0], name.removeprefix(meant[0][1].of)
    return (
        f"{reader.name} reads {name!r} as {alias!r}, but {variant.of} has variants: "
        f"{listed(v.said(one) for one, v in meant)}. Say which, such as {first.name + rest!r}"
    )


def refuse_name_of_variants(algorithm: Algorithm, before: Sequence[Algorithm]) -> None:
    """Refuse an algorithm whose outputs would be named as those of variants.

    Raises
    ------
    PlanError
    """
    for other in before:
        if other.variant != algorithm.variant and _called(other) == _called(algorithm):
            raise PlanError(
                f"{algorithm.name} and {other.name} would both be {_called(algorithm)!r} in the result, which has the "
                "outputs of variants under their common name: give one of them another name="
            )


def _called(algorithm: Algorithm) -> str:
    """Return what an algorithm is called in the result."""
    return algorithm.name if algorithm.variant is None else algorithm.variant.of
