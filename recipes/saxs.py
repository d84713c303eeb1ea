"""Small-angle scattering of a run: dark average, subtraction, I(q), mean and variance, lit frames, one plot."""

from __future__ import annotations

import argparse

from dxflow import From
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.recipe import Parser, Recipe

SUBTRACTED = From("subtract.img")


class Saxs(Recipe):
    """Small-angle scattering of a run: dark average, subtraction, I(q), mean and variance, lit frames, one plot.

    The dark run and the data run are read once, the latter with all algorithms together. Which frames are lit is known
    after that: these are read again for their mean.
    """

    PLOTS = ("saxs.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the runs, the geometry and what else algorithms need to know."""
        parser.add_run("dark_run", "without X-rays")
        parser.add_run("data_run", "to reduce")
        parser.add_geometry()
        parser.add_options_of(AzimuthalIntegration, "nbins")
        parser.add_options_of(LitFrames, "threshold")

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce to dark.zarr, data.zarr and, if any frame is lit, lit.zarr."""
        dark = self.reduce(args.dark_run, Average(per="cell"), "dark.zarr", **self.elsewhere)
        subtract, mean = Subtract(dark=dark), Average(img=SUBTRACTED)
        azint = AzimuthalIntegration(img=SUBTRACTED, **self.options_of(AzimuthalIntegration))
        lit = LitFrames(img=SUBTRACTED, **self.options_of(LitFrames))
        data = self.reduce(args.data_run, [subtract, azint, mean, lit], "data.zarr")
        if data.selection().values.any():
            self.reduce(args.data_run, [subtract, mean], "lit.zarr", frames=data)

    def plot(self, args: argparse.Namespace) -> None:
        """Plot the mean image, I(q) and which frames are lit."""
        from dxflow.recipes._saxs_plot import plot

        data = self.results["data"]
        self.save(plot(data, self.results.get("lit", data), self.positions()), "saxs.png")


if __name__ == "__main__":
    Saxs.script()
