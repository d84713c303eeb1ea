"""How a dataset lies in its file: asked of HDF5 once, so that its bytes can be read without it."""

from __future__ import annotations

import importlib
import importlib.util
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import gate
from .faults import ReadFault
from .gate import Part

if TYPE_CHECKING:
    import h5py

    from .opened import Opened

DEFLATE, SHUFFLE, FLETCHER = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the chunks of a dataset are and what was done to them.

    Parameters
    ----------
    way : {"direct", "decode", "hdf5", "virtual"}
        Bytes as they are; compressed chunks that are decoded here; left to HDF5; or rows of other datasets.
    why : str
        In a few words, for people.
    rows : int
        Of the dataset.
    row_bytes : int
        Bytes of a row, decoded.
    chunk_rows : int
        Rows in a chunk; 0 for a contiguous dataset.
    offsets, sizes, masks : ndarray of int64, (chunk,)
        Position in the file (-1: never written), stored bytes, and filters that were skipped. Where chunks cut rows,
        of those of the same rows: one position (-1: one of them was never written), and the most stored bytes.
    filters : tuple of int
        HDF5 filter ids, in the order they were applied.
    itemsize : int
        Of the values, for unshuffling.
    parts : tuple of Part
        Of a virtual dataset.
    limit : int
        The most bytes that a chunk of this size can take when it is stored.
    """

    way: str
    why: str
    rows: int
    row_bytes: int
    itemsize: int
    chunk_rows: int = 0
    offsets: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    sizes: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    masks: NDArray = field(default_factory=lambda: np.zeros(0, np.int64))
    filters: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    limit: int = 0

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk."""
        return self.chunk_rows * self.row_bytes

    @property
    def nbytes(self) -> int:
        """Bytes that it takes itself, about."""
        return self.offsets.nbytes + self.sizes.nbytes + self.masks.nbytes

    def chunk_of(self, rows: NDArray) -> NDArray:
        """Return the number of the chunk of each row."""
        return rows // self.chunk_rows if self.chunk_rows else np.zeros_like(rows)

    def written(self, rows: NDArray) -> NDArray:
        """Return which rows somebody wrote, (row,) bool."""
        if not len(self.offsets):
            return np.ones(len(rows), bool)
        return np.asarray(self.offsets[self.chunk_of(rows)] >= 0)

    def position(self, rows: NDArray) -> NDArray:
        """Return the position in the file of rows that are stored as they are; -1 where never written."""
        if not self.chunk_rows:
            return np.asarray(self.offsets[0] + rows * self.row_bytes)
        chunk = rows // self.chunk_rows
        base = self.offsets[chunk]
        return np.where(base < 0, -1, base + (rows - chunk * self.chunk_rows) * self.row_bytes)


def layout_of(dataset: h5py.Dataset, path: str, odd_file: str | None = None) -> Layout:
    """Ask HDF5 how a dataset is stored, that was opened through the file at a path, which may be `odd`.

    Raises
    ------
    ReadFault
        If its data lie in files that must not be read, or there is no filter to decode them.
    """
    import h5py

    plist = dataset.id.get_create_plist()
    kind = plist.get_layout()
    base = Layout("hdf5", "", dataset.shape[0], _row_bytes(dataset), dataset.dtype.itemsize)
    if kind == h5py.h5d.VIRTUAL:
        return replace(base, way="virtual", why="rows of other datasets", parts=gate.parts(dataset, path))
    exotic = _exotic(dataset, odd_file)
    if kind == h5py.h5d.CONTIGUOUS:
        return _contiguous(base, dataset, exotic)
    if kind == h5py.h5d.CHUNKED:
        return _chunked(base, dataset, plist, exotic)
    return replace(base, why=exotic or "a compact dataset")


def begins(dataset: Opened, odd_file: str) -> int | None:
    """Return where the bytes of a dataset begin in its file, if they are one stretch as numpy has it in memory."""
    import h5py

    if dataset.kind != h5py.h5d.CONTIGUOUS or _exotic(dataset, odd_file):
        return None
    offset = dataset.id.get_offset()
    return None if offset is None else int(offset)


def parts_of(dataset: Opened, path: str) -> tuple[Part, ...] | None:
    """Return what a virtual dataset is made of, None for another one, as long as it can be read at all.

    Raises
    ------
    ReadFault
        As `layout_of` does.
    """
    import h5py

    if dataset.kind == h5py.h5d.VIRTUAL:
        return gate.parts(dataset, path)
    if dataset.kind == h5py.h5d.CHUNKED:
        _refuse_unknown_filters(dataset, _filters(dataset.plist))
    return None


