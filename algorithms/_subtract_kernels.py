"""Kernel of `subtract`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def subtract(frames, darks, which, out):  # type: ignore[no-untyped-def]
    """Write frames - darks[which] as float32; NaN for frames of which ``which`` is -1.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    darks : ndarray of float32, (dark, pixel)
    which : ndarray of int, (frame,)
    out : ndarray of float32, (frame, pixel)
    """
    for frame in range(len(frames)):
        if which[frame] < 0:
            out[frame] = np.nan
        else:
            _one(frames[frame], darks[which[frame]], out[frame])


@njit(cache=True, nogil=True)
def _one(values, dark, out):  # type: ignore[no-untyped-def]
    for p in range(len(out)):
        out[p] = np.float32(values[p]) - dark[p]
