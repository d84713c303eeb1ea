"""On and off: which rows are pumped, and the difference of what the two are on average, with its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .evaluating import worked_out

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from .evaluating import Source

PUMP = "pump"
KINDS = ("on", "off")


def kinds(table: Source, on: Any, off: Any, mask: NDArray, at: str) -> tuple[NDArray, NDArray]:
    """Return which of the selected rows are pumped and which are not, (row,) bool both.

    Parameters
    ----------
    on, off : anything that `Table.mask` takes
        Without `off` these are the rows of which it is known that they are not `on`.
    at : {"pulse", "train"}
        Of what there is a row each.

    Raises
    ------
    ValueError
        If rows are both.
    """
    pumped, others = truth(table, on, at)
    if off is not None:
        others, _ = truth(table, off, at)
    if both := int(np.count_nonzero(pumped & others & mask)):
        raise ValueError(f"on={on!r} and off={off!r} are both true of {both} rows; expected no row in both")
    return pumped & mask, others & mask


def truth(table: Source, where: Any, at: str) -> tuple[NDArray, NDArray]:
    """Return of which rows a condition is true, and of which it is known to be false, (row,) bool both."""
    found = [worked_out(node, table, at) for node in table.selections.cut(where)]
    true = np.logical_and.reduce([one.values & one.there for one in found])
    return true, np.logical_or.reduce([one.there & ~one.values for one in found])


def differences(data: Dataset, name: str) -> Iterator[tuple[str, DataArray]]:
    """Yield the difference of a variable, on - off, and what it is of off, each with its standard error, by name.

    Notes
    -----
    The two kinds are of other rows each, so that var(on - off) = var(on) + var(off), and for (on - off) / off::

        var = var(on) / off^2 + on^2 var(off) / off^4
    """
    (on, off), (a, b) = (
        [data[f"{name}_{what}"].sel({PUMP: k}, drop=True) for k in KINDS] for what in ("mean", "sem")
    )
    unit, relative = {"units": on.attrs.get("units", "")}, {"units": ""}
    known = off.where(off != 0)
    yield f"{name}_difference", (on - off).assign_attrs(unit, long_name=f"{name}, on - off")
    yield f"{name}_difference_sem", _root(a, b).assign_attrs(unit, long_name="standard error")
    yield (
        f"{name}_relative",
        ((on - off) / known).assign_attrs(relative, long_name=f"{name}, (on - off) / off"),
    )
    spread = _root(a / known, on / known * (b / known))
    yield f"{name}_relative_sem", spread.assign_attrs(relative, long_name="standard error")


def _root(a: DataArray, b: DataArray) -> DataArray:
    """Return the square root of the sum of the squares."""
    return (a**2 + b**2) ** 0.5
