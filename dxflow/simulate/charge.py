"""Charge of photons that spreads over neighbouring pixels."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray


def spread(photons: NDArray[np.int64], side: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the charge of each pixel, in photons, (ss, fs).

    Each photon hits its pixel anywhere, and its charge is even over a square around that place: what lies in other
    pixels is theirs, what lies outside of the module is lost.

    Parameters
    ----------
    photons : ndarray, (ss, fs)
        That hit each pixel.
    side : float
        Of the square, pixels, up to 1; 0: all charge stays.
    """
    if not side:
        return photons.astype(np.float64)
    rows, columns = photons.shape
    hit = np.repeat(np.arange(photons.size), photons.reshape(-1))
    parts = []
    for place in random.random((2, len(hit))):
        before, after = (np.maximum(0, side / 2 - x) / side for x in (place, 1 - place))
        parts.append((before, 1 - before - after, after))
    out = np.zeros((rows + 2, columns + 2))
    at = (hit // columns + 1) * (columns + 2) + hit % columns + 1
    for a, b in product(range(3), range(3)):
        to = at + (a - 1) * (columns + 2) + b - 1
        out += np.bincount(to, parts[0][a] * parts[1][b], out.size).reshape(out.shape)
    return out[1:-1, 1:-1]
