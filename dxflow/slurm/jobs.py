"""The jobs of a run as Slurm sees them: states, and why they ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import commands

WAITING = (
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
)
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
GONE = "GONE"
"""Slurm does not know the job any more."""

REASONS = {
    "Resources": "waiting for free nodes",
    "Priority": "other jobs come first",
    "ReqNodeNotAvail": "the nodes are down or reserved",
    "BeginTime": "requeued, starts again soon",
    "QOSMaxJobsPerUserLimit": "you have as many jobs as you may",
    "PartitionTimeLimit": "asks for more time than the partition allows",
    "Reservation": "waiting for the reservation to begin",
    "Licenses": "waiting for licenses",
}


@dataclass(frozen=True)
class Seen:
    """A line of squeue."""

    id: str
    state: str
    reason: str
    start: float | None
    """When it started, or is expected to; seconds since 1970."""
    submitted: float | None
    nodes: str
    """Names, comma separated; empty while it waits."""
    count: int
    cpus: int


def queue(name: str) -> dict[str, Seen]:
    """Return the jobs of this user with a name, by id: one question for all of them."""
    out = commands.run(
        "squeue", "-h", "-t", "all", "-u", commands.user(), "-n", name, "-o", "%i|%T|%r|%S|%V|%N|%D|%C"
    )
    return {seen.id: seen for seen in map(_seen, out.splitlines())}


def _seen(line: str) -> Seen:
    try:
        id_, state, reason, start, submitted, nodes, count, cpus = line.split("|")
        return Seen(id_, state, reason, _time(start), _time(submitted), nodes, int(count), int(cpus))
    except ValueError:
        raise commands.Unreachable(f"squeue says what is not understood: {line}") from None


def _time(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def why(reason: str) -> str:
    """Return Slurm's reason for waiting, with what it means."""
    word = reason.partition(",")[0]
    meaning = REASONS.get(word)
    return f"{word}: {meaning}" if meaning else word


@dataclass
class Job:
    """A job of workers, from its submission to its end."""

    id: str
    log: str
    submitted: float
    state: str = "PENDING"
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    since: float | None = None
    """When it was first seen running, by the clock of this machine."""
    nodes: str = ""
    count: int = 1
    cpus: int = 0
    restarts: int = 0
    """How often Slurm put it back into the queue."""
    connected: bool = False
    """Whether a worker of it has ever reached the scheduler (since its last start)."""
    cause: str = ""
    """Why it ended, in words."""
    used: float = 0.0
    """Node-seconds of earlier starts."""
    expected: float | None = None
    """When Slurm expects to start it."""
    history: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.ended is None

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.alive and self.state in WAITING

    @property
    def runs(self) -> bool:
        """Whether it has its nodes."""
        return self.alive and not self.waits

    def update(self, seen: Seen, now: float) -> None:
        """Take over what squeue says."""
        if self.runs and seen.state in WAITING:
            self._requeued(now, seen.reason)
        self.state, self.reason = seen.state, seen.reason
        if seen.state in WAITING:
            self.expected = seen.start
        else:
            self.started = seen.start or self.started or now
            self.since = self.since or now
            self.nodes, self.count, self.cpus = seen.nodes or self.nodes, seen.count, seen.cpus

    def _requeued(self, now: float, reason: str) -> None:
        self.restarts += 1
        self.connected = False
        self.history.append(f"put back into the queue ({reason}) at {now:.0f}")
        self.used += self.count * (now - self.started) if self.started else 0.0
        self.started = self.since = None

    def node_seconds(self, now: float) -> float:
        """Return the time its nodes were held, times their number."""
        running = (self.ended or now) - self.started if self.started else 0.0
        return self.used + self.count * max(0.0, running)

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return what an account has of it."""
        return {
            "id": self.id,
            "state": self.state,
            "nodes": self.nodes,
            "submitted": self.submitted,
            "started": self.started,
            "ended": self.ended,
            "restarts": self.restarts,
            "node_seconds": self.node_seconds(now),
            "cause": self.cause,
            "log": self.log,
        }


@dataclass(frozen=True)
class End:
    """How a job ended."""

    state: str
    words: str
    started: float | None = None
    ended: float | None = None
    nodes: str = ""


def end(job: str) -> End:
    """Ask Slurm how a job ended: scontrol while it remembers, then the accounting."""
    for ask in (_of_scontrol, _of_sacct):
        try:
            return ask(job)
        except (commands.SlurmError, LookupError, ValueError):
            continue
    return End(GONE, "Slurm knows nothing more of it")


def _of_scontrol(job: str) -> End:
    found = commands.fields(commands.run("scontrol", "show", "job", "-o", job))
    words = cause(found["JobState"], found.get("Reason", ""), found["ExitCode"])
    times = _time(found.get("StartTime", "")), _time(found.get("EndTime", ""))
    return End(found["JobState"], words, *times, found.get("NodeList", "").replace("(null)", ""))


def _of_sacct(job: str) -> End:
    out = commands.run("sacct", "-n", "-X", "-P", "-j", job, "-o", "State,ExitCode,Start,End,NodeList")
    state, code, start, ended, nodes = out.splitlines()[-1].split("|")
    # "CANCELLED by 1000"
    return End(state.split()[0], cause(state.split()[0], "", code), _time(start), _time(ended), nodes)


SIGNALS = {6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}

STATES = {
    "COMPLETED": "ended by itself",
    "TIMEOUT": "reached its time limit",
    "OUT_OF_MEMORY": "ran out of memory",
    "PREEMPTED": "was preempted by another job",
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "DEADLINE": "reached its deadline",
}


def cause(state: str, reason: str, code: str) -> str:
    """Return why a job ended, from its state, Slurm's reason, and its exit code ``status:signal``."""
    if state in STATES:
        return STATES[state]
    # Memory that is polled rather than limited by cgroups: the job is killed, and its launch said to have failed.
    if "OutOfMemory" in reason or (reason == "JobLaunchFailure" and code.endswith(":9")):
        return f"ran out of memory ({state}, {reason})"
    status, _, signal = code.partition(":")
    number = int(signal or 0) or (int(status) - 128 if int(status) > 128 else 0)
    if number:
        return f"was killed by signal {number} ({SIGNALS.get(number, 'no common one')})"
    said = f", {reason}" if reason not in ("", "None", "NonZeroExitCode") else ""
    return f"failed with exit code {status}{said}"
