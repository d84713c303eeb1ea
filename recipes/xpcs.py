"""Correlation spectroscopy: g2, two-time correlations and speckle contrast of a run, with one plot."""

from __future__ import annotations

import argparse
from typing import Any

from dxflow import From
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.g2 import G2
from dxflow.algorithms.subtract import Subtract
from dxflow.recipe import Parser, Recipe


class Xpcs(Recipe):
    """g2, two-time correlations and speckle contrast of a run, in regions of pixels.

    The run is read once. Of raw data, ``--dark`` is subtracted first, and ``--photon`` says what a photon is. Where not
    all frames have X-rays, ``--frames`` takes those that have.
    """

    PLOTS = ("xpcs.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, the regions, and what is made of them."""
        parser.add_run("run", "corrected, or raw with --dark")
        parser.add_argument(
            "--dark", help="Zarr store of average, per cell, or of dark: subtracted from raw data"
        )
        parser.add_options_of(G2)
        parser.add_options_of(Contrast, "photon", "photons")

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce to xpcs.zarr."""
        chain: list[Any] = [Subtract(dark=args.dark)] if args.dark else []
        img: dict[str, Any] = {"img": From("subtract.img")} if args.dark else {}
        both = [G2(**self.options_of(G2), **img), Contrast(**self.options_of(Contrast), **img)]
        self.reduce(args.run, [*chain, *both], "xpcs.zarr")

    def plot(self, args: argparse.Namespace) -> None:
        """Plot g2 of each region, photons against the negative binomial distribution, and the mean matrix."""
        from dxflow.recipes._xpcs_plot import plot

        self.save(plot(self.results["xpcs"]), "xpcs.png")


if __name__ == "__main__":
    Xpcs.script()
