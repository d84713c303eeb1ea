"""NeXus: one file whose every result is an NXdata with axes and units, so that a viewer plots it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..hdf5.file import Hdf5Store, options

SUFFIXES = (".nxs", ".nx")
TIME = {"units": "ns", "start": "1970-01-01T00:00:00Z"}


class Nexus(Hdf5Store):
    """A NeXus file. Results are in ``/entry/<name>/<name>``, labels beside each result that they belong to."""

    format = __name__

    def place(self, name: str) -> str:
        """Return where a variable is: labels are kept once, results link to them."""
        return f"/entry/arrays/{name}"


STORE = Nexus


def create(path: Path, task: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Make the file with all datasets, empty; return it, and the datasets by name."""
    import h5py

    file = h5py.File(path, "w", libver="v110")
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "dxflow"})
    entry = _group(file, "entry", "NXentry")
    entry["title"] = task["attributes"]["title"]
    _process(entry, task["attributes"])
    arrays, kept = task["arrays"], _group(entry, "arrays", "NXcollection")
    made = {name: _dataset(kept, name, one, task["codec"]) for name, one in arrays.items()}
    results = [name for name, one in arrays.items() if not one["label"]]
    for name in results:
        _data(entry, name, arrays, made)
    entry.attrs["default"] = min(results, key=lambda name: _rank(arrays[name]), default="arrays")
    return file, made


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _process(entry: Any, attributes: dict[str, str]) -> None:
    """Say how the results were made: program, version, and the options of each algorithm."""
    process = _group(entry, "process", "NXprocess")
    process["program"] = "dxflow"
    process["version"] = json.loads(attributes["versions"])["dxflow"]
    for name, text in attributes.items():
        note = _group(process, name, "NXnote")
        note["type"] = "text/plain"
        note["data"] = text


def _dataset(group: Any, name: str, one: dict[str, Any], codec: str) -> Any:
    """Make one dataset."""
    dtype, attrs = np.dtype(one["dtype"]), one["attrs"]
    if dtype.kind == "M":
        dtype, attrs = np.dtype("i8"), attrs | TIME
    made = group.create_dataset(name, one["shape"], dtype, **options(one["shape"], dtype, codec))
    made.attrs.update(attrs)
    return made


def _data(entry: Any, name: str, arrays: dict[str, Any], made: dict[str, Any]) -> None:
    """Make the NXdata of a result: links to it and to its labels, and what is along which axis."""
    one, data = arrays[name], _group(entry, name, "NXdata")
    data[name] = made[name]
    data.attrs["signal"] = name
    if "long_name" in one["attrs"]:
        data["title"] = one["attrs"]["long_name"]
    for label, other in arrays.items():
        dims = other["dims"]
        if other["label"] and dims and set(dims) <= set(one["dims"]):
            data[label] = made[label]
            data.attrs[f"{label}_indices"] = [one["dims"].index(dim) for dim in dims]
    if one["dims"]:
        # An axis without values of its own is "."; the name of a label of another axis would be wrong there.
        data.attrs["axes"] = [dim if dim in arrays else "." for dim in one["dims"]]


def _rank(one: dict[str, Any]) -> tuple[bool, bool]:
    """Return how much a result is worth looking at first: the first with axes that is not just what is valid."""
    return not one["made"], 0 in one["shape"] or max(one["shape"], default=1) == 1
