"""Sources and keys that outputs say themselves: whether files can have them, and that no two are at one place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...errors import PlanError

if TYPE_CHECKING:
    from ...declare.outputs import BoundOutput
    from .places import Item, Places

SOURCE = re.compile(r"[\w.+-]+(/[\w.+-]+){2}(:[\w.+-]+)?")
KEY = re.compile(r"\w+(\.\w+)*")
LABELS = ("trainId", "pulseId", "cellId", "entryId")
"""Keys that are written by themselves beside rows."""


def check(outputs: Iterable[BoundOutput]) -> None:
    """Refuse names that no file can have, and two outputs of one name.

    Raises
    ------
    PlanError
    """
    taken: dict[tuple[str, str], str] = {}
    for o in outputs:
        if o.output.exdf is None:
            continue
        if why := _problem(o, *o.output.exdf):
            raise PlanError(f"{o.name}: exdf={o.output.exdf}: {why}")
        if (other := taken.setdefault(o.output.exdf, o.name)) != o.name:
            raise PlanError(
                f"{o.name}: exdf={o.output.exdf} is the place of {other}, too; give one of them another"
            )


def _problem(o: BoundOutput, source: str, key: str) -> str:
    """Return what is wrong with the source and the key of an output; "" if nothing is."""
    if not SOURCE.fullmatch(source):
        return "expected a source such as 'SPB_EXP_AGIPD1M1/REDU/LITFRM:output', or without ':output' a control source"
    if not KEY.fullmatch(key):
        return "a key is words with dots between them, such as 'data.intensity'"
    whole, instrument = o.output.kind in ("run", "pixel"), ":" in source
    if whole and instrument:
        return "values of the whole run belong to control sources, without ':' in their name"
    if not instrument and o.output.kind not in ("run", "pixel", "train"):
        return "several entries per train belong to instrument sources, such as 'A/B/C:output'"
    if instrument and key.partition(".")[2] in LABELS:
        return f"{key} is written by itself; leave this output out"
    # Nothing of files is loaded for plans that say no place.
    from ...exdf import declare as files

    try:
        files.check(
            files.Declared(
                o.name, source, key, o.output.shape, np.dtype(o.output.dtype), files.DS(source, key)
            )
        )
    except files.ExdfError as e:
        return str(e)
    return ""


def check_places(places: Places) -> None:
    """Refuse two variables at one place, one below another, and other rows in one index group.

    Raises
    ------
    PlanError
    """
    names = {item.place.path: item.variable.name for item in places.items}
    labels = {place.path: name for name, place in places.coordinates()}
    groups: dict[tuple[str, str], Item] = {}
    for item in places.items:
        path, name = item.place.path, item.variable.name
        above = (path[:at] for at in (m.start() for m in re.finditer("/", path)))
        other = next((names[p] for p in (path, *above) if names.get(p, name) != name), labels.get(path))
        if other is not None:
            raise PlanError(
                f"{name} would be at {path} of EXDF files, where {other} is; give one of them another exdf="
            )
        if item.place.section == "INSTRUMENT":
            first = groups.setdefault((item.place.source, item.place.group), item)
            if _rows(first) != _rows(item):
                raise PlanError(
                    f"{name} and {first.variable.name} would be in one index group, {item.place.source} "
                    f"{item.place.group}, and have other rows; give one of them another group with exdf="
                )


def _rows(item: Item) -> tuple:
    """Return what the rows of a variable follow."""
    v = item.variable
    return (v.axis, v.dims[0]) if v.axis == "event" else (v.axis, v.index)
