"""Where the frames of a module that a plan wants are in the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..reader.extents import Extents, Wanted, of_file
from ..reader.files import Files
from ..reader.stretches import stretches
from ..reader.ways import Extent

if TYPE_CHECKING:
    from .index import EntryIndex
    from .locate import Location


def extents(files: Files, at: Location, index: EntryIndex, module: int, rows: slice) -> Extents:
    """Find where rows of a module lie; row numbers in the result count from ``rows.start``."""
    files.expect(at.files, at.stats)
    trains = index.train_positions(rows)
    entry = index.entries(module, rows)
    file = np.where(entry >= 0, at.file[module, trains], -1)
    lines = at.first[module, trains] * at.per_entry + entry
    asked = wanted(files, at)
    out: list[tuple[int, Extent]] = []
    for start, stop in stretches(file[1:] == file[:-1], len(file)):
        if file[start] >= 0:
            path = at.files[int(file[start])]
            out += of_file(asked, path, at.datasets[module], lines[start:stop], start)
    return Extents(out)


def wanted(files: Files, at: Location) -> Wanted:
    """Return what is wanted of the rows of a dataset, whichever file it is in."""
    return Wanted(files, at.stored, at.dtype, at.per_entry, at.plane, *_region(at))


def _region(at: Location) -> tuple[slice, slice | None]:
    """Return the slow-scan rows that are read, and the columns if not all are."""
    band = at.roi[0] if at.roi else slice(0, at.stored[0] if at.stored else 1)
    return band, at.roi[1] if at.roi and at.roi[1] != slice(0, at.stored[1]) else None
