"""Photonise: the number of photons of each pixel, also of those that share one with a neighbour."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, From, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from .litframes import refuse_others, usable

METHODS = {"round": 0.5, "share": 0.9}
"""Method -> its usual threshold."""
UNITS = ("ADU", "eV", "keV")
"""Of data in which a photon is not 1."""


class Scratch:
    """Arrays that kernels write to, and nobody reads afterwards."""

    def __init__(self, *arrays: NDArray) -> None:
        self.arrays = arrays


class Photonise(Algorithm):
    """Turn images into photons, for the algorithms after it, per frame, or as a list.

    Parameters
    ----------
    gain : float, optional
        Signal of one photon, in the unit of the data; 1 by default, of corrected data in photons.
    method : {"round", "share"}
        Each pixel by itself, or photons that two neighbours share are counted as well.
    threshold : float, optional
        Part of a photon that counts as one: 0.5 by default, 0.9 with "share".
    sparse : bool
        Make a list of all pixels with photons.
    images : bool
        Hand images on to the algorithms after it, of which one has to read them: True by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default; `Calibrate` or `Subtract` first for raw data: ``From("subtract.img")``.

    Outputs
    -------
    img : float32, (frame, module, ss, fs)
        Photons of each pixel, NaN where it is not valid, or infinite: read with ``From("photons.img")``; not stored.
    total : int64, (frame,)
        Photons of the frame.
    pixels : int32, (frame,)
        Valid pixels.
    list : int32, (event, 4)
        With `sparse`: module number, ss, fs and photons of each pixel that has some, in the order of pixels.

    Notes
    -----
    With x, the pixel over `gain`, and the threshold t::

        round:  n = floor(x + 1 - t), at least 0

    "share" takes the whole photons, floor(x), and adds one where a rest r = x - floor(x) is higher than those of its
    four neighbours and, with the largest of these, makes t or more [1]_; it is counted in the pixel with the higher
    rest, and no neighbour is used twice. Pixels at edges of modules have fewer neighbours; more than two pixels that
    share a photon are found by `Droplets`. Counts from rounding are biased where many photons are shared: with
    t = 0.5, those that are shared equally are lost or counted twice.

    References
    ----------
    .. [1] M. Dubrovin, "Photon counting", PSDM, SLAC: counting of photons in neighbouring pixels (psana).
    """

    method: str
    gain: float | None
    threshold: float | None
    sparse: bool
    images: bool
    ALG_ID = "photons"
    HELP = "photons of each pixel, with those that neighbours share; per frame, as images or as a list"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--gain", type=float, help="signal of one photon; default 1, of corrected data in photons")
        add("--method", choices=METHODS, default="round", help="each pixel alone, or with a neighbour")
        add("--threshold", type=float, help="part of a photon that counts; default 0.5, or 0.9 with share")
        add("--sparse", action="store_true", help="list the pixels with photons")
        add("--no-images", dest="images", action="store_false", help="no algorithm after it reads images")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        for name, value, most in (("gain", self._gain, np.inf), ("threshold", self._part, 1.0)):
            if not 0 < value <= most or np.isinf(value):
                raise ValueError(
                    f"photons: {name}={value}; expected a number above 0{' up to 1' * (most == 1)}"
                )

    @property
    def _gain(self) -> float:
        return 1.0 if self.gain is None else float(self.gain)

    @property
    def _part(self) -> float:
        return METHODS[self.method] if self.threshold is None else float(self.threshold)

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("photons", img)
        refuse_raw("photons", self, img, "gain")
        columns: dict[str, Any] = {"shape": (4,), "dims": ("column",), "dtype": "i4"}
        listed = {"list": Output(per="event", doc="module, ss, fs, photons", **columns)}
        image = Output(per=("img", "pixel"), dtype="f4", store=False, unit="photons", doc="photons")
        return {
            **({"img": image} if self.images else {}),
            "total": Output(per="img", dtype="i8", unit="photons", doc="photons of the frame"),
            "pixels": Output(per="img", dtype="i4", doc="valid pixels"),
            **(listed if self.sparse else {}),
        }

    def memory(self, info: RunInfo) -> int:
        return 16 * int(np.prod(info["img"].shape[1:]))

    def initialize(self, info: RunInfo) -> None:
        pixels = int(np.prod(info["img"].shape[1:])) if self.method == "share" else 0
        self._scratch = Scratch(np.empty(pixels), np.empty(pixels, np.int64))
        self._first = [axis.start for axis in info["img"].roi or (slice(0, 0), slice(0, 0))]

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from . import _photon_kernels as kernels

        frames = usable(block)
        img = out.img if self.images else np.empty(frames.shape, "f4")
        if self.method == "round":
            flat = np.reshape(img, (len(block), -1), copy=False)
            kernels.count(frames.reshape(len(block), -1), self._gain, self._part, flat)
        else:
            rest, partner = self._scratch.arrays
            for image, photons in zip(frames, img, strict=True):
                kernels.share(image, self._gain, self._part, rest, partner, photons)
        out.total += np.nansum(img, axis=(1, 2), dtype="f8").astype("i8")
        out.pixels += np.isfinite(img).sum(axis=(1, 2), dtype="i4")
        if self.sparse:
            frame, ss, fs = np.nonzero(img > 0)
            module = np.full(len(frame), block.module_number)
            # As floats: what an integer cannot hold is refused, and not wrapped.
            rows = [module, ss + self._first[0], fs + self._first[1], img[frame, ss, fs].astype("f8")]
            out.list.append(np.stack(rows, axis=-1), frames=frame)


def refuse_raw(who: str, algorithm: Any, img: InputInfo, scale: str) -> None:
    """Refuse frames with their pedestal, and those of which nobody said what a photon is.

    Parameters
    ----------
    scale : str
        Option of `algorithm` with what a photon makes, or what is above noise.
    """
    if img.data == "raw" and not isinstance(algorithm.inputs["img"], From):
        raise PlanError(
            f"{who}: {img.name} {img.key} is raw, with its pedestal: subtract a dark first, "
            f'[Subtract(dark=...), ...(img=From("subtract.img"), {scale}=...)], or take Calibrate'
        )
    if getattr(algorithm, scale) is None and (img.data == "raw" or img.unit in UNITS):
        raise PlanError(
            f"{who}: {img.name} {img.key} is in {img.unit or 'ADU'}: give {scale}=, what one photon makes"
        )
