"""Peaks of serial crystallography with OM's peakfinder8, frame after frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import geometry
from dxflow.bench.rounds import Cannot


def finder(positions: NDArray, snr: float) -> Callable[[NDArray], Any]:
    """Return a function that finds the peaks of a frame, (module, ss, fs), with the panels of the geometry.

    Raises
    ------
    Cannot
        Without OM.
    """
    try:
        from om.algorithms._crystallography import peakfinder_8
    except ImportError:
        raise Cannot("OM is not installed: pip install ondamonitor (Python 3.11)") from None
    modules, rows, columns, _ = positions.shape
    radius = np.hypot(positions[..., 0], positions[..., 1]) / geometry.pitch(positions)
    stacked = radius.reshape(-1, columns).astype("f4")
    ss, fs = (geometry.edges(positions, axis)[1] for axis in (1, 2))
    panels = fs, ss, columns // fs, modules * rows // ss

    def find(frame: NDArray) -> Any:
        image = frame.reshape(-1, columns)
        good = np.isfinite(image).view("i1")
        return peakfinder_8(2048, image, good, stacked, 0, None, None, 0, *panels, 0.0, snr, 2, 200, 3)

    return find
