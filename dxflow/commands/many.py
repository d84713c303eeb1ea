"""The commands ``dxflow plan`` and ``dxflow reduce``: of one run, or of several, one after the other on one cluster."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api import plan, reporting
from ..driver.execute import execute
from ..errors.redact import hidden
from ..errors.usage import UsageError, spoken, text_of
from ..line import naming
from ..line.exits import FAILED as EXIT_FAILED
from ..line.exits import OK, complain
from ..line.options import cluster_of_pass, of_plan, run_of
from ..line.runs import FAILED, Run, Several, refuse_missing, refuse_same, runs_of, table
from .arguments import Section, configured, grouped, read, shared_parser, split, value_of

if TYPE_CHECKING:
    from ..planning.public import Plan

Say = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """A command line about one run: one of several that a line may mean, with its names filled in."""

    run: Run
    sections: list[Section]

    @property
    def to(self) -> str | None:
        """Where its result goes."""
        return value_of(self.sections[0].tokens, "--to")

    def planned(
        self, cluster: Any = None, *, passes: bool = True, say: Callable[[str], Any] = str
    ) -> tuple[Plan, Any]:
        """Return its plan, and the cluster where it is to run: that which is given, or the one of its options.

        What is wrong with options, run or result is found here, so that a plain message says it. Unless there are to be
        no `passes`, names of a condition may need one over the pixels first.
        """
        try:
            options, algorithms = read(self.sections)
            cluster = cluster_of_pass(options) if cluster is None else cluster
            if left := naming.take(options, run_of(options.run), algorithms, cluster, passes=passes):
                say(f"note        {left}")
            algorithms = grouped(options, algorithms)
            return plan(
                run_of(options.run), algorithms, options.to, cluster=cluster, **of_plan(options)
            ), cluster
        except (ValueError, OSError) as e:
            raise UsageError(text_of(e)) from e


def lines_of(command: str, doc: str | None, argv: Sequence[str]) -> list[Line]:
    """Return the lines that a command line means, one for each run; of several, all are there.

    Raises
    ------
    UsageError
        If runs are missing, or two would have the same result.
    """
    sections = configured(split(shared_parser(command, doc or ""), argv))
    runs = runs_of(sections[0].runs)
    if not runs:
        # Says what is missing, or shows the help.
        read(sections)
    lines = [Line(run, [one.filled(run) for one in sections]) for run in runs]
    if len(lines) > 1:
        refuse_missing(runs)
        _refuse_wrong(lines)
        if targets := [one.to for one in lines if one.to is not None]:
            refuse_same(runs, targets)
    return lines


def _refuse_wrong(lines: Sequence[Line]) -> None:
    """Raise what is wrong with the line itself: with the first run and with the second."""
    errors = []
    for line in lines[:2]:
        try:
            read(line.sections)
        except (ValueError, OSError, TypeError) as e:
            errors.append(e)
    if len(errors) == 2:
        raise errors[0]


def options_of(line: Line) -> argparse.Namespace:
    """Return the shared options of a line."""
    first = line.sections[0]
    return first.parser.parse_args([*first.runs, *first.tokens])


def planned(command: str, argv: Sequence[str]) -> Plan:
    """Return the plan of the first run of a command line, without any pass over pixels."""
    return lines_of(command, None, argv)[0].planned(passes=False)[0]


def plan_all(argv: Sequence[str], doc: str | None, say: Say) -> int:
    """Show the plan of each run of a command line; return the exit code."""
    lines = lines_of("plan", doc, argv)
    if len(lines) == 1:
        say(str(lines[0].planned(passes=False, say=say)[0]))
        return OK
    code, cluster = OK, cluster_of_pass(options_of(lines[0]))
    for line in lines:
        say(f"--- {line.run.text}")
        try:
            say(str(line.planned(cluster, passes=False, say=say)[0]))
        except UsageError as e:
            code = complain(f"{line.run.text}: {text_of(e)}")
    return code


def reduce_all(argv: Sequence[str], doc: str | None, say: Say) -> int:
    """Reduce each run of a command line and say how it went; return the exit code."""
    lines = lines_of("reduce", doc, argv)
    quiet, trace = "--quiet" in argv, "--traceback" in argv
    if len(lines) == 1:
        made, cluster = lines[0].planned()
        reports = reporting(made, options_of(lines[0]).report)
        say(str(made))
        say(spoken(reports(execute(made, cluster, quiet=quiet)).report(said=made.losses)))
        return OK
    return _several(lines, quiet, trace, say)


def _several(lines: Sequence[Line], quiet: bool, trace: bool, say: Say) -> int:
    """Reduce several runs and show one table, also of those that are done when this is interrupted."""
    options, of_run = options_of(lines[0]), {line.run: line for line in lines}
    cluster = cluster_of_pass(options)

    def reduced(run: Run) -> tuple[Any, bool]:
        say(f"--- {run.text} -> {of_run[run].to}")
        made, _ = of_run[run].planned(cluster)
        reports = reporting(made, options.report)
        return reports(execute(made, cluster, quiet=quiet)), made.finished

    def failed(run: Run, error: Exception) -> None:
        if trace:
            sys.stderr.write(hidden("".join(traceback.format_exception(error))))
        complain("\n  ".join([f"{run.text}: {text_of(error)}", *getattr(error, "__notes__", ())]))

    several = Several(reduced, cluster, options.on_fault == "raise", failed)
    try:
        outcomes = several.each([line.run for line in lines])
    except KeyboardInterrupt as e:
        say(table(several.outcomes))
        if not getattr(e, "__notes__", ()):
            e.add_note("--resume goes on with the runs that are not done")
        raise
    say(table(outcomes))
    return EXIT_FAILED if any(one.state == FAILED for one in outcomes) else OK
