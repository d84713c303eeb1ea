"""Sending: what is written to Redis for a snapshot, as one transaction, and what must not be overwritten there."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from operator import methodcaller
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..driver.result import open_result
from .blocks import Block, Entry, Stream
from .layout import FORMAT, VALUE, Keys, dumped, packed
from .shares import Shares, wanted_trains

if TYPE_CHECKING:
    from redis.client import Pipeline

    from .address import Address
    from .observers import Snapshot

HELD = 60
"""Seconds after which a name is free when its process has died."""
HEAD = ("version", "snapshot", "first", "last", "rows")
"""What entries of streams have beside their values."""
REFUSED = "the key {} is there and not of this feedback; remove it, or choose another name, with ?name=..."
Todo = Callable[[Any], Any]
"""What is done with a pipeline."""
ALIVE = 3600
"""Seconds that all else stays then, if it is to be removed at the end."""


class Refused(Exception):  # noqa: N818 - it says what was done
    """What is on the server is not to be overwritten."""


class Sender:
    """Writes the feedback of a run: snapshots by one thread, how it goes by another, which does not wait for them.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        self._address, self._client, self._keys = address, address.client(), Keys(address.name)
        self._me = f"{socket.gethostname()} {os.getpid()} {uuid4().hex}"
        self._session = ""
        """Of what is on the server now: another one after each new beginning."""
        self._sent, self._renewed = 0, 0.0
        self._version = 0
        self._streams: dict[str, Stream] = {}
        self._talking = threading.Lock()
        """Held while something is written, not while it is read from a snapshot and packed."""

    def hold(self, about: Mapping[str, Any]) -> bool:
        """Take the name, or keep it; begin anew where what was written before is not there any more.

        Returns
        -------
        bool
            Whether it was begun anew: nothing of any snapshot is there.

        Raises
        ------
        Refused
            If another live run has it, or something else has its keys.
        redis.exceptions.RedisError
            If the server is not there, or does not do it.
        """
        with self._talking:
            self._take_name()
            if not self._session or not self._is_there():
                self._begin(about)
                return True
            if time.monotonic() - self._renewed > HELD / 2:
                self._renew()
            return False

    def _take_name(self) -> None:
        client, keys = self._client, self._keys
        if not client.set(keys.owner, self._me, nx=True, ex=HELD):
            held: Any = client.get(keys.owner)
            if held is None or held != self._me.encode():
                who = "somebody" if held is None else held.decode(errors="replace").rpartition(" ")[0]
                raise Refused(
                    f"another live run ({who}) publishes under this name; give this one another, with ?name=... (where "
                    "that one has died its name is free within a minute)"
                )
            client.expire(keys.owner, HELD)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write what a snapshot has: new rows, all totals, all provisional rows; all of it or nothing."""
        # If it cannot be read, what was written before is as it was.
        anew = self._version not in (0, snapshot.version)
        streams: dict[str, Stream] = {} if anew else deepcopy(self._streams)
        todo = [*self._packed(snapshot, streams)]
        try:
            with self._talking, self._client.pipeline(transaction=True) as pipe:
                self._watch(pipe)
                if anew and self._streams:
                    # Another version of the parameters has made all rows.
                    pipe.delete(*map(self._keys.rows, self._streams))
                for one in todo:
                    one(pipe)
                pipe.execute()
        except BaseException as e:
            if not _undone(e):
                # Whether it was done is not known.
                self._session = ""
            raise
        self._streams, self._sent = streams, self._sent + 1
        self._version, self._renewed = snapshot.version, time.monotonic()

    def _packed(self, snapshot: Snapshot, streams: dict[str, Stream]) -> Iterator[Todo]:
        """Yield what is to be done for a snapshot, packed; note in the streams what they have then."""
        address, keys = self._address, self._keys
        shares = Shares(open_result(snapshot.path).dataset, address.memory)
        wanted = wanted_trains(shares, address.trains, address.memory)
        for axis in shares.rows:
            streams.setdefault(axis, Stream(axis))
        own = {axis for axis, stream in self._streams.items() if stream.blocks}
        for key in map(keys.rows, streams.keys() - own):
            if self._client.exists(key):
                if not self._is_ours(key):
                    raise Refused(REFUSED.format(key))
                # Of an earlier run of this name, of which nothing else is left to tell it.
                yield methodcaller("delete", key)
        for axis in shares.rows:
            yield from self._rows(streams[axis], shares, wanted, snapshot)
        yield from self._totals(shares, snapshot)
        yield from self._provisional(shares, wanted, snapshot)
        told = self._told(snapshot, shares, wanted) | {"streams": {axis: keys.rows(axis) for axis in streams}}
        yield methodcaller("set", keys.snapshot, dumped(told), ex=self._stay)

    def status(self, status: Mapping[str, Any]) -> None:
        """Write how it goes, and keep the name; nothing as long as there is no feedback of this run there."""
        if not self._session:
            return
        with self._talking, self._client.pipeline(transaction=True) as pipe:
            self._watch(pipe)
            pipe.set(self._keys.status, dumped({**status, "at": time.time()}), ex=self._stay)
            pipe.expire(self._keys.owner, HELD)
            pipe.execute()

    def end(self) -> None:
        """Let go of the name; what is to stay stays for its time."""
        keys, stay = self._keys, self._address.keep
        with self._talking, self._client.pipeline(transaction=True) as pipe:
            self._watch(pipe)
            for key in [*keys.plain, *map(keys.rows, self._streams)]:
                pipe.expire(key, stay) if stay else pipe.delete(key)
            pipe.delete(keys.owner)
            pipe.execute()
        self._client.close()

    def _watch(self, pipe: Pipeline) -> None:
        """Have a transaction done only if the name is still held when it is."""
        pipe.watch(self._keys.owner)
        if pipe.get(self._keys.owner) != self._me.encode():
            raise Refused("another live run has taken this name meanwhile")
        pipe.multi()

    # Beginning -----------------------------------------------------------------------------------------

    @property
    def _stay(self) -> int:
        """Seconds after which keys are gone if nobody renews them."""
        return max(self._address.keep, HELD * 2) if self._address.keep else ALIVE

    def _is_there(self) -> bool:
        """Return whether all that was written is on the server still, and nothing else."""
        keys = self._keys
        found = self._json(keys.about)
        if not found or found.get("session") != self._session:
            return False
        with self._client.pipeline(transaction=False) as pipe:
            for axis in self._streams:
                pipe.xrevrange(keys.rows(axis), count=1)
            for one in [keys.snapshot, keys.totals] if self._sent else []:
                pipe.exists(one)
            answers = pipe.execute()
        ends, there = answers[: len(self._streams)], answers[len(self._streams) :]
        lasts = [rows[0][0].decode() if rows else "0-0" for rows in ends]
        return bool(all(there) and lasts == [stream.last for stream in self._streams.values()])

    def _begin(self, about: Mapping[str, Any]) -> None:
        """Remove what an earlier run of this name has left, and say what runs."""
        keys = self._keys
        old = self._json(keys.about)
        if old is None or (old and not str(old.get("format", "")).startswith("dxflow feedback")):
            raise Refused(f"the key {keys.about} is not of dxflow; choose another name, with ?name=...")
        if not old and not self._sent:
            for key in keys.plain:
                if self._client.exists(key):
                    raise Refused(REFUSED.format(key))
        streams = [*map(keys.rows, self._streams)]
        if old:
            left = (self._json(keys.snapshot) or {}).get("streams")
            streams += left.values() if isinstance(left, dict) else ()
        gone = [*keys.plain, *(key for key in streams if keys.of_rows(key))]
        session = uuid4().hex
        told = {
            "format": FORMAT,
            "session": session,
            "name": self._address.name,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "trains": self._address.trains,
            "memory": self._address.memory,
            "what": about,
        }
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(*gone)
            pipe.set(keys.about, dumped(told), ex=self._stay)
            pipe.execute()
        self._session, self._streams, self._sent = session, {}, 0

    def _is_ours(self, key: str) -> bool:
        """Return whether there are rows of feedback at a key."""
        if self._client.type(key) != b"stream":
            return False
        found: Any = self._client.xrange(key, count=1)
        return all({*HEAD} <= {name.decode(errors="replace") for name in fields} for _, fields in found)

    def _json(self, key: str) -> dict[str, Any] | None:
        """Return what is at a key: nothing if there is no such key, None if it is something else."""
        if (kind := self._client.type(key)) == b"none":
            return {}
        found = self._client.get(key) if kind == b"string" else None
        try:
            made = json.loads(found or "null")
        except (ValueError, RecursionError):
            return None
        return made if isinstance(made, dict) else None

    def _renew(self) -> None:
        """Let keys live on while there are no snapshots."""
        with self._client.pipeline(transaction=False) as pipe:
            for key in [*self._keys.plain, *map(self._keys.rows, self._streams)]:
                pipe.expire(key, self._stay)
            pipe.execute()
        self._renewed = time.monotonic()

    # What a snapshot has ---------------------------------------------------------------------------------

    def _rows(self, stream: Stream, shares: Shares, wanted: np.ndarray, snapshot: Snapshot) -> Iterator[Todo]:
        """Have the new rows along an axis written, and old ones removed."""
        key, sent = self._keys.rows(stream.axis), self._sent + 1
        for n, entry in enumerate(stream.entries(shares, wanted) if len(wanted) else ()):
            block = Block(f"{sent}-{n + 1}", entry.trains, entry.crc, entry.size)
            yield methodcaller("xadd", key, _head(entry, snapshot) | entry.fields, id=block.id)
            stream.blocks.append(block)
        if stream.blocks:
            keep = stream.trim(int(wanted[0]), self._address.memory // 2)
            yield methodcaller("xtrim", key, maxlen=keep, approximate=False)
            yield methodcaller("expire", key, self._stay)

    def _totals(self, shares: Shares, snapshot: Snapshot) -> Iterator[Todo]:
        values = {VALUE + name: packed(shares.turned(name)) for name in shares.totals}
        return self._replaced(self._keys.totals, {**_version(snapshot), **values})

    def _provisional(self, shares: Shares, wanted: np.ndarray, snapshot: Snapshot) -> Iterator[Todo]:
        """Have rows that later trains may change written: those of the trains that are kept."""
        fields: dict[str, Any] = _version(snapshot)
        for axis, names in shares.provisional.items():
            mine = np.flatnonzero(np.isin(shares.trains[axis], wanted))
            fields[f"rows:{axis}"] = packed(shares.trains[axis][mine])
            for name in names:
                fields[VALUE + name] = packed(shares.turned(name)[mine])
        return self._replaced(self._keys.provisional, fields)

    def _replaced(self, key: str, fields: Mapping[str, Any]) -> Iterator[Todo]:
        yield methodcaller("delete", key)
        yield methodcaller("hset", key, mapping={**fields})
        yield methodcaller("expire", key, self._stay)

    def _told(self, snapshot: Snapshot, shares: Shares, wanted: np.ndarray) -> dict[str, Any]:
        """Return what is said of a snapshot."""
        facts = ("number", "version", "trains", "first_train", "last_train", "chunk", "final")
        return {
            **{one: getattr(snapshot, one) for one in facts},
            "session": self._session,
            "sent": self._sent + 1,
            "first_kept": int(wanted[0]) if len(wanted) else None,
            "variables": shares.described(),
            "left_out": shares.left_out,
            "attrs": dict(shares.data.attrs),
        }


def _undone(error: BaseException) -> bool:
    """Return whether a transaction that failed so has changed nothing."""
    from redis import exceptions as errors

    refused = (
        errors.OutOfMemoryError,
        errors.ExecAbortError,
        errors.ReadOnlyError,
        errors.WatchError,
        Refused,
    )
    return isinstance(error, refused)


def _version(snapshot: Snapshot) -> dict[str, Any]:
    return {"version": snapshot.version, "snapshot": snapshot.number}


def _head(entry: Entry, snapshot: Snapshot) -> dict[str, Any]:
    """Return what an entry says beside its values."""
    first, last = int(entry.trains[0]), int(entry.trains[-1])
    return {**_version(snapshot), "first": first, "last": last, "rows": packed(entry.rows)}
