"""The command ``dxflow codecs RUN``: what each codec would save on frames of this run, and what it would change."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import geometry
from ..codecs.samples import Samples, sample
from ..codecs.trial import Comparison, compare
from ..driver.progress import Progress
from ..errors import PlanError
from ..errors.usage import UsageError
from ..line.options import RUN, ids, positive, run_of
from ..run import detectors
from ..run.open import opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow codecs`` to a parser."""
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN)
    words = "bounds to try: abs=0.5, rel=1e-3; default: shares of the standard deviation of pixels"
    add("--round", nargs="+", metavar="BOUND", help=words)
    add("--codec", nargs="+", metavar="NAME", help="only these codecs")
    add("--samples", type=positive, default=4, metavar="N", help="frames of the detector to try; default 4")
    add("--detector", metavar="NAME", help="where there are several")
    add("--modules", type=ids, metavar="M", help="only these modules, 0,3 or 0:4")
    add("--geometry", metavar="FILE", help="for I(q): .geom, .h5, .poni or .npy; default: that of the run")
    add("--plot", metavar="FILE", help="draw ratio against error: .png, .pdf, .svg")
    add("--json", metavar="FILE", help="write the table as JSON")
    add("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> str:
    """Try codecs on samples of a run, and return the table.

    Raises
    ------
    PlanError
        If there is no such run, detector, codec or bound.
    """
    modules = args.modules
    if isinstance(modules, slice):
        modules = range(*modules.indices(10**4 if modules.stop is None else modules.stop))
    with Progress("reading samples", quiet=args.quiet) as progress:
        source = opened(run_of(args.run))
        samples = sample(source.run, args.samples, detector=args.detector, modules=modules)
        progress.phase("trying codecs", 0, "codecs")
        where = positions(samples, args.geometry, source.path)
        step = lambda: progress.add(1)  # noqa: E731 - a name would say no more
        made = compare(samples, bounds=args.round, codecs=args.codec, positions=where, step=step)
    _write(made, args)
    return str(made)


def positions(samples: Samples, given: str | None, path: str) -> Any:
    """Return where the pixels of the sampled modules are; None if nothing was given and nothing is beside the run.

    Raises
    ------
    UsageError
        If what was given is no geometry of this detector.
    """
    try:
        file = given or geometry.beside(path)
    except ValueError:
        return None
    try:
        # Rings need no distance.
        all_of_them = geometry.across(file)
    except (ValueError, ImportError) as e:
        raise UsageError(str(e)) from e
    rows = detectors.rows_of(samples.modules, samples.sources, len(all_of_them))
    if not rows:
        raise UsageError(f"{file}: has {len(all_of_them)} modules, expected those of {samples.detector}")
    chosen = all_of_them[rows]
    if chosen.shape[1:3] != samples.frames.shape[2:]:
        size = f"{chosen.shape[1]} x {chosen.shape[2]}"
        raise UsageError(f"{file}: modules of {size} pixels, these have {samples.frames.shape[2:]}")
    return chosen


def _write(made: Comparison, args: argparse.Namespace) -> None:
    try:
        if args.plot:
            made.plot(args.plot)
        if args.json:
            Path(args.json).write_text(json.dumps(made.json(), indent=1))
    except (OSError, ValueError) as e:
        raise PlanError(f"{args.plot or args.json}: {e}") from e
