"""Count, mean and squared deviations of rows, of all or of those of each group: added, merged, and finished."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def moments(values: NDArray, known: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return count, mean and squared deviations of rows, (row, ...), where they are known."""
    n = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    return n, mean, (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)


def add(count: NDArray, mean: NDArray, squares: NDArray, n: NDArray, other: NDArray, more: NDArray) -> None:
    """Add count, mean and squared deviations of others to the first three, in place.

    References
    ----------
    Chan, Golub, LeVeque (1983), Am. Stat. 37, 242.
    """
    total = np.maximum(count + n, 1)
    delta = other - mean
    squares += more + delta**2 * (count * (n / total))
    mean += delta * (n / total)
    count += n


def add_rows(slots: NDArray, values: NDArray, count: NDArray, mean: NDArray, squares: NDArray) -> None:
    """Add rows, (row, ...), to those of their groups, (group, ...); what is not finite, or of no group, is left out."""
    known = np.isfinite(values)
    for slot in np.unique(slots[slots >= 0]):
        own = slots == slot
        add(count[slot], mean[slot], squares[slot], *moments(values[own], known[own]))


def finish(count: NDArray, mean: NDArray, squares: NDArray) -> NDArray:
    """Turn squared deviations into the variance, in place; return the standard error of the mean.

    NaN where there is no value, or only one.
    """
    squares[...] = ratio(squares, np.maximum(count - 1.0, 0))
    mean[count == 0] = np.nan
    return np.sqrt(ratio(squares, count))


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Return numerator / denominator, NaN where the denominator is 0."""
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)
