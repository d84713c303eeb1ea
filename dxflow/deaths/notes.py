"""What workers try, noted in the journal: a note outlives the worker that wrote it, and tells the next one."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..disk.replace import put

if TYPE_CHECKING:
    from ..planning.plan import Chunk

FOLDER = "attempts"
NOW = "now-"
"""Begins the names of the files in which threads of workers say what they try."""
PATIENCE = 15.0
"""Seconds to wait for the note of a dead worker's nanny: one that kills waits 4 s before, a busy machine longer."""


SAID = 10.0
"""Seconds in which the note that a process left of its own end is about this end."""


@dataclass(frozen=True)
class Attempt:
    """What is tried: ``first:last`` are positions of trains in the plan, `excluded` those left out.

    `what` is "initialize", "whole" (leave the chunk's fragment) or "probe" (work on some trains, keep nothing).
    """

    what: str
    first: int
    last: int
    excluded: tuple[int, ...] = ()

    def of(self, chunk: Chunk) -> Chunk:
        """Return the part of a chunk that is worked on."""
        return replace(chunk, first=self.first, last=self.last)


@dataclass(frozen=True)
class Death:
    """An attempt that took its worker with it, why, and in which hook if that is known."""

    attempt: Attempt
    cause: str
    hook: str = ""


@dataclass(frozen=True)
class History:
    """What has been tried with a chunk."""

    deaths: tuple[Death, ...] = ()
    survived: tuple[Attempt, ...] = ()

    def of(self, attempt: Attempt) -> list[Death]:
        """Return the deaths in an attempt."""
        return [d for d in self.deaths if d.attempt == attempt]


class Now:
    """What one thread of a worker is trying: a file in the journal that is there as long as the journal.

    Its name says which chunk, so that one listing of the folder tells whether others began the same; what it holds says
    the rest. It is closed after each writing: only then do other nodes surely see it.

    Parameters
    ----------
    folder : path
        The journal.
    session : str
        Which start of the cluster this is: what an earlier one left unfinished was ended with it.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self.folder, self.session = folder / FOLDER, session
        self._tail = f"-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}.json"
        self._path, self._length = self.folder / f"{NOW}none{self._tail}", 0

    def say(self, number: int, attempt: Attempt) -> None:
        """Note what is tried with a chunk."""
        who = _whoami()
        self._write({"chunk": number, "attempt": vars(attempt), **who, "session": self.session})
        path = self.folder / f"{_now(number)}{self._tail}"
        if path != self._path:
            # Another worker that took this process for dead may just have removed it.
            with suppress(FileNotFoundError):
                os.rename(self._path, path)
            self._path = path

    def nothing(self) -> None:
        """Note that nothing is tried."""
        self._write(None)

    def _write(self, running: Mapping[str, Any] | None) -> None:
        text = json.dumps({"running": running})
        self._length = max(self._length, len(text))
        try:
            handle = os.open(self._path, os.O_WRONLY)
        except FileNotFoundError:
            self.folder.mkdir(exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(handle, text.ljust(self._length).encode(), 0)
        finally:
            os.close(handle)

    def left(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield what others began with a chunk in this session and did not end; then it is not there any more."""
        for path, running in _said(self.folder, f"{_now(number)}-"):
            if path != self._path and running["chunk"] == number:
                if running["session"] == self.session:
                    yield running
                path.unlink(missing_ok=True)


