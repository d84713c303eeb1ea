"""Autocorrelation: each frame with itself, moved along both axes, in regions with masks; by FFT."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, Output, Partial, PlanError, RunInfo, Train

from . import _rois as rois
from ._moments import add, finish, ratio
from .litframes import refuse_others
from .spectrum import images_of

PER = ("frame", "run")
USUAL = 50
"""Pixels that frames are moved by, at most, unless something else is said."""
NOTHING = 1e-12
"""Part of the sum of absolute values that is left of nothing by transforms."""


class Autocorrelation(Algorithm):
    """Correlate each frame with itself, moved by some pixels along both axes.

    Parameters
    ----------
    range : (int, int), optional
        Pixels that a frame is moved by along ss and fs, at most; up to 50 by default.
    ss, fs, modules, rois
        Region, or several by name, as of `RoiSum`; all pixels by default. Pairs of pixels are of one module, and those
        of all modules of a region are added.
    mask : path or array, (module, ss, fs) or (ss, fs), optional
        Pixels that are not used are True, beside those that are masked in the data: of regions that are no rectangles.
    threshold : float or (float, float), optional
        Pixels below the first and above the second value count as 0.
    illumination : path or array, (module, ss, fs) or (ss, fs), optional
        Mean image that frames are divided by, such as ``average.mean`` of an earlier result. Pixels where it is NaN or
        not above 0 are not used.
    smooth : int, optional
        Pixels along each side of a square over which it is averaged first, an odd number.
    per : {"frame", "run"}
        Keep the correlation of each frame (the default), or just their mean.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    acf : float32, (frame, [roi,] lag_ss, lag_fs)
        Correlation, without a unit: 1 where there is none. NaN where no pair of pixels is valid.
    intensity : float64, (frame [, roi])
        Mean of the valid pixels, unit of the data; without illumination relative to its mean.
    average : float64, ([roi,] lag_ss, lag_fs)
        Mean of the correlations of all frames; NaN where no frame has one.
    error : float64, same shape
        Standard error of this mean from their spread; NaN of one frame.
    frames : int64, ([roi,] lag_ss, lag_fs)
        How many these are.

    Notes
    -----
    With pixels I, 0 where they are not valid, which M says, and sums over all pixels r of the region::

        A(d) = sum I(r) I(r + d) sum M(r) M(r + d) / (sum I(r) M(r + d) sum M(r) I(r + d))

    that is the symmetric normalisation [1]_: of pixels that are there in both, each with its own mean. Frames are made
    larger by zeros, so that nothing is correlated with the other end. A(0) has the noise of counting in it, 1 / mean of
    the photons. The illumination is divided by its mean over the valid pixels of the region [2]_.

    References
    ----------
    .. [1] K. Schaetzel (1990), Quantum Opt. 2, 287: noise on photon correlation data, symmetric normalisation.
    .. [2] A. Duri et al. (2005), Phys. Rev. E 72, 051401, section II: non-uniform illumination.
    """

    range: Any
    mask: Any
    threshold: Any
    illumination: Any
    smooth: int | None
    per: str
    ALG_ID = "autocorrelation"
    HELP = "spatial autocorrelation of frames in regions with masks, by FFT"
    WHOLE_FRAMES = True
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--range", type=int, nargs=2, metavar=("SS", "FS"), help="pixels moved by, at most; default 50")
        add("--threshold", type=float, nargs="+", help="LOW [HIGH]: pixels below and above count as 0")
        add("--illumination", help=".npy file, (module, ss, fs): mean image that frames are divided by")
        add("--smooth", type=int, help="average it over squares of so many pixels, odd")
        add("--per", choices=PER, default="frame", help="keep that of each frame, or only their mean")
        rois.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self._asked = rois.asked("autocorrelation", args)
        self._window = rois.window("autocorrelation", "threshold", args.threshold)
        if self.range is not None:
            most = np.asarray(self.range)
            if most.shape != (2,) or most.dtype.kind not in "iu" or (most < 0).any():
                raise ValueError(
                    f"autocorrelation: range={self.range!r}; expected pixels along ss and fs, from 0"
                )
        if self.smooth is not None and (self.smooth < 1 or self.smooth % 2 == 0):
            raise ValueError(f"autocorrelation: smooth={self.smooth}; expected an odd number of pixels")
        if self.smooth is not None and self.illumination is None:
            raise ValueError("autocorrelation: smooth= is for an illumination; give illumination=, too")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("autocorrelation", img)
        placed = rois.placed("autocorrelation", self._asked, img)
        self._weights(img, placed)
        coords = rois.axis(placed)
        regions: dict[str, Any] = {
            "shape": tuple(map(len, coords.values())),
            "dims": tuple(coords),
            "coords": dict(coords),
        }
        for axis, most in zip(("ss", "fs"), self._most(placed), strict=True):
            coords[f"lag_{axis}"] = (np.arange(-most, most + 1), "pixel")
        sizes = [len(v[0]) if isinstance(v, tuple) else len(v) for v in coords.values()]
        lags: dict[str, Any] = {"shape": tuple(sizes), "dims": tuple(coords), "coords": coords}
        unit = "" if self.illumination is not None else img.unit
        acf = Output(per="img", dtype="f4", doc="spatial autocorrelation", **lags)
        return {
            **({"acf": acf} if self.per == "frame" else {}),
            "intensity": Output(per="img", unit=unit, doc="mean of the valid pixels", **regions),
            "average": Output(merge="custom", doc="mean of the autocorrelations of frames", **lags),
            "error": Output(merge="custom", doc="standard error of this mean", **lags),
            "frames": Output(merge="custom", dtype="i8", doc="frames with a value", **lags),
        }

    def memory(self, info: RunInfo) -> int:
        # Tables of each region, its transforms and their products; the latter of one module at a time.
        img = info["img"]
        pixels = int(np.prod(img.shape[1:]))
        return (8 * len(self._asked) + 1 + 2 * 16) * pixels * len(img.modules) + 12 * 16 * pixels

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        self._rois = rois.placed("autocorrelation", self._asked, img)
        self._range = self._most(self._rois)
        self._scale = self._weights(img, self._rois)
        self._position = {number: at for at, number in enumerate(img.modules)}
        self._masks = Masks()

    def process_train_data(self, train: Train, out: Partial) -> None:
        shape = tuple(2 * most + 1 for most in self._range)
        for frame, image in enumerate(images_of(train)):
            for k, one in enumerate(self._rois):
                sums, total, pixels = np.zeros((3, *shape)), 0.0, 0
                for number, bounds in one.bounds.items():
                    cut = rois.cut(image[self._position[number]], *bounds)
                    values, valid = self._pixels(cut, self._scale[k][number])
                    if valid.any():
                        sums += products(values, valid, self._range, self._masks.of((k, number), valid))
                    total, pixels = total + values.sum(), pixels + int(valid.sum())
                here = (frame, k) if self._rois[0].name else (frame,)
                out.intensity[here] = total / pixels if pixels else np.nan
                self._add(normalised(*sums), here, out)

    def _add(self, acf: NDArray, here: tuple[int, ...], out: Partial) -> None:
        """Write the correlation of a frame and a region, and add it to the mean."""
        if self.per == "frame":
            out.acf[here] = acf
        known = np.isfinite(acf)
        frames, average, squares = (out[name][here[1:]] for name in ("frames", "average", "error"))
        add(frames, average, squares, known.astype(np.int64), np.where(known, acf, 0.0), np.zeros(acf.shape))

    def merge(self, into: Partial, other: Partial) -> None:
        add(into.frames, into.average, into.error, other.frames, other.average, other.error)

    def finalize(self, totals: Partial) -> None:
        totals.error = finish(totals.frames, totals.average, totals.error)

    def _pixels(self, image: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
        """Return the values of a region of a module, 0 of those that are not valid, and which are."""
        x = image.astype("f8")
        valid = np.isfinite(x) & (weights > 0)
        low, high = self._window
        x = np.where(valid & (x >= low) & (x <= high), x, 0.0)
        return x / np.where(valid, weights, 1.0), valid

    def _most(self, placed: Sequence[rois.Roi]) -> tuple[int, int]:
        """Return how many pixels frames are moved by; refuse more than a region has."""
        least = np.min([one.shape for one in placed], axis=0)
        most = np.minimum(USUAL, least - 1) if self.range is None else np.asarray(self.range)
        if (most >= least).any():
            raise PlanError(
                f"autocorrelation: range={tuple(most.tolist())}, but the smallest region has {least[0]} x {least[1]} "
                "pixels (ss, fs); expected less than these"
            )
        return int(most[0]), int(most[1])

    def _weights(self, img: InputInfo, placed: Sequence[rois.Roi]) -> list[dict[int, NDArray]]:
        """Return for each region what its pixels are divided by, by module; NaN of those that are not used."""
        weights = np.ones(img.shape)
        if self.illumination is not None:
            weights = rois.of_pixels("autocorrelation", "illumination", self.illumination, img).astype("f8")
            weights = weights if self.smooth is None else smoothed(weights, self.smooth)
        bad = rois.left_out("autocorrelation", self.mask, img)
        usable = np.where((bad if bad.shape[1] else False) | ~(weights > 0), np.nan, weights)
        return [self._relative(usable, one, img) for one in placed]

    def _relative(self, weights: NDArray, one: rois.Roi, img: InputInfo) -> dict[int, NDArray]:
        """Return weights over their mean in a region."""
        inside = {m: rois.cut(weights[img.modules.index(m)], *bounds) for m, bounds in one.bounds.items()}
        values = np.concatenate([part[np.isfinite(part)] for part in inside.values()])
        if not len(values):
            region = f"region {one.name!r}" if one.name else "the region"
            raise PlanError(f"autocorrelation: mask= and illumination= leave no pixel of {region}")
        return {m: part / values.mean() for m, part in inside.items()}


class Masks:
    """The transform of the valid pixels of each region, kept while these stay the same."""

    def __init__(self) -> None:
        self.known: dict[Any, Kept] = {}

    def of(self, key: Any, valid: NDArray) -> Kept:
        """Return what is kept of a region's valid pixels, or an empty place for it."""
        kept = self.known.get(key)
        if kept is None or not np.array_equal(kept.valid, valid):
            kept = self.known[key] = Kept(valid)
        return kept


