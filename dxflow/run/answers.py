"""Whether folders and files answer at all: asked in threads that nobody waits for longer than a minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar

from ..reader import gate

PATIENCE = 45.0
"""Seconds without any answer after which the rest is given up: tape, a dead mount, a FIFO."""
AT_ONCE, SOON = 32, 0.002
"""Threads, and seconds after which there are twice as many."""
SILENT = f"no answer within {PATIENCE:.0f} s: it may be on tape, or its file system does not respond"

Answer = TypeVar("Answer")


def ask(question: Callable[[str], Answer], paths: Iterable[str]) -> dict[str, Answer | Exception]:
    """Ask a question of each path; those without an answer are missing in what is returned.

    The threads are daemons that touch neither HDF5 nor anything shared: one that never returns keeps nobody waiting.
    """
    todo: SimpleQueue[str] = SimpleQueue()
    done: SimpleQueue[tuple[str, Answer | Exception]] = SimpleQueue()
    for path in (wanted := list(paths)):
        todo.put(path)
    begun, most, last = 0, min(AT_ONCE, len(wanted)), 0.0
    answers: dict[str, Answer | Exception] = {}
    while len(answers) < len(wanted):
        if begun < most and time.monotonic() - last > SOON:
            # What answers at once needs no more than the first.
            more, last = min(max(1, begun), most - begun), time.monotonic()
            for _ in range(more):
                threading.Thread(target=_answer, args=(question, todo, done), daemon=True).start()
            begun += more
        try:
            path, answer = done.get(timeout=SOON if begun < most else PATIENCE)
        except Empty:
            if begun < most:
                continue
            break
        answers[path] = answer
    return answers


def _answer(
    question: Callable[[str], Answer],
    todo: SimpleQueue[str],
    done: SimpleQueue[tuple[str, Answer | Exception]],
) -> None:
    """Answer what is asked, until there is nothing more."""
    while True:
        try:
            path = todo.get_nowait()
        except Empty:
            return
        try:
            done.put((path, question(path)))
        except Exception as e:  # noqa: BLE001
            # It belongs to whoever asked.
            done.put((path, e))


def unreadable(paths: Iterable[str]) -> dict[str, str]:
    """Return why files cannot be read, of those that cannot: not there, not regular, or silent."""
    wanted = list(paths)
    answers = ask(_begins, wanted)
    said = {path: answers.get(path, SILENT) for path in wanted}
    return {p: w if isinstance(w, str) else f"{type(w).__name__}: {w}" for p, w in said.items() if w}


def _begins(path: str) -> str:
    """Read the first bytes of a file; return why that cannot be done, or ""."""
    if why := gate.regular(path):
        return why
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return "" if os.pread(descriptor, 4096, 0) else "it is empty"
    finally:
        os.close(descriptor)
