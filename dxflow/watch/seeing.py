"""The runs of a proposal or folder: which there are, which are complete, which were changed since or are gone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors.usage import UsageError
from . import whole
from .orders import Orders
from .sight import Sight, SightError, SilentError
from .state import GONE, Run

SPAN = 2.0
"""Seconds for which runs are looked at before other things are done."""
DESCRIBED = 2
"""Counts the ways in which runs were described so far: what was known of them is found out anew by each."""
_NUMBER = re.compile(r"r?0*(\d+)")


class Seeing:
    """Sees runs.

    Parameters
    ----------
    place : str or int
        A folder, or the number of a proposal.
    runs : dict
        Those that are complete, by name.
    said
        Takes words about what can be seen and what not.
    """

    def __init__(
        self, place: str | int, orders: Orders, runs: dict[str, Run], said: Callable[[str], None]
    ) -> None:
        self.place, self.orders, self.runs, self._said = place, orders, runs, said
        self.sight = Sight()
        self.unsettled: dict[str, whole.Watched] = {}
        self.trouble = ""
        """Why nothing can be seen now."""
        self.seen = False
        """Whether runs were ever listed."""
        self._folder = place if isinstance(place, str) else ""
        self._listed: dict[str, int] = {}
        self._keys = {*orders.keys}
        self._origins = {task.origin for task in orders.tasks.values()} | {""}

    def look(self) -> list[Run]:
        """Look once; return runs that are to be written down: complete, changed, gone, or there again.

        Raises
        ------
        UsageError
            If there is no such place when it is looked at for the first time.
        """
        try:
            found = self._list()
            self._clear()
        except SilentError:
            where = self._folder or f"proposal {self.place}"
            self._trouble(
                f"{where} does not answer; everything else goes on, and so do we as soon as it does"
            )
            return []
        except SightError as e:
            if not self.seen:
                raise UsageError(
                    f"{self.place}: {e}; expected a folder of runs, or the number of a proposal"
                ) from e
            self._trouble(f"{e}; waiting for it")
            return []
        return [*found, *self._settle()]

    def _list(self) -> list[Run]:
        """Find out which runs there are."""
        if not self._folder:
            self._folder = self.sight.ask("proposal", self.place)
        found = self.sight.ask("runs", self._folder, self.orders.runs)
        self.seen = True
        if found is not None:
            self._listed = {run: at for run, at in found.items() if run.rpartition("/")[0] in self._origins}
        now, changes = time.monotonic(), []
        for run, at in self._listed.items():
            known = self.runs.get(run)
            if known is None or known.changed != at or self._unasked(known):
                self.unsettled.setdefault(run, whole.Watched(now))
            if known is not None and known.state == GONE:
                changes.append(replace(known, state=""))
        for run in [run for run in self.unsettled if run not in self._listed]:
            del self.unsettled[run]
        gone = [one for run, one in self.runs.items() if run not in self._listed and one.state != GONE]
        return [*changes, *(replace(one, state=GONE) for one in gone)]

    def _unasked(self, run: Run) -> bool:
        """Return whether a run is to be described anew: conditions ask for other keys now, or it is done otherwise."""
        if run.facts.get("described") != DESCRIBED:
            return True
        return bool(self._keys) and not self._keys <= {*run.facts.get("asked", run.facts.get("values", ()))}

    def _settle(self) -> list[Run]:
        """Look at runs that are not complete; return those that are now."""
        done: list[Run] = []
        until = time.monotonic() + SPAN
        for run in list(self.unsettled):
            # What was not looked at is next.
            watched = self.unsettled.pop(run)
            self.unsettled[run] = watched
            try:
                if made := self._looked(run, watched):
                    done.append(made)
                    del self.unsettled[run]
            except SilentError:
                break
            except SightError as e:
                watched.why = str(e)
            if time.monotonic() > until:
                break
        if done and not self.unsettled:
            self._forget()
        return done

    def _forget(self) -> None:
        try:
            self.sight.ask("forget")
        except (SilentError, SightError):
            return

    def _looked(self, run: str, watched: whole.Watched) -> Run | None:
        """Look at a run; return it if it is complete."""
        path, orders = f"{self._folder}/{run}", self.orders
        seen = self.sight.ask("look", path)
        asked, now = self.sight.when, time.monotonic()
        complete = watched.judge(seen, now, orders.quiet, orders.patience, asked)
        if watched.still(asked, orders.quiet):
            watched.facts = self._described(path, watched, asked)
            watched.ends = watched.facts.pop("ends")
            complete = watched.judge(seen, now, orders.quiet, orders.patience, asked)
        return self._completed(run, path, watched) if complete else None

    def _described(self, path: str, watched: whole.Watched, now: float) -> dict[str, Any]:
        """Return what the files of a run say, as they are since they were last changed."""
        try:
            facts: dict[str, Any] = self.sight.ask("describe", path, self.orders.keys)
            if self.sight.when < watched.since:
                # The answer came late, and is of files that were changed since.
                facts = self.sight.ask("describe", path, self.orders.keys)
        except SightError as e:
            if now - watched.since < self.orders.patience:
                raise
            # Files that end the process that reads them say nothing; they are no reason to wait for ever.
            return {
                "unreadable": [str(e)],
                "ends": {},
                "values": {},
                "trains": 0,
                "sources": [],
                "detectors": [],
            }
        return facts

    def _completed(self, run: str, path: str, watched: whole.Watched) -> Run:
        origin, _, name = run.rpartition("/")
        number = _NUMBER.fullmatch(name)
        facts = dict(watched.facts)
        facts |= {
            "name": name,
            "origin": origin,
            "asked": self.orders.keys,
            "described": DESCRIBED,
            "files": len(watched.files),
            "bytes": sum(size for _, size, _ in watched.files),
            "run": int(number[1]) if number else facts.get("run"),
            "proposal": self.place if isinstance(self.place, int) else facts.get("proposal"),
        }
        odd = [watched.why] if watched.why else []
        odd += [f"unreadable: {text}" for text in facts.pop("unreadable")]
        return Run(run, path, self._listed[run], time.time(), whole.listed(odd), "", facts)

    def _trouble(self, words: str) -> None:
        if words != self.trouble:
            self.trouble = words
            self._said(words)

    def _clear(self) -> None:
        if self.trouble:
            self._said(f"{self._folder} can be seen again")
            self.trouble = ""

    def close(self) -> None:
        """End what looks."""
        self.sight.close()
