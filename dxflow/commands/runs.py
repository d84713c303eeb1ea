"""The command ``dxflow runs``: what a watcher has done, as a table; and what it is to do again."""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..disk import lock
from ..errors.usage import UsageError
from ..watch import asking, columns, orders, state
from ..watch.times import clock, lasted
from ..watch.work import FOLDER

HEAD = ("run", "task", "state", "tries", "ended", "took", "where")
WIDE = 100
"""Characters of a reason that are shown."""
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
            asking.meant(what, runs, rows, how)
            asking.ask(folder / FOLDER, how, what)
            soon = (
                f"{watching} sees to it"
                if watching
                else "the watcher does not run: it is done when it is started"
            )
            say(f"asked for {what}: {soon}")
    if args.retry is not None or args.again is not None:
        return 0
    shown = [row for row in rows.values() if _wanted(row, args.only)]
    say(table(shown, _chosen(args.columns, shown)))
    place = about.get("place", "")
    say(
        f"{asking.counted(rows)}; {f'{watching} watches {place}' if watching else f'nobody watches {place} now'}"
    )
    return 0


def folder_of(where: str) -> Path:
    """Return the folder of results that is meant."""
    path = Path(where).expanduser()
    return orders.of(path).results if path.suffix in (".yaml", ".yml") else path


def _wanted(row: state.Row, only: list[str] | None) -> bool:
    names = (row.run, row.run.rpartition("/")[2], row.task, row.state)
    return not only or any(one in names for one in only)


def _chosen(text: str | None, rows: list[state.Row]) -> dict[str, Any]:
    """Return columns by name, each with a function of a row."""
    known = {name: None for row in rows for name in row.numbers}
    if text is None:
        return {name: _kept(name) for name in known}
    made: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        if part in known:
            made[part] = _kept(part)
        elif " " not in part:
            raise UsageError(
                f"--columns {part}: there is no such column; there are {', '.join(known) or 'none'}; others are "
                "read from results: --columns 'table xgm.intensityTD mean'"
            )
        else:
            made[part] = _read(columns.column(part, part, {row.task for row in rows}))
    return made


def _kept(name: str) -> Callable[[state.Row], str]:
    return lambda row: columns.shown(row.numbers.get(name))


def _read(wanted: columns.Column) -> Callable[[state.Row], str]:
    """Return what reads a number from the result of a row."""

    def read(row: state.Row) -> str:
        if row.task != wanted.task or row.state != state.DONE:
            return ""
        made, wrong = columns.values({wanted.name: wanted}, row.task, Path(row.result))
        return columns.shown(made.get(wanted.name)) if not wrong else wrong[0][:WIDE]

    return read


def table(rows: list[state.Row], chosen: dict[str, Callable[[state.Row], str]]) -> str:
    """Return rows as text, each column as wide as it must be."""
    if not rows:
        return "no tasks yet"
    lines = [(*HEAD, *chosen, "lost, or why")]
    for row in rows:
        took = lasted(row.ended - row.began) if row.ended and row.began else ""
        where = f"job {row.job}" if row.job else row.host
        said = " ".join((row.losses if row.state == state.DONE else row.reason).split())
        if row.state == state.AGAIN and row.next:
            said = f"again at {clock(row.next)}: {said}"
        cells = (row.run, row.task, row.state, str(row.tries), clock(row.ended), took, where)
        lines.append((*cells, *(make(row) for make in chosen.values()), said[:WIDE]))
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
