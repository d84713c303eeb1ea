"""Labels that every format has beside those of `Contents`: time of each train, first row of each train's events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .contents import Coordinate

if TYPE_CHECKING:
    from ..planning.public import Plan
    from .contents import Contents

TIME = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""Attributes of times that are stored as integers, as CF has them."""


def coordinates(contents: Contents) -> dict[str, Coordinate]:
    """Return all coordinates of a result: those of the contents, ``time``, and ``<events>_offset``."""
    out = dict(contents.coordinates)
    if (time := _time(contents.plan)) is not None:
        out.setdefault("train", Coordinate(("train",), contents.plan.train_ids, {"long_name": "train ID"}))
        out["time"] = time
    for variable in list(contents.variables.values()):
        if variable.axis == "count":
            out[f"{variable.entry}_offset"] = _offsets(contents, variable.name, variable.entry)
    return out


def _offsets(contents: Contents, count: str, events: str) -> Coordinate:
    """Return the number of the first row of each train: its rows are offset : offset + count."""
    variable = contents.variables[count]
    counts = contents.rows(variable, 0, variable.shape[0]).astype(np.int64)
    words = {"long_name": f"first row of each train in {events}"}
    return Coordinate(variable.dims, np.cumsum(counts) - counts, words)


def _time(plan: Plan) -> Coordinate | None:
    """Return the time of each train in UTC, where the files of the run have it."""
    from .origin import origin

    try:
        stamps = origin(plan).timestamps
    except (OSError, KeyError, ValueError):
        # A label is no reason to lose a result: what files are worth was decided when the run was opened.
        return None
    if not stamps.any():
        return None
    times = np.where(stamps > 0, stamps.astype("i8"), np.iinfo("i8").min).astype("M8[ns]")
    return Coordinate(("train",), times, {"long_name": "time of the train, UTC"})
