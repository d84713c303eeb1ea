"""A stream as a run that grows: its receiver, the chunks that came, and plans of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import TYPE_CHECKING, Any, Self

from ..disk.process import start
from ..hdf5.wire import put, take
from ..planning.fingerprint import locations
from ..run.losses import Loss
from .account import UNLIKE, Account, Unlike
from .parcels import Parcels
from .receiver import Asked, Report

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..run.bound import BoundInput
    from .received import Piece

MEMORY = "/dev/shm"  # noqa: S108 - memory that processes share
OF_FILES = ("missing trains", "missing sequence")
"""What is said of the files of a run, and means something else of a stream, or nothing."""
AS_IN_FILES = ("(frame, ss, fs)", "(frame, plane, ss, fs)", "(ss, fs)", "(plane, ss, fs)")
"""Orders of axes; of a single frame there is no axis of frames."""
PATIENCE = 10.0
"""Seconds in which the receiver ends when it is asked to."""


NOTHING = Report(Account(), 0, False, 0.0, 0, "the process that receives trains starts", (), {}, {})
"""What is said before the first report."""


class StreamFailed(RuntimeError):
    """Nothing can be received, or not any more."""


@dataclass
class _Said:
    """What the receiver said last."""

    report: Report = field(default_factory=lambda: NOTHING)
    pieces: list[Piece] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    """When each was complete."""
    folder: Path | None = None
    ended: str = ""
    failed: str = ""


class Stream:
    """Trains that are received by a process of its own, while this one plans and reduces those of before.

    Parameters
    ----------
    asked : Asked
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._said, self._changed = _Said(), threading.Condition()
        self._process: Popen | None = None
        self._freed: set[int] = set()
        self._came: set[str] = set()
        self._read: set[str] = set()
        self._unread: set[str] = set()
        """Large datasets that came, that some plan reads, and of which the values are not kept."""
        self._telling = threading.Lock()

    def __enter__(self) -> Self:
        self._process = start("dxflow.live.receiving")
        assert self._process.stdin is not None
        put(self._process.stdin.fileno(), self.asked)
        self._process.stdin.flush()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        # Its input ends, and so does it; what it has in memory goes with it.
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(PATIENCE)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with suppress(EOFError, OSError, ValueError):
            while True:
                word, what = take(self._process.stdout.fileno())[0]
                with self._changed:
                    if word == "report":
                        self._said.report = what
                    elif word == "piece":
                        self._said.pieces.append(what)
                        self._said.came.append(time.monotonic())
                    elif word == "folder":
                        self._said.folder = Path(what)
                    elif word == "ended":
                        self._said.ended = what
                    elif word == "failed":
                        self._said.failed = what
                    self._changed.notify_all()
        with self._changed:
            if not (self._said.ended or self._said.failed):
                self._said.failed = f"{self.asked.endpoint}: the process that receives trains has ended"
            self._changed.notify_all()

    # What there is --------------------------------------------------------------------------------

    @property
    def report(self) -> Report:
        """What the receiver said last of itself."""
        return self._said.report

    @property
    def folder(self) -> Path:
        """Where its files are, as those of a run, until it is closed."""
        assert self._said.folder is not None
        return self._said.folder

    @property
    def ended(self) -> str:
        """Why no more trains come; "" while some may."""
        return self._said.ended

    @property
    def pieces(self) -> Sequence[Piece]:
        """The chunks that are complete, in order."""
        return tuple(self._said.pieces)

    def wait(self, pieces: int, seconds: float) -> bool:
        """Wait until there are more than so many pieces, or no more will come; return whether one of these is so.

        Raises
        ------
        StreamFailed
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._said.pieces) > pieces or self._said.ended or self._said.failed, seconds
            )
            if self._said.failed:
                raise StreamFailed(self._said.failed)
            return len(self._said.pieces) > pieces or bool(self._said.ended)

    def stop(self) -> None:
        """Receive no more; what came is a piece soon."""
        self._tell("stop", 0)

    def free(self, piece: Piece) -> None:
        """Give the memory of a piece back: all is done that needs its trains."""
        if piece.number not in self._freed:
            self._freed.add(piece.number)
            self._tell("free", piece.number)

    def read(self, pieces: int) -> None:
        """Keep no values any more of large datasets that no plan reads, of those in the pieces that it had."""
        self._came |= {name for piece in self.pieces[:pieces] for name in piece.at}
        if self._came - self._read != self._unread:
            self._unread = self._came - self._read
            self._tell("unread", sorted(self._unread))

    def age(self, piece: int) -> float:
        """Return for how many seconds a piece, by its place, has been complete; 0 if it is not."""
        came = self._said.came
        return time.monotonic() - came[piece] if piece < len(came) else 0.0

    def _tell(self, word: str, what: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with self._telling, suppress(BrokenPipeError, ValueError):
            put(self._process.stdin.fileno(), (word, what))

    # Plans ----------------------------------------------------------------------------------------

    def given(self) -> Parcels:
        """Return what plans have in place of large datasets."""
        pieces = self.pieces
        large = sorted({name for piece in pieces for name in piece.at})
        return Parcels([p for p in pieces if p.number not in self._freed], large)

    def planned(self, plan: Plan) -> Plan:
        """Return a plan of the folder of files as one of the stream: with its data, and with what did not come."""
        report = self.report
        self._read |= {n.lstrip("/") for one in plan.inputs for at in locations(one) for n in at.datasets}
        lost = tuple(loss for loss in plan.losses if loss.cause not in OF_FILES)
        return replace(
            plan,
            run=self.asked.endpoint,
            inputs=tuple(_with_axes(bound, report.orders) for bound in plan.inputs),
            given=self.given(),
            losses=(*lost, *report.account.losses(self.asked.endpoint), *_unlike(plan, report.unlike)),
        )


def _unlike(plan: Plan, found: Mapping[str, Unlike]) -> Iterator[Loss]:
    """Yield what a plan reads and came in another form in some trains.

    Frames that other modules have are counted as missing.
    """
    modules = {
        name.lstrip("/"): bound.modules[n] if bound.kind == "frames" else -1
        for bound in plan.inputs
        for at in locations(bound)
        for n, name in enumerate(at.datasets)
    }
    for place, one in sorted(found.items()):
        own = [module for name, module in modules.items() if name.partition("/")[2].startswith(f"{place}/")]
        if own:
            source = place.rpartition("/")[0] if ":" in place else place
            yield Loss(UNLIKE, 0, one.trains, one.first, one.last, source, max(own), detail=one.why)


def unusual(orders: Sequence[str]) -> list[str]:
    """Return the orders of axes that are others than in files."""
    return [one for one in orders if not one.partition(": ")[2].startswith(AS_IN_FILES)]


def _with_axes(bound: BoundInput, orders: Sequence[str]) -> BoundInput:
    """Return an input that says in which order its axes came, where that is another one than in files."""
    mine = [one for one in unusual(orders) if one.startswith(f"{bound.name}/") and f", {bound.key}: " in one]
    if bound.kind != "frames" or not mine:
        return bound
    axes = "; ".join(order.partition(": ")[2] for order in mine)
    return replace(bound, masked=f"{bound.masked}, axes of the stream {axes}".removeprefix(", "))


def memory_for(limit: int, beside: str) -> str:
    """Return a folder for parcels: in memory, if as much as that is free there, else on a disk."""
    with suppress(OSError):
        there = os.statvfs(MEMORY)
        if there.f_bavail * there.f_frsize > limit and os.access(MEMORY, os.W_OK):
            return MEMORY
    return beside
