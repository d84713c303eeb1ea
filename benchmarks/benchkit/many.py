"""Many workers that do nothing or sleep: a real scheduler, and real workers that share one process."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dxflow.bench.rounds import Case, Sample

if TYPE_CHECKING:
    from distributed import Client

    from dxflow.worker.workspace import Workspace


@contextmanager
def many_workers(count: int) -> Iterator[tuple[Client, float]]:
    """Lend a client of so many workers of one thread each, and the seconds until the last had come.

    The scheduler lives in this process and the workers in another one, so that each has a core: a process per worker
    would measure how 64 processes share two cores. What comes through the network is what 64 nodes would send.
    """
    import dask
    from distributed import Client, LocalCluster

    from dxflow.clusters.kinds.local import SETTINGS

    with dask.config.set(SETTINGS):
        start = time.perf_counter()
        with (
            LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=50) as cluster,
            Client(cluster, set_as_default=False) as client,
            _process(cluster.scheduler_address, count),
        ):
            client.wait_for_workers(count, timeout=120)
            yield client, time.perf_counter() - start


@contextmanager
def _process(address: str, count: int) -> Iterator[None]:
    """Run so many workers in a process."""
    # Where it finds this package, of which tasks are made.
    folder = Path(__file__).parents[1]
    process = Popen([sys.executable, "-m", __name__, address, str(count)], cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def serve(address: str, count: int) -> None:
    """Be so many workers, until the process is ended."""
    from distributed import Worker

    options: dict[str, Any] = {"nthreads": 1, "memory_limit": 0, "dashboard_address": None}
    with TemporaryDirectory() as folder:
        workers = [Worker(address, name=n, local_directory=folder, **options) for n in range(count)]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))


def sleeping(client: Client, work: Workspace, chunks: int, seconds: float) -> Case:
    """Time so many tasks that sleep, handed out and collected as chunks are."""
    from dxflow.clusters.named import connect

    def case() -> Sample:
        with connect(client, work) as runner:
            start = time.perf_counter()
            for _ in runner.results(runner.map(pause, [seconds] * chunks)):
                pass
            return Sample(time.perf_counter() - start)

    return case


def pause(work: Any, seconds: float) -> None:
    """Sleep, in place of a chunk."""
    if seconds:
        time.sleep(seconds)


if __name__ == "__main__":
    import distributed

    # It has set up its loggers when it was imported.
    logging.getLogger(distributed.__name__).setLevel(logging.CRITICAL)
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
