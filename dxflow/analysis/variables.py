"""Variables: what a user names of a table, a variable or an expression of some, with its rate, unit and axes."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..declare.grammar import parse, written
from ..errors.kinds import shown
from .evaluating import rate, worked_out
from .rows import PULSE, RUN, TRAIN

if TYPE_CHECKING:
    from xarray import DataArray

    from ..declare.condition import Column
    from .evaluating import Source


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable of a table, or an expression of some.

    Parameters
    ----------
    table : Table
    node : ast.expr
        What is meant.
    name : str
        What it is called.
    """

    table: Source
    node: ast.expr
    name: str

    @classmethod
    def of(cls, table: Source, given: Any, name: str | None = None) -> Variable:
        """Return what a user names, by a text or a value of the table.

        Raises
        ------
        KeyError
            If there is no such variable.
        TypeError, ValueError
            If it names none.
        """
        node = given.node if hasattr(given, "node") else None
        if isinstance(given, str):
            node = ast.Name(given) if given in table.data.variables else parse(given)
        if not isinstance(node, ast.expr):
            raise TypeError(
                f"{shown(given)}: expected the name of a variable, an expression, or a value such as ev.xgm"
            )
        rate(node, table)
        default = node.id if isinstance(node, ast.Name) else written(node)
        return cls(table, node, default if name is None else name)

    @cached_property
    def array(self) -> DataArray | None:
        """It as it is in the table; nothing of expressions."""
        known = isinstance(self.node, ast.Name) and self.node.id in self.table.data.variables
        return self.table.data[self.node.id] if known else None  # type: ignore[attr-defined]

    @cached_property
    def rate(self) -> str:
        """Return "pulse", "train" or "run": of what there is a value each."""
        return rate(self.node, self.table)

    def column(self, at: str | None = None) -> Column:
        """Return its values and where they are, by its own rate or another."""
        return worked_out(self.node, self.table, at)

    @cached_property
    def attrs(self) -> dict[str, str]:
        """Unit and description."""
        known = {} if self.array is None else self.array.attrs
        return {key: str(known[key]) for key in ("units", "long_name") if key in known}

    @cached_property
    def axes(self) -> dict[str, Any]:
        """The axes of the values that a row has, by name: coordinates, or how many there are."""
        if self.array is None:
            return {f"{self.name}_{n}": size for n, size in enumerate(self.column().values.shape[1:])}
        dims = [dim for dim in self.array.dims if dim not in (PULSE, TRAIN)]
        return {str(d): self.array.coords[d] if d in self.array.coords else self.array.sizes[d] for d in dims}

    @property
    def width(self) -> int:
        """How many values a row has."""
        return math.prod(len(axis) if hasattr(axis, "dims") else axis for axis in self.axes.values())

    def refuse_other(self, what: str) -> None:
        """Refuse what cannot be averaged.

        Raises
        ------
        TypeError, ValueError
            What it is, and what to do.
        """
        dtype = self.column().values.dtype if self.array is None else self.array.dtype
        if self.rate == RUN:
            raise ValueError(
                f"{what}: {self.name} is one value of the whole run; expected one per pulse or train"
            )
        if dtype.kind not in "biuf":
            raise TypeError(f"{what}: {self.name} is {dtype}; expected numbers (others may be in where=)")
