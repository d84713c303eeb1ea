"""A run that grows, file by file, for `dxflow.live.following`: what of it is closed and complete is planned."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import sizes
from ..errors import NothingToRead, PlanError
from ..errors.redact import logger
from ..planning import memory
from ..planning.fingerprint import locations
from ..reader.faults import ReadFault
from ..reader.files import Files
from ..run.bound import train_bytes
from ..run.open import places
from ..run.part import Part
from .closed import QUIET, Closing, Identity, Seen
from .ended import Ended, Missed
from .following import Step
from .frontier import File, Frontier
from .parameters import Asked
from .state import Standing

if TYPE_CHECKING:
    from ..planning.public import Plan

LONGEST, LARGEST = 64, 4 * 2**30
"""Trains of a chunk, and its bytes, where nothing is said: a power of two."""
WAIT, END = 60.0, 300.0
"""What is taken where nothing is said: seconds that others wait for what lags, seconds without any
change after which a run has ended."""
log = logger(__name__)
IDLE = 5
"""Times as long as a look at all files took, until the next: a file system may have much to do."""
SOON = 0.1
"""Seconds that somebody waits who wants to say how it goes."""
SETTLED = 1.0
"""Seconds after the first file of an aggregator until it is found out who reads it: others come with it."""


class Planner(Protocol):
    """Makes plans: what is asked for, of a run or of a part of it."""

    def __call__(self, run: Any, to: Path | None, *, chunk: str, resume: bool = False) -> Plan:
        """Return a plan."""


@dataclass(frozen=True)
class Ending:
    """When a run has ended: after so many seconds without a change, or at once with what is closed."""

    seconds: float = END

    @classmethod
    def of(cls, text: str) -> Ending:
        """Read ``--end``: seconds, "now" or "never".

        Raises
        ------
        ValueError
            If it is none of these.
        """
        named = {"now": 0.0, "never": np.inf}
        try:
            seconds = named[text] if text in named else float(text)
        except ValueError:
            seconds = -1.0
        if not seconds >= 0:
            raise ValueError(f"--end {text}: expected seconds without a new file, now, or never")
        return cls(seconds)


class GrowingRun:
    """The trains of a run whose files are being written.

    Parameters
    ----------
    run : path or (proposal, run)
        It need not be there yet.
    planner : Planner
        Where it has a method ``changed(asked)``, which returns another one or raises a ValueError, options can be
        changed.
    about : mapping
        What runs, as plain values.
    chunk : str, optional
        ``"64 trains"``; by default what suits the data, 64 trains at most.
    wait : float
        Seconds that others wait for aggregators whose files come later.
    end : Ending
    quiet : float, optional
        Seconds without a change after which a file is closed that has no newer sequence.
    """

    def __init__(
        self,
        run: Any,
        planner: Planner,
        about: Mapping[str, Any],
        *,
        chunk: str = "",
        wait: float = WAIT,
        end: Ending | None = None,
        quiet: float | None = None,
    ) -> None:
        if chunk and not sizes.trains(chunk):
            raise PlanError(f"chunk={chunk!r}: a run that grows is cut by train ids, such as '64 trains'")
        _refuse_wrong(run)
        self.run, self.planner, self.about = run, planner, about
        self._first: int | None = None
        self._chunk, self._end = chunk, end or Ending()
        self._lock = threading.Lock()
        """Held while it is looked what is there: by the one that works, or by the one that says how it goes."""
        # What has not changed until the run has ended is closed.
        self._closing = Closing(min(QUIET, self._end.seconds or QUIET) if quiet is None else quiet)
        self._frontier = Frontier(sizes.trains(chunk) or LONGEST, wait)
        self._files: dict[str, tuple[Identity, File]] = {}
        self._streams: tuple[frozenset[str], float] = (frozenset(), 0.0)
        self._judged: set[str] = set()
        self._done = self._taken = -1
        """The ids at which what is done ends, and what is being done."""
        self._fresh, self._late = False, 0
        """Whether something came for chunks that are done, and how much did."""
        self._open = 0
        self._missed = Missed()
        """What came of trains whose version was final."""
        self._standing, self._scanned = Standing(), (0.0, 0.0, False)
        """What was said last; how long the last look took, when it was, and whether there was a run directory."""

    def chunk(self) -> str:
        """Return how trains are cut."""
        return self._chunk or f"{LONGEST} trains"

    def cut(self, chunk: str) -> None:
        """Cut trains as they were cut before an interruption."""
        self._chunk, self._frontier.step = chunk, sizes.trains(chunk)

    def look(self) -> Step | str:
        """Return what can be done now, or what is waited for."""
        with self._lock:
            return self._found(time.monotonic())

    def _found(self, now: float) -> Step | str:
        if not self._scan(now):
            return f"{self._named()}, which is not there yet"
        ended = self._ended()
        if not self._files:
            if ended and self._end.seconds == 0:
                raise PlanError(
                    f"{self._named()}: no file of it is closed yet; without --end now it is waited for"
                )
            return f"the first files of {self._named()} to be closed"
        if why := self._judge(now, ended):
            return why
        self._note_missed()
        last = self._frontier.last() if ended else self._frontier.complete(now)
        if ended or last > self._done or (self._fresh and self._done >= 0):
            return self._step(max(last, self._done), ended)
        return self._frontier.waiting(now) or self._more()

    def _more(self) -> str:
        if np.isinf(self._end.seconds):
            return "more files of the run"
        return f"more files of the run, which has ended when none has changed for {self._end.seconds:g} s"

    def plan(self, step: Step, to: Path, *, resume: bool = False) -> Plan:
        """Plan a result of the trains of a step; that of a whole run in the end, as nobody would plan it otherwise."""
        whole = step.what["whole"] and self._first is None
        of = self.run if whole else Part(self.run, tuple(step.what["files"]), self._first, step.last)
        plan = self.planner(of, to, chunk=self.chunk(), resume=resume)
        return replace(plan, losses=(*plan.losses, *self._missed.losses))

    def check(self, asked: Asked) -> None:
        """Raise a ValueError if options cannot be changed so."""
        planner = self._changed(asked)
        if self._files:
            with suppress(NothingToRead):
                planner(Part(self.run, self._paths()), None, chunk=self.chunk())

    def change(self, asked: Asked, after: int | None) -> None:
        """Plan with other options from now on: all trains if they are asked for again, else those after one."""
        self.planner = self._changed(asked)
        self._judged, self._fresh = set(), False
        if asked.again:
            self._first, self._done, self._taken = None, -1, -1
            self._missed = Missed()
        elif after is not None:
            self._first = after + 1
            self._done = self._taken = max(self._done, after)

    def ended(self, name: str, last: int, what: Mapping[str, Any]) -> None:
        """Take note of a version that is final, with the trains up to one: of which files, and how it is called."""
        self._missed.ended(Ended(name, self._first or 0, last, frozenset(what["files"])))

    def done(self, step: Step) -> None:
        """Take note that the result of a step is there."""
        self._done = step.last

    def standing(self) -> Standing:
        """Return how far the work is behind."""
        # Files are closed while others are worked on; what has to be found out first is said the next time.
        if self._lock.acquire(timeout=SOON):
            try:
                with suppress(PlanError):
                    self._scan(time.monotonic())
                trains, since = self._frontier.after(self._done)
                seconds = max(0.0, time.monotonic() - since) if trains else 0.0
                self._standing = Standing(trains, seconds, late=self._late + self._missed.trains)
            finally:
                self._lock.release()
        return self._standing

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _changed(self, asked: Asked) -> Planner:
        if not hasattr(self.planner, "changed"):
            raise PlanError("the options of this reduction cannot be changed")
        changed: Planner = self.planner.changed(asked)
        return changed

    # What is there ----------------------------------------------------------------------------------

    def _named(self) -> str:
        if isinstance(self.run, tuple):
            return "proposal {}, run {}".format(*self.run)
        return f"the run directory {self.run}"

    def _look(self, folders: Sequence[str]) -> list[Seen]:
        try:
            return self._closing.look(folders)
        except OSError as e:
            raise PlanError(f"{self._named()}: {e.strerror}") from e

    def _scan(self, now: float) -> bool:
        """Take note of all files; return whether there is a run directory."""
        took, last, there = self._scanned
        if now - last < IDLE * took:
            return there
        folders = [folder for folder in places(self.run) if os.path.isdir(folder)]
        if folders:
            self._take(self._look(folders), now)
        self._scanned = time.monotonic() - now, time.monotonic(), bool(folders)
        return bool(folders)

    def _take(self, seen: Sequence[Seen], now: float) -> None:
        """Note files that are new, closed or written again."""
        streams = frozenset(one.stream for one in seen)
        if streams != self._streams[0]:
            self._streams = streams, now
        self._open = sum(not one.closed for one in seen)
        for one in seen:
            before = self._files.get(one.path)
            if not one.closed:
                self._files.pop(one.path, None)
                self._frontier.note(one.stream, one.sequence, None)
            elif before is None or before[0] != one.identity:
                file = File(one.path, trains_of(one.path), now)
                self._files[one.path] = one.identity, file
                self._frontier.note(one.stream, one.sequence, file)
                self._count_late(one.stream, file)

    def _count_late(self, stream: str, file: File) -> None:
        """Count the trains of a new file whose chunks are done: they are worked on again."""
        if self._taken >= 0 and stream not in self._frontier.unneeded:
            # Those of an earlier version are none of this one.
            mine = (file.trains <= self._taken) & (file.trains >= (self._first or 0))
            late = int(np.count_nonzero(mine))
            self._late, self._fresh = self._late + late, self._fresh or late > 0

    def _note_missed(self) -> None:
        """Say of what is in no result, once, that it is so."""
        for loss in self._missed.look(self._frontier.needed):
            log.warning("%s", loss)

    def _ended(self) -> bool:
        """Return whether the run has ended, as far as the last look at it says: what came since is not known."""
        took, at, _ = self._scanned
        looked = time.time() - (time.monotonic() - at) - took
        return self._end.seconds == 0 or looked - self._closing.changed >= self._end.seconds

    def _judge(self, now: float, ended: bool) -> str:
        """Find out which aggregators are read; return what is waited for before that."""
        there = {
            one.name for one in self._frontier.streams.values() if any(len(f.trains) for f in one.closed)
        }
        if there <= self._judged:
            return ""
        since = now - self._streams[1]
        if since < SETTLED and not ended:
            return "the first files of other aggregators"
        try:
            plan = self.planner(Part(self.run, self._paths()), None, chunk=self.chunk())
        except NothingToRead:
            self._judged = there
            return ""
        except ValueError as e:
            still = time.time() - self._closing.changed
            if ended or max(since, still) >= self._frontier.wait:
                raise
            return f"files of other aggregators: {e}"
        read = {os.path.abspath(f) for bound in plan.inputs for at in locations(bound) for f in at.files}
        for name in there:
            own = {os.path.abspath(file.path) for file in self._frontier.streams[name].closed}
            (self._frontier.unneeded.discard if own & read else self._frontier.unneeded.add)(name)
        self._judged = there
        if not self._chunk:
            self.cut(f"{suitable(plan)} trains")
        return ""

    def _paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    def _step(self, last: int, ended: bool) -> Step | str:
        """Return what can be done up to a train."""
        self._fresh, first = False, self._first or 0
        ids = [file.trains[(file.trains <= last) & (file.trains >= first)] for file in self._frontier.files()]
        ids = [some for some in ids if len(some)]
        what = {"files": self._paths(), "whole": ended and not self._open}
        if ended and self._open:
            log.warning("%s: %d files that are not closed are left out", self._named(), self._open)
        if ids:
            self._taken = last
            return Step(int(min(some.min() for some in ids)), last, ended, what)
        if ended and first:
            return Step(last + 1, last, ended, what)
        if ended:
            raise PlanError(f"{self._named()}: no train is in any of its files")
        return "trains"


def _refuse_wrong(run: Any) -> None:
    """Raise if there can never be a run directory."""
    if isinstance(run, tuple):
        places(run)
        return
    path = Path(run).absolute()
    if path.is_file():
        raise PlanError(
            f"{run} is a file: expected a run directory, whose files are closed one after the other"
        )
    if not path.parent.is_dir():
        raise PlanError(f"{run}: not even the folder {path.parent} is there; it would be waited for in vain")


def suitable(plan: Plan) -> int:
    """Return how many trains a chunk of a plan should have: some GB, and more than it leaves of outputs of the run."""
    per_train = np.sum([train_bytes(one) for one in plan.inputs], axis=0)
    partials = memory.partial_bytes(plan.algorithms, slice(0, max(len(i.modules) for i in plan.inputs)))
    fit = int(max(LARGEST, 32 * partials) // max(1, per_train.max()))
    return min(LONGEST, 1 << max(0, fit.bit_length() - 1))


def trains_of(path: str) -> NDArray:
    """Return the train ids of a file that is closed; none of one that cannot be read, which its plan will say."""
    from ..run.file import RunFile

    files = Files(planning=True)
    try:
        return np.asarray(RunFile(path, files).train_ids, np.int64)
    except (ReadFault, OSError):
        return np.zeros(0, np.int64)
    finally:
        files.close()
