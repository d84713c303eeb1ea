"""Regions of `signal`: ASICs that are side by side on the assembled detector, what hangs together, boxes around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dxflow import geometry

COLUMNS = ("module", "ss0", "ss1", "fs0", "fs1", "roi")
BORDER = 17
"""Points along a side of an ASIC that stand for it."""
BESIDE = 0.5
"""Gap between two ASICs that are side by side, at most, as a part of the shorter side of one."""


@dataclass(frozen=True)
class Grid:
    """ASICs of a module: where they begin along slow and fast scan, and the end; they are counted row by row."""

    ss: NDArray
    fs: NDArray

    @classmethod
    def of(cls, shape: tuple[int, ...], asic: tuple[int, int], roi: tuple[slice, slice] | None) -> Grid:
        """Return those of which something is read."""
        edges = []
        for axis, size in enumerate(asic):
            first = 0 if roi is None else roi[axis].start
            last = first + shape[axis]
            inner = np.arange(first // size * size + size, last, size)
            edges.append(np.array([first, *inner, last]) - first)
        return cls(*edges)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ASICs."""
        return len(self.ss) - 1, len(self.fs) - 1

    @property
    def count(self) -> int:
        """ASICs of a module."""
        return self.shape[0] * self.shape[1]

    def box(self, asic: int) -> tuple[int, int, int, int]:
        """Return first and one past the last row and column of an ASIC."""
        row, column = divmod(asic, self.shape[1])
        return (*self.ss[row : row + 2].tolist(), *self.fs[column : column + 2].tolist())

    def pixels(self, flags: NDArray) -> NDArray:
        """Return for each pixel what is said of its ASIC, (module, asic) -> (module, ss, fs)."""
        rows = np.repeat(flags.reshape(len(flags), *self.shape), np.diff(self.ss), axis=1)
        return np.repeat(rows, np.diff(self.fs), axis=2)


def within_modules(grid: Grid, modules: int) -> NDArray:
    """Return which ASICs are side by side in a module, at corners too, (asic, asic) of all modules."""
    row, column = np.divmod(np.arange(grid.count), grid.shape[1])
    near = (abs(row[:, None] - row) <= 1) & (abs(column[:, None] - column) <= 1)
    return np.kron(np.eye(modules, dtype=bool), near) & ~np.eye(modules * grid.count, dtype=bool)


def assembled(grid: Grid, points: NDArray) -> NDArray:
    """Return which ASICs are side by side as seen from the sample, (asic, asic) of all modules.

    Parameters
    ----------
    points : ndarray, (module, ss, fs, 3)
        Positions of pixels; ASICs at unknown places have no neighbours in other modules.
    """
    outlines = np.stack([_outline(m, grid.box(a)) for m in points[..., :2] for a in range(grid.count)])
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    # Outlines are the middles of pixels.
    reach = BESIDE * np.nanmin(high - low) + geometry.pitch(points)
    # Boxes that are nearer than that; only of these the outlines are compared.
    apart = np.maximum(low[:, None] - high, low - high[:, None]).max(axis=-1)
    near = within_modules(grid, len(points))
    for a, b in np.argwhere(np.triu(apart <= reach, 1) & ~near):
        away = outlines[a][:, None] - outlines[b]
        near[a, b] = near[b, a] = np.hypot(*np.moveaxis(away, -1, 0)).min() <= reach
    return near


def _outline(module: NDArray, box: tuple[int, int, int, int]) -> NDArray:
    """Return the places of pixels along the sides of an ASIC, (point, 2)."""
    ss, fs = (np.linspace(a, b - 1, BORDER).astype(int) for a, b in (box[:2], box[2:]))
    sides = [module[ss, fs[0]], module[ss, fs[-1]], module[ss[0], fs], module[ss[-1], fs]]
    return np.concatenate(sides)


def tidied(kept: NDArray, near: NDArray, opening: int, closing: int) -> NDArray:
    """Return ASICs without those with fewer neighbours than `opening`, and with those of at least `closing`."""
    if opening:
        kept = kept & (near @ kept.astype(int) >= opening)
    if closing:
        kept = kept | (near @ kept.astype(int) >= closing)
    return kept


def components(kept: NDArray, near: NDArray) -> NDArray:
    """Return the number, from 0, of what each ASIC hangs together with, -1 for those that are not kept, (asic,)."""
    label, found = np.full(len(kept), -1), 0
    for seed in np.flatnonzero(kept):
        if label[seed] >= 0:
            continue
        new = np.array([seed])
        while len(new):
            label[new] = found
            new = np.flatnonzero(near[new].any(axis=0) & kept & (label < 0))
        found += 1
    return label


def large(label: NDArray, least: int) -> NDArray:
    """Return the same without what has fewer ASICs, numbered anew."""
    sizes = np.bincount(label[label >= 0], minlength=1)
    number = np.where(sizes >= least, np.cumsum(sizes >= least) - 1, -1)
    return np.where(label >= 0, number[label], -1)


def boxes(
    label: NDArray, grid: Grid, modules: tuple[int, ...], margin: int, first: tuple[int, int]
) -> NDArray:
    """Return a box around what hangs together, in each module that it is in, (box, column).

    Parameters
    ----------
    margin : int
        Pixels on each side, as far as there are some.
    first : (int, int)
        First row and column that is read.
    """
    rows = []
    for roi in range(int(label.max(initial=-1)) + 1):
        for m, number in enumerate(modules):
            own = label[m * grid.count : (m + 1) * grid.count] == roi
            if own.any():
                rows.append([number, *_around(grid, np.flatnonzero(own), margin, first), roi])
    return np.array(rows, np.int64).reshape(-1, len(COLUMNS))


def _around(grid: Grid, asics: NDArray, margin: int, first: tuple[int, int]) -> list[int]:
    """Return first and one past the last row and column of some ASICs, with a margin."""
    corners = np.array([grid.box(a) for a in asics])
    ends = (0, int(grid.ss[-1])), (0, int(grid.fs[-1]))
    out = []
    for axis, (low, high) in enumerate(ends):
        start, stop = corners[:, 2 * axis].min(), corners[:, 2 * axis + 1].max()
        out += [max(low, start - margin) + first[axis], min(high, stop + margin) + first[axis]]
    return [int(x) for x in out]
