"""Run tasks on a Dask client: each worker gets the plan once, tasks carry only numbers."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client, KilledWorker, WorkerPlugin, as_completed, get_worker
from distributed.client import CancelledError, ClosedClientError
from distributed.protocol.pickle import dumps
from distributed.scheduler import NoWorkerError

from ..deaths import notes as attempts
from ..deaths.watch import Doing, Watch
from ..deaths.witness import Witness
from ..disk.process import Erasing
from ..errors import ClusterLost
from ..errors.redact import guard_handlers
from .kept import running
from .patience import Patience
from .runner import number_of

if TYPE_CHECKING:
    from ..worker.workspace import Workspace
    from .runner import Cluster, Runner


LOST = (CancelledError, OSError, TimeoutError)
"""What Dask raises where scheduler or workers are gone."""
MANY, TOGETHER = 100, 0.2
"""With more tasks than that to come, results are fetched every so many seconds: each fetch costs workers a message."""
ANSWER = 1.0
"""Seconds that a worker waits for the answer of its nanny before it goes on."""
MOST_DEATHS = 100
"""Times that a task is done again whose workers died: halving a chunk needs some."""


class WorkspacePlugin(WorkerPlugin):
    """Holds the workspace of one plan on a worker; new and restarted workers get it from the scheduler."""

    def __init__(self, work: Workspace, name: str) -> None:
        self.work, self.name = work, name

    async def setup(self, worker: Any) -> None:
        """Begin with one workspace; threads that run tasks at the same time get one each."""
        self._all, self._idle, self._lock = [self.work], [self.work], threading.Lock()
        self.doing = getattr(self.work, "doing", None) or Doing()
        # The plan of a copy has no journal: its files are seen to grow.
        self.watch = None
        if isinstance(self.work.folder, Path):
            self.watch = Watch(self.doing, self.work.folder, mortal=worker.nanny is not None)
            self.watch.start()
        if worker.nanny is not None:
            Erasing.streams()
            let_interrupts_by()
            guard_handlers()
            await self._be_witnessed(worker)

    async def _be_witnessed(self, worker: Any) -> None:
        """Have the end of this worker seen: Dask gives plugins to no nanny whose worker is just starting again."""
        if isinstance(self.work.folder, Path):
            call = dumps(partial(_witnessed, Witness(self.work.folder), f"{self.name}-witness"))
            self._asked = asyncio.ensure_future(worker.rpc(worker.nanny).run(function=call))
            self._asked.add_done_callback(lambda done: done.cancelled() or done.exception())
            # A nanny that has just begun has the plugin, and answers nobody until its worker runs.
            await asyncio.wait([self._asked], timeout=ANSWER)

    @contextmanager
    def lent(self) -> Iterator[Workspace]:
        """Lend a workspace to a task as long as it runs: its buffers are for one thread."""
        with self._lock:
            if not self._idle:
                # The plan of a copy is only read.
                self._all.append(self.work.another() if hasattr(self.work, "another") else self.work)
                self._idle.append(self._all[-1])
            work = self._idle.pop()
        try:
            yield work
        finally:
            self._idle.append(work)

    def teardown(self, worker: Any) -> None:
        """Note, where a worker is told to end, that this is no fault of the chunk it leaves."""
        if self.watch is not None:
            self.watch.stop()
        # The plan of a copy has no notes: files that are copied are not taken for what ended a worker.
        notes = [getattr(work, "note", None) for work in self._all]
        if any(note and note.trying for note in notes):
            attempts.note_end(self.work.folder, os.getpid(), None)
        # A task that nobody waits for any more may still read with the others.
        for work in self._idle:
            if hasattr(work, "close"):
                work.close()


def let_interrupts_by() -> None:
    """Have Ctrl-C do nothing here, but end programs that hooks start: a handler, unlike a mask, is not inherited."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def call(plugin: str, function: Any, args: tuple, after: Any) -> Any:
    """Run a function on the workspace of this worker; `after` only orders tasks."""
    worker: Any = get_worker()
    held = worker.plugins[plugin]
    with held.lent() as work, held.doing.task(function.__name__, number_of(args)):
        if hasattr(work, "ahead"):
            work.ahead.upcoming = partial(upcoming, worker, worker.get_current_task())
        try:
            return function(work, *args)
        except (SystemExit, KeyboardInterrupt) as e:
            # They would end the thread of the worker, and nobody would hear of the task again.
            raise Exited(f"{type(e).__name__}({', '.join(map(repr, e.args))})") from e


