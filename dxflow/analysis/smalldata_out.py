"""Tables written as small-data files of LCLS, which the notebooks there open: event by event, /detector/field."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..disk.marks import GROUP
from ..disk.replace import appear
from ..hdf5.sink import Sink
from . import saved
from .columns import Columns
from .rows import PULSE, RUN, TRAIN, Rows

if TYPE_CHECKING:
    from xarray import Dataset

SUFFIX = ".h5"
MISSING = -99999
"""Stands for integers that are missing."""
SLOT = 288 / 1300 * 1000
"""Nanoseconds from one slot of the bunch pattern to the next."""
IDS = ("event_time", "fiducials", "train_id", "pulse_id")
OF_RUN, SUMS = "UserDataCfg", "Sums"
TAKEN = (*IDS, "timestamp", "lightStatus", "scan", "damage", OF_RUN, SUMS, GROUP)
"""Names at the top of a file that are not those of variables."""
LABELLED = {"channels": 0, "peaks": 0, "AngPos": 4, "com": 2}
"""What SmallDataAna takes the second axis of a field for, by its name, and how long that must be; 0: any length."""
WORDS = ("units", "long_name", "source", "rate", "algorithms", "modules")


def write(data: Dataset, to: str | Path, about: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write a table in the layout of LCLS's small data; it has its name when it is complete.

    All values are there once per event (row): those of trains are repeated. Integers that are missing are -99999, of a
    type that holds it, floats NaN. Values of the run are in ``UserDataCfg``, images in ``Sums``.

    Parameters
    ----------
    data : xarray.Dataset
        Of a table.
    to : path
    about : mapping
        How it was made, JSON values: an attribute of the file.

    Raises
    ------
    FileExistsError
        If something is there that may not be replaced.
    WriteError
        If it cannot be written: names the file and the free space.
    """
    path = Path(to)
    saved.check(path, data, overwrite)
    file = _File(data)
    sink = Sink(path)
    try:
        file.write(sink)
        attrs = _texts(data.attrs)
        told = {"kind": "table", "about": dict(about), "attrs": attrs}
        sink.attributes("/", {GROUP: json.dumps(told), **attrs})
        sink.close()
        saved.refuse_appeared(path)
        sink.publish(os.replace if overwrite else appear)
    except BaseException:
        sink.discard()
        raise
    return path


