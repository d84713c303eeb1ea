"""Compiled loops of decoding."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def unshuffle_2(planes: NDArray, out: NDArray) -> None:
    """Interleave two byte planes into 16-bit values."""
    low, high = planes[0], planes[1]
    for i in range(out.size):
        out[i] = np.uint16(low[i]) | (np.uint16(high[i]) << np.uint16(8))


@numba.njit(cache=True, nogil=True)
def unshuffle_4(planes: NDArray, out: NDArray) -> None:
    """Interleave four byte planes into 32-bit values."""
    a, b, c, d = planes[0], planes[1], planes[2], planes[3]
    for i in range(out.size):
        out[i] = (
            np.uint32(a[i])
            | (np.uint32(b[i]) << np.uint32(8))
            | (np.uint32(c[i]) << np.uint32(16))
            | (np.uint32(d[i]) << np.uint32(24))
        )
