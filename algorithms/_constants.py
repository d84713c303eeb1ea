"""Constants of detectors, from wherever they come: results of `dark`, arrays, HDF5 files, the facility's database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, Lack, PlanError, Result
from dxflow.disk.openhdf5 import open_hdf5
from dxflow.errors.near import listed
from dxflow.run import detectors

from .subtract import with_frames

AXES = ("stage", "cell", "module", "ss", "fs")
NAMES = ("offset", "noise", "bad", "thresholds", "gain_level", "gain", "relative_gain")
"""Constants by the names that they have here."""
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
EXPECTED = (
    "results of dark (Pedestal), their paths, or a folder of them; a mapping of names to arrays; an HDF5 file; "
    "constants of extra.calibration"
)
BY_NDIM: dict[int, tuple[str, ...]] = {n: AXES[5 - n :] for n in (2, 3, 4, 5)}
"""Axes of plain arrays."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A dataset of an HDF5 file, or one of each module, that is read when it is needed."""

    parts: Mapping[int | None, tuple[str, str]]
    """Module number -> file and dataset; None: all modules are in one."""

    def shape(self) -> tuple[int, ...]:
        """Return the shape of the first part."""
        path, name = next(iter(self.parts.values()))
        with open_hdf5(path) as file:
            return tuple(file[name].shape)

    def read(self, number: int | None) -> NDArray:
        """Return one part."""
        path, name = self.parts[number]
        with open_hdf5(path) as file:
            return np.asarray(file[name][()])


