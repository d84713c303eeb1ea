"""Bursts: electronic noise that comes and goes: whole ASICs or modules jump for some frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .seeds import Stream, generator


@dataclass(frozen=True)
class Bursts:
    """All pixels of an ASIC, or of a module, show more photons for some frames of a train; corrected data only."""

    rate: float = 0.01
    """Share of the frames in which a burst begins, of each ASIC."""
    photons: float = 3.0
    """Mean height; each burst has from half to one and a half of that."""
    frames: int = 3
    """Frames that a burst lasts; it ends with the train."""
    asic: tuple[int, int] | None = None
    """Pixels (ss, fs) that jump together; None: whole modules."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1 or self.frames < 1:
            raise ValueError(
                f"bursts begin in a share of the frames, 0 to 1, and last 1 or more: {self.rate}, {self.frames}"
            )

    def image(self, shape: tuple[int, int], pulse: int, *ids: int) -> NDArray[np.float32]:
        """Return what a frame shows beside photons, (ss, fs).

        Parameters
        ----------
        pulse : int
            Number of the frame in the train.
        *ids : int
            Seed, module number and train id.
        """
        asic = self.asic or shape
        blocks = [-(-n // size) for n, size in zip(shape, asic, strict=True)]
        seed, *rest = ids
        total = np.zeros(blocks)
        for begin in range(max(0, pulse - self.frames + 1), pulse + 1):
            random = generator(seed, Stream.BURSTS, *rest, begin)
            begins, height = random.random((2, *blocks))
            total += (begins < self.rate) * self.photons * (0.5 + height)
        image = np.repeat(np.repeat(total, asic[0], axis=0), asic[1], axis=1)
        return image[: shape[0], : shape[1]].astype(np.float32)
