"""Bytes: of inputs, of chunks, as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .declare.inputs import BoundInput
    from .planning.make import Plan

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse(size: str | int) -> int:
    """Return a size like ``"2 MiB"`` as bytes.

    Raises
    ------
    ValueError
        If it is no size, or not positive.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(size))
    unit = match[2].upper() or "B" if match else ""
    if not match or unit not in UNITS or (n := int(float(match[1]) * UNITS[unit])) <= 0:
        raise ValueError(f"{size!r} is not a size; write it like 2097152, '2 MiB' or '1.5 GB'")
    return n


def show(n: float) -> str:
    """Return a number of bytes for people, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def train_bytes(bound: BoundInput) -> NDArray:
    """Return the bytes of an input in each train, all modules, (train,)."""
    return bound.index.counts * (bound.frame_bytes * len(bound.modules))


def bytes_spared(bound: BoundInput) -> int:
    """Return the bytes of frames and pixels of an input's modules that are not read."""
    at = bound.location
    item = at.dtype.itemsize
    all_frames = int(at.count.sum()) * at.per_entry
    wanted = int((bound.index.entry >= 0).sum()) * (len(bound.modules) if len(bound.index.entry) == 1 else 1)
    whole, part = (int(np.prod(shape, dtype=np.int64)) * item for shape in (at.stored, at.shape))
    return all_frames * whole - wanted * part


def largest_chunk(plan: Plan) -> int:
    """Return the bytes of input of the largest chunk."""
    before = np.concatenate([[0], np.cumsum(sum(train_bytes(i) for i in plan.inputs))])
    widest = max(len(i.modules) for i in plan.inputs)
    share = max(part.stop - part.start for part in plan.parts) / widest
    return int(max(before[c.last] - before[c.first] for c in plan.chunks) * share)
