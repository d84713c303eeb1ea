"""The command ``dxflow watch``: every run of a proposal or folder as it appears, with what a file says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from .. import find
from ..errors.usage import OptionParser, UsageError, text_of
from ..watch import attempt, orders, template
from ..watch.loop import watched

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
    check(wanted)
    begun = f"watching {args.place}; results, state and index.html in {wanted.results}; Ctrl-C ends it"
    return 1 if watched(place_of(args.place), wanted, submit, say, once=args.once, begun=begun) else 0


def check(wanted: orders.Orders) -> None:
    """Read the command line of each task as its command will: algorithms, options, and files that all runs need.

    Raises
    ------
    UsageError
        If one is wrong whatever the run; the message names file, line and key.
    """
    for task in wanted.tasks.values():
        words = [orders.filled(word, EXAMPLE) for word in task.words]
        of_run = sum("{" in word for word in task.words) > 1
        try:
            with chdir(wanted.path.parent):
                CHECKS[words[0]]([*words[1:], "--to", "x.zarr"])
        except (find.NotFoundError, ValueError, OSError, TypeError, KeyError) as e:
            # Of words that are other ones for each run nobody knows yet whether they are right.
            if not of_run and task.given is not None:
                raise task.given.wrong(text_of(e), "do") from e


def _check_reduce(words: Sequence[str]) -> None:
    from .many import lines_of, read

    for line in lines_of("reduce", None, words):
        read(line.sections)


def _check_table(words: Sequence[str]) -> None:
    from ..analysis import config
    from . import table

    parser = OptionParser(prog="dxflow table", allow_abbrev=False)
    table.add_arguments(parser)
    args = parser.parse_args(words)
    if args.config is not None:
        config.of(args.config)


def _check_copy(words: Sequence[str]) -> None:
    from . import copy as copying

    parser = OptionParser(prog="dxflow copy", allow_abbrev=False)
    copying.add_arguments(parser)
    args = parser.parse_args(words)
    copying.target(args)
    copying.options_of(args)


def _check_cube(words: Sequence[str]) -> None:
    from . import cube

    cube.bins_of(cube.read(words)[0].bins)


def _check_recipe(words: Sequence[str]) -> None:
    recipe = find.recipe(words[0] if words else "")
    if hasattr(recipe, "parser"):
        recipe.parser().parse_args(words[1:])


CHECKS = {
    "reduce": _check_reduce,
    "table": _check_table,
    "copy": _check_copy,
    "cube": _check_cube,
    "recipe": _check_recipe,
}
EXAMPLE = {"name": "r0001", "run": 1, "proposal": 900000, "origin": "raw", "path": "r0001"}
"""A run that stands for any other."""


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
