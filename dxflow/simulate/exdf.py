"""Writer of one EuXFEL HDF5 (EXDF) file, in any format version from 0.5 to 1.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exdf.units import attributes

VERSIONS = ("0.5", "1.0", "1.1", "1.2", "1.3")

EPOCH_NS = 1_700_000_000 * 10**9
TRAIN_NS = 10**8
"""Trains come at 10 Hz."""


@dataclass(frozen=True)
class FileFacts:
    """What a file says about itself."""

    category: str
    """Start of the file name: "RAW" or "CORR"."""
    proposal: int
    run: int
    aggregator: str
    sequence: int
    version: str
    train_ids: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ValueError(f"no EXDF version {self.version!r}; known: {', '.join(VERSIONS)}")

    @property
    def name(self) -> str:
        """File name of the DAQ."""
        return f"{self.category}-R{self.run:04d}-{self.aggregator}-S{self.sequence:05d}.h5"

    @property
    def timestamps(self) -> NDArray[np.uint64]:
        """Time of each train, nanoseconds since 1970; a function of the train id, so that runs repeat."""
        return self.train_ids * np.uint64(TRAIN_NS) + np.uint64(EPOCH_NS)


class SimulatedFile:
    """One EXDF file being written; it appears under its name when the ``with`` block ends well.

    Parameters
    ----------
    directory : path
        The run directory.
    facts : FileFacts
        Name, version and trains of the file.

    Notes
    -----
    Until the end the data are in a hidden file next to it, which readers do not see. After an exception
    that file is removed.
    """

    def __init__(self, directory: str | Path, facts: FileFacts) -> None:
        self.facts = facts
        self.path = Path(directory) / facts.name
        self._part = self.path.with_name(f".{facts.name}.part")
        self._sources: list[str] = []

    def __enter__(self) -> SimulatedFile:
        self._file = h5py.File(self._part, "w", libver="v110")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write_metadata()
                self._write_train_index()
        finally:
            self._file.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)

    def instrument(self, source: str, group: str, counts: ArrayLike) -> h5py.Group:
        """Declare an index group of an instrument source and return the HDF5 group for its keys.

        Parameters
        ----------
        source : str
            ``DOMAIN/TYPE/MEMBER:channel``.
        group : str
            Index group: ``image``.
        counts : array_like, (train,)
            Entries of each train of this file; every key gets ``sum(counts)`` of them, train by train.
        """
        count = np.broadcast_to(np.asarray(counts, dtype="u8"), self.facts.train_ids.shape)
        self._write_index(f"{source}/{group}", count)
        self._sources.append(f"INSTRUMENT/{source}/{group}")
        return self._file.require_group(f"INSTRUMENT/{source}/{group}")

    def fast(
        self,
        source: str,
        group: str,
        keys: Mapping[str, NDArray[Any]],
        *,
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Write an instrument source with one entry per train: ``keys`` are arrays (train, ...)."""
        out = self.instrument(source, group, 1)
        out["trainId"] = self.facts.train_ids
        for key, value in keys.items():
            self._annotate(out.create_dataset(key.replace(".", "/"), data=value), (units or {}).get(key))

    def control(
        self,
        device: str,
        values: Mapping[str, NDArray[Any]],
        *,
        constants: Mapping[str, Any] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Write a control source: its values per train and its snapshot at the start of the run.

        Parameters
        ----------
        device : str
            ``DOMAIN/TYPE/MEMBER``.
        values : mapping
            Key (dots between its parts) -> array (train, ...).
        constants : mapping, optional
            Keys that are in RUN only: numbers or text.
        units : mapping, optional
            Key -> unit with prefix, "uJ"; written as attributes by version 1.3.
        """
        self._write_index(device, np.ones(len(self.facts.train_ids), dtype="u8"))
        self._sources.append(f"CONTROL/{device}")
        self._file.require_group(f"CONTROL/{device}")
        for key, value in values.items():
            path = f"CONTROL/{device}/{key.replace('.', '/')}"
            self._file[f"{path}/value"] = value
            self._file[f"{path}/timestamp"] = self.facts.timestamps
            self._annotate(self._file[path], (units or {}).get(key))
        first = {key: value[0] for key, value in values.items() if len(value)}
        for key, constant in {**first, **(constants or {})}.items():
            self._write_run(f"RUN/{device}/{key.replace('.', '/')}", constant)

    def legacy(self, old: str, source: str, groups: Sequence[str]) -> None:
        """Let an instrument source be found under an older name as well: soft links, both names listed."""
        for section in ("INDEX", "INSTRUMENT"):
            self._file[f"{section}/{old}"] = h5py.SoftLink(f"/{section}/{source}")
        self._sources.extend(f"INSTRUMENT/{old}/{group}" for group in groups)

    def _write_index(self, path: str, count: NDArray[np.uint64]) -> None:
        self._file[f"INDEX/{path}/first"] = np.cumsum(count, dtype="u8") - count
        self._file[f"INDEX/{path}/count"] = count

    def _write_run(self, path: str, value: Any) -> None:
        if isinstance(value, str):
            value = np.array(value, dtype=h5py.string_dtype())
        self._file[f"{path}/value"] = np.asarray(value)[np.newaxis]
        self._file[f"{path}/timestamp"] = self.facts.timestamps[:1]

    def _annotate(self, item: h5py.HLObject, unit: str | None) -> None:
        """Write a unit as Karabo does: prefix and unit apart, by name and by symbol."""
        if unit is None or self.facts.version != "1.3":
            return
        item.attrs.update({name: text.encode() for name, text in attributes(unit).items()})

    def _write_train_index(self) -> None:
        facts, n = self.facts, len(self.facts.train_ids)
        index = self._file.require_group("INDEX")
        index["trainId"] = facts.train_ids.astype("u8")
        if facts.version == "0.5":
            return
        index["timestamp"] = facts.timestamps
        # Version 1.1 stores the number of the source that opened the train (0: the time server, good)
        # where the others store 1 for good.
        index["flag"] = np.full(n, 0 if facts.version == "1.1" else 1, dtype="i4")
        if facts.version in ("1.2", "1.3"):
            index["origin"] = np.full(n, -1, dtype="i4")

    def _write_metadata(self) -> None:
        facts, meta = self.facts, self._file.require_group("METADATA")
        if facts.version == "0.5":
            self._write_sources(meta)
            return
        self._write_sources(meta.create_group("dataSources"))
        meta["dataFormatVersion"] = [facts.version.encode()]
        for key, moment in (("creationDate", facts.timestamps[:1]), ("updateDate", facts.timestamps[-1:])):
            meta[key] = [_date(int(moment[0]) if len(moment) else EPOCH_NS)]
        for key, text in (("daqLibrary", b"1.22.2"), ("karaboFramework", b"2.20.0")):
            meta[key] = [text]
        numbers = (
            ("proposalNumber", facts.proposal),
            ("runNumber", facts.run),
            ("sequenceNumber", facts.sequence),
        )
        for key, number in numbers:
            meta[key] = np.array([number], dtype="u4")
        if facts.category == "RAW":
            meta["runType"], meta["sample"] = [b"Simulated"], [b"Simulated"]

    def _write_sources(self, group: h5py.Group) -> None:
        """Write the lists of sources; version 1.1 starts them with a virtual one for the time server."""
        split = [(source.partition("/")[0], source.partition("/")[2], source) for source in self._sources]
        if self.facts.version == "1.1":
            split.insert(0, ("", "Karabo_TimerServer", "Karabo_TimerServer"))
        text = h5py.special_dtype(vlen=bytes)
        for place, key in enumerate(("root", "deviceId", "dataSourceId")):
            group.create_dataset(
                key, data=np.array([row[place].encode() for row in split], dtype=object), dtype=text
            )


def _date(nanoseconds: int) -> bytes:
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
