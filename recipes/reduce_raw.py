"""What of a run is worth keeping: lit frames, places with signal, how they are stored; and a smaller copy of it."""

from __future__ import annotations

import argparse
from typing import Any

from dxflow import Algorithm, From, PlanError, Result
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.algorithms.subtract import Subtract
from dxflow.copying import Agreement, CopyReport, Lit, agreement
from dxflow.copying.lit import LIMIT, SAMPLE
from dxflow.copying.patterns import SELECT, Patterns
from dxflow.line.options import frames_of
from dxflow.recipe import Parser, Recipe
from dxflow.run.selection import FrameSelection
from dxflow.sizes import show

TIMING = ("instrument", "bunches", "xgm", "reference_frame", "inherit")
"""Options of `litfrm` that a run may need."""
BRIGHT = ("threshold", "pixels")
"""Options of `litframes`."""
MEND = (
    "give --reference-frame, or --dark (--threshold) for pixels that say more, --lit intensity, or, if you know that "
    "the pattern is right, --agree no"
)


class ReduceRaw(Recipe):
    """What of a run is worth keeping: lit frames, places with signal, how they are stored; and a smaller copy of it.

    Lit frames are known from the bunch pattern (lit.zarr) and compared with the pixels of some trains (bright.zarr).
    What a copy would be is shown step by step. It is made, as ``run``, when ``--write`` is given, with the results that
    are there; the run itself is never changed. Pixels of raw data mean something with ``--dark``.
    """

    PLOTS = ("reduce_raw.png",)

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
            help="Zarr store of average, per cell: subtracted where pixels of raw data are looked at",
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

    def passes(self, args: argparse.Namespace) -> None:
        """Find what is worth keeping, plan the copy step by step, and make it if that is asked for."""
        args.resume = (args.resume or args.write) and not args.overwrite
        by_timing = args.lit == "timing"
        lit = self.reduce(args.run, self._finder() if by_timing else self._seen(args), "lit.zarr")
        if not lit.selection().any():
            raise PlanError(f"reduce_raw: no frame of {args.run} is lit by {args.lit}: nothing would remain")
        self._compare(args, lit)
        self.steps: dict[str, CopyReport] = {}
        kept = {"trains": args.trains, "frames": self._frames(args, lit)}
        self._plan(args, "lit frames", kept)
        if args.write:
            self._write(args, kept)

    def _finder(self) -> LitFrameFinder:
        return LitFrameFinder(**self.options_of(LitFrameFinder, *TIMING))

    def _seen(self, args: argparse.Namespace) -> list[Algorithm]:
        """Return what finds lit frames by their pixels."""
        options = self.options_of(LitFrames, *BRIGHT)
        if not args.dark:
            return [LitFrames(**options)]
        return [Subtract(dark=args.dark), LitFrames(img=From("subtract.img"), **options)]

    def _frames(self, args: argparse.Namespace, lit: Result) -> list[Any]:
        """Return which frames a copy keeps."""
        chosen: Any = lit
        if args.lit == "timing":
            timing = self.options_of(LitFrameFinder, *TIMING)
            chosen = Lit(timing=timing, select=args.select, margin=args.margin, agree=None)
        line = frames_of(args.frames or ())
        return [chosen] if line is None else [chosen, line]

    def _compare(self, args: argparse.Namespace, lit: Result) -> None:
        """Compare lit frames by timing with the pixels of some trains of each pattern."""
        self.agreed: Agreement | None = None
        self.doubt = ""
        if args.lit == "intensity" or args.agree == "no":
            return
        sample = FrameSelection(trains=Patterns.by_timing(lit.dataset).sample(int(args.agree)))
        try:
            bright = self.reduce(args.run, self._seen(args), "bright.zarr", frames=sample)
        except PlanError as e:
            if (self.folder / "bright.zarr").exists():
                raise
            self.doubt = f"lit frames were not compared with the pixels: {e}"
            return
        self.agreed = agreement(lit, bright)
        if self.agreed.share > args.limit:
            self.doubt = (
                f"timing and pixels differ in {self.agreed.share:.2%} of frames, more than {args.limit:.2%}"
            )

    def _plan(self, args: argparse.Namespace, step: str, kept: dict[str, Any]) -> None:
        """Note what a copy would be."""
        planned = self.copy(args.run, "run", dry_run=True, overwrite=True, resume=False, **kept)
        assert planned is not None
        self.steps[step] = planned

    def _write(self, args: argparse.Namespace, kept: dict[str, Any]) -> None:
        """Make the copy, unless it is in doubt which frames are lit."""
        if self.doubt:
            raise PlanError(f"reduce_raw: {self.doubt}. Nothing was copied; {MEND}")
        self.copy(args.run, "run", **kept)

    def plot(self, args: argparse.Namespace) -> None:
        """Plot lit frames over trains, and the bytes that remain."""
        from dxflow.recipes._reduce_raw_plot import plot

        self.save(plot(self.results, self.steps), "reduce_raw.png")

    def report(self) -> str:
        """Return also the patterns, how timing and pixels agree, the bytes of each step, and what to do next."""
        first = next(iter(self.steps.values()))
        said = [super().report(), "--- what would remain", *first.patterns]
        said += [f"agree    {line}" for line in str(self.agreed or "").splitlines()]
        said += [f"doubt    {self.doubt}"] if self.doubt else []
        said.append(f"bytes    {show(first.before)}: the run")
        said += [f"         {show(s.after)}, {s.ratio:.1%}: {name}" for name, s in self.steps.items()]
        return "\n".join([*said, f"next     {self._next()}"])

    def _next(self) -> str:
        """Return what to do next."""
        copied = self.folder / "run"
        if self.args.write:
            return (
                f"{copied} is a run of its own, which EXtra-data opens; dxflow verify {copied} finds damage"
            )
        if self.doubt:
            return f"nothing was copied; {MEND}"
        return f"nothing was copied: see {self.folder / 'reduce_raw.png'}, then give the same with --write"


if __name__ == "__main__":
    ReduceRaw.script()
