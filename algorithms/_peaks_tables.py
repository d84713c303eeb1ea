"""Tables of `peaks`: rings of pixels around the beam, panels, and the arrays that a search works in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dxflow import geometry

if TYPE_CHECKING:
    from ._peaks_background import Rings
    from ._peaks_kernels import Panels

ROOM = 1024
"""Peaks of a frame for which there is room at first."""


def radii(points: NDArray) -> NDArray:
    """Return the distance of each pixel from the beam in pixels, float32, (module, ss, fs)."""
    return (np.hypot(points[..., 0], points[..., 1]) / geometry.pitch(points)).astype("f4")


def panels(points: NDArray, size: tuple[int, int] | None) -> Panels:
    """Return panels of a size, or as the geometry has them."""
    from ._peaks_kernels import Panels

    edges = [
        np.array(
            geometry.edges(points, axis)
            if size is None
            else [*range(0, points.shape[axis], size[axis - 1]), points.shape[axis]]
        )
        for axis in (1, 2)
    ]
    return Panels(*edges, *(np.repeat(np.arange(len(e) - 1), np.diff(e)) for e in edges))


def rings(radius: NDArray, used: NDArray) -> Rings:
    """Return the rings of pixels that are used: those whose radius is nearest to the same whole number.

    Rings of about as many pixels are side by side, so that few places are left over.
    """
    from ._peaks_background import LANES, Rings

    flat, good = radius.reshape(-1), np.flatnonzero(used.reshape(-1))
    _, ring, count = np.unique(np.rint(flat[good]), return_inverse=True, return_counts=True)
    by_size = np.argsort(-count, kind="stable")
    ring, count = np.argsort(by_size)[ring], count[by_size]
    longest = np.maximum.reduceat(count, range(0, len(count), LANES))
    groups = np.concatenate([[0], np.cumsum(longest)])
    order = np.full((groups[-1], LANES), flat.size, np.int32)
    along = np.argsort(ring, kind="stable")
    row = np.arange(len(ring)) - np.repeat(np.cumsum(count) - count, count)
    order[groups[ring[along] // LANES] + row, ring[along] % LANES] = good[along]
    lanes = len(longest) * LANES
    of = np.full(flat.size, lanes, np.int32)
    of[good] = ring
    limit = np.full(lanes + 1, -np.inf, np.float32)
    return Rings(of, order.reshape(-1), groups, np.zeros(lanes + 1, np.float32), limit)


def in_order(above: NDArray, panels: Panels) -> NDArray:
    """Return pixels panel by panel, in a panel row by row."""
    shape = len(panels.of_ss), len(panels.of_fs)
    module, pixel = np.divmod(above, shape[0] * shape[1])
    ss, fs = np.divmod(pixel, shape[1])
    return above[np.lexsort((fs, ss, panels.of_fs[fs], panels.of_ss[ss], module))]


class Setting(NamedTuple):
    """What peaks are looked for: SNR and threshold, fewest and most pixels, radius of the background, if they touch."""

    snr: np.float32
    threshold: np.float32
    fewest: int
    most: int
    radius: int
    touching: bool

    @property
    def wanted(self) -> tuple[np.float32, int, int, int, bool]:
        """What decides of a candidate."""
        return self.snr, self.fewest, self.most, self.radius, self.touching


class Kept:
    """What is made when it is first used: of instances that are served together, one has it for all."""

    def __init__(self, make: Callable[[], Search]) -> None:
        self._make = make

    @cached_property
    def search(self) -> Search:
        """Tables, and arrays to work in."""
        return self._make()


class Search:
    """Finds the peaks of a frame, in arrays that are used again and again.

    Parameters
    ----------
    rings, panels
    """

    def __init__(self, rings: Rings, panels: Panels) -> None:
        from ._peaks_kernels import COLUMNS

        size = len(rings.of)
        self.pixels = np.full(size + 1, np.nan, np.float32)
        """The frame, (pixel + 1,): NaN where there is nothing, and in the end."""
        self._rings, self._panels = rings, panels
        self._state, self._above = np.zeros(size, np.uint8), np.empty(size, np.int32)
        self._queue = np.zeros((3, size + 1), np.int32)
        self._out = np.empty((ROOM, COLUMNS), np.float32)

    def peaks(self, setting: Setting) -> NDArray:
        """Return the peaks of the frame in `pixels`, (peak, column), module as its position."""
        from ._peaks_background import background

        n = background(self.pixels, self._rings, setting.snr, setting.threshold, self._state, self._above)
        return self._measured(in_order(self._above[:n], self._panels), self._rings, setting)

    def each(self, settings: Sequence[Setting]) -> Iterator[NDArray]:
        """Yield the peaks of the frame by each setting; those with the same background share it."""
        from ._peaks_background import ABOVE, backgrounds

        known = list(dict.fromkeys((s.snr, s.threshold) for s in settings))
        offsets, limits = np.zeros((2, len(known), len(self._rings.limit)), np.float32)
        limits[:, -1] = -np.inf
        snrs, thresholds = np.array(known, np.float32).T.copy()
        n = backgrounds(self.pixels, self._rings, snrs, thresholds, offsets, limits, self._state, self._above)
        above = in_order(self._above[:n], self._panels)
        self._state[above] = 0
        values, ring = self.pixels[above], self._rings.of[above]
        for setting in settings:
            k = known.index((setting.snr, setting.threshold))
            seeds = above[values > limits[k, ring]]
            self._state[seeds] = ABOVE
            yield self._measured(seeds, self._rings._replace(offset=offsets[k], limit=limits[k]), setting)

    def _measured(self, seeds: NDArray, rings: Rings, setting: Setting) -> NDArray:
        """Return the peaks of pixels above their limit, panel by panel, which are marked."""
        from ._peaks_background import ABOVE
        from ._peaks_kernels import peaks

        where, rest = (self.pixels, rings, self._state, seeds, self._panels), (setting.wanted, self._queue)
        while (found := peaks(*where, *rest, self._out)) > len(self._out):
            self._out = np.empty((2 * found, self._out.shape[1]), np.float32)
            self._state[seeds] = ABOVE
        self._state[seeds] = 0
        return self._out[:found].copy()