class Kept:
    """Valid pixels; once they were made, their transform and how many pairs there are of them."""

    def __init__(self, valid: NDArray) -> None:
        self.valid = valid
        self.made: tuple[NDArray, NDArray] | None = None


def products(values: NDArray, valid: NDArray, most: tuple[int, int], kept: Kept | None = None) -> NDArray:
    """Return sums over pairs of pixels at each lag, (3, lag_ss, lag_fs): of products, of values, and how many.

    Parameters
    ----------
    values : ndarray, (ss, fs)
        0 where they are not valid.
    valid : ndarray of bool, (ss, fs)
    most : (int, int)
        Lags along both axes, at most.
    kept : Kept, optional
        Of these valid pixels.
    """
    # With as many zeros as lags nothing meets the other end.
    size = tuple(_fast(n + lag) for n, lag in zip(values.shape, most, strict=True))
    lags = np.ix_(*(np.arange(-lag, lag + 1) % n for lag, n in zip(most, size, strict=True)))

    def at_lags(product: NDArray) -> NDArray:
        return np.asarray(np.fft.irfft2(product, size)[lags])

    kept = Kept(valid) if kept is None else kept
    if kept.made is None:
        mask = np.fft.rfft2(valid.astype("f8"), size)
        kept.made = mask, np.rint(at_lags(np.abs(mask) ** 2))
    mask, pairs = kept.made
    own = np.fft.rfft2(values, size)
    sums = at_lags(np.conj(own) * mask)
    return np.stack(
        [at_lags(np.abs(own) ** 2), np.where(np.abs(sums) > NOTHING * np.abs(values).sum(), sums, 0.0), pairs]
    )


def normalised(product: NDArray, sums: NDArray, pairs: NDArray) -> NDArray:
    """Return the correlation of sums over pairs; NaN where there is no pair, or one of the means is 0."""
    both = sums * sums[::-1, ::-1]
    good = (pairs > 0) & (both != 0)
    return np.where(good, product * pairs / np.where(good, both, 1.0), np.nan)


def smoothed(images: NDArray, side: int) -> NDArray:
    """Return the mean of the finite pixels in a square around each one, (module, ss, fs); NaN where there are none."""
    there = np.isfinite(images)
    return ratio(_box(np.where(there, images, 0.0), side), _box(there.astype("f8"), side))


def _box(images: NDArray, side: int) -> NDArray:
    """Return the sum over a square around each pixel, cut at the edges."""
    for axis in (1, 2):
        n = images.shape[axis]
        total = np.concatenate([np.zeros_like(images.take([0], axis)), images.cumsum(axis)], axis)
        at = np.arange(n)
        high, low = np.minimum(at + side // 2 + 1, n), np.maximum(at - side // 2, 0)
        images = total.take(high, axis) - total.take(low, axis)
    return images


def _fast(n: int) -> int:
    """Return the next number that has no other factors than 2, 3 and 5: transforms of that length are fast."""
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 1
