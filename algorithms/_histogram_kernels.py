"""Kernel that counts the pixels of a region in bins."""

from __future__ import annotations

import numpy as np
from numba import njit

BESIDE = 3
"""Numbers after those of the bins: below the first edge, above the last, and NaN."""


@njit(cache=True, nogil=True)
def fill(frames, bad, ss, fs, edges, even, photon, at, k, table):  # type: ignore[no-untyped-def]
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
    even : bool
        Whether they are equally far apart.
    photon : float
        What one photon makes: photons are counted, by rounding half up. 0 takes the values.
    at : ndarray of int64, (frame,)
        Row of the table of each frame, -1 for none.
    k : int
        Which region it is.
    table : ndarray of int64, (row, region, bin + BESIDE)
    """
    bins = len(edges) - 1
    first, last = edges[0], edges[bins]
    per_unit = bins / (last - first)
    for frame in range(len(frames)):
        if at[frame] < 0:
            continue
        counts = table[at[frame], k]
        for r in range(ss[0], ss[1]):
            for p in range(fs[0], fs[1]):
                if len(bad) and bad[r, p]:
                    continue
                x = np.float64(frames[frame, r, p])
                if photon > 0:
                    x = max(0.0, np.floor(x / photon + 0.5)) if x == x else x
                if x < first:
                    counts[bins] += 1
                elif x > last:
                    counts[bins + 1] += 1
                elif x != x:
                    counts[bins + 2] += 1
                elif even:
                    # Next to an edge, the edge itself decides: dividing has rounding errors.
                    b = min(np.int64((x - first) * per_unit), bins - 1)
                    b -= np.int64(x < edges[b])
                    b += np.int64(b < bins - 1 and x >= edges[b + 1])
                    counts[b] += 1
                else:
                    counts[min(np.searchsorted(edges, x, "right") - 1, bins - 1)] += 1
