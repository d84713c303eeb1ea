"""Darks of a detector: offset, noise and bad pixels of one run, or of three in different gain, and a plot."""

from __future__ import annotations

import argparse

from dxflow.algorithms.dark import Pedestal, shares
from dxflow.recipe import Parser, Recipe

STAGES = ("high", "medium", "low")


class Dark(Recipe):
    """Darks of a detector: offset, noise and bad pixels of one run, or of three in high, medium and low gain.

    Each run is read once. The folder of the results is what `calibrate` takes as constants.
    """

    PLOTS = ("dark.png",)

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
        for stage in STAGES:
            if (run := getattr(args, stage)) is not None:
                made = Pedestal(stage=stage, **self.options_of(Pedestal))
                self.reduce(run, made, f"{stage}.zarr", frames=self.pulses_and_cells)

    def plot(self, args: argparse.Namespace) -> None:
        """Plot offset, noise and level of the gain, and the share of bad pixels by cause."""
        from dxflow.recipes._dark_plot import plot

        self.save(plot(self.results), "dark.png")

    def report(self) -> str:
        """Return what was read, and the share of bad pixels by cause."""
        tables = [f"bad pixels, {stage} gain\n{said(result)}" for stage, result in self.results.items()]
        return "\n".join([super().report(), *tables])


def said(result) -> str:  # type: ignore[no-untyped-def]
    """Return the share of bad pixels of a result by cause, in per cent of those of modules that have frames."""
    table = shares(result.dataset)
    there = table[table["too few"] < 1]
    return "\n".join(f"  {cause:<30} {100 * share:8.3f} %" for cause, share in there.mean().items())


if __name__ == "__main__":
    Dark.script()
