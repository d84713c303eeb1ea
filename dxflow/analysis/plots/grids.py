"""Grids: which pixel of a detector is seen at each point of a regular grid across the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIE = 1e-3
"""Parts of a pixel by which centres may be off: where they lie between two points, all go to the same side."""
CORNER = 65
"""Rows and columns of each module from which follows how far pixels are from each other."""
LARGEST = 2**26
"""Points of a grid."""
BESIDE = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
OF_HIDDEN = 1.1
"""How far, in pixels, a pixel that would not be seen may be moved to a point that would be empty."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid as fine as pixels: each point shows one pixel, so that there are no values but theirs.

    A point shows the pixel whose centre lies in it. Modules are turned, and moved by parts of a pixel: where two
    centres lie in a point it shows the nearer one; where none does within a module the other, or the nearest, is shown.
    """

    pixel: NDArray
    """Which pixel is seen at each point, (row, column): its number, -1 where there is none."""
    extent: tuple[float, float, float, float]
    """Left, right, bottom, top, mm."""
    hidden: int = 0
    """Pixels that have a place and are at no point."""

    @classmethod
    def of(cls, positions: NDArray) -> Grid:
        """Return the grid of pixels whose centres, (module, ss, fs, 3) in m, are these.

        Raises
        ------
        ValueError
            If they are too far from each other for an image.
        """
        # Apart: numpy is slow along axes of two values.
        points = np.ascontiguousarray(positions[..., :2].reshape(-1, 2).T) * 1e3
        known = np.flatnonzero(np.isfinite(points[0]) & np.isfinite(points[1]))
        # A corner of each module says it, if it has a place.
        found = _steps(positions[:, :CORNER, :CORNER])
        steps = [1e3 * step for step in (found if len(found) == 2 else _steps(positions))]
        side = min(steps, default=1.0)
        if not len(known):
            return cls(np.full((1, 1), -1, np.int64), (0.0, side, 0.0, side))
        at = points[:, known]
        low = at.min(axis=1) - side / 2
        at = (at - low[:, None]) / side + TIE
        shape = tuple(int(n) for n in np.floor(at.max(axis=1))[::-1] + 1)
        if shape[0] * shape[1] > LARGEST:
            raise ValueError(
                f"pixels of {side:.3g} mm make an image of {shape[1]} x {shape[0]} pixels: some are far from others; "
                "is this the geometry of this detector, in m?"
            )
        # Half the diagonal of a pixel: no point within a module is farther from a centre.
        reach = 1.05 * 0.5 * float(np.hypot(steps[0], steps[-1])) / side if steps else 0.0
        seen, hidden = _seen(at - TIE, at.astype(np.int64), shape, reach)
        left, bottom = float(low[0]), float(low[1])
        extent = (left, left + shape[1] * side, bottom, bottom + shape[0] * side)
        pixel = np.where(seen >= 0, known[seen], -1).reshape(shape)
        return cls(pixel, extent, hidden)

    def filled(self, image: NDArray) -> NDArray:
        """Return the value of the pixel at each point, (y, x); NaN where there is none."""
        values = image.reshape(-1)
        return np.where(self.pixel >= 0, values[self.pixel], np.nan)


def _steps(positions: NDArray) -> list[float]:
    """Return how far rows of pixels are from each other across the beam, along both axes of modules, m.

    In rows that are moved by half a pixel, as where pixels are hexagons, neighbours are farther away than rows.
    """
    along = [np.diff(positions[..., :2], axis=axis) for axis in (1, 2)]
    lengths = [np.linalg.norm(step, axis=-1) for step in along]
    usual = [float(np.median(known)) if len(known := one[np.isfinite(one)]) else 0.0 for one in lengths]
    if min(usual) > 0:
        ss, fs = along[0][:, :, :-1], along[1][:, :-1]
        area = np.abs(ss[..., 0] * fs[..., 1] - ss[..., 1] * fs[..., 0])
        usual = [float(np.nanmedian(area)) / usual[1], usual[1]]
    return [one for one in usual if one > 0]


def _seen(at: NDArray, place: NDArray, shape: tuple[int, ...], reach: float) -> tuple[NDArray, int]:
    """Return which centre is seen at each point, flat, and how many are at none.

    Parameters
    ----------
    at : ndarray, (2, centre)
        x and y of centres in points; those of points are halves.
    place : ndarray, (2, centre)
        Column and row of the point in which each centre lies.
    shape : (rows, columns)
    reach : float
        How far, in points, the centre may be that is seen at a point without one.
    """
    cell, every = place[1] * shape[1] + place[0], np.arange(at.shape[1])
    seen = np.full(shape[0] * shape[1], -1, np.int64)
    seen[cell] = every
    others = seen[cell] != every
    if others.any():
        shared = np.zeros(len(seen), bool)
        shared[cell[others]] = True
        some = np.flatnonzero(shared[cell])
        away = np.square(at[:, some] - place[:, some] - 0.5).sum(axis=0)
        # What is assigned last remains.
        some = some[np.argsort(-away, kind="stable")]
        seen[cell[some]] = some
    hidden = np.ones(at.shape[1], bool)
    hidden[seen[seen >= 0]] = False
    _fill(seen, at, place, hidden, shape, reach)
    hidden[seen[seen >= 0]] = False
    return seen, int(hidden.sum())


def _fill(
    seen: NDArray, at: NDArray, place: NDArray, hidden: NDArray, shape: tuple[int, ...], reach: float
) -> None:
    """Show centres at points between others that have none: those that would not be seen first, then the nearest."""
    there = np.pad((seen >= 0).reshape(shape), 1)
    between = (there[1:-1, :-2] & there[1:-1, 2:]) | (there[:-2, 1:-1] & there[2:, 1:-1])
    empty = between & ~there[1:-1, 1:-1]
    if not empty.any():
        return
    near = np.zeros_like(there)
    for y, x in BESIDE:
        near[1 + y : 1 + y + shape[0], 1 + x : 1 + x + shape[1]] |= empty
    some = np.flatnonzero(near[1:-1, 1:-1].reshape(-1)[place[1] * shape[1] + place[0]])
    targets, centres, away = [], [], []
    for y, x in BESIDE:
        column, row = place[0, some] + x, place[1, some] + y
        inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        column, row, own = column[inside], row[inside], some[inside]
        own, column, row = (one[empty[row, column]] for one in (own, column, row))
        targets.append(row * shape[1] + column)
        centres.append(own)
        away.append(np.hypot(at[0, own] - column - 0.5, at[1, own] - row - 0.5))
    target, centre, far = (np.concatenate(one) for one in (targets, centres, away))
    good = far <= np.where(hidden[centre], OF_HIDDEN, reach)
    target, centre, far = target[good], centre[good], far[good]
    # What is assigned last remains: hidden ones, the nearest of them last.
    order = np.lexsort((-far, hidden[centre]))
    seen[target[order]] = centre[order]
