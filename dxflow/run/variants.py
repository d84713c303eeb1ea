"""Variants in a labelled result: one of them by its name, or a message that says which there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..errors.near import listed

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

AXIS = "variant"
"""Name of the axis, after that of the algorithm where several have variants."""


def variable(found: Dataset, name: str) -> DataArray | None:
    """Return a variable of a result, also that of one variant, ``"peaks_2.hit"``; None if there is none.

    Raises
    ------
    ValueError
        If it is that of several variants.
    """
    if name in found:
        refuse_several(found[name], name)
        return found[name]
    own, _, key = name.rpartition(".")
    for of, family in json.loads(found.attrs.get("variants", "{}")).items():
        together = found.get(f"{of}.{key}")
        if own in family["names"] and together is not None and (axis := axis_of(together)):
            return together.sel({axis: own}, drop=True).rename(name)
    return None


def axis_of(array: DataArray) -> str:
    """Return the axis of variants of an array, "" if it has none."""
    return next((str(d) for d in array.dims if str(d) == AXIS or str(d).endswith(f".{AXIS}")), "")


def refuse_several(array: DataArray, what: str) -> None:
    """Refuse what variants have made where one of them is needed.

    Raises
    ------
    ValueError
    """
    if not (axis := axis_of(array)):
        return
    labels = [str(n) for n, c in array.coords.items() if c.dims == (axis,) and n != axis]
    said = listed(_said(array.isel({axis: n}), axis, labels) for n in range(array.sizes[axis]))
    first = str(array[axis].values[0])
    raise ValueError(
        f"{what} is of {array.sizes[axis]} variants, {said}: say which, {first}.{what.rpartition('.')[2]}, or select "
        f"one, result.dataset[{str(array.name)!r}].sel({{{axis!r}: {first!r}}})"
    )


def _said(one: DataArray, axis: str, labels: list[str]) -> str:
    options = ", ".join(f"{n.removeprefix(axis.removesuffix(AXIS))}={one[n].item()!r}" for n in labels)
    return f"{one[axis].item()} ({options})"
