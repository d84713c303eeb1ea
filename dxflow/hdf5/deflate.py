"""Shuffle and deflate, fast, in the form of HDF5's own filters."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 1
"""Higher levels of deflate cost much and gain little on detector data."""


def compress(values: NDArray) -> bytes:
    """Return what HDF5 stores of a chunk with the filters shuffle and gzip.

    Parameters
    ----------
    values : ndarray
        A whole chunk. One-byte values are not shuffled, as there is nothing to shuffle.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    return _deflate()(shuffled(flat) if flat.itemsize > 1 else flat)


def shuffled(flat: NDArray) -> NDArray:
    """Return byte 0 of all values, then byte 1 of all, ..., (itemsize, value)."""
    size = flat.itemsize
    out = np.empty((size, len(flat)), np.uint8)
    if size not in (2, 4, 8):
        out[...] = flat.view(np.uint8).reshape(-1, size).T
        return out
    # Shifting whole words is vectorised; picking every nth byte is not.
    words = flat.view(f"<u{size}")
    for byte in range(size):
        np.copyto(out[byte], words >> words.dtype.type(8 * byte), casting="unsafe")
    return out


@cache
def _deflate() -> Callable[[NDArray], bytes]:
    """Return the fastest deflate there is: Intel's, else zlib."""
    try:
        from isal import isal_zlib
    except ImportError:
        # There are no wheels of it for some machines.
        return lambda data: zlib.compress(data.data, LEVEL)
    return lambda data: isal_zlib.compress(data.data, LEVEL)


def engine() -> str:
    """Return the name of the deflate that is used."""
    try:
        import isal  # noqa: F401
    except ImportError:
        return "zlib"
    return "isal"
