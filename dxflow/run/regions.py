"""Regions: modules and pixels on which an earlier result says that something is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import flat
from ..errors.near import listed

COLUMNS = ("module", "ss0", "ss1", "fs0", "fs1")
"""Of a table of regions; they are half-open."""
TABLE = f"a table with the columns {', '.join(COLUMNS)}, or booleans (module, ss, fs)"


@dataclass(frozen=True, repr=False)
class Regions:
    """Rectangles of pixels.

    Parameters
    ----------
    boxes : tuple of (int, int, int, int, int)
        Module, first slow-scan pixel and the one after the last, fast-scan likewise.
    detector : str
        Whose they are; "" if nobody says.
    shape : tuple of int
        Pixels of a module, () if nobody says.
    counted : bool
        Modules are those of the detector, one after the other from 0 on, rather than their numbers.
    """

    boxes: tuple[tuple[int, ...], ...]
    detector: str = ""
    shape: tuple[int, ...] = ()
    counted: bool = False

    @classmethod
    def of(cls, what: Any) -> Regions:
        """Return the regions of a result, of its table of them, or of a mask of pixels.

        Raises
        ------
        TypeError, ValueError
            If it is none of these, or holds no region.
        """
        data = getattr(what, "dataset", what)
        if not hasattr(data, "data_vars"):
            return cls._of_array(data)
        own = [cls._of_array(data[name]) for key in ("roi", "mask") if (name := _named(data, key))]
        if not own:
            raise ValueError(f"roi=: this result has no output 'roi' or 'mask'; it has {_outputs(data)}")
        # Whose they are is said of the pixels.
        whose = own[-1].detector or own[0].detector
        return replace(own[0], detector=whose, shape=own[-1].shape)

    @classmethod
    def _of_array(cls, array: Any) -> Regions:
        """Return the regions of a table or of a mask."""
        values = flat(array, "roi=", f"two slices, a result, {TABLE}")
        masked = values.dtype == bool and values.ndim == 3
        rows = _around(values, _numbers(array, len(values))) if masked else _rows(array, values)
        boxes = tuple(tuple(int(n) for n in row) for row in rows if _holds(row))
        if not boxes:
            raise ValueError(
                "roi=: the result has no region: nothing was found. Read whole modules, roi=None"
            )
        shape, counted = values.shape[1:] if masked else (), masked and _numbered(array) is None
        return cls(boxes, detector_of(array), shape, counted)

    def __repr__(self) -> str:
        digest = hashlib.sha256(repr((self.boxes, self.detector, self.shape)).encode()).hexdigest()[:8]
        return f"<{len(self.boxes)} regions {self.detector}{' ' * bool(self.detector)}{digest}>"

    def around(self, modules: Iterable[int], name: str, first: int = 0) -> tuple[slice, slice]:
        """Return the one region that holds all of those of some modules of a detector, whose first has this number.

        Raises
        ------
        ValueError
            If these modules have none.
        """
        wanted, start = set(modules), first if self.counted else 0
        mine = np.array([box[1:] for box in self.boxes if box[0] + start in wanted])
        if not len(mine):
            have = sorted({box[0] + start for box in self.boxes})
            raise ValueError(
                f"roi=: no region is on modules {sorted(wanted)} of {name}; there are some on modules {have}: read "
                "one of these, with modules="
            )
        low, high = mine.min(axis=0).tolist(), mine.max(axis=0).tolist()
        return slice(low[0], high[1]), slice(low[2], high[3])

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse modules of other pixels.

        Raises
        ------
        ValueError
        """
        needed = self.shape or tuple(max(box[axis] for box in self.boxes) for axis in (2, 4))
        if needed != shape if self.shape else any(n > m for n, m in zip(needed, shape, strict=True)):
            words = "of modules of" if self.shape else "up to"
            raise ValueError(
                f"roi=: these regions are {words} {needed} pixels, {name} has modules of {shape}: give a result of "
                "the same detector, made of whole modules"
            )