@dataclass
class _File:
    """What is written of a table, dataset by dataset."""

    data: Dataset
    used: set[str] = field(default_factory=lambda: set(TAKEN))

    def __post_init__(self) -> None:
        self.rows = Rows.of(self.data)
        self.columns = Columns(self.data, self.rows)
        self.at = PULSE if PULSE in self.data.dims else TRAIN
        self.events = self.data.sizes.get(self.at, 0)

    def write(self, sink: Sink) -> None:
        """Send all of it."""
        for path, values, attrs, dims in self._all():
            if path.startswith((f"{OF_RUN}/", f"{SUMS}/")):
                sink.plain(path, values)
            else:
                sink.rows(path, values.dtype, values.shape[1:])
                sink.append(path, values)
            said = {k: v for k, v in attrs.items() if k in ("name", "dtype", *WORDS) and v}
            if any(dims):
                said["DIMENSION_LABELS"] = list(dims)
            if said:
                sink.attributes(path, said)

    def _all(self) -> Iterator[tuple[str, NDArray, Mapping[str, Any], tuple[str, ...]]]:
        """Yield path, values, attributes and names of axes of all datasets."""
        yield from ((name, values, {}, ()) for name, values in self._ids().items())
        yield from self._light()
        for name in self.columns.names:
            array = self.data[name]
            if self.columns.rate(name) == RUN or (array.dims and array.dims[0] not in (PULSE, TRAIN)):
                yield self._of_run(name)
            else:
                values, there = self._values(name)
                attrs = {**array.attrs, "name": name, "dtype": "bool" * (array.dtype == bool)}
                yield self._path(name, values), values, attrs, ("", *map(str, array.dims[1:]))
                if name in self._scanned():
                    yield f"scan/{name.replace('.', '_')}", values, array.attrs, ()
                    if name == self._scanned()[0]:
                        yield "scan/varStep", _steps(values), {}, ()
        yield from self._damage()
        for name, label in ((str(n), c) for n, c in self.data.coords.items()):
            if not {PULSE, TRAIN} & set(map(str, label.dims)):
                path = self._unused(f"{OF_RUN}/axes/{_leaf(name)}")
                yield (
                    path,
                    _plain(label.values),
                    {**label.attrs, "name": str(name)},
                    tuple(map(str, label.dims)),
                )

    # Events -----------------------------------------------------------------------------------------

    def _ids(self) -> dict[str, NDArray]:
        """Return which event each row is, by LCLS's ids and by ours."""
        trains = self.rows.train_ids if self.at == PULSE else self.rows.trains
        pulses = self.rows.pulse_ids if self.at == PULSE else np.zeros(len(trains), np.uint32)
        stamps = self._times(trains) + np.rint(pulses * SLOT).astype(np.int64)
        seconds, rest = np.divmod(stamps, 10**9)
        return {
            "event_time": (seconds << 32) | rest,
            "fiducials": pulses.astype(np.int64),
            "train_id": trains.astype(np.int64),
            "pulse_id": pulses.astype(np.int64),
        }

    def _times(self, trains: NDArray) -> NDArray:
        """Return the time of each row's train, ns; 10 Hz from its id where no file said it."""
        out = trains.astype(np.int64) * 10**8
        if "time" in self.data.coords and self.data["time"].dims == (TRAIN,):
            known = self.data["time"].values.astype("M8[ns]").astype(np.int64)
            of = self.rows.of_train if self.at == PULSE else np.arange(len(trains))
            good = (of >= 0) & (known[of] > 0) if len(known) else np.zeros(len(out), bool)
            out[good] = known[of[good]]
        return out

    def _light(self) -> Iterator[tuple[str, NDArray, Mapping[str, Any], tuple[str, ...]]]:
        """Yield whether X-rays and the laser came with each event, as far as that is known."""
        xray = np.ones(self.events, np.int32)
        lit = [name for name in self.columns.names if name == "pulses" or name.endswith(".lit")]
        if self.data.attrs.get("rows") != "pulses":
            xray[:] = MISSING
            for name in lit[:1]:
                values, there = self._column(name)
                xray = np.where(there, values > 0, MISSING).astype(np.int32)
        laser = np.full(self.events, MISSING, np.int32)
        for name in [n for n in self.columns.names if n == "pumped" and self.data[n].dtype == bool]:
            values, there = self._column(name)
            laser = np.where(there, values, MISSING).astype(np.int32)
        yield "lightStatus/xray", xray, {"long_name": "whether X-rays came"}, ()
        yield "lightStatus/laser", laser, {"long_name": "whether the laser came"}, ()

    def _column(self, name: str) -> tuple[NDArray, NDArray]:
        found = self.columns.column(name, self.at if self.columns.rate(name) != RUN else None)
        return found.values, found.there

    def _values(self, name: str) -> tuple[NDArray, NDArray]:
        """Return a variable for each event, missing integers as LCLS writes them, and which there are."""
        values, there = self._column(name)
        if values.dtype.kind == "M":
            values = values.astype("M8[ns]").astype(np.int64)
        if values.dtype.kind in "iub":
            wide = values.astype(_wide(values))
            values = np.where(there, wide, wide.dtype.type(MISSING))
        return np.ascontiguousarray(_plain(values)), np.asarray(there.reshape(len(there), -1).any(axis=1))

    def _scanned(self) -> list[str]:
        said = self.data.attrs.get("scan", "")
        return [name for name in str(said).split(", ") if name in self.data]

    def _damage(self) -> Iterator[tuple[str, NDArray, Mapping[str, Any], tuple[str, ...]]]:
        """Yield whether each event has values of a detector or device: 1, or 0 where all are missing."""
        groups: dict[str, NDArray] = {}
        for name in self.columns.names:
            array = self.data[name]
            if array.dims and array.dims[0] in (PULSE, TRAIN):
                there = self._column(name)[1].reshape(self.events, -1).any(axis=1)
                group = name.partition(".")[0]
                groups[group] = there | groups.get(group, np.zeros(self.events, bool))
        for group, there in groups.items():
            yield f"damage/{group}", there.astype(np.int32), {}, ()

    # Names ------------------------------------------------------------------------------------------

    def _path(self, name: str, values: NDArray) -> str:
        """Return where a variable is: /detector/field, as deep as SmallDataAna looks."""
        group, _, leaf = name.partition(".")
        others = {n.partition(".")[0] for n in self.columns.names if "." in n}
        if not leaf:
            leaf = "" if values.ndim == 1 and group not in others else "value"
        group, leaf = _leaf(group), _leaf(leaf)
        group = f"{group}_" if group in TAKEN else group
        odd = values.ndim == 2 and any(
            w in leaf and n not in (0, values.shape[1]) for w, n in LABELLED.items()
        )
        path = "/".join(part for part in (group, leaf, "values" if odd else "") if part)
        return self._unused(path)

    def _of_run(self, name: str) -> tuple[str, NDArray, Mapping[str, Any], tuple[str, ...]]:
        """Return a value of the run, or an image."""
        array = self.data[name]
        group, _, leaf = name.partition(".")
        image = len(array.dims) > 1 and "detector" in array.attrs
        path = f"{SUMS}/{_leaf(name)}" if image else f"{OF_RUN}/{_leaf(group)}/{_leaf(leaf or 'value')}"
        return (
            self._unused(path),
            _plain(array.values),
            {**array.attrs, "name": name},
            tuple(map(str, array.dims)),
        )

    def _unused(self, path: str) -> str:
        """Return a path that nothing else has."""
        while path in self.used:
            path += "_"
        self.used.add(path)
        return path


def _wide(values: NDArray) -> np.dtype:
    """Return a type of integers that holds values and the one that stands for none."""
    if values.dtype.kind == "b" or values.dtype.itemsize < 4 or values.dtype == np.int32:
        return np.dtype(np.int32)
    if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        return np.dtype(np.float64)
    return np.dtype(np.int64)


def _plain(values: NDArray) -> NDArray:
    """Return values of a type that HDF5 and PyTables have."""
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        encoded = np.char.encode(values.astype("U"), "utf-8")
        return encoded.astype(f"S{max(1, encoded.dtype.itemsize)}")
    if values.dtype.kind in "mM":
        return values.astype(np.int64)
    return values.astype(np.int32) if values.dtype.kind == "b" else values


def _steps(values: NDArray) -> NDArray:
    """Return the number of the step that each event is in: one more after each change of the scanned value."""
    known = np.nan_to_num(values.reshape(len(values), -1)[:, 0].astype(float), nan=np.inf)
    return np.concatenate([[0], np.cumsum(np.diff(known) != 0)]).astype(np.int32)[: len(values)]


def _leaf(text: str) -> str:
    return text.replace(".", "_").replace("/", "_")


def _texts(attrs: Mapping[str, Any]) -> dict[str, str]:
    return {str(k): str(v) for k, v in attrs.items() if v}
