"""The account of a run: what was read, used and lost, and where the time went."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..deaths import search as deaths
from ..errors.redact import logger
from ..planning import lacks
from ..planning.reads import reads
from ..run.bound import bytes_spared, present
from ..run.index import NOT_IN_ALL
from ..run.losses import Loss, ordered
from .cost import cost
from .verdict import Facts, unasked, verdict

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..run.bound import BoundInput
    from ..worker.summary import Summary

FORMAT = 1
log = logger(__name__)


class Report:
    """Collects the summaries of chunks; `manifest` is what is kept with the result, as JSON values.

    Parameters
    ----------
    plan : Plan
    found : collection of int
        Chunks whose fragments an interrupted run left. One that is found only later, because its worker died after
        writing it, was computed by this run.
    """

    def __init__(self, plan: Plan, found: Collection[int] = ()) -> None:
        self.plan, self._found = plan, found
        self._began = self._pass_began = self._last = time.perf_counter()
        self._summaries: dict[int, Summary] = {}
        self.restarts: list[str] = []
        self._accounts: list[Mapping[str, Any]] = []

    def begin_pass(self) -> None:
        """Note that workers run and chunks are about to be submitted."""
        if not self.restarts:
            self._pass_began = self._last = time.perf_counter()

    def restarted(self, why: str, account: Mapping[str, Any]) -> None:
        """Note that the cluster was lost and is started again, and what it had cost."""
        self._accounts.append(account)
        log.warning("%s; starting it again, %d chunks are done", why, len(self._summaries))
        self.restarts.append(why)

    def missing(self) -> list[int]:
        """Return the numbers of the chunks that are not done."""
        return [c.number for c in self.plan.chunks if c.number not in self._summaries]

    def disagreeing(self) -> list[tuple[int, tuple[int, ...]]]:
        """Return the chunks of which others of the same trains left some out, with all of these trains."""
        left_out: dict[tuple[int, int], set[int]] = defaultdict(set)
        for chunk in self.plan.chunks:
            left_out[chunk.first, chunk.last].update(self._summaries[chunk.number].left_out)
        wanted = [(c.number, left_out[c.first, c.last]) for c in self.plan.chunks]
        return [(n, (*sorted(all_),)) for n, all_ in wanted if all_ - {*self._summaries[n].left_out}]

    def add(self, summary: Summary) -> None:
        """Count a finished chunk."""
        reused = summary.reused and summary.chunk in self._found
        self._summaries[summary.chunk] = replace(summary, reused=reused)
        self._last = time.perf_counter()

    @property
    def bytes(self) -> int:
        """Bytes of input of the chunks that are done."""
        return sum(s.bytes for s in self._summaries.values())

    def in_order(self) -> list[Summary]:
        """Return the summaries by chunk number."""
        return [self._summaries[n] for n in sorted(self._summaries)]

    @property
    def losses(self) -> list[Loss]:
        """What was known to be missing, and what chunks could not use."""
        return [*self.plan.losses, *(loss for s in self.in_order() for loss in s.losses)]

    def manifest(self, account_of_cluster: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything about how the result was made.

        Parameters
        ----------
        account_of_cluster : dict
            What the cluster says of itself.
        """
        summaries, now = self.in_order(), time.perf_counter()
        seconds, wall = self._last - self._pass_began, now - self._began
        losses = ordered(self.losses)
        accounts = [*self._accounts, account_of_cluster]
        said = verdict(facts(self.plan, summaries, seconds, wall, any("jobs" in a for a in accounts)))
        return {
            "format": FORMAT,
            "plan": self.plan.fingerprint.facts,
            "name": self.plan.name,
            "table": str(self.plan),
            "reads": reads(self.plan),
            "unasked": unasked(self.plan, summaries),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "losses": [asdict(loss) for loss in losses],
            "account": account(self.plan, summaries, losses),
            "spared": sum(bytes_spared(i) for i in self.plan.inputs),
            "times": times(summaries, wall) | {"pass": seconds, "bound": said.bound},
            "cluster": cost(summaries, seconds, accounts) | {"advice": said.advice},
            "chunks": {
                "computed": sum(not s.reused for s in summaries),
                "reused": sum(s.reused for s in summaries),
            },
            "restarts": self.restarts,
        }


