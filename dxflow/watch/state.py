"""What is known of each run and task, in SQLite: written by the watcher alone, read by anybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors.usage import UsageError

FILE = "watch.sqlite"
BUSY = 20.0
"""Seconds to wait for others that read."""
VERSION = 1

WAITING, STARTING, QUEUED, RUNNING = "waiting", "starting", "queued", "running"
DONE, FAILED, AGAIN, SKIPPED, GONE = "done", "failed", "again", "skipped", "gone"
UNDER_WAY = (STARTING, QUEUED, RUNNING)
OPEN = (WAITING, AGAIN, *UNDER_WAY)
STATES = (*OPEN, DONE, FAILED, SKIPPED)


@dataclass
class Run:
    """A run, once it is complete."""

    run: str
    path: str
    changed: int
    """When its folder was changed, in nanoseconds, as it was taken for complete."""
    complete: float
    """When it was taken for complete."""
    remark: str = ""
    """What was odd about it."""
    state: str = ""
    """"gone" if it is not there now."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def seen(self) -> str:
        """How much there is of it: what is made of less is older."""
        return ", ".join(f"{self.facts.get(name, 0)} {name}" for name in ("files", "bytes", "trains"))


@dataclass
class Row:
    """A task with a run."""

    run: str
    task: str
    content: str
    """What it makes, as a digest; of one that was done, what it was when it was done."""
    seen: str = ""
    """How much there was of the run."""
    state: str = WAITING
    tries: int = 0
    """Attempts that were begun."""
    failures: int = 0
    """Attempts that failed since it was asked for."""
    place: str = "here"
    """here, or slurm."""
    job: str = ""
    host: str = ""
    pid: int = 0
    began: float | None = None
    ended: float | None = None
    next: float | None = None
    """When it may be tried again."""
    code: int | None = None
    reason: str = ""
    losses: str = ""
    result: str = ""
    report: str = ""
    log: str = ""
    overwrite: int = 0
    """Whether it was asked for again, so that its result is replaced."""
    told: int = 1
    numbers: dict[str, Any] = field(default_factory=dict)


TABLES = {"runs": Run, "tasks": Row}


def _columns(kind: Any) -> dict[str, str]:
    """Return the columns of a table by name, as SQL."""
    kinds = {"str": "TEXT", "int": "INTEGER", "float": "REAL"}
    return {f.name: f'"{f.name}" {kinds.get(str(f.type).partition(" ")[0], "TEXT")}' for f in fields(kind)}


SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS runs ({', '.join(_columns(Run).values())}, PRIMARY KEY (run))",
    f"CREATE TABLE IF NOT EXISTS tasks ({', '.join(_columns(Row).values())}, PRIMARY KEY (run, task))",
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT)",
)


class State:
    """The file, as its one writer has it.

    There is no write-ahead log: that needs memory which processes share, and nodes share none. A change is a short
    transaction with a rollback journal; a process that is killed within one leaves what was before.

    Raises
    ------
    UsageError
        If another dxflow wrote it, in a way that this one does not know.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = DELETE")
            with self.change():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        """Make the tables, or add columns that they did not have when they were made."""
        for line in SCHEMA:
            self._db.execute(line)
        _refuse_unknown(self._db, self.path)
        for table, kind in TABLES.items():
            there = {name for name, *_ in self._db.execute(f"SELECT * FROM {table} LIMIT 0").description}
            for name, column in _columns(kind).items():
                if name not in there:
                    self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        self.note("version", str(VERSION))

    @contextmanager
    def change(self) -> Iterator[None]:
        """Have all changes within be made, or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, *made: Run | Row) -> None:
        """Write rows, each in the place of what was there."""
        with self.change():
            for one in made:
                table = "runs" if isinstance(one, Run) else "tasks"
                values = [json.dumps(v) if isinstance(v, dict) else v for v in asdict(one).values()]
                marks = ", ".join("?" * len(values))
                names = ", ".join(f'"{f.name}"' for f in fields(one))
                self._db.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", values)

    def note(self, name: str, value: str) -> None:
        """Write something about the watcher itself."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def all(self) -> tuple[dict[str, Run], dict[tuple[str, str], Row], dict[str, str]]:
        """Return everything: runs, rows, and what is noted."""
        return _all(self._db, self.path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _refuse_unknown(db: sqlite3.Connection, path: Path) -> None:
    """Raise if a file has been written in a way that nobody knows here."""
    found = db.execute("SELECT value FROM about WHERE name = 'version'").fetchone()
    if found is not None and not (str(found[0]).isdecimal() and int(found[0]) <= VERSION):
        raise UsageError(
            f"{path} is of version {found[0]}, and this dxflow knows versions up to {VERSION}: use the dxflow that "
            "wrote it, or name other results in the configuration"
        )


def _all(
    db: sqlite3.Connection, path: Path
) -> tuple[dict[str, Run], dict[tuple[str, str], Row], dict[str, str]]:
    db.execute("BEGIN")
    try:
        _refuse_unknown(db, path)
        runs = {one.run: one for one in _rows(db, Run, "runs", "run")}
        rows = {(one.run, one.task): one for one in _rows(db, Row, "tasks", "run, task")}
        return runs, rows, dict(db.execute("SELECT name, value FROM about"))
    finally:
        db.execute("ROLLBACK")


def _rows(db: sqlite3.Connection, kind: Any, table: str, order: str) -> Iterator[Any]:
    known = {f.name for f in fields(kind)}
    mapped = {f.name for f in fields(kind) if str(f.type).startswith("dict")}
    # Of columns that it had not when it was written, or whose names SQLite would take for texts, nothing is asked.
    found = db.execute(f"SELECT * FROM {table} ORDER BY {order}")
    names = [name for name, *_ in found.description]
    for line in found:
        given = {n: v for n, v in zip(names, line, strict=True) if n in known and v is not None}
        yield kind(**{n: json.loads(v) if n in mapped else v for n, v in given.items()})


def read(folder: Path) -> tuple[dict[str, Run], dict[tuple[str, str], Row], dict[str, str]]:
    """Return everything that is known in a folder, whether somebody writes there or not.

    Raises
    ------
    FileNotFoundError
        If nothing was ever watched there.
    sqlite3.Error
        If it cannot be read.
    UsageError
        If another dxflow wrote it, in a way that this one does not know.
    """
    path = (folder / FILE).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: nothing was watched there")
    uri = path.as_uri()
    try:
        with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY)) as db:
            return _all(db, path)
    except sqlite3.OperationalError as e:
        if "no such table" in str(e):
            raise FileNotFoundError(f"{path}: nothing is written there yet") from e
        # A watcher that was killed within a change left its journal, which only who may write can undo.
        if "readonly" not in str(e) and "unable to open" not in str(e):
            raise
        with closing(sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=BUSY)) as db:
            return _all(db, path)
