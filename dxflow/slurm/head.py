"""The scheduler of a run, in this process, and the job script that brings workers to it: dask-jobqueue's."""

from __future__ import annotations

import shlex
import socket
import sys
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Security
from distributed.diagnostics.plugin import SchedulerPlugin

from ..disk.process import MALLOC
from . import commands
from .commands import OptionError, SlurmError
from .jobqueue import SLURMCluster, packaged
from .options import NAMED, Options

LEAST = 300 * 2**20
"""Bytes of an idle worker process with its libraries."""
BESIDE = 200 * 2**20
"""Bytes of the process that watches over a worker; Slurm counts it, too."""
UNKNOWN = 2 * 2**30
"""Bytes of a worker beyond that, if the plan is not known when the cluster starts."""
SECTION = "dxflow"
"""Of Dask's configuration: not the user's, which `options` has seen, so that it is not applied twice."""
DEATH = 180
"""Seconds after which a worker gives up that finds no scheduler, so that jobs that start too late hold no node.

To load its libraries from a busy file system, on a busy node, takes a worker more than a minute.
"""

ON_NODES = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
    # Nodes may be shared: nothing is told to whoever asks by HTTP.
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "'[]'",
    # On preemption there are seconds.
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
    **MALLOC,
}

HOST = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10); "
    "print(s.getsockname()[0])"
)
"""Prints the address of this node in the network of the scheduler, if it reaches the scheduler."""


@dataclass(frozen=True)
class Shape:
    """How a job is cut into workers."""

    processes: int
    limit: int
    """Bytes per worker."""
    memory: int
    """Bytes of the job."""

    @classmethod
    def of(cls, options: Options, need: int | None) -> Shape:
        """Return as many workers as cores and memory allow, for plans that need so many bytes each.

        Raises
        ------
        ValueError
            If not even one fits.
        """
        from .options import bytes_of

        worker = LEAST + (int(1.25 * need) if need is not None else UNKNOWN)
        if options.memory is None:
            processes = options.processes or options.cores
            return cls(processes, worker, processes * _with_headroom(worker))
        memory = bytes_of(options.memory)
        fitting = memory // _with_headroom(worker)
        processes = options.processes or min(options.cores, fitting)
        if not 0 < processes <= fitting:
            raise OptionError(_too_small(options, worker, processes, known=need is not None))
        return cls(processes, int((memory / processes - BESIDE) / 1.1), memory)


def _with_headroom(worker: int) -> int:
    """Return what Slurm must grant for a worker: it counts more, and kills the whole job."""
    return int(1.1 * worker) + BESIDE


def _too_small(options: Options, worker: int, processes: int, *, known: bool) -> str:
    from ..sizes import show

    most = f"{processes} workers need {show(processes * _with_headroom(worker))}" if processes else ""
    whose = (
        "one worker of this plan needs" if known else "one worker with its libraries and 2 GiB of data needs"
    )
    one = f"{whose} {show(_with_headroom(worker))}"
    return f"memory={options.memory!r} per job: {most or one}. Give more memory, or fewer processes"


