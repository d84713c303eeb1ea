"""Read frames through h5py, into buffers that exist."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from . import ReadFault, Span

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

    from ..locate import Location

OPEN_FILES = 64


class H5Reader:
    """Reads spans with ``Dataset.read_direct``; keeps the files it used last open.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, h5py.File] = OrderedDict()
        self._datasets: dict[tuple[str, str], h5py.Dataset] = {}

    def read(self, location: Location, span: Span, out: NDArray) -> None:
        """Fill ``out`` (frame, ...) with the frames of a span, or raise `ReadFault`."""
        try:
            dataset = self._dataset(span.file, span.dataset)
            for source, part in _selections(location, span):
                target = out[part]
                if target.ndim != dataset.ndim - _dropped(source):
                    target = target.reshape(-1, *dataset.shape[1:])
                dataset.read_direct(target, source)
        # h5py raises OSError, KeyError, ValueError, TypeError for what is wrong with a file.
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as e:
            raise ReadFault(
                span.file, span.dataset, span.first, span.count, f"{type(e).__name__}: {e}"
            ) from e

    def _dataset(self, file: str, path: str) -> h5py.Dataset:
        """Return an open dataset; the file is opened if it is not."""
        if file in self._files:
            self._files.move_to_end(file)
        else:
            self._open(file)
        if (file, path) not in self._datasets:
            self._datasets[file, path] = self._files[file][path]
        return self._datasets[file, path]

    def _open(self, file: str) -> None:
        """Open one more file, closing the one not used for longest if there are many."""
        import h5py

        self._files[file] = h5py.File(file, "r")
        if len(self._files) > OPEN_FILES:
            old, handle = self._files.popitem(last=False)
            for key in [k for k in self._datasets if k[0] == old]:
                del self._datasets[key]
            handle.close()

    def close(self) -> None:
        """Close all files."""
        self._datasets.clear()
        while self._files:
            self._files.popitem()[1].close()


def _dropped(source: tuple) -> int:
    """Return how many axes a selection drops."""
    return sum(isinstance(s, int) for s in source)


def _selections(location: Location, span: Span) -> list[tuple[tuple, slice]]:
    """Return (selection in the dataset, part of the output) pairs that make up a span."""
    first, stop = span.first, span.first + span.count
    if location.plane is not None:
        return [((slice(first, stop), location.plane), slice(0, span.count))]
    each = location.per_entry
    if each == 1:
        return [((slice(first, stop),), slice(0, span.count))]
    # Rows hold several frames: a broken first row, whole rows, a broken last row.
    edges = sorted(
        {first, stop, *(e for e in (-(-first // each) * each, stop // each * each) if first < e < stop)}
    )
    return [_rows(a, b, each, first) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _rows(start: int, stop: int, each: int, first: int) -> tuple[tuple, slice]:
    """Return the selection of frames start:stop, which are whole rows or within one."""
    part = slice(start - first, stop - first)
    if start % each == 0 and stop % each == 0:
        return (np.s_[start // each : stop // each],), part
    row = start // each
    return (row, slice(start - row * each, stop - row * each)), part
