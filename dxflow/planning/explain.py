"""Say for each input of a plan which way it is read, why, and what that costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..reader.files import Files
from ..reader.ways import Broken, Decoded, Direct, Extent
from ..run.bound import bytes_spared
from ..run.extents import extents
from ..sizes import show

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from ..run.locate import Location
    from .plan import Plan

WAYS = {
    "direct": "read straight into the buffer, without HDF5",
    "decode": "decoded here, in parallel and without HDF5's lock",
    "hdf5": "through HDF5, one thread at a time",
}


@dataclass
class Cost:
    """What one way costs for one input: frames of modules, calls, bytes read of the files and delivered."""

    frames: int = 0
    calls: int = 0
    stored: int = 0
    delivered: int = 0


def explain(plan: Plan) -> str:
    """Return lines of text; opens every file of the plan once.

    Per input: which share of it is read in which way and why, how many stretches are read, how many bytes that takes
    of the files, and how many bytes were spared by selecting frames, modules or pixels.
    """
    files = Files()
    try:
        lines = [line for n, bound in enumerate(plan.inputs) for line in _of_input(files, plan, n, bound)]
    finally:
        files.close()
    return "\n".join(lines)


def _of_input(files: Files, plan: Plan, number: int, bound: BoundInput) -> list[str]:
    lines = [f"input {number}: {bound.name} {bound.key}"]
    lines += _lines(_costs(files, bound, bound.location), len(plan.chunks))
    if bound.masked:
        lines.append(f"  {bound.masked}{':' if bound.mask and bound.mask.location else ''}")
    if bound.mask and bound.mask.location:
        lines += _lines(_costs(files, bound, bound.mask.location), len(plan.chunks))
    spared = bytes_spared(bound)
    if spared:
        lines.append(
            f"  spared: {show(spared)} of frames, modules or pixels that were not selected are not read"
        )
    return lines


def _lines(costs: dict[tuple[str, str], Cost], chunks: int) -> list[str]:
    total = sum(c.frames for c in costs.values()) or 1
    return [
        f"  {cost.frames / total:.0%} {WAYS[way]} ({why}): {show(cost.stored)} from files for {show(cost.delivered)}, "
        f"in at least {cost.calls} stretches"
        for (way, why), cost in sorted(costs.items(), key=lambda item: -item[1].frames)
    ]


def _costs(files: Files, bound: BoundInput, at: Location) -> dict[tuple[str, str], Cost]:
    """Return the cost by (way, why)."""
    costs: dict[tuple[str, str], Cost] = defaultdict(Cost)
    frame = int(np.prod(at.shape, dtype=np.int64)) * at.dtype.itemsize
    rows = slice(0, len(bound.index))
    for module in range(len(bound.modules)):
        for _, _, extent, _ in extents(files, at, bound.index, module, rows).overlapping(0, len(bound.index)):
            if isinstance(extent, Broken):
                continue
            layout = extent.target.layout  # type: ignore[attr-defined]
            cost = costs[layout.way, layout.why or "as HDF5 says"]
            cost.frames += extent.count
            cost.calls += len(extent.lines) if isinstance(extent, Decoded) else 1
            cost.stored += _stored(extent)
            cost.delivered += extent.count * frame
    return costs


def _stored(extent: Extent) -> int:
    """Return the bytes that an extent reads of its file."""
    if isinstance(extent, Decoded):
        layout = extent.target.layout
        chunks = np.unique(layout.chunk_of(extent.lines // extent.target.per_entry))
        return int(layout.sizes[chunks].sum())
    bytes_of_frame = extent.target.band_bytes if isinstance(extent, Direct) else extent.target.frame_bytes  # type: ignore[attr-defined]
    return extent.count * bytes_of_frame
