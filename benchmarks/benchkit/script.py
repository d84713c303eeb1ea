"""What the scripts share: options, and a table that is printed as soon as its group is done."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from time import perf_counter
from typing import Any

from dxflow.bench import machine, table
from dxflow.bench.rounds import Group, Measured, measure

MEANING = """\
Ratios are medians over rounds, in which the cases take turns; "s" and rates are medians as well.
Of dxflow, "s" is the whole call on workers that run, from reduce() called to the result there; "pass s" is its part
from the first chunk submitted to the last one finished. Of others, opening files and building tables is not counted."""


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
    out.add_argument(
        "--minutes", type=float, default=5.0, help="after this, one round per group (default: %(default)g)"
    )
    return out


class Session:
    """Measures groups one by one; each table is printed, and all so far written as JSON, when its group is done.

    Parameters
    ----------
    args : argparse.Namespace
        Of `parser`.
    data : dict
        What is measured on, for the JSON.
    """

    def __init__(self, args: argparse.Namespace, data: dict[str, Any]) -> None:
        self.args, self.measured = args, list[Measured]()
        self.facts = {"small": args.small, "workers": args.workers, "data": data} | machine.facts()
        self.ends = perf_counter() + 60 * args.minutes
        text = "SMALL DATA: the numbers mean nothing" if args.small else machine.headline(self.facts)
        print(text, flush=True)

    def add(self, group: Group) -> Measured:
        """Measure a group, in its time and in that of the script."""
        sys.stderr.write(f"{group.title} ...\n")
        now, args = perf_counter(), self.args
        warm_up, until = group.warm_up and not args.small and now < self.ends, now + group.seconds
        rounds = args.rounds or (1 if args.small else 5)
        self.measured.append(measure(group, rounds, warm_up=warm_up, until=min(self.ends, until)))
        print(_table(args, self.measured[-1]), flush=True)
        self.write()
        return self.measured[-1]

    def write(self) -> None:
        """Write what was measured so far as JSON, if that is wanted."""
        if self.args.json:
            table.write(self.args.json, self.facts, self.measured)


def run(
    args: argparse.Namespace, groups: Iterable[Group], data: dict[str, Any], meaning: str = MEANING
) -> None:
    """Measure groups, and say in the end what the numbers are."""
    session = Session(args, data)
    for group in groups:
        if args.only in group.title:
            session.add(group)
    print(meaning)


def _table(args: argparse.Namespace, measured: Measured) -> str:
    """Return the table of a group; of small data it says of nothing whether it is reached."""
    lines = table.rows([measured])
    lines = [replace(line, reached=None) for line in lines] if args.small else lines
    rounds = f"{len(measured.rounds)} round{'s' if len(measured.rounds) != 1 else ''}"
    return f"\n{table.text(lines)}\n({rounds}, load {min(measured.loads):.1f}-{max(measured.loads):.1f})"
