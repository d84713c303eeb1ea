"""Sums of `difference`: on, off and their difference train by train, or pooled, as they add up and what they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Output, Partial

from ._moments import add, ratio

ON, OFF = 0, 1
"""Kinds of frames, as they stand in sums."""
FRAMES = {"frames_on": "pumped frames used", "frames_off": "frames used that are not pumped"}


@dataclass(frozen=True, eq=False)
class Rows:
    """Frames of a train that are used: values and I0, (frame, ...), kind and group, (frame,)."""

    y: NDArray
    x: NDArray
    kind: NDArray
    slot: NDArray

    def parts(self) -> Iterator[tuple[Any, ...]]:
        """Yield kind, group, and number, values and I0 of its frames, 0 where they have no value."""
        for kind, slot in np.unique(np.stack([self.kind, self.slot]), axis=1).T:
            own = (self.kind == kind) & (self.slot == slot)
            known = np.isfinite(self.y[own])
            yield kind, slot, known, np.where(known, self.y[own], 0.0), np.where(known, self.x[own], 0.0)


@dataclass(frozen=True)
class Paired:
    """Differences within stretches of so many train ids, and what they add up to.

    A partial has sums of its first stretch and of its last one, which may go on in the partials before and after it,
    and moments of those in between: on, off and their difference.
    """

    trains: int
    counts = {
        "trains": "trains or stretches with both",
        "unpaired": "trains or stretches with one kind only, left out",
        **FRAMES,
    }

    def state(self, shape: tuple[int, ...]) -> dict[str, Output]:
        """Return the outputs that hold it, for so many groups of values."""
        hidden: dict[str, Any] = {"merge": "custom", "store": False}
        return {
            "stretches": Output(shape=(2,), dtype="i8", **hidden),
            "edges": Output(shape=(2, 2, 3, *shape), **hidden),
            "counts": Output(shape=(4, *shape), dtype="i8", **hidden),
            "means": Output(shape=(3, *shape), **hidden),
            "squares": Output(shape=(3, *shape), **hidden),
        }

    def add(self, out: Partial, train: int, rows: Rows) -> None:
        """Add the frames of a train."""
        sums = np.zeros(out.edges.shape[1:])
        for kind, slot, known, y, x in rows.parts():
            sums[kind, :, slot] = known.sum(axis=0), y.sum(axis=0), x.sum(axis=0)
        self._follow(out, train // self.trains + 1, sums)

    def _follow(self, out: Partial, stretch: int, sums: NDArray) -> int:
        """Add sums of a stretch that is the last one, or follows it; return at which edge it is then."""
        last = int(out.stretches[1] > 0)
        if out.stretches[last] not in (0, stretch):
            if last:
                self._close(out, out.edges[1])
            last, out.edges[1] = 1, 0
        out.stretches[last] = stretch
        out.edges[last] += sums
        return last

    def _close(self, out: Partial, sums: NDArray) -> None:
        """Add the difference within a stretch that is complete."""
        n = sums[:, 0].astype(np.int64)
        both: NDArray = np.all(n > 0, axis=0)
        r = ratio(sums[:, 1], sums[:, 2])
        values = np.where(both, np.stack([r[ON], r[OFF], r[ON] - r[OFF]]), 0.0)
        add(out.counts[0], out.means, out.squares, both, values, np.zeros(()))
        out.counts[1] += (n > 0).any(axis=0) & ~both
        out.counts[2:] += np.where(both, n, 0)

    def merge(self, into: Partial, other: Partial) -> None:
        """Merge those of later trains."""
        if not other.stretches[0]:
            return
        last = self._follow(into, int(other.stretches[0]), other.edges[0])
        add(into.counts[0], into.means, into.squares, other.counts[0], other.means, other.squares)
        into.counts[1:] += other.counts[1:]
        if other.stretches[1]:
            if last:
                self._close(into, into.edges[1])
            into.stretches[1], into.edges[1] = other.stretches[1], other.edges[1]

    def finish(self, totals: Partial) -> dict[str, NDArray]:
        """Return results by name."""
        for edge in np.flatnonzero(totals.stretches):
            self._close(totals, totals.edges[edge])
        n = totals.counts[0]
        means = np.where(n > 0, totals.means, np.nan)
        variances = ratio(totals.squares, n * np.maximum(n - 1.0, 0))
        shared = (variances[0] + variances[1] - variances[2]) / 2
        return results(means, variances, shared) | dict(zip(self.counts, totals.counts, strict=True))


@dataclass(frozen=True)
class Pooled:
    """Moments of all frames of both kinds: of x and I0 with each other."""

    counts = FRAMES

    def state(self, shape: tuple[int, ...]) -> dict[str, Output]:
        """Return the outputs that hold it, for so many groups of values."""
        hidden: dict[str, Any] = {"merge": "custom", "store": False}
        return {
            "counts": Output(shape=(2, *shape), dtype="i8", **hidden),
            "means": Output(shape=(2, 2, *shape), **hidden),
            "squares": Output(shape=(2, 3, *shape), **hidden),
        }

    def add(self, out: Partial, train: int, rows: Rows) -> None:
        """Add the frames of a train."""
        for kind, slot, known, y, x in rows.parts():
            n = known.sum(axis=0)
            means = np.stack([y.sum(axis=0), x.sum(axis=0)]) / np.maximum(n, 1)
            dy, dx = (np.where(known, v - m, 0.0) for v, m in zip((y, x), means, strict=True))
            squares = np.stack([(a * b).sum(axis=0) for a, b in ((dy, dy), (dy, dx), (dx, dx))])
            at = kind, slice(None), slot
            _add_products(out.counts[kind, slot, ...], out.means[at], out.squares[at], n, means, squares)

    def merge(self, into: Partial, other: Partial) -> None:
        """Merge those of later trains."""
        for kind in (ON, OFF):
            parts = ([p.counts[kind], p.means[kind], p.squares[kind]] for p in (into, other))
            _add_products(*(a for part in parts for a in part))

    def finish(self, totals: Partial) -> dict[str, NDArray]:
        """Return results by name."""
        n, (y, x) = totals.counts, np.moveaxis(totals.means, 1, 0)
        r = ratio(y, np.where(n > 0, x, 0.0))
        yy, xy, xx = np.moveaxis(totals.squares, 1, 0)
        spread = np.maximum(yy - 2 * r * xy + r**2 * xx, 0)
        variance = ratio(spread, n * np.maximum(n - 1.0, 0) * x**2)
        means = np.stack([*r, r[ON] - r[OFF]])
        found = results(means, np.stack([*variance, variance.sum(axis=0)]), np.zeros(()))
        return found | dict(zip(self.counts, n, strict=True))


def _add_products(
    count: NDArray, means: NDArray, squares: NDArray, n: NDArray, others: NDArray, more: NDArray
) -> None:
    """Add count, means of two quantities and sums of products of their deviations to the first three, in place."""
    total = np.maximum(count + n, 1)
    dy, dx = others - means
    squares += more + np.stack([dy * dy, dy * dx, dx * dx]) * (count * (n / total))
    means += (others - means) * (n / total)
    count += n


def results(means: NDArray, variances: NDArray, shared: NDArray) -> dict[str, NDArray]:
    """Return on, off and difference with their errors, of their variances and the covariance of the first two."""
    errors = np.sqrt(variances)
    on, off, _ = means
    r = ratio(on, off)
    spread = np.maximum(variances[ON] - 2 * r * shared + r**2 * variances[OFF], 0)
    found = dict(zip(("on", "off", "difference"), means, strict=True))
    found |= dict(zip(("on_error", "off_error", "error"), errors, strict=True))
    return found | {"relative": r - 1, "relative_error": np.sqrt(ratio(spread, off**2))}
