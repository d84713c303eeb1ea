"""Chunks that do nothing, against a bare map of as many functions that do nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchkit.data import simulated
from dxflow.bench.crew import Apart, Crew
from dxflow.bench.rounds import Case, Group, Ratio, Sample
from dxflow.bench.subject import Subject
from dxflow.declare.inputs import Frames

CHUNKS = 10_000


@contextmanager
def empty_chunks(crew: Crew, apart: Apart, *, small: bool) -> Iterator[Group]:
    """Lend the group of cases for a run of as many tiny trains as there shall be chunks."""
    n = 50 if small else CHUNKS
    tiny: dict[str, Any] = {"trains": n, "pulses": 1, "modules": 1, "module_shape": (2, 2), "pool": 1}
    with simulated(small=small, **tiny) as truth:
        subject = Subject(truth.path, crew, apart, Frames(modules=(0,)))
        cases = {
            "bare client.map": bare_map(crew.client, n),
            f"{n} empty chunks": subject.reading(chunk=1),
        }
        ratio = Ratio(
            work="chunks that do nothing",
            of=f"{n} empty chunks",
            to=("bare client.map",),
            target=1.25,
            at_least=False,
            by="seconds",
        )
        yield Group("chunks that do nothing", cases, (ratio,), warm_up=False)


def bare_map(client: Any, n: int) -> Case:
    """Time ``client.map`` of `n` functions that do nothing, and collecting what they return."""

    def case() -> Sample:
        from distributed import as_completed

        name, start = uuid.uuid4().hex, perf_counter()
        futures = client.map(nothing, range(n), key=[f"nothing-{i}-{name}" for i in range(n)], pure=False)
        for batch in as_completed(futures, loop=client.loop).batches():
            client.gather(batch)
        return Sample(perf_counter() - start)

    return case


def nothing(number: int) -> int:
    """Return the number."""
    return number
