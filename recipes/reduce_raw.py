"""What of a run is worth keeping: lit frames, places with signal, how they are stored; and a smaller copy of it."""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, From, PlanError, Result, geometry
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.algorithms.signal import Signal
from dxflow.algorithms.subtract import Subtract
from dxflow.codecs.samples import sample
from dxflow.codecs.table import codec_of
from dxflow.codecs.trial import Comparison, compare
from dxflow.copying import Agreement, CopyReport, Lit, agreement
from dxflow.copying.lit import LIMIT, SAMPLE
from dxflow.copying.patterns import SELECT, Patterns, numbered
from dxflow.line.options import frames_of, run_of
from dxflow.recipe import Parser, Recipe
from dxflow.run.open import opened
from dxflow.run.selection import FrameSelection
from dxflow.sizes import show

TIMING = ("instrument", "bunches", "xgm", "reference_frame", "inherit")
"""Options of `litfrm` that a run may need."""
BRIGHT = ("threshold", "pixels")
"""Options of `litframes`."""
PLACES = ("threshold", "snr", "fraction", "min_occupancy", "geometry")
"""Options of `signal`."""
UNCLEAR = (
    "more pixels of modules {} are lit all the time than of others, too few to be signal by --fraction: weak signal, "
    "or hot pixels, which would be lost. Give a smaller --fraction, such as 0.002, or --localise no to keep them"
)

FRAMES, MODULES = 2, 4
"""On which codecs are tried."""


