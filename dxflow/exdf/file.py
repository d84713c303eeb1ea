"""One EXDF file of format 1.3: METADATA, INDEX, CONTROL, RUN, INSTRUMENT and REDUCTION, put into a sink."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hdf5.sink import Sink
from .names import Name

VERSION = "1.3"
DTYPES = "biuf"
"""Kinds of numbers that the format has: booleans are stored as 0 and 1."""


@dataclass(frozen=True, eq=False)
class Head:
    """What a file says about itself, and its trains.

    Parameters
    ----------
    train_ids : ndarray of uint64, (train,)
        Of this file, increasing.
    timestamps : ndarray of uint64, (train,)
        Nanoseconds since 1970; 0 where it is not known.
    flags : ndarray of int32, (train,)
        1 where the train ID is that of the time server.
    name : Name or None
    proposal : int
    """

    train_ids: NDArray
    timestamps: NDArray
    flags: NDArray
    name: Name | None = None
    proposal: int = 0


class ExdfFile:
    """The sections of a file, whose data are put into a `Sink` as they come.

    An instrument source has one or more index groups, the first part of its keys, each with its own counts. Keys have
    dots between their parts, as in EXtra-data.
    """

    def __init__(self, sink: Sink, head: Head) -> None:
        self.sink, self.head = sink, head
        self._sources: list[str] = []
        self._auxiliary: list[str] = []

    @property
    def trains(self) -> int:
        """How many trains the file has."""
        return len(self.head.train_ids)

    def control(self, source: str, counts: NDArray | None = None) -> None:
        """Declare a control source: one entry per train of each of its keys, or none in some, (train,)."""
        self._sources.append(f"CONTROL/{source}")
        self.sink.group(f"CONTROL/{source}")
        self.sink.group(f"RUN/{source}")
        self._index(source, np.ones(self.trains, np.uint64) if counts is None else counts)

    def control_key(
        self,
        source: str,
        key: str,
        values: NDArray,
        timestamps: NDArray | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a key of a control source, (train, ...), and when each value was set."""
        path = data_path("CONTROL", source, key)
        self.append_key(f"{path}/value", values)
        self.append_key(f"{path}/timestamp", self.head.timestamps if timestamps is None else timestamps)
        self.sink.attributes(path, dict(attributes or {}))

    def append_key(self, path: str, values: NDArray) -> None:
        """Write a dataset that is known as a whole."""
        values = storable(values)
        self.sink.rows(path, values.dtype, values.shape[1:])
        self.sink.append(path, values)

    def run_key(
        self,
        source: str,
        key: str,
        value: Any,
        timestamp: int | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a value of the whole run: a number, an array or text."""
        path = data_path("RUN", source, key)
        if isinstance(value, str):
            self.sink.text(f"{path}/value", [value])
        else:
            self.append_key(f"{path}/value", np.asarray(value)[np.newaxis])
        self._run_timestamp(path, timestamp)
        self.sink.attributes(path, dict(attributes or {}))

    def run_array(
        self,
        source: str,
        key: str,
        dtype: np.dtype,
        shape: Sequence[int],
        chunk: Sequence[int],
        attributes: Mapping[str, Any],
    ) -> str:
        """Make a large value of the whole run, chunk (1, *...); return the path for `Sink.region`."""
        path = data_path("RUN", source, key)
        self.sink.array(f"{path}/value", dtype, shape, chunk)
        self._run_timestamp(path, None)
        self.sink.attributes(path, dict(attributes))
        return f"{path}/value"

    def run_link(self, source: str, key: str, file: str) -> None:
        """Let a value of the whole run be the one that another file of the directory holds."""
        path = data_path("RUN", source, key)
        self.sink.link(path, file, f"/{path}")

    def _run_timestamp(self, path: str, timestamp: int | None) -> None:
        first = self.head.timestamps[:1].sum() if timestamp is None else timestamp
        self.sink.plain(f"{path}/timestamp", np.array([first], np.uint64))

    def instrument(self, source: str, group: str, counts: NDArray, *, train_ids: bool = True) -> None:
        """Declare an index group of an instrument source, with its entries per train and their train IDs."""
        self._sources.append(f"INSTRUMENT/{source}/{group}")
        self.sink.group(f"INSTRUMENT/{source}/{group}")
        self._index(f"{source}/{group}", counts)
        if train_ids:
            ids = np.repeat(self.head.train_ids, counts.astype(np.int64))
            self.append_key(data_path("INSTRUMENT", source, f"{group}.trainId"), ids)

    def reduction(self, source: str, group: str, counts: NDArray) -> None:
        """Declare an index group of a source that says what was left out."""
        self._auxiliary.append(f"REDUCTION/{source}/{group}")
        self.sink.group(f"REDUCTION/{source}/{group}")
        self._index(f"{source}/{group}", counts)

    def _index(self, path: str, counts: NDArray) -> None:
        counts = counts.astype(np.uint64)
        self.append_key(f"INDEX/{path}/first", np.cumsum(counts, dtype=np.uint64) - counts)
        self.append_key(f"INDEX/{path}/count", counts)

    def finish(self) -> None:
        """Write the trains and the metadata, which list the sources that were declared."""
        head = self.head
        self.append_key("INDEX/trainId", head.train_ids.astype(np.uint64))
        self.append_key("INDEX/timestamp", head.timestamps.astype(np.uint64))
        self.append_key("INDEX/flag", head.flags.astype(np.int32))
        # -1 is the time server; of another source that began a train, nothing is known but that it was the first here.
        self.append_key("INDEX/origin", np.where(head.flags == 1, -1, 0).astype(np.int32))
        self._metadata()

    def _metadata(self) -> None:
        parts = [(s.partition("/")[0], s.partition("/")[2], s) for s in self._sources]
        for place, key in enumerate(("root", "deviceId", "dataSourceId")):
            self.sink.text(f"METADATA/dataSources/{key}", [p[place] for p in parts])
        if self._auxiliary:
            self.sink.text("METADATA/auxiliarySources/REDUCTION", self._auxiliary)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        words = {
            "creationDate": now,
            "updateDate": now,
            "daqLibrary": f"dxflow {importlib.metadata.version('dxflow')}",
            "karaboFramework": "none",
            "dataFormatVersion": VERSION,
        }
        for key, word in words.items():
            self.sink.text(f"METADATA/{key}", [word])
        name = self.head.name
        numbers = {
            "proposalNumber": self.head.proposal,
            "runNumber": name.run if name else 0,
            "sequenceNumber": name.sequence if name else 0,
        }
        for key, number in numbers.items():
            self.sink.plain(f"METADATA/{key}", np.array([number], np.uint32))


def data_path(section: str, source: str, key: str) -> str:
    """Return the HDF5 path of a key."""
    return f"{section}/{source}/{key.replace('.', '/')}"


def storable(values: NDArray) -> NDArray:
    """Return values as the format holds them: booleans as bytes, text in fields of equal length.

    Raises
    ------
    TypeError
        For what it has no place for, such as complex numbers.
    """
    if values.dtype.kind == "U":
        return np.char.encode(values, "utf-8")
    if not holds(values.dtype):
        raise TypeError(refusal(values.dtype))
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def holds(dtype: np.dtype) -> bool:
    """Return whether the format has a place for values of a dtype."""
    return dtype.kind in "S" or (dtype.kind in DTYPES and dtype.itemsize <= 8)


def refusal(dtype: np.dtype) -> str:
    """Return why a dtype cannot be stored, and what to do."""
    advice = "; store real and imaginary part along an axis" if dtype.kind == "c" else ""
    return f"values of {dtype} have no place in an EXDF file: integers, floats of 2 to 8 bytes and booleans do{advice}"
