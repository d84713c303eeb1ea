"""Who is told how a live reduction goes: the seam for feedback and pages, none of which can stop it.

An observer is any object with the methods of `Observer`. They are called from two threads, never at the same time:
`begin`, `snapshot` and `close` by the one that works, `status` about once a second by another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors.redact import hidden, logger

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 1.0
"""Between two calls of `Observer.status`."""
AGAIN = 60.0
"""Seconds until it is said again of an observer that it fails."""
log = logger(__name__)


@dataclass(frozen=True)
class Status:
    """How a live reduction goes just now."""

    state: str = "waiting"
    """"running", "waiting", "paused", "finished" or "failed"."""
    waiting_for: str = ""
    """In words, "" if for nothing."""
    elapsed_s: float = 0.0
    trains: int = 0
    """In the newest snapshot."""
    trains_per_s: float = 0.0
    """Over the last chunks."""
    bytes_per_s: float = 0.0
    behind_trains: int = 0
    """Trains that are there (or were received) and in no snapshot yet."""
    behind_s: float = 0.0
    """Age of the oldest of these."""
    dropped: int = 0
    """Whole trains that were dropped here, as they came faster than the work is done (streams)."""
    not_received: int = 0
    """Gaps of train ids (streams)."""
    late: int = 0
    """Trains, module by module, that came after their chunk was done, or after their version was final."""
    losses: Mapping[str, int] = field(default_factory=dict)
    """Cause -> frames, of the newest snapshot."""
    version: int = 1
    """Of the parameters, from 1."""
    changed: str = ""
    """By what this version began, from which train on, and where the one before it is, in words; "" for the first."""


@dataclass(frozen=True)
class Snapshot:
    """A result of the trains so far."""

    number: int
    path: Path
    """``x.live/0003.zarr``; of the final result ``x.zarr``."""
    version: int
    trains: int
    first_train: int
    last_train: int
    chunk: str
    """``chunk=`` with which `dxflow.reduce` of these trains gives the same bits."""
    final: bool
    status: Status


class Observer(Protocol):
    """Is told how a live reduction goes."""

    def begin(self, about: Mapping[str, Any]) -> None:
        """Begin: what runs, as plain values: "source", "algorithms", "options", "to"."""

    def snapshot(self, snapshot: Snapshot) -> None:
        """Take a new snapshot, which is there until the one after the next."""

    def status(self, status: Status) -> None:
        """Take what is so just now, about once a second."""

    def close(self) -> None:
        """End."""


class Told:
    """Tells observers, and says once a minute of one that fails; whatever it raises, the reduction goes on.

    Parameters
    ----------
    observers : sequence of Observer
    now : callable
        Returns the `Status`; called from a thread of its own.
    """

    def __init__(self, observers: Sequence[Observer], now: Callable[[], Status]) -> None:
        self._observers, self._now = observers, now
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._said: dict[int, float] = {}

    def begin(self, about: Mapping[str, Any]) -> None:
        """Tell what runs."""
        self._all("begin", about)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Tell of a snapshot."""
        self._all("snapshot", snapshot)

    def status(self) -> None:
        """Tell the status now."""
        self._all("status", self._now())

    def close(self) -> None:
        """Tell that it is over."""
        self._all("close")

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Tell the status about once a second, and at the end."""
        thread = threading.Thread(target=self._tick, name="dxflow-live", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            # It may be telling one that does not come back.
            thread.join(SECOND)

    def _tick(self) -> None:
        while not self._ended.wait(SECOND):
            self.status()

    def _all(self, what: str, *values: Any) -> None:
        with self._lock:
            for n, observer in enumerate(self._observers):
                try:
                    getattr(observer, what)(*values)
                # Whatever feedback raises, the run does not suffer.
                except Exception as e:  # noqa: BLE001
                    self._complain(n, observer, what, e)

    def _complain(self, n: int, observer: Any, what: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._said.get(n, -AGAIN) >= AGAIN:
            self._said[n] = now
            words = hidden(f"{type(error).__name__}: {error}")
            log.warning("%s: %s failed, the run goes on: %s", type(observer).__name__, what, words)
