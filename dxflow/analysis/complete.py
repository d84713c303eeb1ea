"""Complete: of how many modules each row is made, and which rows are made of fewer than others, for averages."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..declare.grammar import names as names_in
from ..declare.grammar import parse
from .rows import PULSE

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from .evaluating import Source
    from .variables import Variable

USED, BY, OF = "modules_used", "algorithms", "modules"
"""In the name of what counts the modules of each row; its attributes: whose rows these are, and how many are read."""
EXPRESSION = "expression"
"""The attribute that says of what a variable was made that a user added."""
MODULE = "module"
"""In the name of an axis of modules."""


def is_count(name: str, array: DataArray) -> bool:
    """Return whether a variable says of how many modules rows are made."""
    return USED in name and BY in array.attrs


def with_read(array: DataArray, data: Dataset) -> DataArray:
    """Return what counts modules with the attribute ``modules``: how many of them are read, as a result knows it."""
    by = array.attrs.get(BY)
    alike = (
        one
        for name, one in data.data_vars.items()
        if str(name).startswith("valid") and one.ndim == 2 and one.attrs.get(BY) == by
    )
    sizes = [one.sizes[d] for one in alike for d in one.dims if str(d).startswith(MODULE)]
    if not sizes:
        return array
    words = f"of {sizes[0]} modules, those that {', '.join(str(by).split())} used"
    return array.assign_attrs({OF: sizes[0], "long_name": words})


@dataclass(frozen=True, eq=False)
class Lacking:
    """Rows that are made of fewer modules than others.

    Parameters
    ----------
    name : str
        Of what is made of them.
    rows : ndarray of bool, (row,)
        Which.
    count, of : int
        How many of how many.
    least, most : int
        Modules of the one with the fewest, and of those that count.
    read : int
        Modules that are read; 0 where that is not known.
    """

    name: str
    rows: NDArray
    count: int
    of: int
    least: int
    most: int
    read: int = 0

    def __str__(self) -> str:
        few = f"{self.least} to {self.most - 1}" if self.least < self.most - 1 else f"{self.least}"
        most = f"{self.most}, none of all {self.read}" if self.most < self.read else f"{self.most}"
        return f"{self.name}: {self.count} of {self.of} frames are made of {few} modules, others of {most},"


def lacking(
    table: Source, of: Variable, inside: NDArray, known: dict[tuple[str, ...], Lacking | None] | None = None
) -> Lacking | None:
    """Return which rows of what is made of all modules of a frame lack some that others have; None if none do.

    Parameters
    ----------
    of : Variable
        A variable or an expression of some. What has an axis of modules says by itself where there are none.
    inside : ndarray of bool, (row,)
        The rows that are compared.
    known : dict, optional
        What was found before for the same rows.
    """
    labels = tuple(sorted(set(_labels(table.data, of.node))))
    known = {} if known is None else known
    if labels not in known:
        known[labels] = _compared(table, labels, inside)
    found = known[labels]
    return None if found is None else replace(found, name=of.name)


def _compared(table: Source, labels: Sequence[str], inside: NDArray) -> Lacking | None:
    """Return the rows that are made of fewer modules than others by any of the variables that count them."""
    rows, there = np.zeros(len(inside), bool), np.zeros(len(inside), bool)
    least, most, read = list[int](), list[int](), [0]
    for label in labels:
        column = table.column(label)
        known = inside & column.there & (column.values > 0)
        there |= known
        if known.any():
            used = column.values[known]
            most.append(int(used.max()))
            least.append(int(used.min()))
            read.append(int(table.data[label].attrs.get(OF, 0)))
            rows |= known & (column.values < most[-1])
    if not rows.any():
        return None
    return Lacking("", rows, int(rows.sum()), int(there.sum()), min(least), max(most), max(read))


def said(data: Dataset) -> list[str]:
    """Return how many rows are made of fewer modules than others, a text for each variable that counts them."""
    out = []
    for name, one in data.data_vars.items():
        used = one.values[one.values > 0] if is_count(str(name), one) else np.zeros(0, int)
        if used.size and used.min() < used.max():
            rows = used < used.max()
            made = Lacking(str(name), rows, int(rows.sum()), len(used), int(used.min()), int(used.max()))
            by = ", ".join(str(one.attrs[BY]).split())
            out.append(
                f"{made} in {by}: ev.losses says why; cubes leave them out of what is made of all modules"
            )
    return out


def _labels(data: Dataset, node: ast.AST) -> Iterator[str]:
    """Yield the names of what counts the modules of what an expression is made of."""
    counts = {
        str(name): str(one.attrs[BY]).split()
        for name, one in data.variables.items()
        if is_count(str(name), data[name]) and one.dims == (PULSE,)
    }
    for name in _names(data, node, set()) if counts else ():
        if not any(MODULE in str(dim) for dim in data[name].dims):
            yield from (label for label, by in counts.items() if any(name.startswith(f"{a}.") for a in by))


def _names(data: Dataset, node: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield the variables that an expression is made of, those that added ones were made of among them."""
    for name in names_in(node):
        if name in known or name not in data.variables:
            continue
        known.add(name)
        yield name
        if made := str(data[name].attrs.get(EXPRESSION, "")):
            try:
                yield from _names(data, parse(made), known)
            except ValueError:
                # Of several runs it is a list of expressions, which is none.
                continue
