"""Labels that every format has beside those of `Contents`: time of each train, first row of each train's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .axes import Coordinate

if TYPE_CHECKING:
    from .contents import Contents

TIME = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""Attributes of times that are stored as integers, as CF has them."""


def coordinates(contents: Contents) -> dict[str, Coordinate]:
    """Return all coordinates of a result: those of the contents, ``time``, and ``<events>_offset``."""
    out = dict(contents.coordinates)
    if (time := _time(contents)) is not None:
        out.setdefault("train", Coordinate(("train",), contents.plan.train_ids, {"long_name": "train ID"}))
        out["time"] = time
    for variable in list(contents.variables.values()):
        if variable.axis == "count":
            out[f"{variable.entry}_offset"] = _offsets(contents, variable.name, variable.entry)
    return out


def _offsets(contents: Contents, count: str, events: str) -> Coordinate:
    """Return the number of the first row of each train: its rows are offset : offset + count."""
    counts = contents.counts[events]
    words = {"long_name": f"first row of each train in {events}"}
    return Coordinate(contents.variables[count].dims, np.cumsum(counts) - counts, words)


def _time(contents: Contents) -> Coordinate | None:
    """Return the time of each train in UTC, where the files of the run have it."""
    stamps = contents.origin.timestamps
    if not stamps.any():
        return None
    times = np.where(stamps > 0, stamps.astype("i8"), np.iinfo("i8").min).astype("M8[ns]")
    return Coordinate(("train",), times, {"long_name": "time of the train, UTC"})
