"""One Zarr shard: compressed chunks one after the other, then an index; takes the memory of one chunk."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...disk.checksums import crc32

MISSING = 2**64 - 1


CODECS = {
    "deflate": {"cname": "zlib", "clevel": 1, "shuffle": "shuffle"},
    "bitshuffle+lz4": {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle"},
    "bitshuffle+zstd": {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"},
}
"""By name, what Blosc is told."""


def blosc_options(dtype: np.dtype, codec: str = "") -> dict[str, Any]:
    """Return how values are compressed: by a codec of this name, or as suits them.

    Measured on means and variances in float64: lz4 with whole bytes shuffled is 3 to 5 times as fast as zstd with bits
    shuffled, and 1 to 10 % larger. Small integers (counts, photons) are what zstd with bits shuffled is good at.
    """
    if codec:
        return dict(CODECS[codec])
    if dtype.kind in "fc" or dtype.itemsize > 4:
        return {"cname": "lz4", "clevel": 1, "shuffle": "shuffle"}
    return {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle"}


def encoded(values: NDArray, dtype: np.dtype, codec: str = "") -> bytes:
    """Return a chunk as it is stored: compressed by Blosc, then its CRC-32C."""
    from numcodecs.blosc import Blosc

    options = blosc_options(dtype, codec)
    shuffle = {"shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}[str(options["shuffle"])]
    blosc = Blosc(cname=options["cname"], clevel=options["clevel"], shuffle=shuffle)
    data: bytes = blosc.encode(np.ascontiguousarray(values, dtype.newbyteorder("<")))
    return data + _crc32c(data)


class Shard:
    """A shard that is being written, under a temporary name until the context ends well.

    zarr-python encodes a shard as a whole: a file of some GB would need a multiple of that. Here chunks are added as
    they come, in any order, each compressed by Blosc and followed by its CRC-32C; the index is at the end, as in the
    codec "sharding_indexed" of the Zarr specification.

    Parameters
    ----------
    path : path
        Of the file.
    shape, chunk : tuple of int
        Of the shard, and of the chunks in it; whole numbers of chunks.
    dtype : dtype
    fill : scalar
        Value of what chunks have beyond the end of the array.
    lasting : bool
        Whether the file must survive a power loss.
    codec : str
        Its name; "": what suits the values.

    Attributes
    ----------
    size, crc : int
        Bytes of the file and their CRC-32, once the context has ended.
    """

    def __init__(
        self,
        path: Path,
        shape: Sequence[int],
        chunk: Sequence[int],
        dtype: np.dtype,
        fill: object = 0,
        *,
        lasting: bool = True,
        codec: str = "",
    ) -> None:
        self.path, self.chunk, self.dtype, self.fill = path, tuple(chunk), dtype, fill
        self.grid = tuple(s // c for s, c in zip(shape, chunk, strict=True))
        self._index = np.full((*self.grid, 2), MISSING, "<u8")
        self._temporary = path.with_name(f".{uuid.uuid4().hex[:12]}")
        self._lasting, self._codec = lasting, codec
        self.size = self.crc = 0

    def __enter__(self) -> Shard:
        self._file = open(self._temporary, "xb", buffering=0)
        return self

    def add(self, start: Sequence[int], values: NDArray) -> None:
        """Add values that begin with a chunk at `start` in the shard, and end with one or with the array."""
        first = [s // c for s, c in zip(start, self.chunk, strict=True)]
        counts = [math.ceil(n / c) for n, c in zip(values.shape, self.chunk, strict=True)]
        for at in np.ndindex(*counts):
            cut = tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, self.chunk, strict=True))
            data = encoded(self._whole(values[cut]), self.dtype, self._codec)
            self._index[tuple(f + i for f, i in zip(first, at, strict=True))] = self.size, len(data)
            self._write(data)

    def _whole(self, values: NDArray) -> NDArray:
        """Return the values of a chunk; its rest beyond the end of the array is filled."""
        if values.shape == self.chunk:
            return values
        whole = np.full(self.chunk, self.fill, self.dtype)
        whole[tuple(slice(n) for n in values.shape)] = values
        return whole

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            view = view[self._file.write(view) :]
        self.crc = crc32(data, self.crc)
        self.size += len(data)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with self._file:
                if kind is None:
                    self._finish()
            if kind is None:
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write the index, and make the file last."""
        index = self._index.tobytes()
        self._write(index)
        self._write(_crc32c(index))
        if self._lasting:
            os.fsync(self._file.fileno())


def _crc32c(data: bytes) -> bytes:
    from google_crc32c import value

    return int(value(bytes(data))).to_bytes(4, "little")
