"""Drivers as jobs: a command that Slurm runs, starts again when it was interrupted, and that goes on where it was."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import find
from ..errors.usage import OptionParser
from ..slurm import commands, listing, private
from ..slurm.commands import OptionError, SlurmError
from ..slurm.options import Options, home

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
    trap 'kill -TERM "$driver"' TERM INT
    kill -TERM "$driver"
    wait "$driver"
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {starts} ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    exit 1
}}
finish() {{
    # Slurm may kill what is left when this script ends, and would end the wait with another signal.
    trap '' TERM INT USR1
    kill -TERM "$driver"
    wait "$driver"
    exit $?
}}
trap again USR1
trap finish TERM INT
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
    facts = checked(words)
    folder = private.folder(home(options.directory) / "drivers")
    script = folder / f"{time.strftime('%m%d-%H%M%S')}-{os.getpid()}.sh"
    script.touch(mode=0o600)
    script.write_text(job_script(argv, options, folder, name or Path(words[0]).stem))
    try:
        commands.try_out(script)
        job = commands.submit(script)
    except SlurmError:
        # It has never run: nobody will look for it.
        script.unlink()
        raise
    script.replace(folder / f"{job}.sh")
    listing.note(folder / f"{job}.json", **facts)
    return job, folder / f"{job}.log"


def checked(words: Sequence[str]) -> dict[str, Any]:
    """Return what a command is about; raise now what would end it as soon as it begins.

    Raises
    ------
    PlanError, ValueError
        As the command itself: a reduction, a copy and a measurement are planned, a recipe's options read.
    """
    from .many import planned

    words = list(words[1:]) if words[:1] == ["--"] else list(words)
    if words[0] in ("plan", "reduce"):
        return listing.of_plan(planned(words[0], words[1:]))
    if words[0] in CHECKS:
        CHECKS[words[0]](words[1:])
    return {}


def _check_copy(words: Sequence[str]) -> None:
    """Plan a copy."""
    from . import copy as copying

    parser = OptionParser(prog="dxflow copy", allow_abbrev=False)
    copying.add_arguments(parser)
    copying.run(parser.parse_args([*words, "--dry-run"]))


def _check_bench(words: Sequence[str]) -> None:
    """Plan what is to be measured."""
    from ..declare.inputs import Frames
    from ..line.options import of_frames
    from . import bench

    parser = OptionParser(prog="dxflow bench", allow_abbrev=False)
    bench.add_arguments(parser)
    args = parser.parse_args(words)
    bench.some_trains(args, Frames(args.key, **of_frames(args), **bench.masks(args)))


def _check_recipe(words: Sequence[str]) -> None:
    """Read the options of a recipe that says which it has."""
    recipe = find.recipe(words[0] if words else "")
    if hasattr(recipe, "parser"):
        recipe.parser().parse_args(words[1:])


def _check_cube(words: Sequence[str]) -> None:
    """Read the options of a cube, and its bins."""
    from . import cube

    cube.bins_of(cube.read(words)[0].bins)


def _check_red(words: Sequence[str]) -> None:
    """Read the file of a volume, and the options of its runs."""
    from . import red

    red.checked(words)


CHECKS = {
    "red": _check_red,
    "copy": _check_copy,
    "bench": _check_bench,
    "recipe": _check_recipe,
    "cube": _check_cube,
}
QUEUED = (
    *("simulate", "plan", "reduce", "live", "copy", "red", "table", "cube", "recipe"),
    *("list", "info", "show", "report", "export", "verify", "codecs", "bench"),
    *("watch", "runs"),
)
"""Commands that can be put into the queue: all that are not about the queue itself."""


def command(words: Sequence[str], python: str | None = None) -> list[str]:
    """Return the argument list for ``reduce RUN ...`` or ``path/to/script.py ...``."""
    start = [python or sys.executable, "-u"]
    words = list(words[1:]) if words and words[0] == "--" else list(words)
    if words and words[0].endswith(".py"):
        path = Path(words[0])
        if not path.is_file():
            raise OptionError(f"there is no script {path}")
        after = words[2:] if words[1:2] == ["--"] else words[1:]
        return [*start, str(path.absolute()), *after]
    if not words or words[0] not in QUEUED:
        raise OptionError(
            f"expected a command of dxflow or a script: dxflow submit reduce RUN ..., or dxflow submit script.py -- "
            f"its options. Commands: {', '.join(QUEUED)}"
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
    from ..slurm.head import clock, named
    from ..slurm.options import bytes_of

    warning = min(WARNING, options.seconds // 4)
    found = [
        f"--job-name={listing.PREFIX}{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}",
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


def cancel(job: str) -> list[str]:
    """Cancel a driver, or a job of workers; return the ids that were cancelled.

    Raises
    ------
    SlurmError
        If the user has no such job in the queue.
    """
    alive = [
        r for r in listing.rows() if r.state in ("PENDING", "RUNNING", "SUSPENDED", "REQUEUED", "CONFIGURING")
    ]
    chosen = [r.id for r in alive if job in (r.id, r.name, r.name.removeprefix(listing.PREFIX))]
    if not chosen:
        listed = ", ".join(f"{r.id} ({r.name})" for r in alive) or "none"
        raise SlurmError(f"there is no job {job!r} of dxflow to cancel. There are: {listed}")
    # The driver's guard cancels its workers.
    commands.cancel(*chosen)
    return chosen
