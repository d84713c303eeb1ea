"""SIGTERM, as of ``kill``, ``timeout`` or a batch system, ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def end(*_: Any) -> None:
    """Raise Terminated, once: ``timeout`` sends a signal to the process and again to its group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


@contextmanager
def told() -> Iterator[None]:
    """Have SIGTERM raise Terminated, unless the process has another use for it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
