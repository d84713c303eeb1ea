"""What a copy does to the pixels of the frames that it keeps: steps, one after the other, then compressed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import h5py
import numpy as np
from h5py import h5d, h5p, h5z
from numpy.typing import NDArray

from ..codecs.table import make_known
from ..hdf5.deflate import LEVEL, compress
from .objects import dataset_like
from .rows import blocks

SAMPLED = 3
"""Rows of a dataset that are compressed to see how large it will be."""


class Step(Protocol):
    """Makes other values of the pixels of frames of one module; a plain value that travels to another process."""

    def __call__(self, block: NDArray) -> NDArray:
        """Return what is written in place of ``block`` (row, ..., ss, fs), of the same shape and type.

        The block may be changed.
        """
        ...

    @property
    def token(self) -> bytes:
        """What tells it from any other step: an interrupted copy goes on only with the same ones."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is said of it beside the dataset, as attributes."""
        ...


def move(
    source: h5py.Dataset, there: h5py.Group, name: str, rows: NDArray, steps: Sequence[Step]
) -> h5py.Dataset:
    """Write rows of a dataset after some steps into a new one like it, which is compressed in any case."""
    into = dataset_like(there, name, source, len(rows), deflated(source))
    encode = _encoder(into)
    for first, values in blocks(source, rows, 0, len(rows), into.chunks[0]):
        for step in steps:
            values = step(values)
        _write(into, first, values, encode)
    for step in steps:
        into.attrs.update(step.facts)
    return into


def sampled(source: h5py.Dataset, rows: NDArray, steps: Sequence[Step]) -> int:
    """Return about how many bytes rows will need after some steps, from a few of them."""
    sizes = [len(compress(values)) for values in samples(source, rows, steps)]
    return sum(sizes) * len(rows) // max(1, len(sizes))


def samples(source: h5py.Dataset, rows: NDArray, steps: Sequence[Step]) -> Iterator[NDArray]:
    """Yield a few rows after some steps, (1, ..., ss, fs)."""
    make_known(source)
    for row in rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLED)).astype(np.int64)].tolist():
        values = source[row : row + 1]
        for step in steps:
            values = step(values)
        yield values


def deflated(source: h5py.Dataset) -> h5p.PropDCID:
    """Return the properties of a dataset; where it is not compressed, with chunks of a row, shuffle and deflate."""
    creation = source.id.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL:
        creation = h5p.create(h5p.DATASET_CREATE)
    if creation.get_layout() == h5d.CHUNKED and creation.get_nfilters():
        return creation
    creation.set_chunk((1, *(max(1, n) for n in source.shape[1:])))
    creation.set_alloc_time(h5d.ALLOC_TIME_INCR)
    if source.dtype.itemsize > 1:
        creation.set_shuffle()
    creation.set_deflate(LEVEL)
    return creation


def _encoder(into: h5py.Dataset) -> Callable[[NDArray], bytes] | None:
    """Return what makes of a chunk of whole rows what is stored of it; None leaves that to HDF5."""
    creation = into.id.get_create_plist()
    filters = tuple(creation.get_filter(n)[0] for n in range(creation.get_nfilters()))
    if into.chunks[1:] != into.shape[1:] or not into.dtype.isnative:
        return None
    if filters == (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE):
        return compress
    if filters == (h5z.FILTER_DEFLATE,):
        return lambda chunk: compress(np.ascontiguousarray(chunk).reshape(-1).view(np.uint8))
    return None


def _write(
    into: h5py.Dataset, first: int, values: NDArray, encode: Callable[[NDArray], bytes] | None
) -> None:
    """Write rows from the beginning of a chunk on: one chunk, or the last of them."""
    if encode is None:
        into[first : first + len(values)] = values
        return
    if len(values) < into.chunks[0]:
        whole = np.zeros(into.chunks, values.dtype)
        whole[: len(values)] = values
        values = whole
    into.id.write_direct_chunk((first, *(0 for _ in into.shape[1:])), encode(values))
