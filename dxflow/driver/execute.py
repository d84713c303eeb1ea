"""Execute a plan: one task per chunk, a tree of merges, the store; small things only come back here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..clusters.named import connect
from ..clusters.runner import Runner
from ..disk import ours
from ..errors import ClusterLost
from ..errors.kinds import FLAG, Kind, expect
from ..stores.contents import Contents
from ..stores.named import store_for
from ..worker import rowstage
from ..worker.chunk import run_chunk, run_chunk_without, run_chunks
from ..worker.gathering import gather
from ..worker.hooks import FirstTrains
from ..worker.merging import run_part
from ..worker.workspace import Workspace
from . import journal
from .growing import Growing, growing
from .merges import Merges
from .progress import Progress
from .tracebacks import Short
from .verdict import unasked

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..worker.summary import Summary
    from .report import Report
    from .result import Result

MANY, SHORT, TOGETHER, LAST = 1024, 2**20, 8, 64
"""From so many chunks on, of so many bytes at most on average, so many are one task, but for so many last ones:
handing it out costs the scheduler and the workers as much as doing a short one."""
SMALL, FEW = 2**24, 4
"""Bytes below which a piece of the result is soon written: then so many tasks write all, or TOGETHER pieces each."""
RESTARTS = 3
"""How often a cluster that is lost is started again."""


def execute(plan: Plan, cluster: Any = None, *, quiet: bool = False, within: Growing | None = None) -> Result:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
    cluster : optional
        None: processes of this machine, one per core; ``"here"``: this process; a `distributed.Client`;
        or an object of `dxflow.clusters`.
    quiet : bool
        Show no progress: neither a bar, nor lines in a log. The same as the variable DXFLOW_QUIET.
    within : Growing, optional
        Of a run that grows: what earlier plans of it have done is not done again.

    Returns
    -------
    Result

    Raises
    ------
    ClusterLost
        If the cluster of a client is gone, or one that was started here for the fourth time.
    WorkerDied
        If ``on_fault="raise"`` and a train killed its worker twice.
    Exception
        What a hook raised, with a note that says algorithm, run, chunk, train and module. Finished chunks
        stay beside `to`: ``resume=True`` goes on with the others, unless code, options or data were changed.
    """
    from .result import Result

    expect(Kind("a Plan", lambda given: hasattr(given, "chunks") and hasattr(given, "store")), plan, "plan=")
    expect(FLAG, quiet, "quiet=")
    if plan.finished:
        return Result(plan.store.path, plan.store)
    plan = _free(plan)
    with (
        Short(),
        Progress("preparing", quiet=quiet) as progress,
        nullcontext(within) if within else growing(plan) as known,
        journal.kept_on_failure(plan),
    ):
        known.take(plan)
        for restarts in range(RESTARTS + 1):
            try:
                progress.phase("starting workers")
                plan.store.begin()
                with connect(cluster, Workspace(plan, known.folder)) as runner:
                    merges = known.merges(plan, runner)
                    _run(plan, runner, known, merges, progress)
                    progress.phase("ending workers")
                    progress.watch(str)
                break
            except ClusterLost as lost:
                if not lost.ours or restarts == RESTARTS:
                    raise
                known.report.restarted(str(lost), lost.account)
        progress.phase("removing what is not needed any more")
        if within:
            known.settle(merges)
    for line in unasked(plan, known.report.in_order()):
        warnings.warn(line, stacklevel=2)
    return Result(plan.store.path, plan.store)


def _free(plan: Plan) -> Plan:
    """Return a plan whose result has a place: of one that was executed before and has no name, another place.

    Raises
    ------
    PlanError
        If it was executed before and has a name.
    """
    if plan.store.temporary and plan.store.path.exists():
        return replace(plan, store=store_for(None))
    if not plan.overwrite and ours.kind_of(plan.store.path) == ours.RESULT:
        plan.store.check_place(plan)
    return plan


