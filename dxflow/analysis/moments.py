"""Moments: count, mean and standard error of a quantity in each bin, of sums that merge in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bins import still
from .grid import pieces, threaded

LANES = 8
"""Stretches of rows that are added up beside each other, whatever the number of threads, and merge in order."""
WIDE = 2**17
"""Sums of so many values are of one stretch: eight would not fit into memory."""
BLOCK, WIDE_BLOCK = 2**16, 2**22
"""Values that are worked on at a time: of numbers, and of arrays, which are read for that, chunk by chunk."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """What is averaged: `read` returns rows as (row, value) float64, NaN where missing.

    `flat` are the bins of its rows, (row,), below 0 of those in none; `width` is the number of values in a row. What it
    is divided by, and its weights, are (row,); None is 1.
    """

    flat: NDArray
    width: int
    read: Callable[[slice], NDArray]
    norm: NDArray | None = None
    weights: NDArray | None = None

    @property
    def plain(self) -> bool:
        """Whether it is just averaged."""
        return self.norm is None and self.weights is None

    def lanes(self, bins: int) -> list[slice]:
        """Return stretches of rows whose sums merge in order: they follow from sizes alone."""
        return pieces(len(self.flat), 1 if bins * self.width > WIDE else LANES)

    def blocks(self, lane: slice) -> Iterator[tuple[NDArray, ...]]:
        """Yield bins, values, norms and weights of some rows at a time; those without a selected row are not read."""
        step = max((BLOCK if self.width <= 1 else WIDE_BLOCK) // max(self.width, 1), 1)
        ones = np.ones(step)
        for first in range(lane.start, lane.stop, step):
            rows = slice(first, min(first + step, lane.stop))
            flat = self.flat[rows]
            if (flat >= 0).any():
                x, w = (ones[: len(flat)] if a is None else a[rows] for a in (self.norm, self.weights))
                yield tuple(map(still, (flat, self.read(rows), x, w)))


@dataclass(frozen=True, eq=False)
class Moments:
    """Of each bin and value, (bin, value): what there is of a quantity."""

    count: NDArray
    mean: NDArray
    sem: NDArray
    weight: NDArray | None = None
    """Sum of weights times what it is divided by, where it is."""
    effective: NDArray | None = None
    """Effective number, where there are weights."""

    def shaped(self, bins: int) -> Moments:
        """Return the same as (bin, value)."""
        parts = (self.count, self.mean, self.sem, self.weight, self.effective)
        return Moments(*(None if a is None else a.reshape(bins, -1) for a in parts))  # type: ignore[arg-type]


def moments(quantities: Sequence[Quantity], bins: int) -> list[Moments]:
    """Return the moments of some quantities.

    Notes
    -----
    Plain: mean m, squares Q = sum (x - m)^2, standard error sqrt(Q / (n (n - 1))), by Welford within a stretch of rows
    and by Chan et al. [1]_ between stretches.

    Divided by x, with weights w (1 where there are none)::

        R = sum w y / sum w x
        var(R) = sum w (y - R x)^2 sum w^2 / (W (W^2 - sum w^2)) / mean(x)^2,   W = sum w

    which is n / (n - 1) sum (y - R x)^2 / (sum x)^2 without weights [2]_, and the variance of a mean with reliability
    weights and effective number W^2 / sum w^2 without x [3]_.

    References
    ----------
    .. [1] Chan, Golub, LeVeque (1983), Am. Stat. 37, 242.
    .. [2] W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    .. [3] M. Galassi et al., GNU Scientific Library Reference Manual, section "Weighted samples".
    """
    firsts = _summed([(q, Plain if q.plain else Pairs) for q in quantities], bins)
    divided = [(q, f) for q, f in zip(quantities, firsts, strict=True) if isinstance(f, Pairs)]
    rest = iter(_summed([(q, partial(Residuals, ratio=f.ratio())) for q, f in divided], bins))
    made = [
        f.finish() if isinstance(f, Plain) else f.finish(next(rest), q)
        for q, f in zip(quantities, firsts, strict=True)
    ]
    return [m.shaped(bins) for m in made]


class Plain:
    """Count, mean and squared deviations, flat."""

    def __init__(self, size: int) -> None:
        self.n = np.zeros(size, np.int64)
        self.shift, self.mean, self.squares = np.zeros((3, size))

    def add(self, flat: NDArray, y: NDArray, x: NDArray, w: NDArray) -> None:
        """Add rows."""
        from . import sums

        sums.add(flat, y, self.n, self.shift, self.mean, self.squares)

    def merge(self, other: Plain) -> None:
        """Add those of the rows that follow."""
        part = other.n / np.maximum(self.n + other.n, 1)
        self.shift = np.where(self.n > 0, self.shift, other.shift)
        delta = np.where(other.n > 0, other.shift - self.shift, 0.0) + (other.mean - self.mean)
        self.squares += other.squares + delta * (delta * part) * self.n
        self.mean += delta * part
        self.n += other.n

    def finish(self) -> Moments:
        """Return what they are."""
        mean = np.where(self.n > 0, self.shift + self.mean, np.nan)
        return Moments(self.n, mean, np.sqrt(ratio(self.squares, self.n * (self.n - 1.0))))


class Pairs:
    """Count, weights and means of what is divided and by what, flat."""

    def __init__(self, size: int) -> None:
        self.n = np.zeros(size, np.int64)
        self.weight, self.squares, self.pairs, self.y, self.x = np.zeros((5, size))

    def add(self, flat: NDArray, y: NDArray, x: NDArray, w: NDArray) -> None:
        """Add rows."""
        from . import sums

        sums.add_pairs(flat, y, x, w, self.n, self.weight, self.squares, self.pairs, self.y, self.x)

    def merge(self, other: Pairs) -> None:
        """Add those of the rows that follow."""
        self.pairs += other.pairs + self.weight * other.weight
        self.weight += other.weight
        part = other.weight / np.where(self.weight > 0, self.weight, 1.0)
        self.y += (other.y - self.y) * part
        self.x += (other.x - self.x) * part
        self.n += other.n
        self.squares += other.squares

    def ratio(self) -> NDArray:
        """Return R."""
        return ratio(self.y, self.x)

    def finish(self, residuals: Residuals, of: Quantity) -> Moments:
        """Return what they are."""
        r, w = self.ratio(), self.weight
        spread = residuals.out * ratio(self.squares, w * 2 * self.pairs)
        weight = w if of.norm is None else w * self.x
        effective = None if of.weights is None else ratio(w * w, self.squares)
        return Moments(self.n, r, np.sqrt(spread) / np.where(self.x > 0, self.x, 1.0), weight, effective)


class Residuals:
    """Weighted squares of y - R x, flat."""

    def __init__(self, size: int, ratio: NDArray) -> None:
        self.out, self.ratio = np.zeros(size), ratio

    def add(self, flat: NDArray, y: NDArray, x: NDArray, w: NDArray) -> None:
        """Add rows."""
        from . import sums

        sums.add_residuals(flat, y, x, w, self.ratio, self.out)

    def merge(self, other: Residuals) -> None:
        """Add those of the rows that follow."""
        self.out += other.out


def _summed(wanted: Sequence[tuple[Quantity, Callable[[int], Any]]], bins: int) -> list[Any]:
    """Return the sums of each quantity, of a kind each: stretches beside each other, merged in order."""
    tasks = [(q, make, lane, n) for n, (q, make) in enumerate(wanted) for lane in q.lanes(bins)]
    out: list[Any] = [None] * len(wanted)
    for (*_, n), found in zip(
        tasks, threaded(lambda task: _lane(task[0], task[1], task[2], bins), tasks), strict=True
    ):
        if out[n] is None:
            out[n] = found
        else:
            out[n].merge(found)
    return out


def _lane(quantity: Quantity, make: Callable[[int], Any], lane: slice, bins: int) -> Any:
    """Return the sums of a stretch of rows."""
    total = make(bins * quantity.width)
    for block in quantity.blocks(lane):
        total.add(*block)
    return total


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray:
    """Return numerator / denominator, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)
