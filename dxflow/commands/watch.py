"""The command ``dxflow watch``: every run of a proposal or folder as it appears, with what a file says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import find
from ..errors.usage import UsageError
from ..watch import attempt, orders, template
from ..watch.loop import Watcher

FLAGS = {
    "reduce": ("--resume", "--overwrite"),
    "copy": ("--resume", "--overwrite"),
    "table": ("--overwrite",),
    "cube": ("--overwrite",),
}
Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow watch`` to a parser."""
    add = parser.add_argument
    add("place", metavar="PROPOSAL_OR_DIR", nargs="?", help="a folder of runs, or the number of a proposal")
    add("--do", metavar="FILE", help="what is to be done with each run: a configuration in YAML")
    add("--new", metavar="FILE", help="write a configuration to begin with, with comments")
    add("--once", action="store_true", help="end when nothing is left to do")
    add("--attempt", metavar="DIR", help=argparse.SUPPRESS)
    add("--traceback", action="store_true", help="show the whole traceback of an error")


def run(args: argparse.Namespace, main: Callable[[Sequence[str]], int], say: Say) -> int:
    """Watch, or write a configuration, or do one attempt; return the exit code.

    Parameters
    ----------
    main
        Runs a command line.

    Raises
    ------
    UsageError
        If something is missing, or the configuration is wrong.
    """
    if args.attempt is not None:
        return attempt.run(Path(args.attempt), main, known)
    if args.new is not None:
        made = template.write(args.new)
        say(f"{made}: edit it, then: dxflow watch {args.place or 'PROPOSAL_OR_DIR'} --do {made}")
        return 0
    if args.place is None or args.do is None:
        raise UsageError(
            "expected PROPOSAL_OR_DIR and --do FILE; or --new FILE for a configuration to begin with"
        )
    wanted = orders.of(args.do)
    with Watcher(place_of(args.place), wanted, submit, say) as watcher:
        say(f"watching {args.place}; results, state and index.html in {wanted.results}; Ctrl-C ends it")
        watcher.watch(once=args.once)
        failed = [row for row in watcher.work.rows.values() if row.state == "failed"]
    return 1 if failed else 0


def place_of(text: str) -> str | int:
    """Return the number of a proposal, or a folder."""
    number = text.removeprefix("p")
    return int(number) if number.isdigit() and not Path(text).exists() else text


def known(words: Sequence[str]) -> Collection[str]:
    """Return which of ``--resume`` and ``--overwrite`` a command line may have."""
    if words[0] != "recipe":
        return FLAGS.get(words[0], ())
    recipe = find.recipe(words[1] if len(words) > 1 else "")
    made = recipe.parser() if hasattr(recipe, "parser") else None
    return () if made is None else tuple(made._option_string_actions)


def submit(words: list[str], options: Mapping[str, Any], name: str) -> str:
    """Submit a command of dxflow to Slurm; return the job."""
    from ..slurm.options import resolve
    from . import job

    given = dict(options)
    return job.submit(words, resolve(given.pop("site", None), given), name)[0]
