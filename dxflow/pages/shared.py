"""Shared: figures that two processes draw, each the next one that is left, where nothing else runs in this one."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

FEW = 12
"""Figures that take no longer than to begin a process and to hand over what it has drawn."""
QUIET = ("zarr_io", "asyncio_", "dxflow-progress")
"""Beginnings of names of threads that a process may have and still be doubled: zarr begins its own anew, and that
which says how it goes is not needed in the other."""


def can_share() -> bool:
    """Return whether this process may be doubled: a program of one thread, with a core for another."""
    main = threading.main_thread()
    quiet = all(t.name.startswith(QUIET) for t in threading.enumerate() if t is not main)
    alone = quiet and threading.current_thread() is main
    return alone and hasattr(os, "fork") and len(os.sched_getaffinity(0)) > 1


def shared(names: Sequence[str], draw: Callable[[Iterator[str]], dict[str, str]]) -> dict[str, str]:
    """Return what is drawn of each name, by this process and one like it.

    Parameters
    ----------
    names : sequence of str
        At most as many as a pipe holds, thousands.
    draw : callable
        Draws the names that it is given, one after the other, and returns what became of them. What it leaves out is
        left out; the rest does not depend on who drew it.
    """
    left = _numbers(len(names))
    made, end = os.pipe()
    with warnings.catch_warnings():
        # Said of each process that has threads; see `can_share`.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _other(made, end, left, names, draw)
    os.close(end)
    try:
        done = draw(_taken(left, names))
        with os.fdopen(made, "rb", closefd=False) as file:
            text = file.read()
        with suppress(pickle.UnpicklingError, EOFError):
            # Of one that was killed there is nothing, or not all.
            done = pickle.loads(text) | done
        return done
    finally:
        os.close(made)
        os.close(left)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _other(made: int, end: int, left: int, names: Sequence[str], draw: Callable) -> None:
    """Draw what is left, hand it over and end, without tidying up what is the other's."""
    code = 1
    try:
        os.close(made)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with os.fdopen(end, "wb") as file:
            pickle.dump(draw(_taken(left, names)), file)
        code = 0
    finally:
        os._exit(code)


def _numbers(count: int) -> int:
    """Return a pipe with the numbers below this, two bytes each: who reads one has it."""
    read, write = os.pipe()
    os.write(write, b"".join(n.to_bytes(2, "big") for n in range(count)))
    os.close(write)
    return read


def _taken(left: int, names: Sequence[str]) -> Iterator[str]:
    """Yield names that nobody else has taken."""
    while number := os.read(left, 2):
        yield names[int.from_bytes(number, "big")]
