"""Darks of a detector: offset, noise and bad pixels of one run, or of three in different gain, and a plot."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

import dxflow
from dxflow import PlanError, Result
from dxflow.algorithms.dark import Pedestal, shares
from dxflow.recipe import Parser, Recipe

if TYPE_CHECKING:
    import xarray as xr

STAGES = ("high", "medium", "low")
APART = 4.0
"""Standard deviations by which `calibrate` wants levels of the gain to be apart."""
ALIKE = 0.1
"""Share of the pixels without a step between two stages from which on it is said."""


class Dark(Recipe):
    """Darks of a detector: offset, noise and bad pixels of one run, or of three in high, medium and low gain.

    Each run is read once. The folder of the results is what `calibrate` takes as constants.
    """

    PLOTS = ("dark.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the runs and what is a bad pixel."""
        parser.add_run("high", "without X-rays, in high gain or of a detector with one gain")
        for stage in STAGES[1:]:
            parser.add_argument(f"--{stage}", metavar="RUN", help=f"run without X-rays in {stage} gain")
        own = (
            "method",
            "clip",
            "walk",
            "lit",
            "offset_sigma",
            "offset_range",
            "noise_sigma",
            "noise_range",
            "least",
        )
        parser.add_options_of(Pedestal, *own)

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce to high.zarr, medium.zarr and low.zarr, as far as there are such runs."""
        self._refuse_others(args)
        for stage in STAGES:
            if (run := getattr(args, stage)) is not None:
                made = Pedestal(stage=stage, **self.options_of(Pedestal))
                self.reduce(run, made, f"{stage}.zarr", frames=self.pulses_and_cells)

    def _refuse_others(self, args: argparse.Namespace) -> None:
        """Refuse runs of different detectors."""
        names = {}
        for stage in STAGES:
            if (run := getattr(args, stage)) is not None:
                planned = dxflow.plan(
                    run, Pedestal(stage=stage, **self.options_of(Pedestal)), on_fault="mask"
                )
                names[stage] = planned.algorithms[0].info["img"].name
        if len(set(names.values())) > 1:
            said = ", ".join(f"{stage}: {name}" for stage, name in names.items())
            raise PlanError(f"dark: the runs are of different detectors, {said}; give runs of one")

    def plot(self, args: argparse.Namespace) -> None:
        """Plot offset, noise and level of the gain, and the share of bad pixels by cause."""
        from dxflow.recipes._dark_plot import plot

        self.save(plot(self.results), "dark.png")

    def report(self) -> str:
        """Return what was read, and the share of bad pixels by cause."""
        tables = [f"bad pixels, {stage} gain\n{said(result)}" for stage, result in self.results.items()]
        return "\n".join([super().report(), *tables, *unlike(self.results)])


def said(result) -> str:  # type: ignore[no-untyped-def]
    """Return the share of bad pixels of a result by cause, in per cent of those of modules that have frames."""
    table = shares(result.dataset)
    there = table[table["too few"] < 1]
    return "\n".join(f"  {cause:<30} {100 * share:8.3f} %" for cause, share in there.mean().items())


def unlike(results: Mapping[str, Result]) -> Iterator[str]:
    """Yield what stands against using the results of runs in different gain as one set."""
    data = {stage: result.dataset for stage, result in results.items()}
    cells = {stage: set(one["cell"].values.tolist()) for stage, one in data.items()}
    for stage, own in cells.items():
        if missing := sorted(set().union(*cells.values()) - own):
            yield f"memory cells {missing} have no constants in {stage} gain: `calibrate` makes them NaN"
    for low, high in pairwise(data):
        if (share := _alike(data[low], data[high])) > ALIKE:
            yield (
                f"{share:.0%} of the pixels have no higher level in {high} than in {low} gain: these runs are in "
                "another order, or not in these stages; `calibrate` makes such pixels NaN"
            )


def _alike(low: xr.Dataset, high: xr.Dataset) -> float:
    """Return the share of pixels whose levels of the gain are not a step apart; 0 where none is recorded."""
    if "dark.gain_level" not in low or "dark.gain_level" not in high:
        return 0.0
    ours, theirs = (one["dark.gain_level"].isel(stage=0, drop=True) for one in (low, high))
    step = (theirs - ours).values
    spread = np.hypot(float(low["dark.gain_noise"].median()), float(high["dark.gain_noise"].median()))
    known = step[np.isfinite(step)]
    return float(np.mean(known <= APART * spread)) if len(known) else 0.0


if __name__ == "__main__":
    Dark.script()
