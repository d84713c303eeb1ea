"""Who is told of each task: a command that reads a summary, or a URL that it is sent to."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors.near import did_you_mean, listed
from ..errors.redact import hidden
from ..errors.yamls import Items, Section
from .times import seconds

WHEN = ("always", "done", "failed")
KEYS = ("command", "url", "when", "timeout", "tries", "tasks")
WAIT = 2.0
"""Seconds before a second try; each next one waits four times as long."""
MOST = 500
"""Characters of what went wrong."""


@dataclass(frozen=True)
class Told:
    """A command or a URL that gets a summary of each task as JSON."""

    command: tuple[str, ...] = ()
    url: str = ""
    when: str = "always"
    timeout: float = 20.0
    tries: int = 3
    tasks: tuple[str, ...] = ()
    """Only these; all by default."""
    folder: str | None = None
    """In which a command runs: that of the file."""

    def __str__(self) -> str:
        # An address may have a secret in it: of chats it is one.
        return self.command[0] if self.command else f"the URL at {urlsplit(self.url).hostname}"

    def wants(self, summary: Mapping[str, Any]) -> bool:
        """Return whether it is to be told of this."""
        right = self.when == "always" or self.when == summary["state"]
        return right and (not self.tasks or summary["task"] in self.tasks)


def of(given: Section, known: Collection[str]) -> tuple[Told, ...]:
    """Return who is told, by what stands under ``tell``; `known` are the names of tasks.

    Raises
    ------
    UsageError
        If it is wrong; the message names file, line and key.
    """
    found = given.get("tell")
    if found is None:
        return ()
    if not isinstance(found, Items):
        raise given.wrong(
            "expected a list, such as '- url: https://...' or '- command: [python3, elog.py]'", "tell"
        )
    made = []
    for number, one in enumerate(found):
        if not isinstance(one, Section):
            raise found.wrong("expected 'url: https://...' or 'command: [python3, elog.py]'", number)
        made.append(_told(one, known))
    return tuple(made)


def _told(given: Section, known: Collection[str]) -> Told:
    given.only(KEYS)
    if ("command" in given) == ("url" in given):
        raise given.wrong("expected either a command or a url")
    if given.get("when", "always") not in WHEN:
        raise given.wrong(f"{given['when']!r}: expected {listed(WHEN)}", "when")
    command = given.get("command", [])
    if not isinstance(command, list) or not all(isinstance(w, (str, int, float)) for w in command):
        raise given.wrong("expected a list of words, which no shell sees: [python3, elog.py]", "command")
    if "command" in given and not command:
        raise given.wrong("expected a list of words: [python3, elog.py]", "command")
    if "url" in given and urlsplit(str(given["url"])).scheme not in ("http", "https"):
        raise given.wrong("expected an address that begins with http:// or https://", "url")
    tries, tasks = given.get("tries", Told.tries), given.get("tasks", [])
    if not isinstance(tries, int) or not 1 <= tries <= 10:
        raise given.wrong(f"{tries!r}: expected a number from 1 to 10", "tries")
    if not isinstance(tasks, list):
        raise given.wrong(f"{tasks!r}: expected a list of names of tasks", "tasks")
    if unknown := [str(name) for name in tasks if str(name) not in known]:
        near = did_you_mean(unknown[0], known)
        raise given.wrong(f"{unknown[0]!r} is no task.{near} There are: {listed(known)}", "tasks")
    timeout = seconds(given, "timeout", Told.timeout)
    if not 0 < timeout <= 600:
        raise given.wrong("expected more than 0 s and at most 10 min", "timeout")
    return Told(
        tuple(map(str, command)), str(given.get("url", "")), given.get("when", "always"), timeout, tries,
        tuple(map(str, tasks)), str(Path(given.path).expanduser().absolute().parent),
    )  # fmt: skip


class Teller:
    """Tells, in a thread of its own: what goes wrong is said, and stops nothing.

    Parameters
    ----------
    told
        Who is told.
    say
        Takes words about what went wrong; called in that thread.
    """

    def __init__(self, told: Sequence[Told], say: Callable[[str], None]) -> None:
        self._told, self._say = told, say
        self._ready = threading.Condition()
        self._waiting: list[tuple[dict[str, Any], Callable[[], None]]] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, summary: dict[str, Any], then: Callable[[], None]) -> None:
        """Tell of a task; `then` is called when all have been told, or could not be."""
        with self._ready:
            self._waiting.append((summary, then))
            self._ready.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="dxflow-teller", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._waiting:
                    self._ready.wait()
                summary, then = self._waiting[0]
            for one in self._told:
                if one.wants(summary) and not self._ended.is_set():
                    self._tried(one, summary)
            if self._ended.is_set():
                return
            then()
            with self._ready:
                self._waiting.pop(0)
                self._ready.notify_all()

    def _tried(self, one: Told, summary: Mapping[str, Any]) -> None:
        wrong = ""
        for number in range(one.tries):
            if number and self._ended.wait(WAIT * 4 ** (number - 1)):
                return
            # Whatever the user's command or the network may raise: the next one is told all the same.
            try:
                if not (wrong := told(one, summary)):
                    return
            except Exception as e:  # noqa: BLE001
                wrong = repr(e)
        self._say(f"{one} was not told of {summary['run']} {summary['task']}: {hidden(wrong)[:MOST]}")

    def close(self, patience: float = 5.0) -> None:
        """Wait a little for what is still to be told, then give up; it is told at the next start."""
        with self._ready:
            self._ready.wait_for(lambda: not self._waiting, patience)
        self._ended.set()


def told(one: Told, summary: Mapping[str, Any]) -> str:
    """Tell once; return what went wrong, "" if nothing did."""
    text = json.dumps(summary).encode()
    return _run(one, text) if one.command else _post(one, text)


def _run(one: Told, text: bytes) -> str:
    """Run a command, with a summary as its input."""
    # A file, and no pipe: what a command leaves behind in the background may hold a pipe open for ever.
    with tempfile.TemporaryFile() as words:
        try:
            # Its children are its own group: they end with it.
            child = subprocess.Popen(
                one.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words,
                cwd=one.folder, start_new_session=True,
            )  # fmt: skip
        except OSError as e:
            return f"{e.filename or one.command[0]}: {e.strerror}"
        try:
            child.communicate(text, timeout=one.timeout)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"it took more than {one.timeout:g} s and was ended"
        words.seek(0)
        said = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    return "" if child.returncode == 0 else f"it ended with code {child.returncode}: {''.join(said)}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nothing: a summary goes where it was meant to go, and a redirect would drop it."""


def _post(one: Told, text: bytes) -> str:
    """Send a summary to a URL; one that answers byte by byte is given up as well."""
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    sends = threading.Thread(
        target=lambda: answer.put(_sent(one, text)), name="dxflow-teller-url", daemon=True
    )
    sends.start()
    try:
        return answer.get(timeout=one.timeout)
    except queue.Empty:
        return f"timed out after {one.timeout:g} s"


def _sent(one: Told, text: bytes) -> str:
    request = urllib.request.Request(
        one.url,
        data=text,
        headers={"Content-Type": "application/json", "User-Agent": "dxflow"},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=one.timeout) as answer:
            answer.read(2**16)
    except urllib.error.HTTPError as e:
        with e:
            return f"it answered {e.code} {e.reason}"
    except (OSError, ValueError, http.client.HTTPException) as e:
        return str(getattr(e, "reason", e)) or repr(e)
    return ""
