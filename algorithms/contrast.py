"""Speckle contrast of frames and of the run, by variance and by the statistics of photons."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _regions as regions
from ._moments import ratio
from .litframes import usable

WAYS = ("variance", "photons")


class Contrast(Algorithm):
    """Measure the contrast of speckle in regions of pixels, frame by frame and of the run.

    Parameters
    ----------
    labels, q, geometry, distance, energy, wavelength : optional
        Which regions there are; as of `TwoTime`.
    photon : float
        What one photon is in the data, 1 by default, for data in photons. Pixels count floor(x / photon + 1/2) photons.
    photons : int
        Last bin of the histograms, 7 by default; it has all pixels with as many and more.
    img : Frames or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    mean : float64, (frame, q)
        Photons per pixel.
    beta : float64, (frame, way, q)
        Contrast of each frame, by variance and by photons; NaN without pixels or photons.
    histogram : int32, (frame, q, photons)
        Pixels with 0, 1, 2, ... photons.
    contrast, error : float64, (way, q)
        Of the run, and its standard error from the spread of trains; NaN of no train, and of one.
    trains : int64, (q,)
        How many trains with photons they are of.
    total : int64, (q, photons)
        Histogram of the run.

    Coordinate ``way``: "variance" or "photons".

    Notes
    -----
    Speckle of M modes has contrast beta = 1 / M, and its photons, k per pixel on average, the negative binomial
    distribution P(n) [1]_. In each frame ::

        variance:  beta = var(n) / k^2 - 1 / k
        photons:   beta = (2 R / k - 1) / (1 - 2 R),  R = P(2) / P(1)

    The second is exact for any k; 2 P(2) / (P(1) k) - 1, which is often used, is its limit for k = 0. The first
    holds for any distribution of intensity. Where a product has a pixel's photons and k, or k twice, k is that of the
    other pixels, so that counts that are used twice make no bias. Of the run, numerator and denominator are added up
    over frames, each with its own k: pulse energies cancel. The error takes trains to be independent, not frames.

    Differences of the mean between the pixels of a region are taken for contrast: choose narrow bins. Noise of the
    detector and charge that two pixels share are counted as photons by the rounding above. Counts are exact.

    References
    ----------
    .. [1] S. O. Hruszkewycz et al. (2012), Phys. Rev. Lett. 109, 185502.
    """

    ALG_ID = "contrast"
    HELP = "speckle contrast of frames and of the run, by variance and by photon statistics (XPCS)"
    inputs = {"img": Frames("image.data")}
    q: Any
    geometry: Any
    photon: float | None
    photons: int

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        regions.add_arguments(parser)
        parser.add_argument("--photon", type=float, help="value of one photon; default 1 of corrected data")
        parser.add_argument("--photons", type=int, default=7, help="last bin of the histograms; default 7")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        regions.check("contrast", args)
        if self.photon is not None and not 0 < self.photon < np.inf:
            raise ValueError(f"contrast: photon={self.photon}; expected the value of one photon")
        if self.photons < 3:
            raise ValueError(
                f"contrast: photons={self.photons}; expected at least 3: the last bin has more, too"
            )

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if self.photon is None and img.data == "raw":
            raise PlanError(
                f"contrast: {img.name} {img.key} is raw: subtract a dark first, and give photon=, its value in ADU"
            )
        found = regions.made("contrast", self, info)
        n, k, q = len(found), np.arange(self.photons + 1), {"q": found.coordinate}
        one: dict[str, Any] = {"shape": (n,), "dims": ("q",), "coords": q}
        two: dict[str, Any] = {"shape": (2, n), "dims": ("way", "q"), "coords": {**q, "way": np.array(WAYS)}}
        bins: dict[str, Any] = {
            "shape": (n, len(k)),
            "dims": ("q", "photons"),
            "coords": {**q, "photons": k},
        }
        hidden: dict[str, Any] = {"per": "img", "dtype": "i8", "store": False}
        return {
            "mean": Output(per="img", doc="photons per pixel", **one),
            "beta": Output(per="img", doc="contrast of the frame", **two),
            "histogram": Output(per="img", dtype="i4", doc="pixels with so many photons", **bins),
            "contrast": Output(doc="contrast of the run", **two),
            "error": Output(doc="its standard error, from the spread of trains", **two),
            "trains": Output(dtype="i8", doc="trains with photons", **one),
            "total": Output(dtype="i8", doc="pixels of all frames with so many photons", **bins),
            "pixels": Output(shape=(n,), **hidden),
            "sums": Output(shape=(n,), **hidden),
            "squares": Output(shape=(n,), **hidden),
            "of_train": Output(merge="max", **hidden),
            "moments": Output(shape=(5, 2, n), store=False),
        }

    def memory(self, info: RunInfo) -> int:
        # Numbers of regions; while they are made, positions of the geometry and some arrays of their size.
        return int(np.prod(info["img"].shape)) * (4 + 3 * 24)

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        return regions.depends(self, info)

    def initialize(self, info: RunInfo) -> None:
        self._numbers = regions.made("contrast", self, info).numbers.astype(np.int32)
        self._photon = 1.0 if self.photon is None else float(self.photon)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._contrast_kernels import count

        frames = usable(block).reshape(len(block), -1)
        numbers = self._numbers[block.module]
        count(frames, numbers, self._photon, out.histogram, out.pixels, out.sums, out.squares)
        out.of_train = block.train_ids.astype(np.int64)

    def finalize_chunk_processing(self, out: Partial) -> None:
        n = out.pixels.astype(float)
        out.mean = ratio(out.sums.astype(float), n)
        above, below = terms(n, out.sums, out.squares, out.histogram)
        out.beta = ratio(above, below)
        out.total = out.histogram.sum(axis=0, dtype="i8")
        _, train = np.unique(out.of_train, return_inverse=True)
        a, b = np.zeros((2, train.max(initial=-1) + 1, *above.shape[1:]))
        np.add.at(a, train, above)
        np.add.at(b, train, below)
        out.moments = np.stack([x.sum(axis=0) for x in (a, b, a * a, a * b, b * b)])
        out.trains = (b[:, 0] != 0).sum(axis=0)

    def finalize(self, totals: Partial) -> None:
        a, b, aa, ab, bb = totals.moments
        beta, n = ratio(a, b), np.broadcast_to(totals.trains.astype(float), a.shape)
        # Of a ratio of sums over independent trains.
        spread = np.maximum(aa - 2 * beta * ab + beta**2 * bb, 0)
        totals.contrast, totals.error = beta, np.sqrt(ratio(spread * n, b**2 * (n - 1)))


def terms(n: NDArray, total: NDArray, squares: NDArray, histogram: NDArray) -> tuple[NDArray, NDArray]:
    """Return numerators and denominators of both contrasts, (frame, way, q), per pixel; 0 without pixels.

    Parameters
    ----------
    n, total, squares : ndarray, (frame, q)
        Good pixels, sum of their photons, sum of the squares of these.
    histogram : ndarray, (frame, q, photons)
    """
    s, both = total.astype(float), n * (n - 1)
    ones, twos = histogram[..., 1].astype(float), histogram[..., 2].astype(float)
    k_squared = share(s * s - squares, both)
    by_variance = share(squares - s, n) - k_squared
    # (s - 1) / (n - 1): the mean of all but a pixel with one photon.
    k_ones, k_twos = share((s - 1) * ones, both), share((s - 2) * twos, both)
    above = np.stack([by_variance, share(2 * twos, n) - k_ones], axis=1)
    return above, np.stack([k_squared, k_ones - 2 * k_twos], axis=1)


def share(a: NDArray, b: NDArray) -> NDArray:
    """Return a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)
