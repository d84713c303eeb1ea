"""Azimuthal integration with EXtra-data and pyFAI: frame after frame, sparse matrix (CSR), no pixel splitting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow.bench.peers import Share, trains
from dxflow.bench.rounds import Cannot


@dataclass(frozen=True)
class Integration:
    """What to integrate with: a geometry file, and lengths as `dxflow.algorithms.azint` has them."""

    geometry: str
    distance: float
    energy: float
    nbins: int = 500

    @property
    def options(self) -> dict[str, Any]:
        """Options of `dxflow.algorithms.azint.AzimuthalIntegration`."""
        return {
            "geometry": self.geometry,
            "distance": self.distance,
            "energy": self.energy,
            "nbins": self.nbins,
        }


def integrate(share: Share, what: Integration) -> int:
    """Integrate each frame with ``integrate1d``, which tests for NaN and applies the solid angle."""
    one, total = integrator(what), 0
    for train in trains(share):
        for frame in train.swapaxes(0, 1):
            one(frame.reshape(-1, frame.shape[-1]))
        total += train.nbytes
    return total


def prepare(share: Share, what: Integration) -> int:
    """Make the sparse matrix, so that this is not timed with the rest."""
    integrator(what)(np.zeros(_shape(positions(what)), np.float32))
    return 0


def positions(what: Integration) -> NDArray:
    """Return where the pixels are, (module, ss, fs, 3)."""
    from dxflow import geometry

    return geometry.positions(what.geometry, what.distance)


def _shape(points: NDArray) -> tuple[int, int]:
    """Return the shape of all modules as one image, one below the other."""
    return points.shape[0] * points.shape[1], points.shape[2]


@cache
def integrator(what: Integration) -> Any:
    """Return a function that integrates an image (module * ss, fs); made once per process.

    Raises
    ------
    Cannot
        Without pyFAI.
    """
    try:
        from pyFAI.detectors import Detector
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ImportError:
        raise Cannot("pyFAI is not installed: dxflow[azint]") from None
    points = positions(what)
    shape = _shape(points)
    pitch = float(np.linalg.norm(points[0, 0, 1] - points[0, 0, 0]))
    detector = Detector(pixel1=pitch, pixel2=pitch, max_shape=shape)
    detector.set_pixel_corners(_corners(points, what.distance, pitch).reshape(*shape, 4, 3))
    made = AzimuthalIntegrator(
        dist=what.distance, detector=detector, wavelength=12.398419843320026e-10 / what.energy
    )
    return lambda image: made.integrate1d(
        image,
        what.nbins,
        unit="q_A^-1",
        method=("no", "csr", "cython"),
        correctSolidAngle=True,
        dummy=np.nan,
    )


def _corners(points: NDArray, distance: float, pitch: float) -> NDArray:
    """Return corners (..., 4, 3) of pixels as pyFAI orders axes: z, y, x, from the detector's plane."""
    offsets = np.array([(0, -1, -1), (0, -1, 1), (0, 1, 1), (0, 1, -1)]) * pitch / 2
    centres = (points - [0, 0, distance])[..., ::-1]
    return (centres[..., None, :] + offsets).astype(np.float32)