def account(plan: Plan, summaries: list[Summary], losses: list[Loss]) -> list[dict[str, Any]]:
    """Return, per module of each input of frames, expected = used + masked frames; of cameras entries, module -1.

    "masked" has one entry per cause; what is not explained by a loss that was counted in frames (trains that were
    left out because a hook raised) is "exception in hook". Trains that killed workers are counted here. "there" are the
    frames in the files, before any selection. Algorithms that used other frames of an input than the others have
    rows of their own.
    """
    used: Counter[tuple[int, int]] = Counter()
    worked: dict[int, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for summary in summaries:
        used.update({(number, module): frames for number, module, frames in summary.used})
        for algorithm, module, why, frames in summary.worked:
            worked[algorithm][module][why] += frames
    groups = []
    for number, bound in enumerate(plan.inputs):
        if bound.kind == "frames" or number in {a.stream for a in plan.algorithms}:
            read = [used[number, position] for position in range(len(bound.modules))]
            for own, names in _groups(plan, number, read, worked).items():
                groups.append(
                    [_row(plan, losses, number, m, n, dict(why), names) for m, (n, why) in enumerate(own)]
                )
    return _once(groups)


def _once(groups: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return all rows without what they say again: of modules that an algorithm reads twice, as with two masks.

    What it lost most of is what it could use.
    """
    taken: set[tuple[Any, ...]] = set()
    out: list[tuple[int, dict[str, Any]]] = []
    for number, rows in sorted(
        enumerate(groups), key=lambda group: sum(r["used"] - r["expected"] for r in group[1])
    ):
        kept: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for name in rows[0]["algorithms"]:
            own = [(r["input"], r["module"], name) for r in rows]
            kept[tuple(i for i, one in enumerate(own) if one not in taken)].append(name)
            taken.update(own)
        out += [(number, rows[i] | {"algorithms": names}) for at, names in kept.items() for i in at]
    return [row for _, row in sorted(out, key=lambda one: one[0])]


def _groups(
    plan: Plan, number: int, read: list[int], worked: Mapping[int, Mapping[int, Mapping[str, int]]]
) -> dict[tuple[Any, ...], list[str]]:
    """Return the algorithms that read an input, by what they did with it: frames used, and causes, of each module."""
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for n in lacks.readers(plan, number):
        own = [dict(worked[n][at]) for at in range(len(read))]
        if plan.algorithms[n].stream != number or not any(own):
            own = [{"": frames} for frames in read]
        for one, frames in zip(own, read, strict=True):
            if rest := frames - sum(one.values()):
                one["not in all inputs"] = rest
        key = tuple((one.pop("", 0), tuple(sorted(one.items()))) for one in own)
        groups[key].append(plan.algorithms[n].name)
    return groups


def _row(
    plan: Plan, losses: list[Loss], number: int, position: int, used: int, why: dict[str, int], by: list[str]
) -> dict[str, Any]:
    """Return a row of the account: frames of a module that algorithms used, and why not the others."""
    bound = plan.inputs[number]
    module = bound.modules[position] if bound.kind == "frames" else -1
    masked = _masked(losses, bound.location.sources[position], module, bound.name)
    # Those that are no rows since other modules lack them are expected of the modules that have them.
    expected = len(bound.index) + masked.get(NOT_IN_ALL, 0)
    rest = expected - used - sum(why.values())
    for cause, frames in masked.items():
        # What is more than was lost here was lost of another key of the same module.
        masked[cause] = min(frames, rest)
        rest -= masked[cause]
    masked = {cause: frames for cause, frames in masked.items() if frames}
    if killed := min(rest, _killed(plan, losses, bound, position)):
        masked[deaths.CAUSE] = killed
    if rest := rest - killed:
        masked["exception in hook"] = rest
    return {
        "input": f"{bound.name} {bound.key}",
        "module": module,
        "expected": expected,
        "used": used,
        "masked": masked | why,
        "there": int(bound.location.count[position].sum()) * bound.location.per_entry,
        "algorithms": by,
    }


def _killed(plan: Plan, losses: list[Loss], bound: BoundInput, module: int) -> int:
    """Return how many frames a module has in trains that were left out because they killed workers."""
    ids = [loss.first_train for loss in losses if loss.cause == deaths.CAUSE]
    if not ids:
        return 0
    rows = slice(0, len(bound.index))
    lost = np.isin(plan.train_ids[bound.index.train_positions(rows)], np.array(ids, plan.train_ids.dtype))
    return int((lost & present(bound, module, rows)).sum())


def _masked(losses: list[Loss], source: str, module: int, detector: str) -> dict[str, int]:
    """Return frames lost by cause for one module, but for those that a single algorithm cannot use."""
    masked: dict[str, int] = defaultdict(int)
    for loss in losses:
        if loss.frames and not loss.algorithm and loss.module == module and loss.source in (source, detector):
            masked[loss.cause] += loss.frames
    return dict(masked)


def times(summaries: list[Summary], wall: float) -> dict[str, Any]:
    """Return seconds by worker and in sum, and rates."""
    workers: dict[str, Counter[str]] = defaultdict(Counter)
    for summary in summaries:
        if not summary.reused:
            workers[summary.worker].update(summary.times)
    total: Counter[str] = Counter()
    for one in workers.values():
        total.update(one)
    read = sum(s.bytes for s in summaries if not s.reused)
    return {
        "wall": wall,
        "bytes": read,
        "rate": read / wall if wall else 0.0,
        "sum": dict(total),
        "workers": {name: dict(one) for name, one in sorted(workers.items())},
        "readers": {s.worker: s.readers for s in summaries if not s.reused and s.readers is not None},
    }


def facts(plan: Plan, summaries: list[Summary], seconds: float, wall: float, queued: bool) -> Facts:
    """Return what a verdict on a run needs."""
    done = [s for s in summaries if not s.reused]
    busy: Counter[str] = Counter()
    for summary in done:
        busy.update({k: summary.times.get(k, 0.0) for k in ("wait", "compute", "write")})
    workers = {s.worker for s in done}
    return Facts(
        wall=wall,
        seconds=seconds,
        bytes=sum(s.bytes for s in done),
        workers=len(workers),
        nodes=len({w.rpartition(":")[0] for w in workers}),
        chunks=len(done),
        busy=busy,
        divisible=any(c.last - c.first > 1 for c in plan.chunks),
        queued=queued,
    )
