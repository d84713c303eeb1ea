"""Worker processes on this machine, one thread each."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...disk import terminated
from ...disk.process import MALLOC
from ...errors.redact import logger
from ...sizes import show
from ...slurm.commands import OptionError
from ..kept import Kept

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    from ...planning.public import Plan

SETTINGS = {
    # A preempted or killed worker is no reason to give up on a chunk: its fragment is there or it is done again.
    "distributed.scheduler.allowed-failures": 100,
    "distributed.scheduler.no-workers-timeout": "2 minutes",
    # A worker that is frozen, or whose hook holds the GIL for so long that it might as well be.
    "distributed.scheduler.worker-ttl": "2 minutes",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # One task waits on each worker while another runs: with 1.0, workers idle for a round trip after each chunk.
    "distributed.scheduler.worker-saturation": 2.0,
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()},
}

DARK: dict[str, Any] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}
"""Without dashboard: Dask listens for HTTP in any case, and would tell whoever can log in here what runs; and each of
its processes would look at itself up to a hundred times a second, for plots that nobody sees."""
RISK = (
    "the dashboard, %s, asks nobody for a password: whoever can log in on this machine can read what runs, with "
    "names of files and parts of data"
)
LOOK = 5.0
"""Seconds between looks whether a worker is frozen."""
START = 150.0
"""Seconds that worker processes may take to start."""
log = logger(__name__)


class Local(Kept):
    """Processes of this machine, connected by TLS with certificates that live as long as they do.

    Parameters
    ----------
    workers : int, optional
        One per core that this process may use, by default.
    memory : str, optional
        Limit per worker at which Dask restarts it; an equal share of the machine by default.
    dashboard : bool
        Start Dask's dashboard on a port of this machine. It asks nobody for a password: whoever can log in here can
        read in it what runs, with names of files and parts of the data.
    """

    def __init__(
        self, workers: int | None = None, memory: str | None = None, *, dashboard: bool = False
    ) -> None:
        super().__init__()
        self.workers = workers or len(os.sched_getaffinity(0))
        self.memory, self.dashboard = memory, dashboard
        self._cluster: LocalCluster | None = None

    def fit(self, plan: Plan) -> None:
        """Refuse a plan that is too large, as when it was made."""
        self.check(plan)

    def check(self, plan: Plan) -> None:
        """Refuse a plan that needs more memory than each process has.

        Raises
        ------
        OptionError
        """
        limit = self._limit()
        if limit is not None and plan.memory.total > limit:
            raise OptionError(
                f"{plan.memory} for a worker is more than the {show(limit)} that each of {self.workers} may use on "
                "this machine. Use fewer workers (Local(workers=1), --workers 1), more memory for each "
                "(Local(memory=...)), fewer modules or cells, or process_module_data, which needs no whole trains"
            )

    def start(self) -> Client:
        """Start the processes.

        Raises
        ------
        OptionError
            If there is no bokeh for the dashboard that is asked for.
        RuntimeError
            If called from a script whose call is not guarded by ``if __name__ == "__main__":``, or if worker
            processes do not start.
        """
        import dask
        from distributed import Client, Security

        refuse_unguarded()
        if self.dashboard:
            need_bokeh()
        with dask.config.set(SETTINGS if self.dashboard else SETTINGS | DARK):
            try:
                with held_back():
                    self._cluster = _lasting()(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        processes=True,
                        memory_limit=self._limit(),
                        host="127.0.0.1",
                        protocol="tls://",
                        security=Security.temporary(),
                        dashboard_address="127.0.0.1:0",
                        scheduler_kwargs={"dashboard": self.dashboard},
                        silence_logs=50,
                        death_timeout=START,
                    )
            except KeyboardInterrupt:
                self.close()
                raise
            # Whatever Dask makes of it.
            except Exception as e:  # noqa: BLE001
                raise RuntimeError(_no_start(e)) from None
            for nanny in self._cluster.workers.values():
                # That was for the start: one that is started again may take its time.
                nanny.death_timeout = None
                # Dask's is the dictionary that changes back below: one that is started again would have no settings.
                for starting in (nanny, nanny.process):
                    starting.config = deepcopy(starting.config)
        if self.dashboard:
            log.warning(RISK, self._cluster.dashboard_link)
        look_often(self._cluster)
        return Client(self._cluster, set_as_default=False)

    def _limit(self) -> int | None:
        """Return the bytes that each process may use."""
        from distributed.worker_memory import parse_memory_limit

        # Dask's own default is a share by cores, however few workers there are.
        return parse_memory_limit(self.memory or "auto", 1, self.workers, logger=log)

    def describe(self) -> str:
        """Return the number of workers."""
        return f"{self.workers} worker processes on this machine"

    def close(self) -> None:
        """End the processes."""
        if self._cluster is not None:
            self._cluster.close()


def _no_start(error: BaseException) -> str:
    """Return why worker processes do not start: what the first of them said, not what Dask made of it."""
    while not isinstance(error, TimeoutError) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__ or error
    said = (
        f"within {START:.0f} s" if isinstance(error, TimeoutError) else f"({type(error).__name__}: {error})"
    )
    return (
        f"worker processes of this machine do not start {said}. They import the main script, what Dask's "
        'configuration says (distributed.worker.preload) and this Python; cluster="here" (--cluster here) needs none'
    )


def _lasting() -> type[LocalCluster]:
    """Return a `LocalCluster` that never gives up on a worker, and whose workers Ctrl-C does not reach."""
    from multiprocessing import resource_tracker

    from distributed import LocalCluster
    from distributed.deploy.cluster import Cluster

    class Lasting(LocalCluster):
        async def _start(self) -> None:
            # Ctrl-C is for this process, which then ends the others: they inherit this from the thread of the loop.
            # The tracker, started with the first of them, would let it through.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            await super()._start()

        def _update_worker_status(self, op: str, msg: Any) -> None:
            # SpecCluster looks again 15 s after a death, and closes the nanny of a worker that died a second time
            # and is just then coming back.
            # A worker that dies as it comes is not known yet.
            if op != "remove" or msg in self.scheduler_info["workers"]:
                Cluster._update_worker_status(self, op, msg)

    return Lasting


@contextmanager
def held_back() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM wait for something that cannot be left half done; a second one does not wait."""
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: terminated.end}
    held = {number: raises for number, raises in usual.items() if signal.getsignal(number) == raises}
    if threading.current_thread() is not threading.main_thread():
        held = {}
    asked: list[int] = []

    def first(number: int, _: Any) -> None:
        asked.append(number)
        signal.signal(number, held[number] if number == signal.SIGINT else signal.SIG_IGN)

    for number in held:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, raises in held.items():
            signal.signal(number, raises)
    if asked:
        held[asked[0]](asked[0], None)


