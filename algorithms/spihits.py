"""SpiHitFinder: frames in which a single particle was hit, by lit pixels and a threshold that follows the run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from .litframes import bounds, level, usable

if TYPE_CHECKING:
    from xarray import Dataset

MODES, BASES = ("adaptive", "fixed"), ("hit", "miss")
COUNTER, FINDER = "REDU/LITPX_COUNTER", "REDU/SPI_HITFINDER"
"""Devices of EXtra-redu's layout, below the detector."""
MOST_MODULES = 16
THRESHOLDS = {"threshold": "value", "mu": "mu", "sigma": "sig"}
SETTINGS = {
    "mode": "mode",
    "snr": "snr",
    "minScores": "min_scores",
    "lqr": "lqr",
    "fixedThreshold": "fixed_threshold",
    "hitrateWindowSize": "hitrate_window",
    "xgmNormalization": "xgm_norm",
    "xgmMinimalEnergy": "xgm_min",
    "missFraction": "miss_fraction",
    "missFractionBase": "miss_base",
    "missFractionAbs": "miss_fraction_abs",
}
"""Key of a device in EXDF files -> option."""
NORMAL = 1.34896
"""Interquartile range of a normal distribution, in standard deviations."""


class SpiHitFinder(Algorithm):
    """Find the frames in which a particle was hit, and keep some of the others.

    Parameters
    ----------
    threshold : float, optional
        A pixel above this is lit; 0.7 photons of corrected data by default.
    mode : {"adaptive", "fixed"}
        Scores above a threshold that follows the scores around a train, or above `fixed_threshold`, are hits.
    snr : float
        Standard deviations of the scores that the threshold is above their median.
    min_scores : int
        Scores that it is made of at least: those of a train, and of as many before as after it.
    lqr : bool
        Take the width from the quartile below the median, which many hits do not change.
    fixed_threshold : float
    hitrate_window : int
        Trains that the smoothed hit rate is of.
    xgm_norm : bool
        Scale scores by the median energy around a train over that of the frame, where `energy` is given.
    xgm_min : float
        Frames of no more energy are neither hits nor kept, where `energy` is given.
    miss_fraction : float
        Misses that are kept, as a share of the hits (or misses, see `miss_base`).
    miss_base : {"hit", "miss"}
    miss_fraction_abs : float
        Misses that are kept where these are fewer, as a share of the frames.
    img : Frames
        ``Frames("image.data")`` by default; the modules that are near the beam: ``Frames(modules=(3, 4, 8, 15))``.
    energy : PulseKey or Labels, optional
        Energy of each frame, in the unit of `xgm_min`: ``PulseKey("data.intensityTD")``,
        ``Labels(result, "litfrm.energy")``.

    Outputs
    -------
    lit_pixels, unmasked_pixels : int32, intensity : float64, (frame, chosen module)
        Pixels above the threshold, those that are not bad, and the sum of these.
    score : int64, (frame,)
        Share of lit pixels times the pixels of all chosen modules, scaled by energy, cut to a whole number.
    hit, miss, selected : bool, (frame,)
        Hits, misses that are kept, both together; ``frames=`` of a later pass takes `selected`.
    threshold, mu, sigma, hit_rate, hit_rate_smooth : float64, (train,)
        Of the scores around the train; NaN in trains without a frame.

    Notes
    -----
    EXDF files also have the layouts of EXtra-redu, ``{DET}/REDU/SPI_HITFINDER`` and ``LITPX_COUNTER``.

    As SpiHitfinder of EXtra-redu 1.1, with the same draw of misses (numpy's legacy generator, seeded with the id of the
    first train with frames); but a frame of which no pixel is good has score 0, no more misses are drawn than there
    are, and trains without a frame are left out. The window of a train is widened on both sides until it has
    `min_scores` good scores, by one fewer after it.
    """

    threshold: float | None
    mode: str
    hitrate_window: int
    ALG_ID = "spihits"
    HELP = "hits of single particles: lit pixels above a threshold that follows the run"
    SELECTS = "selected"
    inputs = {"img": Frames("image.data"), "energy": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--threshold", type=float, help="a pixel above this is lit; default 0.7 photons of corrected data"
        )
        add("--mode", choices=MODES, default="adaptive", help="how the threshold of scores is found")
        add("--snr", type=float, default=4.0, help="standard deviations above the median of scores")
        add("--min-scores", type=int, default=100, help="scores that a threshold is made of")
        add("--lqr", action="store_true", help="width from the quartile below the median")
        add("--fixed-threshold", type=float, default=0.0, help="of scores, with --mode fixed")
        add("--hitrate-window", type=int, default=200, help="trains of the smoothed hit rate")
        add("--no-xgm-norm", dest="xgm_norm", action="store_false", help="do not scale scores by energy")
        add("--xgm-min", type=float, default=200.0, help="energy that a frame must be above")
        add("--miss-fraction", type=float, default=1.0, help="misses to keep, as a share of hits")
        add("--miss-base", choices=BASES, default="hit", help="what that is a share of")
        add("--miss-fraction-abs", type=float, default=0.01, help="misses to keep at least, of all frames")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = {alias: what for alias, what in self.inputs.items() if what is not None}
        for name in ("miss_fraction", "miss_fraction_abs"):
            if not 0 <= getattr(self, name) <= (1 if name.endswith("abs") else np.inf):
                raise ValueError(f"spihits: {name}={getattr(self, name)!r}: expected a share, from 0")
        for name in ("min_scores", "hitrate_window"):
            if getattr(self, name) < 1:
                raise ValueError(f"spihits: {name}={getattr(self, name)!r}: expected at least 1")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if img.dtype.kind not in "fiu" or (self.threshold is None and img.dtype.kind != "f"):
            raise PlanError(
                f"spihits: {img.name} {img.key} is {img.dtype}: give threshold=, in its unit, or read corrected data"
            )
        if "energy" in self.inputs and info["energy"].kind not in ("pulses",):
            raise PlanError(
                f"spihits: energy is {info['energy'].name} {info['energy'].key}, not one value per frame: "
                "PulseKey(...) or Labels(result, ...)"
            )
        chosen: dict[str, Any] = {
            "shape": (len(img.modules),),
            "dims": ("chosen",),
            "coords": {"chosen": np.array(img.modules)},
        }
        rows: dict[str, Any] = {"stage": "rows"}
        at = f"{level(self.threshold):g} {img.unit}".strip()
        of_trains = {
            "threshold": "score above which a frame is a hit",
            "mu": "median of the scores around a train",
            "sigma": "their standard deviation, by quartiles",
            "hit_rate": "share of hits",
            "hit_rate_smooth": f"share of hits in {self.hitrate_window} trains",
        }
        return {
            "lit_pixels": Output(per="img", dtype="i4", doc=f"pixels above {at}", **chosen),
            "unmasked_pixels": Output(per="img", dtype="i4", doc="good pixels", **chosen),
            "intensity": Output(per="img", unit=img.unit, doc="sum of the good pixels", **chosen),
            **({"energy": Output(per="img", merge="max", store=False)} if "energy" in self.inputs else {}),
            "score": Output(per="img", dtype="i8", doc="lit pixels, if all were good", **rows),
            "hit": Output(per="img", dtype="?", doc="a particle was hit", **rows),
            "miss": Output(per="img", dtype="?", doc="no hit, but kept", **rows),
            "selected": Output(per="img", dtype="?", doc="a hit, or kept", **rows),
            **{name: Output(per="train", doc=doc, **rows) for name, doc in of_trains.items()},
            **_layout(img, self.mode),
        }

    def run_values(self, info: RunInfo) -> Mapping[str, Mapping[str, Any]]:
        img = info["img"]
        padding = [0] * (MOST_MODULES - len(img.modules))
        modules = {"modules": [*img.modules, *padding], "numModules": len(img.modules)}
        options = {key: getattr(self, name) for key, name in SETTINGS.items()}
        return {
            f"{img.name}/{COUNTER}": {**modules, "threshold": level(self.threshold)},
            f"{img.name}/{FINDER}": {**modules, **options},
        }

    def initialize(self, info: RunInfo) -> None:
        self._pixels = int(np.prod(info["img"].shape))

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._frame_kernels import count_lit

        frames = usable(block)
        high, low = bounds(level(self.threshold), frames.dtype)
        counts, total = np.zeros((3, len(block)), np.int32), np.zeros(len(block))
        count_lit(frames.reshape(len(block), -1), high, low, counts[0], counts[1], counts[2], total)
        out.lit_pixels[:, block.module] += counts[0]
        out.unmasked_pixels[:, block.module] += counts[2]
        out.intensity[:, block.module] += total
        if "counter_litPixels" in out:
            out.counter_litPixels[:, block.module] += counts[0]
            out.counter_unmaskedPixels[:, block.module] += counts[2]
            out.counter_totalIntensity[:, block.module] += total.astype("i8")
        if "energy" in self.inputs:
            out.energy = np.where(block.valid("energy"), block["energy"], np.nan)

    def finalize_rows(self, rows: Dataset, out: Partial) -> None:
        known = rows["lit_pixels_valid"].values.reshape(len(rows["lit_pixels"]), -1).any(axis=1)
        trains = rows["train"].values
        if not known.any():
            return
        own = np.flatnonzero(known)
        energy = rows["energy"].values[own] if "energy" in rows else None
        found = _Hits(self, rows["train_id"].values[own], energy)
        found.find(self._score(rows, own))
        for name in ("score", "hit", "miss", "selected"):
            out[name][own] = getattr(found, name)
        if "finder_hitscore" in out:
            flags = {"hitFlag": found.hit, "missFlag": found.miss, "dataFlag": found.selected}
            for name, values in {"hitscore": found.score, **flags}.items():
                out[f"finder_{name}"][own] = values
        at = np.searchsorted(trains, found.trains)
        for name in ("threshold", "mu", "sigma", "hit_rate", "hit_rate_smooth"):
            out[name][:] = np.nan
            out[name][at] = getattr(found, name)
        for name, key in THRESHOLDS.items():
            if f"threshold_{key}" in out:
                out[f"threshold_{key}"][at] = getattr(found, name)

    def _score(self, rows: Dataset, own: NDArray) -> NDArray:
        """Return the lit pixels of frames, as if all pixels were good, (frame,)."""
        lit, good = (rows[name].values[own].sum(axis=1) for name in ("lit_pixels", "unmasked_pixels"))
        return np.divide(lit, good, where=good > 0, out=np.zeros(len(own))) * self._pixels