class Scheduler(SLURMCluster):
    """The scheduler; its jobs are submitted by a keeper, since Dask does not replace those that end."""

    failure: SlurmError | None = None
    """Why the run cannot go on, once that is so."""
    keeper: Any = None
    kind = ""
    """What was asked for, in a few words."""

    def __init__(self, options: Options, shape: Shape, interface: str, folder: Path) -> None:
        self.options, self.shape, self.folder = options, shape, folder
        with plain():
            super().__init__(**self._arguments(interface))

    def _arguments(self, interface: str) -> dict[str, Any]:
        """Return the arguments of dask-jobqueue's cluster."""
        options, shape, folder = self.options, self.shape, self.folder
        return {
            "security": Security.temporary(),
            "protocol": "tls://",
            "silence_logs": 50,
            "config_name": SECTION,
            "scheduler_options": {
                "interface": interface,
                "dashboard_address": "127.0.0.1:0",
                "dashboard": options.dashboard,
            },
            "interface": options.interface,
            "job_name": folder.name,
            "python": shlex.quote(options.python or sys.executable),
            "cores": shape.processes,
            "processes": shape.processes,
            "memory": shape.limit * shape.processes,
            "job_cpu": options.cores,
            "job_mem": f"{-(-shape.memory // 2**20)}M",
            "walltime": clock(options.seconds),
            "death_timeout": DEATH,
            "local_directory": '"$scratch"',
            "job_script_prologue": [],
            "job_extra_directives": list(directives(options, folder)),
            "job_directives_skip": ["--mem=", "--cpus-per-task=", "-n 1"] if options.exclusive else [],
            "worker_extra_args": [
                "--dashboard-address",
                "127.0.0.1:0",
                "--no-dashboard",
                *_lifetime(options),
            ],
        }

    def _get_worker_security(self, security: Any) -> Any:
        """Write the workers' credentials, for this user only; return where, quoted for the script."""
        kept = copy(security)
        for attribute in ("tls_ca_file", "tls_worker_key", "tls_worker_cert"):
            path = self.folder / "tls" / f"{attribute}.pem"
            path.touch(mode=0o600)
            path.write_text(getattr(security, attribute))
            setattr(kept, attribute, shlex.quote(str(path)))
        return kept

    def script(self) -> str:
        """Return the job script; each worker is named after its job."""
        address = self.scheduler.contact_address or self.scheduler.address
        host, _, port = address.rpartition("://")[2].rpartition(":")
        kwargs = dict(self._job_kwargs)
        kwargs["job_script_prologue"] = list(prologue(self.options, host, port))
        if not self.options.interface:
            kwargs["worker_extra_args"] = [*kwargs["worker_extra_args"], "--host", '"$host"']
        name = '"$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"'
        with plain():
            return str(self.job_cls(address, name=name, **kwargs).job_script())

    @property
    def _dummy_job(self) -> Any:
        with plain():
            return super()._dummy_job

    def busy(self) -> Counter[str]:
        """Return the tasks of the workers of each job that has workers."""
        tasks: Counter[str] = Counter()
        for worker in list(self.scheduler.workers.values()):
            tasks[str(worker.name).partition("-")[0]] += len(worker.processing)
        return tasks

    def wanted(self) -> int:
        """Return how many jobs there should be: as many as there is work for, within what was asked."""
        least, most = self.options.least, self.options.most
        if least == most:
            return most
        waiting = len(self.scheduler.queued) + len(self.scheduler.unrunnable)
        return max(least, min(most, -(-(waiting + self.busy().total()) // self.shape.processes)))

    def fail(self, error: SlurmError) -> None:
        """Note why the run cannot go on: whoever waits for results looks here."""
        self.failure = error

    def tell(self, listener: Callable[..., None] | None) -> None:
        """Have someone told the state of the jobs, whenever it was looked at."""
        self.keeper.listener = listener
        if listener is not None:
            tunnel = f"; {self.tunnel()}" if self.options.dashboard else ""
            listener(f"{self.kind}; logs in {self.folder}/logs{tunnel}", lasting=True)
            listener(self.keeper.line())

    def tunnel(self) -> str:
        """Return how to reach the dashboard, which listens on this machine only."""
        port, host = self.scheduler.http_server.port, socket.gethostname()
        return f"dashboard: ssh -L {port}:127.0.0.1:{port} {commands.user()}@{host}, then http://127.0.0.1:{port}/status"

    def accounting(self) -> dict[str, Any]:
        """Return what the jobs cost and how they ended: see `dxflow.clusters.Slurm.accounting`."""
        account = self.keeper.account()
        started = sum(job["started"] is not None for job in account["jobs"])
        asked = {"asked": started * self.options.seconds, "processes": self.shape.processes}
        return {"kind": self.kind} | account | asked | {"folder": str(self.folder)}

    def watch(self, keeper: Any) -> None:
        """Let a keeper look whenever workers come and go."""
        self.keeper = keeper
        self.scheduler.add_plugin(_Bell(keeper), name="dxflow-keeper")


class _Bell(SchedulerPlugin):
    """Wakes the keeper."""

    def __init__(self, keeper: Any) -> None:
        self.keeper = keeper

    def add_worker(self, *args: Any, **kwargs: Any) -> None:
        self.keeper.wake()

    def remove_worker(self, *args: Any, **kwargs: Any) -> None:
        self.keeper.wake()


def plain() -> Any:
    """Return a context in which the section `SECTION` of Dask's configuration is what dask-jobqueue comes with."""
    return dask.config.set({f"jobqueue.{SECTION}": packaged()})


def directives(options: Options, folder: Path) -> list[str]:
    """Return what the job script asks of Slurm beside what dask-jobqueue writes."""
    found = ["-N 1", f'--output="{folder}/logs/%j.log"', "--open-mode=append", *named(options)]
    return found + ["--exclusive"] * options.exclusive + list(options.directives)


def named(options: Options) -> list[str]:
    """Return the directives that name things of the site."""
    values = {name: getattr(options, name) for name in NAMED}
    return [f'--{name}="{value}"' for name, value in values.items() if value is not None]


def prologue(options: Options, host: str, port: str) -> list[str]:
    """Return the lines before the worker's command."""
    python = shlex.quote(options.python or sys.executable)
    base = f"{shlex.quote(options.scratch)}" if options.scratch else '"${TMPDIR:-/tmp}"'
    scripts = beside()
    return [
        *options.prologue,
        *(f"export {name}={value}" for name, value in ON_NODES.items()),
        *([f"export PYTHONPATH={shlex.quote(scripts)}${{PYTHONPATH:+:$PYTHONPATH}}"] if scripts else []),
        # Under a name that nobody can have taken, for this user only.
        f'scratch=$(mktemp -d {base}"/dxflow-$SLURM_JOB_ID-XXXXXX") || exit 3',
        "trap 'rm -rf \"$scratch\"' EXIT",
        'echo "dxflow: job $SLURM_JOB_ID on $SLURMD_NODENAME, start ${SLURM_RESTART_COUNT:-0}"',
        f"host=$({python} -S -c {shlex.quote(HOST)} {shlex.quote(host)} {port}) || exit 3",
    ]


def beside() -> str | None:
    """Return the folder of the main script: what lies beside it can be imported there, so on workers too."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    folder = Path(file).absolute().parent if file else None
    return str(folder) if folder is not None and str(folder) in sys.path else None


def margins(walltime: int) -> tuple[int, int]:
    """Return seconds after which workers retire, and by which they differ: all before Slurm ends them."""
    margin = max(10, min(600, walltime // 6))
    return walltime - margin, margin // 2


def _lifetime(options: Options) -> list[str]:
    lifetime, stagger = margins(options.seconds)
    return ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]


def clock(seconds: int) -> str:
    """Return a time as HH:MM:SS."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
