"""Whether lit frames by timing and by intensity agree, pattern by pattern, and which shift would mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .patterns import Grid, Patterns

if TYPE_CHECKING:
    from pandas import DataFrame

FARTHEST = 32
"""Frames by which patterns are shifted to see whether they agree then."""
COLUMNS = (
    "pattern",
    "first_train",
    "last_train",
    "trains",
    "frames",
    "differ",
    "shift",
    "after_shift",
    "dark",
)
MENDED = 0.2
"""A shift is one if at most this share of the frames that disagree is left."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Lit frames by timing, compared with those by intensity.

    Parameters
    ----------
    train_ids : ndarray of uint64, (train,)
    pattern : ndarray of int, (train,)
        Number of its pattern.
    compared, differ : ndarray of int, (train,)
        Frames that both know, and those of them that only one of both calls lit.
    shift : ndarray of int, (train,)
        Frames by which the pattern would have to move, 0 if that mends nothing.
    left : ndarray of int, (train,)
        Frames that differ after that.
    dark : ndarray of bool, (train,)
        Whether no frame is lit by intensity, although some should be: no shift mends that.
    """

    train_ids: NDArray
    pattern: NDArray
    compared: NDArray
    differ: NDArray
    shift: NDArray
    left: NDArray
    dark: NDArray

    @property
    def share(self) -> float:
        """Share of the frames that disagree."""
        return float(self.differ.sum() / max(1, self.compared.sum()))

    @property
    def table(self) -> DataFrame:
        """A row per pattern and stretch of trains with one shift."""
        import pandas as pd

        return pd.DataFrame([self._row(rows) for rows in self._stretches()], columns=list(COLUMNS))

    def _stretches(self) -> list[NDArray]:
        """Return positions of the trains of each pattern, cut where the shift changes."""
        out: list[NDArray] = []
        for number in np.unique(self.pattern):
            mine = np.flatnonzero(self.pattern == number)
            changes = np.diff(self.shift[mine]).astype(bool) | np.diff(self.dark[mine])
            out += np.split(mine, np.flatnonzero(changes) + 1)
        return out

    def _row(self, rows: NDArray) -> dict[str, Any]:
        total = max(1, int(self.compared[rows].sum()))
        return {
            "pattern": int(self.pattern[rows[0]]),
            "first_train": int(self.train_ids[rows[0]]),
            "last_train": int(self.train_ids[rows[-1]]),
            "trains": len(rows),
            "frames": int(self.compared[rows].sum()),
            "differ": float(self.differ[rows].sum() / total),
            "shift": int(self.shift[rows[0]]),
            "after_shift": float(self.left[rows].sum() / total),
            "dark": bool(self.dark[rows[0]]),
        }

    def lines(self, most: int = 20) -> list[str]:
        """Return the table in words."""
        rows = self.table.to_dict("records")
        said = [
            f"pattern {r['pattern']}, trains {r['first_train']} to {r['last_train']} ({r['trains']} compared): "
            f"{r['differ']:.2%} of {r['frames']} frames differ"
            + (f"; shifted by {r['shift']:+d} frames {r['after_shift']:.2%} would" if r["shift"] else "")
            + ("; none of them is lit by intensity: a closed shutter, or no sample?" if r["dark"] else "")
            for r in rows[:most]
        ]
        return said + ([f"and {len(rows) - most} more"] if len(rows) > most else [])

    def __str__(self) -> str:
        return "\n".join([f"{self.share:.2%} of {self.compared.sum()} frames differ", *self.lines()])


def agreement(
    timing: Any, intensity: Any, *, by_timing: str = "litfrm", by_intensity: str = "litframes"
) -> Agreement:
    """Compare lit frames by timing with those by intensity.

    Parameters
    ----------
    timing, intensity : Result or xarray.Dataset
        Of `LitFrameFinder`, and of `LitFrames` for the same run or some of its trains.
    by_timing, by_intensity : str
        Names of the algorithms in these results.

    Returns
    -------
    Agreement
        Print it; its `table` has a row per pattern and stretch of trains.

    Examples
    --------
    >>> agree = agreement(dxflow.reduce(run, LitFrameFinder()), dxflow.reduce(run, LitFrames()))
    >>> print(agree)
    """
    one, other = (getattr(result, "dataset", result) for result in (timing, intensity))
    return compare(Patterns.by_timing(one, by_timing), Grid.lit(other, by_intensity))


def compare(patterns: Patterns, lit: Grid) -> Agreement:
    """Compare patterns with lit frames, where both know something of a train."""
    both = np.isin(patterns.train_ids, lit.train_ids)
    trains, expected = patterns.train_ids[both], patterns.n_pulses[both] > 0
    width = expected.shape[1]
    seen = lit.among(trains, width)
    there = seen.there & (np.arange(width) < patterns.n_frames[both][:, None])
    found = seen.values.astype(bool)
    most = min(FARTHEST, max(width - 1, 0))
    shifts = np.array(sorted(range(-most, most + 1), key=abs))
    wrong = np.stack([((_moved(expected, s) != found) & there).sum(axis=1) for s in shifts])
    best = wrong.argmin(axis=0)
    at = np.arange(len(trains))
    dark: NDArray = np.any(expected & there, axis=1) & ~np.any(found & there, axis=1)
    # A pattern that is shifted out of the train agrees with darkness.
    mends = (wrong[best, at] <= MENDED * wrong[0]) & ~dark
    best = np.where(mends & (wrong[0] > 0), best, 0)
    return Agreement(
        trains, patterns.number[both], there.sum(axis=1), wrong[0], shifts[best], wrong[best, at], dark
    )


def _moved(pattern: NDArray, by: int) -> NDArray:
    """Return a pattern with each frame as that of some frames before, False at the ends."""
    out = np.zeros_like(pattern)
    if by >= 0:
        out[:, by:] = pattern[:, : pattern.shape[1] - by]
    else:
        out[:, :by] = pattern[:, -by:]
    return out
