"""netCDF-4: one file that xarray, ncdump and Panoply open, with the conventions of CF for time and labels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import PlanError
from ..hdf5.file import Hdf5Store, options
from ..labels import TIME

if TYPE_CHECKING:
    from ...planning.public import Plan

SUFFIXES = (".nc", ".nc4")


class NetCdf(Hdf5Store):
    """A netCDF-4 file, by h5netcdf. Booleans are bytes, marked as xarray does; there are no complex numbers."""

    format = __name__

    def holds(self, dtype: np.dtype) -> bool:
        """Integers, floats of 4 and 8 bytes, booleans."""
        return dtype.kind in "biu" or dtype.char in "fd"

    def check(self, plan: Plan) -> None:
        """Refuse also if h5netcdf is not installed."""
        super().check(plan)
        if find_spec("h5netcdf") is None:
            raise PlanError(f"{self.path}: netCDF needs h5netcdf; install dxflow[netcdf]")


STORE = NetCdf


def create(path: Path, task: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Make the file with all variables, empty; return it, and the datasets by name."""
    import h5netcdf

    arrays = task["arrays"]
    file = h5netcdf.File(path, "w")
    file.attrs.update({"Conventions": "CF-1.10", **task["attributes"]})
    sizes = {dim: n for one in arrays.values() for dim, n in zip(one["dims"], one["shape"], strict=True)}
    file.dimensions = sizes
    made = {}
    for name, one in arrays.items():
        dtype, attrs = _type(np.dtype(one["dtype"]), one["attrs"])
        stored = options(one["shape"], dtype, task["codec"])
        variable = file.create_variable(name, tuple(one["dims"]), dtype, fillvalue=None, **stored)
        variable.attrs.update(attrs | _labels(name, one, arrays))
        made[name] = variable._h5ds
    return file, made


def _type(dtype: np.dtype, attrs: dict[str, Any]) -> tuple[np.dtype, dict[str, Any]]:
    """Return how a dtype is stored, and the attributes that say so."""
    if dtype.kind == "M":
        return np.dtype("i8"), attrs | TIME
    if dtype.kind == "b":
        return np.dtype("i1"), attrs | {"dtype": "bool"}
    if dtype.kind == "S":
        import h5py

        return h5py.string_dtype(), attrs
    return dtype, attrs


def _labels(name: str, one: dict[str, Any], arrays: dict[str, Any]) -> dict[str, str]:
    """Return the attribute that names the labels of a variable, those of its axes excepted."""
    if one["label"]:
        return {}
    found = [
        other
        for other, label in arrays.items()
        if label["label"] and label["dims"] != [other] and set(label["dims"]) <= set(one["dims"])
    ]
    return {"coordinates": " ".join(found)} if found else {}
