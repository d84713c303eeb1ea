"""A plan: plain values of what will be read, in which chunks, to where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..declare.outputs import BoundOutput
from ..run.bound import BoundInput, train_bytes
from ..run.index import EntryIndex
from ..run.losses import Loss
from .bound import BoundAlgorithm
from .destination import Destination
from .where import Cut

ALL = -1
"""The part of a chunk that has all modules of a plan that is cut by modules."""


@dataclass(frozen=True)
class Chunk:
    """The trains (positions ``first:last``) and modules (of part `part`, or ALL) of one task."""

    number: int
    first: int
    last: int
    part: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """What a reduction is: values, and what follows from them alone; `dataclasses.replace` makes another of it."""

    run: str
    """Where the run is."""
    train_ids: NDArray
    """(train,) uint64."""
    inputs: tuple[BoundInput, ...]
    """What is read; those with equal frames share one index."""
    algorithms: tuple[BoundAlgorithm, ...]
    chunks: tuple[Chunk, ...]
    parts: tuple[slice, ...]
    """Positions of modules that are reduced apart from each other; one slice of all, usually."""
    block_bytes: int
    """What is read at once of one module."""
    store: Destination
    """Where the result goes."""
    losses: tuple[Loss, ...]
    """What is known to be missing before reading."""
    on_fault: str | None
    resume: bool
    overwrite: bool
    readers: int | None = None
    chunk_bytes: int = 0
    """What was asked for as `chunk`; 0 if nothing was."""
    chunk_trains: int = 0
    """Train ids of a chunk, where they were asked for: chunks begin at multiples of it. 0: chunks are cut by bytes."""
    name: str = ""
    selected_by: tuple[Path, ...] = ()
    """Results that say which frames are read."""
    where: Cut | None = None
    """The condition on frames, and what it left."""
    hook_timeout: float | None = None
    given: Any = None
    """What has the data that are in no file: see `dxflow.worker.source.Given`; inputs are `nowhere` then."""
    config: Any = None
    """What was asked for, as plain values."""
    live: Mapping[str, Any] | None = None
    """What the result says of the run that it is of so far, as plain values: "final", "version", "chunk"..."""
    finished: bool = False
    """Whether it is to be resumed and has nothing left to do: its result is there, and intact."""

    @property
    def outputs(self) -> tuple[BoundOutput, ...]:
        """All outputs of all algorithms that are made while the data are read, in order."""
        return tuple(o for a in self.algorithms for o in a.outputs)

    @property
    def results(self) -> tuple[BoundOutput, ...]:
        """All outputs of all algorithms, in order: also those that are made of all rows in the end."""
        return tuple(o for a in self.algorithms for o in (*a.outputs, *a.finals))

    @cached_property
    def for_rows(self) -> frozenset[str]:
        """Names of the outputs that are kept for `Algorithm.finalize_rows`."""
        return frozenset(o.name for a in self.algorithms for o in a.rows)

    @cached_property
    def handed_on(self) -> frozenset[str]:
        """Names of the outputs that later algorithms of the pass read."""
        return frozenset(o.name for a in self.algorithms for o in a.read)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Where each chunk stands among those of its part: counted, or by train ids, whatever others there are."""
        if self.chunk_trains:
            return tuple(int(self.train_ids[c.first]) // self.chunk_trains for c in self.chunks)
        own: dict[int, list[int]] = defaultdict(list)
        for chunk in self.chunks:
            own[chunk.part].append(chunk.number)
        at = {number: place for numbers in own.values() for place, number in enumerate(numbers)}
        return tuple(at[chunk.number] for chunk in self.chunks)

    @property
    def indexes(self) -> tuple[EntryIndex, ...]:
        """The indexes of all inputs, each once."""
        return tuple(dict.fromkeys(i.index for i in self.inputs))

    @property
    def bytes_to_read(self) -> int:
        """Bytes of data, after decompression, of all inputs."""
        return sum(train_bytes(i).sum() for i in self.inputs)

    @property
    def apart(self) -> bool:
        """Whether chunks have some modules only: what they make of the same trains is put together then."""
        return len(self.parts) > 1

    @cached_property
    def stretches(self) -> tuple[Chunk, ...]:
        """Trains that are worked on together, in order, as chunks of all modules."""
        return tuple(Chunk(n, c[0].first, c[0].last, ALL) for n, c in enumerate(self._chunks_of))

    @cached_property
    def _chunks_of(self) -> list[list[Chunk]]:
        """The chunks of the same trains."""
        found: dict[tuple[int, int], list[Chunk]] = defaultdict(list)
        for chunk in self.chunks:
            found[chunk.first, chunk.last].append(chunk)
        return list(found.values())

    def chunks_of(self, stretch: int) -> Sequence[Chunk]:
        """Return the chunks of a stretch of trains, given by its number, in the order of their modules."""
        return self._chunks_of[stretch]

    def modules(self, chunk: Chunk) -> slice:
        """Return the positions of the modules that a chunk works on."""
        if chunk.part == ALL:
            return slice(self.parts[0].start, self.parts[-1].stop)
        return self.parts[chunk.part]