def upcoming(worker: Any, current: str) -> int | None:
    """Return what a worker of one thread does next, by number, of tasks like its current one (a key).

    It is only a guess: the scheduler may give that task to another worker.
    """
    # Another thread changes the list of tasks meanwhile.
    with suppress(RuntimeError, ValueError, AttributeError):
        if worker.state.nthreads == 1:
            name, _, run = current.rsplit("-", 2)
            alike = [(t.priority, t.key.rsplit("-", 2)) for t in worker.state.ready]
            waiting = [(at, int(key[1])) for at, key in alike if key[::2] == [name, run]]
            return min(waiting)[1] if waiting else None
    return None


class Exited(RuntimeError):
    """Code on a worker asked for the end of its process (``sys.exit()``), or pretended a Ctrl-C."""


class DaskRunner:
    """Submits functions of a workspace to a client."""

    def __init__(self, client: Client, plugin: str, patience: Patience, cluster: Cluster | None) -> None:
        self.client, self.plugin, self.patience, self.cluster = client, plugin, patience, cluster
        self._retries: Counter[str] = Counter()
        self._submitted: list[Any] = []

    def submit(self, function: Any, *args: Any, after: Iterable[Any] = ()) -> Any:
        """Submit a function; Dask starts it when those in `after` are done, before what was mapped earlier."""
        key = f"{function.__name__}-{uuid.uuid4().hex[:12]}"
        options = {"key": key, "pure": False, "priority": 1}
        future = self.client.submit(call, self.plugin, function, args, list(after), **options)
        future.add_done_callback(lambda _: self.patience.done())
        self._submitted.append(future)
        return future

    def map(self, function: Any, items: Iterable[Any], *, after: Iterable[Any] = ()) -> list[Any]:
        """Submit a function for each item: one message to the scheduler, not one per task."""
        arguments, run = [(item,) for item in items], uuid.uuid4().hex[:12]
        keys = [f"{function.__name__}-{_number(n, one)}-{run}" for n, one in enumerate(arguments)]
        return self.client.map(
            partial(call, self.plugin, function), arguments, after=list(after), key=keys, pure=False
        )

    def results(self, futures: Sequence[Any]) -> Iterator[Any]:
        """Yield results as they come, fetched for all that are done at once."""
        try:
            yield from self._results(list(futures))
        except ClusterLost:
            raise
        except Exception as e:
            # The cluster knows better why: its jobs are refused, or die at once.
            if (failure := self._failure()) is not None:
                raise failure from (e if e is not failure else None)
            # A hook may raise the same; then its task has failed, rather than vanished.
            if isinstance(e, NoWorkerError) or (isinstance(e, LOST) and not _failed(futures)):
                raise ClusterLost(f"{type(e).__name__}: {e}") from e
            self.client.cancel([*futures, *self._submitted])
            raise

    def _results(self, futures: list[Any]) -> Iterator[Any]:
        running = as_completed(futures, loop=self.client.loop)
        while not running.is_empty():
            if running.count() > MANY:
                time.sleep(TOGETHER)
            batch = running.next_batch(block=False)
            if not batch:
                self._wait(running)
                continue
            for result in self._gather([f for f in batch if not self._again(f, running)]):
                self.patience.done(result)
                yield result

    def _gather(self, futures: list[Any]) -> list[Any]:
        """Fetch results, but do not wait for ever: they may be held by a worker that is frozen."""
        loop: Any = self.client.loop
        fetching = asyncio.run_coroutine_threadsafe(
            self.client.gather(futures, asynchronous=True), loop.asyncio_loop
        )
        while not wait([fetching], timeout=1).done:
            if why := self.patience.ends():
                fetching.cancel()
                raise ClusterLost(why)
        return fetching.result()

    def _again(self, future: Any, running: Any) -> bool:
        """Have a task done again whose workers died more often than the cluster wants: notes tell what kills."""
        if future.status != "error" or not isinstance(future.exception(), KilledWorker):
            return False
        self._retries[future.key] += 1
        if self._retries[future.key] > MOST_DEATHS:
            return False
        future.retry()
        running.add(future)
        return True

    def _wait(self, running: Any) -> None:
        """Wait for the next result, but not for ever."""
        with running.thread_condition:
            # What was done since the last look wakes nobody.
            if not running.has_ready():
                running.thread_condition.wait(timeout=0.1)
        if (failure := self._failure()) is not None:
            raise failure
        if not running.has_ready() and (why := self.patience.ends()):
            raise ClusterLost(why)

    def _failure(self) -> Exception | None:
        """Return why the cluster cannot go on, if it knows."""
        return getattr(self.client.cluster, "failure", None)

    def tell(self, listener: Any) -> None:
        """Have a function told what workers are waiting for, if the cluster knows."""
        if hasattr(self.client.cluster, "tell"):
            self.client.cluster.tell(listener)

    def waiting(self) -> str:
        """Return what is waited for, as far as workers and cluster say it."""
        return self.patience.waiting()

    def account(self) -> dict[str, Any]:
        """Return what the cluster is, and what it cost if it knows."""
        if self.cluster:
            return _account(self.cluster)
        # That of a script of several passes: what it cost so far.
        known: Any = getattr(self.client.cluster, "accounting", dict)
        return {"kind": "a Dask client", **known()}


