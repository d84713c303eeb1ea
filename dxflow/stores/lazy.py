"""Variables whose values are read when they are used: of any array that is read by integers and slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .exdf.dataset import pieces

if TYPE_CHECKING:
    import xarray as xr


class Readable(Protocol):
    """An array of which parts are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype:
        """Of its values."""

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices, one for each axis."""


def variable(dims: Sequence[str], values: Any, attrs: Mapping[Any, Any] | None = None) -> xr.Variable:
    """Return values in memory as a variable."""
    import xarray as xr

    return xr.Variable(dims, values, attrs)


def lazy(
    array: Readable, dims: Sequence[str], attrs: Mapping[Any, Any] | None = None, *, kept: bool = False
) -> xr.Variable:
    """Return an array as a variable whose values are read when they are used, and `kept` in memory then."""
    from xarray.core import indexing

    made = indexing.LazilyIndexedArray(behind(array))
    return variable(dims, indexing.MemoryCachedArray(made) if kept else made, attrs)


def behind(array: Readable) -> Any:
    """Return an array behind xarray's kinds of indexing; it can be sent to other processes if the array can."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        """An array of which parts are read."""

        def __init__(self) -> None:
            self.shape, self.dtype = array.shape, array.dtype

        def __getitem__(self, key: Any) -> Any:
            basic = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, basic, array.read)

        def __reduce__(self) -> tuple[Any, ...]:
            return behind, (array,)

    return Lazy()


class Stacked:
    """Variables of one shape, along a new first axis."""

    def __init__(self, parts: Sequence[xr.Variable]) -> None:
        self.parts, self.dtype = parts, parts[0].dtype
        self.shape = (len(parts), *parts[0].shape)

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        first, rest = key[0], key[1:]
        if isinstance(first, slice):
            chosen = [np.asarray(part[rest]) for part in self.parts[first]]
            return np.stack(chosen) if chosen else self.parts[0][rest].values[None][:0]
        return np.asarray(self.parts[first][rest])


class Joined:
    """Variables along their first axis, one after the other."""

    def __init__(self, parts: Sequence[xr.Variable]) -> None:
        self.parts, self.dtype = parts, np.result_type(*(part.dtype for part in parts))
        self.starts = [*accumulate((len(part) for part in parts), initial=0)]
        self.shape = (self.starts[-1], *parts[0].shape[1:])

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        first, rest = key[0], key[1:]
        if isinstance(first, slice):
            found = [self.parts[n][(piece, *rest)].values for n, piece in pieces(first, self.starts)]
            found = found or [self.parts[0][(slice(0, 0), *rest)].values]
            return np.concatenate(found).astype(self.dtype, copy=False)
        number = int(np.searchsorted(self.starts, first, side="right")) - 1
        return np.asarray(self.parts[number][(first - self.starts[number], *rest)], self.dtype)


class Taken:
    """Rows of a variable in another order; those that it has not are filled.

    Parameters
    ----------
    part : Variable
    at : ndarray of int, (row,)
        Which row of the variable each row is, -1 of none.
    fill : scalar
    """

    def __init__(self, part: xr.Variable, at: NDArray, fill: Any) -> None:
        self.part, self.at, self.fill, self.dtype = part, at, fill, part.dtype
        self.shape = (len(at), *part.shape[1:])

    def read(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        rows, rest = np.atleast_1d(self.at[key[0]]), key[1:]
        there = rows >= 0
        a, b = (rows[there].min(), rows[there].max() + 1) if there.any() else (0, 0)
        found = self.part[(slice(int(a), int(b)), *rest)].values
        out = np.full((len(rows), *found.shape[1:]), self.fill, self.dtype)
        out[there] = found[rows[there] - a]
        return out if isinstance(key[0], slice) else out[0]
