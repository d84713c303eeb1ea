"""How a dataset lies in its file: asked of HDF5 once, so that its bytes can be read without it."""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import ReadFault

if TYPE_CHECKING:
    import h5py

DEFLATE, SHUFFLE = 1, 2
LARGEST_CHUNK = 2**30
"""A compressed chunk that claims to be larger is refused: a few bytes in a file must not fill the memory."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the chunks of a dataset are and what was done to them.

    Parameters
    ----------
    way : {"direct", "decode", "hdf5"}
        Bytes as they are; compressed chunks that are decoded here; or left to HDF5.
    why : str
        In a few words, for people.
    rows : int
        Of the dataset.
    row_bytes : int
        Bytes of a row, decoded.
    chunk_rows : int
        Rows in a chunk; 0 for a contiguous dataset.
    offsets, sizes, masks : ndarray of int64, (chunk,)
        Position in the file (-1: never written), stored bytes, and filters that were skipped.
    filters : tuple of int
        HDF5 filter ids, in the order they were applied.
    itemsize : int
        Of the values, for unshuffling.
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

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk."""
        return self.chunk_rows * self.row_bytes

    def chunk_of(self, rows: NDArray) -> NDArray:
        """Return the number of the chunk of each row."""
        return rows // self.chunk_rows if self.chunk_rows else np.zeros_like(rows)

    def position(self, rows: NDArray) -> NDArray:
        """Return the position in the file of rows that are stored as they are; -1 where never written."""
        if not self.chunk_rows:
            return np.asarray(self.offsets[0] + rows * self.row_bytes)
        chunk = rows // self.chunk_rows
        base = self.offsets[chunk]
        return np.where(base < 0, -1, base + (rows - chunk * self.chunk_rows) * self.row_bytes)


def layout_of(dataset: h5py.Dataset, path: str) -> Layout:
    """Ask HDF5 how a dataset is stored, that was opened through the file at a path.

    Raises
    ------
    ReadFault
        If its data lie in another file by external storage: a file could name any other to be read.
    """
    import h5py

    plist = dataset.id.get_create_plist()
    if plist.get_external_count():
        raise ReadFault(dataset.file.filename, dataset.name, 0, len(dataset), "external storage is refused")
    base = Layout("hdf5", "", dataset.shape[0], _row_bytes(dataset), dataset.dtype.itemsize)
    if why := _exotic(dataset, path):
        return _hdf5(base, why)
    kind = plist.get_layout()
    if kind == h5py.h5d.CONTIGUOUS:
        return _contiguous(base, dataset)
    if kind == h5py.h5d.CHUNKED:
        return _chunked(base, dataset, plist)
    return _hdf5(
        base, {h5py.h5d.VIRTUAL: "a virtual dataset", h5py.h5d.COMPACT: "a compact dataset"}.get(kind, "")
    )


def _row_bytes(dataset: h5py.Dataset) -> int:
    return int(np.prod(dataset.shape[1:], dtype=np.int64)) * dataset.dtype.itemsize


def _hdf5(base: Layout, why: str) -> Layout:
    return Layout("hdf5", why, base.rows, base.row_bytes, base.itemsize)


def _exotic(dataset: h5py.Dataset, path: str) -> str:
    """Return why the bytes of a dataset are not what numpy has in memory, or ""."""
    if dataset.dtype.kind not in "iuf" or not dataset.dtype.isnative:
        return f"values of type {dataset.dtype}"
    if os.path.realpath(dataset.file.filename) != os.path.realpath(path):
        return "a link to another file"
    if dataset.file.userblock_size:
        return "a file with a user block"
    return "" if dataset.file.driver == "sec2" else f"file driver {dataset.file.driver}"


def _contiguous(base: Layout, dataset: h5py.Dataset) -> Layout:
    offset = dataset.id.get_offset()
    at = np.array([-1 if offset is None else offset])
    if offset is None:
        # One chunk of all rows that was never written.
        return Layout(
            "direct", "never written", base.rows, base.row_bytes, base.itemsize, max(1, base.rows), at
        )
    return Layout("direct", "contiguous", base.rows, base.row_bytes, base.itemsize, 0, at)


def _chunked(base: Layout, dataset: h5py.Dataset, plist: object) -> Layout:
    """Return the layout of a chunked dataset whose chunks are whole rows."""
    filters = tuple(plist.get_filter(i)[0] for i in range(plist.get_nfilters()))  # type: ignore[attr-defined]
    if dataset.chunks[1:] != dataset.shape[1:]:
        return _hdf5(base, f"chunks {dataset.chunks} that cut frames")
    if filters not in ((), (DEFLATE,), (SHUFFLE, DEFLATE)):
        _refuse_unknown_filters(dataset, filters)
        return _hdf5(base, f"filters {filters}")
    rows = dataset.chunks[0]
    if rows * base.row_bytes > LARGEST_CHUNK:
        raise ReadFault(
            dataset.file.filename,
            dataset.name,
            0,
            base.rows,
            f"chunks of {rows * base.row_bytes} bytes are refused",
        )
    offsets, sizes, masks = _chunk_table(dataset, -(-base.rows // rows))
    way = (
        ("decode", "shuffle+deflate" if SHUFFLE in filters else "deflate")
        if filters
        else ("direct", "chunked")
    )
    return Layout(*way, base.rows, base.row_bytes, base.itemsize, rows, offsets, sizes, masks, filters)


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
    """Return position, stored size and skipped filters of each chunk, (chunk,)."""
    table = np.full((3, count), -1, np.int64)
    rows = dataset.chunks[0]

    def note(info: h5py.h5d.StoreInfo) -> None:
        table[:, info.chunk_offset[0] // rows] = info.byte_offset, info.size, info.filter_mask

    if count:
        dataset.id.chunk_iter(note)
    return table[0], table[1], table[2]
