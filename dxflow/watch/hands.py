"""Starts attempts, here or as jobs of Slurm, finds those again that others have started, and asks them to end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..disk import lock, process
from ..disk.replace import put
from ..slurm import commands
from . import attempt
from .state import Row

GRACE = 20.0
"""Seconds after which files of another node are seen here."""
ASKED = 15.0
"""Seconds between questions to Slurm."""
SILENT = 60.0
"""Seconds before Slurm is asked again that gave no answer: each question may take half a minute."""
ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("BOOT_FAIL", "DEADLINE", "PREEMPTED", "REVOKED"),
)
"""States of jobs that are over."""

PROGRAM = (sys.executable, "-u", "-m", "dxflow")
Submit = Callable[[list[str], Mapping[str, Any], str], str]
"""Submits a command of dxflow with options of Slurm under a name; returns the id of the job."""


@dataclass(frozen=True)
class Found:
    """What became of an attempt: ended, alive, died, absent (never begun), or unknown for now."""

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def name_of(folder: Path) -> str:
    """Return the name of the job of an attempt, which no other has."""
    return f"watch-{sha256(str(folder).encode()).hexdigest()[:12]}"


def words_of(folder: Path) -> list[str]:
    """Return the command of dxflow that runs an attempt."""
    return ["watch", "--attempt", str(folder)]


class Hands:
    """Starts attempts and looks after them."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._children: dict[Path, subprocess.Popen] = {}
        self._jobs: dict[str, tuple[str, str]] | None = {}
        self._asked, self._lost = -math.inf, dict[Path, float]()
        self._error: commands.SlurmError | None = None

    def prepare(self, folder: Path, order: Mapping[str, Any]) -> None:
        """Write what an attempt is to do."""
        folder.mkdir(parents=True, exist_ok=True)
        put(folder / attempt.ORDER, json.dumps(order))

    def start(self, row: Row, folder: Path, slurm: Mapping[str, Any] | None) -> None:
        """Start an attempt, which may have been started before; `row` knows its job or process then.

        Raises
        ------
        SlurmError, OptionError, OSError
            If that cannot be.
        """
        if slurm is not None:
            try:
                row.job = self._named(folder) or self._submit(words_of(folder), slurm, name_of(folder))
            except commands.Unreachable as e:
                if self._error is None:
                    self._note(None, e)
                raise
            self._asked = -math.inf
            return
        with (folder / attempt.LOG).open("ab") as log:
            # Neither Ctrl-C of a terminal nor the end of this process reaches it.
            child = subprocess.Popen(
                [*PROGRAM, *words_of(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[folder] = child
        row.pid, row.host = child.pid, os.uname().nodename

    def _named(self, folder: Path) -> str:
        """Return the job of an attempt that was submitted before, "" if there is none.

        Raises
        ------
        SlurmError
            If there is no Slurm here; `Unreachable` if it does not tell: what may be in the queue already is not
            submitted once more, and no try is lost by it.
        """
        from ..slurm import listing

        if (jobs := self._queue(0.0)) is None:
            if self._error is not None and not commands.there():
                raise self._error
            raise commands.Unreachable(str(self._error or "Slurm gives no answer")) from self._error
        wanted = listing.PREFIX + name_of(folder)
        return next((job for job, (name, state) in jobs.items() if name == wanted and state not in ENDED), "")

    def find(self, row: Row, folder: Path) -> Found:
        """Return what became of an attempt."""
        if ended := attempt.read(folder / attempt.ENDED):
            return self._over(folder, Found("ended", ended))
        held = lock.holder(folder)
        child = self._children.get(folder)
        code = child.poll() if child else None
        if held is not None:
            return Found("alive", {"pid": held.pid, "host": held.host, "job": held.job, "began": True})
        if child is not None and code is None:
            return Found("alive")
        if row.place == "slurm":
            return self._job(row, folder)
        # It notes its end before it lets go of its folder.
        if ended := attempt.read(folder / attempt.ENDED):
            return self._over(folder, Found("ended", ended))
        begun = attempt.read(folder / attempt.BEGUN)
        if begun is None and child is None:
            return Found("absent")
        how = process.ended(code) if code is not None else "ended without a word, or was killed"
        said = attempt.reason(folder / attempt.LOG) if begun is None else ""
        return self._over(
            folder, Found("died", begun or {}, f"its process {how}{f': {said}' if said else ''}")
        )

    def _over(self, folder: Path, found: Found) -> Found:
        if child := self._children.pop(folder, None):
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.5)
        self._lost.pop(folder, None)
        return found

    def _job(self, row: Row, folder: Path) -> Found:
        """Return what Slurm says of an attempt that nobody works on now."""
        from ..slurm import listing

        jobs = self._queue(ASKED)
        if jobs is None:
            return Found("unknown")
        begun = attempt.read(folder / attempt.BEGUN)
        job = row.job or (begun or {}).get("holder", {}).get("job", "")
        if not job:
            try:
                job = self._named(folder)
            except commands.SlurmError:
                return Found("unknown")
            return Found("alive", {"job": job}) if job else Found("absent")
        name, state = jobs.get(job, ("", ""))
        if state and state not in ENDED:
            self._lost.pop(folder, None)
            return Found("alive", {"job": job, "queued": state == "PENDING"})
        if time.monotonic() - self._lost.setdefault(folder, time.monotonic()) < GRACE:
            return Found("unknown")
        if ended := attempt.read(folder / attempt.ENDED):
            return self._over(folder, Found("ended", ended))
        log = listing.log_of(job)
        said = attempt.reason(Path(log)) if log and begun is None else ""
        why = f"job {job} ended: {state or 'Slurm does not know it any more'}{f': {said}' if said else ''}"
        return self._over(folder, Found("died", begun or {}, why))

    def _queue(self, age: float) -> dict[str, tuple[str, str]] | None:
        """Return names and states of the user's jobs, not older than some seconds; None if Slurm does not answer."""
        if time.monotonic() - self._asked >= (age if self._error is None else SILENT):
            try:
                asked = ("squeue", "-h", "-t", "all", "-u", commands.user(), "-o", "%i|%j|%T")
                lines = [line.split("|") for line in commands.run(*asked).splitlines()]
                self._note({parts[0]: (parts[1], parts[2]) for parts in lines if len(parts) == 3}, None)
            except commands.SlurmError as e:
                self._note(None, e)
        return self._jobs

    def _note(self, jobs: dict[str, tuple[str, str]] | None, error: commands.SlurmError | None) -> None:
        """Note what Slurm has said, or why it has not; it may have taken long to."""
        self._jobs, self._error, self._asked = jobs, error, time.monotonic()

    def end(self, row: Row, folder: Path, how: int = signal.SIGTERM) -> bool:
        """Ask an attempt that runs on this machine to end; return whether it was asked."""
        held = lock.holder(folder)
        child = self._children.get(folder)
        pid = child.pid if child and child.poll() is None else held.pid if held and lock.here(held) else 0
        if not pid or row.place == "slurm":
            return False
        try:
            os.kill(pid, how)
        except OSError:
            return False
        return True
