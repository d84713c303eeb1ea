"""Spectroscopy: emission spectra of a run, and absorption where the photon energy was scanned, with one plot."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import From, Key, PlanError, PulseKey
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.xas import Xas
from dxflow.line.options import run_of
from dxflow.recipe import Parser, Recipe
from dxflow.run.open import opened

NAMES = ("SOURCE", "KEY")
MOST_STEPS, BINS = 200, 50
"""With more values than that a scan has no steps: it is cut into so many bins."""


class Spectroscopy(Recipe):
    """Emission spectra of a run, and absorption where the photon energy was scanned.

    The run is read once: spectra per frame and for the run, and with ``--scan`` and ``--i0`` their sum against the
    energy, as the ratio of sums. Of raw data, ``--dark`` is subtracted first. Steps are found in the scan unless
    ``--steps`` or ``--edges`` say them.
    """

    PLOTS = ("spectroscopy.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, the region, and what was scanned."""
        parser.add_run("run", "corrected, or raw with --dark")
        parser.add_argument(
            "--dark", help="Zarr store of average, per cell, or of dark: subtracted from raw data"
        )
        parser.add_options_of(Spectrum)
        parser.add_argument("--scan", nargs=2, metavar=NAMES, help="photon energy of each train")
        parser.add_argument("--i0", nargs=2, metavar=NAMES, help="incoming intensity, one entry per pulse")
        parser.add_options_of(Xas, "steps", "edges", "tolerance", "mode", "min_i0")

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce to spectrum.zarr."""
        chain: list[Any] = [Subtract(dark=args.dark)] if args.dark else []
        img: dict[str, Any] = {"img": From("subtract.img")} if args.dark else {}
        chain.append(Spectrum(**self.options_of(Spectrum), **img))
        if bool(args.scan) != bool(args.i0):
            raise PlanError("spectroscopy: absorption needs both scan= and i0= (--scan, --i0)")
        if args.scan:
            given = self.options_of(Xas)
            run = run_of(args.run)
            if not (args.steps or args.edges):
                given |= steps(run, *args.scan)
            absorption = Xas(i0=PulseKey(*args.i0), energy=Key(*args.scan), **given)
            refuse_outside(absorption, run, *args.scan)
            chain.append(absorption)
        self.reduce(args.run, chain, "spectrum.zarr")

    def plot(self, args: argparse.Namespace) -> None:
        """Plot the mean spectrum, spectra over trains, and absorption."""
        from dxflow.recipes._spectroscopy_plot import plot

        self.save(plot(self.results["spectrum"]), "spectroscopy.png")


def scanned(run: Any, source: str, key: str) -> NDArray:
    """Return the different values of a scan, rising."""
    run = opened(run).run
    if source not in run.all_sources or key not in run[source]:
        raise PlanError(f"spectroscopy: scan={source} {key}: the run has no such key")
    values = np.unique(run[source, key].ndarray().astype("f8").ravel())
    return values[np.isfinite(values)]


def refuse_outside(absorption: Xas, run: Any, source: str, key: str) -> None:
    """Refuse steps and edges that have no value of the scan, such as those in another unit."""
    values = scanned(run, source, key)
    if len(values) and (absorption.step_of(values) < 0).all():
        raise PlanError(
            f"spectroscopy: scan={source} {key} is from {values[0]:g} to {values[-1]:g}; no value is at a step, or "
            "between the edges, that are given"
        )


def steps(run: Any, source: str, key: str) -> dict[str, NDArray]:
    """Return the steps of a scan, or the edges of bins where it has none."""
    values = scanned(run, source, key)
    if not len(values) or values[0] == values[-1]:
        raise PlanError(f"spectroscopy: scan={source} {key} does not change: {values}")
    apart = np.diff(values) > 1e-3 * (values[-1] - values[0])
    groups = np.split(values, np.flatnonzero(apart) + 1)
    if len(groups) > MOST_STEPS:
        return {"edges": np.linspace(values[0], values[-1], BINS + 1)}
    return {"steps": np.array([np.mean(group) for group in groups])}


if __name__ == "__main__":
    Spectroscopy.script()
