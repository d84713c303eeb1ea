"""How the arrays of a Zarr store are cut: into shards, which are files, and these into chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import metadata
from .shard import Shard

if TYPE_CHECKING:
    from ...planning.public import Plan
    from ..contents import Contents
    from ..variables import Variable

CHUNK_BYTES = 2**20
"""What is compressed at once: small enough to read a few frames, large enough to compress."""
SHARD_BYTES = 2**27
"""Rows that are one file, and one task to write, unless that would be too many files."""
PART_BYTES = 2**25
"""Pixels that are one file, written by one thread, where modules are not reduced apart."""
APART_BYTES = 2**23
"""Pixels that are one file where modules are reduced apart: it is written where they are made, and not copied again."""
MOST_SHARDS = 50
"""Of a result, and one more per array: larger results have larger shards. With metadata it stays below 100 files."""
READ_BYTES = 2**26
"""Rows that are taken from fragments at once."""
Piece = tuple[str, int, int]
"""Variable, and rows start:stop of a shard; or parts start:stop."""
Portion = tuple[tuple[int, ...], NDArray]
"""Where values begin in a shard, and the values."""


class Sharding:
    """How one variable is cut into shards (files), and these into chunks.

    Parameters
    ----------
    variable : Variable
    plan : Plan
    least : int
        Bytes that a shard must have so that there are not too many.
    """

    def __init__(self, variable: Variable, plan: Plan, least: int) -> None:
        self.variable, self.plan = variable, plan
        self.fill: Any = np.nan if variable.dtype.kind in "fc" else 0
        self.by_part = variable.axis == "part"
        self.modules = module_axis(variable) if self.by_part else -1
        self.parts = 1
        shape = tuple(max(1, n) for n in variable.shape)
        if not self.by_part:
            self.chunk = chunk_of(shape, variable.dtype)
            self.shard = _row_shard(shape, self.chunk, variable, max(SHARD_BYTES, least))
        else:
            shard = self._part_shard(shape, least)
            # Parts need not begin with a chunk, unless chunks are of one module.
            self.chunk = chunk_of(
                tuple(1 if a == self.modules else n for a, n in enumerate(shard)), variable.dtype
            )
            self.shard = _whole_chunks(shard, self.chunk)

    def _part_shard(self, shape: tuple[int, ...], least: int) -> tuple[int, ...]:
        """Return a part, several if there would be too many shards, or some modules of the only part."""
        v, plan = self.variable, self.plan
        if self.modules < 0:
            return shape
        if len(plan.parts) == 1:
            step = math.ceil(shape[self.modules] * min(1.0, max(PART_BYTES, least) / max(1, v.nbytes)))
        else:
            step = plan.parts[0].stop - plan.parts[0].start
            parts = math.ceil(max(APART_BYTES, least) / max(1, v.nbytes / len(plan.parts)))
            self.parts = min(max(1, parts), len(plan.parts))
            step = min(step * self.parts, shape[self.modules])
        return tuple(step if axis == self.modules else n for axis, n in enumerate(shape))

    @property
    def codec(self) -> str:
        """Name of the codec of its chunks."""
        return self.plan.store.codec

    @property
    def direct(self) -> bool:
        """Whether no two parts share a shard, so that each can be written where it is made."""
        return self.by_part and self.parts == 1 and self.variable.maker < 0

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the array."""
        v, options = self.variable, {"shard": self.shard, "fill": self.fill}
        # Arrays without axes are as small as labels.
        options["codec"] = self.codec if self.shard else ""
        # Zarr cannot shard an array without axes.
        return metadata.array(v.shape, v.dtype, self.chunk, dims=v.dims, attributes=v.attrs, **options)

    def pieces(self) -> Iterator[Piece]:
        """Yield what is written at once: rows of a shard, or parts that share one."""
        name, shape = self.variable.name, self.variable.shape
        if self.by_part:
            count = len(self.plan.parts) if self.modules >= 0 else 1
            step = self.parts
        else:
            count, step = shape[0], self.shard[0]
        yield from ((name, a, min(a + step, count)) for a in range(0, count, step))

    def shard_count(self) -> int:
        """Return the number of files, metadata not counted."""
        return sum(max(1, len(list(self.shards(a, b)))) for _, a, b in self.pieces())

    def shards(self, start: int, stop: int) -> Iterator[slice]:
        """Yield the shards of a piece: rows, or modules (positions)."""
        if not self.shard or 0 in self.variable.shape:
            return
        if not self.by_part:
            yield slice(start, stop)
        elif self.modules < 0:
            yield slice(0, self.shard[0])
        else:
            first, last = self.plan.parts[start].start, self.plan.parts[stop - 1].stop
            last = min(last, self.variable.shape[self.modules])
            step = self.shard[self.modules]
            yield from (slice(a, min(a + step, last)) for a in range(first, last, step))

    def file(self, shard: slice) -> str:
        """Return the path of a shard in the store."""
        axis = max(self.modules, 0)
        numbers = [shard.start // self.shard[axis] if a == axis else 0 for a in range(len(self.shard))]
        return metadata.place(self.variable.name, numbers)

    def open(self, path: Path, *, lasting: bool) -> Shard:
        """Return a shard that is to be written."""
        return Shard(
            path, self.shard, self.chunk, self.variable.dtype, self.fill, lasting=lasting, codec=self.codec
        )

    def rows(self, contents: Contents, shard: slice) -> Iterator[Portion]:
        """Yield the rows of a shard in portions of whole chunks."""
        rest, step = (0,) * (len(self.shard) - 1), self._rows_at_once()
        for a in range(shard.start, shard.stop, step):
            yield (a - shard.start, *rest), contents.rows(self.variable, a, min(a + step, shard.stop))

    def modules_of(self, shard: slice, part: Callable[[int], NDArray]) -> Iterator[Portion]:
        """Yield the modules of a shard part by part, or all of what has no modules."""
        nowhere = (0,) * len(self.shard)
        if self.modules < 0:
            yield nowhere, part(0)
            return
        for number, one in enumerate(self.plan.parts):
            a, b = max(one.start, shard.start), min(one.stop, shard.stop)
            if a < b:
                cut = (slice(None),) * self.modules + (slice(a - one.start, b - one.start),)
                start = (*nowhere[: self.modules], a - shard.start, *nowhere[self.modules + 1 :])
                yield start, part(number)[cut]

    def _rows_at_once(self) -> int:
        """Return a whole number of chunks."""
        rows = self.chunk[0]
        return rows * max(1, READ_BYTES // max(1, rows * self.variable.row_bytes))

    def memory(self) -> int:
        """Return the bytes that writing needs: what is taken at once, and the entry of the fragment it is in."""
        v = self.variable
        if self.direct:
            # The part is there anyway; chunks of it are compressed.
            return 8 * CHUNK_BYTES
        if self.by_part:
            return 2 * v.nbytes // len(self.plan.parts)
        taken = min(self._rows_at_once() * v.row_bytes, v.nbytes)
        return 2 * taken + math.ceil(v.nbytes / len(self.plan.chunks))


def shardings(found: Iterable[Variable], plan: Plan) -> dict[str, Sharding]:
    """Return the shardings of all variables: shards grow with the whole result, so that their number does not."""
    listed = list(found)
    least = sum(v.nbytes for v in listed) // MOST_SHARDS
    return {v.name: Sharding(v, plan, least) for v in listed}


def chunk_of(shape: tuple[int, ...], dtype: np.dtype, most: int = CHUNK_BYTES) -> tuple[int, ...]:
    """Return the largest chunk of whole last axes; of the axis before them as much as there is room for."""
    room, chunk = max(1, most // dtype.itemsize), list(shape)
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        chunk[axis] = min(size, max(1, room // inner))
        if chunk[axis] > 1 or inner <= room:
            break
    return tuple(chunk)


def _row_shard(
    shape: tuple[int, ...], chunk: tuple[int, ...], variable: Variable, shard_bytes: int
) -> tuple[int, ...]:
    """Return a shard of a whole number of chunks along rows, and of everything along the other axes."""
    rows = max(1, shard_bytes // max(1, variable.row_bytes))
    return _whole_chunks((min(rows, shape[0]), *shape[1:]), chunk)


def _whole_chunks(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.ceil(n / c) * c for n, c in zip(shape, chunk, strict=True))


def module_axis(variable: Variable) -> int:
    """Return the axis of modules of a per-pixel variable, or -1."""
    return len(variable.dims) - variable.pixels if variable.pixels else -1
