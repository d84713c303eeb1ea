"""Sending: what is written to Redis for a snapshot, as one transaction, and what must not be overwritten there."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
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
ALIVE = 3600
"""Seconds that all else stays then, if it is to be removed at the end."""


class Refused(Exception):  # noqa: N818 - it says what was done
    """What is on the server is not to be overwritten."""


class Sender:
    """Writes the feedback of a run.

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
        if not self._session or not self._is_there():
            self._begin(about)
            return True
        if time.monotonic() - self._renewed > HELD / 2:
            self._renew()
        return False

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write what a snapshot has: new rows, all totals, all provisional rows; all of it or nothing."""
        address, keys = self._address, self._keys
        if self._version not in (0, snapshot.version):
            self._begin_rows()
        shares = Shares(open_result(snapshot.path).dataset, address.memory)
        wanted = wanted_trains(shares, address.trains, address.memory)
        for axis in shares.rows:
            self._streams.setdefault(axis, Stream(axis))
        self._refuse_others([keys.rows(axis) for axis, s in self._streams.items() if not s.blocks])
        sent = self._sent + 1
        try:
            with self._client.pipeline(transaction=True) as pipe:
                self._watch(pipe)
                for axis in shares.rows:
                    self._rows(pipe, axis, shares, wanted, snapshot, sent)
                self._totals(pipe, shares, snapshot)
                self._provisional(pipe, shares, wanted, snapshot)
                pipe.set(keys.snapshot, dumped(self._told(snapshot, shares, wanted, sent)), ex=self._stay)
                pipe.execute()
        except BaseException:
            # Whether it was done is not known, and what streams have is not what is thought here.
            self._session = ""
            raise
        self._sent, self._version, self._renewed = sent, snapshot.version, time.monotonic()

    def status(self, status: Mapping[str, Any]) -> None:
        """Write how it goes."""
        self._client.set(self._keys.status, dumped({**status, "at": time.time()}), ex=self._stay)

    def end(self) -> None:
        """Let go of the name; what is to stay stays for its time."""
        keys, stay = self._keys, self._address.keep
        with self._client.pipeline(transaction=True) as pipe:
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
            self._refuse_others(keys.plain)
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

    def _begin_rows(self) -> None:
        """Begin the streams anew: another version of the parameters has made all rows."""
        if keys := [self._keys.rows(axis) for axis in self._streams]:
            self._client.delete(*keys)
        self._streams = {}

    def _refuse_others(self, keys: Any) -> None:
        """Refuse to write to keys that were there before.

        Raises
        ------
        Refused
        """
        for key in keys:
            if self._client.exists(key):
                raise Refused(
                    f"the key {key} is there and not of this feedback; remove it, or choose another name, with "
                    "?name=..."
                )

    def _json(self, key: str) -> dict[str, Any] | None:
        """Return what is at a key: nothing if there is no such key, None if it is something else."""
        if (kind := self._client.type(key)) == b"none":
            return {}
        found = self._client.get(key) if kind == b"string" else None
        try:
            made = json.loads(found or "null")
        except ValueError:
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

    def _rows(
        self, pipe: Any, axis: str, shares: Shares, wanted: np.ndarray, snapshot: Snapshot, sent: int
    ) -> None:
        """Have the new rows along an axis written, and old ones removed."""
        stream, key = self._streams[axis], self._keys.rows(axis)
        for n, entry in enumerate(stream.entries(shares, wanted) if len(wanted) else ()):
            block = Block(f"{sent}-{n + 1}", entry.trains, entry.crc, entry.size)
            pipe.xadd(key, _head(entry, snapshot) | entry.fields, id=block.id)
            stream.blocks.append(block)
        if stream.blocks:
            keep = stream.trim(int(wanted[0]), self._address.memory // 2)
            pipe.xtrim(key, maxlen=keep, approximate=False)
            pipe.expire(key, self._stay)

    def _totals(self, pipe: Pipeline, shares: Shares, snapshot: Snapshot) -> None:
        values = {VALUE + name: packed(shares.turned(name)) for name in shares.totals}
        self._replace(pipe, self._keys.totals, {**_version(snapshot), **values})

    def _provisional(self, pipe: Pipeline, shares: Shares, wanted: np.ndarray, snapshot: Snapshot) -> None:
        """Have rows that later trains may change written: those of the trains that are kept."""
        fields: dict[str, Any] = _version(snapshot)
        for axis, names in shares.provisional.items():
            mine = np.flatnonzero(np.isin(shares.trains[axis], wanted))
            fields[f"rows:{axis}"] = packed(shares.trains[axis][mine])
            for name in names:
                fields[VALUE + name] = packed(shares.turned(name)[mine])
        self._replace(pipe, self._keys.provisional, fields)

    def _replace(self, pipe: Any, key: str, fields: Mapping[str, Any]) -> None:
        pipe.delete(key)
        pipe.hset(key, mapping={**fields})
        pipe.expire(key, self._stay)

    def _told(self, snapshot: Snapshot, shares: Shares, wanted: np.ndarray, sent: int) -> dict[str, Any]:
        """Return what is said of a snapshot."""
        facts = ("number", "version", "trains", "first_train", "last_train", "chunk", "final")
        return {
            **{one: getattr(snapshot, one) for one in facts},
            "session": self._session,
            "sent": sent,
            "first_kept": int(wanted[0]) if len(wanted) else None,
            "streams": {axis: self._keys.rows(axis) for axis in self._streams},
            "variables": shares.described(),
            "left_out": shares.left_out,
            "attrs": dict(shares.data.attrs),
        }


def _version(snapshot: Snapshot) -> dict[str, Any]:
    return {"version": snapshot.version, "snapshot": snapshot.number}


def _head(entry: Entry, snapshot: Snapshot) -> dict[str, Any]:
    """Return what an entry says beside its values."""
    first, last = int(entry.trains[0]), int(entry.trains[-1])
    return {**_version(snapshot), "first": first, "last": last, "rows": packed(entry.rows)}