@dataclass(frozen=True, eq=False)
class Table:
    """One constant: values and what their axes are.

    Parameters
    ----------
    values : ndarray, DataArray or Stored
    dims : tuple of str
        Names of its axes; of a `Stored` with a part for each module without "module".
    labels : mapping
        "stage", "cell" and "module" -> numbers, where they are known.
    detector : str
        Of which it is, if that is known.
    """

    values: Any
    dims: tuple[str, ...]
    labels: Mapping[str, NDArray] = field(default_factory=dict)
    detector: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis."""
        shape = self.values.shape() if isinstance(self.values, Stored) else self.values.shape
        return dict(zip(self.dims, shape, strict=True))

    def numbers(self, axis: str, usual: Sequence[int] | NDArray) -> NDArray:
        """Return the labels of an axis: its own, or those that it has as a rule."""
        return np.asarray(self.labels.get(axis, usual))

    def of_module(self, number: int, modules: NDArray) -> NDArray:
        """Return the values of a module, (stage, cell, ss, fs)."""
        if isinstance(self.values, Stored) and None not in self.values.parts:
            return self._ordered(self.values.read(number), self.dims)
        whole = self.values.read(None) if isinstance(self.values, Stored) else self.values
        if "module" not in self.dims:
            return self._ordered(np.asarray(whole), self.dims)
        at = int(np.flatnonzero(modules == number)[0])
        axis = self.dims.index("module")
        one = whole[(slice(None),) * axis + (at,)]
        return self._ordered(np.asarray(one), tuple(d for d in self.dims if d != "module"))

    @staticmethod
    def _ordered(values: NDArray, dims: tuple[str, ...]) -> NDArray:
        wanted = ("stage", "cell", "ss", "fs")
        values = np.transpose(values, [dims.index(d) for d in wanted if d in dims])
        return values.reshape(
            [values.shape[[d for d in wanted if d in dims].index(d)] if d in dims else 1 for d in wanted]
        )


class Constants:
    """Constants of a detector, by name; several of the same name are stages of gain, or bits of bad pixels.

    Parameters
    ----------
    tables : mapping of str to list of Table
    """

    def __init__(self, tables: Mapping[str, Sequence[Table]]) -> None:
        self.tables = {name: list(tables[name]) for name in NAMES if name in tables}
        if "offset" not in self.tables:
            raise ValueError(f"the constants have no offset, only {listed(self.tables)}; expected {EXPECTED}")

    def check(self, img: InputInfo, stages: Sequence[int], name: str) -> None:
        """Refuse constants of another detector, other pixels, none of the modules or none of the cells."""
        for what, some in self.tables.items():
            for table in some:
                self._check(table, img, f"{name}: {what}")
        if not any(self.has(number, img) for number in img.modules):
            raise PlanError(f"{name}: the constants have none of the modules {list(img.modules)}")
        if len(img.cells) and not np.isin(img.cells, self.cells(img)).any():
            have = self.cells(img)
            raise PlanError(
                f"{name}: the constants have memory cells {have.min()}-{have.max()}, none of those of {img.name}, "
                f"{img.cells.min()}-{img.cells.max()}"
            )
        if missing := [s for s in stages if s not in self.stages()]:
            raise PlanError(
                f"{name}: pixels of {img.name} can be in the gain stages {list(stages)} (0 is high gain), and the "
                f"constants have no offset of {missing}: give dark runs of all of them, or stage='high' if no "
                "pixel has switched"
            )

    def _check(self, table: Table, img: InputInfo, what: str) -> None:
        if table.detector and table.detector != img.name:
            raise PlanError(
                f"{what} is of {table.detector}, the frames are of {img.name}; give arrays if it is meant"
            )
        sizes, shape = table.sizes, whole_shape(img)
        if (sizes["ss"], sizes["fs"]) not in (shape, tuple(img.shape[1:])):
            raise PlanError(
                f"{what} has frames of {(sizes['ss'], sizes['fs'])} pixels; expected {shape}, as {img.name} has"
            )
        highest = detectors.highest(img.sources)
        numbers = self._modules(table, img)
        if "module" in table.dims and len(numbers) != sizes["module"]:
            raise PlanError(
                f"{what} has {sizes['module']} modules; expected {len(numbers)}, or module numbers"
            )
        if highest is not None and numbers.max(initial=0) > highest:
            raise PlanError(
                f"{what} has modules up to {numbers.max()}, {img.name} up to {highest}: another detector"
            )

    def _modules(self, table: Table, img: InputInfo) -> NDArray:
        """Return the module numbers of a table: all of them that are read, where it has none."""
        if isinstance(table.values, Stored) and None not in table.values.parts:
            return np.array([int(n or 0) for n in table.values.parts])
        kind = detectors.of(img.sources)
        size = table.sizes.get("module", 0)
        every = kind is not None and size == kind.modules
        return table.numbers(
            "module", np.arange(size) + kind.first if every and kind else np.asarray(img.modules)
        )

    def has(self, number: int, img: InputInfo) -> bool:
        """Return whether there are offsets of a module."""
        return all(number in self._modules(t, img) for t in self.tables["offset"])

    def stages(self) -> list[int]:
        """Return the gain stages of which there are offsets, 0 is high gain."""
        found = [t.numbers("stage", range(t.sizes.get("stage", 1))).tolist() for t in self.tables["offset"]]
        return [int(s) for some in found for s in some]

    def cells(self, img: InputInfo) -> NDArray:
        """Return the memory cells that have constants; all of the run where there is one constant for all."""
        known = [
            t.numbers("cell", range(t.sizes["cell"]))
            for t in self.tables["offset"]
            if t.sizes.get("cell", 1) > 1 or "cell" in t.labels
        ]
        return known[0] if known else img.cells

    def lacks(self, img: InputInfo) -> Iterator[Lack]:
        """Yield the modules, and the memory cells of others, that have no constants."""
        cells = np.setdiff1d(img.cells, self.cells(img)).tolist()
        for number in img.modules:
            if not self.has(number, img):
                yield Lack(
                    "no constants",
                    number,
                    detail="there are no constants of this module, its frames become NaN",
                )
            elif cells:
                said = f"there are no constants of the memory cells {listed(map(str, cells))}, their frames become NaN"
                yield Lack("no constants", number, tuple(cells), said)

    def shared(self, name: str) -> bool:
        """Return whether memory cells share a constant, or there is none."""
        return all(t.sizes.get("cell", 1) == 1 for t in self.tables.get(name, ()))

    def most(self, modules: int) -> int:
        """Return the bytes of the largest table of a module, which is read as a whole."""
        each = [
            (t, int(np.prod(list(t.sizes.values()), dtype=np.int64)))
            for some in self.tables.values()
            for t in some
        ]
        return max(8 * size // max(1, t.sizes.get("module", 1)) for t, size in each)

    def load(self, name: str, number: int, img: InputInfo, cells: NDArray) -> dict[int, NDArray]:
        """Return a constant of a module by gain stage, (cell, pixel); one cell where they share it.

        Pixels are those that are read. Of several tables of a stage, bits are put together; of others the last counts.
        """
        out: dict[int, NDArray] = {}
        for table in self.tables.get(name, ()):
            modules = self._modules(table, img)
            if "module" in table.dims and number not in modules:
                continue
            values = _cut(table.of_module(number, modules), img)
            values = _cells(values, table, cells)
            for stage, one in zip(table.numbers("stage", range(len(values))), values, strict=True):
                flat = np.ascontiguousarray(one).reshape(len(one), -1)
                out[int(stage)] = out[int(stage)] | flat if name == "bad" and int(stage) in out else flat
        return out


def whole_shape(img: InputInfo) -> tuple[int, ...]:
    """Return the pixels of a module, (ss, fs), those that are not read included, where that is known."""
    kind = detectors.of(img.sources)
    regular = {"AGIPD1M": (512, 128), "AGIPD500K": (512, 128), "LPD1M": (256, 256), "DSSC1M": (128, 512)}
    regular["JUNGFRAU"] = (512, 1024)
    return regular.get(kind.kind if kind and img.roi else "", tuple(img.shape[1:]))


def _cut(values: NDArray, img: InputInfo) -> NDArray:
    """Return only the pixels that are read."""
    if img.roi is None or values.shape[-2:] == tuple(img.shape[1:]):
        return values
    return values[..., img.roi[0], img.roi[1]]


def _cells(values: NDArray, table: Table, cells: NDArray) -> NDArray:
    """Return the memory cells that are wanted, or the only one."""
    if values.shape[1] == 1 and "cell" not in table.labels:
        return values
    known = table.numbers("cell", range(values.shape[1]))
    if len(known) == 1 and not np.isin(cells, known).all():
        return values
    return values[:, [int(np.flatnonzero(known == c)[0]) for c in cells]]


# Where they come from ------------------------------------------------------------------------------


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
    parts = {n: (os.fspath(group[n].file_path()), f"{group[n].dataset}/data") for n in numbers}
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
    """Return the table that an array with named axes is."""
    dims = tuple(_axis(str(d)) for d in array.dims)
    labels = {
        a: np.asarray(array.coords[d]) for a, d in zip(dims, array.dims, strict=True) if d in array.coords
    }
    labels = {a: numbers for a, numbers in labels.items() if a in ("stage", "cell", "module")}
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
            if array.ndim not in BY_NDIM or array.dtype.kind not in "fiu":
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
    found: dict[str, tuple[str, int]] = {}
    labels: dict[str, NDArray] = {}
    with open_hdf5(path) as file:

        def look(name: str, item: Any) -> None:
            last = name.rpartition("/")[2]
            if last in NAMES and getattr(item, "ndim", 0) in BY_NDIM:
                found[last] = name, item.ndim
            elif last in ("stage", "cell", "module") and getattr(item, "ndim", 0) == 1:
                labels[last] = np.asarray(item[()])

        file.visititems(look)
    if not found:
        raise ValueError(f"constants {path}: no dataset is named {listed(NAMES)}")
    for name, (place, ndim) in found.items():
        dims = BY_NDIM[ndim]
        own = {
            axis: numbers for axis, numbers in labels.items() if axis in dims and not _of_steps(name, axis)
        }
        yield name, Table(Stored({None: (str(path), place)}), dims, own)


def _of_steps(name: str, axis: str) -> bool:
    """Return whether an axis of stages is of the steps between them."""
    return name == "thresholds" and axis == "stage"
