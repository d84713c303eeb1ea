"""Datasets of an HDF5 file read row by row in another order, with what stands for missing values taken out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..disk.openhdf5 import open_hdf5

MISSING = -99999
"""What stands for an integer that is missing."""
BLOCK_BYTES = 2**25
"""That are read at once where rows are in another order."""
BLOCK_ROWS = 4096


def missing_of(dtype: np.dtype) -> int | None:
    """Return what stands for a missing value, None if nothing does: integers of one or two bytes cannot hold it."""
    if dtype.kind not in "iu" or dtype.itemsize < 4:
        return None
    return MISSING if dtype.kind == "i" else 2 ** (8 * dtype.itemsize) + MISSING


@dataclass(eq=False)
class Rows:
    """A dataset of a file that is open only while it is read.

    Parameters
    ----------
    file, path
        Where it is.
    shape, stored
        Of the dataset.
    order : ndarray, (row,), optional
        Its rows in the order in which they are given.
    """

    file: Path
    path: str
    whole: tuple[int, ...]
    stored: np.dtype
    order: NDArray | None = None
    flag: bool = False
    """Whether integers mean yes or no."""
    valid: bool = False
    """Whether it is asked where values are, instead of which."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is given."""
        return self.whole if self.order is None else (len(self.order), *self.whole[1:])

    @property
    def dtype(self) -> np.dtype:
        """Of what is given; texts are objects."""
        if self.flag or self.valid:
            return np.dtype(bool)
        return np.dtype(object) if self.stored.kind in "SO" else self.stored.newbyteorder("=")

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        with open_hdf5(self.file) as file:
            dataset = file[self.path]
            return self._given(dataset[key] if self.order is None else self._chosen(dataset, key))

    def _chosen(self, dataset: h5py.Dataset, key: tuple[Any, ...]) -> NDArray:
        """Return rows in their order: those of each stretch of the file are taken from it at once."""
        assert self.order is not None
        first, rest = key[0], key[1:]
        rows = self.order[first]
        if np.ndim(rows) == 0:
            return dataset[(int(rows), *rest)]
        by = np.argsort(rows, kind="stable")
        there = rows[by]
        out = np.empty((len(rows), *dataset[(slice(0, 0), *rest)].shape[1:]), dataset.dtype)
        step, done = max(1, BLOCK_BYTES // max(1, out[:1].nbytes)), 0
        while done < len(by):
            first, end = int(there[done]), int(np.searchsorted(there, there[done] + step))
            block = dataset[(slice(first, int(there[end - 1]) + 1), *rest)]
            out[by[done:end]] = block[there[done:end] - first]
            done = end
        return out

    def _given(self, values: Any) -> NDArray:
        missing = missing_of(self.stored)
        if self.valid:
            return np.asarray(values != missing)
        if self.flag:
            return np.asarray((values != 0) & (values != missing))
        if self.stored.kind in "SO":
            return _texts(values)
        if missing is not None:
            return np.where(values == missing, self.stored.type(0), values)
        return np.asarray(values, self.dtype)


def _texts(values: Any) -> NDArray:
    out = np.empty(np.shape(values), object)
    out[...] = np.vectorize(text, otypes=[object])(values) if out.size else values
    return out


def text(value: Any) -> str:
    """Return a text that is stored, as bytes or not."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@dataclass(eq=False)
class Ragged:
    """The arrays of different lengths of a dataset, one after the other."""

    file: Path
    path: str
    stored: np.dtype

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return np.dtype(h5py.check_vlen_dtype(self.stored))

    @cached_property
    def starts(self) -> NDArray:
        """Where the values of each row begin, and the last ones end: all are read once for that."""
        with open_hdf5(self.file) as file:
            dataset = file[self.path]
            lengths = [
                len(one) for a in range(0, len(dataset), BLOCK_ROWS) for one in dataset[a : a + BLOCK_ROWS]
            ]
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all values."""
        return (int(self.starts[-1]),)

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for an integer or a slice."""
        start, stop, step = (
            (key[0], key[0] + 1, 1)
            if np.ndim(key[0]) == 0 and not isinstance(key[0], slice)
            else key[0].indices(self.shape[0])
        )
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        last = int(np.searchsorted(self.starts, stop, side="left"))
        with open_hdf5(self.file) as file:
            parts = [np.asarray(one, self.dtype) for one in file[self.path][first:last]]
        found = np.concatenate([np.zeros(0, self.dtype), *parts]).astype(self.dtype)
        found = found[start - self.starts[first] : stop - self.starts[first] : step]
        return found if isinstance(key[0], slice) else found[0]
