"""What the scripts in benchmarks/ share: options, and what they print in the end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import machine, table
from .rounds import Group, Measured, measure

MEANING = """\
Ratios are medians over rounds, in which the cases take turns; "s" and rates are medians as well.
Of dxflow, "s" is the pass: workers run, from the first chunk submitted to the last one finished. "execute s" is all
of dxflow.execute() on these workers: with merging, finalizing and writing the result.
Of others, opening files and building tables is not counted."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have."""
    out = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    out.add_argument("--small", action="store_true", help="tiny data, seconds: checks that it works, no more")
    out.add_argument("--json", metavar="FILE", help="write all samples, and what they depend on, as JSON")
    out.add_argument("--rounds", type=int, help="default 5; 1 with --small")
    out.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one per core"
    )
    out.add_argument("--only", metavar="TEXT", default="", help="only groups with this in their title")
    return out


def run(args: argparse.Namespace, groups: Sequence[Group]) -> list[Measured]:
    """Measure groups as the options say; the error output shows them one by one, as it takes minutes."""
    rounds, measured = args.rounds or (1 if args.small else 5), []
    for group in groups:
        if args.only in group.title:
            sys.stderr.write(f"{group.title} ...\n")
            measured.append(measure(group, rounds, warm_up=not args.small))
            sys.stderr.write("" if args.small else table.text(table.rows(measured[-1:])) + "\n")
    return measured


def finish(
    args: argparse.Namespace, measured: Sequence[Measured], data: dict[str, Any], meaning: str = MEANING
) -> str:
    """Write the JSON, if wanted, and return what to print.

    Parameters
    ----------
    data : dict
        What was measured on, for the JSON.
    meaning : str
        What the numbers are.
    """
    facts = {"small": args.small, "workers": args.workers, "data": data} | machine.facts()
    if args.json:
        table.write(args.json, facts, measured)
    lines = table.rows(measured)
    if args.small:
        lines = [replace(line, reached=None) for line in lines]
    small = "SMALL DATA: the numbers mean nothing\n" if args.small else ""
    return f"{small}{machine.headline(facts, measured)}\n{table.text(lines)}\n{meaning}"
