"""How long to wait for a cluster on which nothing gets done, and what is known of it then."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

MEDIANS = 10
LEAST = 300.0
"""Seconds without anything done that are never too long."""
FIRST = 1800.0
"""Seconds until the first chunk is done, before it is known how long one takes."""
ANSWER = 20.0
"""Seconds that a cluster may take to describe its state."""
LOOK = 5.0
"""Seconds between looks whether there are workers at all."""


class Patience:
    """Notes when something was done; time without any worker does not count."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder = client, folder
        self._seconds: list[float] = []
        self._last = self._looked = time.monotonic()

    def done(self, result: Any = None) -> None:
        """Note that a task is done, and how long it took if its result says so."""
        self._last = time.monotonic()
        if times := getattr(result, "times", None):
            self._seconds.append(times.get("wait", 0) + times.get("compute", 0) + times.get("write", 0))

    @property
    def limit(self) -> float:
        """Seconds after which something is wrong."""
        return max(MEDIANS * median(self._seconds), LEAST) if self._seconds else FIRST

    def ends(self) -> str | None:
        """Return what is wrong, None if it is too early to tell."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            if not _workers(self.client):
                self._last = now
        if now - self._last < self.limit:
            return None
        return f"nothing was done in {now - self._last:.0f} s, though there are workers. {self._state()}"

    def _state(self) -> str:
        """Leave the state of the cluster in the journal, if it answers; return where."""
        file = self.folder / time.strftime("stuck-%Y%m%d-%H%M%S")
        try:
            self.client.sync(self.client._dump_cluster_state, str(file), callback_timeout=ANSWER)
        # What is stuck may answer anything or nothing.
        except Exception as e:  # noqa: BLE001
            return f"Its scheduler does not answer ({type(e).__name__})"
        return f"Dask's own view of it is in {file}.msgpack.gz"


def _workers(client: Client) -> bool:
    """Return whether there are workers; a scheduler that does not say is taken to have some."""
    scheduler: Any = getattr(client.cluster, "scheduler", None)
    if hasattr(scheduler, "workers"):
        return bool(scheduler.workers)
    remote: Any = client.scheduler
    try:
        return bool(client.sync(remote.identity, callback_timeout=10, n_workers=1)["workers"])
    except (OSError, TimeoutError, RuntimeError):
        return True