class Note:
    """What is known of one chunk: what was tried with it on workers that died, and what is tried now.

    There is a file of the chunk only if something died; it is removed when the chunk has ended, whatever the end.

    Parameters
    ----------
    now : Now
        Of the thread that works on it.
    number : int
        Of the chunk.
    """

    def __init__(self, now: Now, number: int) -> None:
        self.path = now.folder / f"chunk-{number:06d}.json"
        self.history = History()
        self._now, self._number = now, number
        self._trying: Attempt | None = None

    def __enter__(self) -> Note:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.trying:
            self._trying = None
            self._now.nothing()
        if self.history.deaths:
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".hook").unlink(missing_ok=True)

    @property
    def trying(self) -> bool:
        """Whether something is being tried."""
        return self._trying is not None

    def open(self, attempt: Attempt) -> None:
        """Learn what others tried before; note what is tried first."""
        self._learn()
        self.begin(attempt)

    def begin(self, attempt: Attempt) -> None:
        """Note what is tried now."""
        if attempt != self._trying:
            self._now.say(self._number, attempt)
            self._trying = attempt

    def survived(self, attempt: Attempt) -> None:
        """Note that an attempt did not kill."""
        self._keep(History(self.history.deaths, (*self.history.survived, attempt)))

    @contextmanager
    def hooks(self) -> Iterator[Any]:
        """Lend a function that notes which hook is about to run."""
        handle = os.open(self.path.with_suffix(".hook"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            yield lambda hook: os.pwrite(handle, hook.ljust(200).encode()[:200], 0)
        finally:
            os.close(handle)
            self.path.with_suffix(".hook").unlink(missing_ok=True)

    def _learn(self) -> None:
        """Read what is known; add the deaths of those that began the chunk and did not end it."""
        self.history = _history(_read(self.path))
        for running in self._now.left(self._number):
            if cause := _cause(self._now.folder, running):
                death = Death(_attempt(running["attempt"]), cause, self._hook())
                self._keep(History((*self.history.deaths, death), self.history.survived))

    def _keep(self, history: History) -> None:
        self.history = history
        put(self.path, json.dumps(asdict(history)))

    def _hook(self) -> str:
        try:
            return self.path.with_suffix(".hook").read_text().strip()
        except OSError:
            return ""


def _now(number: int) -> str:
    return f"{NOW}{number:06d}"


def _read(path: Path) -> dict[str, Any]:
    """Return what a note says; nothing if there is none, or if its writer was cut off."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}


def _said(folder: Path, begins: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return what is being tried according to the files of threads whose names begin so, and where it is said."""
    try:
        paths = [folder / name for name in sorted(os.listdir(folder)) if name.startswith(begins)]
    except FileNotFoundError:
        return []
    return [(path, running) for path in paths if (running := _read(path).get("running"))]


def _whoami() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "began": time.time(),
    }


def _attempt(found: Mapping[str, Any]) -> Attempt:
    return Attempt(found["what"], found["first"], found["last"], tuple(found["excluded"]))


def _history(found: Mapping[str, Any]) -> History:
    deaths = (Death(_attempt(d["attempt"]), d["cause"], d["hook"]) for d in found.get("deaths", ()))
    return History(tuple(deaths), tuple(_attempt(a) for a in found.get("survived", ())))


def running(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the chunks that are being worked on, with host, pid, job and when that began."""
    return [(one["chunk"], one) for _, one in _said(folder / FOLDER, NOW)]


# How workers ended ------------------------------------------------------------------------------


def said_its_end(folder: Path, pid: int) -> bool:
    """Return whether a process of this machine that just ended has said why."""
    path = folder / FOLDER / _end_name(socket.gethostname(), pid)
    try:
        return time.time() - path.stat().st_mtime < SAID
    except OSError:
        return False


def note_end(folder: Path, pid: int, cause: str | None) -> None:
    """Note why a worker process of this machine ended; None for an end that is no fault of what it was doing."""
    path = folder / FOLDER / _end_name(socket.gethostname(), pid)
    try:
        path.parent.mkdir(exist_ok=True)
        put(path, json.dumps({"cause": cause, "ended": time.time()}))
    except FileNotFoundError:
        # The run is over and its journal removed.
        return


def _end_name(host: str, pid: int) -> str:
    return f"end-{host}-{pid}.json"


def _cause(folder: Path, running: Mapping[str, Any]) -> str | None:
    """Return why the worker of an attempt died, None if that does not count."""
    path, deadline = folder / _end_name(running["host"], running["pid"]), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            found = None
        if found and found["ended"] >= running["began"]:
            return found["cause"]
        time.sleep(0.05)
    job = f", job {running['job']}" if running["job"] else ""
    return (
        f"cause not known: its process on {running['host']}{job} and whatever watches it ended without a word, "
        "or do not answer (the node, or the limits of the job)"
    )
