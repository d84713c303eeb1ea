"""Work in a thread, so that its process can say so, and end, where the file system of results does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .sight import START, Sight, SightError, SilentError

LOOK = 5.0
"""Seconds between looks at what the thread does, and after which one that does not rest may hang."""
ASKED = 0.5
"""Seconds between looks once it is asked to end."""
PATIENCE = 5.0
"""Seconds for which a file system may be slow."""


class Aside:
    """Runs work in a thread, and looks after it.

    That the file system hangs is known by a process of its own, which is asked to touch a folder there: work that only
    takes long is not taken for that.

    Parameters
    ----------
    folder : Path
        Where results are.
    say
        Takes words.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self.asked = threading.Event()
        """Set when the work is to end in order."""
        self.left = threading.Event()
        """Set when it is not to wait for anything any more."""
        self._done = threading.Event()
        self._since: float | None = time.monotonic()
        self._sight: Sight | None = None
        self._hangs = False
        self._result: Any = None
        self._error: BaseException | None = None

    def rest(self, seconds: float) -> bool:
        """Rest, as the thread does between one thing and the next; return whether it is to end."""
        self._since = None
        try:
            return self.asked.wait(seconds)
        finally:
            self._since = time.monotonic()

    def run(self, work: Callable[[], Any]) -> Any:
        """Return what work returns; Ctrl-C is handed on to it, unless it hangs.

        Raises
        ------
        KeyboardInterrupt
            After the work has ended since it was asked to; at once, where a file system keeps it from that.
        """
        threading.Thread(target=self._work, args=(work,), name="dxflow-watch", daemon=True).start()
        interrupt: KeyboardInterrupt | None = None
        try:
            # Not by joining the thread: Python 3.11 takes one for ended whose join was interrupted.
            while not self._done.is_set():
                try:
                    self._done.wait(ASKED if interrupt else LOOK)
                    self._look(ASKED if interrupt else LOOK)
                except KeyboardInterrupt as e:
                    if interrupt is not None:
                        self.left.set()
                    interrupt = interrupt or e
                    self.asked.set()
                if interrupt is not None and self._hangs:
                    interrupt.add_note(
                        f"{self._folder} does not answer: what was begun there is found again by the next one"
                    )
                    raise interrupt
        finally:
            if self._sight is not None:
                self._sight.close()
        if self._error is not None:
            raise self._error
        if interrupt is not None:
            interrupt.add_note("the state is kept: the same command goes on with it")
            raise interrupt
        return self._result

    def _work(self, work: Callable[[], Any]) -> None:
        try:
            self._result = work()
        # It is raised where the work was asked for.
        except BaseException as e:  # noqa: BLE001
            self._error = e
        finally:
            self._done.set()

    def _look(self, patience: float) -> None:
        """Find out whether the work hangs; say so once, and when it goes on."""
        since = self._since
        if self._done.is_set() or since is None or time.monotonic() - since < patience:
            hangs = False
        else:
            self._sight = self._sight or Sight()
            # What is known to hang is not waited for once more, and a process that begins not by who wants to end.
            self._sight.deadline = ASKED if self._hangs else PATIENCE
            self._sight.start = PATIENCE if self.asked.is_set() else START
            try:
                self._sight.ask("touch", str(self._folder))
                hangs = False
            except SightError:
                # What says that it cannot answers.
                hangs = False
            except SilentError:
                hangs = True
        if hangs != self._hangs:
            self._hangs = hangs
            self._say(
                f"{self._folder} does not answer: nothing is begun or noted until it does; what is under way goes on"
                if hangs
                else f"{self._folder} answers again"
            )
