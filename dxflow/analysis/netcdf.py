"""Datasets saved as netCDF, in one file that other programs open: written by the process in which HDF5 writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..hdf5.process import Writer
from ..stores.hdf5 import file as _hdf5

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".nc", ".h5")
FORMAT = "dxflow.stores.formats.netcdf"
BLOCK_BYTES = 2**26
"""That are read and sent at a time."""


def write(
    made: Path, path: Path, variables: Mapping[str, Any], labels: set[str], attrs: dict[str, Any], told: Any
) -> None:
    """Write variables that can be stored, then manifest and checksum.

    Parameters
    ----------
    made : path
        Where it is written.
    path : path
        Where it will be, for messages.
    variables : mapping of str to Variable
    labels : set of str
        Names of those that are coordinates.
    attrs : dict
        Of the whole, JSON values.
    told : dict
        The manifest.
    """
    if find_spec("h5netcdf") is None:
        raise ValueError(f"{path}: netCDF needs h5netcdf; install dxflow[netcdf]")
    facts = {name: _fact(name, v, name in labels) for name, v in variables.items()}
    arrays = {name: {**fact, "attrs": _plain(fact["attrs"])} for name, fact in facts.items()}
    with Writer(_hdf5.WORK) as writer:
        task = {"attributes": _plain(attrs), "codec": "", "arrays": arrays}
        writer.begin("write", FORMAT, made, task, made=made, path=path)
        for name, variable in variables.items():
            for first, values in _blocks(variable):
                writer.send((name, [first, *[0] * (variable.ndim - 1)] if variable.ndim else []), values)
        writer.end()
        text = json.dumps({**told, "hdf5": {"attributes": attrs, "variables": facts}})
        writer.do("seal", made, text, made=made, path=path)


def _fact(name: str, variable: xr.Variable, label: bool) -> dict[str, Any]:
    """Return what the file says of a variable.

    Raises
    ------
    ValueError
        If netCDF has no such numbers.
    """
    dtype = variable.dtype
    if dtype.kind == "c" or dtype.char == "e":
        raise ValueError(f"{name} is {dtype}, which netCDF does not have; write name.zarr")
    if dtype.kind == "U":
        dtype = np.dtype(f"S{max(1, _encoded(variable.values).dtype.itemsize)}")
    dims = [str(d) for d in variable.dims]
    return {
        "path": f"/{name}",
        "dims": dims,
        "shape": list(variable.shape),
        "dtype": dtype.newbyteorder("=").str,
        "attrs": variable.attrs,
        "label": label,
    }


def _blocks(variable: xr.Variable) -> Any:
    """Yield some rows at a time, with where they begin."""
    if not variable.ndim:
        yield 0, _encoded(variable.values)
        return
    row = max(1, variable.nbytes // max(1, len(variable)))
    rows = _hdf5.chunk_of(tuple(max(1, n) for n in variable.shape), variable.dtype)[0]
    step = max(1, BLOCK_BYTES // (row * rows)) * rows
    for a in range(0, len(variable), step):
        yield a, _encoded(np.asarray(variable[a : a + step].values))


def _encoded(values: NDArray) -> NDArray:
    """Return values as they are sent: times as integers, texts in bytes."""
    if values.dtype.kind == "M":
        return np.asarray(values.astype("M8[ns]").view("i8"))
    return np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as netCDF has them: numbers, texts, lists of one of these; others as JSON."""
    return {name: value if _is_plain(value) else json.dumps(value) for name, value in attrs.items()}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        kinds = {type(one) for one in value}
        return kinds in ({int}, {float}, {str})
    return type(value) in (int, float, str)


def read(path: Path) -> xr.Dataset:
    """Return what was written; values are read when they are used.

    Raises
    ------
    Damage
        If the file is not as it was written.
    """
    found = _hdf5.open_dataset(path)
    texts = {n: np.char.decode(v.values, "utf-8") for n, v in found.variables.items() if v.dtype.kind == "S"}
    made = {n: (found[n].dims, values, found[n].attrs) for n, values in texts.items()}
    return found.assign({n: v for n, v in made.items() if n not in found.coords}).assign_coords(
        {n: v for n, v in made.items() if n in found.coords}
    )
