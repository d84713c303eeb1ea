"""What is measured: a run on some worker processes, and the cases that can be made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..api import plan as make_plan
from ..clusters import Local
from ..driver.execute import execute
from . import floor, peers, peers_others
from .crew import Apart, Crew
from .rounds import Cannot, Case, Sample
from .tasks import Nothing

if TYPE_CHECKING:
    from ..planning.public import Plan


class Subject:
    """Cases of a run: each method returns a function that does the work once and says how long it took.

    Parameters
    ----------
    run : path or extra_data.DataCollection
    crew : Crew
        Processes that dxflow and its peers run on.
    apart : Apart
        For peers that start processes themselves.
    frames : Frames, optional
        Which frames are meant, where there are several detectors.
    """

    def __init__(self, run: Any, crew: Crew, apart: Apart, frames: Any = None) -> None:
        self.run, self.crew, self.apart = run, crew, apart
        self.workers = len(crew.addresses)
        self.inputs = {} if frames is None else {"img": frames}
        self.plan = self.planned([Nothing(**self.inputs)])

    def planned(self, algorithms: Any, **options: Any) -> Plan:
        """Return a plan of this run."""
        # As peers do: without the mask of the run, unless an input asks for it.
        return make_plan(self.run, algorithms, on_fault="mask", quiet=True, **{"mask": None} | options)

    def dxflow(self, algorithms: Callable[[], list[Any]], **options: Any) -> Case:
        """Time a whole call of dxflow on running workers: planned anew each time, and until the result is there."""

        def case() -> Sample:
            start = perf_counter()
            result = execute(self.planned(algorithms(), **options), self.crew.client, quiet=True)
            whole, times = perf_counter() - start, result.times
            return Sample(whole, times["bytes"], times["pass"], times["bound"])

        return case

    def reading(self, **options: Any) -> Case:
        """Time a pass that does nothing with the frames."""
        return self.dxflow(lambda: [Nothing(**self.inputs)], **options)

    def floor(self, size: int = floor.BUFFER, plan: Plan | None = None) -> Case:
        """Time the bare reading of the bytes of a plan; all frames by default."""
        spans = floor.spans(plan or self.plan)
        if not spans:
            return cannot("these files can only be read through HDF5")
        shares = floor.shares(spans, self.workers)
        return lambda: self.crew.time(floor.read, shares, size)

    def peer(self, function: Callable[..., int], *args: Any, prepare: Any = peers.open_only) -> Case:
        """Time a function of each process's share of the trains; runs are opened, tables made before."""
        shares = peers.shares(self.plan, self.workers)

        def case() -> Sample:
            self.crew.time(prepare, shares, *args)
            return self.crew.time(function, shares, *args)

        return case

    def one_process(self, function: Callable[..., int], *args: Any, prepare: Any = peers.open_only) -> Case:
        """Time a function of all trains in one of the processes."""
        one, share = Crew(self.crew.client, self.crew.addresses[:1]), peers.shares(self.plan, 1)

        def case() -> Sample:
            one.time(prepare, share, *args)
            return one.time(function, share, *args)

        return case

    def dask_moments(self) -> Case:
        """Time Dask arrays."""
        return lambda: peers_others.dask_moments(self.crew.client, self._all())

    def pasha_moments(self) -> Case:
        """Time pasha."""
        return lambda: self.apart.run(peers_others.pasha_moments, self._all(), self.workers)

    def libertem_std(self) -> Case:
        """Time LiberTEM."""

        def case() -> Sample:
            files = peers_others.datasets(self.plan.inputs[0])
            if not isinstance(self.run, str) and len(self.plan.train_ids) < len(
                peers.opened(self.plan.run).train_ids
            ):
                raise Cannot("LiberTEM takes whole files, not some trains of them")
            return self.apart.run(peers_others.libertem_std, files, self.workers)

        return case

    def _all(self) -> peers.Share:
        return peers.shares(self.plan, 1)[0]


def cannot(why: str) -> Case:
    """Return a case that says why it cannot be measured."""

    def case() -> Sample:
        raise Cannot(why)

    return case


@contextmanager
def workers(count: int) -> Iterator[tuple[Crew, Apart]]:
    """Lend worker processes, and one apart from them."""
    cluster, apart = Local(count), Apart()
    client = cluster.start()
    try:
        yield Crew(client), apart
    finally:
        apart.close(peers_others.end, count)
        client.close()
        cluster.close()
