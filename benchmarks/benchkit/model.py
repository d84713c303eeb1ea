"""A model of how long a reduction takes on many workers, from seconds that were measured on few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from dxflow.driver.merges import FAN_IN

HEAD = (
    "nodes",
    "workers",
    "start",
    "chunks",
    "merge",
    "finish",
    "total s",
    "speed-up",
    "efficiency",
    "bound by",
)
ASSUMPTIONS = """\
Model, not measurement. It assumes: a worker as fast as one here that reads from memory, up to what --node-reads and
--filesystem allow; chunks of equal length, which end at the same time; a queue that starts all jobs at once; one
scheduler that hands out one chunk after the other, in the time measured with workers that do nothing; each level of
the merge tree waits for the one before; partials are written and read as fast as here; nobody dies."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of a reduction."""

    chunk: float
    """A worker needs for a chunk."""
    handing: float
    """The scheduler and the driver need for a task, one after the other."""
    merge: float
    """A worker needs to merge `FAN_IN` partials."""
    finish: float
    """Finalizing and writing the result."""
    start: float
    """Starting the first worker."""
    join: float
    """For each worker more."""
    chunk_bytes: int = 0
    node: float = 0.0
    """Bytes per second that a node can read; 0: no limit."""
    filesystem: float = 0.0
    """Bytes per second that all nodes together can read; 0: no limit."""


@dataclass(frozen=True)
class Prediction:
    """Seconds of a reduction on so many workers."""

    workers: int
    start: float
    chunks: float
    merge: float
    finish: float
    bound: str

    @property
    def total(self) -> float:
        """All of them."""
        return self.start + self.chunks + self.merge + self.finish


def predict(costs: Costs, chunks: int, workers: int, nodes: int = 1) -> Prediction:
    """Return how long a reduction of so many chunks takes."""
    size = chunks * costs.chunk_bytes
    limits = {
        "too few chunks" if chunks < 2 * workers else "the workers": ceil(chunks / workers) * costs.chunk,
        "the scheduler": chunks * costs.handing,
        "reading of nodes": size / costs.node / nodes if costs.node else 0.0,
        "the file system": size / costs.filesystem if costs.filesystem else 0.0,
    }
    bound = max(limits, key=lambda name: limits[name])
    slowest = max(seconds for name, seconds in limits.items() if name != "the scheduler")
    # Equal chunks end at the same time: the scheduler's time is not hidden behind theirs.
    seconds = slowest + limits["the scheduler"]
    start, merge = costs.start + workers * costs.join, _merging(costs, chunks, workers)
    outside = start + merge + costs.finish
    return Prediction(
        workers, start, seconds, merge, costs.finish, bound if seconds > outside else "start and end"
    )


def _merging(costs: Costs, nodes: int, workers: int) -> float:
    """Return the seconds of the merge tree, level by level."""
    seconds = 0.0
    while nodes > 1:
        nodes = ceil(nodes / FAN_IN)
        seconds += max(ceil(nodes / workers) * costs.merge, nodes * costs.handing)
    return seconds


def predictions(
    costs: Costs, chunks: int, per_node: int, nodes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
) -> list[dict[str, Any]]:
    """Return a row for each number of nodes; speed-up and efficiency count from one node."""
    found = [(n, predict(costs, chunks, n * per_node, n)) for n in nodes]
    one = found[0][1].total
    return [
        {
            "nodes": n,
            **asdict(p),
            "total": p.total,
            "speed-up": one / p.total,
            "efficiency": one / p.total / n,
        }
        for n, p in found
    ]


def text(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a table."""
    keys = ("nodes", "workers", "start", "chunks", "merge", "finish", "total", "speed-up", "efficiency")
    cells = [
        HEAD,
        *(
            tuple(f"{row[k]:.3g}" if isinstance(row[k], float) else str(row[k]) for k in keys)
            + (row["bound"],)
            for row in rows
        ),
    ]
    widths = [max(len(c[i]) for c in cells) for i in range(len(HEAD))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells)
