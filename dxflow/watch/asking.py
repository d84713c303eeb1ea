"""What users ask of a watcher: tasks to be tried, or done, again; each request is a file that the watcher removes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..disk.replace import put
from ..errors.near import did_you_mean, listed
from ..errors.usage import UsageError
from .orders import Orders
from .state import AGAIN, DONE, FAILED, GONE, STATES, WAITING, Row, Run

FOLDER = "asked"
RETRY, REPEAT = "retry", "again"
CHANGED, ALL = "changed", "failed"
STATES_OF = {RETRY: (FAILED, AGAIN), REPEAT: (FAILED, AGAIN, DONE)}
"""Of rows that are done again by each."""


def ask(base: Path, how: str, what: str) -> None:
    """Ask for something; a watcher that does not run now finds it when it is started."""
    folder = base / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json"
    put(folder / name, json.dumps({"how": how, "what": what}))


def asked(base: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield what was asked for, first things first, with the file that says it."""
    folder = base / FOLDER
    if not folder.is_dir():
        return
    for file in sorted(folder.glob("*.json")):
        try:
            found = json.loads(file.read_text())
            yield file, {"how": str(found["how"]), "what": str(found["what"])}
        except (ValueError, KeyError, TypeError):
            file.unlink(missing_ok=True)


def older(row: Row, runs: Mapping[str, Run], contents: Mapping[str, str]) -> str:
    """Return in which way what was done is older than what would be done now, "" if it is not.

    Parameters
    ----------
    contents : dict
        What tasks make, by their names.
    """
    if row.state != DONE:
        return ""
    if row.content != contents.get(row.task, row.content):
        return "by an older configuration"
    return "" if row.seen in ("", runs[row.run].seen) else f"the run was changed since: it had {row.seen}"


def meant(what: str, runs: Mapping[str, Run], rows: Mapping[tuple[str, str], Row], how: str) -> list[Row]:
    """Return the rows that words mean: ``r0005``, ``r0005/table``, ``table``, ``failed`` or ``changed``.

    Raises
    ------
    UsageError
        If they mean none.
    """
    tasks = sorted({row.task for row in rows.values()})
    if what == ALL:
        return [row for row in rows.values() if row.state == FAILED]
    if what == CHANGED:
        return [row for row in rows.values() if row.state == DONE]
    names = {name for run in runs for name in (run, run.rpartition("/")[2])}
    run, _, task = what.rpartition("/")
    found = [
        row
        for row in rows.values()
        if what in (row.task, row.run, row.run.rpartition("/")[2])
        or (task == row.task and run in (row.run, row.run.rpartition("/")[2]))
    ]
    if not found:
        known = {*names, *tasks, ALL, CHANGED}
        raise UsageError(
            f"--{how} {what}: there is no such run or task.{did_you_mean(what, known)} Tasks: {listed(tasks)}; "
            f"write a run, a task, RUN/TASK, {ALL} or {CHANGED}"
        )
    return found


def chosen(
    request: Mapping[str, str], runs: Mapping[str, Run], rows: Mapping[tuple[str, str], Row], orders: Orders
) -> tuple[list[Row], int]:
    """Return rows as they are after a request: what failed waits again, and what was done, if that is asked for.

    What is of runs that are gone stays as it is, since nothing can be made of them; how many rows these are is
    returned as well.
    """
    how, what = request["how"], request["what"]
    try:
        found = meant(what, runs, rows, how)
    except UsageError:
        return [], 0
    wanted = STATES_OF.get(how, ())
    if what == CHANGED:
        contents = {name: task.content for name, task in orders.tasks.items()}
        found = [row for row in found if older(row, runs, contents)]
    found = [row for row in found if row.state in wanted and row.task in orders.tasks]
    there = [row for row in found if runs[row.run].state != GONE]
    return [
        replace(
            row,
            state=WAITING,
            failures=0,
            next=None,
            overwrite=int(row.state == DONE or row.overwrite),
            told=1,
        )
        for row in there
    ], len(found) - len(there)


def counted(rows: Mapping[tuple[str, str], Row]) -> str:
    """Return how many rows there are of each state, in words."""
    states = [row.state for row in rows.values()]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states) or "nothing"
