"""A stream that grows, for `dxflow.live.following`: chunks that came are planned, and freed when they are done."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PlanError
from ..run.part import Part
from ..sizes import count
from .account import LATE
from .following import Step
from .parameters import Asked as Change
from .snapshots import Place
from .state import Standing
from .stream import Stream, StreamFailed

if TYPE_CHECKING:
    from ..planning.public import Plan
    from .folder import Planner
    from .received import Pattern, Piece

SCHEME = "tcp://"
OTHER = "the stream is another one in "
"""What is changed if it is no option of an algorithm, before the source that is."""
POLL = 0.5
"""Seconds that a look waits for a chunk to be complete."""
TWICE = 1.0
"""Seconds within which a second signal is the same one by another way."""


def is_stream(source: Any) -> bool:
    """Return whether a source is the address of a stream."""
    return isinstance(source, str) and source.startswith(SCHEME)


class GrowingStream:
    """The trains that come from a bridge.

    Parameters
    ----------
    stream : Stream
        It has begun.
    planner : Planner
        What it makes has gone through `Stream.planned`.
    about : mapping
        What runs, as plain values.

    Attributes
    ----------
    snapshots : int
        How many there were.
    """

    def __init__(self, stream: Stream, planner: Planner, about: Mapping[str, Any]) -> None:
        # What came before is gone: one that begins again is another one.
        self.about: Mapping[str, Any] = {
            **about,
            "began": time.strftime("%Y-%m-%d %H:%M:%S"),
            "process": os.getpid(),
        }
        self._stream, self._planner = stream, planner
        self.snapshots = self._done = self._trains = 0
        """Pieces and trains of which there is a snapshot."""
        self._from = 0
        """The first piece of this version of the result."""
        self._began, self._fits = 0.0, False
        """When the first chunk came, and whether there is a plan of what came."""
        self._planned: Plan | None = None
        self._chunk = ""
        self._digests: dict[int, str] = {}
        self._before: dict[str, Pattern] = {}
        """Of the chunks that are done, and what was told of their groups."""

    def chunk(self) -> str:
        """Return how trains are cut in the newest plan."""
        return self._chunk

    def _cut(self, stop: int) -> str:
        """Return how trains are cut in the pieces up to one: as in the last, also where this is finer than before."""
        return count(self._stream.pieces[stop - 1].chunk, "train")

    def look(self) -> Step | Change | str:
        """Return what can be done now, or what is waited for.

        Raises
        ------
        PlanError
            If nobody answers, or a stream ended without a train.
        """
        try:
            self._stream.wait(self._done, POLL)
        except StreamFailed as e:
            raise PlanError(str(e)) from e
        # In this order: what ends a stream comes after its last piece.
        ended, pieces = self._stream.ended, self._stream.pieces
        if len(pieces) > self._done or (ended and pieces):
            ids = [p.train_ids for p in pieces[self._from :]]
            if not ids:
                return Step(1, 0, True, len(pieces))
            first, last = int(min(i[0] for i in ids)), int(max(i[-1] for i in ids))
            step = Step(first, last, bool(ended), len(pieces))
            return self._judged(step) or self._otherwise(step) or step
        report = self._stream.report
        if ended:
            raise PlanError(f"{self._stream.asked.endpoint}: {ended}, and no train came that could be kept")
        if report.waiting:
            return report.waiting
        silent = (
            f", the last came {report.silent:.0f} s ago" if report.account.came and report.silent > 2 else ""
        )
        return f"trains from {self._stream.asked.endpoint}{silent}"

    def _judged(self, step: Step) -> str:
        """Return why there is no plan yet: a detector may begin to send after others."""
        self._began = self._began or time.monotonic()
        if not self._fits:
            try:
                self.plan(step, None)
            except PlanError as e:
                if step.final or time.monotonic() > self._began + self._stream.asked.wait:
                    raise
                time.sleep(POLL)
                return f"other sources, as without them: {e}"
            self._fits = True
        return ""

    def _otherwise(self, step: Step) -> Change | None:
        """Return the change of a stream that is told otherwise from now on: of other pulses, of more modules.

        Chunks that are done would be done again, and their data are gone: the result so far ends as a version.
        """
        pieces = self._stream.pieces[: step.what]
        told = self._told(pieces[self._from :])
        chunk = self._cut(step.what)
        if not self._digests or (told == self._before and chunk == self._chunk):
            return None
        if chunk == self._chunk:
            made = self._planner(self._part(step.what), None, chunk=chunk)
            now = dict(zip(made.places, made.digests, strict=True))
            if all(now.get(place) == of for place, of in self._digests.items()):
                return None
        more = sorted(place for place in told if told[place] != self._before.get(place))
        return Change(f"{OTHER}{more[0] if more else 'the bytes of its trains'}")

    def _told(self, pieces: Sequence[Piece]) -> dict[str, Pattern]:
        """Return what is told of the groups of some pieces."""
        told: dict[str, Pattern] = {}
        for piece in pieces:
            for place, pattern in piece.patterns.items():
                told[place] = told[place] | pattern if place in told else pattern
        return told

    def plan(self, step: Step, to: Path | None, *, resume: bool = False) -> Plan:
        """Plan a result of the trains that came; `resume` means nothing, as what was not done is gone."""
        chunk = self._cut(step.what)
        made = self._planner(self._part(step.what), to, chunk=chunk)
        self._chunk = chunk
        self._stream.read(step.what)
        self._planned = made
        return made

    def _part(self, stop: int) -> Part:
        """Return the pieces of this version up to one, as part of a run."""
        pieces = self._stream.pieces[self._from : stop]
        return Part(str(self._stream.folder), tuple(p.file for p in pieces))

    def check(self, asked: Change) -> None:
        """Raise a ValueError if options cannot be changed so."""
        if asked.again:
            raise PlanError("the trains of a stream are gone when they are done: without --again")
        changed = self._changed(asked)
        if (stop := len(self._stream.pieces)) > self._from:
            changed(self._part(stop), None, chunk=self._cut(stop))

    def change(self, asked: Change, after: int | None) -> None:
        """Plan with other options from now on."""
        if not asked.algorithm.startswith(OTHER):
            self._planner = self._changed(asked)
        self._from, self._fits, self._digests, self._before = self._done, False, {}, {}

    def _changed(self, asked: Change) -> Planner:
        if not hasattr(self._planner, "changed"):
            raise PlanError("the options of this reduction cannot be changed")
        changed: Planner = self._planner.changed(asked)
        return changed

    def done(self, step: Step) -> None:
        """Free the memory of chunks that are done."""
        pieces = self._stream.pieces[: step.what]
        for piece in pieces[self._done :]:
            self._stream.free(piece)
        self.snapshots += 1
        if self._planned is not None:
            self._digests = dict(zip(self._planned.places, self._planned.digests, strict=True))
            self._before = self._told(self._stream.pieces[self._from : step.what])
        self._done, self._trains = len(pieces), sum(len(p.train_ids) for p in pieces)

    def standing(self) -> Standing:
        """Return how far the work is behind, and what was lost on the way."""
        report = self._stream.report
        account = report.account
        late = account.dropped[LATE].trains if LATE in account.dropped else 0
        behind = account.kept - self._trains
        return Standing(
            behind,
            self._stream.age(self._done) if behind else 0.0,
            account.trains_dropped - late,
            account.not_received,
            late,
        )

    def close(self) -> None:
        """Receive no more."""
        self._stream.stop()


def set_aside(to: Path) -> Path | None:
    """Move the newest snapshot of a stream that was interrupted away, as nothing can be added to it; return where.

    Raises
    ------
    PlanError
        If another process works there.
    """
    place = Place(to)
    about = place.about()
    if about is None or not is_stream(about.get("source")):
        return None
    with place.held(about):
        kept = None
        if not place.finished:
            if numbers := place.numbers():
                kept = _free(place.to)
                os.rename(place.folder / f"{numbers[-1]:04d}.zarr", kept)
            if place.to.is_symlink() and not place.to.exists():
                place.to.unlink()
        place.clear()
    return kept


def _free(to: Path) -> Path:
    """Return a name like one that is to be free."""
    n = 1
    while os.path.lexists(path := to.with_name(f"{to.stem}-{n}{to.suffix}")):
        n += 1
    return path


@contextmanager
def ending(stream: Stream, say: Callable[[str], None]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end a stream, so that there is a result of what came; a second one ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def back() -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def first(*_: object) -> None:
        at = time.monotonic()

        def second(number: int, _: object) -> None:
            # Slurm tells all processes of a job to end, and so does the script that has begun this one.
            if time.monotonic() - at > TWICE:
                back()
                os.kill(os.getpid(), number)

        for number in numbers:
            signal.signal(number, second)
        say(
            "ending   no more trains are received: the result is made of those that came (once more: at once)"
        )
        # Whatever is being written to the receiver just now comes first.
        threading.Thread(target=stream.stop, daemon=True).start()

    for number in numbers:
        signal.signal(number, first)
    try:
        yield
    finally:
        back()
