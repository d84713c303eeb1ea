"""Grid: which bin of all axes together each row of a table is in, and how many rows are in none."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bins import Axis, axes
from .variables import Variable

if TYPE_CHECKING:
    from .evaluating import Source

T = TypeVar("T")
ROWS = 2**20
"""Rows that a thread looks for at a time."""
MOST = 2**28
"""Bins of all axes together."""
OUTSIDE = ("under", "over", "missing")


@dataclass(frozen=True, eq=False)
class Grid:
    """The bin of each row.

    `flat` are the numbers of bins, (row,) int64 with the last axis running fastest: -1 of selected rows that are in no
    bin, -2 of the others; `outside` says of each axis how many of the selected rows are under, over and missing.
    """

    axes: Sequence[Axis]
    flat: NDArray
    outside: Mapping[str, Mapping[str, int]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins of each axis."""
        return tuple(map(len, self.axes))

    @property
    def size(self) -> int:
        """Bins of all of them."""
        return math.prod(self.shape)

    @cached_property
    def n(self) -> NDArray:
        """Rows in each bin, int64."""
        return np.bincount(self.flat + 2, minlength=self.size + 2)[2:].reshape(self.shape)


def grid(table: Source, bins: Mapping[str, Any], mask: NDArray, at: str = "pulse") -> Grid:
    """Return the bin of each row of a table.

    Parameters
    ----------
    bins : mapping of str to Bins, or what `Bins.of` takes
        By variable.
    mask : ndarray of bool, (row,)
        Which rows are selected.
    at : {"pulse", "train"}
        Of what there is a row each.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such variable, it is no number per row, or bins cannot be made.
    """
    found = axes(table, bins, mask, at)
    if (size := math.prod(map(len, found))) > MOST:
        raise ValueError(
            f"bins: {' x '.join(str(len(a)) for a in found)} = {size} bins; expected at most {MOST}"
        )
    flat = np.where(mask, 0, -2)
    outside = {}
    for axis in found:
        column = Variable.of(table, axis.name).column(at)
        counts = threaded(lambda rows: _place(axis, column, flat, rows), pieces(len(flat)))  # noqa: B023
        outside[axis.name] = dict(zip(OUTSIDE, map(int, sum(counts, np.zeros(3, np.int64))), strict=True))
    return Grid(found, flat, outside)


def _place(axis: Axis, column: Any, flat: NDArray, rows: slice) -> NDArray:
    from . import sums

    outside = np.zeros(3, np.int64)
    sums.combine(axis.index(column.values[rows], column.there[rows]), len(axis), flat[rows], outside)
    return outside


def pieces(rows: int, count: int | None = None) -> list[slice]:
    """Return stretches of rows that a thread works on at a time: so many, or as long as is quick."""
    count = -(-rows // ROWS) if count is None else count
    ends = np.linspace(0, rows, max(count, 1) + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]


def threaded(function: Callable[[Any], T], tasks: Iterable[Any]) -> Iterator[T]:
    """Yield what a function makes of each task, in their order, worked on by as many threads as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(function, tasks)
