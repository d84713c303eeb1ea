"""Datasets saved: written under another name with a manifest and checksums, then renamed, and read back lazily."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from ..disk import manifest as _manifest
from ..disk import ours
from ..disk.fragments import persist
from ..errors.kinds import PATH, expect
from ..errors.near import listed
from ..planning.fingerprint import versions
from ..stores.labels import TIME
from ..stores.shards import metadata
from ..stores.shards.shard import Shard
from ..stores.shards.sharding import chunk_of
from . import netcdf
from .rooms import MADE, publish, read_from, recover, room

if TYPE_CHECKING:
    import xarray as xr


FORMAT = 1
SUFFIX = ".zarr"
CHUNK_BYTES = 2**23
"""A million rows of float64: few enough chunks to be read at once, and small ones where few rows are read."""
SHARD_BYTES = 2**30
"""Of a file, before compression."""
THREADS = 8
CODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "coordinates", "dtype", "calendar")
"""Attributes that told how somebody else has stored values."""
RESERVED = ("zarr.json", _manifest.MANIFEST)
_UNFIT = re.compile(r"[/\\%\s\x00-\x1f]|^\.")


def write(
    data: xr.Dataset, to: str | Path, kind: str, about: Mapping[str, Any], overwrite: bool = False
) -> Path:
    """Write a dataset; it has its name when it is complete.

    Parameters
    ----------
    data : xarray.Dataset
        Numbers, booleans, times and texts; what is lazy is read some rows at a time.
    to : path
        Ends with ``.zarr``; cubes and picks also with ``.nc``, or ``.h5`` for the same.
    kind : {"table", "cube", "picks", "added"}
        What `dxflow.open` is to make of it.
    about : mapping
        How it was made, JSON values.
    overwrite : bool
        Whether it may replace another result of dxflow.

    Returns
    -------
    path

    Raises
    ------
    FileExistsError
        If something is there that may not be replaced.
    ValueError
        If the name is of no format, or values are of a kind that cannot be stored.
    """
    expect(PATH, to, "to=")
    path = Path(to).absolute()
    known = (SUFFIX, *netcdf.SUFFIXES) if kind in ("cube", "picks") else (SUFFIX,)
    if path.suffix not in known:
        raise ValueError(f"to={str(to)!r}: a {kind} is written as {' or '.join(f'name{s}' for s in known)}")
    check(path, data, overwrite)
    told = {"format": FORMAT, "kind": kind, "created": _now(), "versions": versions(), "about": dict(about)}
    json.dumps(told)
    with room(path, f"writing {path.name}") as (folder, lock):
        made = folder / MADE
        _write_zarr(made, data, told) if path.suffix == SUFFIX else _write_netcdf(made, path, data, told)
        lock.check()
        publish(folder, path, overwrite, read_from(data))
    return path


def _write_zarr(made: Path, data: xr.Dataset, told: Mapping[str, Any]) -> None:
    known = _Zarr(made, data).write()
    files = _manifest.digests(made, known)
    _last(made, set(files) - set(known))
    _manifest.write(made, told, files)


def _write_netcdf(made: Path, path: Path, data: xr.Dataset, told: Mapping[str, Any]) -> None:
    variables = {}
    for name, variable in data.variables.items():
        stored = _storable(str(name), variable).copy(deep=False)
        stored.attrs = _own(str(name), variable)
        variables[_stored_name(name)] = stored
    labels = {_stored_name(name) for name in data.coords}
    netcdf.write(made, path, variables, labels, _json("the dataset", data.attrs), told)


def check(
    path: Path, data: xr.Dataset | None = None, overwrite: bool = False, runs: Sequence[Path] = ()
) -> None:
    """Refuse a place before anything is worked out for it: no folder, a name that is taken, inside a run or a result.

    Parameters
    ----------
    runs : sequence of path
        Run directories, beside those that are seen to be some.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
    """
    parent = path.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {parent} does not exist; make it first")
    if why := ours.inside_any_run(path, runs):
        raise ValueError(why)
    recover(path)
    if why := ours.obstacle(path, [ours.RESULT], () if data is None else read_from(data)):
        raise FileExistsError(why)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name, or overwrite=True to replace it")
    ours.warn_open(parent)


def refuse_appeared(path: Path) -> None:
    """Refuse to replace a file that appeared while another was made, and is none of ours.

    Raises
    ------
    FileExistsError
    """
    if why := ours.obstacle(path, [ours.RESULT]):
        raise FileExistsError(why)


def read(path: str | Path) -> xr.Dataset:
    """Return a dataset that `write` has written; values are read when they are used.

    Raises
    ------
    Damage
        If files are missing or were changed: now, or when values are read.
    FileNotFoundError
        If there is none, or only an unfinished one.
    """
    import xarray as xr

    from ..stores.shards.reading import Checked

    path = Path(path)
    if path.is_file():
        return _named(netcdf.read(path), path)
    _manifest.whole(path)
    store: Any = Checked(path.absolute(), _manifest.read(path)["files"])
    stored = xr.open_zarr(store, chunks=None, decode_times=False, mask_and_scale=False)
    return _named(stored, path)


def _named(stored: xr.Dataset, path: Path) -> xr.Dataset:
    """Return what was stored with its names."""
    import xarray as xr

    found = {unquote(str(name)): _decoded(v) for name, v in stored.variables.items()}
    labels = {unquote(str(name)) for name in stored.coords}
    made = xr.Dataset(
        {n: v for n, v in found.items() if n not in labels},
        {n: v for n, v in found.items() if n in labels},
        stored.attrs,
    )
    for encoding in (made.encoding, *(v.encoding for v in made.variables.values())):
        encoding["source"] = str(path)
    return made


def _decoded(variable: xr.Variable) -> xr.Variable:
    """Return times as times."""
    from xarray.conventions import decode_cf_variable

    if all(variable.attrs.get(k) == v for k, v in TIME.items()):
        return decode_cf_variable("time", variable)
    return variable


# Writing ------------------------------------------------------------------------------------------


@dataclass
class _Zarr:
    """A store that is being written: each variable in files of whole chunks, some at a time."""

    root: Path
    data: xr.Dataset

    def write(self) -> dict[str, tuple[int, int]]:
        """Write metadata, then values; return size and checksum of large files by path."""
        variables = {_stored_name(n): _storable(str(n), v) for n, v in self.data.variables.items()}
        labels = [_stored_name(n) for n, c in self.data.coords.items() if (n,) != c.dims]
        attributes = {**_json("the dataset", self.data.attrs), "coordinates": " ".join(labels)}
        self.root.mkdir()
        metadata.write_group(self.root, attributes, {n: _facts(n, v) for n, v in variables.items()})
        tasks = [(n, v, shard) for n, v in variables.items() for shard in _shards(v)]
        with ThreadPoolExecutor(min(THREADS, len(os.sched_getaffinity(0)))) as pool:
            written = pool.map(lambda task: self._write_shard(*task), tasks)
            return {name: found for one in written for name, found in one.items()}

    def _write_shard(self, name: str, variable: xr.Variable, number: int) -> dict[str, tuple[int, int]]:
        """Write one file of a variable, one row of chunks at a time."""
        if not variable.ndim:
            metadata.write_chunk(self.root, name, _numbers(variable.values))
            return {}
        dtype, chunk, shape = _dtype(variable), _chunk(variable), _shard_shape(variable)
        path = metadata.place(name, [number, *[0] * (variable.ndim - 1)])
        first, stop = number * shape[0], min((number + 1) * shape[0], variable.shape[0])
        nowhere = [0] * (variable.ndim - 1)
        with Shard(self.root / path, shape, chunk, dtype) as out:
            for a in range(first, stop, chunk[0]):
                values = np.asarray(variable[a : min(a + chunk[0], stop)].values)
                out.add([a - first, *nowhere], _numbers(values))
        return {path: (out.size, out.crc)}


def _storable(name: str, variable: xr.Variable) -> xr.Variable:
    """Return a variable as it is stored: texts of one length, times without another unit.

    Raises
    ------
    ValueError
        If it can not be stored.
    """
    if variable.dtype.kind in "OS" or not isinstance(variable.dtype, np.dtype):
        variable = variable.copy(data=texts(name, variable.values))
    if variable.dtype.kind == "U":
        # Texts of no length have no type.
        variable = variable.astype(f"U{max(1, variable.dtype.itemsize // 4)}")
    if variable.dtype.kind not in "biufcMU" or variable.dtype.char in "gG":
        raise ValueError(f"{name} is {variable.dtype}; expected numbers, booleans, times or texts")
    return variable


def texts(name: str, values: NDArray) -> NDArray:
    """Return objects as texts; missing ones are empty."""
    flat = [one.decode() if isinstance(one, bytes) else one for one in np.ravel(values)]
    if others := {type(one).__name__ for one in flat if not (one is None or isinstance(one, str))}:
        raise ValueError(
            f"{name} holds objects ({listed(others)}); expected numbers, booleans, times or texts"
        )
    return np.array([one or "" for one in flat], "U").reshape(np.shape(values))


def _facts(name: str, variable: xr.Variable) -> dict[str, Any]:
    """Return the metadata of a variable."""
    attributes = _own(unquote(name), variable)
    if variable.dtype.kind == "M":
        attributes |= TIME
    dtype, dims = _dtype(variable), [str(d) for d in variable.dims]
    chunk = _chunk(variable)
    return metadata.array(
        variable.shape, dtype, chunk, shard=_shard_shape(variable), dims=dims, attributes=attributes
    )


def _own(name: str, variable: xr.Variable) -> dict[str, Any]:
    return _json(name, {k: v for k, v in variable.attrs.items() if k not in CODING})


def _dtype(variable: xr.Variable) -> np.dtype:
    """Return how values are stored: times as integers."""
    return np.dtype("i8") if variable.dtype.kind == "M" else variable.dtype.newbyteorder("=")


def _numbers(values: NDArray) -> NDArray:
    """Return values as they are stored."""
    return values.astype("M8[ns]").view("i8") if values.dtype.kind == "M" else values


def _chunk(variable: xr.Variable) -> tuple[int, ...]:
    return chunk_of(tuple(max(1, n) for n in variable.shape), variable.dtype, CHUNK_BYTES)


def _shard_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Return the shape of a file: whole chunks, all along all axes but the first."""
    if not variable.ndim:
        return ()
    chunk = _chunk(variable)
    whole = [-(-max(1, n) // c) * c for n, c in zip(variable.shape, chunk, strict=True)]
    row = int(np.prod([chunk[0], *whole[1:]], dtype=np.int64)) * variable.dtype.itemsize
    return (min(whole[0], max(1, SHARD_BYTES // row) * chunk[0]), *whole[1:])


def _shards(variable: xr.Variable) -> range:
    """Return the numbers of the files of a variable; one without values has none."""
    if not variable.size:
        return range(0)
    return range(-(-variable.shape[0] // _shard_shape(variable)[0])) if variable.ndim else range(1)


def _stored_name(name: Any) -> str:
    """Return the name of a folder for a variable: any text may be one of a variable."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a variable is called {name!r}; expected a text")
    escaped = _UNFIT.sub(lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), name)
    if len(os.fsencode(escaped)) > 255:
        raise ValueError(f"{name!r} is too long for a name; choose a shorter one")
    return f"%{ord(name[0]):02X}{name[1:]}" if name in RESERVED else escaped


def _json(what: str, attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON values.

    Raises
    ------
    ValueError
        If one is none.
    """
    try:
        return json.loads(json.dumps({str(k): v for k, v in attrs.items()}, default=_plain))
    except TypeError as e:
        raise ValueError(f"{what}: an attribute cannot be stored: {e}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (Path, bytes)):
        return os.fsdecode(value)
    raise TypeError(f"{type(value).__name__} is no text, number or list of these")


def _last(root: Path, files: set[str]) -> None:
    """Make small files, and the names of all, last through a power loss."""
    folders = (p for p in root.rglob("*") if p.is_dir())
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(persist, [*(root / name for name in sorted(files)), root, *folders]))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
