"""Reductions of a run that grows, one after the other: what is done of chunks and merges is not done again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PlanError
from . import journal
from .merges import Merges
from .report import Report

if TYPE_CHECKING:
    from ..clusters.runner import Runner
    from ..disk.lock import Lock
    from ..planning.public import Plan


class Growing:
    """What plans of a run that grows have in common: a journal, chunks and merges that are done.

    A plan that is executed once is the first and the last of its own. Each result is that of its plan, with the same
    bits, in a place of its own; what was made before it is not touched.

    Parameters
    ----------
    plan : Plan
        The first one: its journal is that of all.
    lock : Lock or None
        Of the journal.
    """

    def __init__(self, plan: Plan, lock: Lock | None) -> None:
        self._first, self.lock = plan, lock
        self.folder = journal.begin(plan)
        self.report = Report(plan, journal.found(self.folder, plan))
        self._merged: set[Path] = set()

    def take(self, plan: Plan) -> None:
        """Go on with a plan: what of it is done is known.

        Raises
        ------
        PlanError
            If its result would replace another or is on another disk, or its chunks are not decided by train ids.
        """
        if plan is self._first:
            return
        if os.path.lexists(plan.store.path):
            raise PlanError(f"{plan.store.path} exists: results of a run that grows replace nothing")
        if os.stat(plan.store.path.parent).st_dev != os.stat(self.folder).st_dev:
            raise PlanError(
                f"{plan.store.path} is on another disk than {self.folder}: results are renamed there"
            )
        if not plan.chunk_trains:
            raise PlanError('a run that grows needs chunks of so many trains, such as chunk="64 trains"')
        plan.store.partial = self.folder
        self.report.go_on(plan, journal.found(self.folder, plan))

    def merges(self, plan: Plan, runner: Runner) -> Merges:
        """Return the merges of a plan."""
        return Merges(plan, runner, self.folder, self._merged)

    def settle(self, merges: Merges) -> None:
        """Keep what other plans may need of a plan whose result is there: its chunks, and what was merged of them."""
        self._merged = merges.paths
        journal.settle(self.folder, self._merged)


@contextmanager
def growing(plan: Plan) -> Iterator[Growing]:
    """Work on a run that grows, in the journal of a first plan, which is removed when all is done.

    Raises
    ------
    PlanError
        If another process works there, or it holds what is not to be replaced.
    """
    with journal.held(plan) as lock:
        made = Growing(plan, lock)
        yield made
        if lock is None or lock.mine():
            journal.end(plan)
