"""The command line: one function for each command of ``dxflow``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..errors.near import did_you_mean
from ..errors.usage import OptionParser, UsageError, spoken, text_of
from ..line.exits import FAILED, OK, WRONG_USAGE, code_of, complain


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; those of the process by default.

    Returns
    -------
    int
        0: done. 1: the run failed. 2: wrong usage, or a plan that cannot work. 130: interrupted.
        141: what reads the output, such as ``head``, ended before the command. 143: terminated (SIGTERM).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("-h", "--help", ""):
        print(usage())
        return OK if name else WRONG_USAGE
    if name == "--version":
        return _version()
    if name not in COMMANDS:
        return complain(f"no command {name!r}.{did_you_mean(name, COMMANDS)} Commands: {', '.join(COMMANDS)}")
    lost = "nothing is kept yet: start it again" if name == "reduce" else ""
    return code_of(partial(COMMANDS[name], rest), lost=lost, trace="--traceback" in rest)


def usage() -> str:
    """Return the commands with what they do."""
    lines = [f"  dxflow {name:<9} {_first_line(command)}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "dxflow: reduce X-ray laser detector data.",
            "",
            *lines,
            "",
            "'dxflow COMMAND --help' shows the options of a command.",
            "Exit codes: 0 done, 1 the run failed, 2 wrong usage or a plan that cannot work, 130 interrupted, "
            "143 terminated.",
        ]
    )


def _first_line(command: Callable[..., Any]) -> str:
    return (command.__doc__ or "").partition("\n")[0]


# Commands -----------------------------------------------------------------------------------------


def simulate(argv: Sequence[str]) -> int:
    """Write a simulated run with known truth."""
    from . import simulate as command

    parser = OptionParser(prog="dxflow simulate", description=simulate.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        print(command.run(args))
    except (ValueError, FileExistsError) as e:
        raise UsageError(str(e)) from e
    return OK


def plan(argv: Sequence[str]) -> int:
    """Show what a reduction would read, make and need, without running it."""
    from .many import plan_all

    return plan_all(argv, plan.__doc__, print)


def reduce(argv: Sequence[str]) -> int:
    """Reduce a run, or several, with one or more algorithms in one pass."""
    from .many import reduce_all

    return reduce_all(argv, reduce.__doc__, print)


def live(argv: Sequence[str]) -> int:
    """Reduce a run while it is taken: results of the trains so far, and in the end those of the run."""
    from . import live as command

    return command.run(argv, live.__doc__ or "", print)


def set_(argv: Sequence[str]) -> int:
    """Change options of an algorithm while dxflow live runs: dxflow set x.zarr NAME [--again] --OPTION VALUE."""
    from . import live as command

    return command.change(argv, set_.__doc__ or "", print)


def table(argv: Sequence[str]) -> int:
    """Make one table of everything small in a run: pulses, motors, what algorithms make."""
    from . import table as command

    parser = OptionParser(prog="dxflow table", description=table.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(spoken(command.run(parser.parse_args(argv))))
    return OK


def cube(argv: Sequence[str]) -> int:
    """Average variables and images of a table, or a run, in bins of others, with errors; pumped and not."""
    from . import cube as command

    command.run(argv, cube.__doc__ or "", lambda text: print(spoken(text)))
    return OK


def recipe(argv: Sequence[str]) -> int:
    """Run a recipe, a script that chains passes: dxflow recipe NAME [its options]."""
    from .. import find

    if not argv or argv[0].startswith("-"):
        listed = "\n".join(f"  {name:<10} {text}" for name, text in find.recipes().items())
        print(f"usage: dxflow recipe NAME [its options]\n\n{listed}")
        return OK if argv and argv[0] in ("-h", "--help") else WRONG_USAGE
    return find.recipe(argv[0]).main(list(argv[1:]))


def copy(argv: Sequence[str]) -> int:
    """Copy a run, or some of its frames, trains, modules and sources."""
    from . import copy as command

    parser = OptionParser(prog="dxflow copy", description=copy.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(command.run(parser.parse_args(argv)))
    return OK


def red(argv: Sequence[str]) -> int:
    """Make the volume of reduced data that remains of a proposal: red plan | run | verify FILE."""
    from . import red as command

    return command.run(argv, red.__doc__ or "", lambda text: print(spoken(text)))


def codecs(argv: Sequence[str]) -> int:
    """Try codecs on frames of a run: what each saves, how fast it is, what it changes."""
    from . import codecs as command

    parser = OptionParser(prog="dxflow codecs", description=codecs.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(command.run(parser.parse_args(argv)))
    return OK


def bench(argv: Sequence[str]) -> int:
    """Measure what a run costs to read and reduce, what bounds it, and what others need."""
    from . import bench as command

    parser = OptionParser(prog="dxflow bench", description=bench.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(spoken(command.run(parser.parse_args(argv))))
    return OK


def list_(argv: Sequence[str]) -> int:
    """List algorithms, recipes and kinds of cluster; or the options of one algorithm."""
    from .. import find

    parser = OptionParser(prog="dxflow list", description=list_.__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="an algorithm, or path/to/file.py:Class: show its options")
    name = parser.parse_args(argv).name
    if name is not None:
        print(_algorithm_help(find.algorithm(name), name))
        return OK
    algorithms = {key: cls.HELP for key, cls in find.algorithms().items()}
    for title, entries in (("algorithms", algorithms), ("recipes", find.recipes())):
        print(title, *(f"  {key:<12} {text}" for key, text in entries.items()), sep="\n")
    print("clusters", *(f"  {kind}" for kind in ("here", *find.cluster_names())), sep="\n")
    return OK


def info(argv: Sequence[str]) -> int:
    """Show what a run holds: trains, detectors, modules, sources, keys; or what a result is."""
    from ..driver.progress import during
    from ..line.options import RUN, run_of
    from .describe import describe

    parser = OptionParser(prog="dxflow info", description=info.__doc__, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("sources", nargs="?", help="only sources like this, in detail: XGM or '*XGM*'")
    parser.add_argument("--all", action="store_true", help="all keys of a run, all that a result depends on")
    words = "the configuration, as YAML, with which 'dxflow reduce --config' makes a result again"
    parser.add_argument("--config", action="store_true", help=words)
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    args = parser.parse_args(argv)
    if args.config:
        print(_configuration(args.run), end="")
        return OK
    try:
        shown = during("reading", describe, run_of(args.run), args.sources, whole=args.all)
    except (KeyError, OSError) as e:
        raise UsageError(text_of(e)) from e
    print(shown)
    return OK


def show(argv: Sequence[str]) -> int:
    """Show what a result, table or cube holds, and the picture that a variable deserves, here or as a file."""
    from . import show as command

    parser = OptionParser(prog="dxflow show", description=show.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(command.run(parser.parse_args(argv)))
    return OK


def export(argv: Sequence[str]) -> int:
    """Write what is small of a result, table or cube for others: CSV, Parquet, .npz, .mat."""
    from . import export as command

    parser = OptionParser(prog="dxflow export", description=export.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(command.run(parser.parse_args(argv)))
    return OK


def report(argv: Sequence[str]) -> int:
    """Write a result, table or cube as one page for browsers: how it was made, losses, times, all pictures."""
    from . import report as command

    parser = OptionParser(prog="dxflow report", description=report.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    print(spoken(command.run(parser.parse_args(argv))))
    return OK


def _configuration(path: str) -> str:
    """Return the configuration of a result."""
    from ..driver.result import open_result
    from ..line.config import of_result

    _refuse_no_result(path)
    try:
        return of_result(open_result(path))
    except ValueError as e:
        raise UsageError(text_of(e)) from e


def verify(argv: Sequence[str]) -> int:
    """Find out whether a result is as it was written: exit code 0, or 1 and what is damaged."""
    from ..driver.progress import during
    from ..stores.opening import verify as problems_of

    parser = OptionParser(prog="dxflow verify", description=verify.__doc__, allow_abbrev=False)
    parser.add_argument("result", metavar="RESULT", help="of any format")
    path = parser.parse_args(argv).result
    _refuse_no_result(path)
    problems = during("reading all of it", problems_of, path)
    print(*problems or [f"{path}: as it was written"], sep="\n")
    return FAILED if problems else OK


def _refuse_no_result(path: str) -> None:
    """Raise if a path is nothing that dxflow made, rather than something damaged."""
    from pathlib import Path

    from ..driver.progress import during
    from ..driver.result import open_result

    try:
        during("reading", open_result, path)
    except FileNotFoundError as e:
        if not (Path(path) / "zarr.json").exists():
            raise UsageError(text_of(e)) from e
    except OSError:
        # Its damage is to be named.
        pass


def cluster(argv: Sequence[str]) -> int:
    """Try out a SLURM cluster: a small job, a task on it, and what is wrong in plain words."""
    return _slurm("cluster", argv)


def submit(argv: Sequence[str]) -> int:
    """Put a command or a script into the queue: dxflow submit reduce RUN ..., submit script.py -- ARGS."""
    return _slurm("submit", argv)


def jobs(argv: Sequence[str]) -> int:
    """List your jobs of dxflow: what was submitted, and workers."""
    return _slurm("jobs", argv)


def logs(argv: Sequence[str]) -> int:
    """Show the log of a job."""
    return _slurm("logs", argv)


def cancel(argv: Sequence[str]) -> int:
    """Cancel a job and its workers."""
    return _slurm("cancel", argv)


def watch(argv: Sequence[str]) -> int:
    """Do what a file says with every run as it appears, once: tables, reductions, recipes, copies."""
    from . import watch as command

    parser = OptionParser(prog="dxflow watch", description=watch.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    return command.run(parser.parse_args(argv), main, partial(print, flush=True))


def runs(argv: Sequence[str]) -> int:
    """Show what a watcher has done with which run, and how it went; ask for something again."""
    from . import runs as command

    parser = OptionParser(prog="dxflow runs", description=runs.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    return command.run(parser.parse_args(argv), print)


def _slurm(name: str, argv: Sequence[str]) -> int:
    from . import slurm as command

    parser = OptionParser(prog=f"dxflow {name}", description=COMMANDS[name].__doc__, allow_abbrev=False)
    getattr(command, name)(argv, parser, print)
    return OK


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "simulate": simulate,
    "plan": plan,
    "reduce": reduce,
    "live": live,
    "set": set_,
    "copy": copy,
    "red": red,
    "codecs": codecs,
    "table": table,
    "cube": cube,
    "recipe": recipe,
    "list": list_,
    "info": info,
    "show": show,
    "export": export,
    "report": report,
    "verify": verify,
    "bench": bench,
    "watch": watch,
    "runs": runs,
    "cluster": cluster,
    "submit": submit,
    "jobs": jobs,
    "logs": logs,
    "cancel": cancel,
}


# What they share ------------------------------------------------------------------------------------


def _algorithm_help(cls: type[Any], name: str) -> str:
    """Return the options, inputs and documentation of an algorithm."""
    from inspect import cleandoc

    from ..errors.near import written
    from .arguments import algorithm_parser

    parser = algorithm_parser(cls, name)
    inputs = "\n".join(f"  {alias} = {written(what)}" for alias, what in cls.inputs.items())
    # Its own, not that of the base class.
    return f"{parser.format_help()}\ninputs:\n{inputs}\n\n{cleandoc(cls.__doc__ or '')}".rstrip()


def _version() -> int:
    from importlib.metadata import version

    print(f"dxflow {version('dxflow')}")
    return OK
