"""The command ``dxflow copy``: its options, and what to print when it is done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .. import find
from ..codecs.table import CODECS
from ..copying.copy import copy_run
from ..copying.lit import WAYS, Lit
from ..errors.usage import UsageError
from ..line.options import RUN, add_pass_options, cluster_of_pass, frames_of, ids, of_result, positive, run_of
from .arguments import algorithm_parser

MEANT = (
    *("frames", "trains", "detector", "modules", "cluster", "workers"),
    *("quiet", "name", "resume", "overwrite"),
)
"""Options of a pass that mean something here."""
LIT = ("select", "cells", "energy", "margin", "limit")
SAMPLED = object()
"""Stands for the number of trains that is compared if nothing is said."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow copy`` to a parser."""
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("to", metavar="TO", nargs="?", help="directory of the copy")
    parser.add_argument("--to", metavar="DIR", dest="into", help="the same, as other commands have it")
    parser.add_argument("--sources", nargs="+", metavar="PATTERN", help="keep only sources like '*XGM*'")
    add_pass_options(parser, MEANT)
    parser.add_argument("--dry-run", action="store_true", help="only show what would be copied, and its size")
    words = "keep only these pixels, the mask of a result such as signal.zarr; masks of bad pixels stay"
    parser.add_argument("--region", type=_region, metavar="RESULT", help=words)
    words = "what pixels outside of the region become (default: nan in floats, 0 in integers)"
    parser.add_argument("--outside", type=float, metavar="0|nan", help=words)
    codecs = ", ".join(CODECS)
    parser.add_argument("--codec", metavar="NAME", help=f"how pixels are stored: {codecs}")
    words = "by how much floats may be changed: abs=0.5, rel=1e-3, or both with a comma between"
    parser.add_argument("--round", metavar="BOUND", help=words)
    add_lit_options(parser)
    parser.add_argument("--sync", action="store_true", help="wait until the disk has all")


def add_lit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about frames with X-rays."""
    lit = parser.add_argument_group(
        "lit frames",
        "--frames lit keeps frames with X-rays by the bunch pattern, lit:intensity by their pixels",
    )
    add = lit.add_argument
    words = "lit frames; rows of 32 cells with one; cells that are lit in any train; rows of these"
    add("--select", choices=("cell", "row", "super", "super-row"), help=words)
    add("--cells", type=ids, metavar="A:B", help="only these memory cells")
    add("--energy", type=float, metavar="MIN", help="only frames whose pulses have more, by the gas monitor")
    add("--margin", type=int, metavar="N", help="frames before and after that are kept, too")
    add(
        "--no-guess",
        action="store_true",
        help="trains without bunch pattern keep all frames, also between others",
    )
    add("--keep-empty", action="store_true", help="keep all frames of trains without lit ones")
    add(
        "--agree",
        type=_trains,
        default=SAMPLED,
        metavar="N",
        help="compare timing and intensity on N trains of each pattern, or no",
    )
    add("--limit", type=float, metavar="SHARE", help="of frames that may differ (default: 0.01)")
    for name, whose in (("timing", "litfrm"), ("intensity", "litframes")):
        words = f"option of {whose}, several values with commas; may be repeated"
        add(f"--{name}", action="append", metavar="OPTION=VALUE", help=words)


def _region(text: str) -> Any:
    """Return the result at a path."""
    if (found := of_result(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r}: no result of dxflow is there")
    return found


def _trains(text: str) -> int | None:
    """Return a number of trains, None for "no"."""
    return None if text == "no" else positive(text)


def _frames(args: argparse.Namespace) -> Any:
    """Return what ``--frames`` and the options of lit frames mean."""
    given, ways = args.frames or [], [text for text in args.frames or [] if text in WAYS]
    chosen = {name: value for name in LIT if (value := getattr(args, name, None)) is not None}
    for name, whose in (("timing", "litfrm"), ("intensity", "litframes")):
        if texts := getattr(args, name):
            chosen[name] = _options(whose, texts)
    if args.no_guess:
        chosen["guess_missed"] = False
    if args.keep_empty:
        chosen["keep_empty"] = True
    if args.agree is not SAMPLED:
        chosen["agree"] = args.agree
    if not ways:
        if chosen:
            raise UsageError(f"{', '.join(sorted(chosen))}: these are about lit frames: give --frames lit")
        return frames_of(given)
    if len(ways) > 1:
        raise UsageError(f"--frames {' '.join(ways)}: lit frames are chosen twice")
    rest = frames_of([text for text in given if text not in WAYS])
    lit = Lit(by=WAYS[ways[0]], **chosen)
    return lit if rest is None else [lit, rest]


def _options(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return options of an algorithm, ``reference-frame=0``."""
    argv: list[str] = []
    for text in texts:
        option, equal, value = text.partition("=")
        argv += [f"--{option.replace('_', '-')}", *(value.split(",") if equal else [])]
    options = vars(algorithm_parser(find.algorithm(name), name).parse_args(argv))
    if options.pop("varied", None):
        raise UsageError("--with variants=...: a copy has one pattern of lit frames; expected options of one")
    options.pop("rebound")
    return options


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return parsed options as keyword arguments of `copy_run`, but for where it runs."""
    names = ["sources", "modules", "trains", "detector", "quiet", "resume", "overwrite", "sync"]
    names += ["region", "outside", "codec", "round"]
    options: dict[str, Any] = {name: getattr(args, name) for name in names} | {"name": args.name or ""}
    return options | {"frames": _frames(args), "dry_run": args.dry_run}


def target(args: argparse.Namespace) -> str:
    """Return where the copy goes.

    Raises
    ------
    UsageError
        If nothing says it, or two things do.
    """
    said = [one for one in (args.to, args.into) if one is not None]
    if len(said) != 1:
        raise UsageError(
            "expected one directory for the copy: dxflow copy RUN TO, or dxflow copy RUN --to DIR"
        )
    return str(said[0])


def run(args: argparse.Namespace) -> str:
    """Make the copy that parsed options describe and return a summary of it.

    Raises
    ------
    PlanError, WriteError
        As `copy_run`.
    """
    cluster = cluster_of_pass(args) if args.cluster or args.workers else None
    report = copy_run(run_of(args.run), target(args), cluster=cluster, **options_of(args))
    note = "\n(nothing was written: sizes of files that are cut are estimates)" if args.dry_run else ""
    return f"{report}{note}"
