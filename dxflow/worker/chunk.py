"""What a worker does with a chunk: read it, let the algorithms work on it, leave a fragment."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..deaths import search as deaths
from ..deaths.notes import Attempt, Note, Now
from ..deaths.watch import Doing
from ..declare.events import Events
from ..disk import fragments, parcels
from ..disk.fragments import chunk_path
from ..planning import memory
from ..reader.files import Files
from ..reader.ring import Ring, paged
from ..reader.tuning import Tuner, candidates
from ..run.losses import Loss, from_json
from . import keys, pieces, presence
from .account import ChunkState
from .blocks import BlockPass
from .hooks import CAUSE, Hooks, named
from .lacks import worked
from .masks import Masks
from .trains import TrainPass

if TYPE_CHECKING:
    from ..planning.plan import Chunk
    from ..planning.public import Plan


@dataclass(frozen=True)
class Summary:
    """What the driver learns of a finished chunk; everything else stays in its fragment.

    `times` are seconds of the reader thread ("read"), of waiting for it ("wait"), in hooks ("compute") and writing
    the fragment ("write"); `used` is [input, module position, frames]; `events` the rows of event outputs.
    """

    chunk: int
    worker: str
    bytes: int
    times: dict[str, float]
    used: list[list[int]]
    events: dict[str, int] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    readers: int | None = None
    """Threads that read ahead on this worker, once that is measured."""
    reused: bool = False
    pieces: int = 1
    """In how many parts it was done: more than one where it was too large for its workers."""
    hooks_failed: dict[str, int] = field(default_factory=dict)
    """Trains in which a hook raised, by ``<algorithm>.<hook>``."""
    worked: list[list[Any]] = field(default_factory=list)
    """Frames by algorithm: [its number, module position, "" for those used or why not, frames]."""
    hooks_worked: tuple[str, ...] = ()
    """Hooks that also ended well."""
    asked: dict[str, list[str]] = field(default_factory=dict)
    """Aliases of which hooks asked what is valid, by algorithm."""

    def json(self) -> dict[str, Any]:
        """Return it as JSON values; not by asdict, which copies deeply."""
        return vars(self) | {"losses": [vars(loss) for loss in self.losses]}


class Workspace:
    """A plan on a worker, for one thread: algorithms initialized once, buffers kept between chunks."""

    def __init__(self, plan: Plan, folder: Path, session: str = "") -> None:
        # Copies, so that in the client's own process `initialize` leaves the user's objects alone.
        self._given = plan
        own = tuple(a.own() for a in plan.algorithms)
        self.plan, self.folder = replace(plan, algorithms=own), folder
        # It is that of the algorithms as they were given, and travels with the plan.
        vars(self.plan)["fingerprint"] = plan.fingerprint
        self.session = session or uuid.uuid4().hex[:12]
        """Names this start of the workers: what another start left unfinished is no fault of the data."""
        self.now = Now(folder, self.session)
        self.files = Files()
        self.masks = Masks()
        self.tuner = Tuner(candidates(memory.buffers(plan), plan.readers))
        self._buffers: list[NDArray] = []
        self._parcel: parcels.Parcel | None = None
        self.ready = False
        self.doing = Doing(plan.hook_timeout)
        self.note: Note | None = None
        """The last chunk's."""

    def buffers(self) -> list[NDArray]:
        """Return the buffers that blocks or trains are read into."""
        if not self._buffers:
            size = memory.buffer_bytes(self.plan)
            self._buffers = [paged(size) for _ in range(memory.buffers(self.plan))]
        return self._buffers

    def prepare(self) -> None:
        """Initialize the algorithms, once per process."""
        if not self.ready:
            for bound in self.plan.algorithms:
                with named(self.doing, f"in {bound.name}.initialize(), run {self.plan.run}"):
                    bound.algorithm.initialize(bound.info)
                bound.algorithm.freeze()
            self.ready = True

    def another(self) -> Workspace:
        """Return one for another thread: hooks may keep scratch arrays on self, so algorithms are its own, too."""
        other = type(self)(self._given, self.folder, self.session)
        other.doing = self.doing
        return other

    def close(self) -> None:
        """Close the files, when no task runs on it; those of one that does are closed with it."""
        self.files.close()

    def __reduce__(self) -> tuple:
        # Once for all workers, those included that come later.
        if self._parcel is None:
            self._parcel = parcels.packed(self.plan, self.folder / f"arrays-{self.session}.bin")
        return _unpacked, (self._parcel, self.folder, self.session)


def _unpacked(parcel: parcels.Parcel, folder: Path, session: str) -> Workspace:
    return Workspace(parcel.unpack(), folder, session)


@dataclass(frozen=True, eq=False)
class Done:
    """A chunk that has been worked on, and the trains that failed meanwhile."""

    state: ChunkState
    losses: list[Loss]


