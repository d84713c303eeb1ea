"""Where constants of detectors come from: results of `dark`, arrays, HDF5 files, the facility's database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, Result
from dxflow.disk.openhdf5 import open_hdf5
from dxflow.errors.near import listed
from dxflow.run import detectors

from ._constants import AXES, BY_NDIM, EXPECTED, NAMES, Constants, Stored, Table, whole_shape
from .subtract import with_frames

FACILITY = {
    **{"Offset": "offset", "Offset10Hz": "offset", "Noise": "noise", "Noise10Hz": "noise"},
    **{"ThresholdsDark": "thresholds", "RelativeGain": "relative_gain", "RelativeGain10Hz": "gain"},
    **dict.fromkeys(
        ("BadPixelsDark", "BadPixelsDark10Hz", "BadPixelsFF", "BadPixelsFF10Hz", "BadPixelsPC"), "bad"
    ),
}
"""Constants of EuXFEL's database. The gain of JUNGFRAU is in ADU per keV; that of AGIPD multiplies."""
MULTIPLIES = ("AGIPD1M", "AGIPD500K")
"""Detectors whose `RelativeGain` is known to multiply what is above the offset."""


def kept(given: Any) -> Any:
    """Return constants as they travel to workers: paths of stores, arrays, files of each module."""
    if isinstance(given, Result):
        return os.fspath(given.path)
    if isinstance(given, os.PathLike):
        return os.fspath(given)
    if isinstance(given, (list, tuple)):
        return tuple(kept(one) for one in given)
    if hasattr(given, "constant_groups") or _is_group(given):
        given = {name: given[name] for name in given}
    if isinstance(given, Mapping) and not hasattr(given, "data_vars"):
        return {
            str(name): _of_facility(one) if hasattr(one, "module_nums") else one
            for name, one in given.items()
        }
    return given


def _is_group(given: Any) -> bool:
    return isinstance(given, Mapping) and not isinstance(given, dict) and not hasattr(given, "data_vars")


def _of_facility(group: Any) -> Any:
    """Return where the constants of a `MultiModuleConstant` lie; nothing is asked of a server."""
    numbers = [int(n) for n in group.module_nums]
    parts: dict[int | None, tuple[str, str]] = {
        n: (os.fspath(group[n].file_path()), f"{group[n].dataset}/data") for n in numbers
    }
    return Stored(parts), str(getattr(group, "detector_name", ""))


def opened(given: Any, img: InputInfo) -> Constants:
    """Return constants of any of the forms that `Calibrate` takes.

    Raises
    ------
    ValueError, KeyError, OSError
    """
    tables: dict[str, list[Table]] = {}
    for name, table in _tables(given, img):
        tables.setdefault(name, []).append(table)
    return Constants(tables)


def _tables(given: Any, img: InputInfo) -> Iterator[tuple[str, Table]]:
    if isinstance(given, tuple):
        for one in given:
            yield from _tables(one, img)
    elif isinstance(given, str):
        yield from _of_path(Path(given), img)
    elif hasattr(given, "data_vars"):
        yield from _of_dataset(given)
    elif isinstance(given, Mapping):
        yield from _of_mapping(given, img)
    else:
        raise ValueError(f"constants are {type(given).__name__}; expected {EXPECTED}")


def _of_path(path: Path, img: InputInfo) -> Iterator[tuple[str, Table]]:
    if path.is_file():
        yield from _of_hdf5(path)
        return
    import xarray as xr

    stores = [path] if _is_store(path) else sorted(p for p in path.glob("*.zarr") if _is_store(p))
    if not stores:
        raise ValueError(f"constants {path}: no such file, store, or folder of stores; expected {EXPECTED}")
    for store in stores:
        yield from _of_dataset(xr.open_zarr(store, chunks=None, decode_times=False))


def _is_store(path: Path) -> bool:
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def _of_dataset(data: Any) -> Iterator[tuple[str, Table]]:
    """Yield the constants of a result of `dark`, or of a dataset with their names."""
    for variable in data.data_vars:
        name = str(variable).rpartition(".")[2]
        if name in NAMES:
            yield name, _of_array(with_frames(data[variable], data))


def _of_array(array: Any) -> Table:
    """Return the table that an array with named axes is; what it was cut out of by number keeps this number."""
    for name in [str(n) for n, one in array.coords.items() if one.ndim == 0]:
        if name.split(".")[-1].startswith(("stage", "cell", "module")):
            array = array.expand_dims(name)
    dims = tuple(_axis(str(d)) for d in array.dims)
    labels = {
        a: np.asarray(array.coords[d]) for a, d in zip(dims, array.dims, strict=True) if d in array.coords
    }
    return Table(array.variable, dims, labels, str(array.attrs.get("detector", "")))


