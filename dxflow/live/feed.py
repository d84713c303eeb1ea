"""Feed: the feedback of a live run as a table that grows: it changes when it is told to, never in between."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

from ..analysis.columns import Columns
from ..analysis.results import tabled
from ..analysis.rows import Rows
from ..analysis.tables import Table
from .address import Address
from .collecting import Collected

POLL = 0.5
"""Seconds between looks at the server."""


def open_feed(address: str) -> LiveTable:
    """Open the feedback of a live run: what ``dxflow live ... --publish`` was given.

    Parameters
    ----------
    address : str
        ``redis://[[user]:password@]host[:port][/db][?name=...]``; without a name, that of the only run there.

    Raises
    ------
    ConnectionError
        If no server answers.
    FileNotFoundError
        If there is no such run.
    """
    collected = Collected(Address.of(address))
    collected.read()
    return LiveTable(collected)


class LiveTable(Table):
    """The rows of a live run and what it adds up, as of the last `refresh`.

    All of it is of one snapshot and in memory: what is worked out fits together, and changes with `refresh` or `follow`
    alone. Selections, and variables that were added as expressions, hold for the new rows. Rows that the server lets go
    of stay here.

    Parameters
    ----------
    collected : Collected

    Examples
    --------
    >>> ev = dxflow.open("redis://exflonc12:6379?name=r0034")
    >>> for ev in ev.follow():
    ...     print(ev.status["trains"], ev["litframes.lit"].values.mean())
    """

    def __init__(self, collected: Collected) -> None:
        self._collected = collected
        super().__init__(*self._made())

    @property
    def status(self) -> dict[str, Any]:
        """How the run went when this was read: "state", "trains", "behind_s", "losses" and so on, see docs/live.md."""
        return self._collected.status

    @property
    def snapshot(self) -> dict[str, Any]:
        """Which trains this is of: "number", "version" of the parameters, "trains", "chunk", "final", "left_out"."""
        facts = ("number", "version", "trains", "first_train", "last_train", "chunk", "final", "left_out")
        return {name: self._collected.snapshot.get(name) for name in facts}

    @property
    def finished(self) -> bool:
        """Whether nothing more comes: the run has ended, or its process has."""
        return not self._collected.held or self.status.get("state") in ("finished", "failed")

    def refresh(self) -> bool:
        """Read what the run has published since, and return whether there is a new snapshot.

        Raises
        ------
        ConnectionError
            If the server does not answer; the table stays as it is.
        """
        new = self._collected.read()
        if new:
            self._renew()
        return new

    def follow(self, timeout: float | None = None) -> Iterator[LiveTable]:
        """Yield this table, now and after each new snapshot, until the run has ended.

        While the server is away it is waited for.

        Parameters
        ----------
        timeout : float, optional
            Seconds without a new snapshot after which it ends as well.
        """
        yield self
        since = time.monotonic()
        while timeout is None or time.monotonic() - since < timeout:
            try:
                ended = self.finished
                new = self.refresh()
            except ConnectionError:
                ended = new = False
            if new:
                yield self
                since = time.monotonic()
            elif ended:
                return
            else:
                time.sleep(POLL)

    def _made(self) -> tuple[Any, None, dict[str, Any]]:
        """Return dataset, path and facts of the table."""
        data, notes = tabled(self._collected.dataset())
        left = self.snapshot["left_out"] or {}
        notes = [*notes, *(f"{name} is not in the feedback: {why}" for name, why in left.items())]
        what = self._collected.about.get("what", {})
        lost = [{"cause": str(one), "frames": int(n)} for one, n in (self.status.get("losses") or {}).items()]
        where = str(self._collected.address)
        return data, None, {"feedback": where, "what": what, "notes": notes, "losses": lost}

    def _renew(self) -> None:
        """Take the rows of another snapshot, with the selections and expressions that were there."""
        selected = self.selections.to_dict()
        added = list(self.added.values())
        self.data, _, self.about = self._made()
        self.rows = Rows.of(self.data)
        self.columns = Columns(self.data, self.rows)
        for one in ("selections", "added"):
            vars(self).pop(one, None)
        # Conditions are of variables, and these may be of selections: what is there is first what the run has.
        self.selections.load(selected)
        for variable in added:
            self._add_again(variable)

    def _add_again(self, variable: Any) -> None:
        try:
            if not variable.expression:
                raise ValueError("it was given as data for rows that were there before")
            self.add(variable.name, variable.expression, variable.unit, variable.doc)
        except (KeyError, TypeError, ValueError) as e:
            warnings.warn(f"{variable.name!r}, which was added, is gone: {e}", stacklevel=4)
