"""Kernel that counts the pixels of a region in bins."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

BESIDE = 3
"""Numbers after those of the bins: below the first edge, above the last, and NaN."""
STRANDS = 4
"""Tables that neighbouring pixels count in: of one, each pixel would wait for that before."""
CELLS = 4, 64, 2**14
"""Cells for each bin, at least and at most, and how many there are in all unless these are the least."""
SLACK = 1e-9
"""Part of the range by which a value may be off by rounding."""


def lookup(edges: NDArray) -> NDArray:
    """Return the bin of each of many equal cells between the first and the last edge.

    Returns
    -------
    ndarray of int32, (cell + BESIDE + 1,)
        -1 - bin where an edge is in the cell or next to it: the value is in this bin or in one after it. Then what
        is below, above, NaN and not looked at.
    """
    bins = len(edges) - 1
    least, most, total = CELLS
    n = max(least * bins, min(most * bins, total))
    ends, slack = np.linspace(edges[0], edges[-1], n + 1), SLACK * (edges[-1] - edges[0])
    low = np.maximum(np.searchsorted(edges, ends[:-1] - slack, "right") - 1, 0)
    high = np.searchsorted(edges, ends[1:] + slack, "right") - 1
    return np.concatenate([np.where(low == high, low, -1 - low), bins + np.arange(BESIDE + 1)]).astype(
        np.int32
    )


@njit(cache=True, nogil=True)
def fill(frames, bad, ss, fs, edges, lookup, photon, at, k, table):  # type: ignore[no-untyped-def]
    """Count the pixels of a region; a bin holds its lower edge, the last one its upper edge, too.

    Parameters
    ----------
    frames : ndarray, (frame, ss, fs)
    bad : ndarray of bool, (ss, fs) or (0, 0)
        Pixels that are not looked at.
    ss, fs : (int, int)
        First and one past the last row and column.
    edges : ndarray of float64, (bin + 1,)
        Rising.
    lookup : ndarray of int32
        Of these edges.
    photon : float
        What one photon makes: photons are counted, by rounding half up. 0 takes the values.
    at : ndarray of int64, (frame,)
        Row of the table of each frame, -1 for none.
    k : int
        Which region it is.
    table : ndarray of int64, (row, region, bin + BESIDE)
    """
    bins, n = len(edges) - 1, len(lookup) - BESIDE - 1
    first, last = edges[0], edges[bins]
    per_cell = n / (last - first)
    width = fs[1] - fs[0]
    cells, counts = np.empty(width, np.int32), np.zeros((STRANDS, bins + BESIDE + 1), np.int64)
    for frame in range(len(frames)):
        if at[frame] < 0:
            continue
        for r in range(ss[0], ss[1]):
            x = frames[frame, r, fs[0] : fs[1]]
            _cells(x, first, last, per_cell, photon, n, cells)
            if len(bad):
                for p in range(width):
                    cells[p] = n + BESIDE if bad[r, fs[0] + p] else cells[p]
            _count(x, cells, edges, lookup, photon, counts)
        for b in range(bins + BESIDE):
            for j in range(STRANDS):
                table[at[frame], k, b] += counts[j, b]
        counts[:] = 0


@njit(cache=True, nogil=True)
def _count(x, cells, edges, lookup, photon, counts):  # type: ignore[no-untyped-def]
    """Count the pixels of a row in the bins of their cells."""
    p = 0
    while p + STRANDS <= len(cells):
        for j in range(STRANDS):
            b = lookup[cells[p + j]]
            counts[j, _closely(x[p + j], edges, photon, -1 - b) if b < 0 else b] += 1
        p += STRANDS
    while p < len(cells):
        b = lookup[cells[p]]
        counts[0, _closely(x[p], edges, photon, -1 - b) if b < 0 else b] += 1
        p += 1


@njit(cache=True, nogil=True)
def _cells(x, first, last, per_cell, photon, n, cells):  # type: ignore[no-untyped-def]
    """Write the cell that each pixel is in; beside them are those of values below, above and NaN."""
    for p in range(len(x)):
        v = np.float64(x[p])
        if photon > 0:
            v = max(0.0, np.floor(v / photon + 0.5)) if v == v else v
        inside = (v >= first) & (v <= last)
        t = (v - first) * per_cell
        cell = np.int32(min(t if inside else 0.0, n - 1.0))
        beside = n if v < first else (n + 1 if v > last else n + 2)
        cells[p] = cell if inside else beside


@njit(cache=True, nogil=True)
def _closely(x, edges, photon, b):  # type: ignore[no-untyped-def]
    """Return the bin of a value, at `b` or after it."""
    v = np.float64(x)
    if photon > 0:
        v = max(0.0, np.floor(v / photon + 0.5))
    while b < len(edges) - 2 and v >= edges[b + 1]:
        b += 1
    return b
