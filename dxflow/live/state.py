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
    rates: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=RECENT))

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
            **vars(standing),
        )

    def worked(self, plan: Plan, result: Result) -> None:
        """Note a result."""
        self.trains = len(plan.train_ids)
        self.rates.append((time.monotonic(), self.trains, int(plan.bytes_to_read)))
        lost: dict[str, int] = {}
        for one in losses.from_json(result.manifest["losses"]):
            lost[one.cause] = lost.get(one.cause, 0) + one.frames
        self.losses = lost
