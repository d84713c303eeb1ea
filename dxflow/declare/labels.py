"""Values of an earlier result, or any labelled array, joined to the frames or trains that an algorithm reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import PATH, TEXT, Kind, expect, maybe
from ..errors.near import did_you_mean, listed
from ..run.bound import BoundInput
from ..run.index import EntryIndex, plain
from ..run.joined import Joined, Labelled
from ..run.locate import nowhere

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

NAMES = {
    "train_id": ("train_id", "trainId", "train"),
    "pulse_id": ("pulse_id", "pulseId"),
    "cell_id": ("cell_id", "cellId"),
    "entry_id": ("entry_id",),
}
"""What coordinates are called that are ids, by dxflow and by EXtra-data."""
KINDS = "biufcMSU"
"""Of values that can be joined: numbers, booleans, times, texts."""


def _holds(values: Any) -> bool:
    """Return whether something can be a source of values."""
    return PATH.fits(values) or any(hasattr(values, name) for name in ("dataset", "data_vars", "coords"))


VALUES = Kind("a path of a result, a Result, an xarray.Dataset or an xarray.DataArray", _holds)


class Labels:
    """Values of an earlier result, or of any labelled array, for each frame or train that is read.

    They are joined when the run is planned, by train and pulse id to the frames of the algorithm's first input (by
    memory cell where there are no pulse ids, by entry where there is neither), or by train alone if they have a value
    per train. ``train[alias]`` is (pulse, ...) and ``block[alias]`` (frame, ...); of values per train, ``train[alias]``
    is that of the train. What has no value is missing: NaN of floats; integers, booleans and texts are 0, False or ""
    there, and ``valid(alias)`` says where they have a value. Values of what is not read do not matter.

    Parameters
    ----------
    values : path, Result, xarray.Dataset or xarray.DataArray
        With coordinates ``train_id`` (or ``train``) and, for values per frame, ``pulse_id``, ``cell_id`` or
        ``entry_id``, as results have them.
    name : str, optional
        Of the variable: ``"litframes.lit"``. Needed unless the result has one only, or selects frames by one.

    Examples
    --------
    >>> lit = dxflow.reduce(run, LitFrames())
    >>> dxflow.reduce(run, Mine(lit=Labels(lit, "litframes.n_lit")))
    """

    def __init__(self, values: Any, name: str | None = None) -> None:
        expect(VALUES, values, "Labels: ")
        expect(maybe(TEXT), name, "Labels: name=")
        self.values, self.name = values, name

    def __repr__(self) -> str:
        return f"Labels({self.source}{f', {self.name!r}' if self.name else ''})"

    def __getstate__(self) -> dict[str, Any]:
        # Workers get the values as they are joined.
        return {"values": self.source, "name": self.name}

    @property
    def source(self) -> str:
        """Where the values are from, in words."""
        return str(self.path or f"<{type(self.values).__name__}>")

    @property
    def path(self) -> Any:
        """The result that the values are from, as far as they say so."""
        if PATH.fits(self.values):
            return self.values
        return getattr(self.values, "path", None) or getattr(self.values, "encoding", {}).get("source")

    def fingerprint_value(self) -> dict[str, Any]:
        """Return what identifies it: values count as they are joined, wherever they are from."""
        return {"Labels": {"name": self.name} if self.name else {}}

    def join(self, index: EntryIndex, opened: Callable[[Path], Dataset]) -> BoundInput:
        """Return the value of each row of an index, or of each of its trains.

        Parameters
        ----------
        index : EntryIndex
            Of the frames that they belong to.
        opened : callable
            Opens a result.

        Raises
        ------
        KeyError, ValueError
            If there is no such variable, or it cannot be joined.
        """
        array, valid = self._variable(opened)
        labelled = _labelled(array, valid)
        per_train = len(labelled.ids) == 1
        index = plain(index.train_ids, np.ones(len(index.train_ids), np.int64)) if per_train else index
        joined = labelled.to(index)
        return BoundInput(
            declared=self,
            name=self.source,
            key=str(array.name or "values"),
            kind="control" if per_train else "pulses",
            modules=(0,),
            location=nowhere(
                index, joined.values.shape[1:], joined.values.dtype, str(array.attrs.get("units", ""))
            ),
            index=index,
            masked=_said(joined),
            joined=joined,
        )

    def _variable(self, opened: Callable[[Path], Dataset]) -> tuple[DataArray, DataArray | None]:
        """Return the variable, and the one that says where it has a value, if there is one."""
        if hasattr(self.values, "coords") and not hasattr(self.values, "data_vars"):
            if self.name is not None:
                raise ValueError(f"{self!r}: name= is of a variable, and this is an array already")
            return self.values, None
        found = self._dataset(opened)
        name = self.name or self._only(found)
        if name not in found:
            there = sorted(map(str, found.data_vars))
            raise KeyError(
                f"{self!r}: there is no {name!r}.{did_you_mean(name, there)} There are: {listed(there)}"
            )
        return found[name], found.get(f"{name}_valid")

    def _dataset(self, opened: Callable[[Path], Dataset]) -> Dataset:
        if not PATH.fits(self.values):
            return getattr(self.values, "dataset", self.values)
        try:
            return opened(Path(self.values))
        except (OSError, TypeError) as e:
            raise ValueError(f"{self!r}: {e}") from e

    def _only(self, found: Dataset) -> str:
        """Return the variable that is meant where none is named: that which selects frames, or the only output."""
        names = [str(name) for name in found.data_vars if not str(name).endswith("_valid")]
        # What a result says beside its outputs has no algorithm in its name.
        names = [name for name in names if "." in name] or names
        chosen = str(found.attrs.get("selection", ""))
        names = chosen.split(", ") if chosen else names
        if len(names) != 1:
            raise ValueError(f"{self!r}: which variable? name= one of {listed(names)}")
        return names[0]


def _labelled(array: DataArray, valid: DataArray | None) -> Labelled:
    """Return an array with its ids, one row for each label."""
    coords = {name: found for name in NAMES if (found := _coordinate(array, name)) is not None}
    what = f"{array.name or 'the array'}"
    if "train_id" not in coords or not coords["train_id"].dims:
        raise ValueError(
            f"{what} has coordinates {listed(map(str, array.coords))}; expected train_id, and pulse_id of each frame"
        )
    if array.dtype.kind not in KINDS:
        raise ValueError(f"{what} is {array.dtype}; expected numbers, booleans, times or texts")
    dims = [*dict.fromkeys(dim for ids in coords.values() for dim in ids.dims)]
    lengths = {dim: array.sizes[dim] for dim in dims}
    rows = int(np.prod([*lengths.values()]))

    def flat(part: DataArray) -> NDArray:
        missing = {dim: n for dim, n in lengths.items() if dim not in part.dims}
        whole = part.expand_dims(missing).transpose(*dims, ...)
        return np.ascontiguousarray(whole.values).reshape(rows, *whole.shape[len(dims) :])

    values = flat(array)
    there = np.ones(rows, bool) if valid is None else flat(valid).reshape(rows, -1).any(axis=1)
    return Labelled(
        values, there & _has_value(values), {name: _ids(what, name, flat(c)) for name, c in coords.items()}
    )


def _coordinate(array: DataArray, name: str) -> DataArray | None:
    """Return the ids of this name; those of frames that are not the first of a result have its name as an ending."""
    for one in NAMES[name]:
        for coordinate, ids in array.coords.items():
            if str(coordinate) == one or (one.endswith("_id") and str(coordinate).endswith(f"_{one}")):
                return ids.reset_coords(drop=True)
    return None


def _ids(what: str, name: str, ids: NDArray) -> NDArray:
    if ids.dtype.kind not in "iu" or (ids < 0).any():
        raise ValueError(f"{what}: {name} is {ids.dtype}; expected ids, whole numbers from 0")
    return ids.astype(np.uint64)


def _has_value(values: NDArray) -> NDArray:
    """Return which rows have a value, (row,): floats that are not NaN throughout."""
    none = values != values  # noqa: PLR0124 - of NaN and NaT
    return ~none.reshape(len(values), -1).all(axis=1) if values.ndim > 1 else ~none


def _said(joined: Joined) -> str:
    """Say how values were joined, and how many there are."""
    what = "trains" if len(joined.by) == 1 else "frames"
    by = " and ".join(name.removesuffix("_id") for name in joined.by)
    return f"joined by {by}: {int(joined.there.sum())} of {len(joined.there)} {what} have a value"