@dataclass(frozen=True, eq=False)
class Inside:
    """Pixels that lie in a region.

    Parameters
    ----------
    detector : str
        Whose they are; "" if nobody says.
    pixels : mapping of int to ndarray of bool, (ss, fs)
        By module, where there is a mask.
    regions : Regions, optional
        Where there is only a table: modules that it lacks have none.
    counted : bool
        As of `Regions`.
    """

    detector: str
    pixels: Mapping[int, NDArray]
    regions: Regions | None = None
    counted: bool = False

    @classmethod
    def of(cls, what: Any) -> Inside:
        """Return the pixels in the mask of a result, or in a mask or table of regions.

        Raises
        ------
        TypeError, ValueError
            If it has none.
        """
        data = getattr(what, "dataset", what)
        if hasattr(data, "data_vars") and (name := _named(data, "mask")):
            data = data[name]
        values = np.asarray(data) if not hasattr(data, "data_vars") else np.zeros(0)
        if values.dtype != bool or values.ndim != 3:
            regions = Regions.of(data)
            return cls(regions.detector, {}, regions)
        numbers = _numbers(data, len(values)).tolist()
        pixels = dict(zip(numbers, values, strict=True))
        return cls(detector_of(data), pixels, counted=_numbered(data) is None)

    def within(self, module: int, shape: tuple[int, ...], name: str, first: int = 0) -> NDArray:
        """Return which pixels of a module are inside, (ss, fs) bool; `first` is the number of the first module.

        Raises
        ------
        ValueError
            If it is not known of this module, or that has other pixels.
        """
        if self.regions is not None:
            self.regions.check(name, shape)
            out = np.zeros(shape, bool)
            for _, ss0, ss1, fs0, fs1 in (box for box in self.regions.boxes if box[0] == module):
                out[ss0:ss1, fs0:fs1] = True
            return out
        start = first if self.counted else 0
        if module - start not in self.pixels:
            have = [m + start for m in sorted(self.pixels)]
            raise ValueError(f"it has modules {have}, and nothing of module {module} of {name}")
        found = self.pixels[module - start]
        if found.shape != shape:
            raise ValueError(f"its modules have {found.shape} pixels, those of {name} {shape}")
        return found


def modules_of(what: Any) -> Any:
    """Return the module numbers of a result or an array of it; anything else as it is.

    Raises
    ------
    TypeError, ValueError
        If it has none.
    """
    data = getattr(what, "dataset", what)
    if hasattr(data, "data_vars"):
        if not (name := _named(data, "modules")):
            raise ValueError(f"modules=: this result has no output 'modules'; it has {_outputs(data)}")
        data = data[name]
    if not hasattr(data, "coords"):
        return data
    values = np.atleast_1d(np.asarray(data))
    if values.dtype != bool:
        return values
    if not values.any():
        raise ValueError(
            "modules=: the result has no module: nothing was found. expected different module numbers, or None for all"
        )
    return _numbers(data, None)[values]


def detector_of(what: Any) -> str:
    """Return whose modules and pixels a result or array says it is of, "" if it does not say."""
    data = getattr(what, "dataset", what)
    if hasattr(data, "data_vars"):
        name = _named(data, "mask") or _named(data, "modules")
        data = data[name] if name else data
    return str(getattr(data, "attrs", {}).get("detector", ""))


def _named(data: Any, key: str) -> str | None:
    """Return the variable of an output of this name; None if there is none."""
    have = [str(name) for name in data.data_vars if str(name).rpartition(".")[2] == key]
    if len(have) > 1:
        raise ValueError(f"this result has {listed(have)}: give one of them, as result.dataset[{have[0]!r}]")
    return have[0] if have else None


def _outputs(data: Any) -> str:
    return listed(map(str, data.data_vars))


def _numbers(array: Any, count: int | None) -> NDArray:
    """Return the numbers of the modules along the first axis; they are counted where nobody says."""
    if count is not None:
        numbers = _numbered(array)
        return np.arange(count) if numbers is None else numbers
    if array.ndim != 1 or (numbers := _numbered(array)) is None:
        raise TypeError(
            f"Frames: modules= are booleans along {array.dims} with coordinates {listed(map(str, array.coords))}: "
            "expected one for each module, and the coordinate 'module', its number"
        )
    return numbers


def _numbered(array: Any) -> NDArray | None:
    """Return the numbers of the modules along the first axis, if the array says them."""
    for name, numbers in getattr(array, "coords", {}).items():
        if numbers.dims == array.dims[:1] and str(name).split("_")[0] == "module":
            return np.asarray(numbers)
    return None


def _rows(table: Any, values: NDArray) -> NDArray:
    """Return the rows of a table as numbers, in the order of `COLUMNS`."""
    names = values.dtype.names or getattr(table, "columns", None)
    if names is not None and set(COLUMNS) <= set(names):
        return np.stack(
            [np.asarray(table[c] if values.dtype.names is None else values[c]) for c in COLUMNS], -1
        )
    # A further column numbers the regions.
    if values.ndim != 2 or values.shape[1] - len(COLUMNS) not in (0, 1) or values.dtype.kind not in "iuf":
        raise TypeError(
            f"roi=: {values.dtype} of shape {values.shape}: expected two slices, a result, {TABLE}"
        )
    return values[:, : len(COLUMNS)]


def _holds(row: NDArray) -> bool:
    """Return whether a row of a table is a region: what fills it up is none."""
    return bool(np.isfinite(row).all() and row.min() >= 0 and row[1] < row[2] and row[3] < row[4])


def _around(mask: NDArray, numbers: NDArray) -> NDArray:
    """Return the box around the pixels of each module of a mask, (module, 5)."""
    out = np.zeros((len(mask), len(COLUMNS)), np.int64)
    for row, number, pixels in zip(out, numbers, mask, strict=True):
        lines = [np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0)]
        if len(lines[0]):
            row[:] = number, lines[0][0], lines[0][-1] + 1, lines[1][0], lines[1][-1] + 1
    return out