class ReduceRaw(Recipe):
    """What of a run is worth keeping: lit frames, places with signal, how they are stored; and a smaller copy of it.

    Lit frames are known from the bunch pattern (lit.zarr) and compared with the pixels of some trains (bright.zarr);
    in these is found where signal is (signal.zarr). What a copy would be is shown step by step. It is made, as ``run``,
    when ``--write`` is given, with the results that are there; the run itself is never changed.
    """

    PLOTS = ("reduce_raw.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, how lit frames are known, and what is kept."""
        add = parser.add_argument
        parser.add_run("run", "raw or corrected")
        add(
            "--write",
            action="store_true",
            help="make the copy, from the results of the dry run if they are there",
        )
        add("--lit", choices=("timing", "intensity"), default="timing", help="by bunch pattern, or by pixels")
        parser.add_options_of(LitFrameFinder, *TIMING)
        add(
            "--dark",
            help="Zarr store of average, per cell, or of dark: subtracted where pixels of raw data are looked at",
        )
        parser.add_options_of(LitFrames, *BRIGHT)
        words = "lit frames; rows of 32 cells with one; cells that are lit in any train; rows of these"
        add("--select", choices=SELECT, default="cell", help=words)
        add("--margin", type=int, default=0, help="frames before and after that are kept, too")
        add(
            "--agree",
            default=str(SAMPLE),
            help="trains of each pattern that are compared with the pixels, or no",
        )
        add("--limit", type=float, default=LIMIT, help="share of frames that may differ")
        words = "pixels without signal become NaN or 0; modules without any are left out; all stay"
        add("--localise", choices=("region", "modules", "no"), default="region", help=words)
        parser.add_options_of(Signal, *PLACES)
        add(
            "--copy-codec",
            default="deflate",
            help="how pixels are stored, or no: as they were; default deflate, no loss",
        )
        add("--round", metavar="BOUND", help="by how much floats may be changed: abs=0.5, rel=1e-3")

    def passes(self, args: argparse.Namespace) -> None:
        """Find what is worth keeping, plan the copy step by step, and make it if that is asked for."""
        args.resume = (args.resume or args.write) and not args.overwrite
        if args.agree != "no" and not (args.agree.isdecimal() and int(args.agree)):
            raise PlanError(f"reduce_raw: --agree {args.agree}: expected a number of trains from 1 on, or no")
        if args.where is not None:
            raise PlanError(
                "reduce_raw: --where: a copy takes no condition; give a result that selects, --frames"
            )
        by_timing = args.lit == "timing"
        lit = self.reduce(
            args.run, self._finder() if by_timing else self._seen(args, LitFrames, *BRIGHT), "lit.zarr"
        )
        if not lit.selection().any():
            raise PlanError(f"reduce_raw: no frame of {args.run} is lit by {args.lit}: nothing would remain")
        self.doubts: list[str] = []
        self.agreed = self._compared(args, lit)
        self.steps: dict[str, CopyReport] = {}
        places = self._places(args, lit)
        stored = self._stored(args)
        self.codecs = self._codecs(args, lit) if stored else None
        kept = {"trains": args.trains}
        for step, more in {
            "lit frames": {"frames": self._frames(args, lit)},
            "places with signal": places,
            "pixels with a codec": stored,
        }.items():
            if more:
                kept |= more
                self._plan(args, step, kept)
        if args.write:
            self._write(args, kept)

    def _finder(self) -> LitFrameFinder:
        return LitFrameFinder(**self.options_of(LitFrameFinder, *TIMING))

    def _seen(self, args: argparse.Namespace, algorithm: type[Algorithm], *names: str) -> list[Algorithm]:
        """Return an algorithm that looks at pixels, without their dark where one is given."""
        options = self.options_of(algorithm, *names)
        if not args.dark:
            return [algorithm(**options)]
        return [Subtract(dark=args.dark), algorithm(img=From("subtract.img"), **options)]

    def _frames(self, args: argparse.Namespace, lit: Result) -> list[Any]:
        """Return which frames a copy keeps."""
        chosen: Any = lit
        if args.lit == "timing":
            timing = self.options_of(LitFrameFinder, *TIMING)
            chosen = Lit(timing=timing, select=args.select, margin=args.margin, agree=None)
        line = frames_of(args.frames or ())
        return [chosen] if line is None else [chosen, line]

    def _tried(
        self, to: str, args: argparse.Namespace, without: str, *what: Any, **options: Any
    ) -> Result | None:
        """Return a result, None where it cannot be: why, and what would do without it, is a doubt then."""
        try:
            return self.reduce(args.run, self._seen(args, *what), to, **options)
        except PlanError as e:
            if (self.folder / to).exists():
                raise
            self.doubts.append(f"{e}. Give --dark, a threshold of pixels, or {without}")
            return None

    def _compared(self, args: argparse.Namespace, lit: Result) -> Agreement | None:
        """Compare lit frames by timing with the pixels of some trains of each pattern."""
        if args.lit == "intensity" or args.agree == "no":
            return None
        sample = FrameSelection(trains=Patterns.by_timing(lit.dataset).sample(int(args.agree)))
        bright = self._tried("bright.zarr", args, "--agree no", LitFrames, *BRIGHT, frames=sample)
        if bright is None:
            return None
        agreed = agreement(lit, bright)
        if agreed.share > args.limit:
            self.doubts.append(
                f"timing and pixels differ in {agreed.share:.2%} of frames, more than {args.limit:.2%}. Give "
                "--reference-frame, --dark or --threshold for pixels that say more, --lit intensity or, if you know "
                "that the pattern is right, --agree no"
            )
        return agreed

    def _places(self, args: argparse.Namespace, lit: Result) -> dict[str, Any]:
        """Return which pixels a copy keeps."""
        if args.localise == "no":
            return {}
        found = self._tried("signal.zarr", args, "--localise no", Signal, *PLACES, frames=lit)
        if found is None:
            return {}
        if not found.dataset["signal.modules"].any():
            self.doubts.append("no part of the detector has signal. Give --localise no to keep all of it")
            return {}
        lost = found.dataset["signal.unclear"].any("asic")
        if args.localise == "modules":
            lost &= ~found.dataset["signal.modules"]
        if lost.any():
            self.doubts.append(UNCLEAR.format(lost["module"].values[lost].tolist()))
        # Some codecs cannot hold NaN, which is what pixels outside are otherwise.
        lossy = args.localise == "region" and args.copy_codec != "no" and codec_of(args.copy_codec).lossy
        return {args.localise: found} | ({"outside": 0} if lossy else {})

    def _stored(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return how a copy stores pixels."""
        if args.copy_codec == "no":
            return {"round": args.round} if args.round else {}
        return {"codec": args.copy_codec, "round": args.round}

    def _codecs(self, args: argparse.Namespace, lit: Result) -> Comparison:
        """Try codecs on some lit frames, of modules with signal if there are any."""
        found = self.results.get("signal")
        modules = (
            found.dataset["module"].values[found.dataset["signal.modules"].values] if found else np.arange(0)
        )
        chosen = modules[:: 1 + len(modules) // MODULES].tolist() or None
        selected = lit.selection()
        frames = np.stack(numbered(selected[selected.values]), axis=1).astype(np.int64)
        run = opened(run_of(args.run)).run
        return compare(sample(run, FRAMES, detector=args.detector, modules=chosen, among=frames))

    def _plan(self, args: argparse.Namespace, step: str, kept: dict[str, Any]) -> None:
        """Note what a copy would be."""
        planned = self.copy(args.run, "run", dry_run=True, overwrite=True, resume=False, **kept)
        assert planned is not None
        self.steps[step] = planned

    def _write(self, args: argparse.Namespace, kept: dict[str, Any]) -> None:
        """Make the copy, unless it is in doubt what is worth keeping."""
        if self.doubts:
            raise PlanError("\n".join(["reduce_raw: nothing was copied", *self.doubts]))
        self.copy(args.run, "run", **kept)

    def plot(self, args: argparse.Namespace) -> None:
        """Plot lit frames over trains, and the bytes that remain."""
        from dxflow.recipes._reduce_raw_plot import plot

        self.save(plot(self.results, self.steps, self.codecs, self._where(args)), "reduce_raw.png")

    def _where(self, args: argparse.Namespace) -> NDArray | None:
        """Return the pixel centres, of ``--geometry`` or of what lies beside the run; None where nobody says."""
        run = self.results["lit"].manifest["plan"]["run"]
        try:
            return geometry.across(args.geometry or geometry.beside(run))
        except (ValueError, OSError, ImportError):
            return None

    def report(self) -> str:
        """Return also the patterns, how timing and pixels agree, the bytes of each step, and what to do next."""
        first = next(iter(self.steps.values()))
        said = [super().report(), "--- what would remain", *first.patterns]
        said += [f"agree    {line}" for line in str(self.agreed or "").splitlines()]
        said += [f"doubt    {doubt}" for doubt in self.doubts]
        said.append(f"bytes    {show(first.before)}: the run")
        said += [f"         {show(s.after)}, {s.ratio:.1%}: {name}" for name, s in self.steps.items()]
        said += [f"note     {text}" for text in self._larger()]
        return "\n".join([*said, f"next     {self._next()}", *self.earlier("run")])

    def _larger(self) -> list[str]:
        """Return which steps make more bytes of what the step before leaves, and what does without them."""
        codec = "--copy-codec no" if self.args.copy_codec != "no" else "no --round"
        without = {"places with signal": "--localise no", "pixels with a codec": codec}
        sizes = [(name, step.after) for name, step in self.steps.items()]
        return [
            f"{name}: {show(after - before)} more than without this step; {without[name]} leaves it out"
            for (_, before), (name, after) in pairwise(sizes)
            if after > before
        ]

    def _next(self) -> str:
        """Return what to do next."""
        copied = self.folder / "run"
        if self.args.write:
            return (
                f"{copied} is a run of its own, which EXtra-data opens; dxflow verify {copied} finds damage"
            )
        if self.doubts:
            return "nothing was copied, nor would it be with --write: see what is in doubt"
        return (
            f"nothing was copied: see {self.folder / 'reduce_raw.png'}, dxflow codecs {self.args.run} for --copy-codec "
            "and --round, then give the same with --write"
        )


if __name__ == "__main__":
    ReduceRaw.script()
