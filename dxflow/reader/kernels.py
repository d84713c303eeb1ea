"""Compiled loops of decoding, and of masks."""

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


GROUP = 256
"""Values that are looked at together: so many that the compiler uses vectors."""


@numba.njit(cache=True, nogil=True)
def find(planes: NDArray, bits: NDArray) -> NDArray:
    """Return where values have one of some bits: int32, (value,).

    Parameters
    ----------
    planes : ndarray of unsigned integers, (part of a value, value)
        Values, or each byte of them.
    bits : ndarray, (part of a value,)
        Of the type of `planes`.
    """
    marks = np.zeros(-(-planes.shape[1] // 8) * 8, np.uint8)
    for part in range(len(bits)):
        if bits[part]:
            _mark(planes[part], bits[part], marks)
    positions = np.empty(len(marks), np.int32)
    return positions[: _note(marks, positions)]


@numba.njit(cache=True, nogil=True)
def _mark(values: NDArray, bits: int, marks: NDArray) -> None:
    for i in range(len(values)):
        marks[i] |= np.uint8((values[i] & bits) != 0)


@numba.njit(cache=True, nogil=True)
def _note(marks: NDArray, positions: NDArray) -> int:
    """Write the positions of marks, of which nearly all are 0: eight are looked at together; return their number."""
    count, eights = 0, marks.view(np.uint64)
    for e in range(len(eights)):
        if eights[e]:
            for i in range(8 * e, 8 * e + 8):
                positions[count] = i
                count += marks[i]
    return count


@numba.njit(cache=True, nogil=True)
def _joined(values: NDArray) -> int:
    """Return all bits of a group of values."""
    every = values[0]
    for i in range(GROUP):
        every |= values[i]
    return every


@numba.njit(cache=True, nogil=True)
def strike(values: NDArray, mask: NDArray, bits: int, value: int) -> None:
    """Set values where a mask has one of some bits; groups of which it has none are not touched."""
    for first in range(0, len(mask), GROUP):
        of = mask[first : first + GROUP]
        if len(of) < GROUP or _joined(of) & bits:
            _blend(values[first : first + GROUP], of, bits, value)


@numba.njit(cache=True, nogil=True)
def _blend(values: NDArray, mask: NDArray, bits: int, value: int) -> None:
    for i in range(len(values)):
        values[i] = value if mask[i] & bits else values[i]


@numba.njit(cache=True, nogil=True)
def put(values: NDArray, positions: NDArray, value: int) -> None:
    """Set values at some positions of each row, (row, value)."""
    for row in range(len(values)):
        for i in range(len(positions)):
            values[row, positions[i]] = value
