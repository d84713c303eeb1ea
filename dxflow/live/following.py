"""Follow what grows: one plan after the other, each of the trains so far, a snapshot after each, the result in the end.

What grows is any object with the methods of `Grows`: a run whose files are closed one after the other
(`dxflow.live.folder.GrowingRun`), or trains that are received. It says when there is something to do (`look`), and
makes a plan of it (`plan`), whose chunks train ids decide (``chunk="64 trains"``) and whose trains are all so far:
`dxflow.driver.growing` works only on chunks that are new or changed. Where data are in no file, a plan has them in
`given` (`dxflow.worker.source.Given`): those of chunks that are done are asked for no more, as `done` says.

Options of algorithms may be changed meanwhile (`dxflow.live.parameters`), where what grows has `check` and `change`.
Then the result so far is made final as ``x.v1.zarr``, and another version of it begins.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..clusters.kept import kept
from ..driver.execute import execute
from ..driver.growing import Growing, growing
from ..driver.result import Result
from ..errors import NoRoom, NothingToRead
from . import parameters
from .observers import Observer, Snapshot, Told
from .parameters import Asked
from .snapshots import Place
from .state import Standing, State

if TYPE_CHECKING:
    from ..planning.public import Plan

POLL = 0.2
"""Seconds between looks at what grows."""
PAUSE = 5.0
"""Seconds between looks whether there is room again."""
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Step:
    """What can be done now: a result of all trains up to one.

    Parameters
    ----------
    first, last : int
        Ids of the first and the last train.
    final : bool
        Whether nothing comes after it.
    what : optional
        Of what grows, for its plan.

    The last one may have no trains, its `first` is beyond its `last` then: all are in an earlier version.
    """

    first: int
    last: int
    final: bool = False
    what: Any = None


class Grows(Protocol):
    """What grows, as `follow` sees it; `standing` is called from another thread."""

    about: Mapping[str, Any]
    """What runs, as plain values: "source", "algorithms", "options"; the same when it is gone on with."""

    def look(self) -> Step | Asked | str:
        """Return what can be done now, or in words what is waited for; called some times a second.

        Or that another version is to begin, as if that had been asked for: `change` is called with it.
        """

    def chunk(self) -> str:
        """Return how trains are cut, such as "64 trains"; called after the first step."""

    def plan(self, step: Step, to: Path, *, resume: bool = False) -> Plan:
        """Plan a result of the trains of a step; with `resume` go on with what an interrupted process did."""

    def done(self, step: Step) -> None:
        """Take note that the result of a step is there."""

    def standing(self) -> Standing:
        """Return how far the work is behind."""

    def close(self) -> None:
        """End: no more is asked for."""


class Changes(Grows, Protocol):
    """What grows, and can be reduced with other options from some train on."""

    def check(self, asked: Asked) -> None:
        """Raise a ValueError if options cannot be changed so."""

    def change(self, asked: Asked, after: int | None) -> None:
        """Plan with other options from now on: all trains if they are asked for again, else those after one."""

    def ended(self, name: str, last: int, what: Any) -> None:
        """Take note that a version is final, and of what (`Step.what`); called before `change`, may be missing."""


def follow(
    source: Grows,
    to: str | Path,
    observers: Sequence[Observer] = (),
    cluster: Any = None,
    *,
    overwrite: bool = False,
) -> Result:
    """Reduce what grows until it ends; return the final result.

    Parameters
    ----------
    source : Grows
    to : path
        Of the final result, ``x.zarr``: a link to the newest snapshot until then.
    observers : sequence of Observer
        Told of each snapshot, and about once a second how it goes.
    cluster : optional
        As of `dxflow.execute`; workers stay until the end.
    overwrite : bool
        Replace what is there: a result, or what is left of another live reduction.

    Raises
    ------
    PlanError
        If it cannot work, or another process works at the same place.
    KeyboardInterrupt
        If it is interrupted; the same call goes on then.
    """
    place, state = Place(to), State(source.standing)
    with place.held(dict(source.about), overwrite=overwrite):
        if place.finished:
            place.clear()
            return Result(place.to)
        told = Told(observers, state.now)
        told.begin({**source.about, "to": str(place.to)})
        try:
            with told.ticking(), kept(cluster), _kept_on_interrupt(place):
                _Following(source, place, state, told, cluster).run()
            place.clear()
        except BaseException:
            state.state = "failed"
            place.abandon()
            raise
        finally:
            source.close()
            told.status()
            told.close()
    return Result(place.to)


@contextmanager
def _kept_on_interrupt(place: Place) -> Iterator[None]:
    """Say what is left of an interrupted live reduction, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as e:
        e.__notes__ = [
            f"{place.to} is the newest snapshot, if there was one; the same command goes on where this was, and "
            "with --end now makes the final result of what is there"
        ]
        raise


