"""Kernel that adds up the pixels of a region in bins, frame by frame."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def project(frames, pixels, bins, low, high, photon, sums, counts):  # type: ignore[no-untyped-def]
    """Add pixels to their bins, and count those that are not NaN.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    pixels, bins : ndarray of int64, (pixel of a region,)
        Which pixels these are, and the bin of each.
    low, high : float
        Values outside ``low <= x < high`` add nothing.
    photon : float
        What one photon makes: photons are counted, by rounding half up. 0 adds the values.
    sums, counts : ndarray of float64 and int32, (frame, bin)
    """
    for frame in range(len(frames)):
        for i in range(len(pixels)):
            x = np.float64(frames[frame, pixels[i]])
            if x != x:
                continue
            counts[frame, bins[i]] += 1
            if low <= x < high:
                sums[frame, bins[i]] += max(0.0, np.floor(x / photon + 0.5)) if photon > 0 else x
