"""Images of cubes: one pass over the run in which each frame goes to its bin; others are not read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import find
from ..api import plan
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..driver.execute import execute
from ..errors import PlanError
from ..errors.kinds import shown
from ..planning.variants import flat as in_one_list
from ..run.open import opened
from .moments import Quantity, moments
from .options import refuse_unknown
from .rows import RUN
from .seen import clock_of, each_of

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from ..driver.result import Result
    from ..planning.public import Plan
    from .evaluating import Source
    from .placed import Placed

NAME, CURVE = "image", "azint"
PARTS = ("count", "mean", "sem", "weight", "effective")
OF_IMAGE = "of_image"
CURVES = {
    "count": "frames with a value",
    "mean": "I(q) of frames, mean",
    "sem": "I(q) of frames, standard error of the mean",
    "weight": "sum of weights, times what it is divided by",
    "effective": "effective number, (sum w)^2 / sum w^2",
    OF_IMAGE: "I(q) of the mean image",
}
ASSEMBLED = "assembled"
ROWS = ("frames", "labels", "to", "resume", "overwrite")
"""Options of `dxflow.reduce` that are no options of a cube."""
OWN = (
    *("bins", "of", "where", "normalise", "how", "weights", "on", "off"),
    *("images", "run", "azint", "geometry", "pulses"),
)
LARGE = 2**24
"""Bytes of a variable that is in memory as a whole."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Images that are asked for beside a cube of values.

    Parameters
    ----------
    images : Frames, Key, True, Algorithm or sequence of Algorithm
        Which images: of the run, or what the last of some algorithms makes of them.
    run : optional
        As of `dxflow.reduce`; that of the table by default. Of tables of several runs a mapping of their numbers.
    azint : mapping, int, True or AzimuthalIntegration, optional
        Options of it, or its number of bins: I(q) of each frame, and of the mean image.
    geometry : optional
        Mean images are assembled as well; True: by the geometry beside the run.
    pulses : mapping
        Where rows are X-ray pulses: which of them frames see, options of `PulseKey` such as ``offset``; those of the
        configuration of the table by default.
    options : mapping
        Of `dxflow.reduce`, such as ``cluster="here"``.
    """

    images: Any
    run: Any = None
    azint: Any = None
    geometry: Any = None
    pulses: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, images: Any, run: Any, azint: Any, geometry: Any, options: Mapping[str, Any]) -> Asked | None:
        """Return what is asked for, None without images."""
        refuse_unknown("cube", options, (*OWN, *ROWS))
        others = {"run": run, "azint": azint, "geometry": geometry} | dict(options)
        given = [name for name, what in others.items() if what is not None]
        if images is None and given:
            raise TypeError(
                f"{', '.join(f'{name}=' for name in given)}: of images, which are not asked for: images=True"
            )
        rest = dict(options)
        pulses = rest.pop("pulses", None) or {}
        if wrong := [name for name in ROWS if name in rest]:
            raise TypeError(
                f"{wrong[0]}=: frames are those of the table's rows: select rows by where=, save the cube"
            )
        return None if images is None else cls(images, run, azint, geometry, pulses, rest)


@dataclass(frozen=True, eq=False)
class Imaged:
    """What was made of frames: `data` by bin, names of what is averaged, the result of the pass, what is to be said."""

    data: Dataset
    names: list[str]
    result: Result
    notes: list[str]

    @property
    def losses(self) -> list[dict[str, Any]]:
        """What could not be used, as JSON values."""
        found: list[dict[str, Any]] = self.result.manifest["losses"]
        return found


def imaged(table: Source, placed: Placed, asked: Asked) -> Imaged:
    """Return mean, standard error and number of each pixel in each bin, and of I(q) of frames, read in one pass.

    Raises
    ------
    PlanError
        If it cannot work: no run, no frame in any bin, bins beyond the memory of this machine.
    """
    wanted, options = _Pass.of(asked), asked.options
    # Axes of bins may have names that images have as well, or that results cannot have.
    inner = {f"bin_{n}": size for n, size in enumerate(placed.axes.values())}
    used = replace(placed, axes=inner).used()
    if not len(used.bins):
        raise PlanError(f"images=: none of the {len(placed.bins)} rows is selected, in a bin and above 0")
    run = _run_of(table, asked.run)
    found = used.seen(run, wanted.first, clock_of(table.data.attrs, asked.pulses))
    made = _planned(run, wanted, found, options)
    place = wanted.place(made)
    result = execute(made, options.get("cluster"), quiet=bool(options.get("quiet")))
    data, names = wanted.images(result.dataset), [NAME]
    if place is not None:
        data = data.assign(_assembled(data, data[f"{NAME}_mean"].dims[-3:], *place))
        names.append(ASSEMBLED)
    if wanted.azint is not None:
        data = data.assign(wanted.curves(result.dataset, made, found))
        names.append(CURVE)
    return Imaged(_outward(data, placed.axes), names, result, _notes(made, wanted, found, used))


def _outward(data: Dataset, axes: Mapping[str, int]) -> Dataset:
    """Return images with the axes of bins as the cube has them; axes of images that are called so get another name."""
    others = data.rename({dim: f"{NAME}_{dim}" for dim in data.dims if dim in axes})
    return others.rename({f"bin_{n}": name for n, name in enumerate(axes)})


def lazily(data: Dataset) -> Dataset:
    """Return a dataset whose large variables are worked with when they are used, some bins at a time."""
    large = [n for n, v in data.data_vars.items() if v.nbytes > LARGE and not v.variable._in_memory]
    return data.assign({n: _chunked(data[n]) for n in large})


def _chunked(array: DataArray) -> DataArray:
    """Return an array some of whose first values are read at a time."""
    chunks, left = dict.fromkeys(array.dims, -1), array.nbytes
    for dim in array.dims:
        left //= array.sizes[dim]
        chunks[dim] = max(1, LARGE // max(left, 1))
        if left <= LARGE:
            break
    return array.chunk(chunks)


@dataclass(frozen=True, eq=False)
class _Pass:
    """The algorithms of the pass, and what is made of mean images afterwards."""

    chain: list[Algorithm]
    img: Any
    azint: Any = None
    assemble: Any = None
    cube: str = "imagecube"

    @property
    def first(self) -> Frames | Key:
        """What is read of the detector."""
        inputs = [one for a in self.chain for one in a.inputs.values()] + [self.img]
        return next((one for one in inputs if isinstance(one, (Frames, Key))), Frames())

    @classmethod
    def of(cls, asked: Asked) -> _Pass:
        """Return what a user asks for."""
        (chain, img), azint, geometry = _chain(asked.images), asked.azint, asked.geometry
        if azint is not None and not isinstance(azint, Algorithm):
            if not (isinstance(azint, (Mapping, int, np.integer))):
                raise TypeError(
                    f"azint={shown(azint)}: expected a number of bins, or options of AzimuthalIntegration"
                )
            own = azint if isinstance(azint, Mapping) else {} if azint is True else {"nbins": azint}
            where = {} if geometry is None or geometry is True else {"geometry": geometry}
            # Its own options are those of it alone, as where images are assembled by another geometry.
            azint = find.algorithm("azint")(**{"img": img, **where, **own})
        if geometry is not None:
            assemble = find.algorithm("assemble")
            geometry = assemble(img=img, **({} if geometry is True else {"geometry": geometry}))
        return cls(chain, img, azint, geometry)

    def algorithms(self, placed: Placed) -> list[Algorithm]:
        """Return all of them."""
        how = "each" if placed.how == "each" and placed.norm is not None else "sums"
        cube: Any = find.algorithm(self.cube)
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

    def place(self, made: Plan) -> Any:
        """Return what puts images together, and the middles of rows and columns; None if they are not to be.

        Raises
        ------
        PlanError
            If there is no geometry, or it does not fit.
        """
        return None if self.assemble is None else self.assemble.table(self.bound(made, self.cube).info)

    def images(self, data: Dataset) -> Dataset:
        """Return images by the names that cubes have, lazily."""
        found = {f"{self.cube}.{part}": f"{NAME}_{part}" for part in PARTS if f"{self.cube}.{part}" in data}
        return lazily(data[[*found]].rename(found).drop_attrs(deep=False))

    def curves(self, data: Dataset, made: Plan, placed: Placed) -> dict[str, Any]:
        """Return averages of I(q) of frames, as those of variables of a table, and I(q) of mean images."""
        name, info = self.azint.name, self.bound(made, self.cube).info
        curves, mean = data[f"{name}.intensity"], data[f"{self.cube}.mean"]
        rows = placed.rows_of(made.inputs[self.bound(made, name).stream].index)
        shape = tuple(placed.axes.values())
        (found,) = moments([_quantity(curves, rows, placed)], math.prod(shape))
        whole = [self.azint.of_images(info, mean[at].values[None])[0] for at in np.ndindex(shape)]
        parts = {part: x for part in PARTS if (x := getattr(found, part)) is not None}
        unit = mean.attrs.get("units", "")
        return {str(dim): curves[dim] for dim in curves.dims[1:]} | {
            f"{CURVE}_{part}": (
                (*placed.axes, *curves.dims[1:]),
                np.reshape(values, (*shape, *curves.shape[1:])),
                {"long_name": CURVES[part], "units": unit if part in ("mean", "sem", OF_IMAGE) else ""},
            )
            for part, values in (parts | {OF_IMAGE: whole}).items()
        }


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
        f"{ASSEMBLED}_mean": put(data[f"{NAME}_mean"], lambda t, n: t / np.where(n > 0, n, np.nan)),
        f"{ASSEMBLED}_sem": put(
            data[f"{NAME}_sem"], lambda t, n: np.sqrt(t) / np.where(n > 0, n, np.nan), square=True
        ),
        f"{ASSEMBLED}_count": put(data[f"{NAME}_count"], lambda t, n: t),
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


def _run_of(table: Source, run: Any) -> Any:
    """Return the run, or several runs as one, whose images are read."""
    if table.data.attrs.get("rows") == "events":
        raise PlanError("images=: rows are events of LCLS, whose raw data are not read")
    if RUN in table.data.coords:
        return _joined(np.unique(table.data[RUN].values).tolist(), run)
    found = table.data.attrs.get("run", "") if run is None else run
    if run is None and not os.path.exists(str(found)):
        what = f"its run, {found}, is not there" if found else "it does not say of which run it is"
        raise PlanError(f"images=: no images belong to the table: {what}; give run=")
    return found


def _joined(numbers: list[Any], run: Any) -> Any:
    runs = each_of(run, numbers)
    with ExitStack() as stack:
        first, *others = [stack.enter_context(opened(one)).run for one in runs]
        return first.union(*others)


def _planned(run: Any, wanted: _Pass, placed: Placed, options: Mapping[str, Any]) -> Plan:
    """Return the plan of the pass; errors say what to do."""
    try:
        return _plan(run, wanted, placed, options)
    except PlanError as e:
        _refuse_others(run, wanted, placed, options)
        raise PlanError(f"images=: {e}{_smaller(e, placed)}") from e


def _plan(run: Any, wanted: _Pass, placed: Placed, options: Mapping[str, Any]) -> Plan:
    return plan(run, wanted.algorithms(placed), frames=placed.frames(), **options)


def _smaller(error: PlanError, placed: Placed) -> str:
    """Say what else needs less memory."""
    count = math.prod(placed.axes.values())
    return (
        f"; or fewer bins than {count}, modules= or roi= of Frames" if "of this machine" in str(error) else ""
    )


def _refuse_others(run: Any, wanted: _Pass, placed: Placed, options: Mapping[str, Any]) -> None:
    """Refuse a run that has none of the trains of the rows."""
    average = find.algorithm("average")(img=wanted.img)
    try:
        made = plan(run, [*wanted.chain, average], **options)
    except PlanError:
        return
    bound = made.algorithms[-1]
    trains, own = made.inputs[bound.stream].index.train_ids, placed.ids["train_id"]
    if len(own) and not np.isin(own, trains).any():
        raise PlanError(
            f"images=: {bound.info.path} is not the run of the table: its trains are from {trains.min()} to "
            f"{trains.max()}, those of the table's rows from {own.min()} to {own.max()}"
        )


def _notes(made: Plan, wanted: _Pass, found: Placed, used: Placed) -> list[str]:
    """Say how many rows have no image."""
    index = made.inputs[wanted.bound(made, wanted.cube).stream].index
    gone = found.unseen + max(0, len(found.bins) - len(index)) * (len(found.ids) > 1)
    return [f"images: {gone} of {len(used.bins)} rows in bins have no frame in the run"] if gone else []
