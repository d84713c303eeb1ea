"""What is to be done with runs: each task once with each, some at a time, failures again; all of it noted first."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors.usage import UsageError
from ..slurm.commands import OptionError, SlurmError, Unreachable
from . import attempt, filters
from .hands import Found, Hands
from .orders import Orders, Task, filled
from .state import (
    AGAIN,
    DONE,
    FAILED,
    GONE,
    QUEUED,
    RUNNING,
    SKIPPED,
    STARTING,
    UNDER_WAY,
    WAITING,
    Row,
    Run,
    State,
)
from .times import lasted

FOLDER = "watch"
"""In the folder of results: attempts with their logs, and the lock of the watcher."""
PATIENCE = 30.0
"""Seconds that attempts have to end when they are asked to."""
SILENCE = 60.0
"""Seconds between tries to submit a job where Slurm does not answer."""
ATOMIC = ("table", "reduce", "copy", "cube")
"""Commands whose result is complete or absent: what is there is done."""
Key = tuple[str, str]


class Work:
    """Tasks with runs.

    Parameters
    ----------
    runs, rows : dict
        What is known, as it is in the state.
    hands : Hands
        Starts attempts.
    say
        Takes what happens, in words.
    tell
        Is called for each row that is done, or failed for good.
    ready
        Returns whether a run can be worked on now.
    """

    def __init__(
        self,
        orders: Orders,
        state: State,
        hands: Hands,
        *,
        say: Callable[[str], None],
        tell: Callable[[Key, Row], None],
        ready: Callable[[str], bool],
    ) -> None:
        self.orders, self.state, self.hands = orders, state, hands
        self._say, self._tell, self._ready = say, tell, ready
        self.runs, self.rows, self.about = state.all()
        self.changed = True
        """Whether something was noted since this was set to False."""
        self._first: dict[Key, float] = {}
        self._asked: dict[Key, float] = {}
        self._due: dict[Key, float] = {}
        self._ending = False
        self._restore()

    def _restore(self) -> None:
        """Wait as long as was meant before the watcher was started again; clocks may have been changed."""
        for key, row in self.rows.items():
            if row.state == AGAIN and row.next is not None and key[1] in self.orders.tasks:
                most = self.orders.tasks[key[1]].delay(max(row.failures, 1))
                self._due[key] = time.monotonic() + min(max(row.next - time.time(), 0.0), most)

    def put(self, *rows: Row) -> None:
        """Note rows."""
        self.state.put(*rows)
        for row in rows:
            self.rows[row.run, row.task] = row
        self.changed = True

    def name_units(self, found: Mapping[str, str]) -> None:
        """Note units of columns."""
        known = json.loads(self.about.get("units", "{}"))
        if found.items() - known.items():
            self.about["units"] = json.dumps(known | dict(found))
            self.state.note("units", self.about["units"])
            self.changed = True

    def busy(self) -> bool:
        """Return whether something is under way."""
        return any(row.state in UNDER_WAY for row in self.rows.values())

    def blocked(self, row: Row) -> bool:
        """Return whether a row waits for what will not come by itself."""
        if row.state in UNDER_WAY:
            return False
        task = self.orders.tasks.get(row.task)
        if task is None or self.runs[row.run].state == GONE:
            return True
        before = [self.rows.get((row.run, name)) for name in task.after]
        return any(
            one is None or one.state in (FAILED, SKIPPED) or (one.state != DONE and self.blocked(one))
            for one in before
        )

    def new_rows(self, run: Run) -> Iterator[Row]:
        """Yield rows of tasks that this run has none of, or that were not for it and are now."""
        origin = run.run.rpartition("/")[0]
        for task in self.orders.tasks.values():
            row = self.rows.get((run.run, task.name))
            if origin not in ("", task.origin) or (row is not None and row.state not in (SKIPPED, WAITING)):
                continue
            # Nothing has happened to it yet: what the configuration says now holds.
            why = filters.refused(task.where, run.facts)
            state = SKIPPED if why else WAITING
            if row is None:
                tries = self._on_disk(run.run, task.name)
                yield Row(
                    run.run,
                    task.name,
                    task.content,
                    run.seen,
                    STARTING if tries else state,
                    tries,
                    reason=why,
                )
            elif (row.state, row.reason if why else "") != (state, why) and not (row.tries and why):
                yield replace(row, state=state, reason=why, content=task.content)

    def _on_disk(self, run: str, task: str) -> int:
        """Return the last attempt of a task that has begun, though there is no row: the state was lost."""
        folder = self.orders.results / FOLDER / run / task
        begun = [p.parent.name for p in folder.glob(f"*/{attempt.BEGUN}")]
        numbers = [int(name) for name in begun if name.isdigit()]
        return max(numbers, default=0)

    def again(self, rows: list[Row]) -> None:
        """Have rows done again, at once."""
        self.put(*rows)
        for row in rows:
            self._due.pop((row.run, row.task), None)

    def follow(self) -> None:
        """Find out what became of all that is under way."""
        for key, row in list(self.rows.items()):
            if row.state in UNDER_WAY:
                self._follow(key, row)

    def start(self) -> None:
        """Start what may be started, as many at a time as is wanted."""
        free = {"here": self.orders.at_once, "slurm": self.orders.jobs}
        for row in self.rows.values():
            if row.state in UNDER_WAY:
                free[row.place] -= 1
        for key, row in list(self.rows.items()):
            task = self.orders.tasks.get(row.task)
            place = "slurm" if task is not None and task.slurm is not None else "here"
            if task is not None and free[place] > 0 and self._may(key, row, task):
                free[place] -= 1
                self._begin(row, task, place)

    def _may(self, key: Key, row: Row, task: Task) -> bool:
        """Return whether a task may be started now."""
        if row.state not in (WAITING, AGAIN) or time.monotonic() < self._due.get(key, 0.0) or self._ending:
            return False
        if self.runs[row.run].state == GONE or not self._ready(row.run):
            return False
        before = [self.rows.get((row.run, name)) for name in task.after]
        return all(one is not None and one.state == DONE for one in before)

    def _begin(self, row: Row, task: Task, place: str, made: bool = False) -> None:
        """Start an attempt; it is noted before."""
        try:
            order = self._order(row, task, made)
        except UsageError as e:
            self.put(now := replace(row, state=FAILED, reason=str(e), ended=time.time(), told=0))
            self._say(f"{row.run} {row.task}: failed: {e}")
            self._tell((row.run, row.task), now)
            return
        seen = self.runs[row.run].seen
        started = replace(
            row, state=STARTING, tries=row.tries + 1, content=task.content, seen=seen, place=place, job="", pid=0,
            host="", began=None, ended=None, next=None, code=None, result=order["to"], report="", losses="",
            overwrite=int(order["overwrite"]),
        )  # fmt: skip
        # How long the one before took, and that it was asked to end, is nothing of this one.
        self._first.pop((row.run, row.task), None)
        self._asked.pop((row.run, row.task), None)
        folder = self.folder(started)
        started.log = str(folder / attempt.LOG)
        self.hands.prepare(folder, order)
        self.put(started)
        self._launch(started, task)

    def _launch(self, row: Row, task: Task | None) -> None:
        row = replace(row)
        slurm = ((task.slurm if task else None) or {}) if row.place == "slurm" else None
        try:
            self.hands.start(row, self.folder(row), slurm)
        except Unreachable as e:
            # It may have been submitted all the same: the same attempt is started again, unless a job has its name.
            if row.reason != str(e):
                self.put(replace(row, reason=str(e)))
            self._due[row.run, row.task] = time.monotonic() + SILENCE
        except (SlurmError, OptionError, OSError) as e:
            self._failed(row, str(e))
        else:
            where = f"job {row.job}" if row.place == "slurm" else f"process {row.pid}"
            self._say(f"{row.run} {row.task}: begun, {where}")
            self.put(replace(row, state=QUEUED if row.place == "slurm" else RUNNING))

    def _order(self, row: Row, task: Task, made: bool) -> dict[str, Any]:
        """Return what an attempt is to do."""
        run = self.runs[row.run]
        facts = {**run.facts, "path": run.path}
        fill = lambda text: filled(text, facts)  # noqa: E731
        to = str(self.orders.results / fill(task.to))
        report = str(self.orders.results / fill(task.report)) if task.report else ""
        self._refuse_taken(row, to, report)
        return {
            "run": row.run, "task": task.name, "cwd": str(self.orders.path.parent), "made": made,
            "words": [fill(word) for word in task.words], "to": to, "report": report, "resume": row.tries > 0,
            # What another configuration made is replaced under its own name only.
            "overwrite": bool(row.overwrite) and row.result in ("", to), "command": task.words[0],
            "columns": self.orders.defined, "began": row.began if made else None,
        }  # fmt: skip

    def _refuse_taken(self, row: Row, *paths: str) -> None:
        """Raise if another run or task has made, or makes, one of these files."""
        mine = {os.path.normpath(path) for path in paths if path}
        for other in self.rows.values():
            if (other.run, other.task) == (row.run, row.task):
                continue
            for path in filter(None, (other.result, other.report)):
                if os.path.normpath(path) in mine:
                    raise UsageError(
                        f"{path} is made of {other.run} by {other.task!r} already: have the name tell them apart, such "
                        "as {name} in it, and ask for it again"
                    )

    def folder(self, row: Row) -> Path:
        """Return the folder of the last attempt of a row."""
        return self.orders.results / FOLDER / row.run / row.task / str(row.tries)

    def _follow(self, key: Key, row: Row) -> None:
        """Find out what became of an attempt that is under way."""
        folder = self.folder(row)
        found = self.hands.find(row, folder)
        if found.kind == "ended":
            self._ended(row, found.facts)
        elif found.kind == "died":
            self._died(row, folder, found)
        elif found.kind == "absent" and time.monotonic() >= self._due.get(key, 0.0):
            # The watcher was killed before, or just after, it started this; only one of two starts gets to work.
            self._launch(row, self.orders.tasks.get(row.task))
        elif found.kind == "alive":
            self._alive(key, row, found.facts, folder)

    def _alive(self, key: Key, row: Row, facts: dict[str, Any], folder: Path) -> None:
        state = QUEUED if facts.get("queued") else RUNNING if facts.get("began") else row.state
        now = replace(row, state=state, pid=facts.get("pid", row.pid), host=facts.get("host", row.host))
        now.job = facts.get("job") or row.job
        if state == RUNNING and row.began is None:
            now.began = (attempt.read(folder / attempt.BEGUN) or {}).get("began")
        if now != row:
            self.put(now)
        # Jobs have a walltime.
        if state == RUNNING and now.place == "here":
            self._limit(key, now, folder)

    def _limit(self, key: Key, row: Row, folder: Path) -> None:
        """Ask an attempt to end that takes longer than it may, whichever watcher has begun it."""
        now = time.monotonic()
        if key not in self._first:
            self._first[key] = now - (max(0.0, time.time() - row.began) if row.began else 0.0)
        limit = self.orders.tasks[row.task].limit if row.task in self.orders.tasks else 0.0
        if limit and now - self._first[key] > limit:
            last = now - self._asked.get(key, now) >= PATIENCE
            if self.hands.end(row, folder, signal.SIGKILL if last else signal.SIGTERM):
                self._asked.setdefault(key, now)

    def _ended(self, row: Row, facts: dict[str, Any]) -> None:
        """Note how an attempt ended."""
        keep = {
            k: facts[k]
            for k in ("job", "host", "pid", "began", "ended", "code")
            if facts.get(k) not in (None, "")
        }
        now = replace(row, **keep)
        if facts["code"] != 0:
            self._failed(now, facts.get("reason", ""), ended=facts.get("ended"))
            return
        order = attempt.read(self.folder(now) / attempt.ORDER) or {}
        same = self.orders.same_columns(order.get("columns", {}))
        now = replace(
            now, state=DONE, failures=0, overwrite=0, told=0, reason="; ".join(facts.get("remarks", ())),
            losses=facts.get("losses", ""), report=facts.get("report", ""),
            numbers={name: value for name, value in facts.get("numbers", {}).items() if name in same},
            result=now.result or order.get("to", ""),
        )  # fmt: skip
        # What could not be read is not read again.
        now.numbers = {
            name: None for name in same if self.orders.columns[name].task == now.task
        } | now.numbers
        self.put(now)
        self.name_units({name: unit for name, unit in facts.get("units", {}).items() if name in same})
        span = lasted(now.ended - now.began) if now.ended and now.began else ""
        self._say(f"{row.run} {row.task}: done in {span}; lost {now.losses or 'nothing that it says'}")
        self._tell((row.run, row.task), now)

    def _died(self, row: Row, folder: Path, found: Found) -> None:
        """Note that an attempt died; what it had made before is done all the same."""
        order = attempt.read(folder / attempt.ORDER)
        task = self.orders.tasks.get(row.task)
        whole = order is not None and order["command"] in ATOMIC and not found.facts.get("there", True)
        if (
            order is not None
            and whole
            and Path(order["to"]).exists()
            and task is not None
            and not order["made"]
        ):
            self._say(f"{row.run} {row.task}: its result is complete, though {found.reason}")
            self._begin(replace(row, began=found.facts.get("began")), task, "here", made=True)
            return
        self._failed(row, found.reason)

    def _failed(self, row: Row, reason: str, ended: float | None = None) -> None:
        """Note a failure; wait longer after each, and give up after some."""
        task = self.orders.tasks.get(row.task)
        key = (row.run, row.task)
        if self._ending:
            self.put(replace(row, state=WAITING, reason="ended together with the watcher", ended=time.time()))
            return
        if key in self._asked and task is not None:
            reason = f"it took more than {lasted(task.limit)} and was ended"
        failures = row.failures + 1
        now = replace(row, failures=failures, reason=reason, ended=ended or time.time())
        if task is None or failures >= task.tries:
            self.put(replace(now, state=FAILED, told=0))
            self._say(f"{row.run} {row.task}: failed: {reason}")
            self._tell(key, self.rows[key])
            return
        wait = task.delay(failures)
        self.put(replace(now, state=AGAIN, next=time.time() + wait))
        self._due[key] = time.monotonic() + wait
        self._say(
            f"{row.run} {row.task}: failed, try {failures} of {task.tries}, again in {lasted(wait)}: {reason}"
        )

    def stop(self, left: threading.Event) -> None:
        """Ask what runs on this machine to end, and wait for it, unless it is `left`; jobs stay in the queue."""
        self._ending = True
        asked = [
            row
            for row in self.rows.values()
            if row.state in UNDER_WAY and self.hands.end(row, self.folder(row))
        ]
        jobs = [row.job for row in self.rows.values() if row.state in UNDER_WAY and row.place == "slurm"]
        if jobs:
            self._say(f"jobs that stay in the queue and are found again: {', '.join(filter(None, jobs))}")
        if asked:
            self._say(
                f"{len(asked)} under way are asked to end; Ctrl-C once more leaves them, to be found again"
            )
        until = time.monotonic() + PATIENCE
        with suppress(sqlite3.Error, OSError):
            while (
                not left.wait(0.1)
                and time.monotonic() < until
                and any(self.rows[row.run, row.task].state in UNDER_WAY for row in asked)
            ):
                for row in asked:
                    now = self.rows[row.run, row.task]
                    if now.state in UNDER_WAY:
                        self._follow((row.run, row.task), now)
