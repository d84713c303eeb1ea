"""Bad pixels: mask bits applied to frames while they are in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .pieces import Decoded

if TYPE_CHECKING:
    from .pieces import Piece

CACHE_BYTES = 32 * 2**20


class Masks:
    """Applies masks; those that come again are decoded once.

    A compressed mask is known by its bytes, and kept as the positions of its bad pixels: few numbers instead of
    a frame. When the cache is full, new masks are decoded each time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, NDArray] = {}
        self._room = CACHE_BYTES

    def apply(
        self, piece: Piece, start: int, stop: int, out: NDArray, dtype: np.dtype, bits: int, fill: Any
    ) -> None:
        """Set pixels of ``out`` (frame, ss, fs) to `fill` where the mask of that frame has one of these bits.

        Parameters
        ----------
        piece : Piece
            Of the mask; frames start:stop of it belong to `out`.
        dtype : dtype
            Of the mask.

        Raises
        ------
        ReadFault
            If the mask cannot be read.
        """
        if isinstance(piece, Decoded) and piece.target.layout.chunk_rows == 1:
            for frame, one in zip(range(start, stop), out, strict=True):
                one.reshape(-1)[self._bad_pixels(piece, frame, one.shape, dtype, bits)] = fill
            return
        mask = np.empty(out.shape, dtype)
        piece.read(start, stop, mask)
        out[_bad(mask, bits)] = fill

    def _bad_pixels(
        self, piece: Decoded, frame: int, shape: tuple[int, ...], dtype: np.dtype, bits: int
    ) -> NDArray:
        """Return the positions of the bad pixels of a frame, (bad pixel,)."""
        stored, target = piece.stored(frame), piece.target
        # The same bytes have other bad pixels in another region, and with other bits.
        key = (bits, shape, target.band.start, target.columns and target.columns.start, str(dtype), stored)
        bad = self._known.get(key)
        if bad is None:
            mask = np.empty((1, *shape), dtype)
            piece.read(frame, frame + 1, mask)
            bad = np.flatnonzero(_bad(mask, bits)).astype(np.int32)
            if bad.nbytes + len(stored) < self._room:
                self._room -= bad.nbytes + len(stored)
                self._known[key] = bad
        return bad


def _bad(mask: NDArray, bits: int) -> NDArray:
    """Return where a mask has one of some bits; those of signed values, too."""
    unsigned = mask.view(f"u{mask.dtype.itemsize}")
    return np.asarray((unsigned & unsigned.dtype.type(bits)) != 0)
