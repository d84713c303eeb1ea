"""A reduction in EXDF files as an xarray.Dataset, lazy and labelled as it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...disk import manifest as _manifest
from ...disk.checksums import digest
from ...disk.manifest import Damage
from ...disk.openhdf5 import open_hdf5

if TYPE_CHECKING:
    import xarray as xr

    from .places import Places

CHECKED_BYTES = 2**28
"""Files up to this size are compared with their checksum when they are first read."""


def facts(places: Places) -> dict[str, Any]:
    """Return dims, dtype and place of all variables of a reduction, as JSON values: what `open_dataset` needs."""
    out = {
        i.variable.name: _facts(i.variable, i.place.section, i.place.path, not i.variable.output)
        for i in places.items
        if i not in places.layouts
    }
    for name, place in places.coordinates():
        out[name] = _facts(places.labels[name], place.section, place.path, True)
    return out


def _facts(what: Any, section: str, path: str, label: bool) -> dict[str, Any]:
    """Return dims, dtype and place of a variable or coordinate."""
    dtype = what.dtype if hasattr(what, "dtype") else what.values.dtype
    facts = {"dims": list(what.dims), "dtype": dtype.str, "attrs": dict(what.attrs)}
    return {**facts, "section": section, "path": path, "label": label}


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a reduction; values are read when they are used.

    Raises
    ------
    Damage
        Now or when values are read, if a file is not as it was written.
    """
    import xarray as xr
    from xarray.core.indexing import LazilyIndexedArray

    folder = Path(path)
    manifest = _manifest.read(folder)
    files = [
        File(folder / name, *digest) for name, digest in manifest["files"].items() if name.endswith(".h5")
    ]
    out: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, one in manifest["exdf"]["variables"].items():
        lazy = _lazy()(_Array(files, one["section"], one["path"], np.dtype(one["dtype"])))
        out[one["label"]][name] = xr.Variable(one["dims"], LazilyIndexedArray(lazy), one["attrs"])
    return xr.Dataset(out[False], out[True], manifest["exdf"]["attributes"])


@dataclass
class File:
    """A file of a reduction, its size and its checksum."""

    path: Path
    bytes: int
    crc32: int
    checked: bool = False

    def check(self, *, whole: bool | None = None) -> None:
        """Compare the size, and once the checksum: of small files, unless `whole` says otherwise.

        Raises
        ------
        Damage
        """
        size = self.path.stat().st_size
        if size != self.bytes:
            raise Damage(f"{self.path}: {size} bytes, {self.bytes} were written")
        if self.checked or not (self.bytes <= CHECKED_BYTES if whole is None else whole):
            return
        if (found := digest(self.path)[1]) != self.crc32:
            raise Damage(f"{self.path}: checksum {found:08x}, it was {self.crc32:08x} when written")
        self.checked = True


class _Array:
    """A dataset over all files: rows one after the other, or a value of the whole run."""

    def __init__(self, files: Sequence[File], section: str, path: str, dtype: np.dtype) -> None:

        self.files, self.path, self.dtype = files, path, dtype
        self.whole = section == "RUN"
        rows = []
        for file in files[:1] if self.whole else files:
            file.check()
            with open_hdf5(file.path) as opened:
                rows.append(opened[path].shape)
        self.starts = list(accumulate((shape[0] for shape in rows), initial=0))
        self.shape = rows[0][1:] if self.whole else (self.starts[-1], *rows[0][1:])

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        if self.whole:
            return self._read(0, (0, *key))
        first, rest = key[0], key[1:]
        if isinstance(first, slice):
            parts = [self._read(n, (piece, *rest)) for n, piece in pieces(first, self.starts)]
            return np.concatenate(parts) if parts else self._read(0, (slice(0, 0), *rest))
        number = int(np.searchsorted(self.starts, first, side="right")) - 1
        return self._read(number, (first - self.starts[number], *rest))

    def _read(self, number: int, key: tuple[Any, ...]) -> NDArray:

        self.files[number].check()
        with open_hdf5(self.files[number].path) as opened:
            return _typed(np.asarray(opened[self.path][key]), self.dtype)


def pieces(rows: slice, starts: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """Yield which of some arrays that follow each other a slice with a positive step meets, and the rows in them."""
    start, stop, step = rows.indices(starts[-1])
    for number, (a, b) in enumerate(pairwise(starts)):
        first = max(start, start + -(-(a - start) // step) * step)
        if first < min(stop, b):
            yield number, slice(first - a, min(stop, b) - a, step)


def _typed(values: NDArray, dtype: np.dtype) -> NDArray:
    """Return stored values as they were; a time of 0 is one that is not known."""
    if dtype.kind == "U":
        return np.char.decode(values, "utf-8").astype(dtype)
    if dtype.kind != "M":
        return values.astype(dtype)
    return np.where(values == 0, np.datetime64("NaT"), values.astype(dtype))


def _lazy() -> type:
    """Return the adapter for xarray, which is imported when a dataset is opened."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        """An `_Array` behind xarray's kinds of indexing."""

        def __init__(self, array: _Array) -> None:
            self.array, self.shape, self.dtype = array, array.shape, array.dtype

        def __getitem__(self, key: Any) -> Any:
            """Return what xarray asks for, reduced to integers and slices."""
            basic = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, basic, self.array.__getitem__)

    return Lazy


def exists(path: Path) -> bool:
    """Return whether there is a reduction in EXDF files."""
    return (path / _manifest.MANIFEST).exists() and bool(list(path.glob("*.h5")))
