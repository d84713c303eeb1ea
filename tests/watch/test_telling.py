"""Commands and URLs of users are told of tasks, and what fails with them stops nothing."""

import contextlib
import http.server
import json
import socket
import sys
import threading
import time

import pytest

from dxflow.errors import yamls
from dxflow.watch import telling
from dxflow.watch.telling import Teller, Told

SUMMARY = {"run": "r0001; rm -rf $HOME", "task": "table", "state": "done", "reason": "`x` \"'"}


@pytest.fixture
def server():
    """An address that notes what it gets, and fails as often as `fails` says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(self.server.slow)
            self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.server.fails -= 1
            code = 503 if self.server.fails >= 0 else 302 if "moved" in self.path else 200
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.got, server.fails, server.slow = [], 0, 0.0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}/hook"
        yield server
        server.shutdown()


def tell(*told, summaries=(SUMMARY,), patience=30.0):
    said, then = [], []
    teller = Teller(told, said.append)
    for summary in summaries:
        teller.tell(summary, lambda summary=summary: then.append(summary))
    teller.close(patience)
    return said, then


def test_a_url_gets_the_summary(server):
    said, then = tell(Told(url=server.url))
    assert (said, then) == ([], [SUMMARY])
    assert server.got == [("/hook", "application/json", SUMMARY)]


def test_a_url_that_fails_is_tried_again_then_said(server, monkeypatch):
    monkeypatch.setattr(telling, "WAIT", 0.01)
    server.fails = 2
    assert tell(Told(url=server.url))[0] == []
    assert len(server.got) == 3
    server.fails = 10
    said, then = tell(Told(url=f"{server.url}?token=geheim"))
    assert said == [
        f"the URL at 127.0.0.1 was not told of {SUMMARY['run']} table: it answered 503 Service Unavailable"
    ]
    assert then == [SUMMARY]
    assert len(server.got) == 6


def test_a_url_that_hangs_moves_or_is_not_there_stops_nothing(server, monkeypatch):
    monkeypatch.setattr(telling, "WAIT", 0.01)
    server.slow = 0.6
    said, _ = tell(Told(url=server.url, timeout=0.1, tries=1))
    assert "timed out" in said[0]
    server.slow = 0.0
    assert "it answered 302" in tell(Told(url=f"{server.url}/moved", tries=1))[0][0]
    assert "refused" in tell(Told(url="http://127.0.0.1:9/x", tries=1))[0][0]


def test_a_command_reads_the_summary_and_no_shell_sees_it(tmp_path):
    out = tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    said, _ = tell(Told(command=(sys.executable, "-c", code, str(out))))
    assert said == []
    assert json.loads(out.read_text()) == SUMMARY


def test_commands_that_fail_or_hang_stop_nothing(monkeypatch):
    monkeypatch.setattr(telling, "WAIT", 0.01)
    said, then = tell(
        Told(command=("/no/such/command",), tries=1),
        Told(command=(sys.executable, "-c", "import sys; sys.exit('no elog')"), tries=2),
        Told(command=(sys.executable, "-c", "import time; time.sleep(60)"), timeout=0.3, tries=1),
        Told(command=(sys.executable, "-c", "pass")),
    )
    assert len(said) == 3
    assert "No such file" in said[0]
    assert "it ended with code 1: no elog" in said[1]
    assert "it took more than 0.3 s and was ended" in said[2]
    assert then == [SUMMARY]


def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path):
    code = "import subprocess, sys; subprocess.Popen(['sleep', '20'], start_new_session=True); sys.exit(3)"
    began = time.monotonic()
    said, then = tell(Told(command=(sys.executable, "-c", code), timeout=10, tries=1))
    assert "it ended with code 3" in said[0]
    assert (then, time.monotonic() - began < 9) == ([SUMMARY], True)


def test_a_command_runs_in_the_folder_of_the_file(tmp_path):
    (tmp_path / "what.yaml").write_text("tell:\n  - command: [tee, told]\n")
    (one,) = telling.of(yamls.read(tmp_path / "what.yaml"), ())
    assert tell(one)[0] == []
    assert json.loads((tmp_path / "told").read_text()) == SUMMARY


def test_a_url_that_answers_byte_by_byte_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle():
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(1000):
                    connection.sendall(b"x")
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        began = time.monotonic()
        said, then = tell(Told(url=url, timeout=0.5, tries=1))
    assert "timed out" in said[0]
    assert (then, time.monotonic() - began < 20) == ([SUMMARY], True)


def test_who_is_told_of_what(server):
    failed = {**SUMMARY, "state": "failed"}
    other = {**SUMMARY, "task": "mean"}
    tell(
        Told(url=server.url, when="failed"),
        Told(url=f"{server.url}2", tasks=("mean",)),
        summaries=[SUMMARY, failed, other],
    )
    assert [(path, body["state"], body["task"]) for path, _, body in server.got] == [
        ("/hook", "failed", "table"),
        ("/hook2", "done", "mean"),
    ]


def test_the_end_does_not_wait_for_who_does_not_answer(server):
    server.slow = 5.0
    began = time.monotonic()
    said, then = tell(Told(url=server.url, timeout=20), patience=0.2)
    assert time.monotonic() - began < 4
    # It is told at the next start.
    assert (said, then) == ([], [])
