"""Attempts at a chunk, noted in the journal: a note outlives the worker that wrote it, and tells the next one."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..disk.replace import put

if TYPE_CHECKING:
    from ..planning.plan import Chunk

FOLDER = "attempts"
PATIENCE = 15.0
"""Seconds to wait for the note of a dead worker's nanny: one that kills waits 4 s before, a busy machine longer."""


SAID = 10.0
"""Seconds in which the note that a process left of its own end is about this end."""


@dataclass(frozen=True)
class Attempt:
    """What is tried: ``first:last`` are positions of trains in the plan, `excluded` those left out.

    `what` is "initialize", "whole" (leave the chunk's fragment), "probe" (work on some trains, keep nothing), "piece"
    (leave a fragment of some trains) or "join" (make the chunk's fragment of those).
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


class Note:
    """The note of one chunk: written before something is tried, removed when that has ended, whatever the end.

    It costs a small file per chunk, created and removed, and a look at what is there only if it exists already.

    Parameters
    ----------
    folder : path
        The journal.
    number : int
        Of the chunk.
    session : str
        Which start of the cluster this is: what an earlier one left unfinished was ended with it.
    """

    def __init__(self, folder: Path, number: int, session: str) -> None:
        self.path = folder / FOLDER / f"chunk-{number:06d}.json"
        self.session, self.history = session, History()
        self._now: Attempt | None = None

    def __enter__(self) -> Note:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._now = None
        self.path.unlink(missing_ok=True)
        if self.history.deaths:
            self.path.with_suffix(".hook").unlink(missing_ok=True)

    @property
    def trying(self) -> bool:
        """Whether something is being tried."""
        return self._now is not None

    def open(self, attempt: Attempt) -> None:
        """Note what is tried first, or learn what others tried before."""
        try:
            self._write(attempt, new=True)
        except FileExistsError:
            self._learn()

    def begin(self, attempt: Attempt) -> None:
        """Note what is tried now."""
        if attempt != self._now:
            self._write(attempt)

    def survived(self, attempt: Attempt) -> None:
        """Note that an attempt did not kill."""
        self.history = History(self.history.deaths, (*self.history.survived, attempt))

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
        """Read the note; add a death if what it says was running has died."""
        try:
            found = json.loads(self.path.read_text())
        except (OSError, ValueError):
            # Cut off by the death of its writer, or just removed: nothing is known.
            found = {}
        history = _history(found)
        running = found.get("running")
        if running and running["session"] == self.session and (cause := _cause(self.path.parent, running)):
            hook = self._hook()
            death = Death(_attempt(running["attempt"]), cause, hook)
            history = History((*history.deaths, death), history.survived)
        self.history = history

    def _hook(self) -> str:
        try:
            return self.path.with_suffix(".hook").read_text().strip()
        except OSError:
            return ""

    def _write(self, attempt: Attempt, *, new: bool = False) -> None:
        # No asdict of what is flat or empty: it copies deeply, and there is one note per chunk.
        running = {"attempt": vars(attempt), **_whoami(), "session": self.session}
        history = asdict(self.history) if self.history != History() else {}
        text = json.dumps({"running": running, **history})
        if new:
            _create(self.path, text)
        else:
            put(self.path, text)
        self._now = attempt


def _create(path: Path, text: str) -> None:
    """Write a file that must not be there; its folder is made for the first one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


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
    found = []
    for path in sorted((folder / FOLDER).glob("chunk-*.json")):
        try:
            found.append((int(path.stem.removeprefix("chunk-")), json.loads(path.read_text())["running"]))
        except (OSError, ValueError, KeyError):
            # Just being removed or written.
            continue
    return found


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
