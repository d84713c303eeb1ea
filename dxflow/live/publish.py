"""Publish: a live run on a Redis server, its snapshots by one thread and how it goes by another; it waits for none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors.redact import hidden, logger
from .sending import Refused, Sender

if TYPE_CHECKING:
    from .address import Address
    from .observers import Snapshot, Status

LOG = logger(__name__)
PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds after the first, second, ... try that failed."""
SHARE = 4
"""So many times as long as writing a snapshot took, no other one is written, but for `LONGEST` seconds at most."""
LONGEST = 5.0
SECOND = 1.0
"""Between looks whether the server is there."""
AGAIN = 60.0
"""Seconds after which a trouble that lasts is said again."""
END = 5.0
"""Seconds for which the end of a run waits for the server."""


class Publisher:
    """Writes feedback: an observer of a live run.

    Snapshots are written by a thread of its own, and how it goes, which takes no time, by another. While the server is
    away or refuses, snapshots are left out, and the newest one is written when it is back. Nothing of this raises.

    Parameters
    ----------
    address : Address
        With a name.
    """

    def __init__(self, address: Address) -> None:
        self._address, self._sender = address, Sender(address)
        self._news = threading.Condition()
        self._about: Mapping[str, Any] | None = None
        self._snapshot: Snapshot | None = None
        self._last: Snapshot | None = None
        """The newest one of all: for a server that comes back empty."""
        self._status: Status | None = None
        self._closing, self._due = 0.0, 0.0
        self._trouble, self._said, self._failures = "", 0.0, 0
        self._refused = False
        """Whether that is not for want of a server."""
        self._mute: Exception | None = None
        """Why the last status could not be written."""
        self._thread = threading.Thread(target=self._work, name="dxflow-publish", daemon=True)
        self._telling = threading.Thread(target=self._tell, name="dxflow-publish-status", daemon=True)

    @property
    def address(self) -> Address:
        """Where it writes; as a text it has no password."""
        return self._address

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """Why nothing can be written at present, "" if it can."""
        return self._trouble

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what runs, and begin to write."""
        with self._news:
            self._about = about
        self._thread.start()
        self._telling.start()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Have a snapshot written soon, unless there is a newer one by then."""
        with self._news:
            self._snapshot = self._last = snapshot
            self._news.notify_all()

    def status(self, status: Status) -> None:
        """Have a status written soon."""
        with self._news:
            self._status = status
            self._news.notify_all()

    def close(self) -> None:
        """Write what is left, for some seconds at most, and let go of the name."""
        if not self._thread.is_alive():
            return
        with self._news:
            self._closing = time.monotonic() + END
            self._news.notify_all()
        self._thread.join(END + 10)

    # Of the thread that tells how it goes --------------------------------------------------------------

    def _tell(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._status or self._closing)
                if self._closing or not self._status:
                    return
                status, self._status = self._status, None
            try:
                self._sender.status(asdict(status))
                self._mute = None
            # The other thread says so; the next status comes soon.
            except Exception as e:  # noqa: BLE001
                self._mute = e
                with self._news:
                    self._news.wait_for(lambda: self._closing, SECOND)

    # Of the thread that does all else ------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            snapshot, closing = self._next()
            status = None
            if closing:
                # What is written last is how it ended.
                self._telling.join()
                status, self._status = self._status, None
            begun = time.monotonic()
            done = self._try(snapshot, status)
            if closing and (done or self._refused or time.monotonic() > closing):
                if done:
                    self._try(None, None, end=True)
                return
            took = time.monotonic() - begun
            if snapshot is not None:
                self._due = begun + took + min(SHARE * took, LONGEST)
            if not done:
                self._pause()

    def _next(self) -> tuple[Snapshot | None, float]:
        """Wait for what is to be written, a second at most; return it, and until when it is tried at the end."""
        with self._news:
            self._news.wait_for(self._has_news, SECOND)
            snapshot = self._snapshot if self._is_due() else None
            if snapshot is not None:
                self._snapshot = None
            return snapshot, self._closing

    def _has_news(self) -> bool:
        return bool(self._closing or self._is_due())

    def _is_due(self) -> bool:
        return self._snapshot is not None and (bool(self._closing) or time.monotonic() >= self._due)

    def _pause(self) -> None:
        """Wait before the next try; not for long when the run ends."""
        with self._news:
            closing = bool(self._closing)
            pause = PAUSES[min(max(self._failures, 1), len(PAUSES)) - 1]
            self._news.wait_for(lambda: self._closing and not closing, min(pause, 0.5) if closing else pause)

    def _try(self, snapshot: Snapshot | None, status: Status | None, end: bool = False) -> bool:
        """Write something, and return whether that went well; what was not written is kept for the next time."""
        try:
            self._write(snapshot, status, end)
        # Whatever feedback raises, the run does not suffer.
        except Exception as e:  # noqa: BLE001
            # One that was removed while it was read is no trouble; if it is the server, the next try says so.
            gone = snapshot is not None and not snapshot.path.exists()
            self._keep(None if gone else snapshot, status)
            self._refused = isinstance(e, Refused)
            if self._refused or not gone:
                self._say(str(e) if isinstance(e, Refused) else f"{type(e).__name__}: {e}")
            return False
        self._recovered()
        return True

    def _write(self, snapshot: Snapshot | None, status: Status | None, end: bool) -> None:
        if self._sender.hold(self._about or {}) and snapshot is None:
            snapshot = self._last
        if snapshot is not None and snapshot.path.exists():
            # Another one than the newest may be gone.
            self._sender.snapshot(snapshot)
        if status is not None:
            self._sender.status(asdict(status))
        if snapshot is None and self._mute is not None and not self._closing:
            raise self._mute
        if end:
            self._sender.end()

    def _keep(self, snapshot: Snapshot | None, status: Status | None) -> None:
        with self._news:
            self._snapshot = self._snapshot or snapshot
            self._status = self._status or status

    def _say(self, trouble: str) -> None:
        """Log a trouble when it is new, or has lasted for a minute again."""
        self._failures += 1
        trouble = hidden(trouble).rstrip(".")
        now = time.monotonic()
        if trouble != self._trouble or now - self._said > AGAIN:
            self._log(logging.WARNING, f"no feedback: {trouble}. The run goes on, and tries again")
            self._said = now
        self._trouble = trouble

    def _recovered(self) -> None:
        if self._trouble:
            self._log(logging.WARNING, "feedback goes on")
        self._trouble, self._failures = "", 0

    def _log(self, level: int, text: str) -> None:
        LOG.log(level, "%s: %s", self._address, text)