def _layout(img: InputInfo, mode: str) -> dict[str, Output]:
    """Return the outputs that are the layout of EXtra-redu in EXDF files; it has one for frames with pulse ids."""
    if not len(img.pulses):
        return {}
    wide: dict[str, Any] = {"shape": (len(img.modules),), "dtype": "i8"}
    counted = ("litPixels", "unmaskedPixels", "totalIntensity")
    flags = {name: {"dtype": "?"} for name in ("hitFlag", "missFlag", "dataFlag")}
    frames: dict[str, Any] = {"hitscore": {"dtype": "i8"}, **flags}
    of_trains = [key for key in THRESHOLDS.values() if mode == "adaptive" or key == "value"]

    def named(device: str, key: str, **how: Any) -> Output:
        return Output(**how, store="exdf", exdf=(f"{img.name}/{device}:output", key))

    return {
        **{f"counter_{k}": named(COUNTER, f"data.{k}", per="img", **wide) for k in counted},
        **{
            f"finder_{k}": named(FINDER, f"data.{k}", per="img", stage="rows", **how)
            for k, how in frames.items()
        },
        **{f"threshold_{k}": named(FINDER, f"threshold.{k}", per="train", stage="rows") for k in of_trains},
    }


class _Hits:
    """Scores of frames in the order of trains, and what follows from them."""

    def __init__(self, options: SpiHitFinder, train_ids: NDArray, energy: NDArray | None) -> None:
        self._options: Any = options
        self.trains, self._first, self._count = np.unique(train_ids, return_index=True, return_counts=True)
        self._energy = energy
        self._good = np.ones(len(train_ids), bool) if energy is None else energy > options.xgm_min  # type: ignore[attr-defined]

    def find(self, score: NDArray) -> None:
        """Find hits, and the misses that are kept."""
        if self._energy is not None and self._options.xgm_norm:
            score = self._scaled(score)
        self.score = score.astype(np.int64)
        self._find_threshold()
        self.hit = self._good & (self.score > np.repeat(self.threshold, self._count))
        self._find_rate()
        self.miss = self._misses()
        self.selected = self.hit | self.miss

    def _scaled(self, score: NDArray) -> NDArray:
        """Return scores as of frames with the median energy around their train."""
        energy: Any = self._energy
        usual, _ = self._around(energy, np.isfinite(energy))
        lacks = np.isnan(usual)
        if lacks.all():
            return score
        usual[lacks] = np.interp(np.flatnonzero(lacks), np.flatnonzero(~lacks), usual[~lacks])
        factor = np.divide(np.repeat(usual, self._count), energy, where=self._good, out=np.ones(len(score)))
        return score * factor

    def _find_threshold(self) -> None:
        options, trains = self._options, len(self.trains)
        self.mu = self.sigma = np.full(trains, np.nan)
        self.threshold = np.full(trains, float(options.fixed_threshold))
        if options.mode == "adaptive":
            self.mu, self.sigma = self._around(self.score, self._good)
            self.threshold = self.mu + options.snr * self.sigma

    def _around(self, values: NDArray, good: NDArray) -> tuple[NDArray, NDArray]:
        """Return median and width of the good values around each train, (train,)."""
        mu, sigma = np.full((2, len(self.trains)), np.nan)
        for train, (start, stop) in enumerate(self._windows(np.cumsum(good))):
            own = values[start:stop][good[start:stop]]
            if len(own):
                low, mu[train], high = np.quantile(own, [0.25, 0.5, 0.75])
                sigma[train] = (2 * (mu[train] - low) if self._options.lqr else high - low) / NORMAL
        return mu, sigma

    def _windows(self, known: NDArray) -> list[tuple[int, int]]:
        """Return the frames around each train, ``start:stop``, given how many good ones there are up to each."""
        windows, start, stop = [], 0, 0
        for first, count in zip(self._first.tolist(), self._count.tolist(), strict=True):
            last = first + count
            before, upto = known[first], known[last - 1]
            extent = max(0, (self._options.min_scores - (upto - before + 1)) // 2)
            if not extent:
                start, stop = first, last
            else:
                if before - known[0] < extent:
                    start = 0
                elif (at := np.searchsorted(known, before - extent, "right")) < first:
                    start = max(start, int(at))
                if known[-1] - upto < extent:
                    stop = len(known)
                elif (at := np.searchsorted(known, extent + upto)) < len(known):
                    stop = max(stop, int(at))
            windows.append((start, stop))
        return windows

    def _find_rate(self) -> None:
        hits = np.add.reduceat(self.hit.astype(float), self._first)
        self.hit_rate = hits / self._count
        self.hit_rate_smooth = self._smooth(hits) / self._smooth(self._count)

    def _smooth(self, values: NDArray) -> NDArray:
        """Return the running mean over trains; there is nothing beyond the first and the last."""
        window = self._options.hitrate_window
        total = np.cumsum(np.pad(values, (window // 2, window - window // 2)))
        return (total[window:] - total[:-window]) / window

    def _misses(self) -> NDArray:
        """Draw the misses that are kept: as many as hits around them, and some where there are few."""
        options, missed = self._options, self._good & ~self.hit
        rate, base = np.repeat(self.hit_rate_smooth, self._count), self.hit
        if options.miss_base == "miss":
            rate, base = 1 - rate, missed
        few = rate * options.miss_fraction < options.miss_fraction_abs
        wanted = self._good[few].sum() * options.miss_fraction_abs + base[~few].sum() * options.miss_fraction
        rate[few] = options.miss_fraction_abs
        weights, kept = rate[missed], np.zeros(len(rate), bool)
        n = min(int(wanted + 0.5), int(np.count_nonzero(weights)))
        if n:
            # The generator of EXtra-redu, so that the same are drawn.
            draw = np.random.RandomState(int(self.trains[0]) % 2**32)
            kept[draw.choice(np.flatnonzero(missed), size=n, replace=False, p=weights / weights.sum())] = True
        return kept