def _axis(name: str) -> str:
    """Return the axis that a name means."""
    last = name.split(".")[-1]
    for axis in AXES:
        if last == axis or last.startswith(f"{axis}_") and axis in ("stage", "cell", "module"):
            return axis
    known = {"slow_scan": "ss", "fast_scan": "fs", "gain": "stage", "memory_cell": "cell"}
    if last in known:
        return known[last]
    raise ValueError(f"constants have an axis {name!r}; expected some of {list(AXES)}")


def _of_mapping(given: Mapping[str, Any], img: InputInfo) -> Iterator[tuple[str, Table]]:
    for key, values in given.items():
        name = FACILITY.get(key, key)
        if name not in NAMES:
            raise ValueError(f"no constant is named {key!r}; expected some of {listed([*NAMES, *FACILITY])}")
        if key == "RelativeGain":
            _refuse_gain(img)
        if isinstance(values, tuple) and isinstance(values[0], Stored):
            stored, detector = values
            yield name, Table(stored, by_size(stored.shape(), img, key), {}, detector)
        elif key in FACILITY and _unnamed(values):
            yield name, _of_facility_array(values, img, key)
        elif hasattr(values, "dims"):
            yield name, _of_array(values)
        else:
            array = np.asarray(values)
            if array.ndim not in BY_NDIM or array.dtype.kind not in ("fiub" if name == "bad" else "fiu"):
                raise ValueError(f"{key} is {array.dtype} {array.shape}; expected numbers, some of {AXES}")
            yield name, Table(array, BY_NDIM[array.ndim])


def _refuse_gain(img: InputInfo) -> None:
    kind = detectors.of(img.sources)
    if kind is None or kind.kind not in MULTIPLIES:
        raise ValueError(
            f"whether RelativeGain of {img.name} multiplies or divides is not known here: leave it out, and give "
            "relative_gain=, which multiplies, or gain=, ADU per keV"
        )


def _unnamed(values: Any) -> bool:
    return any(str(d).startswith("dim_") for d in getattr(values, "dims", ()))


def _of_facility_array(array: Any, img: InputInfo, key: str) -> Table:
    """Return the table of an array of `extra.calibration`, whose axes but that of modules have no names."""
    axis = array.dims.index("module")
    rest = tuple(n for i, n in enumerate(array.shape) if i != axis)
    dims = list(by_size(rest, img, key))
    dims.insert(axis, "module")
    return Table(array.variable, tuple(dims), {"module": np.asarray(array.coords["module"])})


def by_size(shape: tuple[int, ...], img: InputInfo, what: str) -> tuple[str, ...]:
    """Return which axis is which: pixels by their number, then memory cells, then gain stages.

    Raises
    ------
    ValueError
        If two axes cannot be told apart.
    """
    pixels = whole_shape(img)
    if pixels[0] == pixels[1] or len(shape) not in (2, 3, 4) or any(shape.count(n) != 1 for n in pixels):
        raise ValueError(
            f"{what} is {shape} for each module, and which axis is which of {pixels} pixels cannot be told: give a "
            f"DataArray whose axes are named {list(AXES)}"
        )
    names = iter(("cell", "stage"))
    return tuple({pixels[0]: "ss", pixels[1]: "fs"}.get(n) or next(names) for n in shape)


def _of_hdf5(path: Path) -> Iterator[tuple[str, Table]]:
    """Yield the datasets of a file that have the names of constants; "cell" and "module" are their numbers."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    labels: dict[str, NDArray] = {}
    with _file(path) as file:

        def look(name: str, item: Any) -> None:
            last = name.rpartition("/")[2]
            if last in NAMES and getattr(item, "ndim", 0) in BY_NDIM:
                if last in found:
                    raise ValueError(f"constants {path}: {last} is there twice: {found[last][0]} and {name}")
                found[last] = name, item.shape
            elif last in ("stage", "cell", "module") and getattr(item, "ndim", 0) == 1:
                labels[last] = np.asarray(item[()])

        file.visititems(look)
    if not found:
        raise ValueError(f"constants {path}: no dataset is named {listed(NAMES)}")
    for name, (place, shape) in found.items():
        dims = BY_NDIM[len(shape)]
        own = {
            axis: numbers
            for axis, numbers in labels.items()
            if axis in dims and not _of_steps(name, axis) and not _one_for_all(axis, shape, len(numbers))
        }
        yield name, Table(Stored({None: (str(path), place)}), dims, own)


def _file(path: Path) -> Any:
    try:
        return open_hdf5(path)
    except OSError as e:
        raise ValueError(f"constants {path}: {e}; expected {EXPECTED}") from e


def _one_for_all(axis: str, shape: tuple[int, ...], numbers: int) -> bool:
    """Return whether memory cells share a constant."""
    return axis == "cell" and shape[-4] == 1 and numbers > 1


def _of_steps(name: str, axis: str) -> bool:
    """Return whether an axis of stages is of the steps between them."""
    return name == "thresholds" and axis == "stage"
