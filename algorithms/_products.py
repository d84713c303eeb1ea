"""Sums over pixels of the products of all pairs of frames, module by module: dense by BLAS, sparse by what is not 0.

Both give the same for counts of photons: whole numbers are added exactly, in float32 as long as they are below 2**24,
in float64 beyond. Other numbers are multiplied in float32, `TILE` pixels at a time, whose sums are added in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._blas import blas

TILE = 1024
"""Pixels that are multiplied at once: they and their products stay in the processor's cache."""
DENSE = 0.02
"""Share of pixels that are not 0, above which BLAS is faster."""
EXACT = 2**24
"""Whole numbers up to which float32 has all."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of the regions of a module, one region after the other."""

    order: NDArray
    """Pixels, (rank,)."""
    starts: NDArray
    """Where each region begins in `order`, (region + 1,)."""
    rank: NDArray
    """Where each pixel is in `order`, -1 where it is in no region, (pixel,)."""

    @classmethod
    def of(cls, numbers: NDArray, regions: int) -> Pixels:
        """Sort the pixels of a module by the numbers of their regions."""
        order = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers == 0) :].astype(np.int32)
        rank = np.full(len(numbers), -1, np.int32)
        rank[order] = np.arange(len(order))
        return cls(order, np.searchsorted(numbers[order], np.arange(1, regions + 2)), rank)


class Products:
    """Products of frames, and the memory that they need.

    Parameters
    ----------
    frames : int
        Most frames of a train.
    pixels : int
        Most pixels of regions in a module.
    """

    def __init__(self, frames: int, pixels: int) -> None:
        self._limit = limit(frames, pixels)
        self._tile, self._small = np.empty(frames * TILE, "f4"), np.empty(frames * frames, "f4")
        self._total = np.zeros(frames * frames)
        self._entries, self._values = np.empty((self._limit, 2), np.int32), np.empty(self._limit)
        self._frames, self._sorted = np.empty(self._limit, np.int32), np.empty(self._limit)

    def add(
        self,
        frames: NDArray,
        rows: NDArray,
        at: NDArray,
        pixels: Pixels,
        products: NDArray,
        sums: NDArray,
        counts: NDArray,
    ) -> None:
        """Add what a module has of a train.

        Parameters
        ----------
        frames : ndarray, (frame, pixel)
        rows : ndarray of int, (n,)
            Frames that are there.
        at : ndarray of int, (n,)
            Where they are on the axes of what is added to.
        pixels : Pixels
        products : ndarray of float64, (region, t, t)
        sums : ndarray of float64, (region, t)
            Of the pixels of each frame.
        counts : ndarray of int64, (region, t)
            Pixels that are finite in all frames.
        """
        if not self._sparse(frames, rows, at, pixels, products, sums, counts):
            self._dense(frames, rows, at, pixels, products, sums, counts)

    def _sparse(
        self,
        frames: NDArray,
        rows: NDArray,
        at: NDArray,
        pixels: Pixels,
        products: NDArray,
        sums: NDArray,
        counts: NDArray,
    ) -> bool:
        """Do it by the pixels that are not 0; return whether there are few enough."""
        if (found := self.listed(frames, rows, pixels)) is None:
            return False
        self.paired(*found, at, pixels, products, sums, counts)
        return True

    def listed(self, frames: NDArray, rows: NDArray, pixels: Pixels) -> tuple[int, NDArray] | None:
        """List the pixels that are not 0; return how many, and which are bad, unless there are too many."""
        from ._twotime_kernels import photons

        bits = frames.view(f"u{frames.dtype.itemsize}")
        bad = np.zeros(len(pixels.order), bool)
        few = min(self._limit, limit(len(rows), len(pixels.order)))
        n = photons(frames, bits, rows, pixels.rank, few, self._entries, self._values, bad)
        return None if n < 0 else (n, bad)

    def paired(
        self,
        n: int,
        bad: NDArray,
        at: NDArray,
        pixels: Pixels,
        products: NDArray,
        sums: NDArray,
        counts: NDArray,
    ) -> None:
        """Add the products of what was listed; arguments as of `add`."""
        from ._twotime_kernels import by_pixel, pairs

        starts = np.empty(len(pixels.order) + 1, np.int64)
        by_pixel(self._entries[:n], self._values[:n], bad, starts, self._frames, self._sorted)
        scratch = self._total[: len(at) ** 2].reshape(len(at), -1)
        for q, (first, last) in enumerate(zip(pixels.starts[:-1], pixels.starts[1:], strict=True)):
            pairs(first, last, starts, self._frames, self._sorted, at, scratch, sums[q], products[q])
            counts[q, at] += np.count_nonzero(~bad[first:last])

    def _dense(
        self,
        frames: NDArray,
        rows: NDArray,
        at: NDArray,
        pixels: Pixels,
        products: NDArray,
        sums: NDArray,
        counts: NDArray,
    ) -> None:
        from ._twotime_kernels import add_sums, columns

        n = len(rows)
        total = self._total[: n * n].reshape(n, n)
        for q, (first, last) in enumerate(zip(pixels.starts[:-1], pixels.starts[1:], strict=True)):
            for start in range(first, last, TILE):
                own = pixels.order[start : min(start + TILE, last)]
                tile = self._of(n, len(own), np.result_type(frames.dtype, "f4"))
                counts[q, at] += columns(frames, rows, own, tile)
                add_sums(tile, at, sums[q])
                self.multiply(tile, total)
            if last > first:
                _add(products[q], at, total)
                total[:] = 0

    def _of(self, n: int, k: int, dtype: np.dtype) -> NDArray:
        """Return memory of a tile; integers with 32 bits and float64 need more."""
        if dtype == np.float32:
            return self._tile[: n * k].reshape(n, k)
        return np.empty((n, k), dtype)

    def multiply(self, tile: NDArray, total: NDArray) -> None:
        """Add the products of the rows of a tile."""
        small = self._small[: total.size].reshape(total.shape)
        small = small if tile.dtype == small.dtype else np.empty(total.shape)
        with blas().one_thread():
            # The same matrix twice: BLAS does half of the work. A square that float32 does not hold is no fault.
            with np.errstate(over="ignore"):
                np.matmul(tile, tile.T, out=small)
            most = small.diagonal().max() if small.dtype == np.float32 else 0
            if most == np.inf or (most >= EXACT and (tile == np.rint(tile)).all()):
                tile = tile.astype("f8")
                small = tile @ tile.T
        total += small


def _add(into: NDArray, at: NDArray, total: NDArray) -> None:
    """Add the products of some frames."""
    if len(at) == len(into):
        into += total
    else:
        into[np.ix_(at, at)] += total


def limit(frames: int, pixels: int) -> int:
    """Return how many pixels of a train of a module may be other than 0 for them to be sparse."""
    return int(DENSE * frames * pixels) + 1


def memory(frames: int, pixels: int) -> int:
    """Return the bytes that `Products` keeps, with what it needs meanwhile for the usual data."""
    each = limit(frames, pixels) * (8 + 8 + 4 + 8)
    return frames * TILE * (4 + 8) + frames * frames * (4 + 8 + 8) + each + pixels * 9