def need_bokeh() -> None:
    """Raise if the dashboard cannot be shown."""
    from importlib.util import find_spec

    if not find_spec("bokeh"):
        raise OptionError("dashboard=True: bokeh is not installed; pip install 'dxflow[dashboard]'")


def look_often(cluster: Any) -> None:
    """Have the scheduler look for frozen workers every few seconds, not only as often as they may be silent."""
    scheduler = cluster.scheduler
    cluster.sync(_look_often, scheduler)


async def _look_often(scheduler: Any) -> None:
    from tornado.ioloop import PeriodicCallback

    seen = time.monotonic()

    async def look() -> None:
        nonlocal seen
        before, seen = seen, time.monotonic()
        # After this process was stopped itself, the signs of life of its workers are still to be read.
        if seen - before < 3 * LOOK:
            await scheduler.check_worker_ttl()

    scheduler.periodic_callbacks["worker-ttl"].stop()
    scheduler.periodic_callbacks["worker-ttl"] = PeriodicCallback(look, 1000 * LOOK)
    scheduler.periodic_callbacks["worker-ttl"].start()


def refuse_unguarded() -> None:
    """Raise if worker processes, which import the main script again, would run the calling line again."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if (
            frame.f_globals.get("__name__") in ("__main__", "__mp_main__")
            and frame.f_code.co_name == "<module>"
        ):
            file = frame.f_globals.get("__file__")
            if file and Path(file).is_file() and not guarded(Path(file), frame.f_lineno):
                raise RuntimeError(
                    f"{file}, line {frame.f_lineno}: worker processes import this script again, so put this call "
                    'under \'if __name__ == "__main__":\' (or use cluster="here")'
                )
        frame = frame.f_back


def guarded(file: Path, line: int) -> bool:
    """Return whether a line stands in an ``if`` statement that tests ``__name__``."""
    try:
        tree: Any = ast.parse(file.read_text())
    except (SyntaxError, UnicodeDecodeError):
        return True
    inside = [s for s in tree.body if s.lineno <= line <= (s.end_lineno or s.lineno)]
    return any(
        isinstance(s, ast.If)
        and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(s.test))
        for s in inside
    )
