"""What a run is doing, while it does it: a line on a terminal, lines in a log, a bar in a notebook."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from ..sizes import show

TICK = 0.5
"""Seconds between looks; nothing is shown of what takes less."""
LINES = 30.0
"""Seconds between lines in a log."""
SILENCE = 45.0
"""Seconds without anything done after which it is said what is waited for."""
AGAIN = 60.0
"""Seconds until it is said again."""
RECENT, FEW = 300.0, 10
"""Speed is that of the last so many seconds, and of so many chunks at least."""
CELLS = 20
"""Of a bar."""
MINUTE, HOUR = 60, 3600


class Progress:
    """The phases of a run: which it is in, how far, how fast, how long still, and what is waited for.

    Each phase is said if it lasts. Whoever prints to the terminal meanwhile does not break the line.

    Parameters
    ----------
    phase : str
        The first one.
    quiet : bool
        Show nothing.
    """

    def __init__(self, phase: str = "", *, quiet: bool = False) -> None:
        self._show: Any = Nothing() if quiet or "DXFLOW_QUIET" in os.environ else fitting()
        self._ask: Callable[[], str] = str
        self._noted = ""
        self._lock, self._stop = threading.RLock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="dxflow-progress", daemon=True)
        self.phase(phase)

    def phase(self, name: str, total: int = 0, unit: str = "") -> None:
        """Begin a phase; `total` says how much there is to do, in bytes or in some other unit."""
        with self._lock:
            self.name, self.total, self.unit, self.count = name, int(total), unit, 0
            self._began = self._moved = self._said = time.monotonic()
            self._samples = deque([(self._began, 0)])

    def add(self, n: int, *, reused: bool = False) -> None:
        """Count what is done; what had been done before is no speed."""
        with self._lock:
            self._moved = time.monotonic()
            if reused:
                self.total -= int(n)
            else:
                self.count += int(n)
                self._sample()

    def _sample(self) -> None:
        """Note how much is done now; forget what is long ago, such as hours in a queue before the first chunk."""
        self._samples.append((self._moved, self.count))
        while len(self._samples) > FEW and self._moved - self._samples[1][0] > RECENT:
            self._samples.popleft()

    def note(self, text: str, *, lasting: bool = False) -> None:
        """Show the state of the cluster: beside the bar; `lasting`, or where there is no bar, in a line of its own."""
        if text == self._noted or self._stop.is_set():
            return
        self._noted = "" if lasting else text
        if lasting or not self._show.beside:
            self._show.say(text)

    def watch(self, ask: Callable[[], str]) -> None:
        """Have a function asked what is waited for, whenever nothing was done for some time."""
        self._ask = ask

    def __enter__(self) -> Progress:
        self._show.open()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        # It may be asking a cluster that does not answer.
        self._thread.join(TICK)
        with self._lock:
            self._show.close()

    # In a thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            waiting = self._waiting()
            with self._lock:
                if self._stop.is_set():
                    return
                if waiting:
                    self._show.say(waiting)
                self._show.update(self.line(), self._fraction())

    def _waiting(self) -> str:
        """Return what is waited for, every now and then while nothing is done."""
        now = time.monotonic()
        if now - self._moved < SILENCE or (self._said > self._moved and now - self._said < AGAIN):
            return ""
        self._said = now
        try:
            text = self._ask()
        # A cluster that is just ending may answer anything.
        except Exception as e:  # noqa: BLE001
            text = f"not known ({type(e).__name__}: {e})"
        return f"{self.name}: nothing done for {clock(now - self._moved)}; {text}" if text else ""

    def _fraction(self) -> float | None:
        return min(1.0, self.count / self.total) if self.total > 0 else None

    def line(self) -> str:
        """Return phase, how much is done, speed, time left, and the state of the cluster."""
        seconds = time.monotonic() - self._began
        parts = [self.name, *(self._measures(seconds) if self.total > 0 else [clock(seconds)])]
        return "  ".join([*parts, *([f"| {self._noted}"] if self._noted else [])])

    def _measures(self, seconds: float) -> list[str]:
        done = f"{100 * self.count // self.total:3d} %"
        if self.unit:
            return [done, f"{self.count} of {self.total} {self.unit}"]
        since, before = self._samples[0]
        speed = (self.count - before) / max(time.monotonic() - since, TICK) if self.count else 0
        left = f"{clock((self.total - self.count) / speed)} left" if speed else f"since {clock(seconds)}"
        return [done, f"{show(self.count)} of {show(self.total)}", f"{show(round(speed))}/s", left]


def during(phase: str, function: Callable[..., Any], *args: Any, quiet: bool = False, **options: Any) -> Any:
    """Return what a function returns; say what is being done if that lasts."""
    with Progress(phase, quiet=quiet):
        return function(*args, **options)


def clock(seconds: float) -> str:
    """Return a time as 0:42 or 1:23:45."""
    whole = round(seconds)
    minutes = f"{whole // MINUTE % MINUTE}:{whole % MINUTE:02d}"
    return minutes if whole < HOUR else f"{whole // HOUR}:{minutes.zfill(5)}"


# Where it is shown ------------------------------------------------------------------------------


class Nothing:
    """Shows nothing."""

    beside = True

    def open(self) -> None:
        """Begin."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def update(self, line: str, fraction: float | None) -> None:
        """Show the state now."""

    def close(self) -> None:
        """End."""


