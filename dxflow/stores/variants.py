"""Variants beside each other: what each has stored becomes one lazy array with an axis of variants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..run.variants import AXIS
from .lazy import Joined, Stacked, lazy, variable

if TYPE_CHECKING:
    import xarray as xr


def beside(found: xr.Dataset) -> xr.Dataset:
    """Return a dataset with what variants have made stacked along an axis, with their options as coordinates.

    Events of all variants are one after the other, with a column for each option. What differs in shape or type stays
    under the names of the variants.
    """
    families = json.loads(found.attrs.get("variants", "{}"))
    for of, family in families.items():
        found = _Family(found, of, family, "" if len(families) == 1 else f"{of}.").stacked()
    return found


class _Family:
    """The variants of one algorithm in a dataset.

    Parameters
    ----------
    found : Dataset
    of : str
        What they are called together.
    family : mapping
        "names" of each, and "options": the values of those that differ.
    prefix : str
        Of the axis of variants and of its labels.
    """

    def __init__(self, found: xr.Dataset, of: str, family: Mapping[str, Any], prefix: str) -> None:
        self.found, self.of, self.axis = found, of, f"{prefix}{AXIS}"
        self.names: list[str] = family["names"]
        self.columns = {k: _column(v) for k, v in ({AXIS: self.names} | family["options"]).items()}
        self.labels = {f"{prefix}{k}": v for k, v in self.columns.items()}
        self.made: dict[str, Any] = {}
        """Variables by name: outputs, and coordinates."""
        self.coords: dict[str, Any] = {}
        self.gone: list[str] = []

    def stacked(self) -> xr.Dataset:
        """Return the dataset with stacked variables in place of those of each variant."""
        first = f"{self.names[0]}."
        keys = [str(n).removeprefix(first) for n in self.found.variables if str(n).startswith(first)]
        keys = [k for k in keys if all(n in self.found.variables for n in self._members(k))]
        for key in keys:
            if f"{first}{key}_event" in self.found.dims:
                self._join_events(key, keys)
        for key in keys:
            if first + key not in self.gone:
                self._stack(key)
        return self._in_place()

    def _members(self, key: str) -> list[str]:
        return [f"{name}.{key}" for name in self.names]

    def _stack(self, key: str) -> None:
        """Make one variable of those of all variants, if shapes and types allow it."""
        variables = [self.found.variables[name] for name in self._members(key)]
        if len({(v.shape, v.dtype) for v in variables}) == 1:
            dims = tuple(self._dim(axis) for axis in zip(*(v.dims for v in variables), strict=True))
            self._put(key, lazy(Stacked(variables), (self.axis, *dims)))

    def _join_events(self, key: str, others: Sequence[str]) -> None:
        """Make one table of those of all variants: rows of each, one variant after the other."""
        axis = f"{self.of}.{key}_event"
        own = [f"{name}.{key}_event" for name in self.names]
        rows = [self.found.sizes[dim] for dim in own]
        for other in others:
            variables = [self.found.variables[name] for name in self._members(other)]
            if [*(d for v in variables for d in v.dims[:1])] == own and len(
                {(v.shape[1:], v.dtype) for v in variables}
            ) == 1:
                self._put(other, lazy(Joined(variables), (axis, *map(str, variables[0].dims[1:]))))
        for name, column in self.columns.items():
            parts = [variable((axis,), np.broadcast_to(v, n)) for v, n in zip(column, rows, strict=True)]
            self.coords[f"{self.of}.{key}_{name}"] = lazy(Joined(parts), (axis,))
        starts = np.array([*accumulate(rows, initial=0)][:-1])
        offset = np.stack([self.found.variables[n].values for n in self._members(f"{key}_offset")])
        self._put(f"{key}_offset", variable((self.axis, "train"), offset + starts[:, None]))

    def _put(self, key: str, made: xr.Variable) -> None:
        """Keep what was made of variables of all variants, with the attributes that they have in common."""
        first, *others = (self.found[name] for name in self._members(key))
        made.attrs = {k: v for k, v in first.attrs.items() if all(o.attrs.get(k) == v for o in others)}
        (self.coords if first.name in self.found.coords else self.made)[f"{self.of}.{key}"] = made
        self.gone += self._members(key)

    def _dim(self, own: Sequence[str]) -> str:
        """Return the name of an axis; where its labels differ from variant to variant, they get an axis more."""
        if len(set(own)) == 1:
            return own[0]
        plain = own[0].removeprefix(f"{self.names[0]}.")
        labels = [self.found.variables[dim] for dim in own if dim in self.found.variables]
        dim = f"{self.of}.{plain}_bin"
        if len(labels) == len(own):
            self.coords[f"{self.of}.{plain}"] = lazy(Stacked(labels), (self.axis, dim), labels[0].attrs)
        return dim

    def _in_place(self) -> xr.Dataset:
        """Return the dataset with what was made, and without what that was made of and the axes that only that had."""
        rest = self.found.drop_vars(self.gone)
        kept = {dim for v in [*rest.data_vars.values(), *self.made.values()] for dim in v.dims}
        had = {dim for name in self.gone for dim in self.found[name].dims}
        rest = rest.drop_dims((had - kept) & set(rest.dims)).assign(self.made)
        made = rest.assign_coords(self.coords | {k: (self.axis, v) for k, v in self.labels.items()})
        for name in self.labels:
            made = made if name == self.axis else made.set_xindex(name)
        return made.assign_attrs(self._selection())

    def _selection(self) -> dict[str, str]:
        """Return the attribute that says what selects frames, with the name of all variants for that of each."""
        chosen = [name.partition(".") for name in self.found.attrs.get("selection", "").split(", ")]
        names = [f"{self.of if own in self.names else own}.{key}" for own, _, key in chosen if key]
        return {"selection": ", ".join(dict.fromkeys(names))} if names else {}


def _column(values: Sequence[Any]) -> NDArray:
    """Return the values of an option: numbers, of which None is NaN, or texts."""
    numbers = not any(isinstance(v, str) for v in values)
    return np.array([np.nan if v is None else v for v in values] if numbers else values)
