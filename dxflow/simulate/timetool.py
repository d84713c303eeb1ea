"""Time tool: a spectrum that is darker on one side of where the X-rays came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .seeds import Stream, generator


@dataclass(frozen=True)
class TimeTool:
    """A line camera that sees a laser pulse, dimmed from the pixel on at which the X-rays came; uint16, one per train.

    The spectrum is a Gaussian of the pixel over a third of the camera. Trains without X-rays have no edge.
    """

    pixels: int = 512
    centre: float = 256.0
    """Pixel of the edge on average."""
    jitter: float = 25.0
    """Standard deviation of the edge from train to train, pixels."""
    width: float = 4.0
    """The dimming is ``depth / (1 + exp(-(pixel - edge) / width))``, pixels."""
    depth: float = 0.25
    """Share of light that is lost behind the edge."""
    counts: float = 8000.0
    """ADU where the spectrum is brightest; with `spread` it varies from train to train."""
    spread: float = 0.1
    """Standard deviation of the brightness, as a share."""
    noise: float = 20.0
    """Standard deviation of each pixel, ADU."""

    def edges(self, seed: int, train_ids: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return where the edge of each train is, pixels, (train,)."""
        off = [generator(seed, Stream.TIMETOOL, int(tid)).standard_normal() for tid in train_ids]
        return self.centre + self.jitter * np.array(off).reshape(-1)

    def line(self, seed: int, train_id: int, edge: float) -> NDArray[np.uint16]:
        """Return the pixels of a train with this edge; NaN: without one."""
        random = generator(seed, Stream.TIMETOOL, train_id, 1)
        at = np.arange(self.pixels)
        light = self.counts * max(0.0, 1 + self.spread * random.standard_normal())
        values = light * np.exp(-0.5 * ((at - (self.pixels - 1) / 2) / (self.pixels / 3)) ** 2)
        if np.isfinite(edge):
            # tanh does not overflow as exp would.
            values = values * (1 - self.depth * (1 + np.tanh((at - edge) / (2 * self.width))) / 2)
        values = values + self.noise * random.standard_normal(self.pixels)
        return np.rint(values).clip(0, 65535).astype(np.uint16)
