"""The watcher: one process per folder of results, which looks, starts what is to be done, and writes the page."""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from ..disk import lock
from ..errors import PlanError
from ..errors.usage import UsageError
from ..run.naming import ORIGINS
from . import asking, page
from .aside import Aside
from .filling import Filling
from .hands import Hands, Submit
from .orders import Orders
from .seeing import Seeing
from .state import DONE, FAILED, FILE, GONE, OPEN, Row, State
from .telling import Teller
from .times import clock
from .work import FOLDER, Key, Work

TICK = 0.5
"""Seconds between looks at attempts that are under way."""
MINUTE = 60.0
"""Seconds after which the page says again that somebody watches."""
HEARD = 5.0
"""Seconds that those who are told have, when the watcher ends."""
Say = Callable[[str], None]


class Watcher:
    """Watches a place, as long as it is used in a ``with`` block.

    Parameters
    ----------
    place : str or int
        A folder of runs, or the number of a proposal.
    orders : Orders
        What is to be done.
    submit
        Submits a command of dxflow to Slurm; returns the job.
    say
        Takes what happens, in words.

    Raises
    ------
    UsageError
        If another process watches there, or what is there is of another place.
    """

    def __init__(self, place: str | int, orders: Orders, submit: Submit, say: Say) -> None:
        self.place = place if isinstance(place, int) else str(Path(place).expanduser().absolute())
        self.orders, self._say = orders, say
        self._hands = Hands(submit)
        self._told: queue.SimpleQueue[Key | str] = queue.SimpleQueue()
        self._next, self._trouble, self._page = 0.0, "", ""
        self._new, self._shown = True, 0.0

    def __enter__(self) -> Watcher:
        base = self.orders.results / FOLDER
        if (run := self._around()) is not None:
            raise UsageError(
                f"{self.orders.results} lies in {run}, which is a run: nothing is written among its data; name other "
                "results in the configuration"
            )
        base.mkdir(parents=True, exist_ok=True)
        if (there := lock.holder(base)) is not None:
            raise UsageError(
                f"{self.orders.results}: {there} watches there already, and one watcher is enough for a folder of "
                "results; end it first, or name other results in the configuration"
            )
        self._lock = lock.Lock(base, lock.Holder.me(f"dxflow watch {self.place}"))
        try:
            self._lock.take()
        except PlanError as e:
            raise UsageError(str(e)) from e
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _around(self) -> Path | None:
        """Return the run that the results would lie in, None if they lie in none."""
        place = os.path.realpath(self.place) if isinstance(self.place, str) else ""
        results = Path(os.path.realpath(self.orders.results))
        for one in (results, *results.parents):
            inside = str(one.parent) == place or one.parent.name in ORIGINS
            if inside and fnmatchcase(one.name, self.orders.runs):
                return one
        return None

    def _open(self) -> None:
        path = self.orders.results / FILE
        try:
            self.state = State(self.orders.results)
            self.work = Work(
                self.orders, self.state, self._hands, say=self.say, tell=self._tell, ready=self._ready
            )
            before = self.work.about.get("place", str(self.place))
            if before != str(self.place):
                raise UsageError(
                    f"{self.orders.results} has the results of {before}, not of {self.place}: name other results in "
                    "the configuration"
                )
        except sqlite3.DatabaseError as e:
            raise UsageError(f"{path}: {e}; it is not replaced: look at it, or move it away") from e
        self.filling = Filling(self.orders, self.work.rows, self.work.put, self.work.name_units)
        self.state.note("columns", self.filling.begin(self.work.about.get("columns", "")))
        self.seeing = Seeing(self.place, self.orders, self.work.runs, self.say)
        self.teller = Teller(self.orders.tell, self._told.put)
        for key, row in self.work.rows.items():
            if not row.told and row.state in (DONE, FAILED):
                self._tell(key, row)

    def __exit__(self, *error: object) -> None:
        with suppress(KeyboardInterrupt, sqlite3.Error, OSError):
            self.teller.close(HEARD)
            self._heard()
            self._show("nobody watches since")
        self.seeing.close()
        self.filling.close()
        self.state.close()
        self._lock.release()

    def say(self, words: str) -> None:
        """Say what happens."""
        self._say(f"{time.strftime('%H:%M:%S')} {words}")

    def watch(self, aside: Aside, *, once: bool = False) -> None:
        """Watch until `aside` is asked to end; with `once`, until nothing is left to do."""
        while True:
            self.tick()
            if once and self.finished:
                return
            hurry = self.work.busy() or once or self._trouble or self.filling.left()
            soon = TICK if hurry else self.orders.every
            if aside.rest(max(0.02, min(soon, self._next - time.monotonic()))):
                self.work.stop(aside.left)
                return

    def tick(self) -> None:
        """Do what is to be done now; a disk that is full, or a file that others lock, is waited for."""
        self._lock.check()
        try:
            self._heard()
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + self.orders.every
                self._ask()
                self._see()
            self.work.follow()
            self.work.start()
            self.filling.go_on()
            if self.work.changed or self.seeing.unsettled or time.monotonic() > self._shown + MINUTE:
                self._show()
            self._trouble = ""
        except (sqlite3.OperationalError, OSError) as e:
            if str(e) != self._trouble:
                self._trouble = str(e)
                self.say(f"what happens cannot be noted, so nothing is begun: {e}")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do, and nothing is waited for."""
        left = [row for row in self.work.rows.values() if row.state in OPEN and not self.work.blocked(row)]
        left = left or self.filling.left()
        return self.seeing.seen and not left and not self.seeing.unsettled and not self._trouble

    def _ready(self, run: str) -> bool:
        """Return whether a run can be worked on: it is complete, and there."""
        return run not in self.seeing.unsettled and not self.seeing.trouble

    def _see(self) -> None:
        """Look at the runs, and note what is new."""
        for run in self.seeing.look():
            before = self.work.runs.get(run.run)
            self.state.put(run)
            self.work.runs[run.run] = run
            self.work.changed = self._new = True
            if run.state == GONE:
                self.say(f"{run.run} is gone")
            elif before is None or before.changed != run.changed:
                self.say(f"{run.run} is complete{f', though {run.remark}' if run.remark else ''}")
        if self._new and self.seeing.seen:
            self.state.note("place", str(self.place))
            self.work.put(*[row for run in self.work.runs.values() for row in self.work.new_rows(run)])
            self._new = False

    def _ask(self) -> None:
        """Do what ``dxflow runs --retry`` asks for."""
        for file, asked in asking.asked(self.orders.results / FOLDER):
            rows, gone = asking.chosen(asked, self.work.runs, self.work.rows, self.orders)
            self.work.again(rows)
            file.unlink(missing_ok=True)
            left = f"; {gone} left as they are, since their runs are gone" if gone else ""
            self.say(f"asked for {asked['what']}: {len(rows)} again{left}")

    def _tell(self, key: Key, row: Row) -> None:
        """Tell whoever wants to know."""
        summary = page.summary(self.work.runs[row.run], row, self.orders)
        self.teller.tell(summary, lambda: self._told.put(key))

    def _heard(self) -> None:
        """Note who was told; say what went wrong with it."""
        while not self._told.empty():
            found = self._told.get()
            if isinstance(found, str):
                self.say(found)
            elif found in self.work.rows:
                self.work.put(replace(self.work.rows[found], told=1))

    def _show(self, ended: str = "") -> None:
        """Write the page, if it would say something else; of one that is watched, each minute when that was."""
        made = self._page
        if self.work.changed or self.seeing.unsettled or ended:
            coming = {run: watched.why for run, watched in self.seeing.unsettled.items()}
            units = json.loads(self.work.about.get("units", "{}"))
            made = page.page(self.work.runs, self.work.rows, self.orders, coming, self.seeing.trouble, units)
            self.work.changed = False
        if made != self._page or ended or time.monotonic() > self._shown + MINUTE:
            page.write(self.orders.results, made, self._as_of(ended))
            self._page, self._shown = made, time.monotonic()

    def _as_of(self, ended: str) -> str:
        """Return when the page was written, and by whom."""
        now = clock(time.time())
        who = f"process {os.getpid()} on {os.uname().nodename}"
        return f"{ended} {now}" if ended else f"as of {now}, by {who}; two minutes later, nobody watches"


def watched(
    place: str | int, orders: Orders, submit: Submit, say: Say, *, once: bool = False, begun: str = ""
) -> list[Row]:
    """Watch, as `Watcher` does, in a thread of its own; return the rows that have failed.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    """
    aside = Aside(orders.results, say)

    def work() -> list[Row]:
        with Watcher(place, orders, submit, say) as watcher:
            if begun:
                say(begun)
            watcher.watch(aside, once=once)
            return [row for row in watcher.work.rows.values() if row.state == FAILED]

    failed: list[Row] = aside.run(work)
    return failed
