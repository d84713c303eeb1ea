"""Frames to bytes, as a codec stores them, and back: what was changed is compared with the bound, frame by frame."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from h5py import h5p, h5z
from numpy.typing import NDArray

from ..hdf5.deflate import compress
from ..reader.decode import inflate
from .bounds import Bound
from .rounding import rounded
from .table import CODECS, EVERYWHERE, Codec, Filter

FALLEN = 0b001
"""Filters that are skipped where a codec cannot keep the bound: itself."""
KEPT = 0b110
"""Those that are skipped where it can: the ones for what it cannot store."""


@dataclass(frozen=True)
class Encoding:
    """How frames are stored: the name of a codec, and by how much values may be changed.

    A plain value that travels to other processes.
    """

    codec: str
    bound: Bound | None = None

    @property
    def how(self) -> Codec:
        """The codec."""
        return CODECS[self.codec]

    @property
    def words(self) -> str:
        """Say it."""
        if self.bound is None:
            return f"{self.codec}, without loss"
        return f"{self.codec}, values changed by at most {self.bound.words}"

    @property
    def facts(self) -> dict[str, Any]:
        """What is said of it in files."""
        bound = vars(self.bound) if self.bound else {}
        return {"codec": self.codec} | {f"bound.{k}": v for k, v in bound.items() if v is not None}

    def filters(self) -> tuple[Filter, ...]:
        """Return the filters of HDF5."""
        return self.how.filters(self.bound)


@dataclass(frozen=True)
class Encoded:
    """A frame as it is stored.

    Parameters
    ----------
    data : bytes
    skipped : int
        Bit i set: filter i was not applied.
    error : float
        The largest change of a finite value.
    fallen : bool
        Whether it is stored without loss, since the bound would have been broken.
    """

    data: bytes
    skipped: int
    error: float
    fallen: bool


class Encoder:
    """Makes bytes of frames of one shape and type. HDF5 does it, in memory; deflate is done past it, faster.

    Parameters
    ----------
    encoding : Encoding
    shape : sequence of int
        Of a chunk.
    dtype : dtype
        Only floats are changed.
    """

    def __init__(self, encoding: Encoding, shape: Sequence[int], dtype: np.dtype) -> None:
        self.encoding, self.shape, self.dtype = encoding, tuple(shape), dtype
        self.bound = encoding.bound if dtype.kind == "f" else None
        self.codec = encoding.how
        self._own = encoding.filters()

    def __call__(self, frame: NDArray) -> Encoded:
        """Return how a frame is stored, compared with what will be read."""
        if self.bound is None:
            return Encoded(self.encode(frame), 0, 0.0, False)
        if self.codec.lossy and not np.isfinite(frame).all():
            # They make something else of what is no number, and take a thousand times as long for it.
            return self._fallen(frame)
        data = self.encode(self.changed(frame))
        error, wrong = compared(frame, self.decode(data), self.bound)
        if wrong:
            return self._fallen(frame)
        return Encoded(data, KEPT if self.codec.lossy else 0, error, False)

    def _fallen(self, frame: NDArray) -> Encoded:
        """Return a frame as it is stored without loss."""
        if self.codec.lossy:
            return Encoded(compress(frame), FALLEN, 0.0, True)
        return Encoded(self.encode(frame), 0, 0.0, True)

    def changed(self, frame: NDArray) -> NDArray:
        """Return what is encoded: rounded values, unless the codec itself does that."""
        if self.codec.lossy or self.bound is None:
            return frame
        return on_grid(frame, self.bound.grid) if self.codec.grid else _rounded(frame, self.bound)

    def encode(self, values: NDArray) -> bytes:
        """Return the bytes of values as they are given to the codec."""
        if self._own == EVERYWHERE:
            return compress(values)
        self._scratch[...] = values.reshape(self.shape)
        data: bytes = self._scratch.id.read_direct_chunk(self._origin)[1]
        return data

    def decode(self, data: bytes) -> NDArray:
        """Return what a reader will find."""
        if self._own == EVERYWHERE:
            size = int(np.prod(self.shape)) * self.dtype.itemsize
            shuffled = np.frombuffer(inflate(data, size), np.uint8).reshape(self.dtype.itemsize, -1)
            return np.ascontiguousarray(shuffled.T).view(self.dtype).reshape(self.shape)
        self._scratch.id.write_direct_chunk(self._origin, data)
        return np.asarray(self._scratch[...])

    @cached_property
    def _origin(self) -> tuple[int, ...]:
        return tuple(0 for _ in self.shape)

    @cached_property
    def _scratch(self) -> h5py.Dataset:
        """A dataset of one chunk in memory, which HDF5 does not keep decoded."""
        # A name for each, as HDF5 has one file of a name; nothing is written there.
        file = h5py.File(f"dxflow-{uuid.uuid4().hex}", "w", driver="core", backing_store=False, rdcc_nbytes=0)
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_chunk(self.shape)
        add_filters(creation, self._own[:1] if self.codec.lossy else self._own)
        space = h5py.h5s.create_simple(self.shape)
        made = h5py.h5d.create(file.id, b"x", h5py.h5t.py_create(self.dtype), space, dcpl=creation)
        return h5py.Dataset(made)


def add_filters(creation: h5p.PropDCID, filters: Sequence[Filter]) -> None:
    """Add filters to the properties of a dataset."""
    for code, options in filters:
        if code == h5z.FILTER_SHUFFLE:
            creation.set_shuffle()
        elif code == h5z.FILTER_DEFLATE:
            creation.set_deflate(*options)
        else:
            creation.set_filter(code, h5z.FLAG_MANDATORY, options)


def compared(frame: NDArray, made: NDArray, bound: Bound) -> tuple[float, int]:
    """Return the largest change, and how many values were changed by more than the bound."""
    from .kernels import compared as kernel

    error, wrong = kernel(frame.reshape(-1), made.reshape(-1), *bound.largest)
    return float(error), int(wrong)


def on_grid(frame: NDArray, step: float) -> NDArray:
    """Return the nearest multiples of a step of four bits; values of which they would not be exact stay."""
    # In float64, so that what lies between two is not decided by the rounding of the quotient.
    exact = step * 2.0 ** (np.finfo(frame.dtype).nmant - 3)
    wide = frame.astype(np.float64)
    with np.errstate(invalid="ignore"):
        # Plus 0: of -0 and 0 there is only one, as the sign of what is nothing would be stored, too.
        near = (np.rint(wide / step) * step + 0.0).astype(frame.dtype)
        return np.where(np.abs(wide) < exact, near, frame)


def _rounded(frame: NDArray, bound: Bound) -> NDArray:
    # Elsewhere: in their place, the loops would not be vectorised.
    made, flat = np.empty(frame.shape, frame.dtype), np.ascontiguousarray(frame).reshape(1, -1)
    rounded(flat, bound.absolute, bound.relative, made.reshape(1, -1))
    return made
