"""What becomes of the trains of a stream as they come: kept in pieces of one chunk each, or dropped and counted."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .account import FAST, FULL, LATE, Account, Unlike
from .bridge import Broken, Message, NoBridge, train_id, train_of
from .mapping import Group, Mapper, said
from .received import PARCEL, Form, Open, dataset

SHARE = 4
"""Chunks that fit into the memory for trains, if nobody says how many trains a chunk has."""
LONGEST = 64
"""Trains of a chunk at most, if nobody says how many."""
NEAR, AGREE = 36_000, 3
"""Ids are believed that are so near (an hour) to the one before, or when so many that follow each other are."""
PATIENCE = 5
"""Seconds in which a disk that is full at the end may get room."""


@dataclass(frozen=True)
class Asked:
    """What is to be received, and how.

    Parameters
    ----------
    endpoint, pattern : str
        See `Bridge`.
    folder, memory : str
        Where files and parcels are while it goes on, in folders of their own.
    limit : int
        Bytes of parcels at most.
    chunk : int
        Trains of a chunk: of so many ids, from multiples of that number on. 0: a power of two, by the first train with
        large arrays, and a smaller one where later trains have so many bytes that not one chunk fits.
    wait : float
        Seconds until the first train must have come.
    idle : float
        Seconds without a train after which the stream has ended; 0: it has no end.
    names, axes : mapping
        See `Mapper`.
    """

    endpoint: str
    pattern: str
    folder: str
    memory: str
    limit: int
    chunk: int = 0
    wait: float = 60
    idle: float = 0
    names: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass
class Report:
    """What the process says of itself, several times a second.

    Attributes
    ----------
    chunk : int
        Trains of a chunk, as it is now; 0 before the first train.
    connected : bool
    silent : float
        Seconds since the last train, or since the start.
    in_use : int
        Bytes of parcels.
    waiting : str
        What it waits for, if that is not the next train.
    """

    account: Account
    chunk: int
    connected: bool
    silent: float
    in_use: int
    waiting: str
    orders: tuple[str, ...]
    refused: Mapping[str, str]
    unlike: Mapping[str, Unlike]
    unused: tuple[str, ...] = ()
    """Sources that options name, and that never came."""


class Receiver:
    """Takes trains, and keeps them in pieces of one chunk each."""

    def __init__(self, asked: Asked, files: Path, parcels: Path, say: Any) -> None:
        self.asked, self._files, self._parcels, self._say = asked, files, parcels, say
        self.account, self._mapper, self._form = Account(), Mapper(asked.names, asked.axes), Form()
        self.chunk = asked.chunk
        self._held: dict[int, int] = {}
        """Bytes of parcels that are not freed, by number."""
        self._open: Open | None = None
        self._number = self._block = 0
        self._stuck, self._tried = "", 0.0
        self._before: int | None = None
        """The id that came last, and was believed."""
        self._doubted: list[int] = []
        self._largest, self._measured = 0, False
        """Bytes of the largest train that fits, and whether any had large arrays."""
        self.last = time.monotonic()

    @property
    def in_use(self) -> int:
        """Bytes of parcels."""
        return sum(self._held.values()) + (self._open.nbytes if self._open else 0)

    @property
    def has_room(self) -> bool:
        """Whether a train is likely to find room; where only it would help that the chunk ends, the answer is yes."""
        return not self._stuck and (self.in_use + self._largest <= self.asked.limit or not self._held)

    @property
    def stuck(self) -> str:
        """Why nothing can be kept; "" if it can."""
        return self._stuck

    def take(self, message: Message) -> None:
        """Keep the train of a message, or count why not."""
        self.account.nbytes += message.nbytes
        try:
            train = train_of(message, self._mapper.is_detector)
            self._believe(train)
        except Broken as e:
            self.broken(e)
            return
        self.last = time.monotonic()
        if not self.account.ids.add(train):
            self.account.repeated += 1
            return
        groups, unlike = self._accepted(self._mapper.train(_of_train(message, train)))
        nbytes = sum(
            a.nbytes
            for p, g in groups.items()
            for k, a in g.values.items()
            if self._form.keeps(dataset(p, k))
        )
        if nbytes <= self.asked.limit:
            self._largest = max(self._largest, nbytes)
        self._decide(nbytes)
        if (why := self._refusal(train, nbytes)) is None:
            why = self._keep(train, _timestamp(message), groups)
        if why is not None:
            self.account.drop(train, why)
        else:
            self.account.kept += 1
            self._form.left_out(train, unlike)
            for held in self._form.held.values():
                held.kept()
        if why != LATE:
            self._form.hold(train, groups, kept=why is None)

    def _believe(self, train: int) -> None:
        """Believe the id of a train, or not: some messages have wrong ones.

        Raises
        ------
        Broken
            If it is far from the one before, and not the third in a row of others.
        """
        if self._before is not None and abs(train - self._before) > NEAR:
            if not self._doubted or not 0 < abs(train - self._doubted[-1]) <= NEAR:
                self._doubted = []
            self._doubted.append(train)
            if len(self._doubted) < AGREE:
                raise Broken(f"its train id {train} is far from {self._before}, that of the train before")
            self._forget()
        self._before, self._doubted = train, []

    def _forget(self) -> None:
        """Forget the first trains, of which the ids were wrong, as far as that can be."""
        if self._held or self._stuck or self.account.came >= AGREE:
            return
        if self._open is not None:
            self._open.discard()
        wrong, self._open, self._block = self.account.came, None, 0
        self.account = Account(
            broken=self.account.broken + wrong, why=self.account.why, nbytes=self.account.nbytes
        )
        self._form.held.clear()

    def broken(self, why: object) -> None:
        """Count a message that is no train."""
        self.account.broken += 1
        self.account.why = str(why)

    def _accepted(self, groups: Mapping[str, Group]) -> tuple[dict[str, Group], dict[str, str]]:
        """Return groups that are as before, and why others are left out."""
        kept: dict[str, Group] = {}
        unlike: dict[str, str] = {}
        for place, group in groups.items():
            fitting, why = self._form.accept(place, group)
            if fitting is not None:
                kept[place] = fitting
            elif why:
                unlike[place] = why
        return kept, unlike

    def _decide(self, nbytes: int) -> None:
        """Decide how many trains a chunk has: by the first one with large arrays, and again where not one chunk fits.

        Raises
        ------
        NoBridge
            If two of the chunks that were asked for do not fit, or not one train does. Not once there is something to
            lose: trains are dropped then, and counted.
        """
        # Without large arrays any number fits.
        self.chunk = self.chunk or LONGEST
        if not nbytes or (self._measured and not self._outgrown(nbytes)):
            return
        fit, begins = self.asked.limit // max(nbytes, self._largest), self._number <= 1 and not self._held
        if not fit and not begins:
            return
        if not fit:
            raise NoBridge(
                f"a train has {nbytes} bytes, more than the {self.asked.limit} bytes that trains may take in memory "
                "(--buffer): give more"
            )
        if self.asked.chunk and 2 * self.chunk > fit and begins:
            raise NoBridge(
                f"a chunk of {self.chunk} trains has {self.chunk * nbytes} bytes, and two of them do not fit into the "
                f"{self.asked.limit} bytes that trains may take in memory (--buffer): give more, or a smaller --chunk"
            )
        self._measured = True
        if not self.asked.chunk:
            self._shorten(max(1, fit // SHARE))

    def _outgrown(self, nbytes: int) -> bool:
        """Return whether the piece that is open is to end, as it alone leaves no room for a train that would fit."""
        alone = self._open is not None and not self._held and not self.asked.chunk
        return alone and nbytes <= self.asked.limit < self.in_use + nbytes

    def _shorten(self, most: int) -> None:
        """Have chunks of a power of two of trains from now on, and so many at most."""
        before = self.chunk
        while self.chunk > most:
            self.chunk //= 2
        # No chunk is in two pieces: that of the last train goes on, and those before have ended.
        self._block *= before // self.chunk
        if self._open is not None and self._open.trains:
            self._block = max(self._open.trains) // self.chunk

    def _refusal(self, train: int, nbytes: int) -> str | None:
        """Return why a train is dropped, None if it is not; end the piece before, if it is of a later one."""
        if self._stuck:
            return FULL
        block = train // self.chunk
        if block < self._block:
            return LATE
        if block > self._block:
            # Also where this one is dropped: the memory of what is open is given back only when that has ended.
            self.close()
            self._block = block
            if self._stuck:
                return FULL
        if self.in_use + nbytes > self.asked.limit:
            return FAST if self._held else FULL
        return None

    def _keep(self, train: int, timestamp: int, groups: Mapping[str, Group]) -> str | None:
        """Keep a train; return why that was not possible."""
        if self._open is None:
            self._number += 1
            self._open = Open(self._number - 1, self._parcels, self._form)
        try:
            self._open.add(train, timestamp, groups)
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not self._open.trains:
                self._open.discard()
                self._open = None
            return FULL
        return None

    def close(self) -> None:
        """End the piece that is open, and hand it over; if the disk is full it is tried again."""
        if self._open is None:
            return
        self._tried = time.monotonic()
        try:
            piece = replace(self._open.close(self._files), chunk=self.chunk)
        except OSError as e:
            self._stuck = f"{self._files}: {e.strerror or e}"
            return
        self._stuck, self._open = "", None
        self._held[piece.number] = piece.nbytes
        self._say(piece)

    def again(self) -> None:
        """Try once more what a full disk did not let happen."""
        if self._stuck and time.monotonic() > self._tried + 1:
            self.close()

    def finish(self) -> None:
        """End the last piece; if the disk stays full its trains are lost, and counted."""
        for _ in range(PATIENCE):
            self.close()
            if not self._stuck:
                return
            time.sleep(1)
        if self._open is not None:
            for train in self._open.trains:
                self.account.drop(train, FULL)
            self.account.kept -= len(self._open.trains)
            self._open.discard()
            self._open = None

    def told(self, word: str, what: Any) -> None:
        """Do what the parent says: give memory back, or keep some large datasets no more."""
        if word == "free":
            self._free(what)
        elif word == "unread":
            self._form.unread = {*what}
            self._largest = 0

    def _free(self, number: int) -> None:
        """Give the memory of a piece back, also if somebody has its parcel open."""
        if self._held.pop(number, None) is not None:
            path = self._parcels / PARCEL.format(number)
            with suppress(FileNotFoundError):
                os.truncate(path, 0)
                path.unlink()

    def report(self, connected: bool) -> Report:
        """Return how it stands."""
        waiting = self._stuck or ("" if connected else f"there is no connection to {self.asked.endpoint}")
        return Report(
            self.account,
            self.chunk,
            connected,
            time.monotonic() - self.last,
            self.in_use,
            waiting,
            tuple(said(self._mapper.orders.values())),
            dict(self._mapper.refused),
            dict(self._form.unlike),
            tuple(sorted(self._mapper.unused)),
        )


def _of_train(message: Message, train: int) -> dict[str, Mapping[str, Any]]:
    """Return the sources of a message that have this train, or say none, or are set now and then."""
    ids = {source: train_id(message.meta.get(source, {})) for source in message.data}
    return {
        s: v for s, v in message.data.items() if ids[s] in (train, None) or ":" not in s and "/DET/" not in s
    }


def _timestamp(message: Message) -> int:
    """Return when a train was, in nanoseconds since 1970; 0 if no source says it."""
    for meta in message.meta.values():
        sec, frac = str(meta.get("timestamp.sec")), str(meta.get("timestamp.frac"))
        with suppress(TypeError, ValueError, OverflowError):
            # The fraction counts attoseconds.
            found = int(sec) * 10**9 + int(frac.ljust(18, "0")[:9])
            if 0 < found < 2**63:
                return found
    return 0
