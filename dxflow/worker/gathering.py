"""What chunks of some modules made of the same trains, put together in the order of modules, and finished."""

from __future__ import annotations

import os
import socket
from time import perf_counter
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ..declare.events import Events
from ..declare.outputs import merge_into
from ..disk import fragments
from ..disk.fragments import Fragment
from .account import Account
from .hooks import CAUSE, Calls
from .presence import Presence
from .shares import Shares
from .summary import Summary, Without, summary_of
from .totals import Totals, finishing

if TYPE_CHECKING:
    from ..planning.plan import Chunk
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
    start, stretch = perf_counter(), work.plan.stretches[number]
    at = work.plan.rows_of(work.folder, number)
    meta = fragments.intact(*at)
    if meta is not None and (there := summary_of(meta, stretch)).left_out == without:
        return there
    work.prepare()
    presence = _together(work, stretch, without)
    calls = Calls(work.plan, stretch, presence.account.excluded, work.doing)
    Totals(presence, calls, finishing(work.plan)).reach(stretch.last)
    summary = _summary(number, without, calls, presence.shares)
    if not calls.failed:
        presence.mark_lost_rows()
        arrays = presence.account.arrays() | presence.arrays() | presence.shares.kept()
        summary.times["compute"] = perf_counter() - start
        lasting = not work.plan.store.temporary
        fragments.write(at.path, summary.json(stretch), arrays, of=at.of, lasting=lasting)
    return summary


def _together(work: Workspace, stretch: Chunk, without: Without) -> Presence:
    """Return the rows of a stretch, and what is known of them, as if one chunk had made them."""
    plan = work.plan
    account = Account(plan, stretch, frozenset(train for train, _ in without))
    presence = Presence(Shares(account, [o for o in plan.outputs if not o.whole_run and not o.transient]))
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


def _summary(number: int, without: Without, calls: Calls, shares: Shares) -> Summary:
    failed = ((train, CAUSE) for train in sorted(calls.failed))
    return Summary(
        chunk=number,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        bytes=0,
        times={},
        used=[],
        events=shares.events(),
        losses=tuple(calls.losses),
        left_out=(*without, *failed),
        hooks_failed={name: len(trains) for name, trains in calls.hooks.failed.items()},
        hooks_worked=tuple(sorted(calls.hooks.worked)),
    )
