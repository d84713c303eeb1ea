"""Subtract: frames minus the dark of their memory cell, for the algorithms after it."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import (
    Algorithm,
    Frames,
    InputInfo,
    Lack,
    ModuleBlock,
    Output,
    Partial,
    PlanError,
    Result,
    RunInfo,
)
from dxflow.errors.near import listed
from dxflow.errors.usage import text_of
from dxflow.run import detectors

from .litframes import usable

if TYPE_CHECKING:
    import xarray as xr


class Subtract(Algorithm):
    """Subtract from each frame the dark of its memory cell, or one dark from all.

    Parameters
    ----------
    dark : Result, path, Dataset, DataArray or ndarray
        A result of `Average` (``per="cell"``: a dark for each memory cell, ``per="run"``: one for all) or of
        `Pedestal` (of one run), the path of its Zarr store, the opened dataset, its variable ``mean`` or ``offset``,
        or a plain array: ([cell,] module, ss, fs) or (ss, fs), one module; a plain array has the modules that are read,
        and a cell's number is its position.
    variable : str, optional
        Which variable of a dataset is the dark; by default the one whose name ends in ``mean`` or, without one,
        ``offset``.
    img : Frames, Key or From
        What it is subtracted from, ``Frames("image.data")`` by default.

    Outputs
    -------
    img : float32, (frame, module, ss, fs)
        Unit of the data; not stored, read it with ``From("subtract.img")``. NaN in masked pixels, where the dark is
        NaN, where it has no such module, and in frames of a memory cell that it does not have.

    Notes
    -----
    Both are made float32 before the subtraction: raw integers do not wrap around. Darks are matched by memory cell
    and module number, never by position, if they have these labels.

    Each process keeps the darks of the cells and modules of the run: 4 bytes per cell and pixel, 1.5 GB for AGIPD-1M
    with 352 cells.
    """

    ALG_ID = "subtract"
    HELP = "frames minus the dark of their memory cell, for the algorithms after it"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dark", required=True, help="Zarr store of average, per cell or over the run, or of dark"
        )
        parser.add_argument(
            "--variable", help="its variable that is the dark; default: the one named *mean, or *offset"
        )

    def configure(self, args: argparse.Namespace) -> None:
        dark: Any = args.dark
        # The path of a store rather than its content: it goes to each worker. A result without a name lives as
        # long as its Result, which the options keep.
        if isinstance(dark, Result):
            dark = dark.path
        if hasattr(dark, "data_vars"):
            dark = _variable(dark, args.variable)
            self.options = {**self.options, "dark": dark}
        self.dark = os.fspath(dark) if isinstance(dark, os.PathLike) else dark
        self.variable = args.variable
        if dark is None:
            raise ValueError(f"subtract: dark=None; expected {EXPECTED}")

    def __getstate__(self) -> dict[str, Any]:
        small = isinstance(self.dark, str)
        return {**self.__dict__, "options": {**self.options, "dark": self.dark if small else ""}}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        self._darks(img).check(img)
        return {
            "img": Output(
                per=("img", "pixel"), dtype="f4", store=False, unit=img.unit, doc="frames minus dark"
            )
        }

    def memory(self, info: RunInfo) -> int:
        img = info["img"]
        cells = 1 if self._darks(img).cells is None else max(1, len(img.cells))
        return cells * len(info.here) * int(np.prod(img.shape[1:])) * 4

    def lacks(self, info: RunInfo) -> list[Lack]:
        return list(self._darks(info["img"]).lacks(info["img"]))

    def initialize_modules(self, info: RunInfo) -> None:
        self._images: NDArray = np.zeros(0)
        darks = self._darks(info["img"])
        self._cells, self._images = darks.cells, darks.load(info["img"], info.here)
        self._first = info.here.start

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._subtract_kernels import subtract

        n, darks = len(block), self._images[block.module - self._first]
        frames = usable(block).reshape(n, -1)
        target = np.reshape(out.img, (n, -1), copy=False)
        subtract(frames, darks, self._which(block), target)

    def _which(self, block: ModuleBlock) -> NDArray:
        """Return the position of each frame's dark, -1 where there is none."""
        if self._cells is None:
            return np.zeros(len(block), np.int64)
        return positions(self._cells, block.cell_ids)

    def _darks(self, img: InputInfo) -> Darks:
        """Return the dark, opened but not loaded."""
        try:
            return opened(self.dark, self.variable, img)
        except (OSError, KeyError, ValueError) as e:
            raise PlanError(f"subtract: {text_of(e)}") from e


KINDS = ("mean", "offset")
"""What the dark of a dataset is called, by `Average` and by `Pedestal`: the first of these that it has."""
AT_ONCE = 2**26
"""Bytes of a dark that are read with the modules that are not needed."""
EXPECTED = (
    "a Result of Average or Pedestal, its path, a Dataset, a DataArray or an array ([cell,] module, ss, fs)"
)


