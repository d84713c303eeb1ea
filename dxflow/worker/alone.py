"""Tasks that are no chunk, such as a merge: noted while they run, and refused when they killed two workers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..deaths import search as deaths
from ..deaths.notes import Attempt, Note

if TYPE_CHECKING:
    from .workspace import Workspace


@contextmanager
def alone(work: Workspace, hook: str, which: str) -> Iterator[None]:
    """Note a task while it runs: no train is to blame for its deaths, and no third worker would live.

    Parameters
    ----------
    hook : str
        What is done: "merge()".
    which : str
        Tells it from others of the pass.

    Raises
    ------
    WorkerDied
        If two workers died of it.
    """
    # Notes of chunks, and of stretches of trains, have the numbers before.
    first = len(work.plan.chunks) + len(work.plan.stretches)
    with Note(work.now, first + zlib.crc32(f"{hook} {which}".encode())) as work.note:
        attempt = Attempt(hook, 0, 0)
        work.note.open(attempt)
        deaths.refuse_alone(work.plan, work.note.history.of(attempt))
        yield
