"""The process in which HDF5 writes: it waits for tasks and does each in a fork of its own.

A full disk can crash the process that writes with HDF5. Here that is a fork of this one, whose end is told to the
parent as the answer. Libraries are loaded once, before the first fork; no thread and no file is open then. Tasks and
answers are pickles on the standard input and output. Forks are killed when this process ends, and it ends with
its parent.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from ..disk.checksums import digest, secured
from .cut import write
from .tasks import FileTask

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    tasks, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            task, path, sync = pickle.load(tasks)
        except EOFError:
            return
        pickle.dump(_forked(task, path, sync), answers)
        answers.flush()


def _die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends, however that ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _forked(task: FileTask, path: Path, sync: bool) -> dict[str, Any]:
    """Do a task in a fork; return what it answers, or how it ended."""
    answer, told = os.pipe()
    if not (pid := os.fork()):
        os.close(answer)
        _do(task, path, sync, told)
    os.close(told)
    with open(answer, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return pickle.loads(said) if said else {"ended": os.waitstatus_to_exitcode(status)}


def _do(task: FileTask, path: Path, sync: bool, told: int) -> None:
    """Do a task and end the process at once."""
    answer: dict[str, Any]
    try:
        _die_with_parent()
        write(task, path)
        answer = {"digest": secured(path) if sync else digest(path)}
    except BaseException as e:  # noqa: BLE001 - whatever it is, the parent is to know it
        answer = failure(e)
    with open(told, "wb") as pipe:
        pickle.dump(answer, pipe)
    # HDF5 would try to write what it holds when Python ends, and crash on a full disk.
    os._exit(0)


def failure(error: BaseException) -> dict[str, Any]:
    """Return what the parent is told: what the system said if it said something, else what HDF5 did."""
    number = getattr(error, "errno", None)
    text = os.strerror(number) if number else f"{type(error).__name__}: {error}".replace("\n", " ")
    return {"error": text, "errno": number, "trace": traceback.format_exc()}
