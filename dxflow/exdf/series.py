"""What was given of each key of a writer, train by train, until it can be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .declare import Declared


class Series:
    """The entries of an instrument key: how many each train has, and those that are not written yet."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.counts: list[int] = []
        """Entries of each train so far; the length is the position of the next train without data."""
        self._waiting: list[NDArray] = []
        self._borrowed = False

    @property
    def used(self) -> bool:
        """Whether anything was given, if only that there is nothing."""
        return bool(self.counts)

    def add(self, counts: Sequence[int], values: NDArray) -> None:
        """Add the entries of the next trains."""
        self.counts += [int(n) for n in counts]
        if len(values):
            self._waiting.append(values)
            self._borrowed = True

    def skip(self, position: int) -> None:
        """Say that trains before a position have nothing."""
        self.counts += [0] * (position - len(self.counts))

    def take(self, count: int) -> Iterator[NDArray]:
        """Yield arrays with the next entries, so many in all."""
        while count:
            first = self._waiting.pop(0)
            if len(first) > count:
                self._waiting.insert(0, first[count:])
            yield first[:count]
            count -= min(count, len(first))

    def keep(self) -> int:
        """Copy what still waits, as the user may reuse the array; return its bytes."""
        if self._waiting and self._borrowed:
            self._waiting[-1] = self._waiting[-1].copy()
        self._borrowed = False
        return sum(a.nbytes for a in self._waiting)


class Steps:
    """The values of a control key: each holds from its train until the next one."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._starts: list[int] = []
        self._values: list[NDArray] = []

    @property
    def used(self) -> bool:
        """Whether a value was given."""
        return bool(self._starts)

    @property
    def next(self) -> int:
        """Position of the first train after the last value."""
        return self._starts[-1] + 1 if self._starts else 0

    @property
    def first(self) -> int:
        """Position of the first train with a value."""
        return self._starts[0]

    def add(self, position: int, values: NDArray) -> None:
        """Add the values of consecutive trains, (train, *shape)."""
        self._starts += range(position, position + len(values))
        self._values += list(values.copy())

    def value(self) -> NDArray:
        """Return the value of the first train."""
        return self._values[0]

    def settings(self, start: int, stop: int) -> tuple[NDArray, NDArray]:
        """Return for trains start:stop the value of each, and the position of the train in which it was set."""
        which = np.searchsorted(self._starts, np.arange(start, stop), side="right") - 1
        if not len(which):
            return np.zeros((0, *self.declared.shape), self.declared.dtype), which
        return np.stack([self._values[n] for n in which]), np.asarray(self._starts)[which]


def checked(declared: Declared, values: ArrayLike, train: int | None) -> NDArray:
    """Return values as an array of the declared dtype.

    Raises
    ------
    ExdfError
        If that would change them, other than by rounding floats.
    """
    given = np.asarray(values)
    if given.dtype == declared.dtype:
        return given
    if given.dtype.kind not in "biufSU" or declared.dtype.kind not in "biufSU":
        raise declared.error(f"is {declared.dtype}, given were values of {given.dtype}", train)
    with np.errstate(invalid="ignore", over="ignore"):
        cast = given.astype(declared.dtype)
    floats = declared.dtype.kind == "f" and given.dtype.kind in "biuf"
    if not floats and not _equal(cast, given):
        raise declared.error(
            f"is {declared.dtype}, and some of the {given.dtype} values given do not fit; convert them first",
            train,
        )
    return cast


def _equal(cast: NDArray, given: NDArray) -> bool:
    """Return whether a conversion changed nothing."""
    if (cast.dtype.kind in "SU") != (given.dtype.kind in "SU"):
        return False
    back = cast.astype(given.dtype)
    # A negative integer comes back from an unsigned one as it was, though it means another number there.
    signs: Any = True if cast.dtype.kind in "SUb" or given.dtype.kind in "SUb" else (cast < 0) == (given < 0)
    return bool(np.all((back == given) & signs))
