"""The command ``dxflow runs``: what a watcher has done, as a table; and what it is to do again."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..disk import lock
from ..errors.near import did_you_mean, listed
from ..errors.usage import UsageError
from ..sizes import count
from ..watch import asking, columns, orders, state
from ..watch.times import clock, lasted
from ..watch.work import FOLDER

HEAD = ("run", "task", "state", "tries", "ended", "took", "where")
WIDE = 100
"""Characters of a reason that are shown."""
NOTHING = {
    "retry": "failed, so that nothing is tried again: --again does again what was done",
    "again": "ended, so that nothing is done again",
}
Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow runs`` to a parser."""
    add = parser.add_argument
    add(
        "where",
        metavar="FOLDER",
        nargs="?",
        default=".",
        help="of results, or the configuration; default: here",
    )
    add(
        "--columns",
        metavar="NAMES",
        help="only these columns: a,b of the configuration, or 'table xgm mean', read from the results now",
    )
    add("--only", metavar="WHAT", action="append", help="only this run, task or state; may be repeated")
    add("--retry", metavar="WHAT", help="try again what failed: a run, a task, RUN/TASK, or 'failed' for all")
    add("--again", metavar="WHAT", help="do again, also what was done, replacing its result; or 'changed'")
    add("--traceback", action="store_true", help="show the whole traceback of an error")


def run(args: argparse.Namespace, say: Say) -> int:
    """Show what is known, or ask for something; return the exit code.

    Raises
    ------
    UsageError
        If nothing was ever watched there, or what is asked for is not there.
    """
    folder = folder_of(args.where)
    try:
        runs, rows, about = state.read(folder)
    except (FileNotFoundError, sqlite3.Error) as e:
        raise UsageError(f"{folder}: {e}; expected the results of dxflow watch, or its configuration") from e
    watching = lock.holder(folder / FOLDER)
    for how, what in (("retry", args.retry), ("again", args.again)):
        if what is not None:
            found = [r for r in asking.meant(what, runs, rows, how) if r.state in asking.STATES_OF[how]]
            gone = [row for row in found if runs[row.run].state == state.GONE]
            if len(gone) == len(found):
                say(f"{what}: the runs are gone" if gone else f"nothing of {what} has {NOTHING[how]}")
                continue
            asking.ask(folder / FOLDER, how, what)
            soon = (
                f"{watching} sees to it"
                if watching
                else "the watcher does not run: it is done when it is started"
            )
            say(
                f"asked for {what}: {soon}{'; what is of runs that are gone is left as it is' if gone else ''}"
            )
    if args.retry is not None or args.again is not None:
        return 0
    _refuse_unknown(args.only, runs, rows)
    shown = [row for row in rows.values() if _wanted(row, args.only)]
    units = json.loads(about.get("units", "{}"))
    vanished = {name for name, one in runs.items() if one.state == state.GONE}
    say(table(shown, _chosen(args.columns, shown, units), vanished))
    place = about.get("place", "")
    say(
        f"{asking.counted(rows)}; {f'{watching} watches {place}' if watching else f'nobody watches {place} now'}"
    )
    return 0


def folder_of(where: str) -> Path:
    """Return the folder of results that is meant."""
    path = Path(where).expanduser()
    return orders.of(path).results if path.suffix in (".yaml", ".yml") else path


def _refuse_unknown(
    only: list[str] | None, runs: Mapping[str, state.Run], rows: Mapping[tuple[str, str], state.Row]
) -> None:
    """Raise if rows are asked for by what is no run, task or state."""
    names = {name for run in runs for name in (run, run.rpartition("/")[2])}
    known = {*names, *(row.task for row in rows.values()), *state.STATES}
    for one in only or ():
        if one not in known:
            raise UsageError(
                f"--only {one}: there is no such run, task or state.{did_you_mean(one, known)} "
                f"Tasks: {listed(sorted(known - names - {*state.STATES}))}; states: {listed(state.STATES)}; "
                f"{count(len(runs), 'run')}"
            )


def _wanted(row: state.Row, only: list[str] | None) -> bool:
    names = (row.run, row.run.rpartition("/")[2], row.task, row.state)
    return not only or any(one in names for one in only)


def _chosen(text: str | None, rows: list[state.Row], units: Mapping[str, str]) -> dict[str, Any]:
    """Return columns by name, each with a function of a row."""
    known = {name: None for row in rows for name in row.numbers}
    if text is None:
        return {columns.titled(name, units): _kept(name) for name in known}
    made: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        if part in known:
            made[columns.titled(part, units)] = _kept(part)
        elif " " not in part:
            raise UsageError(
                f"--columns {part}: there is no such column; there are {', '.join(known) or 'none'}; others are "
                "read from results: --columns 'table xgm.intensityTD mean'"
            )
        else:
            made |= _read(columns.column(part, part, {row.task for row in rows}), rows)
    return made


def _kept(name: str) -> Callable[[state.Row], str]:
    return lambda row: columns.shown(row.numbers.get(name))


def _read(wanted: columns.Column, rows: list[state.Row]) -> dict[str, Callable[[state.Row], str]]:
    """Return a column of numbers that are read from the results of rows.

    Raises
    ------
    UsageError
        If no result has it.
    """
    found = {
        (row.run, row.task): columns.values({wanted.name: wanted}, row.task, Path(row.result))
        for row in rows
        if row.task == wanted.task and row.state == state.DONE
    }
    wrong = [one.wrong[0] for one in found.values() if one.wrong]
    if wrong and len(wrong) == len(found):
        raise UsageError(f"--columns {wrong[0]}")
    units = {name: unit for one in found.values() for name, unit in one.units.items()}

    def read(row: state.Row) -> str:
        one = found.get((row.run, row.task), columns.Values())
        return one.wrong[0][:WIDE] if one.wrong else columns.shown(one.numbers.get(wanted.name))

    return {columns.titled(wanted.name, units): read}


def table(
    rows: list[state.Row], chosen: dict[str, Callable[[state.Row], str]], gone: Collection[str] = ()
) -> str:
    """Return rows as text, each column as wide as it must be; of runs that are gone it is said."""
    if not rows:
        return "no tasks yet"
    lines = [(*HEAD, *chosen, "lost, or why")]
    for row in rows:
        took = lasted(row.ended - row.began) if row.ended and row.began else ""
        where = f"job {row.job}" if row.job else row.host
        said = " ".join((row.losses if row.state == state.DONE else row.reason).split())
        if row.state == state.AGAIN and row.next:
            said = f"again at {clock(row.next)}: {said}"
        said = "; ".join(filter(None, ["the run is gone" if row.run in gone else "", said]))
        cells = (row.run, row.task, row.state, str(row.tries), clock(row.ended), took, where)
        lines.append((*cells, *(make(row) for make in chosen.values()), said[:WIDE]))
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
