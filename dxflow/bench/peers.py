"""What a user writes with EXtra-data and numpy: each process works on its share of the trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..planning.public import Plan

BATCH = 32 * 2**20
"""Bytes that are read at once of a module, at least one train: of what was tried the fastest."""


@dataclass(frozen=True)
class Share:
    """Trains ``first:last`` (positions in the run) of a key of the modules of a detector."""

    run: str
    sources: tuple[str, ...]
    key: str
    first: int
    last: int

    def modules(self) -> list[Any]:
        """Return the KeyData of each module; the run is opened once per process, before anything is timed."""
        return [opened(self.run)[source, self.key] for source in self.sources]

    def batches(self, module: Any) -> Iterator[Any]:
        """Yield the KeyData of some trains of a module after the other."""
        for first, last in self.cuts(module):
            yield module[first:last]

    def cuts(self, module: Any) -> Iterator[tuple[int, int]]:
        """Yield positions of trains, (first, last), that are read at once."""
        entries = max(1, int(module.data_counts(labelled=False).max(initial=1)))
        train = entries * int(np.prod(module.entry_shape)) * module.dtype.itemsize
        step = max(1, BATCH // max(1, train))
        for first in range(self.first, self.last, step):
            yield first, min(first + step, self.last)


def shares(plan: Plan, n: int) -> list[Share]:
    """Return the trains of a plan in `n` shares."""
    bound = next(i for i in plan.inputs if i.kind == "frames")
    edges = np.linspace(0, len(plan.train_ids), n + 1).round().astype(int).tolist()
    sources = tuple(s for s in bound.location.sources if s)
    # A run that was given as (proposal, run), or opened, is found again by its files.
    path = plan.run if Path(plan.run).exists() else str(Path(bound.location.files[0]).parent)
    # Positions count from the first train of the run, also where some trains were selected.
    edges = [n + int(np.searchsorted(opened(path).train_ids, plan.train_ids[0])) for n in edges]
    return [Share(path, sources, bound.key, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


@cache
def opened(path: str) -> Any:
    """Return a run as EXtra-data opens it, once per process."""
    import extra_data

    return extra_data.RunDirectory(path) if Path(path).is_dir() else extra_data.H5File(path)


def open_only(share: Share, *_: Any) -> int:
    """Open the run and its files, so that this is not timed with the rest."""
    return sum(module[share.first : share.first + 1].ndarray().nbytes for module in share.modules())


def read(share: Share) -> int:
    """Read into fresh arrays."""
    return sum(part.ndarray().nbytes for module in share.modules() for part in share.batches(module))


def read_into(share: Share) -> int:
    """Read into one array that is used again, ``ndarray(out=)``."""
    total = 0
    for module in share.modules():
        parts = list(share.batches(module))
        buffer = np.empty((max(p.shape[0] for p in parts), *module.entry_shape), module.dtype)
        for part in parts:
            total += part.ndarray(out=buffer[: part.shape[0]]).nbytes
    return total


def read_part(share: Share, roi: tuple[slice, ...]) -> int:
    """Read a region of each frame."""
    return sum(part.ndarray(roi=roi).nbytes for module in share.modules() for part in share.batches(module))


def moments(share: Share) -> int:
    """Make mean, variance and count of each pixel, without NaN."""
    total = 0
    for module in share.modules():
        sums = Moments()
        for part in share.batches(module):
            total += sums.add(part.ndarray())
        sums.finish()
    return total


class Moments:
    """Count, sum and sum of squares per pixel: numpy's way to a mean and variance of more than fits memory."""

    def __init__(self) -> None:
        self.count: Any = 0
        self.total: Any = 0.0
        self.squares: Any = 0.0

    def add(self, x: NDArray) -> int:
        """Add frames (frame, ss, fs); return their bytes."""
        good = ~np.isnan(x)
        clean = np.where(good, x, x.dtype.type(0))
        self.count = self.count + good.sum(axis=0, dtype=np.int32)
        self.total = self.total + clean.sum(axis=0, dtype=np.float64)
        self.squares = self.squares + np.einsum("fij,fij->ij", clean, clean, dtype=np.float64)
        return x.nbytes

    def finish(self) -> tuple[NDArray, NDArray]:
        """Return mean and variance."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total / self.count
            return mean, (self.squares - self.count * mean**2) / (self.count - 1)


def lit_pixels(share: Share, threshold: float = 0.7) -> int:
    """Count the pixels of each frame above a threshold; frame by frame, so that they stay in the cache."""
    total = 0
    for module in share.modules():
        for part in share.batches(module):
            x = part.ndarray()
            np.array([np.count_nonzero(frame > threshold) for frame in x])
            total += x.nbytes
    return total


def train_sums(share: Share) -> int:
    """Sum each frame of whole trains, fresh arrays (module, frame, ss, fs)."""
    total = 0
    for train in trains(share):
        total += train.nbytes
        frame_sums(train.swapaxes(0, 1))
    return total


def trains(share: Share) -> Iterator[NDArray]:
    """Yield trains, (module, frame, ss, fs), each a fresh array that modules are read into."""
    modules = share.modules()
    for position in range(share.first, share.last):
        parts = [m[position : position + 1] for m in modules]
        train = np.empty((len(parts), max(p.shape[0] for p in parts), *parts[0].entry_shape), parts[0].dtype)
        for part, out in zip(parts, train, strict=True):
            part.ndarray(out=out[: part.shape[0]])
        yield train


def frame_sums(train: NDArray) -> NDArray:
    """Return the sum of each frame of a train (frame, module, ss, fs), float64."""
    return np.array([frame.sum(dtype=np.float32) for frame in train], np.float64)
