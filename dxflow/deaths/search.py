"""A chunk that kills its workers: which of its trains do it, found by halving, and what is to be tried next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import WorkerDied
from ..run.losses import Loss
from .notes import Attempt, Death, History

if TYPE_CHECKING:
    from ..planning.plan import Chunk
    from ..planning.public import Plan

TWICE = 2
"""Deaths that are believed: once may be bad luck."""
CAUSE = "killed its worker"


def next_attempt(chunk: Chunk, history: History) -> Attempt | None:
    """Return what to try next, None if there is nothing more.

    The whole chunk, twice; then its halves without keeping anything, then halves of what killed, down to single
    trains, twice each; then the whole chunk without those. So what is left is exactly the result without these
    trains, whoever died in between.
    """
    whole = Attempt("whole", chunk.first, chunk.last)
    if len(history.of(whole)) < TWICE:
        return whole
    if chunk.last - chunk.first > 1 and (probe := _undecided(chunk.first, chunk.last, history, known=True)):
        return probe
    lost = tuple(killers(chunk, history))
    # That no train alone kills may mean that the deaths had to do with something else: two more.
    patience = TWICE if lost else 2 * TWICE
    rest = replace(whole, excluded=lost)
    return rest if len(history.of(rest)) < patience else None


def _undecided(first: int, last: int, history: History, *, known: bool = False) -> Attempt | None:
    """Return a probe that is still to be made of some trains; `known` to kill as a whole."""
    probe = Attempt("probe", first, last)
    if probe in history.survived:
        return None
    deaths = len(history.of(probe))
    if last - first == 1:
        return probe if deaths < TWICE else None
    if not deaths and not known:
        return probe
    middle = (first + last) // 2
    return _undecided(first, middle, history) or _undecided(middle, last, history)


def killers(chunk: Chunk, history: History) -> dict[int, Death]:
    """Return the trains (positions in the plan) that killed a worker twice, all alone, with the last death."""
    what = "probe" if chunk.last - chunk.first > 1 else "whole"
    alone = {t: history.of(Attempt(what, t, t + 1)) for t in range(chunk.first, chunk.last)}
    return {t: deaths[-1] for t, deaths in alone.items() if len(deaths) >= TWICE}


def refuse_initialize(plan: Plan, history: History) -> None:
    """Raise if preparing the algorithms kills workers: no train is to blame, and no other worker will live."""
    refuse_alone(plan, [d for d in history.deaths if d.attempt.what == "initialize"], "initialize()")


def refuse_alone(plan: Plan, deaths: Sequence[Death], hook: str = "") -> None:
    """Raise if a hook that sees no train killed two workers."""
    if len(deaths) >= TWICE:
        names = ", ".join(a.name for a in plan.algorithms)
        raise WorkerDied(
            f"{hook or deaths[-1].attempt.what} of one of [{names}] killed its worker {len(deaths)} times: "
            f"{deaths[-1].cause}"
        )


def losses(plan: Plan, chunk: Chunk, lost: dict[int, Death]) -> list[Loss]:
    """Return one loss for each train that is left out.

    Raises
    ------
    WorkerDied
        If there are some and faults are to be raised, or if all trains of the run would be left out.
    """
    out = [_loss(plan, chunk, train, death) for train, death in sorted(lost.items())]
    if out and (plan.on_fault == "raise" or _all_of_strips(plan, lost)):
        raise WorkerDied("\n".join(str(loss) for loss in out))
    return out


def _all_of_strips(plan: Plan, lost: dict[int, Death]) -> bool:
    """Return whether a strip kills whatever trains it has: the hook is to blame, or the rows of pixels."""
    filled = {train for i in plan.indexes for train in np.flatnonzero(i.counts).tolist()}
    return any(a.algorithm.STRIPS for a in plan.algorithms) and filled <= lost.keys()


def _loss(plan: Plan, chunk: Chunk, train: int, death: Death) -> Loss:
    train_id = int(plan.train_ids[train])
    hook = f"in {death.hook}(), " if death.hook else ""
    where = f"run {plan.run}, chunk {chunk.number}, train {train_id}"
    return Loss(
        cause=CAUSE,
        trains=1,
        first_train=train_id,
        last_train=train_id,
        algorithm=death.hook.partition(".")[0],
        run=plan.run,
        detail=f"{death.cause}, twice ({hook}{where})",
    )


def of_whole(plan: Plan, chunk: Chunk, history: History) -> WorkerDied:
    """Return the error for a chunk that kills in any size, although none of its trains did."""
    ids = plan.train_ids[[chunk.first, chunk.last - 1]]
    return WorkerDied(
        f"run {plan.run}, chunk {chunk.number}, trains {ids[0]}-{ids[1]}: killed its worker {len(history.deaths)} "
        f"times, although each train alone can be worked on: {history.deaths[-1].cause}. The chunk is too "
        'large for its worker: give workers more memory, or take smaller chunks (chunk="256 MiB")'
    )
