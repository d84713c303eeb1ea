"""What a process and the one that writes HDF5 files for it send each other: an object, and maybe an array after it."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = struct.Struct("<Q")
Message = tuple[Any, NDArray | None]


def put(pipe: int, message: Any, array: NDArray | None = None) -> None:
    """Send an object, and an array as its bytes.

    Raises
    ------
    TypeError
        For an array of objects; nothing is sent.
    """
    if array is not None and array.dtype.hasobject:
        raise TypeError(
            f"an array of {array.dtype} cannot be written: give numbers, or text of a fixed length"
        )
    text = pickle.dumps((message, None if array is None else (array.dtype, array.shape)))
    _write(pipe, memoryview(SIZE.pack(len(text)) + text))
    if array is not None and array.size:
        _write(pipe, _bytes(np.ascontiguousarray(array)))


def take(pipe: int) -> Message:
    """Return the next object, and the array after it; no more is read than these.

    Raises
    ------
    EOFError
        If there is none, or not all of it.
    """
    text = _read(pipe, bytearray(*SIZE.unpack(_read(pipe, bytearray(SIZE.size)))))
    message, head = pickle.loads(text)
    if head is None:
        return message, None
    array = np.empty(head[1], head[0])
    if array.size:
        _read(pipe, _bytes(array))
    return message, array


def messages(pipe: int) -> Iterator[Message]:
    """Yield messages up to None."""
    while (one := take(pipe))[0] is not None:
        yield one


def _bytes(array: NDArray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _write(pipe: int, view: memoryview) -> None:
    while view:
        view = view[os.write(pipe, view) :]


def _read(pipe: int, buffer: Any) -> Any:
    """Fill a buffer, and return it."""
    view = memoryview(buffer)
    while view:
        if not (count := os.readv(pipe, [view])):
            raise EOFError(f"the input ended {len(view)} bytes before the end of what was sent")
        view = view[count:]
    return buffer
