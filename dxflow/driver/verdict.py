"""Say in two sentences what bounded a run, and what would be better next time: both from the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..sizes import count, show

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..worker.summary import Summary

FEW = 3
"""Chunks per worker below which the last ones leave workers idle."""
SHORT = 0.1
"""Seconds of a chunk below which handing it out counts."""
LONG = 5.0
"""Seconds of a chunk above which smaller ones are worth more tasks."""
IDLE = 0.7
"""Busy share of the workers below which something else than their work bounds a run."""
LESS = "reading less helps: frames=, modules=, roi="


@dataclass(frozen=True)
class Facts:
    """What is known of a run: seconds in all and of the pass over the data, busy seconds of all workers by kind.

    `divisible` says whether chunks could be smaller, `queued` whether nodes were asked for.
    """

    wall: float
    seconds: float
    bytes: int
    workers: int
    nodes: int
    chunks: int
    busy: Mapping[str, float]
    divisible: bool = True
    queued: bool = False

    @property
    def rate(self) -> str:
        """Bytes per second of the pass, and on what."""
        nodes = f" on {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{show(self.bytes / self.seconds if self.seconds else 0)}/s with {count(self.workers, 'worker')}{nodes}"

    @property
    def efficiency(self) -> float:
        """Busy share of what workers had."""
        return (
            sum(self.busy.values()) / (self.workers * self.seconds) if self.workers and self.seconds else 0.0
        )


@dataclass(frozen=True)
class Verdict:
    """What bounded a run, and what would help; "" where there is nothing to advise."""

    bound: str
    advice: str


def verdict(run: Facts) -> Verdict:
    """Return what bounded a run."""
    if not run.workers or not sum(run.busy.values()):
        return Verdict("nothing was computed", "")
    return _around(run) or _idle(run) or _work(run)


def _around(run: Facts) -> Verdict | None:
    """Return the verdict if most of the time passed before and after the work."""
    rest = run.wall - run.seconds
    if rest < 0.5 * run.wall:
        return None
    bound = f"bounded by starting and finishing: {rest:.3g} of {run.wall:.3g} s, the pass took {run.seconds:.2g} s"
    return Verdict(bound, "fewer nodes would do" if run.queued else "")


def _idle(run: Facts) -> Verdict | None:
    """Return the verdict if workers were waiting for chunks, not for data."""
    if run.efficiency >= IDLE:
        return None
    bound = f"bounded by handing out work: workers were busy {run.efficiency:.0%} of the time, {run.rate}"
    each = sum(run.busy.values()) / run.chunks
    fewer = "fewer nodes" if run.queued else "fewer workers"
    if run.workers > 1 and run.chunks < FEW * run.workers:
        smaller = (
            f"smaller chunks (chunk=) or {fewer}"
            if run.divisible and each > SHORT
            else f"{fewer} would do as well"
        )
        return Verdict(
            bound, f"{count(run.chunks, 'chunk')} for {run.workers} workers leave some idle: {smaller}"
        )
    if each < SHORT and run.chunks > FEW * run.workers:
        return Verdict(bound, f"a chunk takes {1000 * each:.0f} ms: larger chunks (chunk=), or {fewer}")
    return Verdict(bound, "")


def _work(run: Facts) -> Verdict:
    """Return the verdict by what workers were busy with."""
    total = sum(run.busy.values())
    what = max(run.busy, key=lambda k: run.busy[k])
    share = f"{run.busy[what] / total:.0%} of the workers' time"
    if what == "wait":
        more = "then more nodes" if run.nodes else "then more workers"
        return Verdict(f"bounded by reading: {share} went by waiting for data, {run.rate}", f"{LESS}; {more}")
    if what == "write":
        return Verdict(
            f"bounded by writing partial results: {share}, {run.rate}", "larger chunks (chunk=) write fewer"
        )
    bound = f"bounded by computing: {share}, reading hid behind it, {run.rate}"
    if run.chunks > run.workers:
        return Verdict(bound, "more workers would help, on cores that are free")
    each = total / run.chunks
    if run.divisible and each > LONG:
        return Verdict(
            bound, f"a chunk takes {each:.0f} s: smaller ones (chunk=) would let more workers help"
        )
    return Verdict(bound, "")


def unasked(plan: Plan, summaries: Sequence[Summary]) -> list[str]:
    """Return what to say of algorithms that never asked which pixels are bad where values do not show it."""
    asked = {(name, alias) for s in summaries for name, aliases in s.asked.items() for alias in aliases}
    worked = {name.rpartition(".")[0] for s in summaries for name in s.hooks_worked}
    return [
        f"{bound.name} never asked which pixels of {alias} are bad, valid({alias!r}), and {one.dtype} "
        f"keeps their values: the {one.masked} changed nothing in it"
        for bound in plan.algorithms
        for alias, ref in bound.aliases.items()
        if not ref.made and bound.name in worked and (bound.name, alias) not in asked
        if (one := plan.inputs[ref.number]).mask is not None and one.mask.only_told
    ]
