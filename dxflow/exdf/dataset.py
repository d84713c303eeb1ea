"""A reduction in EXDF files as an xarray.Dataset, lazy and labelled as it was written."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

    from .places import Places

MANIFEST = "dxflow.json"
CHECKED_BYTES = 2**28
"""Files up to this size are compared with their checksum when they are first read."""


def described(places: Places) -> dict[str, Any]:
    """Return what `open_dataset` needs of a reduction, as JSON values."""
    contents, made = places.contents, places.plan.fingerprint
    attributes = {
        "title": f"reduction of {places.plan.run}",
        "run": places.plan.run,
        "versions": json.dumps(made["versions"]),
        **{f"{a['name']}.options": json.dumps(a["options"]) for a in made["algorithms"]},
    }
    for bound in places.plan.algorithms:
        if bound.algorithm.SELECTS:
            attributes["selection"] = f"{bound.name}.{bound.algorithm.SELECTS}"
    variables = {
        i.variable.name: _facts(i.variable, i.place.section, i.place.path, not i.variable.output)
        for i in places.items
    }
    for name, place in places.coordinates():
        variables[name] = _facts(contents.coordinates[name], place.section, place.path, True)
    return {"attributes": attributes, "variables": variables}


def _facts(what: Any, section: str, path: str, label: bool) -> dict[str, Any]:
    """Return dims, dtype and place of a variable or coordinate."""
    dtype = what.dtype if hasattr(what, "dtype") else what.values.dtype
    facts = {"dims": list(what.dims), "dtype": dtype.str, "attrs": dict(what.attrs)}
    return {**facts, "section": section, "path": path, "label": label}


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a reduction; values are read when they are used.

    Raises
    ------
    DamagedFile
        Now or when values are read, if a file is not as it was written.
    """
    import xarray as xr
    from xarray.core.indexing import LazilyIndexedArray

    folder = Path(path)
    facts = json.loads((folder / MANIFEST).read_text())["exdf"]
    files = [File(folder / f["name"], f["bytes"], f["crc32"]) for f in facts["files"]]
    out: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, one in facts["variables"].items():
        lazy = _lazy()(_Array(files, one["section"], one["path"], np.dtype(one["dtype"])))
        out[one["label"]][name] = xr.Variable(one["dims"], LazilyIndexedArray(lazy), one["attrs"])
    return xr.Dataset(out[False], out[True], facts["attributes"])


class DamagedFile(OSError):
    """A file that is not as it was written; the message names it."""


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
        DamagedFile
        """
        size = self.path.stat().st_size
        if size != self.bytes:
            raise DamagedFile(f"{self.path}: {size} bytes, {self.bytes} were written")
        if self.checked or not (self.bytes <= CHECKED_BYTES if whole is None else whole):
            return
        if (found := _crc32(self.path)) != self.crc32:
            raise DamagedFile(f"{self.path}: checksum {found:08x}, it was {self.crc32:08x} when written")
        self.checked = True


def verify(path: str | Path) -> list[str]:
    """Return what is wrong with the files of a reduction, one line each; reads all of them."""
    folder, problems = Path(path), []
    for fact in json.loads((folder / MANIFEST).read_text())["exdf"]["files"]:
        try:
            File(folder / fact["name"], fact["bytes"], fact["crc32"]).check(whole=True)
        except OSError as e:
            problems.append(str(e))
    return problems


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(2**22):
            crc = zlib.crc32(block, crc)
    return crc


class _Array:
    """A dataset over all files: rows one after the other, or a value of the whole run."""

    def __init__(self, files: Sequence[File], section: str, path: str, dtype: np.dtype) -> None:
        import h5py

        self.files, self.path, self.dtype = files, path, dtype
        self.whole = section == "RUN"
        rows = []
        for file in files[:1] if self.whole else files:
            file.check()
            with h5py.File(file.path, "r") as opened:
                rows.append(opened[path].shape)
        self.starts = list(accumulate((shape[0] for shape in rows), initial=0))
        self.shape = rows[0][1:] if self.whole else (self.starts[-1], *rows[0][1:])

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray:
        """Return values for integers and slices."""
        if self.whole:
            return self._read(0, (0, *key))
        first, rest = key[0], key[1:]
        if isinstance(first, slice):
            parts = [self._read(n, (piece, *rest)) for n, piece in self._pieces(first)]
            return np.concatenate(parts) if parts else self._read(0, (slice(0, 0), *rest))
        number = int(np.searchsorted(self.starts, first, side="right")) - 1
        return self._read(number, (first - self.starts[number], *rest))

    def _pieces(self, rows: slice) -> Iterator[tuple[int, slice]]:
        """Yield the files, and the rows in them, of a slice with a positive step."""
        start, stop, step = rows.indices(self.shape[0])
        for number, (a, b) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            first = max(start, start + -(-(a - start) // step) * step)
            if first < min(stop, b):
                yield number, slice(first - a, min(stop, b) - a, step)

    def _read(self, number: int, key: tuple[Any, ...]) -> NDArray:
        import h5py

        self.files[number].check()
        with h5py.File(self.files[number].path, "r") as opened:
            return np.asarray(opened[self.path][key]).astype(self.dtype)


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
    return bool(list(path.glob("*.h5"))) and os.path.exists(path / MANIFEST)
