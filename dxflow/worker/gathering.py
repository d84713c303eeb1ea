"""What chunks of some modules made of the same trains, put together in the order of modules, and finished."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..deaths import search as deaths
from ..deaths.notes import Attempt, Note
from ..declare.events import Events
from ..declare.outputs import merge_into
from ..disk import fragments
from ..disk.fragments import Fragment
from .account import Account
from .hooks import CAUSE, Calls, Hooks
from .presence import Presence
from .shares import Shares
from .summary import Summary, Without, summary_of, this_worker
from .totals import HOOK, Totals, finishing

if TYPE_CHECKING:
    from ..planning.plan import Chunk
    from ..run.losses import Loss
    from .work import Pass
    from .workspace import Workspace


def left(one: Pass) -> dict[str, NDArray]:
    """Return what a chunk of some modules leaves beside its outputs: which frames were read, what hooks touched."""
    modules = one.plan.modules(one.chunk)
    got = {
        f"got/{n}": there[modules] if one.plan.inputs[n].kind == "frames" else there
        for n, there in enumerate(one.account.got)
    }
    made = {f"made/{name}": made for name, made in one.presence.made.items() if name in one.shares.arrays}
    return got | made


def gather(work: Workspace, which: tuple[int, Without]) -> Summary:
    """Put together what chunks made of a stretch of trains, given by its number, and finish its rows.

    Where a hook raises, and faults are to be masked, the summary says which trains have to be left out: chunks are to
    be done again without them, then this.

    Parameters
    ----------
    which : (int, Without)
        Its number, and the trains that all of its chunks have left out.
    """
    number, without = which
    plan, stretch = work.plan, work.plan.stretches[number]
    meta = fragments.intact(*plan.rows_of(work.folder, number))
    if meta is not None and (there := summary_of(meta, stretch)).left_out == without:
        return there
    # Notes of chunks have the numbers before.
    with Note(work.now, len(plan.chunks) + number) as work.note:
        note = work.note
        note.open(Attempt("whole" if work.ready else "initialize", stretch.first, stretch.last))
        deaths.refuse_initialize(plan, note.history)
        work.prepare(plan.modules(stretch), HOOK)
        while (attempt := deaths.next_attempt(stretch, note.history)) is not None:
            note.begin(attempt)
            if attempt.excluded:
                killers = deaths.killers(stretch, note.history)
                failed = tuple((train, deaths.CAUSE) for train in sorted(killers))
                return _summary(number, (*without, *failed), deaths.losses(plan, stretch, killers))
            with note.hooks() if note.history.deaths else nullcontext() as say:
                summary = _finish(work, attempt, without, Hooks(say=say), stretch)
            if attempt.what == "whole":
                return summary
            note.survived(attempt)
        raise deaths.of_whole(plan, stretch, note.history)


def _finish(work: Workspace, attempt: Attempt, without: Without, hooks: Hooks, stretch: Chunk) -> Summary:
    """Finish the rows of a stretch, or those that are probed; leave a fragment, unless a hook raised."""
    start, whole = perf_counter(), attempt.what == "whole"
    own = range(attempt.first, attempt.last)
    others = {train for train in range(stretch.first, stretch.last) if train not in own}
    presence = _together(work, stretch, others.union(train for train, _ in without))
    calls = Calls(work.plan, stretch, presence.account.excluded, work.doing, hooks)
    Totals(presence, calls, finishing(work.plan)).reach(stretch.last)
    failed = ((train, CAUSE) for train in sorted(calls.failed))
    summary = _summary(stretch.number, (*without, *failed), calls.losses, hooks, presence.shares.events())
    if whole and not calls.failed:
        at = work.plan.rows_of(work.folder, stretch.number)
        presence.mark_lost_rows()
        arrays = presence.account.arrays() | presence.arrays() | presence.shares.kept()
        summary.times["compute"] = perf_counter() - start
        work.leave(at, summary.json(stretch), arrays)
    return summary


def _together(work: Workspace, stretch: Chunk, without: Collection[int]) -> Presence:
    """Return the rows of a stretch, and what is known of them, as if one chunk had made them."""
    plan = work.plan
    account = Account(plan, stretch, frozenset(without))
    presence = Presence(Shares(account, [o for o in plan.outputs if o.keeps_rows]))
    for chunk in plan.chunks_of(stretch.number):
        with Fragment(*plan.address(work.folder, chunk.number)) as found:
            _add(presence, found, plan.modules(chunk))
    return presence


def _add(presence: Presence, found: Fragment, modules: slice) -> None:
    """Add what a chunk of some modules made."""
    shares, account = presence.shares, presence.account
    for n, got in enumerate(account.got):
        own = modules if account.plan.inputs[n].kind == "frames" else slice(None)
        got[own] |= found[f"got/{n}"]
    for o in account.plan.outputs:
        array = shares.arrays.get(o.name)
        if isinstance(array, Events):
            array.add(*(found[name] for name in array.names(o.name)))
        elif array is not None:
            merge_into(array, found.of(o.name, array.shape, array.dtype), o.output.merge)
            presence.made[o.name] |= found[f"made/{o.name}"]


def _summary(
    number: int, left_out: Without, losses: Sequence[Loss], hooks: Hooks | None = None, events: Any = None
) -> Summary:
    return Summary(
        chunk=number,
        worker=this_worker(),
        bytes=0,
        times={},
        used=[],
        events=events or {},
        losses=tuple(losses),
        left_out=left_out,
        **(hooks or Hooks()).said(),
    )
