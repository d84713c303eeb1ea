"""Undo deflate and shuffle of a chunk, outside Python's lock, straight into a buffer."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .layout import Layout

SMALL = 4096
"""Bytes of a frame up to which numpy puts its bytes together: a process that compiles nothing starts 1 s sooner."""


class DecodeError(ValueError):
    """A chunk that does not decode to what it should."""


def into(out: NDArray, data: bytes, layout: Layout, skipped: int, inside: NDArray, frame_bytes: int) -> None:
    """Decode a chunk and put the wanted frames of it into ``out`` (frame, ...).

    Parameters
    ----------
    data : bytes
        As stored.
    skipped : int
        Bit i set: filter i was not applied to this chunk.
    inside : ndarray of int, (frame,)
        Where each wanted frame begins in the decoded chunk.

    Raises
    ------
    DecodeError
    """
    stored, shuffled = decoded(data, layout, skipped)
    flat = out.reshape(len(inside), -1).view(np.uint8)
    if not shuffled:
        for one, start in zip(flat, inside, strict=True):
            one[:] = stored[start : start + frame_bytes]
        return
    _unshuffle_frames(flat, stored, layout.itemsize, inside, frame_bytes)


def decoded(data: bytes, layout: Layout, skipped: int) -> tuple[NDArray, bool]:
    """Return the bytes of a chunk, and whether they are still shuffled.

    Raises
    ------
    DecodeError
    """
    applied = [f for i, f in enumerate(layout.filters) if not skipped >> i & 1]
    found: bytes | bytearray = data
    for code in reversed(applied):
        if code == 1:
            found = inflate(found, layout.chunk_bytes)
    if len(found) != layout.chunk_bytes:
        raise DecodeError(f"decodes to {len(found)} bytes, not {layout.chunk_bytes}")
    return np.frombuffer(found, np.uint8), 2 in applied


def inflate(data: bytes | bytearray, size: int) -> bytes | bytearray:
    """Return the inflated bytes; more than `size` are refused before they are made.

    Raises
    ------
    DecodeError
    """
    try:
        return _inflater()(data, size)
    except Exception as e:
        raise DecodeError(f"does not inflate: {e}") from e


def refuse_longer(data: bytes, size: int) -> None:
    """Raise if bytes inflate to more than `size`.

    Raises
    ------
    DecodeError
    """
    if len(zlib.decompressobj().decompress(data, size + 1)) > size:
        raise DecodeError(f"inflates to more than {size} bytes")


@cache
def _inflater() -> Callable[[bytes | bytearray, int], bytes | bytearray]:
    """Return the fastest inflate there is: libdeflate, else zlib."""
    try:
        import deflate
    except ImportError:
        return _zlib
    return deflate.zlib_decompress


def _zlib(data: bytes | bytearray, size: int) -> bytes:
    """Inflate with the standard library, never more than `size` bytes and one."""
    engine = zlib.decompressobj()
    out = engine.decompress(data, size + 1)
    if len(out) > size or not engine.eof:
        raise DecodeError(f"is not {size} bytes long, or damaged")
    return out


def _unshuffle_frames(
    flat: NDArray, stored: NDArray, itemsize: int, inside: NDArray, frame_bytes: int
) -> None:
    """Put together the bytes of each value of the wanted frames; byte i of all values lies together."""
    planes = stored.reshape(itemsize, -1)
    n = frame_bytes // itemsize
    for one, start in zip(flat, inside, strict=True):
        first = int(start) // itemsize
        unshuffle(planes[:, first : first + n], one)


def unshuffle(planes: NDArray, out: NDArray) -> None:
    """Interleave ``planes`` (byte of a value, value) into ``out`` (bytes)."""
    kernel = _kernel(len(planes)) if out.nbytes > SMALL else None
    if kernel is None:
        out.reshape(-1, len(planes))[...] = planes.T
    else:
        kernel(planes, out.view(f"u{len(planes)}"))


@cache
def _kernel(itemsize: int) -> Callable[[NDArray, NDArray], None] | None:
    """Return the compiled loop for values of 2 or 4 bytes."""
    if itemsize not in (2, 4):
        return None
    from . import kernels

    return kernels.unshuffle_2 if itemsize == 2 else kernels.unshuffle_4