@dataclass(frozen=True, eq=False)
class Darks:
    """Darks of the cells of a run.

    Parameters
    ----------
    values : ndarray or DataArray, ([cell,] module, ss, fs)
        Perhaps lazy.
    cells : ndarray or None
        Those that are loaded: in the run and in the dark; None for one dark for all frames.
    rows : ndarray or None
        Position of each of `cells` in `values`.
    modules : ndarray
        Module number of each module in `values`.
    """

    values: Any
    cells: NDArray | None
    rows: NDArray | None
    modules: NDArray

    def check(self, img: InputInfo) -> None:
        """Refuse darks of other detectors and pixels, of none of the modules or none of the cells."""
        self._check_made(img)
        self._check_detector(img)
        if self.values.shape[-2:] != img.shape[1:]:
            raise PlanError(
                f"subtract: the dark has frames of {self.values.shape[-2:]} pixels; "
                f"expected {img.shape[1:]}, as {img.name} has"
            )
        if not np.isin(img.modules, self.modules).any():
            raise PlanError(
                f"subtract: the dark has modules {self.modules.tolist()}; expected some of {list(img.modules)}"
            )
        if self.cells is None:
            return
        if not len(img.cells):
            raise PlanError(
                f"subtract: the dark is per memory cell, but {img.name} {img.key} has no cell ids; "
                'expected one dark for all, Average(per="run")'
            )
        if not len(self.cells):
            raise PlanError(
                f"subtract: the dark has none of the memory cells of {img.name}, {_range(img.cells)}"
            )
        if len(lacking := np.setdiff1d(img.cells, self.cells)):
            _warn(f"none of the memory cells {listed(map(str, lacking))}: frames of these become NaN")

    def lacks(self, img: InputInfo) -> Iterator[Lack]:
        """Yield the modules, and the memory cells of others, that have no dark."""
        cells = () if self.cells is None else np.setdiff1d(img.cells, self.cells).tolist()
        for module in img.modules:
            if module not in self.modules:
                yield Lack("no dark", module, detail="the dark has no such module, its frames become NaN")
            elif cells:
                said = f"the dark has none of the memory cells {listed(map(str, cells))}, their frames become NaN"
                yield Lack("no dark", module, tuple(cells), said)

    def _check_made(self, img: InputInfo) -> None:
        """Refuse what says of itself that it is no dark, or the dark of other data."""
        name, attrs = str(getattr(self.values, "name", "")), getattr(self.values, "attrs", {})
        if name.rpartition(".")[2] in ("count", "variance"):
            raise PlanError(
                f"subtract: {name} is no dark; expected the mean of a dark run, such as average.mean"
            )
        for what, own, theirs in (
            ("data", attrs.get("data", ""), img.data),
            ("unit", attrs.get("units", ""), img.unit),
        ):
            if own and theirs and own != theirs:
                raise PlanError(
                    f"subtract: the dark is of {what} {own!r}, {img.name} {img.key} of {theirs!r}: average a dark run "
                    "of the same data, Average(img=Frames(data=...)); if it is meant, give the dark as an array, "
                    f"dark=result.dataset[...].values, with the modules {list(img.modules)}"
                )

    def _check_detector(self, img: InputInfo) -> None:
        """Refuse the dark of another detector or region; warn of modules that it does not have."""
        name = getattr(self.values, "attrs", {}).get("detector", img.name)
        if name != img.name:
            raise PlanError(
                f"subtract: the dark is of {name}, the frames are of {img.name}; if it is meant, give it as an array, "
                f"dark=result.dataset[...].values, with the modules {list(img.modules)}"
            )
        highest = detectors.highest(img.sources)
        if highest is not None and self.modules.max() > highest:
            raise PlanError(
                f"subtract: the dark has modules up to {self.modules.max()}, {img.name} up to {highest}: it is of "
                "another detector"
            )
        if len(lacking := np.setdiff1d(img.modules, self.modules)) < len(img.modules) and len(lacking):
            _warn(f"no module {listed(map(str, lacking))}: frames of these become NaN")
        self._check_region(img)

    def _check_region(self, img: InputInfo) -> None:
        """Refuse the dark of another region of pixels."""
        for axis, part in zip(("ss", "fs"), img.roi or (slice(0, n) for n in img.shape[1:]), strict=False):
            coords = getattr(self.values, "coords", {})
            pixels: Any = coords[axis].values if axis in coords else ()
            if len(pixels) and int(pixels[0]) != part.start:
                raise PlanError(
                    f"subtract: the dark begins at pixel {axis} = {int(pixels[0])}, the frames at {part.start}; read "
                    "the same roi= of both"
                )

    def load(self, img: InputInfo, here: range) -> NDArray:
        """Return the darks of some of the modules that are read, float32, (module, cell, pixel)."""
        out: NDArray = np.full(
            (len(here), 1 if self.rows is None else len(self.rows), *img.shape[1:]), np.nan, "f4"
        )
        there = {int(number): position for position, number in enumerate(self.modules)}
        # To pick from values that are not read yet, xarray loads dask.array: half a second.
        values = np.asarray(self.values) if self.values.nbytes < AT_ONCE else self.values
        for module, position in enumerate(here):
            if (number := img.modules[position]) in there:
                one = values[..., there[number], :, :]
                out[module] = np.asarray(one if self.rows is None else one[self.rows])
        return out.reshape(*out.shape[:2], -1)