def _entered(stack: ExitStack, plan: Plan) -> Growing:
    """Begin what the plans of a version have in common."""
    return stack.enter_context(growing(plan))


class _Following:
    """The loop of `follow`."""

    def __init__(self, source: Any, place: Place, state: State, told: Told, cluster: Any) -> None:
        self.source, self.place, self.state, self.told = source, place, state, told
        self.cluster = cluster

    def run(self) -> None:
        """Work until the final result is there."""
        if (chunk := self.place.chunk()) and hasattr(self.source, "cut"):
            self.source.cut(chunk)
        for asked, after, what in self.place.changes():
            self._change(asked, after, what)
        found = self._first()
        while True:
            while isinstance(found, Asked):
                self._begin_version(found, None)
                found = self._next()
            if found.final and found.first > found.last:
                self._take_back(found)
                return
            plan = partial(self.source.plan, found, self.place.work(self.state.version), resume=True)
            try:
                first = self._with_room(plan)
            except NothingToRead:
                found = self._more(found)
                continue
            self._with_room(partial(self.place.note_chunk, self.source.chunk()))
            with ExitStack() as stack:
                known = self._with_room(partial(_entered, stack, first))
                ended = self._version(found, known)
            if ended is None:
                return
            found = ended

    def _first(self) -> Step | Asked:
        """Return what is to be done first: what was done before an interruption, ahead of any other options."""
        if not self.place.begun():
            return self._next()
        found = self._next(asking=False)
        if isinstance(found, Step) and found.first <= found.last and parameters.waiting(self.place.folder):
            # They are looked for when that is there again.
            return replace(found, final=False)
        return found

    def _version(self, step: Step, known: Growing) -> Asked | Step | None:
        """Work on one version of the result; return what is to be done next, None if all is done."""
        while not step.final:
            try:
                self._snapshot(step, known)
                found = self._next()
            except NothingToRead:
                found = self._more(step)
            if isinstance(found, Asked):
                self._settle(step, known)
                self._begin_version(found, step)
                return self._next()
            step = found
        self._final(step, known)
        return None

    def _more(self, step: Step) -> Step | Asked:
        """Wait for more trains, where those of a step have no frame that is selected.

        Raises
        ------
        NothingToRead
            If none come.
        """
        if step.final:
            raise
        self.source.done(step)
        return self._next()

    def _next(self, *, asking: bool = True) -> Step | Asked:
        """Wait for the next thing to do, or for other options that can be taken."""
        while True:
            if asking and (asked := self._asked()) is not None:
                return asked
            found = self.source.look()
            if not isinstance(found, str):
                self.state.works()
                return found
            self.state.state, self.state.waiting_for = "waiting", found
            time.sleep(POLL)

    # Versions ---------------------------------------------------------------------------------------

    def _asked(self) -> Asked | None:
        """Return what is asked for, if it can be; say of other things why they cannot."""
        for asked in parameters.waiting(self.place.folder):
            try:
                if not hasattr(self.source, "check"):
                    raise ValueError("options of a stream cannot be changed")
                self.source.check(asked)
                self.place.refuse_version(self.state.version)
            # Whatever a wrong value makes an algorithm raise: the run goes on as it was.
            except Exception as e:  # noqa: BLE001
                words = str(e) or type(e).__name__
                self._with_room(partial(parameters.answer, self.place.folder, asked.number, words))
            else:
                return asked
        return None

    def _settle(self, step: Step, known: Growing) -> None:
        """Make the result of a version that ends: that of the trains of its last snapshot, final."""
        self._made(replace(step, final=True), self.place.result, 0, known)

    def _begin_version(self, asked: Asked, step: Step | None) -> None:
        """Begin another version, after a step of the one before if it has any."""
        after, what = (None, None) if step is None else (step.last, step.what)
        if step is None and (before := self.place.changes()):
            # The version before has no trains: what is asked for at once begins at once.
            after = before[-1][1]
        if asked.again:
            after = what = None
        self._with_room(partial(self.place.note_change, asked, after, what))
        if step is not None:
            self._with_room(partial(self.place.keep_version, self.state.version))
        self._change(asked, after, what)
        self.told.status()

    def _change(self, asked: Asked, after: int | None, what: Any) -> None:
        """Go on with other options, and say so: also to who asked for them, if that was not done."""
        before = self.place.version(self.state.version)
        if after is not None and hasattr(self.source, "ended") and before.exists():
            self.source.ended(before.name, after, what)
        self.source.change(asked, after)
        words = self._words(asked, after)
        self.state.begin_version(words)
        folder, version = self.place.folder, self.state.version
        if parameters.answered(folder, asked.number) is None:
            self._with_room(partial(parameters.answer, folder, asked.number, version=version, words=words))

    def _words(self, asked: Asked, after: int | None) -> str:
        """Say what a change of options is, from which train on, and where what there was before is."""
        since = "the first train" if after is None else f"train {after + 1}"
        before = self.place.version(self.state.version)
        kept = f"; before: {before.name}" if before.exists() else ""
        return f"{asked}, from {since} on{kept}"

    def _take_back(self, step: Step) -> None:
        """Have the version before be the result: this one has no trains."""
        while self.state.version > 1:
            self.state.version -= 1
            if self.place.take_back(self.state.version):
                break
        self.state.state = "finished"

    # Results ----------------------------------------------------------------------------------------

    def _snapshot(self, step: Step, known: Growing) -> None:
        number, path = self.place.next()
        plan, result = self._made(step, path, number, known)
        self._with_room(partial(self.place.show, path))
        self._tell(step, plan, result, number)

    def _final(self, step: Step, known: Growing) -> None:
        number, _ = self.place.next()
        plan, _ = self._made(step, self.place.result, number, known)
        path = self._with_room(self.place.finish)
        self.state.state = "finished"
        self._tell(step, plan, Result(path), number)

    def _made(self, step: Step, path: Path, number: int, known: Growing) -> tuple[Plan, Result]:
        """Plan and make a result."""

        def work() -> tuple[Plan, Result]:
            plan = self._planned(step, path, number)
            return plan, execute(plan, self.cluster, quiet=True, within=known)

        made: tuple[Plan, Result] = self._with_room(work)
        return made

    def _planned(self, step: Step, path: Path, number: int) -> Plan:
        """Return the plan of a result that says what it is."""
        plan = self.source.plan(step, path)
        ids = plan.train_ids
        said = {
            "final": step.final,
            "number": number,
            "version": self.state.version,
            "chunk": self.source.chunk(),
            "first_train": int(ids[0]),
            "last_train": int(ids[-1]),
            "changes": [str(asked) for asked, *_ in self.place.changes()],
        }
        return replace(plan, live=said)

    def _tell(self, step: Step, plan: Plan, result: Result, number: int) -> None:
        self.source.done(step)
        self.state.worked(plan, result)
        self.told.snapshot(
            Snapshot(
                number=number,
                path=result.path,
                version=self.state.version,
                trains=len(plan.train_ids),
                first_train=int(plan.train_ids[0]),
                last_train=int(plan.train_ids[-1]),
                chunk=self.source.chunk(),
                final=step.final,
                status=self.state.now(),
            )
        )

    def _with_room(self, work: Callable[[], Any]) -> Any:
        """Do something; where the disk is full, wait until there is room, and do it again."""
        while True:
            try:
                return work()
            except (OSError, NoRoom) as e:
                if isinstance(e, OSError) and e.errno not in FULL:
                    raise
                self.state.state, self.state.waiting_for = "paused", f"room on the disk: {e}"
            time.sleep(PAUSE)
            self.state.state, self.state.waiting_for = "running", ""
