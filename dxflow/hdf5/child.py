"""The process in which HDF5 writes: it waits for work and does each piece in a fork of its own.

HDF5 can crash its process on a full disk. Here that is a fork of this one, whose end is told to the parent as the
answer. Libraries are loaded once, by the module whose functions do the work; at a fork there are no threads, no locks
and no open files. The first work that fails is the last: what else was sent for it would be in the way.

When the parent is gone the input hangs up: what is being made then is removed, as nobody waits for it any more.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Never

from .wire import messages, put, take

INPUT = 0
FAILED = 1
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do what the parent asks for, with the functions of a module, until the input ends or a work fails."""
    # An interrupt is for the parent, whose end is the end of the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print is no answer.
    answers = os.dup(1)
    os.dup2(2, 1)
    module, code = import_module(sys.argv[3]), 0
    with suppress(EOFError):
        while not code:
            (name, made, arguments), _ = take(INPUT)
            code = _forked(getattr(module, name), made, arguments, answers)
            if code not in (0, FAILED):
                put(answers, {"ended": code})
    os._exit(0)


def _forked(work: Callable[..., Any], made: Path | None, arguments: Any, answers: int) -> int:
    """Do a work in a fork, which answers; return how it ended."""
    seen, done = os.pipe()
    parent = os.getpid()
    if not (pid := os.fork()):
        os.close(seen)
        _die_with(parent)
        _do(work, made, arguments, (done, answers))
    os.close(done)
    look = select.poll()
    look.register(seen, select.POLLIN)
    # Only that the parent hangs up. What the fork sent before its answer is seen first: the parent may have it by now.
    look.register(INPUT, 0)
    if seen not in dict(look.poll()):
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    alone = code and INPUT in dict(look.poll(0))
    os.close(seen)
    if alone and made:
        made.unlink(missing_ok=True)
    return code


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when the one that forked it ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(FAILED)


def _do(work: Callable[..., Any], made: Path | None, arguments: Any, ends: tuple[int, int]) -> Never:
    """Do a work, say so at both ends, and end the process at once."""
    done, answers = ends
    try:
        sent = messages(INPUT)
        said = {"answer": work(sent, *arguments)}
        for _ in sent:
            pass
    except BaseException as e:  # noqa: BLE001 - whatever it is, the parent is to know it
        said = _failure(e, made)
    os.write(done, b".")
    try:
        put(answers, said)
    except BrokenPipeError:
        said = {}
    # HDF5 would try to write what it holds when Python ends, and crash on a full disk.
    os._exit(0 if "answer" in said else FAILED)


def _failure(error: BaseException, made: Path | None) -> dict[str, Any]:
    """Return what the parent is told: what the system said if it said something, else what HDF5 did."""
    number = getattr(error, "errno", None)
    said = os.strerror(number) if number else f"{type(error).__name__}: {error}".replace("\n", " ")
    # Before the parent removes what was written.
    free = shutil.disk_usage(made.parent).free if made else None
    return {"error": said, "number": number, "free": free}
