"""How a run is cut: into units by what each algorithm reads and makes alone, into chunks by what all of them do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..run.bound import train_bytes
from . import memory
from .bound import maker
from .units import adds_up

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from .binding import Binding
    from .bound import BoundAlgorithm
    from .plan import Plan

MOST_CHUNKS_OF_A_SMALL_RUN = 32
ENOUGH_CHUNKS = 12
"""Of a small run that is cut by modules."""
FEWEST_BLOCKS = 8
"""Of a chunk, where the run has so many: they hide the reading of the first."""
PARTIAL_LIMIT = 512 * 2**20
"""Partials beyond this are split by modules, where the algorithms allow it."""
ABOUT = 1.4
"""Factor within which chunks are of the size that is wanted: they are powers of two of trains."""
SMALL = 2**18
"""Bytes of whole-run outputs that cost nothing, however often they are merged."""
LONGEST = 64
"""Trains of a unit, unless its data would be few beside the partial: no chunk is shorter, whatever else is read."""
WHOLE = 2**40
"""Trains of a unit that is a whole chunk, wherever that begins."""
FEWEST, FEWEST_OF_SMALL = 16, 256
"""Units of a run, and those of small outputs; half as many where it is no power of two."""


def with_units(binding: Binding, chunk: int, trains: int = 0) -> tuple[BoundAlgorithm, ...]:
    """Return the algorithms, each with the length of its units: whole chunks, if these are so many `trains`."""

    def unit(bound: BoundAlgorithm) -> int:
        whole = bound.algorithm.STRIPS or (trains and adds_up(bound))
        return WHOLE if whole else _length(binding, bound, chunk)

    return tuple(replace(a, unit=unit(a)) for a in binding.algorithms)


def _length(binding: Binding, bound: BoundAlgorithm, chunk: int) -> int:
    """Return the trains of a unit, a power of two: what the algorithm reads and makes decides, and `chunk`.

    As many as chunks of its own should have, so that its partials do not outweigh the data; but a chunk is no shorter
    than a unit, so there are several in a run, of which other algorithms may read much more.
    """
    if not adds_up(bound):
        return 1
    per_train = np.sum([train_bytes(binding.inputs[n]) for n in _inputs(binding, bound)], axis=0)
    partials, n = memory.partial_bytes([bound], slice(0, bound.outputs[0].pixels[0])), len(per_train)
    if partials <= SMALL:
        return min(within(per_train, ABOUT * chunk), _power(n // FEWEST_OF_SMALL))
    wanted = within(per_train, against_partials(per_train.sum(), partials))
    return max(within(per_train, 4 * partials), min(wanted, LONGEST, _power(n // FEWEST)))


def _power(n: int) -> int:
    """Return the largest power of two that is not above a number, at least 1."""
    return 1 << max(0, n.bit_length() - 1)


def _inputs(binding: Binding, bound: BoundAlgorithm) -> set[int]:
    """Return the inputs that an algorithm reads, itself or through those it reads from."""
    return {bound.stream, *bound.inputs}.union(*(_inputs(binding, maker(binding, o)) for o in bound.read))


def against_partials(total: float, partials: float) -> float:
    """Return the bytes of input that a chunk should have at least, given the bytes of its whole-run outputs.

    Each chunk writes them once and they are merged once, at about 1 GB/s: with 64 times as much input that is a few
    per cent of its time; with 32 times a small run still has some chunks.
    """
    return min(64 * partials, max(32 * partials, total / MOST_CHUNKS_OF_A_SMALL_RUN))


def within(per_train: NDArray, limit: float) -> int:
    """Return the largest power of two of trains of which no aligned stretch has more bytes, at least 1."""
    size, sums = 1, np.asarray(per_train, float)
    while len(sums) > 1:
        sums = np.add.reduceat(sums, np.arange(0, len(sums), 2))
        if sums.max() > limit:
            break
        size *= 2
    return size


@dataclass(frozen=True)
class Cut:
    """How a run is cut: groups of modules (positions), and stretches of trains; each has a chunk of each other."""

    parts: tuple[slice, ...]
    spans: tuple[tuple[int, int], ...]


def cut(
    binding: Binding, algorithms: Sequence[BoundAlgorithm], chunk: int, block: int, trains: int = 0
) -> Cut:
    """Cut a run by trains, by modules, or both: so that the fewest bytes of whole-run outputs are left by chunks.

    Each stretch of trains leaves them once, in whatever groups its modules are. What is added up, in units of trains
    and module by module, is the same in any cut.

    Parameters
    ----------
    chunk : int
        Bytes of input that a chunk should have.
    block : int
        Bytes that are read at once.
    trains : int
        Train ids that a chunk has in place of `chunk`: other trains only add chunks.
    """
    modules = max(len(i.modules) for i in binding.inputs)
    if any(a.algorithm.STRIPS for a in algorithms):
        return Cut(_apart(modules, modules), ((0, len(binding.trains)),))
    fixed = _by_ids(binding.trains, trains) if trains else ()
    whole = Cut((slice(0, modules),), fixed or _spans(binding, algorithms, chunk, block, 1))
    if not separable(binding):
        return whole
    size = memory.partial_bytes(algorithms, whole.parts[0])
    total = sum(int(train_bytes(i).sum()) for i in binding.inputs)
    needed, most = -(-size // PARTIAL_LIMIT), total // (FEWEST_BLOCKS * block)
    ordered = _in_order(binding)
    if ordered and needed > 1:
        needed = modules
    if fixed:
        return Cut(_apart(modules, needed), fixed)
    apart = _apart(modules, max(needed, min(modules, most)))
    if ordered and len(apart) < modules:
        return whole
    by_module = Cut(apart, _spans(binding, algorithms, chunk, block, len(apart)))
    if needed > 1:
        return by_module
    # Each group of modules leaves rows of its own.
    gained, rows = size * (len(whole.spans) - len(by_module.spans)), memory.rows_bytes(binding) * len(apart)
    fewer = gained > rows or (len(whole.spans) == 1 and size >= rows)
    return by_module if size > SMALL and fewer else whole


def _apart(modules: int, groups: int) -> tuple[slice, ...]:
    """Return so many groups of modules, or some fewer of the same size."""
    step = -(-modules // max(1, groups))
    return tuple(slice(a, min(a + step, modules)) for a in range(0, modules, step))


def separable(binding: Binding | Plan) -> bool:
    """Return whether no hook sees several modules, and what modules share can be put together when all are done."""
    counts = {len(i.modules) for i in binding.inputs if i.kind == "frames"}
    of_frames = all(binding.inputs[a.stream].kind == "frames" for a in binding.algorithms)
    return len(counts) == 1 and of_frames and all(map(_by_itself, binding.algorithms))


def _by_itself(bound: BoundAlgorithm) -> bool:
    """Return whether an algorithm works on each module without the others, until its rows are put together."""
    finishes = bound.algorithm.overrides("finalize_chunk_processing")
    return (
        bound.algorithm.by_module
        and not (finishes and adds_up(bound))
        and all(o.transient for o in bound.read)
        and all(map(_can_be_apart, bound.outputs))
    )


def _can_be_apart(o: BoundOutput) -> bool:
    """Return whether an output is the same if each module's share is made elsewhere.

    Of a train there are shares of many blocks, whose floats would be added up in another order. Images would all be in
    memory at once when modules are put together.
    """
    exact = o.output.merge in ("min", "max") or np.dtype(o.output.dtype).kind in "biu"
    rule = {"pixel": True, "event": True, "entry": o.output.merge != "custom", "image": o.transient}
    return rule.get(o.output.kind, o.output.kind == "train" and exact and o.output.merge != "custom")


def _in_order(binding: Binding) -> bool:
    """Return whether there are sums of floats of several modules: the same only if each module has its own."""
    return any(
        o.output.kind == "entry" and o.output.merge == "sum" and np.dtype(o.output.dtype).kind in "fc"
        for a in binding.algorithms
        for o in a.outputs
    )


def _spans(
    binding: Binding, algorithms: Sequence[BoundAlgorithm], chunk: int, block: int, parts: int
) -> tuple[tuple[int, int], ...]:
    """Cut the trains so that each chunk has about `chunk` bytes of input, a power of two of trains.

    A small run is still cut into some chunks, for parallel work and progress, but not below 8 blocks each: that
    many hide the reading of the first. Chunks are never so small that their partials outweigh their data, nor shorter
    than the units of an algorithm.

    Parameters
    ----------
    parts : int
        Groups of modules: each chunk has one.
    """
    per_train = np.sum([train_bytes(i) for i in binding.inputs], axis=0) / parts
    partials = memory.partial_bytes(algorithms, slice(0, max(len(i.modules) for i in binding.inputs))) / parts
    total, n = float(per_train.sum()), len(per_train)
    small = max(total * parts / MOST_CHUNKS_OF_A_SMALL_RUN, FEWEST_BLOCKS * block)
    if parts > 1:
        # The groups of modules are chunks enough.
        small = max(small, total * parts / ENOUGH_CHUNKS)
    least = against_partials(total, partials)
    wanted = within(per_train, max(ABOUT * min(chunk, small), least))
    step = max(wanted, *(a.unit for a in algorithms))
    return _stretches(n, step)


def _stretches(n: int, step: int) -> tuple[tuple[int, int], ...]:
    """Return trains in stretches of so many."""
    return tuple((a, min(a + step, n)) for a in range(0, n, step))


def _by_ids(train_ids: NDArray, step: int) -> tuple[tuple[int, int], ...]:
    """Return trains in stretches that begin where ids are multiples of a number: no other trains move them."""
    borders = np.flatnonzero(np.diff(train_ids // step)) + 1
    return tuple(pairwise([0, *borders.tolist(), len(train_ids)]))
