"""Light in dark runs: frames with more pixels far above the offset than below, as noise and common mode make none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BRIGHT = 0.01
"""Share of the pixels by which the bright ones of a lit frame exceed the dim ones."""
CHANCE = 5.0
"""Standard deviations of chance that they exceed them by."""
SKEW = 3.0
"""Bright pixels of all frames for each dim one, from which on there is light in them: noise makes as many of both."""
ALL = 3.0
"""Standard errors over frames by which the bright pixels then exceed the dim ones."""


def light(bright: NDArray, dim: NDArray, pixels: int, cells: NDArray) -> float:
    """Return the share of frames with light.

    Parameters
    ----------
    bright, dim : ndarray of int, (frame,)
        Pixels far above and far below the offset.
    pixels : int
        Of a frame.
    cells : ndarray of int, (frame,)
        Memory cell.
    """
    excess, both = bright - dim, bright + dim
    enough = np.maximum(np.maximum(BRIGHT * pixels, CHANCE * np.sqrt(both)), 1)
    # Common mode moves frames up as often as down: light only up.
    up, down = (excess >= enough).sum(), (-excess >= enough).sum()
    alone = up - down if up - down > 3 * np.sqrt(down) else 0
    where = [(cells == cell) for cell in np.unique(cells)]
    together = sum(int(own.sum()) for own in where if _skewed(bright[own], dim[own]))
    if _skewed(bright, dim):
        together = len(bright)
    return float(max(alone, together)) / max(len(bright), 1)


def _skewed(bright: NDArray, dim: NDArray) -> bool:
    """Return whether frames have more bright than dim pixels, all of them, as light makes it and noise does not."""
    excess = (bright - dim).astype("f8")
    return bright.sum() > SKEW * dim.sum() and excess.sum() > ALL * np.sqrt((excess**2).sum())
