"""Stretches of neighbours that belong together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stretches(joined: NDArray, n: int) -> list[tuple[int, int]]:
    """Return (start, stop) of stretches of n items, given which neighbours belong together, (n - 1,) bool."""
    if n == 0:
        return []
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), n]
    return list(zip(edges[:-1], edges[1:], strict=True))
