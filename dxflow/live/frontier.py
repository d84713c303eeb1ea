"""Which trains of a run that grows are complete: all files that are needed have them, or were waited for long enough.

What writes files, an aggregator, is a stream of sequences. A stream that lags is waited for once, for some time: then
it is not waited for until it has caught up with the others, and what comes of it late is taken in when it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NONE = -1
"""Stands for the last train of what has none."""


@dataclass(frozen=True, eq=False)
class File:
    """A closed file: its trains, and when it was seen to be closed."""

    path: str
    trains: NDArray
    since: float

    @property
    def last(self) -> int:
        """Its last train, NONE if it has none."""
        return int(self.trains.max()) if len(self.trains) else NONE


@dataclass
class Stream:
    """The sequences of an aggregator; those that are not closed yet are None."""

    name: str
    files: dict[int, File | None] = field(default_factory=dict)
    waited: tuple[int, float] | None = None
    """For which of its chunks others wait, and since when."""
    lagging: bool = False
    skipped: set[int] = field(default_factory=set)
    """Sequences that nobody waits for any more."""

    @property
    def closed(self) -> list[File]:
        """Its closed files."""
        return [file for file in self.files.values() if file is not None]

    @property
    def furthest(self) -> int:
        """The last train of all."""
        return max((file.last for file in self.closed), default=NONE)

    def next(self, first: int) -> int:
        """Return the first sequence that is not there."""
        number = first
        while self.files.get(number) is not None or number in self.skipped:
            number += 1
        return number

    def reach(self, first: int) -> int:
        """Return the last train up to which all is there, from a first sequence on."""
        if self.lagging:
            return self.furthest
        end = self.next(first)
        return max((file.last for n, file in self.files.items() if file and n < end), default=NONE)

    def caught_up(self, first: int) -> None:
        """Have it waited for again, but not for what it left out."""
        self.lagging, self.waited = False, None
        there = [n for n, file in self.files.items() if file is not None]
        self.skipped |= set(range(first, max(there, default=first))) - set(there)


class Frontier:
    """How far the streams of a run have come.

    Parameters
    ----------
    step : int
        Train ids of a chunk: chunks begin at its multiples.
    wait : float
        Seconds that the others wait for a stream that lags.
    """

    def __init__(self, step: int, wait: float) -> None:
        self.step, self.wait = step, wait
        self.streams: dict[str, Stream] = {}
        self.unneeded: set[str] = set()

    def note(self, name: str, sequence: int, file: File | None) -> None:
        """Note a file of a stream: closed with its trains, or None if it is still being written."""
        self.streams.setdefault(name, Stream(name)).files[sequence] = file

    @property
    def needed(self) -> list[Stream]:
        """The streams that are read, as far as that is known."""
        return [one for name, one in self.streams.items() if name not in self.unneeded]

    @property
    def _first(self) -> int:
        return min((n for one in self.streams.values() for n in one.files), default=0)

    def complete(self, now: float) -> int:
        """Return the id at which the last complete chunk ends, -1 if none is; note who lags behind.

        There may be no train of this id.
        """
        first, needed = self._first, self.needed
        lead = self._chunks(max((one.furthest for one in needed), default=NONE))
        front = min((one.reach(first) for one in needed if not one.lagging), default=NONE)
        for one in needed:
            reach = one.reach(first)
            if one.lagging and (reach >= front > NONE or self._chunks(reach) >= lead):
                one.caught_up(first)
            self._wait_for(one, self._chunks(one.reach(first)), lead, now)
        kept = [one.reach(first) for one in needed if not one.lagging]
        return self._chunks(min(kept, default=NONE)) * self.step - 1

    def _chunks(self, train: int) -> int:
        """Return how many chunks, from id 0 on, end with a train or before it."""
        return (train + 1) // self.step

    def _wait_for(self, one: Stream, chunks: int, lead: int, now: float) -> None:
        """Note whether a stream is waited for, and whether that was for long enough."""
        if one.lagging:
            return
        if chunks >= lead:
            one.waited = None
        elif one.waited is None or one.waited[0] != chunks:
            one.waited = chunks, now
        elif now - one.waited[1] >= self.wait:
            one.lagging, one.waited = True, None

    def waiting(self, now: float) -> str:
        """Return in words which streams are waited for, "" if none is behind the others."""
        behind = [one for one in self.needed if one.waited is not None]
        if not behind:
            return ""
        named = ", ".join(f"{one.name}-S{one.next(self._first):05d}" for one in behind[:3])
        more = f" and {len(behind) - 3} more" if len(behind) > 3 else ""
        since = min(one.waited[1] for one in behind if one.waited is not None)
        return f"{named}{more}, which others are ahead of, for {now - since:.0f} s of {self.wait:.0f} s"

    def last(self) -> int:
        """Return the last train of all that is closed, NONE if there is none."""
        return max((one.furthest for one in self.streams.values()), default=NONE)

    def files(self) -> Iterator[File]:
        """Yield all closed files."""
        for one in self.streams.values():
            yield from one.closed

    def after(self, train: int) -> tuple[int, float]:
        """Return how many trains come after one, and since when the first of their files is there."""
        ids: set[int] = set()
        since = np.inf
        for one in self.needed:
            for file in one.closed:
                if file.last > train:
                    ids.update(file.trains[file.trains > train].tolist())
                    since = min(since, file.since)
        return len(ids), float(since)
