"""The command ``dxflow table``: everything small of a run as one labelled dataset, by a short file per experiment."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors.usage import UsageError
from ..line.options import RUN, add_pass_options, cluster_of_pass, run_of

if TYPE_CHECKING:
    from ..analysis.tables import Table

PASS = (
    "trains",
    "cluster",
    "workers",
    "on-fault",
    "suspect",
    "chunk",
    "block",
    "hook-timeout",
    "quiet",
    "overwrite",
)
OF_PASS = ("on_fault", "suspect", "chunk", "block", "hook_timeout")
WORDS = {"pulse": "per row", "train": "per train", "run": "of the run"}
SHOWN = 12
"""Variables that are shown of what was made."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow table`` to a parser."""
    from ..analysis.config import ROWS

    add = parser.add_argument
    add("run", metavar="RUN", nargs="?", help=RUN)
    add("--to", metavar="PATH", help="the table: name.zarr, or name.h5 for the layout of LCLS as well")
    add("--config", metavar="FILE", help="what is in it: .yaml or .py; default: all that is small")
    add(
        "--new", metavar="FILE", help="write a configuration to begin with, of what RUN holds if one is given"
    )
    add(
        "--rows",
        choices=ROWS,
        help="what has a row each; default: frames if something is made of each, else pulses",
    )
    add_limit(parser, "it")
    add("--yes", action="store_true", help="do not ask, whatever size it has")
    add_pass_options(parser, PASS)
    add("--traceback", action="store_true", help="show the whole traceback of an error")


def run(args: argparse.Namespace) -> str:
    """Make a table, or write a configuration; return what was done.

    Raises
    ------
    UsageError, PlanError
        If it cannot be made.
    """
    from ..analysis import making, template

    if args.new is not None:
        made = template.write(args.new, None if args.run is None else run_of(args.run))
        return f"{made}: edit it, then: dxflow table {args.run or 'RUN'} --config {made} --to NAME.zarr"
    if args.run is None or args.to is None:
        raise UsageError("expected RUN and --to NAME.zarr; or --new FILE for a configuration to begin with")
    given = {name: value for name in OF_PASS if (value := getattr(args, name)) is not None}
    if args.cluster or args.workers:
        given["cluster"] = cluster_of_pass(args)
    try:
        with warnings.catch_warnings():
            # The report says it.
            warnings.filterwarnings("ignore", "table: ")
            table = making.table(
                run_of(args.run),
                args.to,
                args.config,
                args.overwrite,
                rows=args.rows,
                trains=args.trains,
                **_size(args),
                quiet=args.quiet,
                **given,
            )
    except FileExistsError as e:
        raise UsageError(str(e).replace("overwrite=True", "--overwrite")) from e
    return report(table)


def add_limit(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option of how large a table may be."""
    from ..analysis.making import LIMIT

    words = (
        f"bytes that {what} may have; above, you are asked on a terminal, and it is refused without; default"
    )
    parser.add_argument("--limit", metavar="SIZE", help=f"{words} {LIMIT}")


def _size(args: argparse.Namespace) -> dict[str, Any]:
    """Return how large a table may be, and who is asked: without a configuration and a limit, of any size."""
    from ..analysis.making import LIMIT

    agree = None if args.yes else asking()
    of_any = args.yes or (agree is not None and args.config is None and args.limit is None)
    return {"limit": None if of_any else args.limit or LIMIT, "agree": agree}


def _terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def asking() -> Callable[[str], bool] | None:
    """Return what asks whether a table of some size is wanted; nobody is asked without a terminal."""
    if not _terminal():
        return None

    def ask(words: str) -> bool:
        sys.stderr.write(f"{words}. Make it? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


def report(table: Table) -> str:
    """Return what a table has, and what was lost."""
    from ..analysis import complete
    from ..run.losses import from_json, lines
    from ..sizes import show

    sizes = ", ".join(f"{n} {dim}s" for dim, n in table.data.sizes.items() if dim in ("pulse", "train"))
    by_rate = {rate: [n for n in table.names if table.rate(n) == rate] for rate in ("pulse", "train", "run")}
    names = [name for own in by_rate.values() for name in own]
    said = [
        f"table    {table.path}, {show(table.data.nbytes)} in memory",
        f"rows     {sizes}; rows are {table.data.attrs['rows']}",
        f"values   {', '.join(f'{len(own)} {WORDS[rate]}' for rate, own in by_rate.items())}",
        f"names    {', '.join(names[:SHOWN])}{f', and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}",
    ]
    said += [f"note     {line}" for line in complete.said(table.data)]
    lost = lines(from_json(table.about["losses"])) or ["nothing"]
    return "\n".join([*said, f"lost     {lost[0]}", *(f"         {line}" for line in lost[1:])])
