"""Images of cubes: one pass over the run in which each frame goes to its bin; others are not read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import find
from ..api import plan
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..driver.execute import execute
from ..errors import PlanError
from ..errors.kinds import shown
from ..planning.variants import flat as in_one_list
from ..run.joined import Labelled
from ..run.selection import FrameSelection
from .moments import Quantity, moments
from .rows import PULSE, RUN, TRAIN

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from ..driver.result import Result
    from ..planning.public import Plan
    from ..run.index import EntryIndex
    from .tables import Table

NAME, CURVE = "image", "azint"
PARTS = ("count", "mean", "sem", "weight", "effective")
IDS = ("pulse_id", "cell_id", "entry_id")
"""Labels of rows that tell the frames of a train apart."""
ROWS = "row"


@dataclass(frozen=True, eq=False)
class Placed:
    """Which bin each row is in, and what its frame counts.

    Parameters
    ----------
    axes : mapping of str to int
        How many bins each axis has.
    bins : ndarray of int, (row,)
        The bin of each row, the last axis fastest; below 0 of those in none.
    ids : mapping of str to ndarray, (row,)
        ``train_id``, and of rows that are no trains ``pulse_id`` or others.
    norm, weights : ndarray of float64, (row,), optional
        What images are divided by, and how much they count; rows where one is not above 0 are not used.
    how : {"ratio", "each"}
        The ratio of sums, or frame by frame.
    """

    axes: Mapping[str, int]
    bins: NDArray
    ids: Mapping[str, NDArray]
    norm: NDArray | None = None
    weights: NDArray | None = None
    how: str = "ratio"

    @classmethod
    def of(
        cls, table: Table, axes: Mapping[str, int], bins: NDArray, at: str = PULSE, **divided: Any
    ) -> Placed:
        """Return it with the ids of the rows, or trains, of a table."""
        if at == TRAIN:
            return cls(axes, bins, {"train_id": table.rows.trains}, **divided)
        given = {name: table.data[name].values for name in ("train_id", *IDS) if name in table.data.coords}
        return cls(axes, bins, given, **divided)

    def used(self) -> Placed:
        """Return the rows whose frames are read."""
        keep = self.bins >= 0
        for values in self._numbers().values():
            keep = keep & (values > 0) & np.isfinite(values)
        return self._rows(keep)

    def of_trains(self) -> Placed | None:
        """Return the same with one row for each train, if all rows of a train are alike; otherwise None."""
        _, first, of = np.unique(self.ids["train_id"], return_index=True, return_inverse=True)
        values = [self.bins, *self._numbers().values()]
        if any((v != v[first][of]).any() for v in values):
            return None
        one = self._rows(first)
        return replace(one, ids={"train_id": one.ids["train_id"]})

    def labels(self, values: NDArray) -> Labels:
        """Return values of rows as labels of their frames."""
        return Labels(self._array(values))

    def by_cell(self) -> Placed:
        """Return the same with memory cells in place of pulses."""
        return replace(self, ids={name: self.ids[name] for name in ("train_id", "cell_id")})

    def frames(self) -> Any:
        """Return which frames are read."""
        if "cell_id" in self.ids and len(self.ids) == 2:
            return FrameSelection(in_cells=(self.ids["train_id"], self.ids["cell_id"]))
        return self._array(np.ones(len(self.bins), bool))

    def rows_of(self, index: EntryIndex) -> NDArray:
        """Return the row of each frame of an index, (frame,), -1 of those without."""
        own = Labelled(np.arange(len(self.bins)), np.ones(len(self.bins), bool), self.ids).to(index)
        rows = np.where(own.there, own.values, -1)
        return rows if len(rows) == len(index) else rows[index.train_positions(slice(0, len(index)))]

    def given(self) -> dict[str, Labels]:
        """Return what the frames are divided by, and their weights."""
        return {name: self.labels(values) for name, values in self._numbers().items()}

    def _numbers(self) -> dict[str, NDArray]:
        both = {"i0": self.norm, "weights": self.weights}
        return {name: values for name, values in both.items() if values is not None}

    def _array(self, values: NDArray) -> DataArray:
        from xarray import DataArray

        return DataArray(values, dims=ROWS, coords={name: (ROWS, ids) for name, ids in self.ids.items()})

    def _rows(self, keep: NDArray) -> Placed:
        norm, weights = (None if v is None else v[keep] for v in (self.norm, self.weights))
        ids = {name: values[keep] for name, values in self.ids.items()}
        return replace(self, bins=self.bins[keep], ids=ids, norm=norm, weights=weights)


@dataclass(frozen=True, eq=False)
class Imaged:
    """What was made of frames: `data` by bin, the result of the pass, and what is to be said."""

    data: Dataset
    names: list[str]
    result: Result
    notes: list[str]


def imaged(
    table: Table,
    placed: Placed,
    images: Any,
    run: Any = None,
    *,
    azint: Any = None,
    geometry: Any = None,
    **options: Any,
) -> Imaged:
    """Return mean, standard error and number of each pixel in each bin, and of I(q) of frames, read in one pass.

    Parameters
    ----------
    table : Table
    placed : Placed
        Its rows.
    images : Frames, Key, True, Algorithm or sequence of Algorithm
        Which images: of the run, or what the last of some algorithms makes of them.
    run : optional
        As of `dxflow.reduce`; that of the table by default. Of tables of several runs a mapping of their numbers.
    azint : mapping, int or True, optional
        Options of `AzimuthalIntegration`, or its number of bins: I(q) of each frame, and of the mean image.
    geometry : optional
        Mean images are assembled as well; True: by the geometry beside the run.
    **options
        Of `dxflow.reduce`, such as ``cluster="here"``.

    Raises
    ------
    PlanError
        If it cannot work: no run, no frame in any bin, bins beyond the memory of this machine.
    """
    used = placed.used()
    if not len(used.bins):
        raise PlanError(f"images=: none of the {len(placed.bins)} rows is selected, in a bin and above 0")
    pass_ = _Pass.of(images, azint, geometry)
    used, made = _planned(_run_of(table, run), pass_, used, options)
    result = execute(made, options.get("cluster"), quiet=bool(options.get("quiet")))
    data, names = pass_.images(result.dataset, made), [NAME]
    if pass_.azint is not None:
        data = data.assign(pass_.curves(result.dataset, made, used))
        names.append(CURVE)
    return Imaged(data, names, result, _notes(made, pass_, used))


@dataclass(frozen=True, eq=False)
class _Pass:
    """The algorithms of the pass, and what is made of mean images afterwards."""

    chain: list[Algorithm]
    img: Any
    azint: Any = None
    assemble: Any = None
    cube: str = "imagecube"

    @classmethod
    def of(cls, images: Any, azint: Any, geometry: Any) -> _Pass:
        """Return what a user asks for."""
        chain, img = _chain(images)
        if azint is not None and not isinstance(azint, Algorithm):
            own = azint if isinstance(azint, Mapping) else {} if azint is True else {"nbins": azint}
            where = {} if geometry in (None, True) else {"geometry": geometry}
            azint = find.algorithm("azint")(img=img, **where, **own)
        if geometry is not None:
            assemble = find.algorithm("assemble")
            geometry = assemble(img=img, **({} if geometry is True else {"geometry": geometry}))
        return cls(chain, img, azint, geometry)

    def algorithms(self, placed: Placed) -> list[Algorithm]:
        """Return all of them."""
        how = {"ratio": "sums", "each": "each"}[placed.how]
        cube = find.algorithm(self.cube)
        made = cube(
            by=placed.labels(placed.bins),
            axes=dict(placed.axes),
            normalise=how,
            img=self.img,
            **placed.given(),
        )
        return [*self.chain, made, *([self.azint] if self.azint is not None else [])]

    def bound(self, made: Plan, name: str) -> Any:
        """Return what the plan knows of one of its algorithms."""
        return next(one for one in made.algorithms if one.name == name)

    def images(self, data: Dataset, made: Plan) -> Dataset:
        """Return images by the names that cubes have, lazily, and as they are put together."""
        found = {f"{self.cube}.{part}": f"{NAME}_{part}" for part in PARTS if f"{self.cube}.{part}" in data}
        out = data[[*found]].rename(found).drop_attrs(deep=False)
        pixels = out[f"{NAME}_mean"].dims[-3:]
        out = out.chunk({dim: -1 if dim in pixels else "auto" for dim in out[f"{NAME}_mean"].dims})
        if self.assemble is None:
            return out
        return out.assign(_assembled(out, pixels, *self.assemble.table(self.bound(made, self.cube).info)))

    def curves(self, data: Dataset, made: Plan, placed: Placed) -> dict[str, Any]:
        """Return averages of I(q) of frames, as those of variables of a table, and I(q) of mean images."""
        name = self.azint.name
        curves, bound = data[f"{name}.intensity"], self.bound(made, name)
        rows = placed.rows_of(made.inputs[bound.stream].index)
        quantity = _quantity(curves, rows, placed)
        size = math.prod(placed.axes.values())
        (found,) = moments([quantity], size)
        dims, shape = (*placed.axes, *curves.dims[1:]), (*placed.axes.values(), *curves.shape[1:])
        parts = {f"{CURVE}_{part}": getattr(found, part) for part in PARTS}
        made_of = {n: (dims, x.reshape(shape), dict(curves.attrs)) for n, x in parts.items() if x is not None}
        mean = data[f"{self.cube}.mean"]
        flat = mean.stack(_bin=[*placed.axes]).transpose("_bin", ...) if len(placed.axes) > 1 else mean
        whole = np.stack(
            [self.azint.of_images(self.bound(made, self.cube).info, one.values[None])[0] for one in flat]
        )
        return made_of | {f"{CURVE}_of_image": (dims, whole.reshape(shape), dict(curves.attrs))}


def _quantity(curves: DataArray, rows: NDArray, placed: Placed) -> Quantity:
    """Return curves of frames as what is averaged."""
    flat = np.where(rows >= 0, placed.bins[rows], -1)
    norm, weights = (None if v is None else v[rows] for v in (placed.norm, placed.weights))

    def read(some: slice) -> NDArray:
        values = curves[some].values.astype("f8").reshape(some.stop - some.start, -1)
        return values / norm[some, None] if norm is not None and placed.how == "each" else values

    return Quantity(flat, math.prod(curves.shape[1:]), read, None if placed.how == "each" else norm, weights)


def _assembled(data: Dataset, pixels: tuple[Any, ...], place: Any, y: NDArray, x: NDArray) -> dict[str, Any]:
    """Return images that are put together, lazily: means of pixels that share one, with their errors."""
    import xarray as xr

    def put(array: DataArray, finish: Any, square: bool = False) -> DataArray:
        def one(images: NDArray) -> NDArray:
            flat = images.reshape(-1, *images.shape[-3:])
            total, n = place(flat.astype("f8") ** 2 if square else flat)
            return finish(total, n).reshape(*images.shape[:-3], len(y), len(x)).astype(images.dtype)

        made = xr.apply_ufunc(
            one,
            array,
            input_core_dims=[pixels],
            output_core_dims=[["y", "x"]],
            dask="parallelized",
            output_dtypes=[array.dtype],
            dask_gufunc_kwargs={"output_sizes": {"y": len(y), "x": len(x)}},
            keep_attrs=True,
        )
        return made.assign_coords(y=("y", y, {"units": "m"}), x=("x", x, {"units": "m"}))

    return {
        "assembled_mean": put(data[f"{NAME}_mean"], lambda t, n: t / np.where(n > 0, n, np.nan)),
        "assembled_sem": put(
            data[f"{NAME}_sem"], lambda t, n: np.sqrt(t) / np.where(n > 0, n, np.nan), square=True
        ),
        "assembled_count": put(data[f"{NAME}_count"], lambda t, n: t),
    }


def _chain(images: Any) -> tuple[list[Algorithm], Any]:
    """Return the algorithms that come before, and what is averaged."""
    if images is True:
        return [], Frames("image.data")
    if isinstance(images, (Frames, Key)):
        return [], images
    chain = in_one_list(images) if isinstance(images, (Algorithm, list, tuple)) else []
    if not chain or not all(isinstance(one, Algorithm) for one in chain):
        raise TypeError(
            f"images={shown(images)}: expected Frames(...), or algorithms of which the last makes images, such as "
            "[Calibrate(...), Photonise(img=From('calibrate.img'))]"
        )
    return [*chain], From(chain[-1].name)


def _run_of(table: Table, run: Any) -> Any:
    """Return the run, or the runs, whose images are read."""
    if RUN in table.data.coords:
        return _runs_of(table, run)
    found = table.data.attrs.get("run", "") if run is None else run
    if run is None and not os.path.exists(str(found)):
        what = f"its run, {found}, is not there" if found else "it does not say of which run it is"
        raise PlanError(f"images=: no images belong to the table: {what}; give run=")
    return found


def _runs_of(table: Table, run: Any) -> Any:
    """Return several runs as one."""
    numbers = np.unique(table.data[RUN].values).tolist()
    if not isinstance(run, Mapping) or any(n not in run for n in numbers):
        raise PlanError(
            f"images=: the table is of several runs: expected run=, a mapping with each of {numbers}, such as "
            f"{{{numbers[0]}: 'r{numbers[0]:04d}'}}"
        )
    from ..line.options import run_of  # noqa: F401

    raise NotImplementedError


def _planned(run: Any, pass_: _Pass, placed: Placed, options: Mapping[str, Any]) -> tuple[Placed, Plan]:
    """Return the plan of the pass; by trains where images have no other ids."""
    try:
        return placed, _plan(run, pass_, placed, options)
    except PlanError as e:
        if (other := _without_ids(run, pass_, placed, options)) is None:
            raise PlanError(f"images=: {e}") from e
        return other, _plan(run, pass_, other, options)


def _plan(run: Any, pass_: _Pass, placed: Placed, options: Mapping[str, Any]) -> Plan:
    return plan(run, pass_.algorithms(placed), frames=placed.frames(), **options)


def _without_ids(run: Any, pass_: _Pass, placed: Placed, options: Mapping[str, Any]) -> Placed | None:
    """Return rows by other ids, where the images have no pulse ids; None where they do."""
    average = find.algorithm("average")(img=pass_.img)
    try:
        found = plan(run, [*pass_.chain, average], **options).algorithms[-1].info["img"]
    except PlanError:
        return None
    if len(found.pulses) or len(placed.ids) == 1:
        return None
    if len(found.cells) and "cell_id" in placed.ids:
        return placed.by_cell()
    if (alike := placed.of_trains()) is None:
        raise PlanError(
            "images=: the images have no pulse ids, and rows of one train are in different bins, or count differently: "
            "bin by values per train"
        )
    return alike


def _notes(made: Plan, pass_: _Pass, placed: Placed) -> list[str]:
    """Say how many rows have no image."""
    index = made.inputs[pass_.bound(made, pass_.cube).stream].index
    if len(placed.ids) == 1 or (gone := len(placed.bins) - len(index)) <= 0:
        return []
    return [f"images: {gone} of {len(placed.bins)} rows in bins have no frame in the run"]
