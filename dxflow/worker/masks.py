"""Bad pixels: masks applied to frames while they are in the cache."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..planning.memory import CACHE_BYTES
from ..reader.faults import runs
from ..reader.pieces import Decoded

if TYPE_CHECKING:
    from ..reader.pieces import Piece
    from ..run.masks import BoundMask

SLOT = 200
"""Bytes that a dictionary has for an entry, as it grows."""


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

    def strike(self, frame: int | slice, bad: NDArray) -> None:
        """Strike out pixels of one frame or of some, given by their positions, (bad pixel,)."""
        if self.fill is not None:
            self.values.reshape(len(self.values), -1)[frame, bad] = self.fill
        if self.valid is not None:
            self.valid.reshape(len(self.valid), -1)[frame, bad] = False

    def strike_where(self, bad: NDArray) -> None:
        """Strike out the pixels where `bad`, (frame, ss, fs) bool."""
        if self.fill is not None:
            self.values[bad] = self.fill
        if self.valid is not None:
            self.valid[bad] = False


class Masks:
    """Applies masks; those that come again are decoded once.

    A compressed mask is known by its bytes, and kept as the positions of its bad pixels: few numbers instead of
    a frame. When the cache is full, new masks are decoded each time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, NDArray] = {}
        self._room = CACHE_BYTES

    def apply(self, piece: Piece, start: int, stop: int, pixels: Pixels, dtype: np.dtype, bits: int) -> None:
        """Strike out pixels where the mask of their frame has one of these bits.

        Parameters
        ----------
        piece : Piece
            Of the mask; frames start:stop of it belong to `pixels`.
        dtype : dtype
            Of the mask.

        Raises
        ------
        ReadFault
            If the mask cannot be read.
        """
        shape = pixels.values.shape
        if isinstance(piece, Decoded) and piece.target.layout.chunk_rows == 1:
            self._apply_decoded(piece, start, stop, pixels, dtype, bits)
            return
        mask = np.empty(shape, dtype)
        piece.read(start, stop, mask)
        pixels.strike_where(_has(mask, bits))

    def _apply_decoded(
        self, piece: Decoded, start: int, stop: int, pixels: Pixels, dtype: np.dtype, bits: int
    ) -> None:
        """Strike out pixels by masks of which equal ones have equal bytes; neighbours that are equal, at once."""
        shape, t = pixels.values.shape[1:], piece.target
        # A chunk may hold several frames, and only a region of each may be read.
        how = (bits, dtype.str, t.stored, repr((t.band, t.columns)))
        places = (piece.lines[start:stop] % t.per_entry).tolist()
        masks = list(zip(places, piece.stored(start, stop), strict=True))
        same = np.array([one == next_ for one, next_ in pairwise(masks)], bool)
        for a, b in runs(same, len(masks)):
            bad = self._bad_pixels(piece, start + a, (*how, *masks[a]), shape, dtype, bits)
            if len(bad):
                pixels.strike(a if b == a + 1 else slice(a, b), bad)

    def apply_static(self, mask: BoundMask, module: int, cells: NDArray | None, pixels: Pixels) -> None:
        """Strike out pixels that are bad in all frames, or in those of their memory cell, (frame,)."""
        shape = pixels.values.shape[1:]
        if cells is None or mask.cells is None:
            pixels.strike(slice(None), self._static(mask, module, 0, shape))
            return
        for frame, cell in enumerate(np.searchsorted(mask.cells, cells).tolist()):
            pixels.strike(frame, self._static(mask, module, cell, shape))

    def _static(self, mask: BoundMask, module: int, cell: int, shape: tuple[int, ...]) -> NDArray:
        """Return the positions of the bad pixels of a module and memory cell, (bad pixel,)."""
        key = (mask.digest, module, cell)
        if key not in self._known and mask.packed is not None:
            bits = np.unpackbits(mask.packed[module, cell], count=int(np.prod(shape)))
            return self._kept(key, np.flatnonzero(bits))
        return self._known[key]

    def _bad_pixels(
        self, piece: Decoded, frame: int, key: tuple, shape: tuple[int, ...], dtype: np.dtype, bits: int
    ) -> NDArray:
        """Return the positions of the bad pixels of a frame, (bad pixel,), whose mask is known by a key."""
        bad = self._known.get(key)
        if bad is None:
            mask = np.empty((1, *shape), dtype)
            piece.read(frame, frame + 1, mask)
            bad = self._kept(key, np.flatnonzero(_has(mask, bits)))
        return bad

    def _kept(self, key: tuple, positions: NDArray) -> NDArray:
        """Return positions as they are kept, as long as there is room."""
        bad = positions.astype(np.int32)
        size = SLOT + sys.getsizeof(key) + sum(map(sys.getsizeof, key)) + sys.getsizeof(bad)
        if size < self._room:
            self._room -= size
            self._known[key] = bad
        return bad


def _has(mask: NDArray, bits: int) -> NDArray:
    """Return where a mask has one of these bits; unsigned, so that the sign bit is one too."""
    unsigned = mask.view(mask.dtype.str.replace("i", "u"))
    return (unsigned & unsigned.dtype.type(bits)) != 0
