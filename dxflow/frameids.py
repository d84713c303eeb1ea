"""Pulse and cell ids of frames, read for the rows of files that frames are read from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .locate import Location


def frame_ids(run: Any, at: Location, module: int, key: str) -> NDArray | None:
    """Return one id per frame of a module, in the order of trains, (frame,); None where there is no such key.

    Raises
    ------
    ValueError
        If one file has the key and another has not, or it has fewer rows than frames.
    """
    counts = at.count[module].astype(np.int64) * at.per_entry
    out = np.zeros(counts.sum(), np.int64)
    end = np.cumsum(counts)
    files = {f.filename: f for f in run.files}
    read = [
        _read(files[at.files[number]], at, module, key, out, end - counts, number)
        for number in np.unique(at.file[module][at.file[module] >= 0])
    ]
    if any(read) and not all(read):
        raise ValueError(f"{at.sources[module]} has {key} in some of its files only")
    return out if any(read) else None


def _read(
    access: Any, at: Location, module: int, key: str, out: NDArray, start: NDArray, number: int
) -> bool:
    """Fill in the ids of the trains of one file; return whether it has one per frame."""
    path = f"INSTRUMENT/{at.sources[module]}/{key.replace('.', '/')}"
    if path not in access.file:
        return False
    ids = access.file[path][:]
    per_row = int(np.prod(ids.shape[1:]))
    if per_row != at.per_entry:
        return False
    trains = np.flatnonzero(at.file[module] == number)
    first, count = (a[module][trains].astype(np.int64) * at.per_entry for a in (at.first, at.count))
    if (first + count).max() > ids.size:
        raise ValueError(f"{access.filename}: {path} has {len(ids)} rows, fewer than there are frames")
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    out[np.repeat(start[trains], count) + within] = ids.ravel()[np.repeat(first, count) + within]
    return True
