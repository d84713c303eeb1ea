"""Statistics of `signal`: the background of each ASIC, frames in which it is lit, and ASICs that are by no chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOTHING = -128
"""The code where no pixel is good."""
STEP = 4.0
"""Codes per square root of a pixel; their standard deviation by chance is `STEP` / sqrt(2)."""
LOW = (0.1, 0.25)
"""Shares of frames below the codes that the background is made of: they are without signal if half of all are."""
NORMAL = (-1.281552, -0.674490)
"""The same of a normal distribution, in standard deviations."""
QUIET = 0.25
"""Share of ASICs that are narrower than what is usual: those with signal in many frames are wide."""
WIDEST = 2.0
"""How much wider than by chance that is at most: more is signal that comes and goes everywhere."""
WIDER = 1.25
"""How much wider than that others may be."""
TOP = 126.0
"""Codes above this are the highest, and lit."""
CHANCE = STEP / np.sqrt(2)
"""Standard deviation of codes, if pixels are lit and dim by chance alone."""
MEDIAN = 1.2533
"""Standard error of a median, over that of a mean."""
ENOUGH_TRAINS = 8
"""From this many on, trains count rather than frames: what happens in one may have one cause."""
AT_LEAST = 3
"""Trains, or frames, in which an ASIC must be lit."""

FAR = 6.0
"""Standard deviations of what ASICs without signal have all the time, from which on one is in doubt."""
NOISE = 3
"""Medians of 0, as noise alone has them, beside those of ASICs without signal, of which there may be none."""


@dataclass(frozen=True)
class Limits:
    """What makes a frame lit, and an ASIC signal."""

    snr: float
    rate: float
    """Of a run of which anything is marked by chance."""
    least: float
    """Share of the frames in which an ASIC must be lit."""


@dataclass(frozen=True)
class Background:
    """Codes of an ASIC without signal, (asic,): NaN where nothing is known."""

    middle: NDArray
    width: NDArray
    median: NDArray
    """Of the frames that it is made of."""
    usual: float
    """Width of ASICs without signal."""


@dataclass(frozen=True)
class Lit:
    """What became of each ASIC, (asic,)."""

    frames: NDArray
    """Frames that it has."""
    occupancy: NDArray
    """Share of them in which it is lit; NaN without any."""
    significant: NDArray
    unclear: NDArray
    """Those that are not, but have far more background than others."""


def highest(fraction: float, dim: NDArray, good: NDArray) -> NDArray:
    """Return the codes of frames of which a fraction of the pixels is lit beside those that noise lights."""
    return STEP * (np.sqrt(dim + fraction * good + 0.375) - np.sqrt(dim + 0.375))


def background(codes: NDArray, quiet: NDArray | None) -> Background:
    """Return the background of ASICs, from the frames of which they have least.

    Parameters
    ----------
    codes : ndarray of int8, (frame, asic)
    quiet : ndarray of bool, (frame,), optional
        Frames known to be without X-rays, in place of all.
    """
    low, width, median = np.full((3, codes.shape[1]), np.nan)
    for asic in range(codes.shape[1]):
        own = codes[:, asic] if quiet is None else codes[quiet, asic]
        if (own > NOTHING).any():
            lowest, low[asic], median[asic] = _quantiles(own, (*LOW, 0.5))
            width[asic] = (low[asic] - lowest) / (NORMAL[1] - NORMAL[0])
    usual = np.nanquantile(width, QUIET) if np.isfinite(width).any() else CHANCE
    usual = float(np.clip(usual, CHANCE, WIDEST * CHANCE))
    width = np.where(np.isnan(width), np.nan, np.clip(width, usual, WIDER * usual))
    return Background(np.minimum(low - NORMAL[1] * width, median), width, median, usual)


def _quantiles(codes: NDArray, at: tuple[float, ...]) -> NDArray:
    """Return the codes below which these shares of them are, in fractions; ones that say nothing do not count."""
    below = np.cumsum(np.bincount(codes.astype(np.int16) - NOTHING, minlength=-2 * NOTHING)[1:])
    edges = np.arange(NOTHING, -NOTHING) + 0.5
    return np.interp(np.array(at) * below[-1], np.concatenate([[0], below]), edges)


def judge(
    codes: NDArray,
    trains: NDArray,
    seen: NDArray,
    quiet: NDArray | None,
    ground: Background,
    most: NDArray,
    limits: Limits,
) -> Lit:
    """Return in which share of frames each ASIC is lit, and whether that is signal.

    Noise makes as many ASICs unusually dark as it makes unusually bright, whatever its distribution: how often any is
    dark says how often one would be bright by chance.

    Parameters
    ----------
    codes : ndarray of int8, (frame, asic)
    trains : ndarray of int, (frame,)
        In ascending order.
    seen : ndarray of bool, (frame,)
        Frames that are looked at: all, or those that are known to be lit.
    quiet : ndarray of bool, (frame,), optional
        Those that are known to be dark: what is bright in them is no signal either.
    most : ndarray, (asic,)
        The most that is background.
    """
    borders = np.flatnonzero(np.diff(trains[seen], prepend=-1))
    lit, dark, frames, count = np.zeros((4, codes.shape[1]), np.int64)
    middle = np.minimum(ground.middle, most)
    for asic in range(codes.shape[1]):
        own, distance = codes[seen, asic], limits.snr * ground.width[asic]
        there = own > NOTHING
        up = there & (own > min(middle[asic] + distance, TOP))
        down = there & (own < min(middle[asic], 0) - distance)
        frames[asic], count[asic] = there.sum(), up.sum()
        lit[asic], dark[asic] = (_times(flags, borders) for flags in (up, down))
        if quiet is not None:
            bright = np.count_nonzero(codes[quiet, asic] > min(middle[asic] + distance, TOP))
            dark[asic] += -(-bright * seen.sum() // max(1, quiet.sum()))
    occupancy = np.divide(count, frames, where=frames > 0, out=np.full(len(frames), np.nan))
    known = np.isfinite(ground.middle) & (frames > 0)
    occupancy[~known] = np.nan
    tests = max(1, int(known.sum()))
    chance = np.maximum((dark[known].sum() + 1) / tests, dark + 4 * np.sqrt(dark))
    by_chance = _at_least(lit, chance) < limits.rate / tests
    often = (lit >= AT_LEAST) & (count >= limits.least * frames)
    times = len(borders) if len(borders) >= ENOUGH_TRAINS else int(seen.sum())
    significant = known & ((by_chance & often) | always(ground, most, times, limits.snr))
    # Of frames that are known to be dark the background has no X-rays.
    others = known & ~significant & (quiet is None)
    return Lit(frames, occupancy, significant, others & higher(ground, others, times))


def always(ground: Background, most: NDArray, times: int, snr: float) -> NDArray:
    """Return which ASICs have more than is background in half of their frames, by more than chance, (asic,).

    Parameters
    ----------
    times : int
        Independent measurements of the median.
    """
    error = snr * MEDIAN * ground.usual / np.sqrt(max(times, 1))
    return np.nan_to_num(ground.median, nan=-np.inf) > np.minimum(most + error, TOP)


def higher(ground: Background, others: NDArray, times: int) -> NDArray:
    """Return which ASICs have far more lit pixels in half of their frames than ASICs without signal have, (asic,).

    Skewed noise and a few hot pixels in most ASICs move all of them: those that have least say what is usual.

    Parameters
    ----------
    others : ndarray of bool, (asic,)
        Those without signal, as far as is known.
    times : int
        Independent measurements of the median.
    """
    medians = np.concatenate([ground.median[others], np.zeros(NOISE)])
    lowest, low = np.quantile(medians, LOW)
    error = MEDIAN * ground.usual / np.sqrt(max(times, 1))
    spread = max(error, (low - lowest) / (NORMAL[1] - NORMAL[0]))
    return np.nan_to_num(ground.median, nan=-np.inf) > low + (FAR - NORMAL[1]) * spread


def _times(flags: NDArray, borders: NDArray) -> int:
    """Return in how many trains there is such a frame, or how many frames where there are few trains."""
    if len(borders) < ENOUGH_TRAINS:
        return int(flags.sum())
    return int(np.logical_or.reduceat(flags, borders).sum())


def _at_least(n: NDArray, mean: NDArray) -> NDArray:
    """Return a limit of the chance that a Poisson number is at least `n`, after Chernoff."""
    n = np.maximum(n, mean)
    return np.exp(n - mean - n * np.log(n / mean))
