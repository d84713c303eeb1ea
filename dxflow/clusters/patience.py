"""How long to wait for a cluster on which nothing gets done, and what is known of it then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..deaths import notes as attempts
from ..deaths import watch

if TYPE_CHECKING:
    from distributed import Client

LEAST = 150.0
"""Seconds without anything done, and without a sign that anything is being done, after which a cluster is lost."""
FOREIGN = 1800.0
"""The same for a client of the user, whose workers may have other things to do."""
ANSWER = 20.0
"""Seconds that a cluster may take to describe its state."""
LOOK = 5.0
"""Seconds between looks whether there are workers, and at their signs of life."""
LATE = 30.0
"""Seconds since the last look after which this process itself was stopped, rather than busy."""
MUTE = 40.0
"""Seconds after which a worker that gave signs of life is said to give none."""
IDLE = 10.0
"""Seconds without anything done after which signs of life are looked for."""
SHOWN = 3
"""Of what is waited for, how much is said in one line."""
TASKS = {
    "run_chunk": "chunk {}",
    "run_part": "chunk {}",
    "run_chunks": "some chunks from {} on",
    "merge": "merging part {}",
    "finalize": "finalizing part {}",
    "_write_pieces": "writing the result",
    "copy_file": "copying file {}",
}
"""What tasks are called, by their functions."""


class Patience:
    """Notes when something was done, or is being done; time without any worker does not count."""

    def __init__(self, client: Client, work: Any, *, ours: bool = True) -> None:
        self.client, self.work, self.ours = client, work, ours
        # The plan of a copy has a folder of its own kind.
        self.folder: Path = getattr(work.folder, "partial", work.folder)
        self._signs: dict[tuple[str, int], tuple[int, float]] = {}
        """The last sign of each worker, and when it was first seen here: clocks of nodes differ."""
        self._sizes: dict[str, int] = {}
        self._last = self._looked = time.monotonic()

    def done(self, result: Any = None) -> None:
        """Note that a task is done."""
        self._last = time.monotonic()

    def ends(self) -> str | None:
        """Return what is wrong, None if it is too early to tell."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            # This process, too, may have been stopped for a while.
            stopped = now - self._looked > LATE
            self._looked = now
            idle = now - self._last >= min(IDLE, self._limit / 2)
            if stopped or (idle and self._signs_of_life(now)) or not _workers(self.client):
                self._last = now
        if now - self._last < self._limit:
            return None
        return (
            f"nothing was done in {now - self._last:.0f} s, though there are workers, and none of them says "
            f"that it is at work. {self._state()}"
        )

    @property
    def _limit(self) -> float:
        return LEAST if self.ours else FOREIGN

    def _signs_of_life(self, now: float) -> bool:
        """Return whether any worker has given a sign since the last look, or any file has grown."""
        before, self._sizes = self._sizes, _sizes(self.folder)
        return any([*(self._new(sign, now) for sign in watch.signs(self.folder)), self._sizes != before])

    def _new(self, sign: Mapping[str, Any], now: float) -> bool:
        key = sign["host"], sign["pid"]
        if self._signs.get(key, (0, 0.0))[0] == sign["signs"]:
            return False
        self._signs[key] = sign["signs"], now
        return True

    # For people -------------------------------------------------------------------------------------

    def waiting(self) -> str:
        """Return what is waited for: chunk, trains, hook, worker; empty if nothing is known."""
        if not _workers(self.client):
            return NOBODY_OURS if self.ours else NOBODY
        lines = [line for sign in watch.signs(self.folder) for line in self._lines(sign)]
        lines += self._mute()
        if not lines:
            return "nothing is said by the workers: they are about to begin, or the cluster is stuck"
        more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        return "; ".join(lines[:SHOWN]) + more

    def _lines(self, sign: Mapping[str, Any]) -> list[str]:
        who = named(sign)
        seen = self._signs.get((sign["host"], sign["pid"]))
        if seen is None or time.monotonic() - seen[1] > MUTE:
            # Of another start, or mute: `_mute` tells of what it was doing.
            return []
        return [doing(one, who, self.work) for one in sign["what"]]

    def _mute(self) -> list[str]:
        """Return the chunks that were begun by workers that give no sign of life."""
        now = time.monotonic()
        heard = {key for key, (_, when) in self._signs.items() if now - when <= MUTE}
        running = attempts.running(self.folder)
        return [
            f"{_begun(self.work, number, note)} on {named(note)}, which gives no sign of life"
            for number, note in running
            if (note["host"], note["pid"]) not in heard and time.time() - note["began"] > MUTE
        ]

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


NOBODY = (
    "there are no workers: the cluster of this client has none. Start some (client.cluster.scale(4), or "
    "dask worker ADDRESS); work begins with the first"
)
NOBODY_OURS = "there are no workers: they are starting, or ended and are not back yet"


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a folder; those that are just being renamed are left out."""
    found = {}
    for path in folder.glob("*"):
        try:
            found[path.name] = path.stat().st_size
        except OSError:
            continue
    return found


def named(sign: Mapping[str, Any]) -> str:
    """Return who gave a sign of life."""
    return f"{sign['host']}:{sign['pid']}" + (f" (job {sign['job']})" if sign["job"] else "")


def doing(one: Mapping[str, Any], who: str, work: Any) -> str:
    """Return in words what a worker is doing, and since when."""
    name, item = TASKS.get(one["task"], one["task"]), one["item"]
    trains = f" ({of_trains(work, item)})" if TASKS.get(one["task"]) == TASKS["run_chunk"] else ""
    what = f"{name.format(item)}{trains} on {who} for {one['seconds']:.0f} s"
    if "hook" in one:
        return f"{what}: {one['hook']}, for {one['in_hook']:.0f} s"
    return f"{what}: no hook runs, it reads or writes"


def _begun(work: Any, number: int, note: Mapping[str, Any]) -> str:
    """Return what was begun: a chunk, or a hook that sees no train."""
    trains = of_trains(work, number)
    return note["attempt"]["what"] if trains == "no train" else f"chunk {number} ({trains})"


def of_trains(work: Any, number: int) -> str:
    """Return the trains of a chunk; after chunks come the stretches whose modules are put together."""
    plan = getattr(work, "plan", None)
    if plan is None:
        return "no trains"
    if number >= len(plan.chunks) + len(plan.stretches):
        return "no train"
    chunk = (*plan.chunks, *plan.stretches)[number]
    first, last = plan.train_ids[chunk.first], plan.train_ids[chunk.last - 1]
    return f"train {first}" if first == last else f"trains {first}-{last}"
