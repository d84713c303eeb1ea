"""The command ``dxflow copy``: its options, and what to print when it is done."""

from __future__ import annotations

import argparse
from typing import Any

from ..copying.copy import copy_run
from ..line.options import RUN, add_pass_options, cluster_of_pass, frames_of, run_of

MEANT = (
    *("frames", "trains", "detector", "modules", "cluster", "workers"),
    *("quiet", "name", "resume", "overwrite"),
)
"""Options of a pass that mean something here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow copy`` to a parser."""
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("to", metavar="TO", help="directory of the copy")
    parser.add_argument("--sources", nargs="+", metavar="PATTERN", help="keep only sources like '*XGM*'")
    add_pass_options(parser, MEANT)
    parser.add_argument("--dry-run", action="store_true", help="only show what would be copied, and its size")
    parser.add_argument("--sync", action="store_true", help="wait until the disk has all")


def run(args: argparse.Namespace) -> str:
    """Make the copy that parsed options describe and return a summary of it.

    Raises
    ------
    PlanError, WriteError
        As `copy_run`.
    """
    names = ("sources", "modules", "trains", "detector", "quiet", "resume", "overwrite", "sync")
    options: dict[str, Any] = {name: getattr(args, name) for name in names} | {"name": args.name or ""}
    options |= {"frames": frames_of(args.frames or ()), "dry_run": args.dry_run}
    cluster = cluster_of_pass(args) if args.cluster or args.workers else None
    report = copy_run(run_of(args.run), args.to, cluster=cluster, **options)
    note = "\n(nothing was written: sizes of files that are cut are estimates)" if args.dry_run else ""
    return f"{report}{note}"
