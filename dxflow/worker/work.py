"""The pass over a chunk: for each window, for each algorithm, for each part of it, the hook is called; then counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..planning.sight import by_train
from ..planning.steps import together
from ..planning.units import adds_up
from . import shares as merging
from .hooks import Calls, Hooks
from .presence import Presence
from .shares import Shares
from .source import Loaded
from .totals import Totals, finish, finishing
from .views import Views

if TYPE_CHECKING:
    from ..deaths.watch import Doing
    from ..declare.outputs import Partial
    from ..planning.bound import BoundAlgorithm
    from ..planning.walks import Part, Window
    from .ahead import Reading


class Pass:
    """One try of a chunk: all its windows, once.

    Parameters
    ----------
    reading : Reading
        Of the chunk.
    hooks : Hooks, optional
        How hooks ended in earlier tries.
    """

    def __init__(self, reading: Reading, doing: Doing, hooks: Hooks | None = None) -> None:
        plan, chunk, excluded = reading.plan, reading.chunk, reading.excluded
        self.plan, self.chunk, self.excluded = plan, chunk, excluded
        self.reading, self.walk = reading, reading.walk
        self.account, self.source = reading.account, reading.source
        self.calls = Calls(plan, chunk, excluded, doing, hooks)
        self.shares = Shares(self.account, plan.outputs)
        self.presence = Presence(self.shares)
        self.views = Views(self.source, self.presence)
        # Rows of which other chunks have the other modules are finished when all are there.
        finished = [] if plan.apart else finishing(plan)
        own = [a for a in plan.algorithms if adds_up(a) or a in finished]
        self.totals = Totals(self.presence, self.calls, own)
        self._together = {group: together(group.algorithms) for group in self.walk.groups}
        self._by_train = {a.name for a in plan.algorithms if by_train(plan, a)}
        self._handed_on = {
            a.name: [o for o in a.outputs if o.name in plan.handed_on] if self.walk.whole else []
            for a in plan.algorithms
        }
        self.began, self.times = perf_counter(), {"read": 0.0, "wait": 0.0}

    def work(self, loaded: Loaded) -> None:
        """Let the algorithms work on a window that was read, part by part."""
        for several, part in self._parts(loaded):
            bound = several[0]
            rows = self._rows(bound, loaded.window, part)
            own = self.account.own(self.plan.inputs[bound.stream].index, rows)
            made = [self.shares.of(one, loaded.window, part, own) for one in several]
            view: Any = self.views.of(bound, loaded, part, rows)
            if len(several) > 1:
                self._call_together(several, part, view, [out for out, _ in made])
            elif part.module is None:
                with self.calls.of(bound, "process_train_data", part.train, part.last):
                    bound.algorithm.process_train_data(view, made[0][0])
            else:
                with self.calls.of(bound, "process_module_data", part.train, part.last, part.module):
                    bound.algorithm.process_module_data(view, made[0][0])
            for one, (out, shared) in zip(several, made, strict=True):
                merging.merge(shared)
                self.presence.note(one, out, part, own)

    def _call_together(
        self, several: Sequence[BoundAlgorithm], part: Part, view: Any, outs: Sequence[Partial]
    ) -> None:
        """Let one hook work for several instances that see the same."""
        first, *others = several
        with self.calls.of(first, "process_variants", part.train, part.last, part.module):
            first.algorithm.process_variants([one.algorithm for one in several], view, outs)
        for other in others:
            self.account.asked[other.name] |= self.account.asked[first.name]

    def _parts(self, loaded: Loaded) -> Iterator[tuple[Sequence[BoundAlgorithm], Part]]:
        """Count what was read; yield what each algorithm is to see of it, and finish trains that others read on."""
        window = loaded.window
        self.totals.reach(window.begins)
        for number, good in loaded.good.items():
            bound = self.plan.inputs[number]
            modules = window.modules_of(bound)
            where = slice(modules.start, modules.stop), window.rows_of(bound)
            self.account.add(
                number, *where, good, loaded.arrays[number], first=not (window.strip and window.strip.start)
            )
        for several in self._together[window.group]:
            seen = self._seen(several[0], window)
            for one in several:
                self.shares.begin(one, window)
            for part in self.walk.parts(several[0], window, seen):
                if part.train not in self.calls.failed:
                    yield several, part
            for one in several:
                self._hand_on(one, window, bool(seen.any()))

    def _hand_on(self, bound: BoundAlgorithm, window: Window, anything: bool) -> None:
        """Finish what later algorithms read of an algorithm, and mark what it lacks."""
        if bound.name in self._by_train and anything and window.first not in self.calls.failed:
            finish(self.presence, self.calls, bound, window.first, window.last)
        lead = self.plan.inputs[bound.stream]
        for o in self._handed_on[bound.name]:
            own = self.account.own(lead.index, window.rows_of(lead)) if o.index is lead.index else None
            self.presence.mark(bound, o, window.first, window.last, own, window.modules_of(lead))

    def _seen(self, bound: BoundAlgorithm, window: Window) -> NDArray:
        """Return which frames of a window an algorithm sees, (module, frame) bool."""
        lead = self.plan.inputs[bound.stream]
        modules = window.modules_of(lead)
        rows = self.account.own(lead.index, window.rows_of(lead))
        return self.account.seen(self.plan.sights[bound.name], rows, slice(modules.start, modules.stop))

    def first_call(self, bound: BoundAlgorithm, loaded: Loaded) -> tuple[Any, Partial]:
        """Return what the first call of a hook sees of a window that was worked on, and what it may write to."""
        part = next(self.walk.parts(bound, loaded.window, self._seen(bound, loaded.window)))
        rows = self._rows(bound, loaded.window, part)
        own = self.account.own(self.plan.inputs[bound.stream].index, rows)
        return self.views.of(bound, loaded, part, rows), self.shares.of(bound, loaded.window, part, own)[0]

    def _rows(self, bound: BoundAlgorithm, window: Window, part: Part) -> slice:
        """Return the rows of a part, of the index of the algorithm's first input."""
        start = window.rows_of(self.plan.inputs[bound.stream]).start
        return slice(start + part.at.start, start + part.at.stop)

    def end(self) -> None:
        """Finish the last units; where no hook has failed, also rows of all modules, and the account of time."""
        self.totals.reach(self.chunk.last)
        if not self.calls.failed:
            self.presence.mark_lost_strips()
            if not self.plan.apart:
                self.presence.mark_lost_rows()
            self.times["compute"] = perf_counter() - self.began - self.times["wait"]
