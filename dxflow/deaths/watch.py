"""What a process does with a plan right now: said in the journal if it lasts; hooks that take too long are ended."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk.replace import put
from .notes import FOLDER, note_end

EVERY = 5.0
"""Seconds between looks; what takes less is not said."""
SIGNS = 15.0
"""Seconds between signs of life: many workers write them into one folder."""
GRACE = 15.0
"""Seconds that a hook has to end once it was told to: code that is not Python hears nothing."""
SIGN = "doing-"


class HookTimeout(RuntimeError):
    """A hook that took longer than `hook_timeout`."""


@dataclass
class Hook:
    """A hook that runs: where, as a function, since that takes longer to say than many a hook runs."""

    where: Callable[[], str]
    thread: int
    began: float
    told: bool = False


@dataclass
class Task:
    """What a thread works on, since when, and in which hook it is."""

    name: str
    item: Any
    began: float
    hook: Hook | None = None


class Doing:
    """What each thread of a process is doing with a plan."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        """Seconds that a call of a hook may take."""
        self.tasks: dict[int, Task] = {}
        self._lock = threading.Lock()

    @contextmanager
    def task(self, name: str, item: Any) -> Iterator[None]:
        """Note what this thread works on."""
        thread = threading.get_ident()
        self.tasks[thread] = Task(name, item, time.monotonic())
        try:
            yield
        finally:
            self.tasks.pop(thread, None)

    @contextmanager
    def hook(self, where: Callable[[], str]) -> Iterator[None]:
        """Note the hook that this thread is in; `where` says which, in words.

        Raises
        ------
        HookTimeout
            If it took too long.
        """
        thread = threading.get_ident()
        task = self.tasks.get(thread)
        if task is None:
            yield
            return
        task.hook = hook = Hook(where, thread, time.monotonic())
        try:
            yield
        except HookTimeout as e:
            # It was raised without words, at the line of the hook that was reached.
            e.args = (self._too_long(hook),)
            raise
        finally:
            try:
                self._left(task, hook)
            except HookTimeout:
                # It came between the last line of the hook and this one.
                self._left(task, hook)
        if hook.told:
            raise HookTimeout(self._too_long(hook))

    def _left(self, task: Task, hook: Hook) -> None:
        """Note that a hook has ended."""
        with self._lock:
            task.hook = None
            if hook.told:
                # The exception may still be on its way, and would arrive in code that is not to blame.
                _throw(hook.thread, None)

    def overdue(self, grace: float = 0.0) -> list[Hook]:
        """Return the hooks that take longer than they may."""
        hooks = [hook for task in list(self.tasks.values()) if (hook := task.hook)]
        late = (self.limit or 0) + grace
        return [h for h in hooks if self.limit and time.monotonic() - h.began > late]

    def end(self, hook: Hook) -> None:
        """Raise an exception in a hook that takes too long, unless it has just ended."""
        with self._lock:
            if any(task.hook is hook for task in self.tasks.values()):
                hook.told = True
                _throw(hook.thread, HookTimeout)

    def _too_long(self, hook: Hook) -> str:
        seconds = time.monotonic() - hook.began
        return f"ended after {seconds:.0f} s: a hook may take {self.limit:g} s (hook_timeout, --hook-timeout)"

    def forgive(self, seconds: float) -> None:
        """Do not count some seconds in which this process was stopped."""
        for task in list(self.tasks.values()):
            if hook := task.hook:
                hook.began += seconds

    def last(self, hook: Hook) -> str:
        """Return what is said of a process that ends since its hook does not."""
        return f"did not end within {self.limit:g} s (hook_timeout), {hook.where()}"

    def said(self, longer: float = 0.0) -> list[dict[str, Any]]:
        """Return what lasts longer than some seconds, as JSON values."""
        now = time.monotonic()
        return [_said(task, now) for task in list(self.tasks.values()) if now - task.began >= longer]


def _throw(thread: int, kind: type[BaseException] | None) -> None:
    """Raise an exception in another thread as soon as it runs Python code again; None takes it back."""
    what = ctypes.py_object(kind) if kind else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)


def _said(task: Task, now: float) -> dict[str, Any]:
    hook = task.hook
    inside = {"hook": hook.where(), "in_hook": now - hook.began} if hook else {}
    return {"task": task.name, "item": task.item, "seconds": now - task.began, **inside}


class Watch:
    """A thread beside the work of a process: says in the journal what lasts, and ends hooks that take too long.

    Parameters
    ----------
    doing : Doing
    folder : path
        The journal.
    mortal : bool
        Whether this process may be ended for a hook that cannot be: it is a worker, and is replaced.
    """

    def __init__(self, doing: Doing, folder: Path, *, mortal: bool = False) -> None:
        self.doing, self.folder, self.mortal = doing, folder, mortal
        self._signs, self._last, self._stop = 0, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, name="dxflow-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and take back what was said."""
        self._stop.set()
        self._thread.join(EVERY)
        self.path.unlink(missing_ok=True)

    @property
    def path(self) -> Path:
        """Where this process says what it is doing."""
        return self.folder / FOLDER / f"{SIGN}{socket.gethostname()}-{os.getpid()}.json"

    def _run(self) -> None:
        pause = min(EVERY, self.doing.limit / 4) if self.doing.limit else EVERY
        before, used = time.monotonic(), time.process_time()
        while not self._stop.wait(pause):
            late = time.monotonic() - before - pause
            if late > pause and time.process_time() - used < late / 2:
                self.doing.forgive(late)
            before, used = time.monotonic(), time.process_time()
            self._look()

    def _look(self) -> None:
        """Do what is to be done every few seconds."""
        if self.mortal and (stuck := self.doing.overdue(GRACE)):
            self._die(stuck[0])
        for hook in self.doing.overdue():
            self.doing.end(hook)
        self._say()

    def _say(self) -> None:
        """Leave a sign of life."""
        now, what = time.monotonic(), self.doing.said(EVERY)
        if not what or (self._signs and now - self._last < SIGNS):
            return
        self._signs, self._last = self._signs + 1, now
        who = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID", "")}
        try:
            self.path.parent.mkdir(exist_ok=True)
            put(self.path, json.dumps({**who, "signs": self._signs, "what": what}))
        except OSError:
            # A full disk, or the run is over: whoever works will say so.
            return

    def _die(self, hook: Hook) -> None:
        note_end(self.folder, os.getpid(), self.doing.last(hook))
        os.kill(os.getpid(), signal.SIGKILL)


def signs(folder: Path) -> list[Mapping[str, Any]]:
    """Return the last signs of life of all workers."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"{SIGN}*.json")):
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError):
            continue
    return found
