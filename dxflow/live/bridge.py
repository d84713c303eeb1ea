"""The client's end of a karabo-bridge: messages as they come, whoever ends in between."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PATTERNS = ("REQ", "SUB", "PULL")
"""What a client may be: it asks for each train, listens to what is sent to all, or is one of those that share."""
WAITING = 2
"""Messages that may wait in a socket: more would be memory that nobody counts."""
RETRY_MS = 100
"""Milliseconds before a connection is tried again, and the longest between two tries."""
SLOWEST_MS = 2000
KEEPALIVE = {"TCP_KEEPALIVE": 1, "TCP_KEEPALIVE_IDLE": 10, "TCP_KEEPALIVE_INTVL": 5, "TCP_KEEPALIVE_CNT": 3}
"""A host that is gone without a word is noticed after half a minute."""


class NoBridge(Exception):
    """There is nobody to talk to, or what was asked for is no address."""


class Broken(ValueError):
    """A message that is none of a bridge."""


@dataclass(frozen=True)
class Message:
    """What came at once: values by source and key, what is said of each source, and how many bytes came."""

    data: Mapping[str, Mapping[str, Any]]
    meta: Mapping[str, Mapping[str, Any]]
    nbytes: int


def checked(endpoint: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises
    ------
    NoBridge
        If it is no address, or there is no such host.
    """
    hit = re.fullmatch(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(?P<port>\d{1,5})/?", endpoint)
    if not hit or not 0 < int(hit["port"]) < 2**16:
        raise NoBridge(f"{endpoint!r} is no address of a bridge: expected tcp://HOST:PORT")
    host, port = hit["host"].strip("[]"), int(hit["port"])
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise NoBridge(f"{endpoint}: no such host {host!r} ({e}); is the name right?") from e
    return host, port


class Bridge:
    """A client of a bridge, which goes on when the server comes back.

    A request whose answer will not come, since the server that had it is gone, is made again with another socket:
    one that waits for an answer can do nothing else. As long as the server is there, its answer is waited for.

    Parameters
    ----------
    endpoint : str
        ``tcp://host:port``.
    pattern : str
        One of `PATTERNS`.
    largest : int
        Bytes of one array above which a server is not listened to.
    """

    def __init__(self, endpoint: str, pattern: str, largest: int) -> None:
        import zmq

        if pattern not in PATTERNS:
            raise NoBridge(f"a client of a bridge is one of {', '.join(PATTERNS)}, not {pattern!r}")
        checked(endpoint)
        self.endpoint, self.pattern, self._largest = endpoint.rstrip("/"), pattern, largest
        self._zmq: Any = zmq
        self._context = zmq.Context()
        self.connected, self.lost = False, 0
        """Whether there is a server now, and how often one went."""
        self._asked = False
        self._open()

    def _open(self) -> None:
        zmq = self._zmq
        self.socket = self._context.socket(getattr(zmq, self.pattern))
        options = {"LINGER": 0, "RCVHWM": WAITING, "SNDHWM": WAITING, "MAXMSGSIZE": self._largest}
        options |= {"RECONNECT_IVL": RETRY_MS, "RECONNECT_IVL_MAX": SLOWEST_MS, **KEEPALIVE}
        if ":" in checked(self.endpoint)[0]:
            options["IPV6"] = 1
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name), value)
        if self.pattern == "SUB":
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self.socket.connect(self.endpoint)
        self._asked = False

    def _shut(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(0)

    def close(self) -> None:
        """End it, and what it waits for."""
        self._shut()
        self._context.destroy(0)

    def sockets(self) -> list[Any]:
        """Return what to poll for: the socket, and what says whether there is a server."""
        return [self.socket, self._monitor]

    def ask(self) -> None:
        """Ask for a train, unless that is done, where trains are asked for."""
        if self.pattern == "REQ" and not self._asked:
            try:
                self.socket.send(b"next", self._zmq.DONTWAIT)
                self._asked = True
            except self._zmq.Again:
                # There is no server yet.
                pass

    def look(self) -> None:
        """See whether the server came or went; a request that nobody will answer is forgotten, with its socket."""
        from zmq.utils.monitor import parse_monitor_message

        gone = False
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            self.connected = event == self._zmq.EVENT_CONNECTED
            if not self.connected:
                gone = True
                self.lost += 1
        # What it sent before it went is there still.
        if gone and self._asked and not self.socket.poll(0):
            self._shut()
            self._open()

    def take(self) -> Message | None:
        """Return the message that is there, None if none is.

        Raises
        ------
        Broken
        """
        try:
            parts = self.socket.recv_multipart(self._zmq.DONTWAIT, copy=False)
        except self._zmq.Again:
            return None
        self._asked = False
        return decoded(parts)


def decoded(parts: list[Any]) -> Message:
    """Return the message of its parts, in format 1.0 or 2.2.

    Raises
    ------
    Broken
        If it is in neither.
    """
    from karabo_bridge import deserialize

    nbytes = sum(len(part.buffer) for part in parts)
    if len(parts) > 1 and len(parts) % 2:
        raise Broken(f"a message of {len(parts)} parts: expected pairs of header and content")
    try:
        data, meta = _old(parts[0].bytes) if len(parts) == 1 else deserialize(parts)
        # Servers leave it among the values, also where format 2.2 has it apart.
        data = {s: {k: v for k, v in values.items() if k != "metadata"} for s, values in data.items()}
        return Message(_of_mappings(data), _of_mappings(meta), nbytes)
    # A message of anything: unpacking, building arrays and looking things up fail in as many ways.
    except Exception as e:
        raise Broken(f"not in format 1.0 or 2.2 of a bridge ({type(e).__name__}: {e})"[:300]) from e


def _of_mappings(by_source: Any) -> dict[str, Mapping[str, Any]]:
    """Return the same, checked to be mappings of texts to mappings of texts."""
    for source, values in by_source.items():
        if not isinstance(source, str) or not all(isinstance(key, str) for key in values):
            raise TypeError("names of sources and keys are not texts")
    return dict(by_source)


def _old(packed: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data and metadata of a message in format 1.0, without the objects that it might make here."""
    import msgpack
    import msgpack_numpy

    def decode(value: dict) -> Any:
        # Arrays of objects are pickles: whoever sends one decides what runs here.
        if value.get(b"kind") == b"O":
            return None
        return msgpack_numpy.decode(value)

    data = msgpack.loads(packed, raw=False, max_bin_len=2**31 - 1, object_hook=decode, strict_map_key=False)
    return data, {source: values.get("metadata", {}) for source, values in data.items()}


def train_of(message: Message, preferred: Callable[[str], bool]) -> int:
    """Return the train id of a message: that of the preferred sources, if they have one, else of most sources.

    Raises
    ------
    Broken
        If no source says one.
    """
    said = {s: tid for s in message.data if (tid := train_id(message.meta.get(s, {}))) is not None}
    ids = [tid for s, tid in said.items() if preferred(s)] or list(said.values())
    if not ids:
        raise Broken("no source has a timestamp.tid")
    return max(sorted(set(ids)), key=ids.count)


def train_id(meta: Mapping[str, Any]) -> int | None:
    """Return the train id that the metadata of a source have, if it can be one."""
    tid = meta.get("timestamp.tid")
    whole = isinstance(tid, (int, np.integer)) and not isinstance(tid, bool)
    return int(tid) if whole and tid is not None and 0 < tid < 2**48 else None
