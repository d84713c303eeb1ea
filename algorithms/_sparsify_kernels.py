"""Kernel that lists the pixels of an image that are above a threshold."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def listed(image, modules, numbers, bad, ss, fs, first, threshold, pixels, values):  # type: ignore[no-untyped-def]
    """Write which pixels of a region are above a threshold, in their order; return how many there are.

    Parameters
    ----------
    image : ndarray, (module, ss, fs)
    modules, numbers : ndarray of int64
        Positions and numbers of those that are looked at.
    bad : ndarray of bool, (module, ss, fs) or (module, 0, 0)
        Pixels that are not looked at.
    ss, fs : (int, int)
        First and one past the last row and column.
    first : (int, int)
        Numbers of the first row and column of the image.
    threshold : float
    pixels : ndarray of int32, (pixel, 3)
        As many as the region has: module number, ss, fs.
    values : ndarray, (pixel,)
    """
    n = 0
    for k in range(len(modules)):
        m = modules[k]
        for r in range(ss[0], ss[1]):
            for p in range(fs[0], fs[1]):
                x = image[m, r, p]
                if x > threshold and not (bad.shape[1] and bad[m, r, p]):
                    pixels[n, 0], pixels[n, 1], pixels[n, 2] = numbers[k], r + first[0], p + first[1]
                    values[n] = x
                    n += 1
    return n
