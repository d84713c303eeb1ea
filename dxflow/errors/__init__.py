"""What is wrong, and how it is said."""

from collections.abc import Mapping
from typing import Any


class PlanError(ValueError):
    """A plan that cannot work; the message says what was wrong, what exists and what to do."""


class NothingToRead(PlanError):
    """A plan of which an algorithm has nothing to work on."""


class NoRoom(PlanError):
    """A plan whose result has no room where it is to go."""


class ClusterLost(RuntimeError):
    """A cluster that is gone, or on which nothing gets done; finished chunks are in the journal.

    `ours` if dxflow started it, and may start it again; `account` is what it had cost.
    """

    def __init__(self, why: str, *, ours: bool = False, account: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"the cluster is lost: {why}")
        self.why, self.ours, self.account = why, ours, account or {}


class WorkerDied(RuntimeError):
    """What was tried killed the worker process twice; the message says what, where and why."""
