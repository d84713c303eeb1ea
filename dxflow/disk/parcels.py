"""Objects on their way to workers: large arrays go by a file that all processes of a node share, not by messages."""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST = 2**20
"""Bytes of an array that goes by file."""
ALIGNED = 64


@dataclass(frozen=True)
class Parcel:
    """An object without its large arrays, and where these are: (first, bytes) in a file."""

    data: bytes
    file: Path
    places: tuple[tuple[int, int], ...] = ()

    def unpack(self) -> Any:
        """Return the object; arrays are mapped, and only what is changed in one becomes this process's own."""
        if not self.places:
            return pickle.loads(self.data)
        with open(self.file, "rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.data, buffers=[mapped[at : at + size] for at, size in self.places])


def packed(value: Any, file: Path) -> Parcel:
    """Return a parcel of an object; its large arrays are written to a file, which workers can read."""
    import cloudpickle

    large: list[memoryview] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        if (raw := buffer.raw()).nbytes < LEAST:
            return True
        large.append(raw)
        return False

    data = cloudpickle.dumps(value, protocol=5, buffer_callback=stays)
    return Parcel(data, file, _written(large, file))


def _written(arrays: Sequence[memoryview], path: Path) -> tuple[tuple[int, int], ...]:
    """Write arrays to a file, which appears whole; return where each is."""
    if not arrays:
        return ()
    places = []
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with open(part, "wb") as file:
        for array in arrays:
            file.write(bytes(-file.tell() % ALIGNED))
            places.append((file.tell(), array.nbytes))
            file.write(array)
    os.replace(part, path)
    return tuple(places)


def bytes_of(values: Sequence[Any]) -> int:
    """Return the bytes of the arrays among some values, each counted once."""
    import numpy as np

    return sum({id(v): v.nbytes for v in values if isinstance(v, np.ndarray)}.values())
