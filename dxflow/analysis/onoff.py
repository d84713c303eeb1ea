"""On and off: which rows are pumped, and the difference of what the two are on average, with its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from .tables import Table

PUMP = "pump"
KINDS = ("on", "off")


def kinds(table: Table, on: Any, off: Any, mask: NDArray) -> tuple[NDArray, NDArray]:
    """Return which of the selected rows are pumped and which are not, (row,) bool both.

    Parameters
    ----------
    on, off : anything that `Table.mask` takes
        Without `off` these are the rows of which it is known that they are not `on`.

    Raises
    ------
    ValueError
        If rows are both.
    """
    if off is None:
        off = f"~({on})" if isinstance(on, str) else ~np.asarray(on) if isinstance(on, (list, tuple)) else ~on
    pumped, others = table.mask(on) & mask, table.mask(off) & mask
    if both := int(np.count_nonzero(pumped & others)):
        raise ValueError(f"on={on!r} and off={off!r} are both true of {both} rows; expected no row in both")
    return pumped, others


def differences(data: Dataset, name: str) -> Iterator[tuple[str, DataArray]]:
    """Yield the difference of a variable, on - off, and what it is of off, each with its standard error, by name.

    Notes
    -----
    The two kinds are of other rows each, so that var(on - off) = var(on) + var(off), and for (on - off) / off::

        var = var(on) / off^2 + on^2 var(off) / off^4
    """
    (on, off), (a, b) = ([data[f"{name}_{what}"].sel({PUMP: k}, drop=True) for k in KINDS] for what in ("mean", "sem"))
    unit, relative = {"units": on.attrs.get("units", "")}, {"units": ""}
    known = off.where(off != 0)
    yield f"{name}_difference", (on - off).assign_attrs(unit, long_name=f"{name}, on - off")
    yield f"{name}_difference_sem", np.hypot(a, b).assign_attrs(unit, long_name="standard error")
    yield f"{name}_relative", ((on - off) / known).assign_attrs(relative, long_name=f"{name}, (on - off) / off")
    spread = np.hypot(a / known, on / known * (b / known))
    yield f"{name}_relative_sem", spread.assign_attrs(relative, long_name="standard error")