async def _witnessed(witness: Witness, name: str, dask_worker: Any) -> None:
    """Give a nanny its witness, if it has none of that name."""
    if name not in dask_worker.plugins:
        await dask_worker.plugin_add(witness, name)


def _number(place: int, arguments: tuple) -> int:
    """Return what a task is about, if it is a number, or else its place among the others."""
    return arguments[0] if isinstance(arguments[0], int) else place


def _failed(futures: Sequence[Any]) -> bool:
    return any(future.status == "error" for future in futures)


@contextmanager
def on_client(
    client: Client, work: Workspace, cluster: Cluster | None = None, *, stays: bool = True
) -> Iterator[Runner]:
    """Give the workers of a client the workspace, and take it away in the end if they stay."""
    name = f"dxflow-{uuid.uuid4().hex[:12]}"
    with _lost():
        if isinstance(work.folder, Path):
            client.register_plugin(Witness(work.folder), name=f"{name}-witness")
        client.register_plugin(WorkspacePlugin(work, name), name=name)
    try:
        yield DaskRunner(client, name, Patience(client, work, ours=cluster is not None), cluster)
    except ClosedClientError as e:
        raise ClusterLost("its client is closed") from e
    except ClusterLost:
        # There is nobody who would answer.
        raise
    except BaseException as e:
        # A cluster of ours that is closed at once might not even answer.
        if cluster is None or (stays and isinstance(e, Exception)):
            _unregister(client, name)
        raise
    else:
        _unregister(client, name)


@contextmanager
def _lost() -> Iterator[None]:
    """Say of a cluster that does not answer that it is lost."""
    try:
        yield
    except LOST as e:
        raise ClusterLost(f"{type(e).__name__}: {e}") from e


def _unregister(client: Client, name: str) -> None:
    if client.status == "running":
        # A worker that is just starting or ending may not have it, or be asked twice; copies have no witness.
        with suppress(KeyError, ValueError, OSError):
            client.unregister_worker_plugin(f"{name}-witness", nanny=True)
        with suppress(KeyError, OSError):
            client.unregister_worker_plugin(name)


def _account(cluster: Cluster) -> dict[str, Any]:
    """Return what a cluster is, and what it cost if it knows."""
    known: Any = getattr(cluster, "accounting", dict)
    return {"kind": cluster.describe(), **known()}


@contextmanager
def on_cluster(cluster: Cluster, work: Workspace) -> Iterator[Runner]:
    """Lend workers of a cluster for the time of a pass: those of its ``with`` block, or its own."""
    of_cluster = running(cluster)
    with of_cluster.lent(getattr(work, "plan", None)) as client:
        try:
            with on_client(client, work, cluster, stays=of_cluster.stays) as runner:
                yield runner
        except ClusterLost as e:
            raise ClusterLost(e.why, ours=True, account=_account(cluster)) from e
