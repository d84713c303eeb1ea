"""Columns that are chosen, or defined anew, after tasks were done: their numbers are read while nothing else waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .orders import Orders
from .sight import Sight, SightError, SilentError
from .state import DONE, Row

MANY = 20
"""Results that are asked for at once."""
Key = tuple[str, str]


class Filling:
    """Fills in what rows lack; the answers of the process that reads are looked for, and never waited for.

    Parameters
    ----------
    rows : dict
        As they are now, always.
    put
        Notes rows.
    name_units
        Notes units of columns.
    """

    def __init__(
        self,
        orders: Orders,
        rows: Mapping[Key, Row],
        put: Callable[..., None],
        name_units: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._orders, self._rows, self._put, self._name_units = orders, rows, put, name_units
        self._sight: Sight | None = None
        self._alone: set[Key] = set()
        """Rows of which one has ended the process that reads: each is asked for by itself."""
        self._asked: list[Row] = []

    def begin(self, before: str) -> str:
        """Forget numbers of columns that were defined otherwise `before`; return how all are defined that rows have.

        Columns that are taken out of the configuration are kept there with their definition: so are their numbers,
        and who puts a column back may define it otherwise.
        """
        was = json.loads(before or "{}")
        now = self._orders.defined
        other = {name for name in was.keys() & now.keys() if was[name] != now[name]}
        found = [row for row in self._rows.values() if other & row.numbers.keys()]
        self._put(
            *(replace(row, numbers={n: v for n, v in row.numbers.items() if n not in other}) for row in found)
        )
        self._name_units(dict.fromkeys(other, ""))
        return json.dumps(was | now)

    def left(self) -> list[Row]:
        """Return rows of which numbers are to be read."""
        wanted: dict[str, set[str]] = {}
        for name, one in self._orders.columns.items():
            wanted.setdefault(one.task, set()).add(name)
        return [
            row
            for row in self._rows.values()
            if row.state == DONE and wanted.get(row.task, set()) - row.numbers.keys()
        ]

    def go_on(self) -> None:
        """Ask for some, or note what was answered."""
        if not self._asked:
            left = self.left()
            self._asked = [row for row in left if (row.run, row.task) in self._alone][:1] or left[:MANY]
        if not self._asked:
            self.close()
            return
        self._sight = self._sight or Sight(0.0, "dxflow.watch.reading")
        with suppress(SilentError):
            try:
                results = [(row.task, row.result) for row in self._asked]
                self._note(self._sight.ask("numbers", self._orders.defined, results))
            except SightError as e:
                self._not_read(str(e))
            self._asked = []

    def _not_read(self, why: str) -> None:
        """Find out by which result the process that reads ends; that one is not read again and again."""
        if len(self._asked) > 1:
            self._alone |= {(row.run, row.task) for row in self._asked}
        else:
            self._note([{"numbers": {}, "units": {}, "wrong": [f"its numbers cannot be read: {why}"]}])

    def _note(self, answers: Iterable[Mapping[str, Any]]) -> None:
        """Note what was read of rows that are still as they were."""
        units: dict[str, str] = {}
        made = []
        for asked, found in zip(self._asked, answers, strict=True):
            now = self._rows[asked.run, asked.task]
            if (now.state, now.tries, now.result) != (asked.state, asked.tries, asked.result):
                continue
            units |= found["units"]
            none = {name: None for name, one in self._orders.columns.items() if one.task == now.task}
            fresh = {n: v for n, v in found["numbers"].items() if n not in now.numbers}
            said = [text for text in found["wrong"] if text.partition(":")[0] not in now.numbers]
            reason = "; ".join(filter(None, (now.reason, *said)))
            made.append(replace(now, numbers={**none, **now.numbers, **fresh}, reason=reason))
        self._put(*made)
        self._name_units(units)
        self._alone -= {(row.run, row.task) for row in self._asked}

    def close(self) -> None:
        """End the process that reads."""
        if self._sight is not None:
            self._sight.close()
            self._sight = None
