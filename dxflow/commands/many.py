"""The commands ``dxflow plan`` and ``dxflow reduce``: of one run, or of several, one after the other on one cluster."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ..driver.execute import execute
from ..errors.redact import hidden
from ..errors.usage import UsageError, spoken
from ..line.exits import FAILED as EXIT_FAILED
from ..line.exits import OK, complain, text_of
from ..line.options import cluster_of_pass
from ..line.runs import FAILED, Run, Several, table
from .arguments import Line, lines_of, options_of

Say = Callable[[str], None]


def plan_all(argv: Sequence[str], doc: str | None, say: Say) -> int:
    """Show the plan of each run of a command line; return the exit code."""
    lines = lines_of("plan", doc, argv)
    if len(lines) == 1:
        say(str(lines[0].planned()[0]))
        return OK
    code, cluster = OK, cluster_of_pass(options_of(lines[0]))
    for line in lines:
        say(f"--- {line.run.text}")
        try:
            say(str(line.planned(cluster)[0]))
        except UsageError as e:
            code = complain(f"{line.run.text}: {text_of(e)}")
    return code


def reduce_all(argv: Sequence[str], doc: str | None, say: Say) -> int:
    """Reduce each run of a command line and say how it went; return the exit code."""
    lines = lines_of("reduce", doc, argv)
    quiet, trace = "--quiet" in argv, "--traceback" in argv
    if len(lines) == 1:
        made, cluster = lines[0].planned()
        say(str(made))
        say(spoken(execute(made, cluster, quiet=quiet).report(said=made.losses)))
        return OK
    return _several(lines, quiet, trace, say)


def _several(lines: Sequence[Line], quiet: bool, trace: bool, say: Say) -> int:
    """Reduce several runs and show one table, also of those that are done when this is interrupted."""
    options, of_run = options_of(lines[0]), {line.run: line for line in lines}
    cluster = cluster_of_pass(options)

    def reduced(run: Run) -> tuple[Any, bool]:
        say(f"--- {run.text} -> {of_run[run].to}")
        made, _ = of_run[run].planned(cluster)
        return execute(made, cluster, quiet=quiet), made.finished

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
