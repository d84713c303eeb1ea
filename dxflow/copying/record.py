"""The section REDUCTION of a file: which entries were kept of each train, how and by what parameters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .tasks import Cut, FileTask

SINCE = (1, 3)
"""First version of the format with such a section."""
NONE = 2**32 - 1
"""Fills the rest of `indicesBeforeReduction` of a train."""


def software() -> str:
    """Return what made a record."""
    return f"dxflow {version('dxflow')}"


def can_hold(version: str) -> bool:
    """Return whether files of a version of the format have the section."""
    parts = version.split(".")
    return all(p.isdigit() for p in parts) and tuple(map(int, parts)) >= SINCE


def version_of(file: h5py.File) -> str:
    """Return the version of the format; files without one are of 0.5."""
    said = file.get("METADATA/dataFormatVersion")
    return "0.5" if said is None else said[0].decode()


def write(original: h5py.File, made: h5py.File, task: FileTask) -> None:
    """Add a record for each index group that was cut, if the version of the file allows it."""
    assert task.record is not None
    if not can_hold(version_of(original)):
        return
    for name, cut in task.cuts.items():
        if f"INDEX/{name}" in made:
            _group(made, name, cut, task)


def _group(made: h5py.File, name: str, cut: Cut, task: FileTask) -> None:
    """Write the record of an index group ``source/group``."""
    said = task.record
    assert said is not None
    source, _, group = name.rpartition("/")
    there = free_name(made, f"{said.prefix}/{source}")
    trains = np.ones(len(cut.counts), bool) if task.trains is None else task.trains
    facts = _facts(cut, trains, said.width)
    index(made, f"INDEX/{there}/{group}", len(made["INDEX/trainId"]))
    for key in _keys(made, f"INSTRUMENT/{name}"):
        for fact, values in facts.items():
            dataset = made.create_dataset(f"REDUCTION/{there}/{group}/{key}/{fact}", data=values)
            dataset.attrs["description"] = MEANING[fact]
    parameters(made, there, said.method, said.parameters)
    list_source(made, f"REDUCTION/{there}/{group}")


MEANING = {
    "indicesBeforeReduction": (
        "number within its train, before the reduction, of each entry that was kept; then 4294967295"
    ),
    "reductionRatio": "entries of the train after the reduction / before",
    "reductionResults": "0: no error",
    "wasPassedThrough": "1: all entries of the train were kept",
    "wasReduced": "1: entries of the train were dropped",
}


def _facts(cut: Cut, trains: NDArray, width: int) -> dict[str, NDArray]:
    """Return the values of each key of a record, (train, ...)."""
    before, counts = cut.before[trains], cut.counts[trains]
    kept = np.full((len(counts), max(1, width)), NONE, np.uint32)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    # Cuts have no entries in trains that are dropped.
    kept[np.repeat(np.arange(len(counts)), counts), within] = cut.entries
    reduced = counts < before
    return {
        "indicesBeforeReduction": kept,
        "reductionRatio": np.where(before > 0, counts / np.maximum(before, 1), 1.0),
        "reductionResults": np.zeros(len(counts), np.uint32),
        "wasPassedThrough": (~reduced).astype(np.uint8),
        "wasReduced": reduced.astype(np.uint8),
    }


def record_bytes(trains: int, width: int, keys: int) -> int:
    """Return the bytes of the values of a record."""
    return trains * keys * (4 * max(1, width) + 8 + 4 + 1 + 1)


def free_name(made: h5py.File, name: str) -> str:
    """Return the name of a source, with a number in its first part if an earlier reduction has it."""
    first, _, rest = name.partition("/")
    names = (name, *(f"{first}_{n}/{rest}" for n in range(2, 1000)))
    return next(n for n in names if f"REDUCTION/{n}" not in made)


def _keys(made: h5py.File, path: str) -> list[str]:
    """Return the keys of an index group, as parts of an HDF5 path."""
    found: list[str] = []
    made[path].visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def index(made: h5py.File, path: str, trains: int) -> None:
    """Write an index of one entry per train."""
    made[f"{path}/first"] = np.arange(trains, dtype=np.uint64)
    made[f"{path}/count"] = np.ones(trains, np.uint64)


def parameters(made: h5py.File, source: str, method: str, said: Mapping[str, Any]) -> None:
    """Write the parameters as values of the run."""
    stamps = made.get("INDEX/timestamp")
    stamp = stamps[:1] if stamps is not None and len(stamps) else np.zeros(1)
    facts: Mapping[str, Any] = {"method": method, **said}
    for key, value in facts.items():
        path = f"RUN/{source}/{key.replace('.', '/')}"
        dtype = h5py.string_dtype() if isinstance(value, str) else None
        made.create_dataset(f"{path}/value", data=[value], dtype=dtype)
        made[f"{path}/timestamp"] = stamp.astype(np.uint64)


def list_source(made: h5py.File, name: str) -> None:
    """Add a name to the auxiliary sources of METADATA."""
    path = "METADATA/auxiliarySources/REDUCTION"
    names = [*made[path][:], name.encode()] if path in made else [name.encode()]
    if path in made:
        del made[path]
    made.create_dataset(path, data=np.array(names, dtype=object), dtype=h5py.special_dtype(vlen=bytes))
