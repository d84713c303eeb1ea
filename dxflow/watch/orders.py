"""What is to be done with each run: one short YAML file, whose errors name line and key."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors.near import did_you_mean, listed
from ..errors.yamls import Items, Placed, Section, read
from ..run import naming
from ..run.naming import FIELD, ORIGINS
from . import columns, filters, telling
from .times import seconds

COMMANDS = ("table", "reduce", "recipe", "copy", "cube")
"""Commands that make one result of one run."""
TOP = (
    *("title", "results", "runs", "every", "quiet", "patience"),
    *("at_once", "jobs", "tasks", "columns", "tell"),
)
OF_TASK = ("do", "to", "from", "where", "after", "on", "tries", "wait", "limit", "report")
FIELDS = ("name", "run", "proposal", "path", "origin")
NAME = re.compile(r"[A-Za-z][\w-]{0,40}")


@dataclass(frozen=True)
class Task:
    """Something that is done once with each run that it is for."""

    name: str
    words: tuple[str, ...]
    to: str
    origin: str
    """Of the runs: raw or proc, "" where they are in no proposal."""
    where: tuple[filters.Condition, ...] = ()
    after: tuple[str, ...] = ()
    slurm: dict[str, Any] | None = None
    """Options of the job, None where it is done on this machine."""
    tries: int = 3
    wait: float = 60.0
    """Seconds before the second try; each next one waits four times as long."""
    limit: float = 0.0
    """Seconds that it may take; 0 for any."""
    report: str = ""
    given: Section | None = field(default=None, compare=False, repr=False)
    """Where the file says it."""

    @property
    def content(self) -> str:
        """A digest of what it makes."""
        said = json.dumps([self.words, self.to, self.origin, self.report])
        return sha256(said.encode()).hexdigest()[:12]

    def delay(self, tries: int) -> float:
        """Return seconds to wait after so many failures."""
        return self.wait * 4.0 ** (tries - 1)


@dataclass(frozen=True)
class Orders:
    """What a file says."""

    path: Path
    results: Path
    tasks: dict[str, Task]
    columns: dict[str, columns.Column] = field(default_factory=dict)
    tell: tuple[telling.Told, ...] = ()
    title: str = ""
    runs: str = "r[0-9]*"
    every: float = 10.0
    quiet: float = 60.0
    patience: float = 900.0
    at_once: int = 2
    jobs: int = 20

    @property
    def keys(self) -> list[str]:
        """Keys of devices that conditions ask for."""
        return sorted({key for task in self.tasks.values() for key in filters.keys(task.where)})

    @property
    def defined(self) -> dict[str, list[str]]:
        """What columns are, as plain values."""
        return {name: [one.task, one.variable, one.how] for name, one in self.columns.items()}

    def same_columns(self, before: Mapping[str, Any]) -> set[str]:
        """Return the columns that are what they were before."""
        return {name for name, own in self.defined.items() if before.get(name) == own}


def of(path: str | Path) -> Orders:
    """Return what a file says is to be done.

    Raises
    ------
    UsageError
        If it is wrong; the message names file, line and key, and what was perhaps meant.
    """
    given = read(path)
    given.only(TOP)
    here = Path(path).expanduser().absolute().parent
    found = given.get("tasks")
    if not isinstance(found, Section) or not found:
        raise given.wrong(
            "expected names with what is to be done, such as 'table:' with 'do: ...' and 'to: ...' below",
            "tasks",
        )
    tasks = {name: _task(name, found) for name in found}
    _refuse_contradictions(found, tasks)
    numbers = {k: seconds(given, k, getattr(Orders, k)) for k in ("every", "quiet", "patience")}
    if numbers["every"] < 0.1:
        raise given.wrong("expected 0.1 s at least", "every")
    return Orders(
        path=Path(path).expanduser().absolute(),
        results=here / Path(_text(given, "results", ".")).expanduser(),
        tasks=tasks,
        columns=columns.of(given, tasks),
        tell=telling.of(given, tasks),
        title=_text(given, "title", ""),
        runs=_text(given, "runs", Orders.runs),
        at_once=_number(given, "at_once", Orders.at_once),
        jobs=_number(given, "jobs", Orders.jobs),
        **numbers,
    )


def _refuse_contradictions(given: Section, tasks: Mapping[str, Task]) -> None:
    """Raise if two tasks make the same, or wait for each other."""
    first: dict[str, tuple[str, str]] = {}
    for name, task in tasks.items():
        for key, path in (("to", task.to), ("report", task.report)):
            if path and (other := first.setdefault(os.path.normpath(path), (name, key))) != (name, key):
                raise given[name].wrong(f"{path}: {other[0]!r} makes this already; choose another name", key)
        for before in task.after:
            if before not in tasks:
                raise given[name].wrong(
                    f"{before!r} is no task.{did_you_mean(before, tasks)} There are: {listed(tasks)}", "after"
                )
            if tasks[before].origin != task.origin:
                raise given[name].wrong(f"{before!r} is of other runs ({tasks[before].origin})", "after")
        if name in _before(name, tasks):
            raise given[name].wrong(f"{name!r} waits for itself", "after")


def _before(name: str, tasks: Mapping[str, Task]) -> set[str]:
    """Return all tasks that come before one."""
    found: set[str] = set()
    new = {*tasks[name].after}
    while new:
        found |= new
        new = {b for one in new if one in tasks for b in tasks[one].after} - found
    return found


def _task(name: Any, above: Section) -> Task:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise above.wrong(f"{name!r} is no name: expected a letter, then letters, digits, _ or -", name)
    given = above[name]
    if not isinstance(given, Section):
        raise above.wrong("expected 'do: table {path} ...' and 'to: tables/{name}.zarr'", name)
    given.only(OF_TASK)
    if missing := [key for key in ("do", "to") if key not in given]:
        raise given.wrong(f"expected '{missing[0]}: ...' as well")
    origin = _text(given, "from", "raw")
    if origin not in ORIGINS:
        raise given.wrong(f"{origin!r}: expected raw or proc", "from")
    return Task(
        name=name,
        words=_words(given),
        to=_target(given, "to"),
        origin=origin,
        where=filters.conditions(given.get("where"), given),
        after=tuple(_texts(given, "after")),
        slurm=_slurm(given),
        tries=_number(given, "tries", Task.tries),
        wait=seconds(given, "wait", Task.wait),
        limit=seconds(given, "limit", Task.limit),
        report=_report(given),
        given=given,
    )


def _words(given: Section) -> tuple[str, ...]:
    """Return the words of a command of dxflow."""
    found = given["do"]
    try:
        words = [str(w) for w in found] if isinstance(found, Items) else shlex.split(str(found or ""))
    except ValueError as e:
        raise given.wrong(f"{e}: {found}", "do") from None
    words = words[1:] if words[:1] == ["dxflow"] else words
    if not words or words[0] not in COMMANDS:
        near = did_you_mean(words[0], COMMANDS) if words else ""
        raise given.wrong(
            f"expected a command of dxflow with its options.{near} Commands: {listed(COMMANDS)}", "do"
        )
    if taken := [w for w in words if w.partition("=")[0] in ("--to", "--resume", "--new")]:
        raise given.wrong(f"{taken[0]}: the watcher adds it; where the result goes stands under 'to'", "do")
    for word in words:
        _refuse_unknown(word, given, "do")
    if not any(match[1] in ("path", "run", "name") for word in words for match in FIELD.finditer(word)):
        raise given.wrong("no run is named: expected {path} where the run stands", "do")
    return tuple(words)


def _target(given: Section, key: str) -> str:
    """Return a name of something that each run has of its own."""
    text = _text(given, key, "")
    _refuse_unknown(text, given, key)
    if not any(match[1] in ("name", "run") for match in FIELD.finditer(text)):
        raise given.wrong(f"{text!r} is the same for all runs: expected {{name}} in it", key)
    return text


def _report(given: Section) -> str:
    """Return where the report of a result goes, "" if there is to be none."""
    if "report" not in given:
        return ""
    if (command := _words(given)[0]) in ("recipe", "copy"):
        raise given.wrong(f"a page shows one result; dxflow {command} makes something else", "report")
    text = _target(given, "report")
    if not text.endswith(".html"):
        raise given.wrong(f"{text!r}: expected such as reports/{{name}}.html", "report")
    return text


def _refuse_unknown(text: str, given: Placed, key: str) -> None:
    for match in FIELD.finditer(text):
        if match[1] not in FIELDS:
            near = did_you_mean(match[1], FIELDS)
            raise given.wrong(f"{match[0]} stands for nothing.{near} There are: {listed(FIELDS)}", key)


def filled(text: str, run: Mapping[str, Any]) -> str:
    """Return a text with what a run has for ``{name}``, ``{run:04}``, ``{path}`` and so on.

    Raises
    ------
    UsageError
        If the run has no such number.
    """
    return naming.filled(text, run, FIELDS, run["name"])


# Values -------------------------------------------------------------------------------------------


def _slurm(given: Section) -> dict[str, Any] | None:
    """Return options of a job."""
    found = given.get("on", "here")
    if found == "here":
        return None
    from ..slurm.commands import OptionError
    from ..slurm.options import resolve

    options = {} if found == "slurm" else found.get("slurm") if isinstance(found, Section) else None
    if not isinstance(options, dict) or (isinstance(found, Section) and len(found) != 1):
        raise given.wrong(f"{found!r}: expected here, slurm, or {{slurm: {{partition: upex}}}}", "on")
    own = dict(options)
    try:
        resolve(own.pop("site", None), own)
    except (OptionError, TypeError) as e:
        raise given.wrong(str(e), "on") from e
    return dict(options)


def _text(given: Section, key: str, usual: str) -> str:
    value = given.get(key, usual)
    if not isinstance(value, str) or not value.strip() and usual:
        raise given.wrong(f"{value!r}: expected a text", key)
    return value


def _texts(given: Section, key: str) -> Sequence[str]:
    value = given.get(key) or []
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise given.wrong(f"{value!r}: expected a name, or a list of names", key)
    return value


def _number(given: Section, key: str, usual: int) -> int:
    value = given.get(key, usual)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise given.wrong(f"{value!r}: expected a number of at least 1", key)
    return value
