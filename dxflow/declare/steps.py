"""Steps of a motor, and bins of values: labels that are made of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import NUMBER, WHOLE, Kind, expect, maybe, several
from ..run.joined import Joined, Labelled

EDGES = Kind(
    "a number of bins from 1, or their edges, at least two that increase",
    lambda edges: (WHOLE.fits(edges) and edges >= 1) or _increase(edges),
)


def _increase(edges: Any) -> bool:
    return several(NUMBER.fits)(edges) and len(edges) > 1 and bool(np.all(np.diff([*edges]) > 0))


@dataclass(frozen=True)
class Steps:
    """Trains in which a motor rests, see `Labels.steps`."""

    tolerance: float
    settle: int = 0
    least: int = 2
    to: float | None = None

    def __post_init__(self) -> None:
        positive = Kind("a number from 0", lambda x: NUMBER.fits(x) and x >= 0)
        whole = Kind("a whole number from 0", lambda n: WHOLE.fits(n) and n >= 0)
        more = maybe(Kind("a number above 0", lambda x: NUMBER.fits(x) and x > 0))
        for name, kind in (("tolerance", positive), ("settle", whole), ("least", whole), ("to", more)):
            expect(kind, getattr(self, name), f"Labels.steps: {name}=", ValueError)

    def of(self, labelled: Labelled) -> tuple[Labelled, str]:
        """Return the position of the step of each train, and in words what there is and what is left out.

        Raises
        ------
        ValueError
            If there is no step.
        """
        known = np.flatnonzero(labelled.there & np.isfinite(labelled.values))
        order = known[np.argsort(labelled.ids["train_id"][known])]
        x, ids = labelled.values[order].astype(float), labelled.ids["train_id"][order].astype(np.int64)
        step, settling = self._steps(x, ids)
        inside, kept = step >= 0, int(step.max(initial=-1)) + 1
        if not kept:
            after = f" after {self.settle} to settle" if self.settle else ""
            raise ValueError(
                f"no steps: no {max(self.least, 1)} trains are within {self.tolerance:g} of each other{after}"
            )
        positions = self._positions(x, step, kept)
        values, there = np.full(len(labelled.values), np.nan), np.zeros(len(labelled.values), bool)
        values[order[inside]], there[order[inside]] = positions[step[inside]], True
        said = (
            f"{kept} steps at {len(np.unique(positions))} positions in {int(inside.sum())} of {len(labelled.there)} "
            f"trains; left out: {settling} settling, {int((~inside).sum()) - settling} in moves or steps of fewer "
            f"than {self.least}"
        )
        return replace(labelled, values=values, there=there), said

    def _steps(self, x: NDArray, ids: NDArray) -> tuple[NDArray, int]:
        """Return the number of the step of each train, -1 of none, and how many are left out since they settle."""
        step, settling, kept = np.full(len(x), -1), 0, 0
        for first, last in stretches(x, self.tolerance):
            # Nothing moved before the first train.
            wait = self.settle if first else 0
            begin = first + int(np.searchsorted(ids[first:last] - ids[first], wait))
            least = max(self.least, 1)
            if last - begin >= least:
                step[begin:last] = kept
                kept += 1
            # A step that would be long enough is lost to settling as a whole.
            settling += 0 if last - first < least else (begin if last - begin >= least else last) - first
        return step, settling

    def _positions(self, x: NDArray, step: NDArray, kept: int) -> NDArray:
        """Return the position of each step, the mean of all trains of steps within the tolerance of each other."""
        inside = step >= 0
        means = _means(x[inside], step[inside], kept)
        order = np.argsort(means, kind="stable")
        group, lowest = np.zeros(kept, np.int64), 0
        for before, now in zip(order[:-1], order[1:], strict=True):
            far = means[now] - means[order[lowest]] > self.tolerance
            lowest = int(np.flatnonzero(order == now)[0]) if far else lowest
            group[now] = group[before] + far
        out = _means(x[inside], group[step[inside]], kept)[group]
        return out if self.to is None else np.round(out / self.to) * self.to


def _means(x: NDArray, group: NDArray, groups: int) -> NDArray:
    """Return the mean of each group; of equal values that value, to the last digit."""
    least = np.full(groups, np.inf)
    np.minimum.at(least, group, x)
    times = np.bincount(group, minlength=groups)
    return least + np.bincount(group, x - least[group], minlength=groups) / np.maximum(times, 1)


def stretches(x: NDArray, tolerance: float) -> list[tuple[int, int]]:
    """Return neighbouring values that are within a tolerance of each other, in order: the longest stretches first.

    All values are in one stretch each; what moves is in short ones.
    """
    ends = _ends(x, tolerance)
    found, todo = [], [(0, len(x))]
    while todo:
        first, last = todo.pop()
        if first < last:
            lengths = np.minimum(ends[first:last], last) - np.arange(first, last)
            a = first + int(np.argmax(lengths))
            b = a + int(lengths[a - first])
            found.append((a, b))
            todo += [(first, a), (b, last)]
    return sorted(found)


def _ends(x: NDArray, tolerance: float) -> NDArray:
    """Return for each value the end of the stretch that begins there, as long as it may be."""
    # The least and largest of 1, 2, 4, ... values from each on; the stretch grows by the longest of these that fits.
    least, most = [x], [x]
    while 2 ** len(least) <= len(x):
        half = 2 ** (len(least) - 1)
        least.append(np.minimum(least[-1][:-half], least[-1][half:]))
        most.append(np.maximum(most[-1][:-half], most[-1][half:]))
    ends = np.arange(len(x))
    low, high = np.full(len(x), np.inf), np.full(len(x), -np.inf)
    for k in reversed(range(len(least))):
        at = np.flatnonzero(ends + 2**k <= len(x))
        lower, higher = np.minimum(low[at], least[k][ends[at]]), np.maximum(high[at], most[k][ends[at]])
        fits = higher - lower <= tolerance
        at = at[fits]
        low[at], high[at] = lower[fits], higher[fits]
        ends[at] += 2**k
    return ends


@dataclass(frozen=True)
class Bins:
    """Ranges of values, see `Labels.bins`."""

    edges: int | Sequence[float]
    quantiles: bool = False

    def __post_init__(self) -> None:
        expect(EDGES, self.edges, "Labels.bins: ", ValueError)
        if self.quantiles and not WHOLE.fits(self.edges):
            raise ValueError(
                "Labels.bins: quantiles=True takes a number of bins, their edges follow from the values"
            )
        if not WHOLE.fits(self.edges):
            object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))  # type: ignore[union-attr]

    def of(self, joined: Joined) -> tuple[Joined, str]:
        """Return the middle of the bin of each value, and in words which there are and how many are outside."""
        x = np.where(joined.there, joined.values, np.nan).astype(float)
        edges = self._edges(x[np.isfinite(x)])
        number = np.searchsorted(edges, x, side="right") - 1
        number[x == edges[-1]] = len(edges) - 2
        there = joined.there & (number >= 0) & (number < len(edges) - 1)
        if joined.there.any() and not there.any():
            ends = f"{np.nanmin(x):g} to {np.nanmax(x):g}"
            raise ValueError(f"no value is in a bin: edges are {self._listed(edges)}, values from {ends}")
        middles = (edges[1:] + edges[:-1]) / 2
        values = np.where(there, middles[np.clip(number, 0, len(middles) - 1)], np.nan)
        outside = int((joined.there & ~there).sum())
        said = f"{len(middles)} bins with edges {self._listed(edges)}; {outside} outside"
        return replace(joined, values=values, there=there), said

    @staticmethod
    def _listed(edges: NDArray) -> str:
        return ", ".join(f"{edge:g}" for edge in edges)

    def _edges(self, values: NDArray) -> NDArray:
        """Return the edges, those of a number of bins from the values."""
        if not WHOLE.fits(self.edges):
            return np.asarray(self.edges)
        n, x = int(self.edges), values if len(values) else np.array([0.0, 1.0])  # type: ignore[arg-type]
        if self.quantiles:
            return _different(np.quantile(x, np.linspace(0, 1, n + 1)))
        return _different(np.linspace(x.min(), x.max(), n + 1))


def _different(edges: NDArray) -> NDArray:
    """Return edges without those that come twice; of one value alone, a bin around it."""
    edges = np.unique(edges)
    return edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])