def _run(plan: Plan, runner: Runner, known: Growing, merges: Merges, progress: Progress) -> None:
    """Do the chunks that are not done yet, merge, and write the result."""
    report, lock = known.report, known.lock
    report.begin_pass()
    todo, first = report.missing(), FirstTrains(len(plan.chunks))
    # Modules that are reduced apart have to agree first on the trains that are left out.
    apart = plan.apart
    for summary in report.in_order():
        first.add(summary)
        if not apart:
            merges.add(summary.chunk)
    # What a worker needs to finalize the only chunk of a part is there before it is.
    at_once = merges.alone and plan.store.made_first and not report.events
    contents, pieces = _created(plan, known) if at_once else (None, [])
    progress.phase("reading", plan.bytes_to_read - report.bytes)
    progress.watch(runner.waiting)
    runner.tell(progress.note)
    for summary in _done(plan, runner, todo, at_once=at_once):
        report.add(summary)
        first.add(summary)
        if not (apart or at_once):
            merges.add(summary.chunk)
        progress.add(summary.bytes, reused=summary.reused)
    if apart:
        _put_together(plan, runner, report)
        done = set(todo) - report.again if at_once else set()
        for number in {c.number for c in plan.chunks} - done:
            merges.add(number)
    if contents is None:
        contents, pieces = _created(plan, known)
    for what, futures, count, unit in _last_steps(plan, runner, merges, pieces):
        progress.phase(what, count, unit)
        for several in runner.results(futures):
            progress.add(several or 1)
    progress.phase("finishing the result")
    if lock is not None:
        lock.check()
    plan.store.settle()
    plan.store.commit(contents, report.manifest(runner.account()))
    runner.tell(None)


def _done(plan: Plan, runner: Runner, todo: list[int], *, at_once: bool) -> Iterator[Summary]:
    """Do chunks; yield their summaries as they come. Of many short ones, some are one task."""
    if at_once or len(todo) < MANY or plan.bytes_to_read > SHORT * len(plan.chunks):
        yield from runner.results(runner.map(run_part if at_once else run_chunk, todo))
        return
    # The last ones are handed out one by one, so that no worker is left with several while others have nothing to do.
    last = max(0, len(todo) - LAST)
    some = [tuple(todo[at : min(at + TOGETHER, last)]) for at in range(0, last, TOGETHER)]
    some += [(number,) for number in todo[last:]]
    for summaries in runner.results(runner.map(run_chunks, some)):
        yield from summaries


def _created(plan: Plan, known: Growing) -> tuple[Contents, Sequence[Any]]:
    """Make the empty result; return what it will hold, and the pieces that are to be written."""
    contents = Contents(plan, known.folder, known.report.events, known.report.losses)
    contents.note()
    if known.lock is not None:
        known.lock.check()
    return contents, plan.store.create(contents)


def _put_together(plan: Plan, runner: Runner, report: Report) -> None:
    """Put together what chunks of some modules made of the same trains, and finish that.

    Trains that were left out in some modules, or then, are left out in all: these chunks are done again without them.
    """
    first = FirstTrains(len(plan.stretches))
    for summary in report.put_together():
        first.add(summary)
    while todo := report.apart():
        if again := report.disagreeing():
            for summary in runner.results(runner.map(run_chunk_without, again)):
                report.add(summary)
            continue
        for summary in runner.results(runner.map(gather, todo)):
            report.gathered(summary)
            first.add(summary)


def _last_steps(
    plan: Plan, runner: Runner, merges: Merges, pieces: Sequence[Any]
) -> list[tuple[str, list[Any], int, str]]:
    """Submit what follows the chunks, step after step: no worker waits for this process in between."""
    finals, own = merges.finals(), [n for n, a in enumerate(plan.algorithms) if a.finals]
    rows = runner.map(rowstage.finalize_rows, own, after=finals)
    small = 0 < plan.store.piece_bytes(plan) < SMALL
    groups = max(FEW, -(-len(pieces) // TOGETHER)) if small else len(pieces)
    some = [pieces[n::groups] for n in range(min(groups, len(pieces)))]
    written = runner.map(_write_pieces, some, after=[*finals, *rows])
    own_rows = [("finalizing rows", rows, len(own), "algorithms")] if own else []
    merging = ("merging", finals, len(plan.parts), "parts")
    return [merging, *own_rows, ("writing", written, len(pieces), "pieces")]


def _write_pieces(work: Workspace, pieces: Sequence[Any]) -> int:
    """Write some pieces of the result, on a worker; return how many."""
    for piece in pieces:
        work.plan.store.write(work.contents, piece)
    return len(pieces)
