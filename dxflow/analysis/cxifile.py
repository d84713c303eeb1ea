"""The file of images for ptychography: groups, datasets and links as CXI and NXcxi_ptycho name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..stores.hdf5.file import options

ENTRY, DETECTOR = "/entry_1", "/entry_1/instrument_1/detector_1"
SOURCE, BEAM = "/entry_1/instrument_1/source_1", "/entry_1/instrument_1/beam_1"
DATA, GEOMETRY = "/entry_1/data_1", "/entry_1/sample_1/geometry_1"
MOTORS = "/entry_1/sample_1/transformations"
LABELS = "/dxflow/picks"
"""Where all else is that is known of what was picked."""
GROUPS = {
    ENTRY: "NXentry",
    "/entry_1/instrument_1": "NXinstrument",
    DETECTOR: "NXdetector",
    SOURCE: "NXsource",
    BEAM: "NXbeam",
    "/entry_1/sample_1": "NXsample",
    GEOMETRY: "NXcollection",
    MOTORS: "NXtransformations",
    DATA: "NXdata",
    LABELS: "NXcollection",
}
VERSION = 160
"""Of CXI, times 100."""
TIME = {"units": "ns", "start": "1970-01-01T00:00:00Z"}


def create(path: Path, task: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Make the file with all datasets, empty; return it, and the datasets by name."""
    import h5py

    file = h5py.File(path, "w", libver="v110")
    file.attrs.update({"NX_class": "NXroot", "default": "entry_1", "creator": "dxflow"})
    file["cxi_version"], file["number_of_entries"] = VERSION, 1
    for name, kind in GROUPS.items():
        file.require_group(name).attrs["NX_class"] = kind
    made = {name: _dataset(file, one) for name, one in task["arrays"].items()}
    for place, text in task["texts"].items():
        file.create_dataset(place, data=text, dtype=h5py.string_dtype())
    for place, target in _links(file).items():
        file[place] = h5py.SoftLink(target)
    file[ENTRY].attrs["default"] = "data_1"
    file[DATA].attrs.update({"signal": "data", "axes": task["axes"]})
    file[DATA].attrs.update({f"{axis}_indices": [0] for axis in "xyz" if axis in file[DATA]})
    return file, made


def _dataset(file: Any, one: dict[str, Any]) -> Any:
    dtype, attrs = np.dtype(one["dtype"]), one["attrs"]
    if dtype.kind == "M":
        dtype, attrs = np.dtype("i8"), attrs | TIME
    made = file.create_dataset(one["path"], one["shape"], dtype, **_stored(one["shape"], dtype))
    made.attrs.update({k: v for k, v in attrs.items() if v != ""})
    return made


def _stored(shape: list[int], dtype: np.dtype) -> dict[str, Any]:
    """Return how an array is stored: images one by one, so that each is read alone."""
    found = options(shape, dtype)
    return found | {"chunks": (1, *shape[1:])} if found and len(shape) > 2 else found


def _links(file: Any) -> dict[str, str]:
    """Return what is at several places, as far as it is there."""
    wanted = {
        f"{DATA}/data": f"{DETECTOR}/data",
        f"{DATA}/translation": f"{GEOMETRY}/translation",
        f"{DETECTOR}/translation": f"{GEOMETRY}/translation",
        f"{DETECTOR}/experiment_identifier": f"{ENTRY}/experiment_identifier",
        f"{DATA}/experiment_identifier": f"{ENTRY}/experiment_identifier",
        **{f"{DATA}/{axis}": f"{MOTORS}/{axis}" for axis in "xyz"},
        f"{ENTRY}/trainId": f"{LABELS}/pick_train_id",
        f"{ENTRY}/pulseId": f"{LABELS}/pick_pulse_id",
        f"{ENTRY}/cellId": f"{LABELS}/cell_id",
        f"{BEAM}/incident_energy": f"{BEAM}/energy",
        f"{BEAM}/incident_beam_energy": f"{BEAM}/energy",
        f"{SOURCE}/energy": f"{BEAM}/energy",
    }
    return {place: target for place, target in wanted.items() if target in file}
