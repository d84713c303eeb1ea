"""What happens when a hook raises: it is said where, or the trains are left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..run.losses import Loss

if TYPE_CHECKING:
    from ..deaths.watch import Doing
    from ..planning.bound import BoundAlgorithm
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from .summary import Summary

CHUNK_HOOK = ".finalize_chunk_processing"
CAUSE = "exception in hook"
FIRST_TRAINS = 16
"""A hook that fails in as many trains, the first ones, and has never ended well, is wrong rather than the data."""


class HookExit(RuntimeError):
    """A hook that would have ended the process: ``sys.exit()``, or an interrupt that no user made."""


@dataclass
class Hooks:
    """How hooks ended in a chunk, by ``<algorithm>.<hook>``: trains in which they raised, and those that never did."""

    failed: dict[str, set[int]] = field(default_factory=dict)
    worked: set[str] = field(default_factory=set)
    say: Callable[[str], Any] | None = None
    """Told which hook is about to run, and "" after it, where workers have died."""

    def said(self) -> dict[str, Any]:
        """Return what a summary says of them."""
        failed = {name: len(trains) for name, trains in self.failed.items()}
        return {"hooks_failed": failed, "hooks_worked": tuple(sorted(self.worked))}


class Calls:
    """Calls of hooks in one try of a chunk.

    Attributes
    ----------
    failed : set of int
        Trains (positions in the plan) in which a hook raised: outputs are worthless, only other such trains are still
        looked for.
    losses : list of Loss
        Of these trains.
    """

    def __init__(
        self, plan: Plan, chunk: Chunk, excluded: frozenset[int], doing: Doing, hooks: Hooks | None = None
    ) -> None:
        self.plan, self.chunk, self.excluded, self.doing = plan, chunk, excluded, doing
        self.hooks = Hooks() if hooks is None else hooks
        self.failed: set[int] = set()
        self.losses: list[Loss] = []

    @contextmanager
    def of(
        self, bound: BoundAlgorithm, hook: str, first: int, last: int, module: int | None = None
    ) -> Iterator[None]:
        """Add to an exception of a hook where it happened, or note trains that fail if faults are to be masked.

        Parameters
        ----------
        first, last : int
            Positions in the plan of the trains that the hook works on, ``first:last``.
        module : int, optional
            Position of the module.
        """
        name = f"{bound.name}.{hook}"
        if self.hooks.say:
            self.hooks.say(name)
        try:
            with self.doing.hook(lambda: self._where(bound, hook, first, last, module)):
                yield
        except BaseException as raised:
            e = _exception(raised)
            where = self._where(bound, hook, first, last, module)
            trains = [t for t in range(first, last) if t not in self.excluded]
            self.hooks.failed.setdefault(name, set()).update(trains)
            # Without all trains of the run nothing is left.
            if self.plan.on_fault != "mask" or bound.algorithm.STRIPS or self._always(name):
                e.add_note(where)
                if e is raised:
                    raise
                raise e from raised
            self.failed.update(trains)
            self.losses.append(self._loss(bound, trains, where, e))
        else:
            self.hooks.worked.add(name)
        if self.hooks.say:
            self.hooks.say("")

    def merging(self, bound: BoundAlgorithm) -> AbstractContextManager[None]:
        """Add to an exception of an algorithm's merge in which chunk it happened."""
        return named(self.doing, f"in {bound.name}.merge(), run {self.plan.run}, chunk {self.chunk.number}")

    def _always(self, name: str) -> bool:
        """Return whether a hook has failed in all of the first trains of the plan."""
        if self.chunk.first or name in self.hooks.worked or name.endswith(CHUNK_HOOK):
            return False
        return len(self.hooks.failed[name]) >= FIRST_TRAINS

    def _where(self, bound: BoundAlgorithm, hook: str, first: int, last: int, module: int | None) -> str:
        ids = self.plan.train_ids[[first, last - 1]]
        span = f"train {ids[0]}" if ids[0] == ids[1] else f"trains {ids[0]}-{ids[1]}"
        if module is not None:
            span += f", module {self.plan.inputs[bound.stream].modules[module]}"
        return f"in {bound.name}.{hook}(), run {self.plan.run}, chunk {self.chunk.number}, {span}"

    def _loss(self, bound: BoundAlgorithm, trains: list[int], where: str, error: Exception) -> Loss:
        ids = self.plan.train_ids[trains]
        return Loss(
            cause=CAUSE,
            frames=0,
            trains=len(ids),
            first_train=int(ids[0]),
            last_train=int(ids[-1]),
            algorithm=bound.name,
            run=self.plan.run,
            detail=f"{type(error).__name__}: {error} ({where})",
        )


class HookFailed(RuntimeError):
    """A hook that fails in all of the first trains: a mistake in the code, whatever faults of data are masked."""


class FirstTrains:
    """Looks at finished chunks in order for hooks that fail in all of the first trains.

    The hook that finishes a chunk runs once for all of its trains: it must fail in two chunks, or in all there are.
    """

    def __init__(self, chunks: int) -> None:
        self._chunks, self._next = chunks, 0
        self._waiting: dict[int, Summary] = {}
        self._failed: dict[str, list[int]] = {}
        self._worked: set[str] = set()

    def add(self, summary: Summary) -> None:
        """Take a finished chunk; raise as soon as the first ones show a hook that never worked."""
        self._waiting[summary.chunk] = summary
        while self._next in self._waiting:
            self._look(self._waiting.pop(self._next))
            self._next += 1

    def _look(self, summary: Summary) -> None:
        self._worked.update(summary.hooks_worked)
        for name, trains in summary.hooks_failed.items():
            self._failed.setdefault(name, []).append(trains)
        last = summary.chunk == self._chunks - 1
        for name, failed in self._failed.items():
            enough = sum(failed) >= FIRST_TRAINS or last
            few = name.endswith(CHUNK_HOOK) and len(failed) < 2 and not last
            if enough and not few and name not in self._worked:
                raise HookFailed(_words(name, sum(failed), summary))


def _words(name: str, trains: int, summary: Summary) -> str:
    algorithm = name.rpartition(".")[0]
    what = next((x.detail for x in summary.losses if x.cause == CAUSE and x.algorithm == algorithm), "")
    return f"{name}() failed in all of the first {trains} trains, so it is not masked: {what}"


def _exception(raised: BaseException) -> Exception:
    """Return what a hook raised as an exception; raise it if it came from outside, such as Ctrl-C."""
    if isinstance(raised, Exception):
        return raised
    # Python interrupts the main thread only: in others, where workers run hooks, it was the hook.
    ours = isinstance(raised, SystemExit) or threading.current_thread() is not threading.main_thread()
    if not ours or isinstance(raised, GeneratorExit):
        raise raised
    what = f"{type(raised).__name__}({', '.join(map(repr, raised.args))})"
    said = f"{what} would end the worker; a hook that cannot go on raises an exception"
    return HookExit(said).with_traceback(raised.__traceback__)


@contextmanager
def named(doing: Doing, where: str) -> Iterator[None]:
    """Add to an exception of a hook of the whole run where it happened."""
    try:
        with doing.hook(lambda: where):
            yield
    except BaseException as raised:
        e = _exception(raised)
        e.add_note(where)
        if e is raised:
            raise
        raise e from raised
