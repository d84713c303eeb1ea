"""The command ``dxflow copy``: its options, and what to print when it is done."""

from __future__ import annotations

import argparse
import re
from typing import Any

from .. import arguments
from .copy import copy_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow copy`` to a parser."""
    parser.add_argument("run", metavar="RUN", help="a run directory, one file, or PROPOSAL:RUN")
    parser.add_argument("to", metavar="TO", help="directory of the copy; it must not exist")
    parser.add_argument(
        "--frames",
        nargs="+",
        default=[],
        metavar="WHICH",
        help="a result that selects, or pulses=0:100 cells=0,4,8",
    )
    parser.add_argument("--sources", nargs="+", metavar="PATTERN", help="keep only sources like '*XGM*'")
    parser.add_argument("--modules", type=_modules, help="keep only these modules of detectors: 0,3,8-11")
    parser.add_argument(
        "--trains", type=_trains, help="keep only these train ids: 10001:10050 (end excluded) or 1,2,3"
    )
    parser.add_argument("--detector", help="of several, the one that --frames and --modules are about")
    parser.add_argument(
        "--cluster", default=None, help="as of dxflow reduce; by default processes of this machine"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be copied, and its size")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted copy")
    parser.add_argument("--overwrite", action="store_true", help="replace an older copy")
    parser.add_argument("--sync", action="store_true", help="wait until the disk has all")


def run(args: argparse.Namespace) -> str:
    """Make the copy that parsed options describe and return a summary of it.

    Raises
    ------
    PlanError, CopyError
        As `copy_run`.
    """
    names = ("sources", "modules", "trains", "detector", "resume", "overwrite", "sync")
    options: dict[str, Any] = {name: getattr(args, name) for name in names}
    options |= {"frames": arguments.frames_of(args.frames), "dry_run": args.dry_run}
    cluster = arguments.cluster_of(args.cluster) if args.cluster else None
    report = copy_run(arguments.run_of(args.run), args.to, cluster=cluster, **options)
    note = "\n(nothing was written: sizes of files that are cut are estimates)" if args.dry_run else ""
    return f"{report}{note}"


def _modules(text: str) -> list[int]:
    """Return ``0,3,8-11`` as numbers."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: write 0,1,2 or 0-7")
    spans = [part.split("-") for part in text.split(",")]
    return [n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)]


def _trains(text: str) -> slice | list[int]:
    """Return ``10001:10050`` as a slice and ``10001,10004`` as numbers."""
    if re.fullmatch(r"\d*:\d*(:\d+)?", text):
        return slice(*(int(part) if part else None for part in text.split(":")))
    if re.fullmatch(r"\d+(,\d+)*", text):
        return [int(part) for part in text.split(",")]
    raise argparse.ArgumentTypeError(f"{text!r}: write 10001:10050, 10001:10050:2 or 10001,10004")
