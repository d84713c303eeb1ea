"""Single particles: which frames of a run are hits, by lit pixels, and a copy of these and of some misses."""

from __future__ import annotations

import argparse

import numpy as np

from dxflow import Labels, PlanError, Result
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.algorithms.spihits import SpiHitFinder
from dxflow.recipe import Parser, Recipe

TIMING = ("instrument", "bunches", "reference_frame", "inherit")
"""Options of `litfrm` that a run may need."""
ALL = "--all-frames scores all frames, lit or not"


class Spi(Recipe):
    """Single particles: which frames of a run are hits, by lit pixels, and a copy of these and of some misses.

    Lit frames are those of the bunch pattern (lit.zarr); their lit pixels are counted and compared with those of the
    trains around (hits.zarr). Hits, and the misses that are kept, are copied to a run of their own, ``selected``.
    """

    PLOTS = ("spi.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, what a hit is, how lit frames are known, and what is written."""
        parser.add_run("run", "corrected, or raw with --threshold")
        parser.add_options_of(SpiHitFinder)
        parser.add_options_of(LitFrameFinder, *TIMING)
        add = parser.add_argument
        add(
            "--all-frames",
            action="store_true",
            help="score all frames, lit or not: of a run without time server",
        )
        add("--exdf", action="store_true", help="results as EuXFEL files, lit/ and hits/, in place of Zarr")
        add("--no-copy", action="store_true", help="only find hits")

    def passes(self, args: argparse.Namespace) -> None:
        """Find lit frames and hits, and copy what is kept."""
        suffix = "/" if args.exdf else ".zarr"
        lit = None if args.all_frames else self._lit(args, f"lit{suffix}")
        self.scaled = lit is not None and bool(np.isfinite(lit.dataset["litfrm.energy"]).any())
        energy = Labels(lit, "litfrm.energy") if self.scaled else None
        finder = SpiHitFinder(energy=energy, **self.options_of(SpiHitFinder))
        found = self.reduce(args.run, finder, f"hits{suffix}", **({"frames": lit} if lit else {}))
        if found.dataset["spihits.hit"].any() and not args.no_copy:
            self.copy(args.run, "selected", frames=found)

    def _lit(self, args: argparse.Namespace, to: str) -> Result:
        """Return which frames are lit."""
        finder = LitFrameFinder(**self.options_of(LitFrameFinder, *TIMING))
        try:
            lit = self.reduce(args.run, finder, to)
        except PlanError as e:
            if not (self.folder / to).exists():
                e.add_note(ALL)
            raise
        if lit.selection().any():
            return lit
        raise PlanError(f"spi: no frame of {args.run} is lit, by its bunch pattern: {ALL}")

    def plot(self, args: argparse.Namespace) -> None:
        """Plot scores with their thresholds, their histogram, and the hit rate."""
        from dxflow.recipes._spi_plot import plot

        self.save(plot(self.results["hits"]), "spi.png")

    def report(self) -> str:
        """Return also how many hits there are, and what to do next."""
        data, picture = self.results["hits"].dataset, self.folder / "spi.png"
        hits, kept, frames = (int(data[f"spihits.{n}"].sum()) for n in ("hit", "miss", "hit_valid"))
        said = [super().report(), f"hits     {hits} of {frames} frames, and {kept} misses that are kept"]
        if not self.scaled:
            said.append("note     no energies of pulses are known: scores are as they were counted")
        said.append(f"next     see in {picture} whether the threshold parts hits from misses; --snr moves it")
        if {"selected"} & (self.copies.keys() | self.resumed):
            copy = self.folder / "selected"
            said.append(f"         {copy} is a run of its own: dxflow reduce {copy} --to mean.zarr average")
        return "\n".join([*said, *self.earlier("selected")])


if __name__ == "__main__":
    Spi.script()
