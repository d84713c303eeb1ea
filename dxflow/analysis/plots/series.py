"""Series: a variable over trains: each value, or means of stretches; of booleans the share that is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import style
from .histogram import title
from .lines import NINE_OF_TEN, Line, line

if TYPE_CHECKING:
    from .samples import Sample

STRETCHES = 300
"""Of trains, that are drawn at most."""
WIDE = 1.96
"""Standard deviations of a 95 % interval."""


def series(variable: Sample, trains: NDArray, where: str = "") -> Line:
    """Return a variable over trains.

    Parameters
    ----------
    variable : Sample
        A value, or several, of each row.
    trains : ndarray, (row,)
        Train ids; they need not be those of one run.
    """
    values = variable.numbers
    values = values.reshape(len(trains), int(np.prod(values.shape[1:])))
    order = np.argsort(trains, kind="stable")
    values, trains = values[order], trains[order]
    borders = _stretches(trains)
    boolean = variable.values.dtype.kind == "b"
    parts = [values[a:b] for a, b in zip(borders[:-1], borders[1:], strict=True)]
    found = np.array([_share(part) if boolean else _mean(part) for part in parts]).reshape(-1, 3)
    at = (
        trains[[(a + b - 1) // 2 for a, b in zip(borders[:-1], borders[1:], strict=True)]]
        if len(trains)
        else trains
    )
    n = int(np.isfinite(values).sum())
    alone = len(parts) == values.size
    about = {
        "x": "train",
        "y": f"share of {variable.name}" if boolean else style.label(variable.name, variable.unit),
        "line": "value" if alone else "mean",
        "band": "95 % interval of the share" if boolean else "90 % of single values",
    }
    band = None if alone and not boolean else (found[:, 1], found[:, 2])
    return line(at, found[:, 0], band, about, title(variable, n, where))


def _stretches(trains: NDArray) -> list[int]:
    """Return where stretches of whole trains begin, and the end."""
    starts = (
        np.flatnonzero(np.concatenate([[True], np.diff(trains) != 0])) if len(trains) else np.zeros(0, int)
    )
    if len(starts) > STRETCHES:
        starts = starts[np.arange(STRETCHES) * len(starts) // STRETCHES]
    return [*starts.tolist(), len(trains)] if len(starts) else [0]


def _mean(part: NDArray) -> tuple[float, float, float]:
    """Return the mean, and between which values nine of ten are."""
    some = style.finite(part)
    if not len(some):
        return np.nan, np.nan, np.nan
    low, high = np.percentile(some, NINE_OF_TEN)
    return float(some.mean()), float(low), float(high)


def _share(part: NDArray) -> tuple[float, float, float]:
    """Return the share that is true, and its interval.

    References
    ----------
    E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.
    """
    some = style.finite(part)
    n = len(some)
    if not n:
        return np.nan, np.nan, np.nan
    share, square = float(some.mean()), WIDE**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = WIDE * np.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return share, middle - half, middle + half
