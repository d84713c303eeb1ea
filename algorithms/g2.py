"""Intensity correlation g2 against the lag, train by train and of the run, from two-time correlations."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, Output, Partial, RunInfo

from . import _regions as regions
from ._groups import Groups
from .twotime import TwoTime, matrices, normalised, pulses, ratio

NORMS = ("frame", "symmetric")


class G2(TwoTime):
    """Correlate the frames of each train against the time between them, in regions of pixels.

    Parameters
    ----------
    labels, q, geometry, distance, energy, wavelength, period, groups, img, by : optional
        As of `TwoTime`.
    norm : {"frame", "symmetric"}
        What products are divided by, see the notes.
    channels : int, optional
        An even number m for multi-tau: lags up to m - 1 frames, then m / 2 ... m - 1 of frames that are averaged two by
        two, and so on. For long trains; by default each lag that occurs, of single frames.
    matrices : bool
        Store the matrices, too, as `TwoTime` does: 5 MB per train of 352 frames and 10 regions.

    Outputs
    -------
    g2 : float64, (train, q, lag)
        NaN where a train has no two frames so far apart.
    mean, error : float64, ([group,] q, lag)
        Mean of the trains, and its standard error from their spread; NaN of no train, and of one. With `by`, of the
        trains of each group, or of the pairs of frames that are of it.
    trains : int64, ([group,] q, lag)
        How many trains they are of.
    intensity, pixels, ungrouped, and c with `matrices`
        As of `TwoTime`.

    Coordinate ``lag``: microseconds, from pulse ids.

    Notes
    -----
    Of each train, with <> the mean over the pixels of a region, and over pairs of frames t, t + lag [1]_ ::

        frame:      < <I(t) I(t + lag)> / (<I(t)> <I(t + lag)>) >
        symmetric:  < <I(t) I(t + lag)> > / (< <I(t)> > < <I(t + lag)> >)

    The first is the mean of C along a diagonal: what frames have in common, such as the energy of their pulse,
    cancels. The second weighs frames by their brightness, as programs for storage rings do, and needs a steady beam:
    pulse energies that vary raise it at lag 0, and wherever they are correlated. Lag 0 has photon noise, too.

    Trains count alike, whatever they have of pairs and photons: each is normalised by itself, then comes the mean.

    Frames that are averaged for multi-tau are neighbours in the smallest step between pulse ids, both there.

    References
    ----------
    .. [1] D. Lumma et al. (2000), Rev. Sci. Instrum. 71, 3274-3289.
    """

    ALG_ID = "g2"
    HELP = "intensity correlation g2 against the lag, of trains and of the run, in regions of pixels (XPCS)"
    norm: str
    channels: int | None
    matrices: bool

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--norm", choices=NORMS, default="frame", help="what products are divided by")
        parser.add_argument("--channels", type=int, help="of multi-tau, even; default: all lags")
        parser.add_argument("--matrices", action="store_true", help="store two-time matrices of trains, too")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if self.channels is not None and (self.channels < 2 or self.channels % 2):
            raise ValueError(f"g2: channels={self.channels}; expected an even number from 2")

    def _results(
        self, img: InputInfo, found: regions.Regions, times: NDArray, own: Groups | None
    ) -> dict[str, Output]:
        lags = self._of(img)
        named: dict[str, Any] = {
            "shape": (len(found), len(lags.values)),
            "dims": ("q", "lag"),
            "coords": {"q": found.coordinate, "lag": (lags.values * self._step, "us")},
        }
        whole = named if own is None else own.axes(**named)
        return {
            "g2": Output(per="train", doc="g2 of the train", **named),
            "mean": Output(doc="g2, mean of the trains", **whole),
            "error": Output(doc="standard error of the mean, from the spread of trains", **whole),
            "trains": Output(dtype="i8", doc="trains with such a lag", **whole),
            **self._of_trains(img, found, times),
            **({"c": matrices(found, times)} if self.matrices else {}),
        }

    def initialize(self, info: RunInfo) -> None:
        super().initialize(info)
        self._lags = self._of(info["img"])

    def _of(self, img: InputInfo) -> Lags:
        """Return the lags between the frames that trains may have."""
        return Lags.between(pulses(img), self.channels)

    def _finish(
        self, out: Partial, at: tuple[int, ...], products: NDArray, first: NDArray, own: list
    ) -> None:
        if self.matrices:
            out.c[at] = normalised(products, first)
        out.g2[at] = self._lags.mean(products, first, self.norm)
        for slot, pairs in own:
            some = np.where(pairs, products, np.nan)
            _add(out, (slot, at[1]), self._lags.mean(some, first, self.norm))

    def finalize_chunk_processing(self, out: Partial) -> None:
        super().finalize_chunk_processing(out)
        if self._groups is None:
            for g2 in out.g2:
                _add(out, (...,), g2)

    def finalize(self, totals: Partial) -> None:
        n = totals.trains
        mean = ratio(totals.mean, n)
        squares = np.maximum(totals.error - n * np.nan_to_num(mean) ** 2, 0)
        totals.error, totals.mean = np.sqrt(ratio(squares, n * (n - 1.0))), mean + 1


def _add(out: Partial, at: tuple[Any, ...], g2: NDArray) -> None:
    """Add g2 of a train to sums, and sums of squares, of what it is above 1: squares of more would lose digits."""
    known = ~np.isnan(g2)
    excess = np.where(known, g2 - 1, 0.0)
    out.mean[at] += excess
    out.error[at] += excess**2
    out.trains[at] += known


@dataclass(frozen=True, eq=False)
class Level:
    """Frames, or averages of frames of the level before, and the lags between them."""

    pairs: tuple[NDArray, NDArray] | None
    """Which two of the level before each is the average of."""
    lag: NDArray
    """Of two frames, its position among all lags, -1 if it is none, (t, t)."""


@dataclass(frozen=True, eq=False)
class Lags:
    """Lags between frames, in pulse ids, and which pairs have them."""

    values: NDArray
    levels: tuple[Level, ...]

    @classmethod
    def between(cls, ids: NDArray, channels: int | None) -> Lags:
        """Return all lags between frames, or those of multi-tau."""
        found = [(None, ids[None] - ids[:, None])] if channels is None else _multi_tau(ids, channels)
        values = np.unique(np.concatenate([lag[lag >= 0] for _, lag in found]))
        levels = [Level(pairs, np.where(lag >= 0, np.searchsorted(values, lag), -1)) for pairs, lag in found]
        return cls(values, tuple(levels))

    def mean(self, products: NDArray, first: NDArray, norm: str) -> NDArray:
        """Return g2 of means over pixels, (lag,); NaN where there is no pair.

        Parameters
        ----------
        products, first : ndarray, (t, t)
            Means of the products of two frames and of the first of them.
        """
        totals, n = np.zeros((3, len(self.values))), np.zeros(len(self.values))
        for level in self.levels:
            if level.pairs is not None:
                products, first = _averaged(products, level.pairs), _averaged(first, level.pairs)
            terms = [normalised(products, first)] if norm == "frame" else [products, first, first.T]
            there = (level.lag >= 0) & np.isfinite(terms[0])
            at = level.lag[there]
            n += np.bincount(at, minlength=len(n))
            for total, term in zip(totals, terms, strict=False):
                total += np.bincount(at, term[there], len(n))
        if norm == "frame":
            return ratio(totals[0], n)
        bright = (totals[1] > 0) & (totals[2] > 0)
        return ratio(totals[0], np.where(bright, ratio(totals[1] * totals[2], n), 0.0))


def _multi_tau(ids: NDArray, channels: int) -> list[tuple[Any, NDArray]]:
    """Return, level by level, which two frames are averaged, and the lags that are new, -1 for others."""
    step = int(np.gcd.reduce(np.diff(ids))) if len(ids) > 1 else 1
    found: list[tuple[Any, NDArray]] = []
    at, pairs, least = (ids - ids[0]) // step, None, 0
    while len(at):
        lag = at[None] - at[:, None]
        found.append((pairs, np.where((lag >= least) & (lag < channels), lag * step, -1)))
        evens = np.flatnonzero((at[:-1] % 2 == 0) & (np.diff(at) == 1))
        at, step, least, pairs = at[evens] // 2, 2 * step, channels // 2, (evens, evens + 1)
    return found


def _averaged(x: NDArray, pairs: tuple[NDArray, NDArray]) -> NDArray:
    """Return what the averages of two frames each have, of what frames have, (t, t)."""
    a, b = pairs
    rows = x[a] + x[b]
    return (rows[:, a] + rows[:, b]) / 4
