"""Drivers as jobs: a command that Slurm runs, starts again when it was interrupted, and that goes on where it was."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import commands
from .commands import OptionError, SlurmError
from .jobs import why
from .options import Options, home

PREFIX = "dxflow-driver-"
"""Of names of drivers; jobs of workers begin with "dxflow-" only."""
WARNING = 120
"""Seconds before the time limit at which a driver is put back into the queue."""
STARTS = 20
"""How often a driver is started at most."""

SCRIPT = """\
#!/usr/bin/env bash
{directives}

{prologue}
cd {folder} || exit
export DXFLOW_DRIVER=1
echo "dxflow: job $SLURM_JOB_ID on $SLURMD_NODENAME, start ${{SLURM_RESTART_COUNT:-0}}, $(date)"
{command} &
driver=$!
again() {{
    echo "dxflow: the time limit is near: back into the queue"
    kill -TERM "$driver"
    wait "$driver"
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {starts} ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    exit 1
}}
trap again USR1
trap 'kill -TERM "$driver"' TERM INT
wait "$driver"
"""


def submit(words: Sequence[str], options: Options, name: str | None = None) -> tuple[str, Path]:
    """Submit a command of dxflow, or a Python script, as a job.

    Returns
    -------
    tuple
        Id of the job, and its log.

    Raises
    ------
    SlurmError
        If Slurm refuses, in its words.
    OptionError
        If there is no such command or script.
    """
    if not commands.there():
        raise SlurmError(commands.missing("sbatch"))
    argv = command(words, options.python)
    folder = home(options.directory) / "drivers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    script = folder / f"{time.strftime('%m%d-%H%M%S')}-{os.getpid()}.sh"
    script.write_text(job_script(argv, options, folder, name or Path(words[0]).stem))
    commands.try_out(script)
    job = commands.submit(script)
    script.replace(folder / f"{job}.sh")
    return job, folder / f"{job}.log"


def command(words: Sequence[str], python: str | None = None) -> list[str]:
    """Return the argument list for ``reduce RUN ...`` or ``path/to/script.py ...``."""
    from ..cli import COMMANDS

    start = [python or sys.executable, "-u"]
    words = list(words[1:]) if words and words[0] == "--" else list(words)
    if words and words[0].endswith(".py"):
        path = Path(words[0])
        if not path.is_file():
            raise OptionError(f"there is no script {path}")
        after = words[2:] if words[1:2] == ["--"] else words[1:]
        return [*start, str(path.absolute()), *after]
    if not words or words[0] not in COMMANDS:
        raise OptionError(
            f"expected a command of dxflow or a script: dxflow submit reduce RUN ..., or dxflow submit script.py -- "
            f"its options. Commands: {', '.join(COMMANDS)}"
        )
    return [*start, "-m", "dxflow", *words]


def job_script(argv: Sequence[str], options: Options, folder: Path, name: str) -> str:
    """Return the script of a driver."""
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {line}" for line in directives(options, folder, name)),
        prologue="\n".join(options.prologue),
        folder=shlex.quote(str(Path.cwd())),
        command=shlex.join(argv),
        starts=STARTS,
    )


def directives(options: Options, folder: Path, name: str) -> list[str]:
    """Return what a driver asks of Slurm."""
    from .head import clock, named
    from .options import bytes_of

    warning = min(WARNING, options.seconds // 4)
    found = [
        f"--job-name={PREFIX}{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}",
        "--nodes=1",
        "--ntasks=1",
        "--requeue",
        "--open-mode=append",
        f'--output="{folder}/%j.log"',
        f"--time={clock(options.seconds)}",
        f"--signal=B:USR1@{warning}",
        *named(options),
    ]
    if options.exclusive:
        return [*found, "--exclusive", *options.directives]
    memory = [f"--mem={bytes_of(options.memory) // 2**20}M"] if options.memory is not None else []
    return [*found, f"--cpus-per-task={options.cores}", *memory, *options.directives]


@dataclass(frozen=True)
class Row:
    """A line of ``dxflow jobs``."""

    id: str
    name: str
    state: str
    since: str
    where: str
    log: str


def rows() -> list[Row]:
    """Return the user's jobs of dxflow, drivers and workers, those that ended lately too."""
    out = commands.run(
        "squeue",
        "-h",
        "-t",
        "all",
        "-u",
        commands.user(),
        "-S",
        "i",
        "-o",
        "%i|%j|%T|%S|%N|%r",
        times="standard",
    )
    lines = [line.split("|", 5) for line in out.splitlines()]
    return [
        Row(i, n, state, since, nodes or (why(reason) if state == "PENDING" else ""), log_of(i))
        for i, n, state, since, nodes, reason in lines
        if n.startswith("dxflow-")
    ]


def log_of(job: str) -> str:
    """Return the log of a job of dxflow, empty if there is none."""
    base = home()
    found = [*base.glob(f"drivers/{job}.log"), *base.glob(f"runs/*/logs/{job}.log")]
    return str(found[-1]) if found else ""


def cancel(job: str) -> list[str]:
    """Cancel a driver, or a job of workers; return the ids that were cancelled.

    Raises
    ------
    SlurmError
        If the user has no such job in the queue.
    """
    alive = [r for r in rows() if r.state in ("PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "CONFIGURING")]
    chosen = [r.id for r in alive if job in (r.id, r.name, r.name.removeprefix(PREFIX))]
    if not chosen:
        listed = ", ".join(f"{r.id} ({r.name})" for r in alive) or "none"
        raise SlurmError(f"there is no job {job!r} of dxflow to cancel. There are: {listed}")
    # The driver's guard cancels its workers.
    commands.cancel(*chosen)
    return chosen
