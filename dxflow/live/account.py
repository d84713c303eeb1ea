"""What became of the trains of a stream: kept, dropped and why, or never received, as gaps of train ids tell."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from ..run.losses import Loss

FAST, LATE, FULL = "dropped: faster than the work", "dropped: came late", "dropped: no room"
"""Why trains are dropped: the memory had trains that are worked on, their chunk was done, the disk was full.

The last one also where what is in memory is not worked on: a chunk has more bytes than there may be."""
NOT_RECEIVED = "not received"
UNLIKE = "another form"
"""Of a source that changed its type or shape."""


class Ids:
    """A set of whole numbers, most of which are neighbours."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        n = bisect_right(self._starts, number) - 1
        return n >= 0 and number < self._stops[n]

    @property
    def first(self) -> int:
        """The lowest."""
        return self._starts[0]

    @property
    def last(self) -> int:
        """The highest."""
        return self._stops[-1] - 1

    def add(self, number: int) -> bool:
        """Add a number; return whether it is new."""
        if number in self:
            return False
        n = bisect_right(self._starts, number)
        before = n > 0 and self._stops[n - 1] == number
        after = n < len(self._starts) and self._starts[n] == number + 1
        if before and after:
            self._stops[n - 1] = self._stops.pop(n)
            del self._starts[n]
        elif before:
            self._stops[n - 1] = number + 1
        elif after:
            self._starts[n] = number
        else:
            self._starts.insert(n, number)
            self._stops.insert(n, number + 1)
        self._count += 1
        return True


@dataclass
class Dropped:
    """Trains that were dropped for one reason."""

    trains: int = 0
    first: int = 0
    last: int = 0

    def add(self, train: int) -> None:
        """Count a train."""
        self.first = min(self.first or train, train)
        self.last, self.trains = max(self.last, train), self.trains + 1


@dataclass
class Unlike(Dropped):
    """Trains in which a source came in another form than before, and is left out."""

    why: str = ""
    """What was the matter the first time."""


@dataclass
class Account:
    """Trains by their ids: from the first to the last that came, each is kept, dropped or was not received.

    Attributes
    ----------
    kept : int
    dropped : dict
        Cause -> trains.
    repeated, broken : int
        Messages with a train that had come before, and those that had none or could not be read.
    why : str
        What was the matter with the last broken message.
    nbytes : int
        Of all messages.
    """

    kept: int = 0
    dropped: dict[str, Dropped] = field(default_factory=dict)
    repeated: int = 0
    broken: int = 0
    why: str = ""
    nbytes: int = 0
    ids: Ids = field(default_factory=Ids)

    @property
    def came(self) -> int:
        """Trains that came, each once."""
        return len(self.ids)

    @property
    def sent(self) -> int:
        """Trains from the first to the last that came, as their ids count them."""
        return self.ids.last - self.ids.first + 1 if self.came else 0

    @property
    def not_received(self) -> int:
        """Trains in between that did not come."""
        return self.sent - self.came

    def drop(self, train: int, cause: str) -> None:
        """Count a train that came and is not kept."""
        self.dropped.setdefault(cause, Dropped()).add(train)

    @property
    def trains_dropped(self) -> int:
        """How many, for whatever reason."""
        return sum(one.trains for one in self.dropped.values())

    def losses(self, endpoint: str) -> tuple[Loss, ...]:
        """Return what is missing, as results say it."""
        found = [
            Loss(cause, 0, one.trains, one.first, one.last, endpoint)
            for cause, one in sorted(self.dropped.items())
        ]
        if self.not_received:
            ids = self.ids
            detail = "gaps between the ids of trains that came"
            found.append(
                Loss(NOT_RECEIVED, 0, self.not_received, ids.first, ids.last, endpoint, detail=detail)
            )
        if self.broken:
            found.append(
                Loss("broken messages", 0, 0, 0, 0, endpoint, detail=f"{self.broken}, such as: {self.why}")
            )
        if self.repeated:
            found.append(
                Loss("came twice", 0, 0, 0, 0, endpoint, detail=f"{self.repeated} trains; the first counts")
            )
        return tuple(found)

    def __str__(self) -> str:
        parts = [f"{self.sent} trains sent", f"{self.kept} used"]
        parts += [f"{one.trains} {cause}" for cause, one in sorted(self.dropped.items())]
        parts += [f"{self.not_received} {NOT_RECEIVED}"] if self.not_received else []
        return ", ".join(parts)
