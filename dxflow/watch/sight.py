"""The watcher's side of its eyes: questions with a deadline, to a process that may hang where a file system does."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, Any

from ..disk import process

DEADLINE = 5.0
"""Seconds to wait for an answer before going on with other things."""
START = 60.0
"""Seconds that a process has to begin, before which it asks no file system for anything."""
LAST = 1.0
"""Seconds that the process has to end."""


class SilentError(Exception):
    """There is no answer yet; it may still come."""


class SightError(Exception):
    """What was asked cannot be seen; the message has the words of the system."""


class Sight:
    """Asks the process that looks, one question at a time.

    An answer that comes late is kept: who asks the same again gets it.
    """

    def __init__(self, deadline: float | None = None, module: str = "dxflow.watch.eyes") -> None:
        self._module = module
        self.deadline = DEADLINE if deadline is None else deadline
        self.start = START
        """Seconds from when a process is begun, in which it is not taken for one that hangs."""
        self._process: subprocess.Popen | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asked = ""
        self._since = 0.0
        self.when = 0.0
        """When the last answer was asked for: it may have come late, and knows nothing newer."""
        self._begun, self._started = False, 0.0
        self._late: dict[str, tuple[float, dict[str, Any]]] = {}

    @property
    def silent(self) -> float:
        """Seconds for which there is no answer; 0 if nothing is asked."""
        return time.monotonic() - self._since if self._asked else 0.0

    def ask(self, what: str, *of: Any, **options: Any) -> Any:
        """Return the answer to a question.

        Raises
        ------
        SilentError
            If there is none within the deadline, or another question still has none.
        SightError
            If what is asked for cannot be seen.
        """
        question = json.dumps([what, of, options])
        if self._asked and self._asked != question:
            # Nothing else is answered before that one is.
            before, found = self._asked, self._wait(self.deadline)
            self._late[before] = self.when, found
        if question in self._late:
            self.when, found = self._late.pop(question)
            return _said(found)
        if not self._asked:
            self._send(question, {"what": what, "of": of, "with": options})
        return _said(self._wait(self.deadline))

    def _send(self, question: str, request: dict[str, Any]) -> None:
        process_ = self._process or self._begin()
        # One that has ended says so where answers are read.
        with suppress(OSError):
            if process_.stdin is not None:
                process_.stdin.write(json.dumps(request).encode() + b"\n")
                process_.stdin.flush()
        self._asked, self._since = question, time.monotonic()

    def _begin(self) -> subprocess.Popen:
        # Ctrl-C of a terminal goes to all its processes: this one is ended by us.
        self._process = process.start(self._module, start_new_session=True)
        self._answers, self._begun, self._started = queue.Queue(), False, time.monotonic()
        out = self._process.stdout
        threading.Thread(target=_read, args=(out, self._answers), name="dxflow-sight", daemon=True).start()
        return self._process

    def _wait(self, seconds: float) -> dict[str, Any]:
        try:
            found = self._answers.get(timeout=seconds if self._begun else self._patience(seconds))
            if not self._begun and found is not None:
                self._begun = True
                found = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise SilentError from None
        self._asked, self.when = "", self._since
        if found is not None:
            return found
        code = self._process.wait() if self._process else 0
        self._process = None
        return {"error": f"the process that looks {process.ended(code)}; it is started again"}

    def _patience(self, seconds: float) -> float:
        """Return how long to wait for a process that begins: slow on a machine that is busy, which is no hanging."""
        return max(seconds, self._started + self.start - time.monotonic()) if seconds else 0.0

    def close(self) -> None:
        """End the process; one that hangs in a file system is left to the system."""
        if self._process is None:
            return
        with suppress(OSError):
            self._process.send_signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST)
        self._process, self._asked = None, ""


def _said(found: dict[str, Any]) -> Any:
    if "error" in found:
        raise SightError(found["error"])
    return found["answer"]


def _read(out: IO[bytes] | None, answers: queue.Queue) -> None:
    """Put answers into a queue, and None at the end."""
    if out is not None:
        with suppress(ValueError, OSError):
            for line in out:
                answers.put(json.loads(line))
    answers.put(None)