def run_chunk(work: Workspace, number: int) -> Summary:
    """Read a chunk while the algorithms work on what was read; leave a fragment.

    A chunk whose fragment is there is not done again. Trains in which a hook raised are left out, if faults are to
    be masked, by doing the chunk again without them: what is left is exactly the result without these trains. The
    same goes for trains that killed workers: what earlier workers tried and died of is told by a note.
    """
    path, chunk = chunk_path(work.folder, number, work.plan.digest), work.plan.chunks[number]
    if (meta := fragments.intact(path, work.plan.digest)) is not None:
        return replace(summary_of(meta), reused=True)
    with Note(work.now, number) as work.note:
        note = work.note
        first = Attempt("whole" if work.ready else "initialize", chunk.first, chunk.last)
        note.open(first)
        deaths.refuse_initialize(work.plan, note.history)
        note.begin(first)
        work.prepare()
        while (attempt := deaths.next_attempt(chunk, note.history)) is not None:
            note.begin(attempt)
            lost = deaths.losses(work.plan, chunk, deaths.killers(chunk, note.history))
            if attempt.what == "join":
                return pieces.join(work, chunk, deaths.pieces(attempt, note.history), lost)
            with note.hooks() if note.history.deaths else nullcontext() as say:
                plan = deaths.witnessed(work.plan, say) if say else work.plan
                done = _work(work, plan, attempt.of(chunk), frozenset(attempt.excluded))
            if attempt.what == "whole":
                return _write(work, done.state, [*lost, *done.losses], path)
            if attempt.what == "piece":
                _write(work, done.state, done.losses, pieces.path_of(work, chunk, attempt))
            note.survived(attempt)
        raise deaths.of_whole(work.plan, chunk, note.history)


def _work(work: Workspace, plan: Plan, chunk: Chunk, excluded: frozenset[int]) -> Done:
    """Read the trains of a chunk while the algorithms work on what was read, and finish its outputs."""
    losses: list[Loss] = []
    hooks = Hooks()
    while True:
        state = ChunkState(plan, chunk, excluded, work.files, work.masks, work.doing, hooks)
        one_pass: Any = (BlockPass if plan.by_module else TrainPass)(state)
        with closing(_read_ahead(work, one_pass)) as steps:
            for step, filled in steps:
                one_pass.work(step, filled)
        work.files.verify()
        one_pass.totals.reach(chunk.last)
        if not state.failed:
            _finish(state)
            return Done(state, losses)
        excluded |= state.failed
        raised = [loss for loss in state.losses if loss.cause == CAUSE]
        losses += sorted(raised, key=lambda loss: loss.first_train)


def _read_ahead(work: Workspace, one_pass: Any) -> Generator[tuple[Any, Any], None, None]:
    """Yield the steps of a chunk and what was read for each, while the number of reader threads is being found too."""
    state, start = one_pass.state, perf_counter()
    keys.read_keys(state)
    state.times["read"] = state.times["wait"] = perf_counter() - start
    steps = one_pass.steps()
    while steps:
        threads, count = work.tuner.next(memory.buffer_bytes(work.plan))
        now, steps = steps[:count], steps[count:] if count else []
        start, before = perf_counter(), state.bytes
        with Ring(now, one_pass.fill, work.buffers(), threads) as ring:
            yield from ring
        work.tuner.note(threads, state.bytes - before, perf_counter() - start, len(now))
        state.times["read"] += ring.read_seconds
        state.times["wait"] += ring.wait_seconds


def _finish(state: ChunkState) -> None:
    """Finish the rows and the account of time."""
    presence.mark_lost_rows(state)
    state.times["compute"] = perf_counter() - state.began - state.times["wait"]


def _write(work: Workspace, state: ChunkState, losses: list[Loss], path: Path) -> Summary:
    """Leave the fragment of a finished chunk, or of a piece of it, and return its summary."""
    start = perf_counter()
    arrays: dict[str, NDArray] = presence.accounts(state)
    events = {}
    for o in work.plan.outputs:
        array = state.arrays.get(o.name)
        if isinstance(array, Events):
            rows = array.sorted()
            arrays |= dict(
                zip((f"{o.name}/{part}" for part in ("rows", "trains", "frames")), rows, strict=True)
            )
            events[o.name] = len(rows[0])
        elif array is not None and (o.output.store or o.whole_run or o.name in work.plan.for_rows):
            arrays[o.name] = array.swapaxes(0, 1) if o.output.kind == "image" else array
    summary = Summary(
        chunk=state.chunk.number,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        bytes=state.bytes,
        times=state.times | {"write": 0.0},
        readers=work.tuner.chosen,
        used=state.used,
        worked=worked(state),
        events=events,
        losses=tuple(state.summed_losses() + losses),
        hooks_failed={name: len(trains) for name, trains in state.hooks.failed.items()},
        hooks_worked=tuple(sorted(state.hooks.worked)),
        asked={name: sorted(aliases) for name, aliases in state.asked.items() if aliases},
    )
    lasting = not work.plan.store.temporary
    fragments.write(path, summary.json(), arrays, of=work.plan.digest, lasting=lasting)
    summary.times["write"] = perf_counter() - start
    return summary


def summary_of(meta: dict[str, Any]) -> Summary:
    """Return the summary that a fragment holds."""
    return Summary(**{**meta, "losses": from_json(meta["losses"])})
