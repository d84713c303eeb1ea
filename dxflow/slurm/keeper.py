"""Keeps the wanted number of worker jobs alive: asks squeue, replaces what ended, says when that is no use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors.redact import logger
from . import commands, jobs
from .commands import SlurmError, Unreachable
from .diagnose import tail
from .jobs import Job

log = logger(__name__)

UNREACHABLE = 1800.0
"""Seconds without an answer from Slurm."""
SILENT = 180.0
"""Seconds that a running job may take until a worker connects: Python may be slow to start from a shared disk, and
a scheduler that cannot be reached is noticed by the job itself."""
FATE = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")
"""Ends that say nothing of what the job would have done."""


@dataclass(frozen=True)
class Limits:
    """What ends patience."""

    early: int = 3
    """Jobs in a row that end before a worker of theirs connects."""
    deaths: int = 20
    """Jobs that end otherwise than by themselves or at their time limit."""
    queue: float = 7 * 86400.0
    """Seconds that all jobs may wait, without any that runs."""
    leaves: float = float("inf")
    """Seconds after its start when a job counts as leaving, so that its successor is submitted before."""
    poll: float = 15.0
    """Seconds between questions to Slurm; fewer at the start and when a worker was lost."""


class Keeper:
    """Submits the jobs of one script and keeps as many alive as are wanted.

    Parameters
    ----------
    name : str
        Of the jobs; no other run has it.
    script, logs : Path
        What is submitted, and the folder of the jobs' logs.
    wanted : callable
        Returns how many jobs there should be now.
    busy : callable
        Returns, for each job that has workers now, how many tasks they have.
    fail : callable
        Is told the error that ends the run.
    exclude : str, optional
        Nodes that the script excludes; nodes on which jobs die at once, while others work, are added.
    """

    def __init__(
        self,
        name: str,
        script: Path,
        logs: Path,
        wanted: Callable[[], int],
        busy: Callable[[], Mapping[str, int]],
        fail: Callable[[SlurmError], None],
        limits: Limits | None = None,
        exclude: str | None = None,
    ) -> None:
        self.name, self.script, self.logs = name, script, logs
        self.wanted, self.busy, self.fail = wanted, busy, fail
        self.limits, self.exclude = limits or Limits(), exclude
        self._avoid: set[str] = set()
        self.jobs: dict[str, Job] = {}
        self.failure: SlurmError | None = None
        self.refused = ""
        """What Slurm said when it refused further jobs."""
        self.listener: Callable[..., None] | None = None
        self._early = self._deaths = 0
        self._answered = self._ran = self._began = time.time()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="dxflow-slurm", daemon=True)

    def start(self) -> None:
        """Submit the first job, and go on in a thread.

        Raises
        ------
        SlurmError
            If Slurm refuses; nothing is left in the queue then.
        """
        try:
            self._submit(min(1, self.wanted()))
        except SlurmError:
            self.close()
            raise
        self._thread.start()

    def wake(self) -> None:
        """Look at once: a worker came or went."""
        self._wake.set()

    def close(self) -> None:
        """Cancel all jobs."""
        self._stop.set()
        self._wake.set()
        # A submission that is under way ends first, so that its job is cancelled too.
        with self._lock:
            self._cancel("--name", self.name)
        if self._thread.is_alive():
            self._thread.join(timeout=commands.SECONDS)
        now = time.time()
        for job in self.jobs.values():
            if job.alive:
                job.state, job.ended, job.cause = "ENDED", now, "ended with the run"

    def _cancel(self, *options: str) -> None:
        try:
            commands.cancel(*options)
        except SlurmError as e:
            # The guard tries again for minutes.
            log.warning("jobs could not be cancelled now: %s", e)

    # In the thread ----------------------------------------------------------------------------------

    def _keep(self) -> None:
        act = self._fill
        while not self._stop.is_set():
            self._do(act)
            act = self.look
            # Workers come and go in groups.
            self._stop.wait(min(1.0, self.limits.poll))
            self._wake.wait(self._pause())
            self._wake.clear()

    def _do(self, act: Callable[[], None]) -> None:
        """Do one round, and tell of it; jobs must be watched whatever else goes wrong."""
        try:
            act()
            self._tell()
        except Unreachable as e:
            self._unanswered(e)
        except SlurmError as e:
            self._failed(e)
        # Such as a listener that cannot print.
        except Exception:  # noqa: BLE001
            log.exception("while watching jobs")

    def _pause(self) -> float:
        """Return seconds until the next look: short while jobs start, since that takes seconds on an empty cluster."""
        starting = any(j.alive and not j.connected for j in self.jobs.values())
        soon = time.time() - self._began < 60
        return min(self.limits.poll, 2.0) if starting and soon else self.limits.poll

    def _unanswered(self, e: Unreachable) -> None:
        if time.time() - self._answered > UNREACHABLE:
            self._failed(SlurmError(f"no answer from Slurm for {span(UNREACHABLE)}: {e}"))

    def _failed(self, e: SlurmError) -> None:
        self.failure = e
        self._stop.set()
        self._cancel("--name", self.name)
        self.fail(e)

    def look(self) -> None:
        """Ask Slurm once, and do what follows.

        Raises
        ------
        SlurmError
            If there is no use in going on.
        """
        seen = jobs.queue(self.name)
        now = self._answered = time.time()
        for job in [j for j in self.jobs.values() if j.alive]:
            if job.id in seen and seen[job.id].state in jobs.WAITING + jobs.RUNNING:
                job.update(seen[job.id], now)
            else:
                self._ended(job, now)
        self._connected(self.busy())
        self._refuse_silence(now)
        self._adjust(now)

    def _ended(self, job: Job, now: float) -> None:
        """Note the end of a job, and count it."""
        end = jobs.end(job.id)
        meant = bool(job.cause)
        job.state, job.cause = ("ENDED", job.cause) if meant else (end.state, end.words)
        job.started, job.nodes = job.started or end.started, job.nodes or end.nodes
        job.ended = end.ended or now
        log.info("job %s on %s %s", job.id, job.nodes or "no node", job.cause)
        if not meant and not job.connected and end.state not in FATE:
            self._early += 1
            # Where others work, a node on which jobs die at once would take every further job.
            if job.nodes and any(j.connected for j in self.jobs.values()):
                self._avoid.add(job.nodes)
        if not meant and end.state not in ("COMPLETED", "TIMEOUT", "PREEMPTED"):
            self._deaths += 1

    def _connected(self, busy: Mapping[str, int]) -> None:
        """Note which jobs have workers."""
        for job in busy:
            if job in self.jobs and not self.jobs[job].connected:
                self.jobs[job].connected = True
                self._early = 0
        if busy or not self.wanted():
            self._ran = time.time()

    def _refuse_silence(self, now: float) -> None:
        """Raise if jobs run, but no worker connects; or if nothing runs for too long."""
        silent = [
            j for j in self.jobs.values()
            if j.runs and not j.connected and j.since and now - j.since > SILENT
        ]  # fmt: skip
        alive = [j for j in self.jobs.values() if j.alive]
        if silent and len(silent) == len([j for j in alive if j.runs]):
            raise SlurmError(self._silent(silent[0], now))
        for job in silent:
            # Others work, so it is this node; another may be better.
            log.warning("job %s is cancelled: no worker of it connects (%s)", job.id, job.log)
            self._cancel(job.id)
        if now - self._ran > self.limits.queue:
            raise SlurmError(
                f"no job has had a worker for {span(now - self._ran)}: {self.line()}. Ask for less (fewer jobs, "
                "another partition, a shorter walltime), or wait longer with wait="
            )

    def _silent(self, job: Job, now: float) -> str:
        return (
            f"job {job.id} has run on {job.nodes} for {span(now - (job.since or now))}, but no worker of it has "
            f"reached the scheduler on this machine: a firewall, or the wrong interface=?\n{tail(job.log)}"
        )

    def _adjust(self, now: float) -> None:
        """Submit what is missing; take back what is too much."""
        alive = [j for j in self.jobs.values() if j.alive and not self._leaves(j, now)]
        missing = self.wanted() - len(alive)
        if missing < 0:
            self._shrink(alive, -missing)
        elif missing and self._useful(alive):
            self._fill()

    def _leaves(self, job: Job, now: float) -> bool:
        """Return whether the workers of a job are about to retire."""
        return job.runs and job.since is not None and now - job.since > self.limits.leaves

    def _useful(self, alive: list[Job]) -> bool:
        """Return whether more jobs may help; raise if there is nothing else."""
        if self._early < self.limits.early and self._deaths < self.limits.deaths:
            return True
        if alive:
            return False
        last = max((j for j in self.jobs.values() if j.ended), key=lambda j: j.ended or 0)
        what = (
            f"{self._early} worker jobs ended before a worker connected"
            if self._early >= self.limits.early
            else f"{self._deaths} worker jobs have died"
        )
        raise SlurmError(
            f"{what}. The last one, job {last.id} on {last.nodes or 'no node'}, {last.cause}.\n"
            f"{tail(last.log)}"
        )

    def _fill(self) -> None:
        """Submit what is missing; a refusal is no reason to end what runs: there may be a limit to a user's jobs."""
        alive = [j for j in self.jobs.values() if j.alive and not self._leaves(j, time.time())]
        self.refused = ""
        try:
            self._submit(self.wanted() - len(alive))
        except SlurmError as e:
            if not alive:
                raise
            self.refused = str(e)

    def _submit(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                if self._stop.is_set():
                    return
                job = commands.submit(self.script, *self._elsewhere())
            self.jobs[job] = Job(job, str(self.logs / f"{job}.log"), submitted=time.time())

    def _elsewhere(self) -> list[str]:
        """Return the option that keeps jobs away from bad nodes; it overrules that of the script."""
        avoid = sorted(self._avoid)
        return [f"--exclude={','.join([*filter(None, [self.exclude]), *avoid])}"] if avoid else []

    def _shrink(self, alive: list[Job], surplus: int) -> None:
        """Cancel jobs that wait, then those without tasks."""
        busy = self.busy()
        free = [j for j in alive if j.waits] + [j for j in alive if j.runs and busy.get(j.id) == 0]
        for job in free[:surplus]:
            job.cause = "not needed any more"
            self._cancel(job.id)

    # For people -------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if self.listener is not None:
            self.listener(self.line())

    def line(self) -> str:
        """Return the state of the jobs in a few words."""
        alive = [j for j in self.jobs.values() if j.alive]
        waiting, running = [j for j in alive if j.waits], [j for j in alive if j.runs]
        lost = [j for j in self.jobs.values() if j.state not in ("COMPLETED", "ENDED") and j.cause]
        parts = [f"{len(running)} of {self.wanted()} jobs run"]
        if waiting:
            parts.append(f"{len(waiting)} in the queue ({self._reason(waiting[0])})")
        if lost:
            parts.append(f"{len(lost)} lost (job {lost[-1].id} {lost[-1].cause})")
        if self.refused:
            parts.append(f"more are refused ({self.refused})")
        return ", ".join(parts)

    def _reason(self, job: Job) -> str:
        text = jobs.why(job.reason) if job.reason not in ("", "None") else "just submitted"
        if job.expected and job.expected > time.time() + 60:
            text += f", expected {time.strftime('%a %H:%M', time.localtime(job.expected))}"
        return text

    def account(self) -> dict[str, Any]:
        """Return jobs, node-seconds and deaths."""
        now = time.time()
        all_jobs = list(self.jobs.values())
        starts = [j.started - j.submitted for j in all_jobs if j.started and not j.restarts]
        return {
            "jobs": [j.as_dict(now) for j in all_jobs],
            "node_seconds": sum(j.node_seconds(now) for j in all_jobs),
            "waited": max(0.0, min(starts)) if starts else None,
            "deaths": [
                {"job": j.id, "node": j.nodes, "cause": j.cause}
                for j in all_jobs
                if j.ended and j.state not in ("COMPLETED", "ENDED")
            ],
            "requeues": sum(j.restarts for j in all_jobs),
        }


def span(seconds: float) -> str:
    """Return a time in the largest fitting unit."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
