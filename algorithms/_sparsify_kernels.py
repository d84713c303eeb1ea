"""Kernel that lists the pixels of an image that are above a threshold."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def listed(image, modules, bad, ss, fs, threshold, found):  # type: ignore[no-untyped-def]
    """Write which pixels of a region are above a threshold, in their order; return how many there are.

    Parameters
    ----------
    image : ndarray, (module, ss, fs)
    modules : ndarray of int64
        Positions of those that are looked at.
    bad : ndarray of bool, (module, ss, fs) or (module, 0, 0)
        Pixels that are not looked at.
    ss, fs : (int, int)
        First and one past the last row and column.
    threshold : float
    found : ndarray of int64
        As long as the region has pixels: their numbers in the image.
    """
    rows, columns = image.shape[1:]
    n = 0
    for m in modules:
        for r in range(ss[0], ss[1]):
            first = (m * rows + r) * columns
            for p in range(fs[0], fs[1]):
                if image[m, r, p] > threshold and not (bad.shape[1] and bad[m, r, p]):
                    found[n] = first + p
                    n += 1
    return np.int64(n)
