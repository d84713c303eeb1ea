"""How a live reduction goes, put together from what works and from what grows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..run import losses
from .observers import Status

if TYPE_CHECKING:
    from ..driver.result import Result
    from ..planning.public import Plan

RECENT = 8
"""Snapshots over which the rate is measured."""


@dataclass(frozen=True)
class Standing:
    """What is there and not done yet, and what was lost on the way: see `Status`."""

    behind_trains: int = 0
    behind_s: float = 0.0
    dropped: int = 0
    not_received: int = 0
    late: int = 0


@dataclass
class State:
    """What is said of a live reduction; `now` puts it together."""

    standing: Callable[[], Standing]
    began: float = field(default_factory=time.monotonic)
    state: str = "waiting"
    waiting_for: str = ""
    trains: int = 0
    losses: Mapping[str, int] = field(default_factory=dict)
    version: int = 1
    changed: str = ""
    rates: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=RECENT))
    """When so many trains and bytes had been done, of whichever version."""
    _before: tuple[int, int] = (0, 0)
    """Trains and bytes of the last result of this version."""

    def now(self) -> Status:
        """Return the status."""
        standing, rates = self.standing(), list(self.rates)
        seconds = rates[-1][0] - rates[0][0] if len(rates) > 1 else 0.0
        per_s = [(rates[-1][n] - rates[0][n]) / seconds if seconds else 0.0 for n in (1, 2)]
        return Status(
            state=self.state,
            waiting_for=self.waiting_for,
            elapsed_s=time.monotonic() - self.began,
            trains=self.trains,
            trains_per_s=per_s[0],
            bytes_per_s=per_s[1],
            losses=self.losses,
            version=self.version,
            changed=self.changed,
            **vars(standing),
        )

    def works(self) -> None:
        """Note that work is being done: its rate counts from the first on."""
        self.state, self.waiting_for = "running", ""
        if not self.rates:
            self.rates.append((time.monotonic(), 0, 0))

    def begin_version(self, changed: str) -> None:
        """Note that another version of the result begins."""
        self.version, self.changed, self._before = self.version + 1, changed, (0, 0)

    def worked(self, plan: Plan, result: Result) -> None:
        """Note a result: what it has more than the one before was done."""
        self.trains, nbytes = len(plan.train_ids), int(plan.bytes_to_read)
        _, trains, done = self.rates[-1]
        more = trains + self.trains - self._before[0], done + nbytes - self._before[1]
        self.rates.append((time.monotonic(), *more))
        self._before = self.trains, nbytes
        lost: dict[str, int] = {}
        for one in losses.from_json(result.manifest["losses"]):
            lost[one.cause] = lost.get(one.cause, 0) + one.frames
        self.losses = lost