def _write(stream: Any, text: str) -> None:
    """Write to a stream; a closed terminal, a broken pipe or a full disk of logs is no reason to end a run."""
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


class Log(Nothing):
    """Lines in a file or a pipe, one every so many seconds."""

    beside = False

    def __init__(self) -> None:
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line."""
        self._last = time.monotonic()
        _write(sys.stderr, f"dxflow: {text}\n")

    def update(self, line: str, fraction: float | None) -> None:
        """Write a line if it is time for one."""
        if time.monotonic() - self._last >= LINES:
            self.say(line)


class Terminal(Nothing):
    """One line that is written again and again, and gives way to whatever else is printed."""

    def __init__(self) -> None:
        self._out, self._streams = sys.stderr, (sys.stdout, sys.stderr)
        self._shown, self._within = False, False
        self._lock = threading.RLock()

    def open(self) -> None:
        """Begin: what others print from here on goes through `write`."""
        sys.stdout, sys.stderr = (_Around(s, self) for s in self._streams)

    def say(self, text: str) -> None:
        """Write a line above."""
        with self._lock:
            self._clear()
            _write(self._out, f"{text}\n")

    def update(self, line: str, fraction: float | None) -> None:
        """Write the line anew, unless somebody is in the middle of one."""
        with self._lock:
            if self._within or _debugging():
                return
            width = shutil.get_terminal_size().columns - 1
            # In the end the cursor is at the begin: what other processes print is not behind it.
            _write(self._out, f"\r{(bar(fraction) + line)[:width]}\x1b[K\r")
            self._shown = True

    def write(self, stream: Any, text: str) -> int:
        """Write what somebody prints."""
        with self._lock:
            self._clear()
            self._within = not text.endswith("\n") if text else self._within
            return int(stream.write(text) or 0)

    def _clear(self) -> None:
        if self._shown:
            _write(self._out, "\r\x1b[K")
            self._shown = False

    def close(self) -> None:
        """Take the line away."""
        with self._lock:
            self._clear()
        if isinstance(sys.stdout, _Around):
            sys.stdout = self._streams[0]
        if isinstance(sys.stderr, _Around):
            sys.stderr = self._streams[1]


def _debugging() -> bool:
    """Return whether the main thread is at the prompt of a debugger, which must not be written over."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    for _ in range(3):
        if frame is not None and Path(frame.f_code.co_filename).name in ("pdb.py", "bdb.py", "cmd.py"):
            return True
        frame = frame.f_back if frame is not None else None
    return False


class _Around:
    """A stream that others print to while a line is shown."""

    def __init__(self, stream: Any, terminal: Terminal) -> None:
        self._stream, self._terminal = stream, terminal

    def write(self, text: str) -> int:
        """Write, with the line out of the way."""
        return self._terminal.write(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def bar(fraction: float | None) -> str:
    """Return a bar of characters that every terminal has."""
    if fraction is None:
        return ""
    full = int(CELLS * fraction)
    return f"[{'#' * full}{'.' * (CELLS - full)}] "


class Notebook(Nothing):
    """A bar with a line beside it, in the output of a cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._said: list[str] = []

    def say(self, text: str) -> None:
        """Keep a line below the bar: the last three."""
        self._said = [*self._said, text][-3:]

    def update(self, line: str, fraction: float | None) -> None:
        """Show the state anew."""
        self._display(html(line, fraction, self._said))

    def close(self) -> None:
        """Take the bar away; what was said stays."""
        if self._handle is not None or self._said:
            self._display("<br>".join(map(escape, self._said)))

    def _display(self, text: str) -> None:
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)
        else:
            self._handle.update(HTML(text))


def html(line: str, fraction: float | None, said: list[str]) -> str:
    """Return a bar and lines as HTML."""
    value = "" if fraction is None else f' value="{fraction:.3f}"'
    shown = f'<progress max="1"{value} style="width:16em"></progress> <code>{escape(line)}</code>'
    return "<br>".join([shown, *(f"<small>{escape(text)}</small>" for text in said)])


def fitting() -> Nothing:
    """Return what fits where this process runs."""
    if _notebook():
        return Notebook()
    # A process without a terminal may have no such stream at all, or a closed one.
    if sys.stderr is None or sys.stderr.closed:
        return Nothing()
    return Terminal() if sys.stderr.isatty() else Log()


def _notebook() -> bool:
    """Return whether this is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
