"""Worker processes on the nodes of a SLURM cluster, kept alive as long as the run lasts."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import ours
from ...errors.redact import logger
from ...slurm import commands, listing, network, private
from ...slurm import options as sites
from ...slurm.commands import OptionError, SlurmError
from ...slurm.keeper import Keeper, Limits
from ..kept import Kept
from .local import DARK, SETTINGS, look_often, need_bokeh

if TYPE_CHECKING:
    from distributed import Client

    from ...planning.public import Plan
    from ...slurm.head import Scheduler, Shape

log = logger(__name__)

WAITING = {
    # A queue may take hours: the keeper knows why, and for how long.
    "distributed.scheduler.no-workers-timeout": None,
    # A frozen node; hooks that hold the GIL for so long are no hooks.
    "distributed.scheduler.worker-ttl": "2 minutes",
}
PREFIX = "dxflow-"
"""Of the names of jobs and of their folders."""
KEPT_DAYS = 30
"""How long folders of runs are kept."""


class Slurm(Kept):
    """Jobs of several workers each, one thread per worker, through TLS with credentials that live as long as the run.

    What is not given here is taken from ``~/.config/dxflow/clusters.yaml``, from ``jobqueue.slurm`` of Dask's
    configuration, or from the site.

    Parameters
    ----------
    jobs : int, (int, int) or str
        How many; or fewest and most, as there is work: ``(1, 8)``, in a command line ``1-8``.
    site : str, optional
        ``"maxwell-upex"``, ``"maxwell-exfel"``, ``"s3df"``, ``"generic"`` or one of your own; known by the name of
        this machine by default.
    partition, reservation, account, qos, constraint, nodelist, exclude : str, optional
        As sbatch has them.
    cores : int
        Of a node that are used.
    processes : int, optional
        Workers per job: one per core, or as many as the memory allows.
    memory : str, optional
        Of a job; as much as the plan needs by default.
    walltime : str or int
        HH:MM:SS, D-HH:MM:SS or minutes. Workers retire before it ends, and are replaced.
    interface : str, optional
        Network of scheduler and workers: ``"ib0"``. By default a fast one, else that of the default route.
    exclusive : bool
        Whole nodes: cores and memory are used, but not asked for.
    directives, prologue : sequence of str
        Further options of sbatch; lines of shell before the workers start, such as ``module load``.
    python : str, optional
        Python of the nodes; this one by default.
    scratch : str, optional
        Where workers may write on their node.
    directory : str, optional
        Where logs and credentials lie, on a file system that the nodes share; ``~/.dxflow`` by default.
    wait : str or int
        How long to wait while no job runs; as `walltime`.
    poll : float
        Seconds between questions to Slurm.
    dashboard : bool
        Start Dask's dashboard on the loopback interface of this machine. It asks nobody for a password: whoever can
        log in here can read in it what runs, with names of files and parts of the data.

    Raises
    ------
    OptionError
        If an option cannot be meant, or there is no such site.
    """

    def __init__(
        self,
        jobs: Any = None,
        *,
        site: str | None = None,
        partition: str | None = None,
        reservation: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        cores: int | None = None,
        processes: int | None = None,
        memory: str | int | None = None,
        walltime: str | int | None = None,
        interface: str | None = None,
        exclusive: bool | None = None,
        constraint: str | None = None,
        nodelist: str | None = None,
        exclude: str | None = None,
        directives: Any = None,
        prologue: Any = None,
        python: str | None = None,
        scratch: str | None = None,
        directory: str | None = None,
        wait: str | int | None = None,
        poll: float | None = None,
        dashboard: bool | None = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "site")}
        Kept.__init__(self)
        self.options = sites.resolve(site, given)
        self._need: int | None = None
        self._about: dict[str, Any] = {}
        self._head: Scheduler | None = None
        self._ended: Scheduler | None = None
        self._keeper: Keeper | None = None
        self._guard: subprocess.Popen | None = None
        self.folder: Path | None = None
        """Logs, job script and credentials of this run."""

    def check(self, plan: Plan) -> None:
        """Refuse a plan whose workers do not fit into the memory of a job.

        Raises
        ------
        OptionError
        """
        if self.options.memory is not None:
            self._shape(plan)

    def _shape(self, plan: Plan) -> Shape:
        from ...slurm.head import Shape

        return Shape.of(self.options, plan.memory.total)

    def fit(self, plan: Plan) -> bool:
        """Take over what a plan needs; return whether the workers that run have too little memory for it.

        Raises
        ------
        OptionError
            If its result would lie where nodes do not see it, or its workers do not fit into the memory of a job.
        """
        if plan.store.temporary and str(plan.store.path).startswith(("/tmp/", "/var/tmp/", "/dev/shm/")):
            raise OptionError(
                f"without a name the result lies in {plan.store.path.parent}, which the nodes of a cluster do not "
                "share: give to= (--to), on a file system that they do"
            )
        shape = self._shape(plan)
        self._need, self._about = plan.memory.total, listing.of_plan(plan)
        if self._head is None:
            return False
        listing.note(self._head.folder / listing.ABOUT, **self._about)
        return shape.limit > self._head.shape.limit

    def start(self) -> Client:
        """Submit the jobs and return a client; work can begin with the first worker.

        Raises
        ------
        SlurmError
            If Slurm is not there or refuses, in its words.
        ValueError
            If options do not fit this machine or the plan.
        """
        from distributed import Client

        if not commands.there():
            raise SlurmError(commands.missing("sbatch"))
        try:
            self._begin()
        except BaseException:
            self.close()
            if self.folder is not None and not (self._keeper and self._keeper.jobs):
                # Nothing was submitted that could have left a log.
                shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return Client(self._head, set_as_default=False)

    def _begin(self) -> None:
        """Start the scheduler, then the guard, then the jobs."""
        self.folder = _folder(self.options.directory)
        head = self._head = self._start_head(self.folder)
        script = self.folder / ours.SCRIPT
        script.touch(mode=0o600)
        script.write_text(head.script())
        listing.note(self.folder / listing.ABOUT, **self._about)
        log.debug("Slurm says: %s", commands.try_out(script))
        self._guard = _guard(self.folder)
        self._keeper = Keeper(
            self.folder.name,
            script,
            self.folder / "logs",
            head.wanted,
            head.busy,
            head.fail,
            self._limits(),
            self.options.exclude,
        )
        head.watch(self._keeper)
        self._keeper.start()
        head.kind = self.describe()

    def _start_head(self, folder: Path) -> Scheduler:
        import dask

        from ...slurm.head import Scheduler, Shape

        interface = network.interface(self.options.interface)
        shape = Shape.of(self.options, self._need)
        if self.options.dashboard:
            need_bokeh()
        dark = {} if self.options.dashboard else DARK
        with dask.config.set({**SETTINGS, **WAITING, **dark}):
            head = Scheduler(self.options, shape, interface, folder)
        look_often(head)
        return head

    def _limits(self) -> Limits:
        from ...slurm.head import margins

        lifetime, stagger = margins(self.options.seconds)
        return Limits(
            deaths=10 + 5 * self.options.most,
            queue=sites.seconds(self.options.wait, "wait"),
            leaves=lifetime - 2 * stagger,
            poll=self.options.poll,
        )

    def describe(self) -> str:
        """Return how many jobs of how many workers, and where."""
        o = self.options
        jobs = f"{o.least}" if o.least == o.most else f"{o.least} to {o.most}"
        where = f"reservation {o.reservation}" if o.reservation else f"partition {o.partition or 'default'}"
        head = self._head or self._ended
        return f"{jobs} SLURM jobs, {where}" + (f", {head.shape.processes} workers each" if head else "")

    def close(self) -> None:
        """Cancel the jobs, end the scheduler, remove the credentials."""
        if self._keeper is not None:
            self._keeper.close()
        if self._head is not None:
            self._head.close()
            self._ended, self._head = self._head, None
        if self._guard is not None:
            self._guard.communicate(b"done")
            self._guard = None
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder / "tls", ignore_errors=True)
            self._note_ends(self.folder / listing.ABOUT)

    def _note_ends(self, file: Path) -> None:
        """Note which jobs ended with the run: Slurm says of them that they were cancelled."""
        jobs = self._keeper.jobs.values() if self._keeper else ()
        if ended := [job.id for job in jobs if job.state == "ENDED"]:
            listing.note(file, ended=ended)

    def accounting(self) -> dict[str, Any]:
        """Return what the jobs cost and how they ended.

        Returns
        -------
        dict
            "jobs": one dict each (id, state, nodes, submitted, started, ended, restarts, node_seconds, cause, log;
            times in seconds since 1970); "node_seconds" used and "asked" (the walltimes of those that started);
            "waited": seconds until the first job ran; "deaths": job, node, cause; "requeues"; "processes" per job.
        """
        head = self._head or self._ended
        return head.accounting() if head is not None and head.keeper is not None else {}


def _folder(directory: str | None) -> Path:
    """Return a new folder for a run, which only its user can read; remove those of long ago."""
    base = sites.home(directory) / "runs"
    private.folder(base)
    for old in base.glob(f"{PREFIX}*"):
        if time.time() - old.lstat().st_mtime > KEPT_DAYS * 86400 and not ours.obstacle(old, [ours.JOBS]):
            shutil.rmtree(old, ignore_errors=True)
    folder = base / f"{PREFIX}{time.strftime('%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    for path in (folder, folder / "logs", folder / "tls"):
        path.mkdir(mode=0o700)
        private.refuse_shared(path)
    return folder


def _guard(folder: Path) -> subprocess.Popen:
    """Start the process that cancels the jobs should this one be killed."""
    file = Path(commands.__file__).with_name("guard.py")
    return subprocess.Popen(
        [sys.executable, "-I", str(file), folder.name, commands.user(), str(folder / "tls")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=commands.environment(),
        start_new_session=True,
    )
