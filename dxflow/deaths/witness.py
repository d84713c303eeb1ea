"""Sees how a worker process ends: its nanny leaves the cause in the journal."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import NannyPlugin
from distributed.core import Status

from ..sizes import show
from . import notes as attempts

EVERY = 0.1
"""Seconds between looks at the worker's memory."""
STOPPED = 60.0
"""Seconds after which a worker process is replaced that was stopped by a signal: nobody else may ever wake it."""
FROZEN = "stopped by a signal"
CLOSING = (Status.closing, Status.closing_gracefully)
TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals by which batch systems and people end what is innocent."""


@dataclass
class Seen:
    """The last look at a worker process."""

    pid: int = 0
    rss: int = 0
    asked: str = ""
    """Why its nanny ended it, if it did."""
    stopped: int = 0
    """Looks in a row that found it stopped: counted, since this process may have been stopped as well."""


class Witness(NannyPlugin):
    """Watches the worker process of a nanny while a plan runs.

    Dask tells nobody how a worker ended: `distributed.Nanny` knows, and logs it. So this stands in for what its
    `WorkerProcess` calls in the end, which no public interface offers. Where that should be missing, causes stay
    unknown and the rest works.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def setup(self, nanny: Any) -> None:
        """Begin to look."""
        from tornado.ioloop import PeriodicCallback

        self.seen, self._process, self._on = Seen(), None, True
        self._look(nanny)
        self._timer = PeriodicCallback(lambda: self._look(nanny), 1000 * EVERY)
        self._timer.start()

    def teardown(self, nanny: Any) -> None:
        """Look no more; note still how the worker of a nanny ends that is closing with it."""
        self._timer.stop()
        self._on = nanny.status in CLOSING

    def _look(self, nanny: Any) -> None:
        process = nanny.process
        if process is not None and process is not self._process:
            self._process = process
            self._stand_in(nanny, process)
        pid = process.pid if process is not None else None
        if pid:
            if pid != self.seen.pid:
                self.seen = Seen(pid)
            self.seen.rss = _rss(pid) or self.seen.rss
            self._end_if_stopped(process, pid)

    def _end_if_stopped(self, process: Any, pid: int) -> None:
        """Kill a worker that has been stopped (SIGSTOP) for long; its nanny starts another."""
        self.seen.stopped = self.seen.stopped + 1 if _state(pid) == "T" else 0
        if self.seen.stopped * EVERY >= STOPPED and not self.seen.asked:
            self.seen.asked = FROZEN
            process.process.kill()

    def _stand_in(self, nanny: Any, process: Any) -> None:
        """Be called when the process is killed by its nanny, and when it ended."""
        kill, on_exit = process.kill, process.on_exit

        async def killed(*args: Any, reason: str = "", **kwargs: Any) -> Any:
            self.seen.asked = reason or "asked"
            return await kill(*args, reason=reason, **kwargs)

        def ended(code: int) -> None:
            if self._on and not attempts.said_its_end(self.folder, self.seen.pid):
                why = cause(code, self.seen, memory(nanny, self.seen))
                attempts.note_end(self.folder, self.seen.pid, why)
            on_exit(code)

        process.kill, process.on_exit = killed, ended


@dataclass(frozen=True)
class MemoryUse:
    """Bytes in use at the last look, the limit, and whether the nanny ended the process for it."""

    used: int
    limit: int
    exceeded: bool

    def __str__(self) -> str:
        return f"{show(self.used)} of {show(self.limit)}" if self.limit else show(self.used)


def memory(nanny: Any, seen: Seen) -> MemoryUse:
    """Return what is known of a worker's memory."""
    manager = nanny.memory_manager
    exceeded = getattr(manager, "_last_terminated_pid", -1) == seen.pid
    return MemoryUse(seen.rss, int(manager.memory_limit or 0), exceeded)


def cause(code: int, seen: Seen, used: MemoryUse) -> str | None:
    """Return why a process ended, None for an end that is no fault of what it was doing.

    Parameters
    ----------
    code : int
        Its exit status, negative for a signal.
    """
    if used.exceeded:
        return f"out of memory: {used}"
    if seen.asked:
        return _asked(seen.asked)
    if -code in TOLD:
        return None
    if code >= 0:
        return f"exited with status {code}"
    return f"killed by signal {-code} ({_name(-code)}), with {used} of memory in use"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _asked(reason: str) -> str | None:
    """Return the cause if a nanny ended its worker: only silence is a fault."""
    if reason == FROZEN:
        return f"was stopped by a signal (SIGSTOP), and not woken within {STOPPED:.0f} s"
    return "stopped answering (worker-ttl)" if "ttl" in reason else None


def _rss(pid: int) -> int:
    """Return the bytes of memory that a process has, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _state(pid: int) -> str:
    """Return the state of a process: R, S, D, T..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
