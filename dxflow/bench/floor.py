"""The floor: read() of the bytes of a plan into one reused buffer, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..reader.files import Files
from ..reader.ring import paged
from ..reader.stretches import stretches
from ..reader.ways import Decoded, Direct, Extent
from ..run.extents import extents

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..run.bound import BoundInput
    from ..run.locate import Location

BUFFER = 8_000_000
"""Bytes; of what was tried the fastest, or nearly so, on most machines."""
STRETCH = 64 * 2**20
"""Longer spans are cut, so that shares come out even."""


@dataclass(frozen=True)
class Span:
    """Bytes of a file."""

    path: str
    offset: int
    nbytes: int


def spans(plan: Plan) -> list[Span]:
    """Return the bytes in files that the frames of a plan are made of, and those of masks, joined where adjacent.

    What only HDF5 can read is not among them.
    """
    files = Files()
    try:
        found = [
            span
            for bound in plan.inputs
            if bound.kind == "frames"
            for at in [bound.location, *([bound.mask.location] if bound.mask and bound.mask.location else [])]
            for span in _of_location(files, bound, at)
        ]
    finally:
        files.close()
    return [part for span in _joined(found) for part in _cut(span)]


def shares(all_spans: list[Span], n: int) -> list[list[Span]]:
    """Return `n` lists of about equal size."""
    out: list[list[Span]] = [[] for _ in range(n)]
    filled = [0] * n
    for span in all_spans:
        least = filled.index(min(filled))
        out[least].append(span)
        filled[least] += span.nbytes
    return out


def read(share: list[Span], size: int = BUFFER) -> int:
    """Read spans, one after the other, into a buffer of `size` bytes; return the bytes read."""
    buffer = paged(size).data
    total = 0
    for path, group in groupby(share, key=lambda s: s.path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            total += sum(_read(descriptor, span, buffer) for span in group)
        finally:
            os.close(descriptor)
    return total


def _read(descriptor: int, span: Span, buffer: memoryview) -> int:
    done = 0
    while done < span.nbytes:
        n = os.preadv(descriptor, [buffer[: span.nbytes - done]], span.offset + done)
        if not n:
            break
        done += n
    return done


def _of_location(files: Files, bound: BoundInput, at: Location) -> Iterator[Span]:
    rows = slice(0, len(bound.index))
    for module in range(len(bound.modules)):
        for _, _, extent, _ in extents(files, at, bound.index, module, rows).overlapping(0, rows.stop):
            yield from _of_extent(extent)


def _of_extent(extent: Extent) -> Iterator[Span]:
    if isinstance(extent, Direct):
        yield Span(extent.target.path, extent.offset, extent.count * extent.target.band_bytes)
    elif isinstance(extent, Decoded):
        layout = extent.target.layout
        for chunk in np.unique(layout.chunk_of(extent.lines // extent.target.per_entry)):
            yield Span(extent.target.path, int(layout.offsets[chunk]), int(layout.sizes[chunk]))


def _joined(found: Iterable[Span]) -> Iterator[Span]:
    """Yield spans by file and position, neighbours as one."""
    for path, group in groupby(sorted(found, key=lambda s: (s.path, s.offset)), key=lambda s: s.path):
        offset, nbytes = np.array([(s.offset, s.nbytes) for s in group]).T
        for a, b in stretches(offset[1:] == (offset + nbytes)[:-1], len(offset)):
            yield Span(path, int(offset[a]), int(offset[b - 1] + nbytes[b - 1] - offset[a]))


def _cut(span: Span) -> Iterator[Span]:
    for at in range(0, span.nbytes, STRETCH):
        yield Span(span.path, span.offset + at, min(STRETCH, span.nbytes - at))
