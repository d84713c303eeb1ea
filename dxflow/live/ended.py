"""Versions of a result that have ended: what comes of their trains later is in no result, and that is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..run.losses import Loss
from .frontier import File, Stream

CAUSE = "came after its version"


@dataclass(frozen=True)
class Ended:
    """A version that has ended.

    Parameters
    ----------
    name : str
        Of its result.
    first, last : int
        Ids of the trains that belong to it.
    files : frozenset of str
        Paths of what there was of the run.
    """

    name: str
    first: int
    last: int
    files: frozenset[str]

    def missed(self, stream: str, file: File) -> Loss | None:
        """Return what of its trains is in a file of an aggregator that it did not have, None if nothing is."""
        ids = file.trains[(file.trains >= self.first) & (file.trains <= self.last)]
        if file.path in self.files or not len(ids):
            return None
        words = f"in no result, as {self.name} was final; made again with its configuration it has them"
        return Loss(
            CAUSE,
            0,
            len(np.unique(ids)),
            int(ids.min()),
            int(ids.max()),
            stream,
            file=file.path,
            detail=words,
        )


class Missed:
    """What came of trains whose version was final: file by file."""

    def __init__(self) -> None:
        self._versions: list[Ended] = []
        self._known: set[str] = set()
        self._losses: dict[str, list[Loss]] = {}

    def ended(self, version: Ended) -> None:
        """Note that a version has ended."""
        self._versions.append(version)
        self._known.clear()

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What is in no result."""
        return tuple(one for several in self._losses.values() for one in several)

    @property
    def trains(self) -> int:
        """How many trains that is, aggregator by aggregator."""
        return sum(one.trains for one in self.losses)

    def look(self, streams: Iterable[Stream]) -> list[Loss]:
        """Look through the closed files of aggregators that are read; return what is new and in no result."""
        new: list[Loss] = []
        for stream in streams if self._versions else ():
            for file in stream.closed:
                if file.path not in self._known:
                    self._known.add(file.path)
                    new += self._take(stream.name, file)
        return new

    def _take(self, stream: str, file: File) -> list[Loss]:
        before = self._losses.get(file.path, [])
        found = [loss for one in self._versions if (loss := one.missed(stream, file)) is not None]
        if found:
            self._losses[file.path] = found
        return [loss for loss in found if loss not in before]
