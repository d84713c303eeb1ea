"""What a worker will need in memory, known before the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import sizes
from ..declare.algorithm import Algorithm
from ..disk import parcels
from ..errors import PlanError
from ..run.bound import train_bytes
from .bound import BoundAlgorithm
from .steps import together
from .walks import Trains, Walk

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from .binding import Binding
    from .plan import Plan

FRAGMENTS = 4
"""Partials that are there at a time while eight fragments are merged in pairs."""
LIBRARIES = 160 * 2**20
"""Code and small objects of libraries that load with the first chunk: numba and its compiler, HDF5 metadata."""


@dataclass(frozen=True)
class Memory:
    """Bytes a worker needs at most, beyond what the idle process has, by purpose."""

    buffers: int
    """Blocks or trains read ahead and worked on."""
    partials: int
    """Whole-run outputs: of a chunk with its units, or some of them while they are merged."""
    rows: int
    """Per-frame, per-train outputs of a chunk, and keys read for it."""
    tables: int
    """What algorithms keep in `initialize`, and the index of the run."""
    writing: int
    """Pieces of the result on their way to the store."""
    libraries: int = LIBRARIES

    @property
    def total(self) -> int:
        """Their sum."""
        return sum(asdict(self).values())

    def __str__(self) -> str:
        shown = ", ".join(f"{k} {sizes.show(v)}" for k, v in asdict(self).items() if v)
        return f"{sizes.show(self.total)} ({shown})"


def estimate(plan: Plan, walk: Walk) -> Memory:
    """Return what a worker of a plan needs."""
    spans = [plan.modules(c) for c in plan.chunks]
    part = max(spans, key=lambda s: s.stop - s.start)
    return Memory(
        buffers=buffers(plan, walk) * walk.step_bytes + _scratch_bytes(walk),
        partials=sum(_partials(plan, a, part) for a in plan.algorithms),
        rows=max(2 * (_rows_bytes(plan) + _key_bytes(plan, walk.keys)), 2 * _final_bytes(plan)),
        tables=sum(_table_bytes(plan, a, part) for a in _with_tables(plan))
        + _option_bytes(plan)
        + _index_bytes(plan)
        + _mask_bytes(plan),
        writing=plan.store.piece_bytes(plan),
    )


def partial_bytes(algorithms: Sequence[BoundAlgorithm], part: slice) -> int:
    """Return the bytes of the whole-run outputs of some modules."""
    count = part.stop - part.start
    return sum(_bytes(o, 1, 1, min(count, o.pixels[0])) for a in algorithms for o in a.outputs if o.whole_run)


def rows_bytes(binding: Binding) -> int:
    """Return the bytes of all rows of the run; events, of which nobody knows how many there are, aside."""
    outputs = [o for a in binding.algorithms for o in a.outputs if o.keeps_rows]
    rows = [(o, 0 if o.index is None else len(o.index)) for o in outputs]
    return sum(_bytes(o, n, len(binding.trains), o.pixels[0]) for o, n in rows)


def _partials(plan: Plan, bound: BoundAlgorithm, part: slice) -> int:
    """Return the bytes of an algorithm's partials that are there at a time, and of what each module has of them.

    Of units or fragments that are merged in pairs, one is kept for each power of two.
    """
    per_chunk = max(c.last - c.first for c in plan.chunks) // bound.unit
    kept = max(2 + per_chunk.bit_length(), FRAGMENTS)
    shares = sum(_bytes(o, 1, 1, 1) * o.pixels[0] for o in bound.outputs if o.output.kind == "run")
    return kept * partial_bytes([bound], part) + bound.algorithm.by_module * shares


def _bytes(o: BoundOutput, rows: int, trains: int, modules: int) -> int:
    """Return the bytes of an output's array, from its shape alone."""
    return math.prod(o.shape(rows, trains, modules)) * np.dtype(o.output.dtype).itemsize


def buffers(plan: Plan, walk: Walk) -> int:
    """Return how many buffers a worker has: one is worked on while threads fill the others."""
    return walk.buffers if plan.readers is None else plan.readers + 1


