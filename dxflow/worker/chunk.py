"""What a worker does with a chunk: read it, let the algorithms work on it, leave a fragment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import zip_longest
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..deaths import search as deaths
from ..deaths.notes import Attempt, Note
from ..disk import fragments
from ..run.losses import Loss
from .ahead import Reading
from .gathering import left
from .hooks import CAUSE, Hooks
from .summary import Summary, Without, summary_of, this_worker
from .work import Pass
from .workspace import Workspace

if TYPE_CHECKING:
    from ..disk.fragments import Address
    from ..planning.plan import Chunk
    from .source import Loaded


@dataclass(frozen=True, eq=False)
class Done:
    """A chunk that has been worked on, and the trains that failed meanwhile."""

    last: Pass
    losses: list[Loss]
    left_out: dict[int, str]
    """Trains that are left out, by their position in the plan, and why."""


def run_chunk_without(work: Workspace, which: tuple[int, Without, Sequence[Loss]]) -> Summary:
    """Do a chunk, given by its number, without some trains, and count these losses with it."""
    return run_chunk(work, *which)


def run_chunks(work: Workspace, numbers: Sequence[int]) -> list[Summary]:
    """Do some chunks, one after the other."""
    after = work.ahead.upcoming
    try:
        return [_followed(work, *pair, after) for pair in zip_longest(numbers, numbers[1:])]
    finally:
        work.ahead.upcoming = after


def _followed(
    work: Workspace, number: int, following: int | None, after: Callable[[], int | None]
) -> Summary:
    """Do a chunk, of which it is known which follows; after the last one it may be known."""
    work.ahead.upcoming = after if following is None else lambda: following
    return run_chunk(work, number)


Leave = Callable[["Address", Mapping[str, Any], Mapping[str, NDArray]], None]
"""Takes what a fragment is made of: where, meta, arrays by name."""


def run_chunk(
    work: Workspace,
    number: int,
    without: Without = (),
    losses: Sequence[Loss] = (),
    *,
    leave: Leave | None = None,
) -> Summary:
    """Read a chunk while the algorithms work on what was read; leave a fragment, or hand over what it is made of.

    A chunk whose fragment is there is not done again. Trains in which a hook raised are left out, if faults are to
    be masked, by doing the chunk again without them: what is left is exactly the result without these trains. The
    same goes for trains that killed workers: what earlier workers tried and died of is told by a note.
    """
    at, chunk = work.plan.address(work.folder, number), work.plan.chunks[number]
    meta = fragments.intact(*at)
    if meta is not None:
        there = summary_of(meta, chunk)
        if dict(without).keys() <= dict(there.left_out).keys():
            return replace(there, reused=True)
        # Hooks are not called again for these trains.
        losses = (*losses, *(loss for loss in there.losses if loss.cause in (CAUSE, deaths.CAUSE)))
    with Note(work.now, number) as work.note:
        note = work.note
        first = Attempt("whole" if work.ready else "initialize", chunk.first, chunk.last)
        note.open(first)
        deaths.refuse_initialize(work.plan, note.history)
        note.begin(first)
        work.prepare(work.plan.modules(chunk))
        while (attempt := deaths.next_attempt(chunk, note.history)) is not None:
            note.begin(attempt)
            lost = deaths.losses(work.plan, chunk, deaths.killers(chunk, note.history))
            with note.hooks() if note.history.deaths else nullcontext() as say:
                out = dict.fromkeys(attempt.excluded, deaths.CAUSE) | dict(without)
                done = _work(work, attempt.of(chunk), out, say, follow=attempt.what == "whole" and not say)
            if attempt.what == "whole":
                return _write(work, done, [*lost, *losses], at, leave or work.leave)
            note.survived(attempt)
        raise deaths.of_whole(work.plan, chunk, note.history)


def _work(
    work: Workspace, chunk: Chunk, left_out: dict[int, str], say: Callable[[str], Any] | None, *, follow: bool
) -> Done:
    """Read the trains of a chunk while the algorithms work on what was read, and finish its outputs."""
    losses: list[Loss] = []
    hooks = Hooks(say=say)
    while True:
        begun = work.ahead.begun(chunk) if follow and not left_out else None
        if begun is None:
            work.ahead.close()
        reading = begun or Reading(work.plan, chunk, frozenset(left_out), work.files, work.masks)
        one = Pass(reading, work.doing, hooks)
        try:
            for loaded in _loaded(work, one, follow=follow):
                one.work(loaded)
        except BaseException:
            work.ahead.close()
            raise
        work.files.verify()
        one.end()
        if not one.calls.failed:
            return Done(one, losses, left_out)
        left_out |= dict.fromkeys(one.calls.failed, CAUSE)
        losses += sorted((x for x in one.calls.losses if x.cause == CAUSE), key=lambda loss: loss.first_train)


def _loaded(work: Workspace, one: Pass, *, follow: bool) -> Iterator[Loaded]:
    """Yield the windows of a chunk, while others are read, and find out how many threads do that best."""
    start, times, ahead = perf_counter(), one.times, work.ahead
    one.reading.begin()
    times["read"] = times["wait"] = perf_counter() - start
    windows = one.reading.windows
    while windows:
        threads, count = work.tuner.next(one.walk.step_bytes)
        if (reading := ahead.threads()) is not None:
            threads, count = reading, None
        now, windows = windows[:count], windows[count:] if count else []
        start, before = perf_counter(), one.account.bytes
        on = follow and not windows and work.tuner.goes_on(one.walk.step_bytes)
        for loaded, read, waited in ahead.steps(one.reading, now, threads, follow=on):
            times["read"] += read
            times["wait"] += waited
            yield loaded
        work.tuner.note(threads, one.account.bytes - before, perf_counter() - start, len(now))


def _write(work: Workspace, made: Done, before: list[Loss], at: Address, leave: Leave) -> Summary:
    """Leave the fragment of a finished chunk, and return its summary; `before`: of trains that were left out before."""
    start, done = perf_counter(), made.last
    done.account.leave_out(made.left_out)
    apart = work.plan.apart
    known = left(done) if apart else done.account.arrays() | done.presence.arrays()
    arrays = known | done.shares.kept(every=apart)
    summary = _summary(work, made, before)
    leave(at, summary.json(done.chunk), arrays)
    summary.times["write"] = perf_counter() - start
    return summary


def _summary(work: Workspace, made: Done, before: list[Loss]) -> Summary:
    done, account, hooks = made.last, made.last.account, made.last.calls.hooks
    return Summary(
        chunk=done.chunk.number,
        worker=this_worker(),
        bytes=account.bytes,
        times=done.times | {"write": 0.0},
        readers=work.tuner.chosen,
        used=account.used,
        worked=account.worked(),
        events=done.shares.events(),
        losses=(*account.summed_losses(), *before, *made.losses),
        left_out=(*sorted(made.left_out.items()),),
        masked=account.masked,
        **hooks.said(),
        asked={name: sorted(aliases) for name, aliases in account.asked.items() if aliases},
    )