def _filters(plist: Any) -> tuple[int, ...]:
    """Return the numbers of the filters of a dataset."""
    return tuple(plist.get_filter(i)[0] for i in range(plist.get_nfilters()))


def _row_bytes(dataset: h5py.Dataset) -> int:
    # No more than numpy can count with: a damaged file claims anything.
    return min(math.prod(dataset.shape[1:]) * dataset.dtype.itemsize, 2**60)


def _exotic(dataset: h5py.Dataset, odd_file: str | None) -> str:
    """Return why the bytes of a dataset are not what numpy has in memory, or ""."""
    import h5py

    dtype = dataset.dtype
    if dtype.kind not in "iuf" or not dtype.isnative:
        return f"values of type {dtype}"
    return odd(h5py.h5i.get_file_id(dataset.id)) if odd_file is None else odd_file


def odd(file: h5py.h5f.FileID) -> str:
    """Return why the bytes of a file are not where HDF5 says, or ""."""
    import h5py

    if file.get_create_plist().get_userblock():
        return "a file with a user block"
    driver = file.get_access_plist().get_driver()
    return "" if driver == h5py.h5fd.SEC2 else f"file driver {h5py.File(file).driver}"


def _contiguous(base: Layout, dataset: h5py.Dataset, exotic: str) -> Layout:
    offset = dataset.id.get_offset()
    at = np.array([-1 if offset is None else offset])
    if offset is None:
        # One chunk of all rows that was never written.
        return replace(base, way="direct", why="never written", chunk_rows=max(1, base.rows), offsets=at)
    if exotic:
        return replace(base, why=exotic)
    return replace(base, way="direct", why="contiguous", offsets=at)


def _chunked(base: Layout, dataset: h5py.Dataset, plist: Any, exotic: str) -> Layout:
    """Return the layout of a chunked dataset; only those whose chunks are whole rows are decoded here."""
    filters = _filters(plist)
    _refuse_unknown_filters(dataset, filters)
    way, why = _way(dataset, filters, exotic)
    rows = dataset.chunks[0]
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    offsets, sizes, masks = _chunk_table(dataset, -(-base.rows // rows))
    return replace(
        base,
        way=way,
        why=why,
        chunk_rows=rows,
        offsets=offsets,
        sizes=sizes,
        masks=masks,
        filters=filters,
        # What does not compress becomes a little longer.
        limit=size + size // 8 + 4096,
    )


def _way(dataset: h5py.Dataset, filters: tuple[int, ...], exotic: str) -> tuple[str, str]:
    """Return how a chunked dataset is read, and why."""
    if exotic:
        return "hdf5", exotic
    if dataset.chunks[1:] != dataset.shape[1:]:
        return "hdf5", f"chunks {dataset.chunks} that cut frames"
    if filters not in ((), (DEFLATE,), (SHUFFLE, DEFLATE)):
        return "hdf5", f"filters {filters}"
    if not filters:
        return "direct", "chunked"
    return "decode", "shuffle+deflate" if SHUFFLE in filters else "deflate"


def _refuse_unknown_filters(dataset: h5py.Dataset, filters: tuple[int, ...]) -> None:
    """Raise a fault that names the filter and the package to install, if HDF5 cannot undo it."""
    import h5py

    if all(h5py.h5z.filter_avail(code) for code in filters):
        return
    # Importing it makes its filters known to HDF5.
    if importlib.util.find_spec("hdf5plugin") is not None:
        importlib.import_module("hdf5plugin")
    missing = [code for code in filters if not h5py.h5z.filter_avail(code)]
    if missing:
        detail = f"compressed with HDF5 filter {missing[0]}, which is not installed: pip install hdf5plugin"
        raise ReadFault(dataset.file.filename, dataset.name, 0, len(dataset), detail)


def _chunk_table(dataset: h5py.Dataset, count: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return position, stored size and skipped filters of each chunk, or of those of the same rows, (chunk,)."""
    table = np.full((3, count), -1, np.int64)
    rows, found = dataset.chunks[0], np.zeros(count, np.int64)

    def note(info: h5py.h5d.StoreInfo) -> None:
        number = info.chunk_offset[0] // rows
        # In a damaged file, there may be chunks where the dataset has no rows.
        if number < count:
            found[number] += 1
            table[:, number] = info.byte_offset, max(info.size, table[1, number]), info.filter_mask

    if count:
        dataset.id.chunk_iter(note)
    wanted = math.prod(-(-n // c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True))
    table[0, found < wanted] = -1
    return table[0], table[1], table[2]
