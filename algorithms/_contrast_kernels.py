"""Kernel of `contrast`: photons of each frame into counts of its regions."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST = 2.0**20
"""Photons of a pixel, beyond which only faults are: squares of a frame still fit 64 bits."""


@njit(cache=True, nogil=True)
def count(frames, numbers, photon, histogram, pixels, total, squares):  # type: ignore[no-untyped-def]
    """Add to the counts of each frame and region; NaN and infinities go to none.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    numbers : ndarray of int32, (pixel,)
        Regions from 1, 0 is none.
    photon : float
        Value of a photon.
    histogram : ndarray of int32, (frame, region, photons)
        Pixels with so many photons; the last has more, too.
    pixels, total, squares : ndarray of int64, (frame, region)
        Good pixels, their photons, and the sum of the squares of these.
    """
    last = histogram.shape[2] - 1
    for f in range(len(frames)):
        row = frames[f]
        for p in range(len(row)):
            q = numbers[p] - 1
            x = np.float64(row[p])
            if q < 0 or not np.isfinite(x):
                continue
            k = np.int64(min(max(np.floor(x / photon + 0.5), 0.0), MOST))
            histogram[f, q, min(k, last)] += 1
            pixels[f, q] += 1
            total[f, q] += k
            squares[f, q] += k * k