def _scratch_bytes(walk: Walk) -> int:
    """Return the bytes of images that algorithms hand on within a window."""
    return sum(
        _bytes(o, walk.most_frames(group, o.index), 1, o.pixels[0] if isinstance(walk, Trains) else 1)
        for group in walk.groups
        for bound in group.algorithms
        for o in bound.outputs
        if o.transient
    )


def _rows_bytes(plan: Plan) -> int:
    """Return the bytes of a chunk's rows, for the largest chunk."""

    def of(chunk: Any, o: BoundOutput) -> int:
        rows = o.index.rows(chunk.first, chunk.last) if o.index is not None else slice(0, 0)
        return _bytes(o, rows.stop - rows.start, chunk.last - chunk.first, o.pixels[0])

    kept = [o for o in plan.outputs if o.keeps_rows]
    return max((sum(of(c, o) for o in kept) for c in plan.chunks), default=0)


def _final_bytes(plan: Plan) -> int:
    """Return the bytes of all rows of an algorithm, and of what it makes of them, for the largest."""

    def of(bound: BoundAlgorithm) -> int:
        outputs = (*bound.rows, *bound.finals)
        return sum(_bytes(o, 0 if o.index is None else len(o.index), len(plan.train_ids), 1) for o in outputs)

    return max((of(a) for a in plan.algorithms if a.finals), default=0)


def _key_bytes(plan: Plan, numbers: frozenset[int]) -> int:
    """Return the bytes of keys, which are read for a whole chunk at once."""
    keys = [train_bytes(plan.inputs[i]) for i in numbers]
    if not keys:
        return 0
    return max(int(sum(k[c.first : c.last].sum() for k in keys)) for c in plan.chunks)


def _mask_bytes(plan: Plan) -> int:
    """Return the bytes of masks that are kept."""
    masks = [i.mask for i in plan.inputs if i.mask]
    return sum(m.packed.nbytes for m in masks if m.packed is not None) + (CACHE_BYTES if masks else 0)


def _with_tables(plan: Plan) -> Iterator[BoundAlgorithm]:
    """Yield algorithms that have tables of their own: of variants that are served together, one for those alike."""
    for several in together(plan.algorithms):
        for positions in Algorithm.alike([one.algorithm for one in several]):
            yield several[positions[0]]


def _table_bytes(plan: Plan, bound: BoundAlgorithm, part: slice) -> int:
    """Return the bytes of an algorithm's tables: of the modules of a chunk, or of all where a hook works on rows."""
    whole = any(map(bound.algorithm.overrides, ("finalize_chunk_processing", "finalize_rows")))
    return bound.algorithm.memory(bound.info if whole else bound.info.of_modules(part))


def _option_bytes(plan: Plan) -> int:
    """Return the bytes of arrays that were given as options."""
    given = [list(vars(a.algorithm).values()) + list(a.algorithm.options.values()) for a in plan.algorithms]
    return parcels.bytes_of([value for values in given for value in values])


def _index_bytes(plan: Plan) -> int:
    arrays = [a for i in plan.indexes for a in (i.entry, i.pulse_ids, i.cell_ids) if a is not None]
    tables = [a for i in plan.inputs for a in (i.location.file, i.location.first, i.location.count)]
    positions = sum(8 * len(i) for i in plan.indexes)
    joined = sum(i.joined.nbytes for i in plan.inputs if i.joined)
    return sum(a.nbytes for a in arrays + tables) + positions + joined


def check(memory: Memory, cluster: Any) -> None:
    """Refuse a plan whose workers do not fit this machine, when it is to run on this machine.

    Raises
    ------
    PlanError
    """
    if cluster is not None and cluster != "here":
        return
    import os

    workers = 1 if cluster == "here" else len(os.sched_getaffinity(0))
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory.total * workers > 0.8 * available:
        raise PlanError(
            f"{memory} for each of {workers} workers is more than 80 % of the {sizes.show(available)} of this "
            "machine. Use fewer workers (cluster=dxflow.clusters.Local(workers=1)), fewer modules or cells, "
            "or process_module_data, which needs no whole trains"
        )


CACHE_BYTES = 32 * 2**20
