"""Kernel that puts the pixels of modules where they are in an image."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def place(frames, index, at, images, count):  # type: ignore[no-untyped-def]
    """Add pixels to those of an image, and count them; NaN is skipped.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    index : ndarray of int64, (pixel,)
        Where each pixel is in the image, -1 for nowhere.
    at : ndarray of int64, (frame,)
        Which image each frame belongs to, -1 for none.
    images, count : ndarray, (image, pixel of it)
    """
    for frame in range(len(frames)):
        row = at[frame]
        if row < 0:
            continue
        for p in range(len(index)):
            x = frames[frame, p]
            if index[p] >= 0 and x == x:
                images[row, index[p]] += x
                count[row, index[p]] += 1
