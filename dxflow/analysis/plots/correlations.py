"""Correlations: how much each two of some variables go together, of the rows where both are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import style
from .maps import Axis, Map
from .screen import Screen

if TYPE_CHECKING:
    from .samples import Sample

ROWS = 2**18
"""Rows that are worked on at once."""
CONSTANT = 1e-12
"""Variance, as a part of the mean square, up to which values are constant but for rounding."""
FEW = 12
"""Variables of which each correlation is also written."""


@dataclass(frozen=True, eq=False)
class Correlations(Map):
    """A matrix of correlations: `data` has ``r (variable, other)`` and ``n``, of how many rows each is."""

    def draw(self, axes: Any) -> None:
        """Draw colours, of few variables with numbers."""
        super().draw(axes)
        r = self.values
        axes.set_ylim(axes.get_ylim()[::-1])
        axes.set_aspect("equal")
        axes.tick_params(axis="x", rotation=45)
        for tick in axes.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
        for row, column in np.ndindex(r.shape if len(r) <= FEW else (0, 0)):
            if np.isfinite(r[row, column]):
                white = abs(r[row, column]) > 0.6
                axes.text(
                    column,
                    row,
                    f"{r[row, column]:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if white else "black",
                )

    def text(self, screen: Screen) -> list[str]:
        """Return a table of numbers, the half below the diagonal: columns are numbered as rows are."""
        names, r = [str(name) for name in self.data["variable"].values], self.values
        wide = min(max(map(len, names), default=0), screen.width // 2)
        shown = max((screen.width - wide - 4) // 6, 1)
        lines = [
            f"{n + 1:>2} {name[:wide]:<{wide}} " + "".join(map(_number, r[n, : n + 1][:shown]))
            for n, name in enumerate(names)
        ]
        numbers = "".join(f"{n + 1:6d}" for n in range(min(len(names), shown)))
        return [self.title, *lines, " " * (wide + 4) + numbers]


def _number(r: float) -> str:
    return f"{'-':>6}" if np.isnan(r) else f"{r:6.2f}"


def correlations(variables: Sequence[Sample], where: str = "") -> Correlations:
    """Return Pearson's correlation of each two variables, of the rows where both have a finite value.

    Parameters
    ----------
    variables : sequence of Sample
        A value of each row; booleans count as 0 and 1.

    Notes
    -----
    r is NaN where fewer than 2 rows have both values, or where one of the two is constant.
    """
    import xarray as xr

    columns = [v.numbers for v in variables]
    for variable, column in zip(variables, columns, strict=True):
        if column.ndim != 1 or len(column) != len(columns[0]):
            raise ValueError(f"{variable.name} has {column.shape} values; expected one for each row")
    names = [v.name for v in variables]
    r, n = pearson(columns)
    about = {"long_name": "Pearson's correlation coefficient, pairwise complete"}
    data = xr.Dataset(
        {"r": (("variable", "other"), r, about), "n": (("variable", "other"), n)},
        {"variable": names, "other": names},
    )
    axis = Axis("", np.arange(len(names) + 1) - 0.5, np.array(names, "U"))
    low, high = n.min(), n.max()
    rows = f"{high}" if low == high else f"{low} to {high}"
    title = f"correlations of {rows} {variables[0].counted}" + (f", {where}" if where else "")
    return Correlations(data, "r", axis, axis, "correlation", title, extent=(-1.0, 1.0))


def pearson(columns: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
    """Return correlation and number of common rows of each two columns; NaN in these is missing."""
    k = len(columns)
    shift, scale = np.array([_centre(column) for column in columns]).reshape(k, 2).T
    n, sums, squares, products = np.zeros((4, k, k))
    for start in range(0, len(columns[0]) if k else 0, ROWS):
        x = np.stack([column[start : start + ROWS] for column in columns])
        there = np.isfinite(x)
        x = np.where(there, (x - shift[:, None]) / scale[:, None], 0.0)
        known = there.astype(float)
        n += known @ known.T
        sums += x @ known.T
        squares += (x * x) @ known.T
        products += x @ x.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, square = sums / n, squares / n
        variance = square - mean**2
        variance = np.where((n > 1) & (variance > CONSTANT * square), variance, np.nan)
        r = (products / n - mean * mean.T) / np.sqrt(variance * variance.T)
    return r.clip(-1, 1), np.rint(n).astype(np.int64)


def _centre(column: NDArray) -> tuple[float, float]:
    """Return mean and standard deviation, by which sums keep their digits."""
    some = style.finite(column)
    if not len(some):
        return 0.0, 1.0
    return float(some.mean()), float(some.std()) or 1.0
