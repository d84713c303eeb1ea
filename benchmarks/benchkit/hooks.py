"""Hooks of algorithms alone, on a block that is in memory: no reading, no Dask, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter, process_time
from typing import Any

import numpy as np

from dxflow.api import plan as make_plan
from dxflow.bench.rounds import Case, Sample
from dxflow.deaths.watch import Doing
from dxflow.planning.walks import Window
from dxflow.reader.files import Files
from dxflow.reader.ring import paged
from dxflow.worker.ahead import Reading
from dxflow.worker.masks import Masks
from dxflow.worker.source import Loaded
from dxflow.worker.work import Pass

SECONDS = 0.3


class Blocks:
    """The first chunk of a plan, worked on here: its first block, or all of them.

    Parameters
    ----------
    run : path
    algorithms : list of Algorithm
    **options
        Of `dxflow.plan`.
    """

    def __init__(self, run: Any, algorithms: list[Any], **options: Any) -> None:
        self.plan = make_plan(run, algorithms, on_fault="mask", **options)
        for bound in self.plan.algorithms:
            bound.algorithm.initialize(bound.info)
            bound.algorithm.initialize_modules(bound.info)
        reading = Reading(self.plan, self.plan.chunks[0], frozenset(), Files(), Masks())
        reading.begin()
        self.one = Pass(reading, Doing())
        self.buffer = paged(self.one.walk.step_bytes)

    def first(self) -> tuple[Window, Loaded]:
        """Return the first window, and what was read of it."""
        window = self.one.reading.windows[0]
        return window, self.one.source.fill(window, self.buffer)

    def hook(self, name: str, seconds: float = SECONDS) -> Case:
        """Time the hook of an algorithm on the first block or train, again and again; all run once before."""
        _, loaded = self.first()
        self.one.work(loaded)
        bound = next(a for a in self.plan.algorithms if a.name == name)
        part, out = self.one.first_call(bound, loaded)
        lead, algorithm = next(iter(loaded.arrays.values())), bound.algorithm
        call = algorithm.process_module_data if algorithm.by_module else algorithm.process_train_data
        return repeated(lambda: call(part, out), lead.nbytes, seconds)

    def variants(self, seconds: float = SECONDS) -> Case:
        """Time the hook that serves all instances at once, as `hook` does; seconds are those of the processor."""
        _, loaded = self.first()
        self.one.work(loaded)
        first = [self.one.first_call(bound, loaded) for bound in self.plan.algorithms]
        instances, outs = [bound.algorithm for bound in self.plan.algorithms], [out for _, out in first]
        lead, one = next(iter(loaded.arrays.values())), instances[0]
        if len(instances) == 1:
            own = one.process_module_data if one.by_module else one.process_train_data
            return repeated(lambda: own(first[0][0], outs[0]), lead.nbytes, seconds, process_time)
        return repeated(
            lambda: one.process_variants(instances, first[0][0], outs), lead.nbytes, seconds, process_time
        )

    def walked(self) -> Case:
        """Time reading and working on all blocks; seconds and bytes are those of one."""

        def case() -> Sample:
            start, windows = perf_counter(), self.one.reading.windows
            for window in windows:
                self.one.work(self.one.source.fill(window, self.buffer))
            return Sample((perf_counter() - start) / len(windows))

        return case

    def images(self) -> Iterator[Any]:
        """Yield the arrays of the first block, (frame, ss, fs)."""
        for modules in self.first()[1].arrays.values():
            yield from modules


def repeated(
    work: Callable[[], Any],
    nbytes: int,
    seconds: float = SECONDS,
    clock: Callable[[], float] = perf_counter,
) -> Case:
    """Return the case of doing something often enough to be timed; the sample is of one time."""

    def case() -> Sample:
        work()
        start, n = clock(), 0
        while (took := clock() - start) < seconds or not n:
            work()
            n += 1
        return Sample(took / n, nbytes)

    return case


def with_nan(images: np.ndarray, share: float) -> None:
    """Make a share of the pixels NaN, the same ones in each frame, as masks do."""
    pixels = images[0].size
    bad = np.random.default_rng(1).choice(pixels, int(share * pixels), replace=False)
    images.reshape(len(images), -1)[:, bad] = np.nan
