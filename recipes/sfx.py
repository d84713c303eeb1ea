"""Serial crystallography: Bragg peaks and hits of a run, a copy of the hits, and what indexamajig needs of them."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from dxflow import Algorithm, From, PlanError, Result, crystfel, geometry
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.algorithms.subtract import Subtract
from dxflow.driver.journal import restarted
from dxflow.handover import xwiz
from dxflow.line.options import run_of
from dxflow.recipe import Parser, Recipe
from dxflow.recipes._sfx_files import Corrected, Images, events, modules, stacked

TEXTS = ("hits.geom", "hits.lst", "index.sh")
TOOLS = ("indexamajig", *xwiz.TOOLS)


class Sfx(Recipe):
    """Bragg peaks and hits of a run, a copy of the hits, and what indexamajig needs of them.

    The run is read once for peaks.zarr: peaks, hits, their sum and maximum. Hits are copied to a run of their own,
    ``hits``, which is read again for hits.cxi: peak lists and images, with a geometry (hits.geom), a list of events
    (hits.lst) and the command line to index them (index.sh). Of raw data, ``--dark`` is subtracted first.
    ``--for xwiz`` adds what extra-xwiz begins with (xwiz_conf.toml).
    """

    PLOTS = ("sfx.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, the geometry, what a peak is, and what indexamajig is told."""
        parser.add_run("run", "corrected, or raw with --dark")
        parser.add_geometry()
        parser.add_options_of(PeakFinder8)
        parser.add_argument(
            "--dark", help="Zarr store of average, per cell, or of dark: subtracted from raw data"
        )
        parser.add_argument("--cell", metavar="FILE", help="unit cell that indexamajig is told")
        parser.add_argument("--indexing", default="xgandalf", help="methods of indexamajig; default xgandalf")
        parser.add_argument(
            "--for",
            dest="tool",
            choices=TOOLS,
            default=TOOLS[0],
            help=f"who goes on with it; default {TOOLS[0]}",
        )

    def passes(self, args: argparse.Namespace) -> None:
        """Find peaks, copy the hits, and write what indexamajig needs."""
        energy = self._energy(args)
        if args.tool in xwiz.TOOLS:
            xwiz.origin(run_of(args.run))
            xwiz.check(self.positions(), args.cell)
        self._refuse(args)
        found = self.reduce(args.run, self._chain(args), "peaks.zarr")
        if found.selection().any():
            self.copy(args.run, "hits", frames=found)
            images = [Images()] if args.dark else []
            chosen = {"frames": None, "where": None, "labels": None}
            hits = self.reduce(str(self.folder / "hits"), [*self._chain(args), *images], "hits.cxi", **chosen)
            self._write(args, hits, energy)

    def plot(self, args: argparse.Namespace) -> None:
        """Plot the maximum of hits, the hit rate and the number of peaks."""
        from dxflow.recipes._sfx_plot import plot

        self.save(plot(self.results["peaks"], self.positions(), args.min_peaks), "sfx.png")

    def report(self) -> str:
        """Return also how the hits are indexed."""
        if "hits" not in self.results:
            none = "no hits: nothing was copied, and there is nothing to index"
            return "\n".join([super().report(), none, *self.earlier("hits"), *self.earlier("hits.cxi")])
        words = f"cd {shlex.quote(str(self.folder))} && {xwiz.COMMAND}"
        return f"{super().report()}\nindex    {words if self.args.tool in xwiz.TOOLS else self.command(self.args)}"

    def _chain(self, args: argparse.Namespace) -> list[Algorithm]:
        """Return the algorithms that find peaks."""
        options = self.options_of(PeakFinder8)
        if not args.dark:
            return [Corrected(**options)]
        return [Subtract(dark=args.dark), PeakFinder8(img=From("subtract.img"), **options)]

    def _energy(self, args: argparse.Namespace) -> float:
        """Return the photon energy, keV."""
        wavelength = geometry.load(args.geometry, args.distance).wavelength
        if args.energy is not None:
            return args.energy
        if wavelength is None:
            raise PlanError(f"sfx: {args.geometry} holds no photon energy: give energy= in keV (--energy)")
        return geometry.HC / wavelength

    def _refuse(self, args: argparse.Namespace) -> None:
        """Refuse to replace what is there; what is replaced goes first: there may be no hits this time."""
        there = [name for name in (*TEXTS, xwiz.NAME) if (self.folder / name).exists()]
        if there and not (args.overwrite or args.resume or restarted()):
            raise PlanError(
                f"{self.folder / there[0]} exists already: choose another folder, or overwrite=True (--overwrite)"
            )
        for name in there if args.overwrite else ():
            (self.folder / name).unlink()

    def _write(self, args: argparse.Namespace, hits: Result, energy: float) -> None:
        """Write the geometry, the list of events and the command line."""
        cxi = Path(hits.path)
        positions = modules(self.positions(), cxi, hits.dataset["module"].values)
        finder = PeakFinder8(**self.options_of(PeakFinder8))
        numbers = events(cxi, finder.min_peaks, finder.max_peaks)
        texts = (
            crystfel.text(positions, energy, *stacked(cxi)),
            "".join(f"{cxi.resolve()} //{n}\n" for n in numbers),
            f"#!/bin/sh\n{self.command(args)}\n",
        )
        for name, text in zip(TEXTS, texts, strict=True):
            (self.folder / name).write_text(text, encoding="utf-8")
        if args.tool in xwiz.TOOLS:
            found, finest = vars(finder), xwiz.resolution(positions, geometry.HC / energy)
            text = xwiz.configuration(
                xwiz.origin(run_of(args.run)),
                found,
                finest,
                args.indexing,
                args.cell,
                len(numbers),
                args.tool == "xwiz-old",
            )
            (self.folder / xwiz.NAME).write_text(text, encoding="utf-8")

    def command(self, args: argparse.Namespace) -> str:
        """Return the command line that indexes the hits."""
        at = self.folder.resolve()
        files = {"-i": at / "hits.lst", "-g": at / "hits.geom", "-o": at / "hits.stream"}
        words = ["indexamajig", *(str(w) for pair in files.items() for w in pair)]
        words += ["--peaks=cxi", f"--indexing={args.indexing}"]
        words += ["-p", str(Path(args.cell).absolute())] if args.cell else []
        return f'{shlex.join(words)} -j "$(nproc)"'


if __name__ == "__main__":
    Sfx.script()
