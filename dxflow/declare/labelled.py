"""Values with ids, of all that can be a source of labels: arrays, inputs of the run, patterns of pulses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import flat, shown
from ..errors.near import listed
from ..run.findings import Faults
from ..run.index import EntryIndex
from ..run.joined import Labelled, nothing
from ..run.whole import whole
from .inputs import Frames, Key
from .pulses import PulseKey

if TYPE_CHECKING:
    from extra_data import DataCollection
    from xarray import DataArray, Dataset

    from ..run.bound import BoundInput

NAMES = {
    "train_id": ("train_id", "trainId", "train"),
    "pulse_id": ("pulse_id", "pulseId"),
    "cell_id": ("cell_id", "cellId"),
    "entry_id": ("entry_id",),
}
"""What coordinates are called that are ids, by dxflow and by EXtra-data."""
TRAIN_DATA = "TD"
"""How keys end that have a value for each pulse, in one list per train: ``data.intensityTD``."""
KINDS = "biufcMSU"
"""Of values that can be joined: numbers, booleans, times, texts."""


@dataclass(eq=False)
class Asked:
    """The run whose frames labels are joined to, and what was read of it for that: each input once."""

    run: DataCollection
    trains: NDArray
    faults: Faults
    opened: Callable[[Path], Dataset]
    """Opens a result."""
    every: Callable[[EntryIndex], EntryIndex]
    """Returns the index of all frames, of which an index has those that are selected."""
    frames: Frames = Frames()
    """Whose frames get values of pulses, where these do not say it."""
    known: dict[Any, Values] = field(default_factory=dict)

    def read(self, declared: Any) -> Values:
        """Return the values of an input of the run."""
        which = declared, self.frames
        if which not in self.known:
            self.known[which] = self._read(declared)
        return self.known[which]

    def _read(self, declared: Any) -> Values:
        bound = declared.bind(self.run, self.trains, self.faults)
        pulses = bound.key.endswith(TRAIN_DATA) and len(bound.location.shape) == 1
        if pulses and isinstance(declared, Key) and not declared.offset:
            entries = PulseKey(bound.name, bound.key, frames=self.frames)
            bound = entries.bind(self.run, self.trains, self.faults)
        if bound.kind == "frames":
            raise ValueError(f"{bound.title}: images of a detector label nothing; expected a Key or PulseKey")
        key = bound.key.removesuffix(".value")
        if bound.dtype.kind == "O" and isinstance(declared, Key):
            return Values(self._texts(bound, declared.offset), key, "", bound.name)
        _refuse_dtype(bound.title, bound.dtype)
        values, there = whole(bound, self.faults)
        if not there.any():
            why = {f"{f.cause}, {f.detail}" for f in self.faults.losses if f.source == bound.name}
            raise ValueError(
                f"{bound.title} has no value in these trains{': ' * bool(why)}{'; '.join(sorted(why))}"
            )
        return Values(of_rows(bound.index, values, there), key, bound.location.unit, bound.name)

    def _texts(self, bound: BoundInput, offset: int) -> Labelled:
        """Return the texts of a device, such as its state, as EXtra-data reads them."""
        data = self.run[bound.name, bound.key]
        try:
            read = data.ndarray()
        except OSError as e:
            raise ValueError(f"{bound.title} cannot be read: {e}") from e
        if read.ndim != 1:
            raise ValueError(
                f"{bound.title} has texts of shape {read.shape[1:]}; expected one for each train"
            )
        values = np.array([one.decode() if isinstance(one, bytes) else str(one) for one in read], dtype="U")
        ids = (data.train_id_coordinates().astype(np.int64) + offset).astype(np.uint64)
        return Labelled(values, np.ones(len(values), bool), {"train_id": ids})


@dataclass(frozen=True, eq=False)
class Values:
    """Values with ids, what they are called, and their unit."""

    labelled: Labelled
    title: str
    unit: str = ""
    source: str = ""
    """What has them, where they are of the run."""


def of_rows(index: EntryIndex, values: NDArray, there: NDArray) -> Labelled:
    """Return a value for each row of an index as labels, with the ids of the rows."""
    ids = index.labels(slice(0, len(index)))
    return Labelled(values, there & _has_value(values), {k: v.astype(np.uint64) for k, v in ids.items()})


def of_array(array: DataArray, valid: DataArray | None = None) -> Values:
    """Return an array with its ids, one row for each label.

    Parameters
    ----------
    valid : DataArray, optional
        Where it has a value.
    """
    coords = {name: found for name in NAMES if (found := _coordinate(array, name)) is not None}
    what = f"{array.name or 'the array'}"
    if "train_id" not in coords or not coords["train_id"].dims:
        raise ValueError(
            f"{what} has coordinates {listed(map(str, array.coords))}; expected train_id, and pulse_id of each frame"
        )
    _refuse_dtype(what, array.dtype)
    dims = [*dict.fromkeys(dim for ids in coords.values() for dim in ids.dims)]
    lengths = {dim: array.sizes[dim] for dim in dims}
    rows = int(np.prod([*lengths.values()]))

    def flat(part: DataArray) -> NDArray:
        missing = {dim: n for dim, n in lengths.items() if dim not in part.dims}
        whole_ = part.expand_dims(missing).transpose(*dims, ...)
        return np.ascontiguousarray(whole_.values).reshape(rows, *whole_.shape[len(dims) :])

    values = flat(array)
    there = np.ones(rows, bool) if valid is None else flat(valid).reshape(rows, -1).any(axis=1)
    ids = {name: _ids(what, name, flat(c)) for name, c in coords.items()}
    title, unit = str(array.name or "values"), str(array.attrs.get("units", ""))
    return Values(Labelled(values, there & _has_value(values), ids), title, unit)


@dataclass(frozen=True)
class Pattern:
    """Labels that follow each other in every train, see `Labels.pattern`."""

    pattern: Sequence[Any]
    over: Any = None
    """Labels of the frames that count."""

    def __post_init__(self) -> None:
        found = flat(self.pattern, "Labels.pattern: ", "booleans, numbers or texts")
        if found.ndim != 1 or not len(found) or found.dtype.kind not in "biufU":
            raise TypeError(
                f"Labels.pattern: {shown(self.pattern)}: expected booleans, numbers or texts, at least one"
            )
        object.__setattr__(self, "pattern", tuple(found.tolist()))

    def __str__(self) -> str:
        over = "all frames of a train" if self.over is None else self.over.source
        return f"{', '.join(map(str, self.pattern))} over {over}, as"

    def of(self, every: EntryIndex, asked: Asked) -> Values:
        """Return the label of each frame there is; those that do not count get none."""
        counted = np.ones(len(every), bool) if self.over is None else self._counted(every, asked)
        before = np.concatenate([[0], np.cumsum(counted)])
        number = before[:-1] - np.repeat(before[every.offsets[:-1]], every.counts)
        values = np.asarray(self.pattern)[number % len(self.pattern)]
        values[~counted] = nothing(values.dtype)
        return Values(of_rows(every, values, counted), "pattern")

    def _counted(self, every: EntryIndex, asked: Asked) -> NDArray:
        joined = self.over.join(every, asked).joined
        if joined.values.dtype != bool or len(joined.values) != len(every):
            what = f"{joined.values.dtype}, {len(joined.values)} values"
            raise ValueError(f"{self}: that is {what}; expected a boolean for each of {len(every)} frames")
        if not (counted := joined.values & joined.there).any():
            raise ValueError(f"{self}: that is true of none of {len(every)} frames")
        return counted


def with_ids(values: Any, train_ids: Any, pulse_ids: Any) -> DataArray:
    """Return an array with its ids as coordinates."""
    from xarray import DataArray

    given = {"train_id": train_ids} | ({} if pulse_ids is None else {"pulse_id": pulse_ids})
    array = flat(values, "Labels: ", "an array")
    ids = {name: flat(found, f"Labels: {name}s=", "an array of ids") for name, found in given.items()}
    if array.ndim < 1 or any(found.shape != array.shape[:1] for found in ids.values()):
        shapes = ", ".join(f"{name}s of {found.shape}" for name, found in ids.items())
        raise ValueError(f"Labels: values of shape {array.shape}, {shapes}: expected an id for each value")
    dims = ["label", *(f"axis_{n}" for n in range(1, array.ndim))]
    return DataArray(array, dims=dims, coords={name: ("label", found) for name, found in ids.items()})


def _refuse_dtype(what: str, dtype: np.dtype) -> None:
    if dtype.kind not in KINDS:
        raise ValueError(f"{what} is {dtype}; expected numbers, booleans, times or texts")


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
