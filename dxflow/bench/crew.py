"""Processes that do their shares of some work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from .rounds import Sample


class Crew:
    """The worker processes of a Dask client, each given one share: what dxflow runs on, its peers run on as well.

    Parameters
    ----------
    client : distributed.Client
        With one thread per worker.
    addresses : list of str, optional
        Of the workers; all by default.
    """

    def __init__(self, client: Any, addresses: list[str] | None = None) -> None:
        self.client = client
        self.addresses = addresses or sorted(client.scheduler_info(n_workers=-1)["workers"])

    def time(self, function: Callable[..., int], shares: Sequence[Any], *args: Any) -> Sample:
        """Run ``function(share, *args)``, which returns bytes, on all workers; time from first start to last end.

        The clock is that of the machine, read by the workers: Dask's own time does not count.
        """
        futures = [
            self.client.submit(timed, function, share, *args, workers=[address], pure=False)
            for share, address in zip(shares, self.addresses, strict=True)
        ]
        done = self.client.gather(futures)
        seconds = max(stop for _, stop, _ in done) - min(start for start, _, _ in done)
        return Sample(seconds, sum(n for _, _, n in done))


def timed(function: Callable[..., int], *args: Any) -> tuple[float, float, int]:
    """Return start, end and what the function returns."""
    start = perf_counter()
    n = function(*args)
    return start, perf_counter(), n


class Apart:
    """A process of its own for libraries that start processes themselves; lives until `close`."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function there and return what it returns."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        return self._pool.submit(function, *args).result()

    def close(self, last: Callable[..., Any], *args: Any) -> None:
        """Run a last function there, if anything ran there, and end the process."""
        if self._pool is not None:
            self.run(last, *args)
            self._pool.shutdown()
            self._pool = None
