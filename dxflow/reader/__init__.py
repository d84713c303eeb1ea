"""From file bytes to reused buffers: which stretches of which files, read how, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..inputs import BoundInput
    from ..locate import Location


@dataclass(frozen=True)
class Span:
    """Consecutive frames of one dataset: `count` frames from `first` on go to ``out[at:at + count]``.

    Frames are counted through rows that hold several (`Location.per_entry`).
    """

    file: str
    dataset: str
    first: int
    count: int
    at: int


class ReadFault(OSError):
    """Data that could not be read, with where it is."""

    def __init__(self, file: str, dataset: str, first: int, count: int, detail: str) -> None:
        super().__init__(f"{file}: {dataset} rows {first}-{first + count - 1}: {detail}")
        self.file, self.dataset, self.first, self.count, self.detail = file, dataset, first, count, detail

    def __reduce__(self) -> tuple:
        return type(self), (self.file, self.dataset, self.first, self.count, self.detail)


class Reader(Protocol):
    """The seam between what is wanted and how it is read."""

    def read(self, location: Location, span: Span, out: NDArray) -> None:
        """Fill ``out`` (frame, ...) with the frames of a span, or raise `ReadFault`."""

    def close(self) -> None:
        """Let go of open files."""


def present(bound: BoundInput, module: int, rows: slice) -> NDArray:
    """Return which rows a module has, (row,) bool."""
    trains = bound.index.train_positions(rows)
    return (bound.index.entries(module, rows) >= 0) & (bound.location.file[module, trains] >= 0)


def spans(bound: BoundInput, module: int, rows: slice) -> Iterator[Span]:
    """Yield the stretches of files that hold these rows of a module; rows that it lacks are left out."""
    at = bound.location
    trains = bound.index.train_positions(rows)
    entry = bound.index.entries(module, rows)
    file = np.where(entry >= 0, at.file[module, trains], -1)
    line = at.first[module, trains] * at.per_entry + entry
    for start, stop in runs((file[1:] == file[:-1]) & (line[1:] == line[:-1] + 1), len(file)):
        if file[start] >= 0:
            yield Span(at.files[file[start]], at.datasets[module], int(line[start]), stop - start, start)


def runs(joined: NDArray, n: int) -> list[tuple[int, int]]:
    """Return (start, stop) of stretches of n items, given which neighbours belong together, (n - 1,) bool."""
    if n == 0:
        return []
    cuts = np.flatnonzero(~joined) + 1
    edges = [0, *cuts.tolist(), n]
    return list(zip(edges[:-1], edges[1:], strict=True))
