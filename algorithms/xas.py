"""Xas: absorption against photon energy, as the ratio of sums of a signal and of the incoming intensity."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, From, Labels, Output, Partial, PlanError, RunInfo, Train

from ._azint_sums import scatter

MODES = ("fluorescence", "transmission")


class Xas(Algorithm):
    """Absorption at each step of the photon energy, with its error.

    Parameters
    ----------
    steps : sequence of float, optional
        Energies of the scan, rising; each value belongs to the nearest one, if it is near enough.
    tolerance : float, optional
        How far from a step a value may be; half the smallest distance of two steps by default. One step needs it.
    edges : sequence of float, optional
        Edges of bins instead of `steps`, for scans without steps: each bin holds its lower edge, the last both.
    mode : {"fluorescence", "transmission"}
        y / x, or -ln(y / x).
    min_i0 : float
        Frames whose incoming intensity is not above this are left out, and counted; 0 by default.
    signal : From, Key, PulseKey or Labels
        y: the fluorescence or the transmitted intensity; ``From("spectrum.sum")`` by default. One value per frame.
    i0 : Key, PulseKey, From or Labels
        x: the incoming intensity, one value per frame or per train.
    energy : Key, PulseKey or Labels
        One value per train or per frame.

    Outputs
    -------
    mu : float64, (energy,)
        Ratio of the sums over frames, sum(y) / sum(x), or minus its logarithm; NaN where there is no frame.
    error : float64, (energy,)
        Its standard error, from the spread of the frames; NaN where there are fewer than two, or there is no spread.
    signal, i0 : float64, (energy,)
        The sums.
    frames : int64, (energy,)
        Frames that are in them.
    left_out : int64, (energy,)
        Frames at this energy without signal, or whose incoming intensity is missing or too small.
    outside : int64
        Frames at no energy of the scan, or of which the energy is missing.

    Notes
    -----
    With R = sum y / sum x of n frames, var(R) = n / (n - 1) sum (y - R x)^2 / (sum x)^2 [1]_: what y and x have in
    common cancels. The error of -ln R is that of R over R. The mean of the ratios y / x is another quantity, which weak
    shots dominate; it is not made.

    References
    ----------
    .. [1] W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    """

    steps: Sequence[float] | None
    tolerance: float | None
    edges: Sequence[float] | None
    mode: str
    min_i0: float
    ALG_ID = "xas"
    HELP = "absorption against photon energy: ratio of sums of signal and incoming intensity"
    WHOLE_FRAMES = True
    inputs = {"signal": From("spectrum.sum"), "i0": None, "energy": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--steps", type=float, nargs="+", help="energies of the scan")
        add("--tolerance", type=float, help="how far from a step; default half the smallest distance")
        add("--edges", type=float, nargs="+", help="edges of bins of energy, in place of --steps")
        add("--mode", choices=MODES, default="fluorescence", help="y / x or -ln(y / x)")
        add("--min-i0", type=float, default=0.0, help="frames must have more incoming intensity")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if (self.steps is None) == (self.edges is None):
            raise ValueError("xas: give steps=, the energies of the scan, or edges=, of bins of energy")
        for name, least in (("steps", 1), ("edges", 2)):
            if (given := getattr(self, name)) is not None:
                setattr(self, name, _rising(name, given, least))
        if self.tolerance is not None and not (self.steps and 0 <= self.tolerance < np.inf):
            raise ValueError(f"xas: tolerance={self.tolerance}: expected a number from 0, with steps=")
        if self.tolerance is None and self.steps and len(self.steps) == 1:
            raise ValueError(
                f"xas: steps={self.steps}: expected tolerance= with a single step: how far from it a value may be"
            )
        if not self.min_i0 < np.inf:
            raise ValueError(f"xas: min_i0={self.min_i0}: expected a number")
        edges = np.asarray(self.edges or self.steps, "f8")
        self._centres = edges if self.edges is None else (edges[1:] + edges[:-1]) / 2
        self._count = len(self._centres)
        self._reach = (
            np.diff(self._centres).min(initial=np.inf) / 2 if self.tolerance is None else self.tolerance
        )
        lacking = [alias for alias in self.inputs if self.inputs[alias] is None]
        if lacking:
            raise ValueError(
                f"xas: give {' and '.join(f'{alias}=' for alias in lacking)}, such as PulseKey(...) or Key(source, key)"
            )
        # The first one has the frames, which labels are joined to.
        self.inputs = dict(sorted(self.inputs.items(), key=lambda item: isinstance(item[1], Labels)))

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        signal, energy = info["signal"], info["energy"]
        for alias in ("signal", "i0", "energy"):
            if info[alias].shape not in ((), (1,)):
                raise PlanError(
                    f"xas: {alias} is {info[alias].name} {info[alias].key} with values of shape {info[alias].shape}; "
                    "expected one number per frame or per train"
                )
        if signal.max_per_train <= 1 < info["i0"].max_per_train:
            raise PlanError(
                f"xas: signal, {signal.name} {signal.key}, has one value per train, i0 up to "
                f"{info['i0'].max_per_train}: it would count as often; expected one value per frame of both"
            )
        axis: dict[str, Any] = {
            "shape": (self._count,),
            "dims": ("energy",),
            "coords": {"energy": (self._centres, energy.unit)},
        }
        whole = {"dtype": "i8", **axis}
        return {
            "mu": Output(doc=f"absorption, {self.mode}", **axis),
            "error": Output(doc="standard error of mu", **axis),
            "signal": Output(unit=signal.unit, doc="sum of the signal", **axis),
            "i0": Output(unit=info["i0"].unit, doc="sum of the incoming intensity", **axis),
            "frames": Output(doc="frames used", **whole),
            "left_out": Output(doc="frames without signal, or with too little incoming intensity", **whole),
            "outside": Output(dtype="i8", doc="frames at no energy of the scan"),
            **{name: Output(store=False, **axis) for name in ("yy", "xx", "xy")},
        }

    def process_train_data(self, train: Train, out: Partial) -> None:
        y, x, energy = np.broadcast_arrays(*(_values(train, alias) for alias in ("signal", "i0", "energy")))
        step = self.step_of(energy)
        at = step >= 0
        good = at & np.isfinite(y) & np.isfinite(x)
        good[good] = x[good] > self.min_i0
        out.outside += (~at).sum()
        out.left_out += np.bincount(step[at & ~good], minlength=self._count)
        out.frames += np.bincount(step[good], minlength=self._count)
        self._add(step[good], y[good], x[good], out)

    def _add(self, step: NDArray, y: NDArray, x: NDArray, out: Partial) -> None:
        """Add to the sums of steps, by frames in order."""
        products = {"signal": y, "i0": x, "yy": y * y, "xx": x * x, "xy": x * y}
        for name, values in products.items():
            out[name][...] += np.bincount(step, values, self._count)

    def finalize(self, totals: Partial) -> None:
        if not totals.frames.any():
            warnings.warn(
                f"xas: no frame was used, all is NaN: {int(totals.outside)} at no energy of the scan, "
                f"{int(totals.left_out.sum())} without signal or enough incoming intensity",
                stacklevel=2,
            )
        # Where min_i0 lets negative ones in, their sum may be anything.
        x = np.where(totals.i0 > 0, totals.i0, np.nan)
        mu = totals.signal / x
        error = np.sqrt(scatter(totals.frames, mu, totals.yy, totals.xy, totals.xx)) / x
        if self.mode == "transmission":
            some = np.where(mu > 0, mu, np.nan)
            mu, error = -np.log(some), error / some
        totals.mu[...], totals.error[...] = mu, error

    def step_of(self, energy: NDArray) -> NDArray:
        """Return the number of the step, or bin, that each energy belongs to; -1 for none."""
        if self.edges is not None:
            number = np.searchsorted(self.edges, energy, side="right") - 1
            number[energy == self.edges[-1]] = self._count - 1
            return np.where((number < self._count) & np.isfinite(energy), number, -1)
        off = np.abs(energy[:, None] - self._centres)
        # NaN is not near anything.
        return np.where(off.min(axis=1) <= self._reach, off.argmin(axis=1), -1)


def _values(train: Train, alias: str) -> NDArray:
    """Return the numbers of a train, NaN where there are none: integers do not say so."""
    values = np.ravel(train[alias]).astype("f8")
    return np.where(np.ravel(train.valid(alias)), values, np.nan)


def _rising(name: str, given: Any, least: int) -> list[float]:
    """Return numbers that rise."""
    numbers = np.asarray(given, "f8")
    if numbers.ndim != 1 or len(numbers) < least or not (np.diff(numbers) > 0).all():
        raise ValueError(f"xas: {name}={given!r}: expected at least {least} rising numbers")
    return numbers.tolist()
