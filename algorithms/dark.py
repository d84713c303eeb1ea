"""Dark: offset, noise and bad pixels of raw frames without light, per gain stage, memory cell and pixel."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo
from dxflow.run.badpixels import bits_of

from ._dark_light import light
from ._raw import STAGES, Reading, Recorded, cells_of, inputs_of, slots

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

METHODS = ("mean", "median")
WALKS = ("strips", "blocks")
CAUSES = {
    "hot or low": "OFFSET_OUT_OF_THRESHOLD",
    "noisy": "NOISE_OUT_OF_THRESHOLD",
    "not to be evaluated": "OFFSET_NOISE_EVAL_ERROR",
    "too few": "NO_DARK_DATA",
    "gain level of another stage": "GAIN_THRESHOLDING_ERROR",
    "dead": "DATA_STD_IS_ZERO",
    "other gain stage recorded": "WRONG_GAIN_VALUE",
}
"""Why a pixel is bad, and the name of its bit at EuXFEL."""
BIT = {cause: np.uint32(bits_of(name) or 0) for cause, name in CAUSES.items()}
DEAD = 0.1
"""Of the median noise of a module: a pixel with less measures nothing."""
STEP = 1.0
"""ADU: what is stored is whole numbers, and offsets that differ by less are the same."""
WRONG = 0.1
"""Share of frames with another gain stage from which on a pixel is bad."""


class Pedestal(Algorithm):
    """Make offset, noise and bad pixels of a run without light, for each memory cell and pixel.

    A run has one gain stage; three runs, of high, medium and low gain, make a set (`Calibrate`, the recipe ``dark``).

    Parameters
    ----------
    stage : {"high", "medium", "low"}
        The gain stage that the run was taken in.
    method : {"mean", "median"}
        Of the offset. Medians are exact, and need ``walk="strips"``.
    clip : float
        Values farther than so many times the noise from the offset, as all values give them, are left out of both; 5 by
        default, inf uses all. Of n values none is farther from the mean than (n - 1) / sqrt(n).
    walk : {"strips", "blocks"}
        "strips" reads some slow-scan rows of all frames at once, clips, and looks for light, in one pass. "blocks"
        reads frame by frame, for compressed data, which each strip would decode again; it uses all values.
    lit : float
        Share of lit frames up to which a run is dark; 0.02 by default, 1 takes any run.
    offset_sigma, noise_sigma : float
        A pixel is bad whose offset or noise is so many standard deviations off the median of its module and memory
        cell; the standard deviation is 1.4826 times the median distance from that. 10 by default.
    offset_range, noise_range : (float, float), optional
        ADU; a pixel is bad outside.
    least : int
        Values from which on an offset is good; 10 by default.
    img : Frames or Key
        ``Frames(data="raw")`` by default.
    gain : Recorded
        Where the gain stage is recorded; follows `img`.

    Outputs
    -------
    offset, noise : float, (stage, cell, module, ss, fs)
        ADU; mean or median of the values that are used, and their standard deviation with n - 1. NaN without values.
        float32 in strips, float64 in blocks.
    count : int32, same shape
        Values that are used.
    bad : uint32, same shape
        0 or bits by cause, as EuXFEL numbers them: see `CAUSES`.
    gain_level, gain_noise : float, same shape
        Of detectors with a level of the gain (AGIPD): its mean and standard deviation, ADU.
    wrong : int32, same shape
        Of detectors that record the gain stage (LPD, JUNGFRAU): frames with another one. They are not used.

    Notes
    -----
    Sums are of integers, exact in any order. With x the values of a pixel in a memory cell and m0, s0 the mean and
    standard deviation of all of them (median and 1.4826 times the median distance from it for medians)::

        used = |x - m0| <= max(clip s0, 1);  offset = mean(x[used]);  noise = sqrt(sum (x[used] - mean)^2 / (n - 1))

    A frame is lit if its pixels above m0 + 2 s0 exceed those below m0 - 2 s0 by 1 % of all pixels and by 5 sqrt(their
    sum); frames for which it is the other way round, as common mode makes them, are taken off. All frames of a memory
    cell, or of the run, are lit if three in four of their pixels that are so far off are bright. Light that is strong
    and the same in all frames looks like an offset: `offset_range` and `noise_range` tell it.

    Masked pixels of frames (``mask=``) are not used.

    State: of AGIPD 44 bytes per pixel and memory cell in blocks; in strips 24, and the strip.

    References
    ----------
    .. [1] P. Schmidt et al. (2024), Turning European XFEL raw data into user data, Frontiers in Physics 11.
    """

    ALG_ID = "dark"
    HELP = "offset, noise and bad pixels of a run without light, per memory cell, and its gain stage"
    inputs = {"img": Frames(data="raw"), "gain": Recorded()}
    stage: str
    method: str
    clip: float
    walk: str
    lit: float
    offset_sigma: float
    noise_sigma: float
    offset_range: tuple[float, float] | None
    noise_range: tuple[float, float] | None
    least: int

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--stage", choices=STAGES, default="high", help="gain stage of the run")
        parser.add_argument("--method", choices=METHODS, default="mean", help="of the offset")
        parser.add_argument(
            "--clip", type=float, default=5.0, help="values so many times the noise off are not used"
        )
        parser.add_argument(
            "--walk",
            choices=WALKS,
            default="strips",
            help="strips of all frames, or frame by frame (compressed data)",
        )
        parser.add_argument(
            "--lit", type=float, default=0.02, help="share of lit frames that is let pass; 1: any"
        )
        for name in ("offset", "noise"):
            parser.add_argument(
                f"--{name}-sigma",
                type=float,
                default=10.0,
                help=f"a pixel is bad whose {name} is so far off the others",
            )
            parser.add_argument(
                f"--{name}-range",
                type=float,
                nargs=2,
                metavar=("LOW", "HIGH"),
                help=f"ADU: good values of the {name}",
            )
        parser.add_argument("--least", type=int, default=10, help="values that an offset needs")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        vars(self)["STRIPS"] = args.walk == "strips"
        self.inputs = inputs_of(dict(self.inputs), Pedestal.inputs["gain"])
        for wrong, said in self._checks():
            if wrong:
                raise ValueError(f"dark: {said}")

    def _checks(self) -> Iterator[tuple[bool, str]]:
        """Yield (wrong?, what is wrong) of the options."""
        yield not self.clip > 0, f"clip={self.clip}; expected a number above 0, inf to use all values"
        yield not 0 <= self.lit <= 1, f"lit={self.lit}; expected a share of the frames, 0 to 1"
        yield self.least < 1, f"least={self.least}; expected a number of values from 1 on"
        yield min(self.offset_sigma, self.noise_sigma) <= 0, "offset_sigma and noise_sigma are above 0"
        for name in ("offset_range", "noise_range"):
            pair = getattr(self, name)
            yield (
                pair is not None and not pair[0] < pair[1],
                f"{name}={pair}; expected two numbers of ADU, low and high",
            )
        yield (
            self.method == "median" and not self.STRIPS,
            "medians need all frames of a pixel at once: walk='strips'",
        )

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        reading, cells = self._reading(info), cells_of(info["img"])
        axes: dict[str, Any] = {
            "per": "pixel",
            "shape": (1, len(cells)),
            "dims": ("stage", "cell"),
            "coords": {"stage": [STAGES.index(self.stage)], "cell": cells},
        }
        sums: dict[str, Any] = {
            **axes,
            "dtype": "f4" if self.STRIPS else "f8",
            "unit": "ADU",
            "merge": "custom",
        }
        out = {
            "offset": Output(doc=f"offset in {self.stage} gain", **sums),
            "noise": Output(doc="standard deviation", **sums),
            "count": Output(doc="values used", dtype="i4", **axes),
            "bad": Output(doc="bits of bad pixels, as EuXFEL numbers them", dtype="u4", **axes),
        }
        if reading.gain == "plane":
            out["gain_level"] = Output(doc="mean level of the gain", **sums)
            out["gain_noise"] = Output(doc="its standard deviation", **sums)
        if reading.coded:
            out["wrong"] = Output(doc="frames with another gain stage", dtype="i4", **axes)
        return out

    def _reading(self, info: RunInfo) -> Reading:
        reading = Reading.of(info, self.name)
        if STAGES.index(self.stage) >= reading.stages:
            raise PlanError(
                f"{self.name}: {info['img'].name} has no {self.stage} gain; expected one of "
                f"{list(STAGES[: reading.stages])}"
            )
        return reading

    def initialize(self, info: RunInfo) -> None:
        reading = self._reading(info)
        self._plane, self._coded = reading.gain == "plane", reading.coded
        value, shift, kind = reading.how
        self._how = (value, shift, reading.codes[STAGES.index(self.stage)], kind)
        self._cells = cells_of(info["img"])

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        if self.STRIPS:
            self._strip(block, out)
            return
        from . import _dark_kernels

        add: Any = _dark_kernels.add

        frames, gains, valid = self._arrays(block)
        about, spread = np.zeros(frames.shape[1], "f4"), np.full(frames.shape[1], np.inf, "f4")
        for frame, slot in enumerate(slots(self._cells, block)):
            add(
                frames[frame],
                gains[frame],
                valid[frame : frame + 1].reshape(-1),
                self._how,
                np.float32(self.clip),
                about,
                spread,
                _of(out, "count", slot),
                *(_of(out, name, slot).view("i8") for name in ("offset", "noise")),
                _of(out, "wrong", slot) if self._coded else _of(out, "count", slot)[:0],
                *self._levels(out, slot, "i8"),
            )

    def _arrays(self, block: ModuleBlock) -> tuple[NDArray, NDArray, NDArray]:
        """Return frames, what is recorded of gain, and valid pixels, (frame, pixel), of no frames if all are."""
        n = len(block)
        frames = np.ascontiguousarray(block["img"]).reshape(n, -1)
        gains = np.ascontiguousarray(block["gain"]).reshape(n, -1) if self._how[3] else frames
        good = block.valid("img") if block.masked("img") else np.zeros((0, frames.shape[1]), bool)
        return frames, gains, np.ascontiguousarray(good).reshape(-1, frames.shape[1])

    def _levels(self, out: Partial, slot: int, dtype: str = "") -> list[NDArray]:
        """Return level and noise of the gain of a memory cell, of no length where there is none."""
        if not self._plane:
            return [np.zeros(0, dtype or "f4")] * 2
        found = [_of(out, name, slot) for name in ("gain_level", "gain_noise")]
        return [a.view(dtype) for a in found] if dtype else found

    def _strip(self, block: ModuleBlock, out: Partial) -> None:
        """Make all of a strip, and refuse it if there is light in it."""
        from . import _dark_kernels

        strip: Any = _dark_kernels.strip

        frames, gains, valid = self._arrays(block)
        there: Any = block.valid("img")
        found = slots(self._cells, block)
        there = there.any(axis=(1, 2)) if there.ndim > 1 else there
        lit = np.zeros((2, len(frames)), np.int64)
        for slot in range(len(self._cells)):
            strip(
                frames,
                gains,
                valid,
                np.flatnonzero((found == slot) & there),
                self._how,
                np.float32(self.clip),
                self.method == "median",
                *(_of(out, name, slot) for name in ("offset", "noise", "count")),
                _of(out, "wrong", slot) if self._coded else np.zeros(0, np.int32),
                *self._levels(out, slot),
                lit,
            )
        _ = out.bad
        share = light(lit[0, there], lit[1, there], frames.shape[1], found[there])
        self._refuse(share, f"module {block.module_number}, rows {_rows(block)}")

    def _refuse(self, share: float, where: str) -> None:
        """Raise if too many frames have light."""
        if share > self.lit:
            raise ValueError(
                f"{self.name}: up to {share:.1%} of the frames have light ({where}): no dark run; expected at most "
                f"{self.lit:.1%}. Give another run, or frames= without light; lit=1 takes it as it is"
            )

    def merge(self, into: Partial, other: Partial) -> None:
        for name in into:
            # The bits of float64 outputs hold int64 sums until `finalize`: 0 is 0 in both.
            exact = into[name].dtype == np.float64
            ours, theirs = (a.view("i8") if exact else a for a in (into[name], other[name]))
            ours += theirs

    def finalize(self, totals: Partial) -> None:
        if not self.STRIPS:
            self._divide(totals)
        for module in range(totals.offset.shape[2]):
            for cell in range(totals.offset.shape[1]):
                self._judge(totals, (0, cell, module))

    def _divide(self, totals: Partial) -> None:
        """Turn integer sums into means and standard deviations."""
        from ._dark_kernels import divide

        count = totals.count.reshape(-1)
        for mean, spread in (("offset", "noise"), ("gain_level", "gain_noise"))[: 1 + self._plane]:
            a, b = (np.reshape(totals[name], -1, copy=False) for name in (mean, spread))
            divide(count, a.view("i8").copy(), b.view("i8").copy(), a, b)

    def _judge(self, totals: Partial, at: tuple[int, ...]) -> None:
        """Set the bits of the bad pixels of a module in a memory cell."""
        offset, noise, count = (totals[name][at] for name in ("offset", "noise", "count"))
        few = count < self.least
        known = noise[~few & np.isfinite(noise)]
        usual = float(np.median(known)) if len(known) else 0.0
        bits = few * BIT["too few"]
        bits |= (~few & ~(np.isfinite(offset) & np.isfinite(noise))) * BIT["not to be evaluated"]
        bits |= (~few & (noise <= DEAD * usual)) * BIT["dead"]
        bits |= far(offset, ~few, self.offset_sigma, self.offset_range, STEP) * BIT["hot or low"]
        bits |= far(noise, ~few, self.noise_sigma, self.noise_range) * BIT["noisy"]
        if self._plane:
            level = totals.gain_level[at]
            bits |= far(level, ~few, self.offset_sigma, None, STEP) * BIT["gain level of another stage"]
        if self._coded:
            wrong = totals.wrong[at]
            bits |= (wrong > WRONG * (wrong + count)) * BIT["other gain stage recorded"]
        totals.bad[at] = bits


def _of(out: Partial, name: str, slot: int) -> NDArray:
    """Return the pixels of one memory cell, flat."""
    return np.reshape(out[name][0, slot], -1, copy=False)


def _rows(block: ModuleBlock) -> str:
    strip = block.strip or slice(0, 0)
    return f"{strip.start}-{strip.stop - 1}"


def far(
    values: NDArray,
    good: NDArray,
    sigmas: float,
    limits: tuple[float, float] | None = None,
    least: float = 0.0,
) -> NDArray:
    """Return which good values are far off their median, more than `least`, or outside of limits."""
    known = values[good & np.isfinite(values)]
    if not len(known):
        return np.zeros(values.shape, bool)
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle))
    out = np.abs(values - middle) > max(sigmas * spread, least)
    if limits is not None:
        out |= (values < limits[0]) | (values > limits[1])
    return good & out


def shares(dark: xr.Dataset, name: str = "dark") -> pd.DataFrame:
    """Return the share of bad pixels by cause, for each gain stage and module; "any" is those with any.

    Parameters
    ----------
    dark : Dataset
        Of a result of `Pedestal`.
    name : str
        Of the algorithm.
    """
    import pandas as pd

    bad = dark[f"{name}.bad"]
    over = [d for d in bad.dims if d in ("cell", "ss", "fs")]
    found = {cause: ((bad & bit) != 0).mean(over) for cause, bit in BIT.items()}
    found["any"] = (bad != 0).mean(over)
    return pd.DataFrame({cause: share.to_series() for cause, share in found.items()})