def opened(dark: Any, variable: str | None, img: InputInfo) -> Darks:
    """Return darks from any of the forms that `Subtract` takes."""
    if isinstance(dark, str):
        import xarray as xr

        dark = _variable(xr.open_zarr(dark, chunks=None, decode_times=False), variable)
    values: Any = dark if hasattr(dark, "dims") else np.asarray(dark)
    if len(getattr(values, "dims", ())) == 5 and str(values.dims[0]).endswith("stage"):
        if len(values) > 1:
            raise ValueError(
                f"the dark has {len(values)} gain stages: calibrate takes them all, subtract one"
            )
        values = values[0]
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3, 4):
        raise ValueError(f"the dark is {values.dtype} {values.shape}; expected {EXPECTED}")
    if values.ndim == 2:
        values = values[None] if isinstance(values, np.ndarray) else values.expand_dims("module")
    modules = _module_numbers(values, img)
    if values.ndim == 3:
        return Darks(values, None, None, modules)
    known = _labels(values, 0, range(len(values)))
    rows = positions(known, img.cells)
    return Darks(values, img.cells[rows >= 0], rows[rows >= 0], modules)


def _variable(dataset: xr.Dataset, name: str | None) -> xr.DataArray:
    """Return the variable that is the dark."""
    called = {kind: [str(v) for v in dataset.data_vars if str(v).split(".")[-1] == kind] for kind in KINDS}
    means = next((names for names in called.values() if names), [])
    if name is None and len(means) == 1:
        return with_frames(dataset[means[0]], dataset)
    if name in dataset:
        return with_frames(dataset[name], dataset)
    what = f"no variable {name!r}" if name else f"{len(means)} variables named {' or '.join(KINDS)}"
    raise ValueError(f"the dark has {what}: {sorted(map(str, dataset.data_vars))}; say which with variable=")


def with_frames(dark: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """Return a dark without the modules of which its run had no frame: all of them NaN."""
    maker = str(dark.name).rpartition(".")[0]
    for name, valid in dataset.data_vars.items():
        if str(name).startswith("valid") and maker in str(valid.attrs.get("algorithms", "")).split():
            axis = valid.dims[-1]
            there = np.asarray(valid).any(axis=valid.dims.index("train"))
            if axis in dark.dims and there.any() and not there.all():
                return dark.isel({axis: there})
    return dark


def _labels(values: Any, axis: int, default: Any) -> NDArray:
    """Return the labels of an axis: its coordinate, or the default where it has none."""
    size = values.shape[axis]
    if hasattr(values, "dims"):
        name = values.dims[axis]
        if axis == 0 and not str(name).split(".")[-1].startswith("cell"):
            raise ValueError(f"the dark is per {name}; expected per memory cell, Average(per='cell')")
        if name in values.coords:
            return np.asarray(values.coords[name])
    if len(default) != size and axis != 0:
        raise ValueError(f"the dark has {size} modules; expected {len(default)}, or module numbers")
    return np.asarray(default)


def _module_numbers(values: Any, img: InputInfo) -> NDArray:
    """Return the number of each module of a dark: its labels; those of all modules, or of those that are read."""
    size = values.shape[-3]
    rows = detectors.rows_of(img.modules, img.sources, size) if size == len(img.modules) else []
    return _labels(values, -3, np.asarray(img.modules)[np.argsort(rows)] if rows else img.modules)


def positions(known: NDArray, wanted: Any) -> NDArray:
    """Return where each wanted id is among the known ones, -1 where it is not."""
    order = np.argsort(known)
    found = np.searchsorted(known, wanted, sorter=order)
    at = order[np.minimum(found, len(known) - 1)]
    return np.where(np.asarray(known)[at] == wanted, at, -1)


def _warn(what: str) -> None:
    """Warn of what the dark does not have."""
    warnings.warn(f"subtract: the dark has {what}", stacklevel=2)


def _range(ids: NDArray) -> str:
    return f"{ids.min()} to {ids.max()}"
