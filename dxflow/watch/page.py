"""The page of all runs: one file with nothing outside it, one row for each run, that a phone shows as cards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..disk.replace import put
from ..sizes import count
from . import asking, columns
from .orders import Orders
from .state import DONE, FAILED, GONE, UNDER_WAY, Row, Run
from .times import clock, lasted

FILE = "index.html"
EVERY = 30
"""Seconds after which a browser reads the page again."""
AS_OF = "<!-- as of -->"
MOST = 300
"""Characters of a reason that are shown."""
SIGNS = {
    "done": "✓",
    "failed": "✗",
    "again": "↻",
    "running": "▶",
    "starting": "▶",
    "queued": "…",
    "waiting": "·",
}
STYLE = """
:root{color-scheme:light dark;--line:#8884;--ok:#1a7f37;--bad:#c0262d;--busy:#0b62c4;--dim:#777}
body{font:15px/1.4 system-ui,sans-serif;margin:0 auto;padding:12px;max-width:1500px}
h1{font-size:1.3em;margin:.2em 0}p{margin:.3em 0;color:var(--dim)}
table{border-collapse:collapse;width:100%;margin-top:12px}
th,td{text-align:left;vertical-align:top;padding:5px 12px 5px 0;border-bottom:1px solid var(--line)}
th{font-weight:600;position:sticky;top:0;background:Canvas}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.done{color:var(--ok)}.failed,.again{color:var(--bad)}.running,.starting,.queued{color:var(--busy)}
.waiting,.skipped,.gone,small{color:var(--dim)}small{display:block;overflow-wrap:anywhere;max-width:40em}
a{color:inherit;text-underline-offset:2px}.trouble{color:var(--bad);font-weight:600}
@media(max-width:760px){thead{display:none}tr{display:block;border:1px solid var(--line);border-radius:8px;
margin:10px 0;padding:6px 10px}td{display:flex;gap:10px;border:0;padding:3px 0}
td::before{content:attr(data-name);flex:0 0 7.5em;min-width:0;overflow-wrap:anywhere;color:var(--dim)}
td:empty{display:none}td.run{font-weight:600}small,td.run::before{font-weight:400}}
"""


def page(
    runs: Mapping[str, Run],
    rows: Mapping[tuple[str, str], Row],
    orders: Orders,
    coming: Mapping[str, str],
    trouble: str = "",
    units: Mapping[str, str] | None = None,
) -> str:
    """Return the page, with `AS_OF` where it is to say when it was written.

    Parameters
    ----------
    coming : dict
        Runs that are not complete, and why.
    units : dict, optional
        Of columns.
    """
    tasks = [*orders.tasks, *sorted({row.task for row in rows.values()} - {*orders.tasks})]
    title = orders.title or f"Runs of {orders.results.name}"
    states = [row.state for row in rows.values()]
    under_way = sum(s in UNDER_WAY for s in states)
    said = f"{count(len(runs), 'run')}; tasks: {states.count(DONE)} done, {under_way} under way, "
    said += f"{states.count(FAILED)} failed; {count(len(coming), 'run')} not complete yet"
    head = ["run", "trains", *orders.columns, *tasks]
    lines = [
        _line(runs[name], rows, orders, tasks) for name in sorted(runs, reverse=True) if name not in coming
    ]
    lines = [*(_coming(name, coming[name], head) for name in sorted(coming, reverse=True)), *lines]
    titles = "".join(f"<th>{escape(columns.titled(name, units or {}))}</th>" for name in head)
    warning = f'<p class="trouble">{escape(trouble)}</p>' if trouble else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta http-equiv="refresh" content="{EVERY}"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(said)}</p>{AS_OF}{warning}"
        f"<table><thead><tr>{titles}</tr></thead><tbody>\n{''.join(lines)}</tbody></table></body></html>\n"
    )


def _line(run: Run, rows: Mapping[tuple[str, str], Row], orders: Orders, tasks: list[str]) -> str:
    """Return the row of a run."""
    own = {task: rows[run.run, task] for task in tasks if (run.run, task) in rows}
    numbers = {name: value for row in own.values() for name, value in row.numbers.items()}
    said = [text for text in (run.facts.get("type"), run.facts.get("sample"), run.state, run.remark) if text]
    about = f"<small>{escape(', '.join(map(str, said)))}</small>" if said else ""
    cells = [
        _cell("run", f"<span>{escape(run.run)}{about}</span>", "run"),
        _cell("trains", _number(run.facts), "n"),
    ]
    contents = {name: task.content for name, task in orders.tasks.items()}
    older = lambda row: asking.older(row, {run.run: run}, contents)  # noqa: E731
    cells += [_cell(name, escape(columns.shown(numbers.get(name))), "n") for name in orders.columns]
    cells += [
        _cell(task, _task(own[task], orders, older(own[task])) if task in own else "") for task in tasks
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _number(facts: Mapping[str, Any]) -> str:
    return escape(str(facts.get("trains", "")))


def _coming(name: str, why: str, head: list[str]) -> str:
    text = f"<span>{escape(name)}<small>not complete: {escape(why)}</small></span>"
    return f"<tr>{_cell('run', text, 'run')}{''.join(_cell(one, '') for one in head[1:])}</tr>\n"


def _cell(name: str, made: str, kind: str = "") -> str:
    return f'<td class="{kind}" data-name="{escape(name)}">{made}</td>'


def _task(row: Row, orders: Orders, older: str) -> str:
    """Return how a task went: its state with a link to its report or log, time, losses, reason."""
    target = row.report or row.log
    word = f"{SIGNS.get(row.state, '')} {row.state}".strip()
    shown = f'<a href="{_link(target, orders.results)}">{escape(word)}</a>' if target else escape(word)
    span = lasted(row.ended - row.began) if row.ended and row.began and row.state == DONE else ""
    ended = clock(row.ended) if row.state in (DONE, FAILED) else ""
    losses = f"lost {row.losses}" if row.losses and row.losses != "nothing" and row.state == DONE else ""
    again = f"again at {clock(row.next)}" if row.next else ""
    said = [
        ", ".join(filter(None, (ended, span))),
        f"job {row.job}" if row.job else "",
        older,
        losses,
        again,
    ]
    said += [row.reason[:MOST]]
    return (
        f'<span class="{escape(row.state)}">{shown}'
        f"{''.join(f'<small>{escape(text)}</small>' for text in said if text)}</span>"
    )


def _link(path: str, folder: Path) -> str:
    """Return a link to a file, relative where it lies beside the page."""
    return escape(quote(os.path.relpath(path, folder)))


def write(folder: Path, text: str, as_of: str) -> None:
    """Write the page, which appears whole, with words on when that was."""
    put(folder / FILE, text.replace(AS_OF, f"<p>{escape(as_of)}</p>", 1))


def summary(run: Run, row: Row, orders: Orders) -> dict[str, Any]:
    """Return what others are told of a task."""
    return {
        "run": row.run,
        "task": row.task,
        "state": row.state,
        "title": orders.title,
        "path": run.path,
        "proposal": run.facts.get("proposal"),
        "number": run.facts.get("run"),
        "type": run.facts.get("type"),
        "sample": run.facts.get("sample"),
        "trains": run.facts.get("trains"),
        "remark": "gone" if run.state == GONE else run.remark,
        "tries": row.tries,
        "began": row.began,
        "ended": row.ended,
        "seconds": round(row.ended - row.began, 3) if row.began and row.ended else None,
        "place": row.place,
        "job": row.job,
        "host": row.host,
        "code": row.code,
        "reason": row.reason,
        "losses": row.losses,
        "result": row.result,
        "report": row.report,
        "log": row.log,
        "values": row.numbers,
    }
