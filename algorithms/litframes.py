"""Lit frames by intensity: bright pixels of each frame, and whether X-rays were there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

PHOTON = 0.7
"""Default threshold: corrected data are in photons, and a charge-shared photon still leaves this much."""
SIGMAS = 5.0
"""The excess of bright pixels over chance that a lit frame must have, in its standard deviations."""


class LitFrames(Algorithm):
    """Find lit frames by their bright pixels.

    A frame is lit if more of its pixels are above ``threshold`` than below ``-threshold``: noise alone makes as
    many of one kind as of the other, whatever its size. With ``fraction`` (the default)::

        excess = lit_pixels - dim_pixels >= max(fraction * valid_pixels, 5 sqrt(lit_pixels + dim_pixels))

    and with ``pixels``: ``lit_pixels >= pixels``. Only numbers of the frame itself decide, so a frame is lit or not
    in whatever chunk, run or order it is.

    Parameters
    ----------
    threshold : float
        In the unit of the data; 0.7 (photons) by default for corrected data. Raw data need one, or `Subtract` first.
    fraction : float
        Share of the valid pixels, 0.01 by default: more than the hot pixels of a module, less than any powder.
    pixels : int, optional
        This many bright pixels make a frame lit, in place of `fraction`. For sparse data (single particles,
        photon-counting cameras), whose hits no default tells from blanks: see the notes.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    lit : bool, (frame,)
        What ``frames=`` of the next reduction takes. False for a frame of which nothing could be read.
    lit_pixels, dim_pixels, valid_pixels : int32, (frame,)
        Pixels above the threshold, below minus the threshold, and valid, of all modules.
    intensity : float64, (frame,)
        Sum of the valid pixels; NaN for a frame of which nothing could be read.

    Notes
    -----
    NaN and masked pixels are neither bright nor valid. Hot pixels of which no mask knows count as bright: keep
    them below `fraction`, or give a ``mask=``.

    To choose `threshold` and `pixels` of sparse data, reduce some trains with a threshold between the noise and one
    photon (for data in photons 0.7) and look at the numbers that came out, best for a dark run, too::

        result.dataset["litframes.lit_pixels"].plot.hist(bins=100)

    Blanks make one peak, near 0; hits lie above it. `pixels` belongs in between.
    """

    ALG_ID = "litframes"
    HELP = "lit frames by intensity: bright pixels, total intensity and a decision per frame"
    SELECTS = "lit"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--threshold",
            type=float,
            help="a pixel above this is bright; default 0.7 photons of corrected data",
        )
        parser.add_argument(
            "--fraction",
            type=float,
            default=0.01,
            help="a frame is lit if bright pixels exceed those below -threshold by this share of the valid ones",
        )
        parser.add_argument("--pixels", type=int, help="this many bright pixels make a frame lit, instead")

    def configure(self, args: argparse.Namespace) -> None:
        self.threshold, self.fraction, self.pixels = args.threshold, args.fraction, args.pixels
        if self.threshold is not None and not 0 <= self.threshold < np.inf:
            raise ValueError(
                f"litframes: threshold={self.threshold}; expected a number from 0, unit of the data"
            )
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"litframes: fraction={self.fraction}; expected a share of the pixels, 0 to 1")
        if self.pixels is not None and self.pixels < 1:
            raise ValueError(f"litframes: pixels={self.pixels}; expected a positive number of pixels")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        self._check(img)
        at = f"{self._threshold(img):g} {img.unit}".strip()
        return {
            "lit": Output(per="img", dtype="?", doc="X-rays were there"),
            "lit_pixels": Output(per="img", dtype="i4", doc=f"pixels above {at}"),
            "dim_pixels": Output(per="img", dtype="i4", doc=f"pixels below -{at}"),
            "valid_pixels": Output(per="img", dtype="i4", doc="pixels that are neither masked nor NaN"),
            "intensity": Output(per="img", unit=img.unit, doc="sum of the valid pixels"),
        }

    def _check(self, img: InputInfo) -> None:
        if img.dtype.kind not in "fiub":
            raise PlanError(f"litframes: {img.name} {img.key} is {img.dtype}; expected real numbers")
        if self.threshold is None and img.dtype.kind != "f":
            raise PlanError(
                f"litframes: {img.name} {img.key} is {img.dtype}, and whether it counts photons is not known: give "
                "threshold= in its unit (0.7 if it does) and, for sparse data, pixels= that make a hit; or subtract "
                'a dark first, [Subtract(dark=...), LitFrames(img=From("subtract.img"), threshold=...)]'
            )

    def _threshold(self, img: InputInfo) -> float:
        return level(self.threshold)

    def initialize(self, info: RunInfo) -> None:
        self._level = self._threshold(info["img"])

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._frame_kernels import count_lit

        frames = usable(block)
        high, low = bounds(self._level, frames.dtype)
        count_lit(
            frames.reshape(len(block), -1),
            high,
            low,
            out.lit_pixels,
            out.dim_pixels,
            out.valid_pixels,
            out.intensity,
        )

    @staticmethod
    def process_variants(instances: Sequence[Any], data: Any, outs: Sequence[Partial]) -> None:
        from ._frame_kernels import count_lit_each

        frames = usable(data)
        order = sorted(range(len(instances)), key=lambda n: instances[n]._level)
        ends = [
            np.array(end)
            for end in zip(*(bounds(instances[n]._level, frames.dtype) for n in order), strict=True)
        ]
        lit, dim = np.zeros((2, len(instances), len(data)), np.int32)
        valid, total = np.zeros(len(data), np.int32), np.zeros(len(data))
        rising, falling = ends
        count_lit_each(frames.reshape(len(data), -1), rising, falling, lit, dim, valid, total)
        for n, bright, dark in zip(order, lit, dim, strict=True):
            outs[n].lit_pixels += bright
            outs[n].dim_pixels += dark
            outs[n].valid_pixels += valid
            outs[n].intensity += total

    def finalize_chunk_processing(self, out: Partial) -> None:
        if self.pixels is not None:
            out.lit = out.lit_pixels >= self.pixels
            return
        excess = out.lit_pixels - out.dim_pixels
        chance = SIGMAS * np.sqrt(out.lit_pixels + out.dim_pixels)
        out.lit = (excess >= np.maximum(self.fraction * out.valid_pixels, chance)) & (excess > 0)


def level(threshold: float | None) -> float:
    """Return what a lit pixel is above: photons of corrected data, unless something else is said."""
    return PHOTON if threshold is None else float(threshold)


def refuse_others(name: str, img: InputInfo) -> None:
    """Refuse what are no images of real numbers."""
    if len(img.shape) != 3 or img.dtype.kind not in "fiu":
        raise PlanError(f"{name}: {img.name} {img.key}: expected real numbers, (module, ss, fs)")


def usable(block: ModuleBlock, alias: str = "img") -> NDArray:
    """Return contiguous frames for kernels, NaN where a pixel is masked and its value does not say so."""
    frames = block[alias]
    if block.masked(alias) and not (valid := block.valid(alias)).all():
        frames = frames.astype("f4" if frames.dtype.itemsize <= 2 else np.result_type(frames.dtype, "f4"))
        frames[~valid] = np.nan
    return comparable(frames)


def comparable(frames: NDArray) -> NDArray:
    """Return contiguous frames of a dtype that kernels know, without a copy for the usual ones."""
    if frames.dtype.kind == "b":
        frames = frames.view("u1")
    return np.ascontiguousarray(frames.astype("f4") if frames.dtype == np.float16 else frames)


def bounds(threshold: float, dtype: np.dtype) -> tuple[np.generic, np.generic]:
    """Return threshold and minus threshold as scalars that compare with pixels of a dtype, with the same outcome.

    x > t is x > floor(t) for integers x; x < -t is x < ceil(-t). For float32 pixels, x > t with t between two
    float32 numbers is x > the lower of them.
    """
    if dtype.kind in "iub":
        top = 2**31 - 1 if dtype.itemsize <= 2 else 2**62
        kind = np.int32 if dtype.itemsize <= 2 else np.int64
        high = int(np.clip(np.floor(threshold), -top, top))
        return kind(high), kind(-high)
    if dtype == np.float64:
        return np.float64(threshold), np.float64(-threshold)
    high32 = np.float32(threshold)
    if float(high32) > threshold:
        high32 = np.nextafter(high32, np.float32(-np.inf))
    return high32, np.float32(-high32)
