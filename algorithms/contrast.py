"""Speckle contrast of frames and of the run, by variance and by the statistics of photons."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _regions as regions
from ._azint_sums import scatter
from ._likelihood import POINTS, Likelihood
from ._moments import ratio
from .litframes import usable

WAYS = ("variance", "photons")
UNITS = ("ADU", "eV", "keV")
"""Of data in which a photon is not 1."""


class Contrast(Algorithm):
    """Measure the contrast of speckle in regions of pixels, frame by frame and of the run.

    Parameters
    ----------
    labels, q, geometry, distance, energy, wavelength : optional
        Which regions there are; as of `TwoTime`.
    photon : float
        What one photon is in the data, 1 by default, for data in photons. Pixels count floor(x / photon + 1/2) photons,
        at least 0.
    photons : int
        Last bin of the histograms, 7 by default; it has all pixels with as many and more.
    img : Frames or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    mean : float64, (frame, q)
        Photons per pixel.
    beta : float64, (frame, way, q)
        Contrast of each frame, by variance and by photons; NaN without pixels or photons, and of photons where no
        contrast from -1 / (2 photons) to 2 is the most likely one, as of frames with very few.
    histogram : int32, (frame, q, photons)
        Pixels with 0, 1, 2, ... photons.
    contrast, error : float64, (way, q)
        Of the run, and its standard error from the spread of trains; NaN of no train, the error of one, too.
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
        photons:   beta of the largest sum h(n) ln P(n; k, beta) + ln(1 + k beta) / 2

    h is the histogram, the last bin with the probability of all that it has, and k the mean of all photons: the second
    term makes up for k, which is from the same pixels [2]_. That is exact for any k, and has the smallest error of all;
    2 P(2) / (P(1) k) - 1, which is often used, is right for k = 0 alone. The first holds for any distribution of
    intensity. Where a product has a pixel's photons and k, or k twice, k is that of the other pixels, so that counts
    that are used twice make no bias. Of the run, numerators and denominators, and these sums for one beta, are added up
    over frames, each with its own k: pulse energies cancel. The error takes trains to be independent, not frames.
    Frames with as many photons per pixel as the last bin has leave the second.

    Differences of the mean between the pixels of a region are taken for contrast: choose narrow bins. Noise of the
    detector and charge that two pixels share are counted as photons by the rounding above. Counts are exact.

    References
    ----------
    .. [1] S. O. Hruszkewycz et al. (2012), Phys. Rev. Lett. 109, 185502.
    .. [2] D. R. Cox, N. Reid (1987), J. R. Stat. Soc. B 49, 1-39.
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
        if self.photon is None and (img.data == "raw" or img.unit in UNITS):
            what = f"in {img.unit}: give" if img.unit in UNITS else "raw: subtract a dark first, and give"
            raise PlanError(f"contrast: {img.name} {img.key} is {what} photon=, what one is in the data")
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
            "moments": Output(shape=(5, n), store=False),
            "rises": Output(shape=(2, n, POINTS), store=False),
        }

    def memory(self, info: RunInfo) -> int:
        # Numbers of regions; while they are made, positions of the geometry and some arrays of their size.
        img, n = info["img"], len(regions.made("contrast", self, info))
        return int(np.prod(img.shape)) * (4 + 3 * 24) + img.max_per_train * n * POINTS * 8 * 3

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        return regions.depends(self, info)

    def hints(self, info: RunInfo) -> list[str]:
        return regions.hints("contrast", self, info)

    def initialize(self, info: RunInfo) -> None:
        self._numbers = regions.made("contrast", self, info).numbers.astype(np.int32)
        self._photon = 1.0 if self.photon is None else float(self.photon)
        self._likelihood = Likelihood(self.photons)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._contrast_kernels import count

        frames = usable(block).reshape(len(block), -1)
        numbers = self._numbers[block.module]
        count(frames, numbers, self._photon, out.histogram, out.pixels, out.sums, out.squares)
        out.of_train = block.train_ids.astype(np.int64)

    def finalize_chunk_processing(self, out: Partial) -> None:
        n = out.pixels.astype(float)
        out.mean = ratio(out.sums.astype(float), n)
        above, below = terms(n, out.sums, out.squares)
        out.beta[:, 0] = ratio(above, below)
        out.total = out.histogram.sum(axis=0, dtype="i8")
        for train in np.unique(out.of_train):
            own = np.flatnonzero(out.of_train == train)
            a, b = above[own].sum(axis=0), below[own].sum(axis=0)
            out.moments += np.stack([a, b, a * a, a * b, b * b])
            out.trains += b != 0
            out.beta[own, 1], rises = self._photons_of(out.histogram[own], out.mean[own])
            out.rises += np.stack([rises, rises**2])

    def _photons_of(self, histogram: NDArray, mean: NDArray) -> tuple[NDArray, NDArray]:
        """Return the contrasts of the frames of a train, (frame, q), and how the likelihood of all rises, (q, beta)."""
        from ._contrast_kernels import score

        rises = np.zeros((*mean.shape, POINTS))
        flat = rises.reshape(-1, POINTS)
        score(histogram.reshape(len(flat), -1), mean.ravel(), self._likelihood.betas, flat)
        return self._likelihood.best(flat)[0].reshape(mean.shape), rises.sum(axis=0)

    def finalize(self, totals: Partial) -> None:
        (a, b, aa, ab, bb), (rises, squares), n = totals.moments, totals.rises, totals.trains
        by_variance = ratio(a, b)
        found, at = self._likelihood.best(rises)
        # Trains are independent.
        first = np.sqrt(ratio(scatter(n, by_variance, aa, ab, bb), b**2))
        second = self._likelihood.error(rises, squares, at) * np.sqrt(ratio(n, np.maximum(n - 1.0, 0)))
        totals.contrast, totals.error = np.stack([by_variance, found]), np.stack([first, second])


def terms(n: NDArray, total: NDArray, squares: NDArray) -> tuple[NDArray, NDArray]:
    """Return numerators and denominators of contrasts by variance, (frame, q), per pixel; 0 without pixels.

    Parameters
    ----------
    n, total, squares : ndarray, (frame, q)
        Good pixels, sum of their photons, sum of the squares of these.
    """
    s = total.astype(float)
    k_squared = share(s * s - squares, n * (n - 1))
    return share(squares - s, n) - k_squared, k_squared


def share(a: NDArray, b: NDArray) -> NDArray:
    """Return a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)
