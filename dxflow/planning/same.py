"""Whether two inputs are the same data, so that a pass reads them once."""

from __future__ import annotations

import numpy as np

from ..run.bound import BoundInput
from ..run.index import same_rows
from ..run.locate import Location


def same(a: BoundInput, b: BoundInput) -> bool:
    """Return whether two inputs are the same data, of the same trains."""
    if a.joined or b.joined:
        return a.declared is b.declared and same_rows(a.index, b.index)
    return _what(a) == _what(b) and same_rows(a.index, b.index) and _same_place(a.location, b.location)


def _same_place(a: Location, b: Location) -> bool:
    """Return whether two inputs are the same rows of the same files: an offset makes them others."""
    return a.files == b.files and all(
        np.array_equal(x, y) for x, y in ((a.file, b.file), (a.first, b.first), (a.count, b.count))
    )


def _what(bound: BoundInput) -> tuple:
    """Return what is read of an input, its frames aside."""
    at, mask = bound.location, bound.mask
    masked = None if mask is None else mask.what()
    joined = repr(bound.declared) if bound.parts or bound.composed else ""
    return at.sources, at.datasets, at.plane, at.roi, bound.modules, masked, joined
