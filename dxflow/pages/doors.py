"""Doors: a small web server on the loopback interface that opens only to those who know its random token.

What comes without the token, or with the name of another host, as a page that rebinds names would, is answered with 403
and nothing else. Nothing of a request is logged: the token is in its path.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Hosts by which it is asked for, whatever the port: a tunnel has another."""
BYTES = 2**16
"""Of what is posted."""
SECONDS = 10
"""For a request to come, and an answer to go."""
MOST = 32
"""Requests at a time; others are turned away."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REUSE = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
POSTED = "X-Dxflow"
"""Header that what is posted must have: pages of others cannot send it here."""


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, kind: str = "text/html") -> Answer:
        """Return a text as an answer."""
        return cls(text.encode("utf-8", "replace"), f"{kind}; charset=utf-8")

    @classmethod
    def json(cls, what: Any, status: int = HTTPStatus.OK) -> Answer:
        """Return plain values as an answer."""
        return cls(json.dumps(what).encode(), "application/json", status)


class House(Protocol):
    """What is behind the door; called from several threads."""

    def get(self, path: str) -> Answer | None:
        """Return what is at a path below the token, None if nothing is."""

    def post(self, path: str, what: Mapping[str, Any]) -> Answer | None:
        """Take what is posted to a path, JSON values; return None if nothing takes it there."""


class Door:
    """A server, which begins at once.

    Parameters
    ----------
    house : House
    port : int
        0 for one that is free.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, house: House, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(24)
        try:
            self._server = _Server((HOST, port), self._token, house)
        except (OSError, OverflowError) as e:
            raise OSError(
                f"port {port} of {HOST} cannot be used: {e}; give another, or none for one that is free"
            ) from e
        # Python's own pause between looks whether to end is half a second.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="dxflow-page", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Where a browser finds it, with the token: a secret."""
        return f"http://{HOST}:{self._server.server_port}/{self._token}/"

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # A port that was used a moment ago may be used; one that is in use is not taken over.
    allow_reuse_address = True

    def __init__(self, at: tuple[str, int], token: str, house: House) -> None:
        self.token, self.house = token, house
        self._free = threading.BoundedSemaphore(MOST)
        self._since: dict[socket.socket, float] = {}
        """When each request that is being answered began."""
        super().__init__(at, _Handler)

    def server_bind(self) -> None:
        # Without a look for the name of this host, which may take long.
        self.socket.setsockopt(*_REUSE)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._end_slow()
            self.shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def _end_slow(self) -> None:
        """End requests that come byte by byte: each of them is in time, and all together would shut the door."""
        for request, since in list(self._since.items()):
            if time.monotonic() - since > 2 * SECONDS:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._since.pop(request, None)
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away is no error, and what was asked for has the token."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def setup(self) -> None:
        """Begin; what does not come in time is not waited for."""
        super().setup()
        self.connection.settimeout(SECONDS)

    def do_GET(self) -> None:
        self._answer(lambda path: self.server.house.get(path))

    def do_POST(self) -> None:
        self._answer(self._posted)

    def _answer(self, get: Any) -> None:
        path = self._inside()
        if path is None:
            self._refuse()
            return
        self._send(get(path) or Answer(b"There is nothing here.\n", status=HTTPStatus.NOT_FOUND))

    def _inside(self) -> str | None:
        """Return the path behind the token, None if it is not to be answered."""
        host = self.headers.get_all("Host") or []
        if len(host) != 1 or _name(host[0]) not in NAMES:
            return None
        token, slash, path = self.path.partition("?")[0].removeprefix("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode())
        return path if known and slash else None

    def _posted(self, path: str) -> Answer | None:
        """Take what was posted, if it comes of the page itself."""
        own = {f"http://{self.headers['Host']}", None}
        same = self.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        if self.headers.get("Origin") not in own or not same or POSTED not in self.headers:
            return Answer(b"", status=HTTPStatus.FORBIDDEN)
        size = self.headers.get("Content-Length", "")
        if kind != "application/json" or not size.isdigit() or int(size) > BYTES:
            return Answer(b"", status=HTTPStatus.BAD_REQUEST)
        try:
            what = json.loads(self.rfile.read(int(size)))
        except (ValueError, RecursionError):
            what = None
        if not isinstance(what, dict):
            return Answer(b"", status=HTTPStatus.BAD_REQUEST)
        return self.server.house.post(path, what)

    def _send(self, answer: Answer) -> None:
        # Without the headers by which a server says what it is.
        self.send_response_only(answer.status)
        size = str(len(answer.body))
        told = {**HEADERS, "Content-Type": answer.kind, "Content-Length": size, **answer.headers}
        for name, value in {**told, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(answer.body)

    def _refuse(self) -> None:
        self.close_connection = True
        self._send(Answer(b"Forbidden\n", status=HTTPStatus.FORBIDDEN))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request, or of no kind that is known, as what has no token."""
        self.close_connection = True
        self.request_version = "HTTP/1.0"
        self._refuse()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library has it
        """Say nothing."""


def _name(host: str) -> str:
    """Return the name in a header ``Host``, without the port."""
    name, colon, port = host.strip().lower().rpartition(":")
    return name if colon and port.isdigit() else host.strip().lower()
