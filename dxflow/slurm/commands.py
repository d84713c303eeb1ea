"""Slurm's own commands: run with a clean environment, refusals in Slurm's words."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SECONDS = 30
"""A controller that does not answer for so long is treated as busy."""
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")


class SlurmError(RuntimeError):
    """Slurm refused something, or what it started did not work; the message has Slurm's words."""


class Unreachable(SlurmError):
    """Slurm does not answer now; it may later."""


class OptionError(ValueError):
    """An option that cannot work; the message says which, and what could."""


def environment() -> dict[str, str]:
    """Return the environment for Slurm's commands.

    Variables such as SBATCH_PARTITION or SLURM_CPU_BIND, left by a surrounding job, would overrule what is asked for.
    """
    return {k: v for k, v in os.environ.items() if k in KEPT or not k.startswith(("SLURM_", "SBATCH_"))}


def run(*command: str, times: str = "%s") -> str:
    """Return what a command prints; times in seconds since 1970.

    Raises
    ------
    SlurmError
        If it is not installed, or refuses.
    Unreachable
        If the controller does not answer.
    """
    # Not for sbatch, whose environment jobs inherit.
    env = environment() | ({"SLURM_TIME_FORMAT": times} if command[0] != "sbatch" else {})
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=env, timeout=SECONDS, errors="replace"
        )
    except FileNotFoundError:
        raise SlurmError(missing(command[0])) from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} gave no answer for {SECONDS} s") from None
    if done.returncode == 0:
        return done.stdout
    raise _error(command[0], done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}")


def user() -> str:
    """Return the name of the user whose process this is, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def missing(program: str) -> str:
    """Return what to do without Slurm's commands."""
    return (
        f"there is no command {program!r} on this machine: submit from a login node of the cluster, "
        "or load the module that has Slurm; cluster='local' uses this machine"
    )


def there() -> bool:
    """Return whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


BUSY = (
    "Unable to contact slurm",
    "Socket timed out",
    "Zero Bytes",
    "Connection refused",
    "Transport endpoint",
)


def _error(program: str, words: str) -> SlurmError:
    """Return the error for what Slurm said."""
    if any(text in words for text in BUSY):
        return Unreachable(f"{program}: {words}")
    said = "; ".join(
        re.sub(r"^(sbatch|squeue|scancel|scontrol|sacct|sinfo): (error: )?", "", line).strip()
        for line in words.splitlines()
        if line.strip()
    )
    return SlurmError(f"{program}: {said}")


def submit(script: Path, *options: str) -> str:
    """Submit a job script and return the job's id.

    Raises
    ------
    SlurmError
        With Slurm's words, if it refuses.
    """
    out = run("sbatch", "--parsable", *options, str(script))
    return out.strip().splitlines()[-1].partition(";")[0]


def try_out(script: Path, *options: str) -> str:
    """Return when Slurm would start a job, without submitting it.

    Raises
    ------
    SlurmError
        If it would refuse it; the message says what there is.
    """
    try:
        return run("sbatch", "--test-only", *options, str(script))
    except Unreachable:
        raise
    except SlurmError as e:
        asked = "; ".join(asked_of(script))
        raise SlurmError(f"Slurm would refuse this job: {e}{_hint(str(e))}. Asked for: {asked}") from None


def asked_of(script: Path) -> list[str]:
    """Return what a job script asks of Slurm, but for names and files."""
    lines = [
        line.removeprefix("#SBATCH ")
        for line in script.read_text().splitlines()
        if line.startswith("#SBATCH ")
    ]
    beside = ("-J", "--job-name", "--output", "-o", "-e", "--error", "--open-mode", "--requeue", "--signal")
    return [line for line in lines if not line.startswith(beside)]


def _hint(words: str) -> str:
    """Return what exists of what was wrong."""
    lower = words.lower()
    try:
        if "partition" in lower:
            return f". Partitions: {', '.join(partitions())}"
        if "reservation" in lower:
            return f". Reservations: {', '.join(reservations()) or 'none'}"
        if "account" in lower or "qos" in lower:
            return ". 'sacctmgr show associations user=$USER' lists your accounts and QOS"
        if "node configuration" in lower or "memory" in lower or "cpu" in lower:
            return f". Nodes: {nodes()}"
    except SlurmError:
        return ""
    return ""


def partitions() -> list[str]:
    """Return the names of all partitions."""
    return sorted(set(run("sinfo", "-h", "-o", "%R").split()))


def reservations() -> list[str]:
    """Return the names of all reservations."""
    return re.findall(r"ReservationName=(\S+)", run("scontrol", "show", "reservation", "-o"))


def nodes() -> str:
    """Return cores and memory of the nodes, by partition."""
    lines = run("sinfo", "-h", "-o", "%R: %D with %c cores, %m MB").splitlines()
    return "; ".join(sorted(set(lines)))


def cancel(*options: str) -> None:
    """Cancel jobs; those that have ended already are no mistake."""
    run("scancel", "--quiet", *options)


def fields(line: str) -> Mapping[str, str]:
    """Return what a line of ``scontrol show -o`` says, by name."""
    return dict(re.findall(r"(?:^| )([A-Z][A-Za-z:/]*)=(.*?)(?= [A-Z][A-Za-z:/]*=|$)", line.strip()))
