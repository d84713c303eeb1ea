"""Bad pixels: masks applied to frames while they are in the cache."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..planning.memory import CACHE_BYTES
from ..reader.decode import SMALL
from ..reader.ring import ROOM, paged, view
from ..reader.stretches import stretches
from ..reader.ways import Decoded, Direct

if TYPE_CHECKING:
    from ..reader.ways import Extent
    from ..run.masks import BoundMask

SLOT = 200
"""Bytes that a dictionary has for an entry, as it grows."""
AT_ONCE = 2**20
"""Bytes of masks that are read at once where they lie as they are: few, so that they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Frames that were just read, (frame, ss, fs), and which of their pixels are valid where that is kept.

    `fill` is what a bad pixel becomes; None leaves it as it is.
    """

    values: NDArray
    valid: NDArray | None
    fill: Any

    @classmethod
    def of(cls, mask: BoundMask | None, out: NDArray, valid: NDArray | None, part: slice) -> Pixels:
        """Return some of the frames that a mask is for, all pixels valid so far."""
        if valid is not None:
            valid = valid[part]
            valid[...] = True
        return cls(out[part], valid, mask.fill if mask else None)

    def part(self, start: int, stop: int) -> Pixels:
        """Return some of the frames."""
        return Pixels(
            self.values[start:stop], None if self.valid is None else self.valid[start:stop], self.fill
        )

    def strike(self, frames: slice, bad: NDArray) -> None:
        """Strike out pixels of some frames, given by their positions in a frame, (bad pixel,)."""
        if self.fill is not None:
            _put(self.values, frames, bad, self.fill)
        if self.valid is not None:
            _put(self.valid, frames, bad, False)

    def strike_where(self, mask: NDArray, bits: int) -> None:
        """Strike out pixels where a mask, (frame, ss, fs), has one of these bits."""
        if self.fill is not None:
            _put_where(self.values, mask, bits, self.fill)
        if self.valid is not None:
            _put_where(self.valid, mask, bits, False)


class Masks:
    """Applies masks; those that come again are decoded once.

    A compressed mask is known by its bytes, and kept as the positions of its bad pixels: few numbers instead of
    a frame. When the cache is full, new masks are decoded each time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, NDArray] = {}
        self._room = CACHE_BYTES

    def apply(
        self, extent: Extent, start: int, stop: int, pixels: Pixels, dtype: np.dtype, bits: int
    ) -> None:
        """Strike out pixels where the mask of their frame has one of these bits.

        Parameters
        ----------
        extent : Extent
            Of the mask; frames start:stop of it belong to `pixels`.
        dtype : dtype
            Of the mask.

        Raises
        ------
        ReadFault
            If the mask cannot be read.
        """
        if isinstance(extent, Decoded) and extent.target.layout.chunk_rows == 1:
            self._apply_decoded(extent, start, stop, pixels, dtype, bits)
            return
        shape, n, begins = pixels.values.shape[1:], stop - start, None
        size = math.prod(shape) * dtype.itemsize
        if isinstance(extent, Direct):
            n, begins = min(n, max(1, AT_ONCE // size)), extent.begins(start)
        mask, _ = view(paged(n * size + ROOM), (n, *shape), dtype, 0, begins)
        for first in range(start, stop, n):
            part = mask[: stop - first]
            extent.read(first, first + len(part), part)
            pixels.part(first - start, first - start + len(part)).strike_where(part, bits)

    def _apply_decoded(
        self, extent: Decoded, start: int, stop: int, pixels: Pixels, dtype: np.dtype, bits: int
    ) -> None:
        """Strike out pixels by masks of which equal ones have equal bytes; neighbours that are equal, at once."""
        shape, t = pixels.values.shape[1:], extent.target
        # A chunk may hold several frames, and only a region of each may be read.
        how = (bits, dtype.str, t.layout.filters, t.stored, repr((t.band, t.columns)))
        chunks, places = divmod(extent.lines[start:stop], t.per_entry)
        skipped = t.layout.masks[chunks].tolist()
        masks = list(zip(places.tolist(), skipped, extent.stored(start, stop), strict=True))
        same = np.array([one == next_ for one, next_ in pairwise(masks)], bool)
        for a, b in stretches(same, len(masks)):
            bad = self._known.get(key := (*how, *masks[a]))
            if bad is None:
                bad = self._kept(key, _decoded(extent, start + a, masks[a][-1], shape, dtype, bits))
            if len(bad):
                pixels.strike(slice(a, b), bad)

    def apply_static(self, mask: BoundMask, module: int, cells: NDArray | None, pixels: Pixels) -> None:
        """Strike out pixels that are bad in all frames, or in those of their memory cell, (frame,)."""
        width = pixels.values.shape[-1]
        if cells is None or mask.cells is None:
            pixels.strike(slice(None), self._in_strip(mask, module, 0, width))
            return
        for frame, cell in enumerate(np.searchsorted(mask.cells, cells).tolist()):
            pixels.strike(slice(frame, frame + 1), self._in_strip(mask, module, cell, width))

    def _in_strip(self, mask: BoundMask, module: int, cell: int, width: int) -> NDArray:
        """Return the positions of the bad pixels in the slow-scan rows that are read, (bad pixel,)."""
        bad = self._static(mask, module, cell)
        if mask.strip is None:
            return bad
        first, last = mask.strip.start * width, mask.strip.stop * width
        return bad[slice(*np.searchsorted(bad, [first, last]))] - first

    def _static(self, mask: BoundMask, module: int, cell: int) -> NDArray:
        """Return the positions of the bad pixels of a module and memory cell, (bad pixel,)."""
        key = (mask.digest, module, cell)
        if key not in self._known and mask.packed is not None:
            # The last byte is filled up with good ones.
            return self._kept(key, np.flatnonzero(np.unpackbits(mask.packed[module, cell])))
        return self._known[key]

    def _kept(self, key: tuple, positions: NDArray) -> NDArray:
        """Return positions as they are kept, as long as there is room."""
        bad = positions.astype(np.int32)
        size = SLOT + sys.getsizeof(key) + sum(map(sys.getsizeof, key)) + sys.getsizeof(bad)
        if size < self._room:
            self._room -= size
            self._known[key] = bad
        return bad


def _decoded(
    extent: Decoded, frame: int, stored: bytes, shape: tuple[int, ...], dtype: np.dtype, bits: int
) -> NDArray:
    """Return the positions of the bad pixels of a frame, (bad pixel,), of whose mask the stored bytes are known."""
    if extent.target.columns is None:
        return _find(extent.planes(frame, stored), bits)
    mask = np.empty((1, *shape), dtype)
    extent.read(frame, frame + 1, mask)
    return _find(_unsigned(mask)[None], bits)


def _unsigned(array: NDArray) -> NDArray:
    """Return values as unsigned ones of their size, so that a sign bit is one too, (value,)."""
    return np.reshape(array, -1, copy=False).view(f"u{array.itemsize}")


def _find(planes: NDArray, bits: int) -> NDArray:
    """Return where values, or all their bytes, (part of a value, value), have one of these bits: positions."""
    wanted = _split(bits, len(planes), planes.itemsize)
    if planes.nbytes <= SMALL:
        return np.flatnonzero((planes & wanted[:, None]).any(axis=0))
    from ..reader import kernels

    return kernels.find(planes, wanted)


@cache
def _split(bits: int, parts: int, itemsize: int) -> NDArray:
    """Return the bits of each part of a value, from the lowest, (part,)."""
    width = 8 * itemsize
    return np.array([bits >> width * part & 2**width - 1 for part in range(parts)], f"u{itemsize}")


def _put(array: NDArray, frames: slice, positions: NDArray, value: Any) -> None:
    """Set values of some frames (frame, ...) at positions in each."""
    rows = np.reshape(array, (len(array), -1), copy=False)[frames]
    if rows.nbytes <= SMALL or array.itemsize > 8:
        rows[:, positions] = value
        return
    from ..reader import kernels

    kernels.put(rows.view(f"u{array.itemsize}"), positions, _unsigned(np.array(value, array.dtype))[0])


def _put_where(array: NDArray, mask: NDArray, bits: int, value: Any) -> None:
    """Set values where a mask has one of some bits."""
    of = _unsigned(mask)
    if mask.nbytes <= SMALL or array.itemsize > 8:
        np.reshape(array, -1, copy=False)[of & of.dtype.type(bits) != 0] = value
        return
    from ..reader import kernels

    kernels.strike(_unsigned(array), of, of.dtype.type(bits), _unsigned(np.array(value, array.dtype))[0])
