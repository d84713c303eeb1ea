"""PhotonStatistics: how many pixels of a region have no photon, one, two, and so on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from dxflow import Algorithm, From, ModuleBlock, Output, Partial, RunInfo

from . import _regions as regions
from .litframes import refuse_others, usable


class PhotonStatistics(Algorithm):
    """Count pixels by their photons, in regions: histograms and P(k).

    Parameters
    ----------
    labels : path or ndarray of int, optional
        The region of each pixel, (module, ss, fs), 0 for none: an array or an ``.npy`` file, of all modules of the
        detector, or of those that are read.
    q : floats, optional
        In place of `labels`, edges of bins of momentum transfer, 1/angstrom, or pairs (low, high) that do not overlap.
    geometry, distance, energy, wavelength : optional
        Of `q`; as of `AzimuthalIntegration`.
    most : int
        Largest number of photons with a count of its own; 8 by default.
    img : From, Frames or Key
        Photons: whole numbers. ``From("photons.img")`` by default; others are rounded.

    Outputs
    -------
    counts : int64, (frame, q, k)
        Pixels with k photons; the last k has those with more than `most`.
    mean : float64, (frame, q)
        Photons per valid pixel; NaN without one.
    total : int64, (q, k)
        `counts` of all frames.
    probability : float64, (q, k)
        P(k) of all frames; NaN in a region without a valid pixel.

    Coordinates: ``q``, centres of the bins, 1/angstrom, or the numbers of the regions; ``k``, photons.

    Notes
    -----
    P(k) of speckle is a negative binomial [1]_; `Contrast` finds its contrast.

    References
    ----------
    .. [1] J. W. Goodman (2007), Speckle Phenomena in Optics, section 3.6.
    """

    most: int
    labels: Any
    q: Any
    geometry: Any
    ALG_ID = "photonstats"
    HELP = "how many pixels of a region have 0, 1, 2, ... photons, per frame and for the run"
    inputs = {"img": From("photons.img")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        regions.add_arguments(parser)
        parser.add_argument("--most", type=int, default=8, help="largest number of photons; default 8")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        regions.check(self.ALG_ID, args)
        if not 1 <= self.most <= 1000:
            raise ValueError(f"photonstats: most={self.most}; expected 1 to 1000")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("photonstats", img)
        found, photons = regions.made(self.ALG_ID, self, info), np.arange(self.most + 2)
        q, k = {"q": found.coordinate}, {"k": (photons, f"photons; {self.most + 1}: or more")}
        table: dict[str, Any] = {
            "shape": (len(found), len(photons)),
            "dims": ("q", "k"),
            "coords": {**q, **k},
        }
        one: dict[str, Any] = {"shape": (len(found),), "dims": ("q",), "coords": q}
        return {
            "counts": Output(per="img", dtype="i8", doc="pixels with k photons", **table),
            "photons": Output(per="img", store=False, **one),
            "mean": Output(per="img", unit="photons", doc="photons per valid pixel", **one),
            "total": Output(dtype="i8", doc="pixels with k photons, of all frames", **table),
            "probability": Output(doc="P(k) of all frames", **table),
        }

    def memory(self, info: RunInfo) -> int:
        return int(np.prod(info["img"].shape)) * (4 * 8 if self.q is None else 4 * 24)

    def hints(self, info: RunInfo) -> list[str]:
        return regions.hints(self.ALG_ID, self, info)

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        return regions.depends(self, info)

    def initialize(self, info: RunInfo) -> None:
        self._regions = regions.made(self.ALG_ID, self, info).numbers - 1

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._photon_kernels import tally

        frames, labels = usable(block).reshape(len(block), -1), self._regions[block.module]
        counts = np.zeros(out.counts.shape, np.int64)
        tally(frames, labels, self.most, counts, out.photons)
        out.counts += counts
        out.total += counts.sum(axis=0)

    def finalize_chunk_processing(self, out: Partial) -> None:
        n = out.counts.sum(axis=-1)
        out.mean = out.photons / np.where(n > 0, n, np.nan)

    def finalize(self, totals: Partial) -> None:
        n = totals.total.sum(axis=-1, keepdims=True)
        totals.probability[...] = totals.total / np.where(n > 0, n, np.nan)
