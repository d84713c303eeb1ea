"""The account of a run: what was read, used and lost, and where the time went."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.redact import logger
from ..planning import lacks
from ..planning.reads import reads
from ..planning.words import of_where
from ..run.bound import bytes_spared
from ..run.index import NOT_IN_ALL
from ..run.losses import Loss, ordered
from .cost import cost
from .verdict import Facts, unasked, verdict

if TYPE_CHECKING:
    from ..disk.fragments import Address
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..run.bound import BoundInput
    from ..worker.summary import Summary, Without

FORMAT = 1
UNEXPLAINED = "unexplained"
"""Of frames that were expected, and of which nobody said what became of them."""
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
        self._gathered: dict[int, Summary] = {}
        self.again: set[int] = set()
        """Chunks that were done more than once."""
        self.restarts: list[str] = []
        self._accounts: list[Mapping[str, Any]] = []

    def go_on(self, plan: Plan, found: Collection[int]) -> None:
        """Take a plan of the same run when it has grown: chunks that are as they were are done."""
        before, self.plan, self._found, self.again = self.plan, plan, found, set()
        of = [[one.address(Path(), chunk.number) for chunk in one.chunks] for one in (before, plan)]
        self._summaries = _moved(self._summaries, (before.chunks, plan.chunks), of)
        of = [[one.rows_of(Path(), stretch.number) for stretch in one.stretches] for one in (before, plan)]
        self._gathered = _moved(self._gathered, (before.stretches, plan.stretches), of)

    def begin_pass(self) -> None:
        """Note that workers run and chunks are about to be submitted."""
        if not self.restarts and not self._summaries:
            self._pass_began = self._last = time.perf_counter()

    def restarted(self, why: str, account: Mapping[str, Any]) -> None:
        """Note that the cluster was lost and is started again, and what it had cost."""
        self._accounts.append(account)
        log.warning("%s; starting it again, %d chunks are done", why, len(self._summaries))
        self.restarts.append(why)

    def missing(self) -> list[int]:
        """Return the numbers of the chunks that are not done."""
        return [c.number for c in self.plan.chunks if c.number not in self._summaries]

    def disagreeing(self) -> list[tuple[int, Without, Sequence[Loss]]]:
        """Return the chunks of which others of the same trains left some out, with all of these trains.

        And what was lost when modules were put together: with each chunk, any of which may be done last.
        """
        own = {n: dict(summary.left_out).keys() for n, summary in self._summaries.items()}
        todo: list[tuple[int, Without, Sequence[Loss]]] = []
        for number, out in self._left_out():
            then = self._gathered.get(number)
            for chunk in self.plan.chunks_of(number):
                if dict(out).keys() - own[chunk.number]:
                    todo.append((chunk.number, out, then.losses if then else ()))
        return todo

    def _left_out(self) -> Iterator[tuple[int, Without]]:
        """Yield the stretches of trains, by number, each with all trains of it that are left out somewhere."""
        for stretch in self.plan.stretches:
            chunks = [self._summaries[c.number] for c in self.plan.chunks_of(stretch.number)]
            known = [*chunks, *filter(None, [self._gathered.get(stretch.number)])]
            yield stretch.number, (*sorted({n: why for s in known for n, why in s.left_out}.items()),)

    def apart(self) -> list[tuple[int, Without]]:
        """Return the stretches of which the modules are not put together, each with the trains left out of it."""
        return [
            (n, out) for n, out in self._left_out() if n not in self._gathered or self._gathered[n].losses
        ]

    def put_together(self) -> list[Summary]:
        """Return the summaries of stretches that were put together, in order."""
        return [self._gathered[n] for n in sorted(self._gathered)]

    def gathered(self, summary: Summary) -> None:
        """Count a stretch of trains that was put together."""
        self._gathered[summary.chunk] = summary

    def add(self, summary: Summary) -> None:
        """Count a finished chunk."""
        if summary.chunk in self._summaries:
            self.again.add(summary.chunk)
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

    @property
    def events(self) -> dict[str, list[int]]:
        """Rows of each event output in each stretch of trains."""
        names = [o.name for o in self.plan.outputs if o.output.kind == "event"]
        summaries = self.put_together() or self.in_order()
        return {name: [s.events[name] for s in summaries] for name in names}

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
            "live": self.plan.live,
            "config": self.plan.config,
            "table": str(self.plan),
            "reads": reads(self.plan),
            "where": [line for _, line in of_where(self.plan.where)],
            "unasked": unasked(self.plan, summaries),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "losses": [asdict(loss) for loss in losses],
            "account": account(self.plan, summaries),
            "spared": sum(bytes_spared(i) for i in self.plan.inputs),
            "times": times(summaries, wall) | {"pass": seconds, "bound": said.bound},
            "cluster": cost(summaries, seconds, accounts) | {"advice": said.advice},
            "chunks": {
                "computed": sum(not s.reused for s in summaries),
                "reused": sum(s.reused for s in summaries),
            },
            "restarts": self.restarts,
        }


def _moved(
    summaries: Mapping[int, Summary], chunks: Sequence[Sequence[Chunk]], of: Sequence[Sequence[Address]]
) -> dict[int, Summary]:
    """Return the summaries of chunks that another plan has, too: it has the same address there.

    Parameters
    ----------
    chunks, of : (before, now)
        The chunks of both plans, by number, and their addresses.
    """
    known = {of[0][n]: summary.moved(chunks[0][n], -chunks[0][n].first) for n, summary in summaries.items()}
    return {
        c.number: known[at].moved(c, c.first) for c, at in zip(chunks[1], of[1], strict=True) if at in known
    }


def account(plan: Plan, summaries: list[Summary]) -> list[dict[str, Any]]:
    """Return, per module of each input of frames, expected = used + masked frames; of cameras entries, module -1.

    "masked" has one entry per cause, counted where it happened: in the plan what modules do not have, by workers what
    could not be read and the trains that are left out; "unexplained" would be what does not add up. "there" are the
    frames in the files, before any selection. Algorithms that used other frames of an input than the others have
    rows of their own.
    """
    used: Counter[tuple[int, int]] = Counter()
    worked: dict[int, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    lost: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for summary in summaries:
        for number, module, why, frames in summary.masked:
            lost[number, module][why] += frames
        used.update({(number, module): frames for number, module, frames in summary.used})
        for algorithm, module, why, frames in summary.worked:
            worked[algorithm][module][why] += frames
    groups = []
    for number, bound in enumerate(plan.inputs):
        if bound.kind == "frames" or number in {a.stream for a in plan.algorithms}:
            read = [used[number, position] for position in range(len(bound.modules))]
            for own, names in _groups(plan, number, read, worked).items():
                rows = enumerate(own)
                groups.append(
                    [_row(plan, number, m, n, lost[number, m], dict(why), names) for m, (n, why) in rows]
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
    plan: Plan,
    number: int,
    position: int,
    used: int,
    lost: Mapping[str, int],
    why: dict[str, int],
    by: list[str],
) -> dict[str, Any]:
    """Return a row of the account: frames of a module that algorithms used, and why not the others.

    Parameters
    ----------
    lost : dict
        Frames that were there and could not be read, or are of trains that are left out, by cause.
    why : dict
        Frames that were read and not used, by cause.
    """
    bound = plan.inputs[number]
    module = bound.modules[position] if bound.kind == "frames" else -1
    masked = Counter(lost) + Counter(why) + _absent(plan, bound, position, module)
    # Those that are no rows since other modules lack them are expected of the modules that have them.
    expected = len(bound.index) + masked[NOT_IN_ALL]
    masked[UNEXPLAINED] = expected - used - masked.total()
    return {
        "input": bound.title,
        "module": module,
        "expected": expected,
        "used": used,
        "masked": {cause: frames for cause, frames in masked.items() if frames},
        "there": int(bound.location.count[position].sum()) * bound.location.per_entry,
        "algorithms": by,
    }


def _absent(plan: Plan, bound: BoundInput, position: int, module: int) -> Counter[str]:
    """Return the frames that a module does not have, by cause; inputs with the same frames lack the same."""
    same = {i.title for i in plan.inputs if i.index is bound.index}
    source = bound.location.sources[position]
    found: dict[tuple[str, int, int], int] = {}
    for loss in plan.losses:
        mine = loss.input in same or (loss.cause == NOT_IN_ALL and loss.source == source)
        if mine and loss.frames and not loss.algorithm and loss.module == module:
            found[loss.cause, loss.first_train, loss.frames] = loss.frames
    absent: Counter[str] = Counter()
    for (cause, _, _), frames in found.items():
        absent[cause] += frames
    return absent


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
