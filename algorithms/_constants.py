"""Constants of detectors: tables by name, gain stage, memory cell and module, and what they lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, Lack, PlanError
from dxflow.disk.openhdf5 import open_hdf5
from dxflow.errors.near import listed
from dxflow.run import detectors

from ._raw import STAGES

AXES = ("stage", "cell", "module", "ss", "fs")
NAMES = ("offset", "noise", "bad", "thresholds", "gain_level", "gain_noise", "gain", "relative_gain")
"""Constants by the names that they have here."""
EXPECTED = (
    "results of dark (Pedestal), their paths, or a folder of them; a mapping of names to arrays; an HDF5 file; "
    "constants of extra.calibration"
)
APART = 4.0
"""Standard deviations by which the levels of two gain stages must be apart."""
TOP = 65535
"""No level of a gain plane is above it."""
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

    def read(self, number: int | None, where: tuple[Any, ...] = ()) -> NDArray:
        """Return one part, or what is `where` in it."""
        path, name = self.parts[number]
        with open_hdf5(path) as file:
            return np.asarray(file[name][where])


@dataclass(frozen=True, eq=False)
class Table:
    """One constant: values and what their axes are.

    Parameters
    ----------
    values : ndarray, DataArray or Stored
    dims : tuple of str
        Names of its axes; of a `Stored` with a part for each module without "module".
    labels : mapping
        Axis -> numbers, where they are known.
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
        where: tuple[Any, ...] = ()
        if "module" in self.dims:
            where = (*(slice(None),) * self.dims.index("module"), int(np.flatnonzero(modules == number)[0]))
        one = self.values.read(None, where) if isinstance(self.values, Stored) else self.values[where]
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
        self.tables: dict[str, list[Table]] = {name: list(tables[name]) for name in NAMES if name in tables}
        if "offset" not in self.tables:
            raise ValueError(f"the constants have no offset, only {listed(self.tables)}; expected {EXPECTED}")

    def of(self, stages: Sequence[int]) -> Constants:
        """Return those of some gain stages: what others have or lack does not matter."""
        kept = {
            name: [t for t in some if np.isin(t.numbers("stage", stages), stages).any()]
            for name, some in self.tables.items()
        }
        return Constants({name: some for name, some in kept.items() if some}) if kept["offset"] else self

    def check(self, img: InputInfo, stages: Sequence[int], name: str) -> None:
        """Refuse constants of another detector, other pixels, none of the modules or none of the cells."""
        for what, some in self.tables.items():
            for table in some:
                self._check(table, img, f"{name}: {what}")
        self._check_twice(name)
        if not any(self.has(number, img) for number in img.modules):
            raise PlanError(f"{name}: the constants have none of the modules {list(img.modules)}")
        if len(img.cells) and not np.isin(img.cells, self.cells(img)).any():
            known = {
                f"{n} {c.min()}-{c.max()}" for n, some in self.tables.items() for t in some for c in _known(t)
            }
            raise PlanError(
                f"{name}: the constants have no memory cell of {img.name}, {img.cells.min()}-{img.cells.max()}: "
                f"{', '.join(sorted(known))}"
            )
        if missing := [s for s in stages if s not in self.stages()]:
            raise PlanError(
                f"{name}: pixels of {img.name} can be in the gain stages {list(stages)} (0 is high gain), and the "
                f"constants have no offset of {missing}: give dark runs of all of them, or stage='high' if no "
                "pixel has switched"
            )

    def _check_twice(self, name: str) -> None:
        """Refuse two of what there is one of: which of them counts nobody has said."""
        for what in [name for name in self.tables if name != "bad"]:
            stages = self.stages(what)
            if twice := {s for s in stages if stages.count(s) > 1}:
                raise PlanError(
                    f"{name}: {what} of {STAGES[min(twice)]} gain is there twice: give one for each gain stage"
                )

    def _check(self, table: Table, img: InputInfo, what: str) -> None:
        _check_numbers(table, what)
        if table.detector and table.detector != img.name:
            raise PlanError(
                f"{what} is of {table.detector}, the frames are of {img.name}; give arrays if it is meant"
            )
        sizes, shape = table.sizes, whole_shape(img)
        if (sizes["ss"], sizes["fs"]) not in (shape, tuple(img.shape[1:])):
            raise PlanError(
                f"{what} has frames of {(sizes['ss'], sizes['fs'])} pixels; expected {shape}, as {img.name} has"
            )
        if not len(img.cells) and sizes.get("cell", 1) > 1:
            raise PlanError(f"{what} has {sizes['cell']} memory cells, {img.name} has none: another detector")
        self._check_region(table, img, what)
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

    @staticmethod
    def _check_region(table: Table, img: InputInfo, what: str) -> None:
        """Refuse constants of another region of pixels."""
        for axis, part in zip(("ss", "fs"), img.roi or (slice(0, n) for n in img.shape[1:]), strict=True):
            own = np.asarray(table.labels.get(axis, ()))
            if len(own) == part.stop - part.start and int(own[0]) != part.start:
                raise PlanError(
                    f"{what} begins at pixel {axis} = {int(own[0])}, the frames at {part.start}: read the same roi= of "
                    "both"
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
        """Return whether a module has all constants."""
        return not self._lacking(number, img)

    def _lacking(self, number: int, img: InputInfo) -> list[str]:
        """Return the names of the constants that a module has not."""
        return [
            name
            for name, some in self.tables.items()
            if any("module" in t.dims or _split(t) for t in some)
            and not all(number in self._modules(t, img) for t in some)
        ]

    def stages(self, name: str = "offset") -> list[int]:
        """Return the gain stages of which there is a constant, 0 is high gain."""
        found = [t.numbers("stage", range(t.sizes.get("stage", 1))) for t in self.tables[name]]
        return [int(s) for some in found for s in some]

    def cells(self, img: InputInfo) -> NDArray:
        """Return the memory cells that have all constants; all of the run where there is one constant for all."""
        known = [np.unique(cells) for some in self.tables.values() for t in some for cells in _known(t)]
        return reduce(np.intersect1d, known) if known else img.cells

    def lacks(self, img: InputInfo) -> Iterator[Lack]:
        """Yield the modules, and the memory cells of others, that have no constants."""
        cells = np.setdiff1d(img.cells, self.cells(img)).tolist()
        of_cells = [n for n, some in self.tables.items() if any(_without(t, cells) for t in some)]
        for number in img.modules:
            if names := self._lacking(number, img):
                said = f"this module has no {listed(names)}, its frames become NaN"
                yield Lack("no constants", number, detail=said)
            elif cells:
                said = f"there is no {listed(of_cells)} of the memory cells {listed(map(str, cells))}: NaN"
                yield Lack("no constants", number, tuple(cells), said)

    def shared(self, name: str) -> bool:
        """Return whether memory cells share a constant, or there is none."""
        return all(t.sizes.get("cell", 1) == 1 for t in self.tables.get(name, ()))

    def most(self, modules: int) -> int:
        """Return the bytes that it takes to make tables of a module: three of the largest as float64."""
        each = [
            (t, int(np.prod(list(t.sizes.values()), dtype=np.int64)))
            for some in self.tables.values()
            for t in some
        ]
        return max(24 * size // max(1, t.sizes.get("module", 1)) for t, size in each)

    def load(self, name: str, number: int, img: InputInfo, cells: NDArray) -> dict[int, NDArray]:
        """Return a constant of a module by gain stage, (cell, pixel); one cell where they share it.

        Pixels are those that are read. Bits of several tables are put together; those of no stage are of all.
        """
        out: dict[int, NDArray] = {}
        for table in self.tables.get(name, ()):
            modules = self._modules(table, img)
            if "module" in table.dims and number not in modules:
                continue
            values = _cut(table.of_module(number, modules), img)
            values = _cells(values, table, cells)
            for stage, one in _by_stage(values, table, name):
                flat = np.ascontiguousarray(one).reshape(len(one), -1)
                out[stage] = out.get(stage, np.uint64(0)) | bits(flat) if name == "bad" else flat
        return out


def whole_shape(img: InputInfo) -> tuple[int, ...]:
    """Return the pixels of a module, (ss, fs), those that are not read included, where that is known."""
    kind = detectors.of(img.sources)
    regular = {"AGIPD1M": (512, 128), "AGIPD500K": (512, 128), "LPD1M": (256, 256), "DSSC1M": (128, 512)}
    regular |= {"JUNGFRAU": (512, 1024), "GOTTHARD2": (1, 1280)}
    return regular.get(kind.kind if kind and img.roi else "", tuple(img.shape[1:]))


def _cut(values: NDArray, img: InputInfo) -> NDArray:
    """Return only the pixels that are read."""
    if img.roi is None or values.shape[-2:] == tuple(img.shape[1:]):
        return values
    return values[..., img.roi[0], img.roi[1]]


def _split(table: Table) -> bool:
    """Return whether each module has its own file."""
    return isinstance(table.values, Stored) and None not in table.values.parts


def _by_stage(values: NDArray, table: Table, name: str) -> Iterator[tuple[int, NDArray]]:
    """Yield each gain stage of a table and its values; bits that have none are of all."""
    if name == "bad" and "stage" not in table.dims:
        yield from ((stage, values[0]) for stage in range(len(STAGES)))
    else:
        yield from zip(map(int, table.numbers("stage", range(len(values)))), values, strict=True)


def bits(values: NDArray) -> NDArray:
    """Return bits of bad pixels as integers: all of them where they are no number, or just said to be bad."""
    if values.dtype.kind == "b":
        return np.where(values, ~np.uint64(0), np.uint64(0))
    if values.dtype.kind == "f":
        return np.where(np.isfinite(values), np.nan_to_num(values), -1).astype("i8").view("u8")
    return values.astype("u8")


def _known(table: Table) -> list[NDArray]:
    """Return the memory cells that a table is of, in a list; an empty one where one is for all."""
    if table.sizes.get("cell", 1) == 1 and "cell" not in table.labels:
        return []
    return [table.numbers("cell", range(table.sizes.get("cell", 1)))]


def _without(table: Table, cells: list[int]) -> bool:
    """Return whether a table has not all of some memory cells."""
    return any(not np.isin(cells, known).all() for known in _known(table))


def _check_numbers(table: Table, what: str) -> None:
    """Refuse numbers of cells, modules or stages that are not as many as there are, or there twice."""
    for axis in ("stage", "cell", "module"):
        own = np.atleast_1d(np.asarray(table.labels.get(axis, ())))
        size = table.sizes.get(axis, 1)
        if axis in table.labels and len(own) != size:
            raise PlanError(f"{what} has {size} of the axis {axis} and {len(own)} numbers of them")
        known, count = np.unique(own, return_counts=True)
        if (count > 1).any():
            raise PlanError(f"{what} has {axis} {known[count > 1].tolist()} twice")


def _cells(values: NDArray, table: Table, cells: NDArray) -> NDArray:
    """Return the memory cells that are wanted, or the only one."""
    for known in _known(table):
        if len(known) > 1 or np.isin(cells, known).all():
            return values[:, [int(np.flatnonzero(known == c)[0]) for c in cells]]
    return values


def thresholds(
    given: dict[int, NDArray],
    levels: dict[int, NDArray],
    stages: int,
    noise: dict[int, NDArray] | None = None,
) -> tuple[NDArray, NDArray]:
    """Return the levels above which each next gain stage begins, (stage - 1, cell, pixel), and where they are none.

    Parameters
    ----------
    given, levels, noise : mapping
        Thresholds between a stage and the next; mean levels of each stage, and their noise; (cell, pixel).
    stages : int
    """
    steps = range(stages - 1)
    found = [given[s] if s in given else (levels[s].astype("f8") + levels[s + 1]) / 2 for s in steps]
    limits = np.stack(np.broadcast_arrays(*found)).astype("f8")
    wrong = ~np.isfinite(limits).all(axis=0) | (np.diff(limits, axis=0) <= 0).any(axis=0)
    for s in [] if given else steps:
        spread = np.hypot(noise[s], noise[s + 1]) if noise else 0.0
        wrong = wrong | ~(levels[s + 1] - levels[s] > APART * spread)
    # A whole number is above a limit if it is above the whole number below that.
    return np.where(wrong, TOP, np.clip(np.floor(np.nan_to_num(limits)), 0, TOP)).astype("u2"), wrong
