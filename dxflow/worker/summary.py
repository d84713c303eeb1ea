"""What the driver learns of a finished chunk; everything else stays in its fragment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..run.losses import Loss, from_json

if TYPE_CHECKING:
    from ..planning.plan import Chunk

Without = tuple[tuple[int, str], ...]
"""Trains that are left out, by their position in the plan, and why."""


@dataclass(frozen=True)
class Summary:
    """What the driver learns of a finished chunk; everything else stays in its fragment.

    `times` are seconds of the reader thread ("read"), of waiting for it ("wait"), in hooks ("compute") and writing
    the fragment ("write"); `used` is [input, module position, frames]; `events` the rows of event outputs.
    """

    chunk: int
    worker: str
    bytes: int
    times: dict[str, float]
    used: list[list[int]]
    events: dict[str, int] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    readers: int | None = None
    """Threads that read ahead on this worker, once that is measured."""
    reused: bool = False
    left_out: tuple[tuple[int, str], ...] = ()
    """Trains, by their position in the plan, that are left out, and why: a hook raised, or they killed workers."""
    masked: list[list[Any]] = field(default_factory=list)
    """[input number, module position, cause, frames] of those that were there and could not be used."""
    hooks_failed: dict[str, int] = field(default_factory=dict)
    """Trains in which a hook raised, by ``<algorithm>.<hook>``."""
    worked: list[list[Any]] = field(default_factory=list)
    """Frames by algorithm: [its number, module position, "" for those used or why not, frames]."""
    hooks_worked: tuple[str, ...] = ()
    """Hooks that also ended well."""
    asked: dict[str, list[str]] = field(default_factory=dict)
    """Aliases of which hooks asked what is valid, by algorithm."""

    def moved(self, chunk: Chunk, trains: int) -> Summary:
        """Return it as that of a chunk of another plan, whose trains are at positions that are so much higher."""
        left_out = tuple((n + trains, why) for n, why in self.left_out)
        return replace(self, chunk=chunk.number, left_out=left_out)

    def json(self, chunk: Chunk) -> dict[str, Any]:
        """Return it as JSON values, trains counted from the chunk's first; not by asdict, which copies deeply."""
        return vars(self.moved(chunk, -chunk.first)) | {"losses": [vars(loss) for loss in self.losses]}


def this_worker() -> str:
    """Return how the process is called that makes summaries."""
    return f"{socket.gethostname()}:{os.getpid()}"


def summary_of(meta: dict[str, Any], chunk: Chunk) -> Summary:
    """Return the summary that the fragment of a chunk holds."""
    return Summary(**{**meta, "losses": from_json(meta["losses"])}).moved(chunk, chunk.first)
