"""Kinds of values that users give: one of another kind is refused where it is given, with what was expected."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")
LARGEST = 2**62
SHOWN = 60
"""Characters of a value that a message has."""


class Kind(NamedTuple):
    """What is expected, in words, and whether a value is that."""

    words: str
    fits: Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _whole(value: Any) -> bool:
    return (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and bool(-LARGEST < value < LARGEST)
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike)) and value != "" and _text(os.fspath(value))


def several(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return whether a value is a sequence, or a flat array, of what fits; a text is none."""
    kinds = (list, tuple, range, set, frozenset)
    return lambda value: (
        (isinstance(value, kinds) or (isinstance(value, np.ndarray) and value.ndim == 1))
        and all(fits(one) for one in value)
    )


TEXT = Kind("a text", _text)
WHOLE = Kind("a whole number", _whole)
NUMBER = Kind("a number", _number)
FLAG = Kind("True or False", lambda value: isinstance(value, (bool, np.bool_)))
PATH = Kind("a path", _path)
WHOLES = Kind("whole numbers, such as (0, 1)", several(_whole))
SIZES = Kind("a tuple of whole numbers from 0, such as (3,)", several(lambda n: _whole(n) and n >= 0))
TEXTS = Kind("a tuple of texts, such as ('q',)", several(_text))
MAPPING = Kind(
    "a dict with text for keys", lambda value: isinstance(value, Mapping) and all(map(_text, value))
)


def maybe(kind: Kind) -> Kind:
    """Return the kind that may be None as well."""
    return Kind(f"{kind.words}, or None", lambda value: value is None or kind.fits(value))


def either(*kinds: Kind) -> Kind:
    """Return the kind that fits one of some."""
    return Kind(" or ".join(k.words for k in kinds), lambda value: any(k.fits(value) for k in kinds))


def _cluster(value: Any) -> bool:
    methods = ("start", "describe", "close")
    return (
        value is None
        or isinstance(value, str)
        or hasattr(value, "scheduler_info")
        or all(hasattr(value, name) for name in methods)
    )


def _target(value: Any) -> bool:
    return value is None or _path(value) or (hasattr(value, "commit") and hasattr(value, "partial"))


OF_PLAN = {
    **dict.fromkeys(("resume", "overwrite", "quiet"), FLAG),
    **dict.fromkeys(("chunk", "block"), either(WHOLE, Kind("a text such as '2 MiB'", _text))),
    "on_fault": maybe(TEXT),
    "suspect": TEXT,
    "readers": maybe(WHOLE),
    "hook_timeout": maybe(NUMBER),
    "name": TEXT,
    "codec": maybe(TEXT),
    "to": Kind("a path such as 'r0034.zarr', or None", _target),
    "cluster": Kind(
        "None, 'here', the name of a cluster, a distributed.Client or an object of dxflow.clusters", _cluster
    ),
}
"""Of what `plan` is given, beside the run, algorithms and frames."""
RESULT = Kind(
    "a result or one of its arrays",
    lambda value: any(hasattr(value, name) for name in ("dataset", "data_vars", "coords")),
)
OF_FRAMES = {
    "key": TEXT,
    "detector": maybe(TEXT),
    "modules": maybe(WHOLES),
    "data": maybe(TEXT),
    "plane": TEXT,
    "fill": maybe(NUMBER),
    "align": TEXT,
    "offset": WHOLE,
}
"""Of what `Frames` is given, what is checked no further here."""
OF_COPY = {
    **dict.fromkeys(("resume", "overwrite", "sync"), FLAG),
    "to": PATH,
    "sources": maybe(either(TEXT, TEXTS)),
    "modules": maybe(either(WHOLES, RESULT)),
    "detector": maybe(TEXT),
    "codec": maybe(TEXT),
    "outside": maybe(NUMBER),
}
"""Of what `plan_copy` is given."""


def expect(kind: Kind, value: Any, what: str, error: type[Exception] = TypeError) -> None:
    """Raise an error if a value is of another kind.

    Raises
    ------
    TypeError
        Or the error that is given.
    """
    if not kind.fits(value):
        raise error(f"{what}{shown(value)}: expected {kind.words}")


def expect_all(
    kinds: Mapping[str, Kind], values: Mapping[str, Any], prefix: str = "", error: type[Exception] = TypeError
) -> None:
    """Raise an error for the first value, by name, that is of another kind than its own."""
    for name, kind in kinds.items():
        expect(kind, values[name], f"{prefix}{name}=", error)


def checked(kinds: Mapping[str, Kind], error: type[Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: what a function is given is of the kinds that are expected, or an error is raised."""

    def of(function: Callable[P, R]) -> Callable[P, R]:
        names = inspect.signature(function).parameters

        @wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            given = {**dict(zip(names, args, strict=False)), **options}
            expect_all({name: kinds[name] for name in kinds if name in given}, given, error=error)
            return function(*args, **options)

        return call

    return of


def shown(value: Any) -> str:
    """Return a value in a few words for a message."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 10]}..."


def flat(values: Any, what: str, words: str) -> np.ndarray:
    """Return values as an array.

    Raises
    ------
    TypeError
        If they are none, such as lists of several lengths.
    """
    try:
        return np.asarray(list(values) if isinstance(values, Iterable) and not _arrayed(values) else values)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{what}{shown(values)}: expected {words}") from None


def _arrayed(values: Any) -> bool:
    return hasattr(values, "__array__") or isinstance(values, (str, bytes, Mapping))


def different(modules: Iterable[int]) -> tuple[int, ...]:
    """Return module numbers as a tuple; refuse none, and one twice."""
    numbers = tuple(int(m) for m in modules)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"Frames: modules={numbers}: expected different module numbers, or None for all modules"
        )
    return numbers
