"""A server for this machine alone: what comes without the token sees nothing, and cannot post."""

import contextlib
import http.client
import socket
import time
from urllib.parse import urlsplit

import pytest

from dxflow.pages import doors
from dxflow.pages.doors import Answer, Door

NOTHING = b"Forbidden\n"


class House:
    """Something to be seen."""

    def __init__(self):
        self.posted = []

    def get(self, path):
        return Answer.of(f"<p>secret {path}</p>") if path in ("", "inside") else None

    def post(self, path, what):
        self.posted.append((path, what))
        return Answer.json({"taken": True})


@pytest.fixture
def door():
    made = Door(House())
    made.house = made._server.house
    yield made
    made.close()


def ask(door, path, method="GET", body=None, host=None, **headers):
    """Return status, headers and body of an answer."""
    port = urlsplit(door.address).port
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for one in [f"127.0.0.1:{port}"] if host is None else host:
            connection.putheader("Host", one)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def raw(door, data):
    """Return what comes back for some bytes."""
    with socket.create_connection(("127.0.0.1", urlsplit(door.address).port), 20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def token(door):
    return urlsplit(door.address).path


def test_who_knows_the_token_is_let_in(door):
    for host in ("127.0.0.1:1", "localhost:8080", "LOCALHOST", "[::1]:80"):
        status, headers, body = ask(door, token(door), host=[host])
        assert (status, body) == (200, b"<p>secret </p>"), host
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert ask(door, f"{token(door)}inside?x=1")[2] == b"<p>secret inside</p>"
    assert ask(door, f"{token(door)}outside")[0] == 404


def test_without_the_token_there_is_no_hint_of_anything(door):
    own = token(door)
    asked = [
        "/",
        "/x",
        "/favicon.ico",
        own[:-2] + "/",
        own[:-1],
        f"/x{own}",
        "/" + "a" * 32 + "/",
        "/%C3%A9/",
        "//",
    ]
    answers = {
        *(repr(ask(door, path)) for path in asked),
        *(repr(ask(door, "/", method=m)) for m in ("POST", "PUT", "DELETE", "OPTIONS", "BREW")),
    }
    assert len(answers) == 1, "all are the same"
    status, headers, body = ask(door, "/")
    assert (status, body) == (403, NOTHING)
    assert "Server" not in headers
    assert "Date" not in headers


@pytest.mark.parametrize(
    "host", [["evil.example"], ["127.0.0.1.evil.example:80"], [], ["127.0.0.1", "evil.example"], [""]]
)
def test_pages_of_others_do_not_get_in_by_a_name_of_theirs(door, host):
    """As a page that has its name point to this machine asks, even if it knew the token."""
    assert ask(door, token(door), host=host)[::2] == (403, NOTHING)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /\r\n",
    ],
)
def test_what_is_no_request_is_answered_in_the_same_way(door, data):
    found = raw(door, data)
    # Of the first HTTP there was no status.
    assert found in (b"", NOTHING) or (found.endswith(NOTHING) and b" 403 " in found.partition(b"\r\n")[0])
    assert ask(door, token(door))[0] == 200


def test_only_the_page_itself_posts(door):
    kind = {"Content_Type": "application/json", "X_Dxflow": "1"}
    host = urlsplit(door.address).netloc
    path = f"{token(door)}ask"
    assert ask(door, path, "POST", b'{"a": 1}', Origin=f"http://{host}", **kind)[::2] == (
        200,
        b'{"taken": true}',
    )
    assert door.house.posted == [("ask", {"a": 1})]
    wrong = [
        {"Origin": "http://evil.example", **kind},
        {"Origin": "null", **kind},
        {"Origin": f"https://{host}", **kind},
        {"Sec_Fetch_Site": "cross-site", **kind},
        {"Sec_Fetch_Site": "same-site", **kind},
        {"Content_Type": "application/json"},
        {"Content_Type": "text/plain", "X_Dxflow": "1"},
    ]
    for headers in wrong:
        assert ask(door, path, "POST", b'{"a": 1}', **headers)[0] in (400, 403), headers
    for body in (b"", b"no", b"[]", b"[" * 60_000, b'{"a": "' + b"x" * 2**17 + b'"}'):
        with contextlib.suppress(ConnectionError):
            # A body that is too long is not waited for.
            assert ask(door, path, "POST", body, **kind)[0] == 400
    assert ask(door, "/ask", "POST", b'{"a": 1}', **kind)[::2] == (403, NOTHING)
    assert len(door.house.posted) == 1


def test_others_of_the_network_find_nothing(door):
    port = urlsplit(door.address).port
    assert door._server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass


def test_tokens_are_long_and_never_the_same(door):
    other = Door(House())
    other.close()
    assert token(door) != token(other)
    assert len(token(door).strip("/")) >= 32


def test_who_says_nothing_holds_up_nobody_for_long(door, monkeypatch):
    monkeypatch.setattr(doors, "SECONDS", 0.5)
    port = urlsplit(door.address).port
    with contextlib.ExitStack() as kept:
        silent = [
            kept.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            for _ in range(doors.MOST + 8)
        ]
        for one in silent:
            # Those that were let in are sent away when nothing comes, others at once.
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
    assert ask(door, token(door))[0] == 200


def test_who_is_slow_for_long_is_ended_when_all_places_are_taken(door, monkeypatch):
    """As one that sends a byte now and then, each of them in time."""
    monkeypatch.setattr(doors, "SECONDS", 60)
    port, server = urlsplit(door.address).port, door._server
    with contextlib.ExitStack() as kept:
        for _ in range(doors.MOST):
            kept.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        end = time.monotonic() + 20
        while len(server._since) < doors.MOST:
            assert time.monotonic() < end
            time.sleep(0.01)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(door, token(door))
        assert len(server._since) == doors.MOST, "they may take their time"
        for one in server._since:
            server._since[one] -= 121
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                assert ask(door, token(door))[0] == 200
                break
            assert time.monotonic() < end, "they hold all places"
            time.sleep(0.01)


def test_a_port_that_is_taken_is_said(door):
    port = urlsplit(door.address).port
    with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 cannot be used"):
        Door(House(), port)
    with pytest.raises(OSError, match="port 70000 of"):
        Door(House(), 70_000)
