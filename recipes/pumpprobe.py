"""Pump and probe: what a laser changes in I(q), against the delay, with errors and one plot."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from dxflow import Frames, From, Key, Labels, PlanError, PulseKey
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.difference import Difference
from dxflow.algorithms.subtract import Subtract
from dxflow.line.options import run_of
from dxflow.recipe import Parser, Recipe
from dxflow.recipes.spectroscopy import scanned

NAMES = ("SOURCE", "KEY")
MOST_STEPS, BINS = 200, 50
"""With more values than that a scan has no steps: it is cut into so many bins."""
NEAR = 1e-3
"""Positions of a step are within this share of the range."""
AZINT = ("geometry", "distance", "energy", "nbins", "qrange", "polarization")
WHY = {
    "unlabelled": "without a flag (no X-rays)",
    "left_out": "without incoming intensity",
    "ungrouped": "at no step",
}


class PumpProbe(Recipe):
    """What a laser changes in I(q), against the delay.

    The run is read once: I(q) of each frame, of pumped ones minus the others of the same train, at each step of
    ``--delay``. Which frames are pumped is what the decoder of pulse patterns says, unless ``--on`` does. Raw data need
    ``--dark`` or ``--constants``.
    """

    PLOTS = ("pumpprobe.png",)

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, what was scanned, and what is compared."""
        parser.add_run("run", "corrected, or raw with --dark or --constants")
        parser.add_argument(
            "--dark", help="Zarr store of average, per cell, or of dark: subtracted from raw data"
        )
        parser.add_argument(
            "--constants", help="of calibrate, for raw data: Zarr store of dark, a folder, HDF5 file"
        )
        parser.add_options_of(Calibrate, "stage")
        parser.add_argument("--delay", nargs=2, metavar=NAMES, help="position of the delay in each train")
        parser.add_argument("--tolerance", type=float, help="how far positions of a step may be apart")
        parser.add_argument(
            "--on",
            nargs="+",
            metavar="WHAT",
            help="which are pumped: SOURCE KEY, or a result; default: the decoder",
        )
        parser.add_argument("--i0", nargs=2, metavar=NAMES, help="incoming intensity, one entry per pulse")
        parser.add_argument(
            "--band", type=float, nargs=2, metavar=("FIRST", "LAST"), help="q-range that is drawn"
        )
        parser.add_options_of(Difference, "pairing", "stretch", "normalise", "min_i0")
        parser.add_options_of(AzimuthalIntegration, *AZINT)

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce to pumpprobe.zarr."""
        if args.dark and args.constants:
            raise PlanError("pumpprobe: dark= and constants= were given; expected one of them")
        before: list[Any] = [Subtract(dark=args.dark)] if args.dark else []
        before += (
            [Calibrate(constants=args.constants, **self.options_of(Calibrate, "stage"))]
            if args.constants
            else []
        )
        img: dict[str, Any] = {"img": From(f"{before[0].name}.img")} if before else {}
        shared, given = self.options_of(AzimuthalIntegration, *AZINT), self._compared(args)
        chain = [*before, AzimuthalIntegration(**shared, **img), Difference(**given)]
        if args.band:
            one = shared | {"nbins": 1, "qrange": tuple(args.band)}
            chain += [AzimuthalIntegration(name="band", **one, **img)]
            chain += [Difference(name="band_difference", x=From("band.intensity"), **given)]
        self.reduce(args.run, chain, "pumpprobe.zarr")

    def _compared(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return what differences have in common."""
        frames = Frames(detector=args.detector)
        given: dict[str, Any] = self.options_of(Difference, "pairing", "stretch", "normalise", "min_i0")
        given["on"] = pumped(args.on, frames)
        if args.i0:
            given["i0"] = PulseKey(args.i0[0], args.i0[1], frames=frames)
        if args.delay:
            given["by"] = delays(run_of(args.run), args.delay[0], args.delay[1], args.tolerance)
        return given

    def plot(self, args: argparse.Namespace) -> None:
        """Plot on, off and difference against the delay."""
        from dxflow.recipes._pumpprobe_plot import plot

        result = self.results["pumpprobe"]
        self.save(plot(result.dataset, result.manifest["plan"]["run"]), "pumpprobe.png")

    def report(self) -> str:
        """Return what all recipes do, what was compared, and where the effect is largest."""
        return "\n".join([super().report(), *said(self.results["pumpprobe"].dataset)])


def pumped(on: list[str] | None, frames: Frames) -> Labels:
    """Return the labels that ``--on`` means."""
    if on is None:
        return Labels.pumped(frames=frames)
    if len(on) > 2:
        raise PlanError(f"pumpprobe: on={on}: expected a source and a key, or a result and its output")
    return (
        Labels(*on) if len(on) == 1 or on[0].endswith((".zarr", ".h5", ".nc")) else Labels(Key(on[0], on[1]))
    )


def delays(run: Any, source: str, key: str, tolerance: float | None) -> Labels:
    """Return the steps of a delay, or bins of it where it has none, as labels of trains."""
    values, labels = scanned(run, source, key), Labels(Key(source, key))
    if not len(values) or values[0] == values[-1]:
        raise PlanError(f"pumpprobe: delay={source} {key} does not change: {values}")
    near = NEAR * (values[-1] - values[0]) if tolerance is None else tolerance
    if 1 + (np.diff(values) > near).sum() > MOST_STEPS:
        return labels.bins(BINS)
    return labels.steps(near, least=1)


def said(data: Any) -> list[str]:
    """Return what was compared: lines of a report."""
    most = {name: _most(data, name) for name in ("frames_on", "frames_off", "trains", "unpaired")}
    lines = [f"pumped   {most['frames_on']} frames, {most['frames_off']} others"]
    if "difference.trains" in data:
        lines[0] += f", in {most['trains']} pairs; {most['unpaired']} trains or stretches have one kind only"
    counts = {name: int(data[f"difference.{name}"]) for name in ("unlabelled", "left_out", "ungrouped")}
    lines.append("not used " + ", ".join(f"{n} frames {WHY[name]}" for name, n in counts.items()))
    return [*lines, largest(data)]


def _most(data: Any, name: str) -> int:
    """Return a count: that of the bin which has most, of all delays together."""
    if f"difference.{name}" not in data:
        return 0
    counts = data[f"difference.{name}"].values
    return int(counts.reshape(-1, counts.shape[-1]).max(axis=1).sum())


def largest(data: Any) -> str:
    """Say where the effect is largest, in its errors."""
    found, error = data["difference.difference"], data["difference.error"]
    ratio = np.abs(found.values / np.where(error.values > 0, error.values, np.nan))
    if not np.isfinite(ratio).any():
        return "effect   none could be compared"
    at = np.unravel_index(np.nanargmax(ratio), ratio.shape)
    where = ", ".join(f"{dim} {found[dim].values[n]:.4g}" for dim, n in zip(found.dims, at, strict=True))
    return (
        f"effect   most at {where}: {found.values[at]:.4g} +- {error.values[at]:.2g}, {ratio[at]:.1f} errors"
    )


if __name__ == "__main__":
    PumpProbe.script()
