"""Images of cubes: one pass over the run in which each frame goes to its bin; others are not read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import find
from ..api import reduce
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..errors import PlanError
from ..errors.kinds import shown

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from ..driver.result import Result
    from .tables import Table

NAME = "image"
PARTS = ("mean", "sem", "count")


@dataclass(frozen=True, eq=False)
class Placed:
    """Which bin each row of a table is in, and what its frame counts.

    Parameters
    ----------
    axes : mapping of str to int
        How many bins each axis has.
    bins : ndarray of int, (row,)
        The bin of each row, the last axis fastest; below 0 of those in none.
    i0, weights : ndarray of float64, (row,), optional
        What images are divided by, and how much they count; NaN of rows that are not used.
    normalise : {"sums", "each"}
    """

    axes: Mapping[str, int]
    bins: NDArray
    i0: NDArray | None = None
    weights: NDArray | None = None
    normalise: str = "sums"

    @property
    def used(self) -> NDArray[np.bool_]:
        """Return which rows have a frame that is to be read, (row,)."""
        keep = self.bins >= 0
        for values in (self.i0, self.weights):
            if values is not None:
                keep = keep & np.isfinite(values)
        return keep


def images_of(table: Table, placed: Placed, images: Any, run: Any = None, **options: Any) -> Dataset:
    """Return mean, standard error and number of each pixel in each bin, read in one pass.

    Parameters
    ----------
    table : Table
        Whose rows the bins are of.
    placed : Placed
    images : Frames, Key, True, Algorithm or sequence of Algorithm
        Which images: of the run, or what the last of some algorithms makes of them.
    run : optional
        As of `dxflow.reduce`; that of the table by default.
    **options
        Of `dxflow.reduce`, such as ``cluster="here"``.

    Raises
    ------
    PlanError
        If it cannot work: no run, no frame in any bin, bins beyond the memory of this machine.
    """
    chain, img = _chain(images)
    used = placed.used
    if not used.any():
        raise PlanError(f"images=: none of the {len(used)} rows of the table is selected and in a bin")
    cube = find.algorithm("imagecube")
    given = {
        name: _labels(table, values, used)
        for name, values in vars(placed).items()
        if name in ("i0", "weights") and values is not None
    }
    made = cube(
        by=_labels(table, placed.bins, used),
        axes=dict(placed.axes),
        normalise=placed.normalise,
        img=img,
        **given,
    )
    result = _reduced(_run_of(table, run), [*chain, made], _rows(table, used, used), options, placed)
    return _named(result, made.name, int(used.sum()))


def _chain(images: Any) -> tuple[list[Algorithm], Any]:
    """Return the algorithms that come before, and what is averaged."""
    if images is True:
        return [], Frames("image.data")
    if isinstance(images, (Frames, Key)):
        return [], images
    chain = [images] if isinstance(images, Algorithm) else images
    if not isinstance(chain, Sequence) or not chain or not all(isinstance(one, Algorithm) for one in chain):
        raise TypeError(
            f"images={shown(images)}: expected Frames(...), or algorithms of which the last makes images, such as "
            "[Calibrate(...), Photonise(img=From('calibrate.img'))]"
        )
    return [*chain], From(chain[-1].name)


def _run_of(table: Table, run: Any) -> Any:
    """Return the run whose images are read."""
    found = table.data.attrs.get("run", "") if run is None else run
    if run is None and not os.path.exists(str(found)):
        what = f"its run, {found}, is not there" if found else "it does not say of which run it is"
        raise PlanError(f"images=: the table has no images: {what}; give run=")
    return found


def _rows(table: Table, values: NDArray, used: NDArray) -> DataArray:
    """Return values of the rows that are used, with their ids."""
    from xarray import DataArray

    rows = table.rows
    ids = {"train_id": ("pulse", rows.train_ids[used]), "pulse_id": ("pulse", rows.pulse_ids[used])}
    return DataArray(values[used], dims="pulse", coords=ids)


def _labels(table: Table, values: NDArray, used: NDArray) -> Labels:
    return Labels(_rows(table, values, used))


def _reduced(
    run: Any, chain: list[Algorithm], frames: DataArray, options: dict[str, Any], placed: Placed
) -> Result:
    try:
        return reduce(run, chain, frames=frames, **options)
    except PlanError as e:
        raise PlanError(f"images=: {e}") from e


def _named(result: Result, name: str, rows: int) -> Dataset:
    """Return the images under the names that cubes have."""
    data = result.dataset
    out = data[[f"{name}.{part}" for part in PARTS]]
    return out.rename({f"{name}.{part}": f"{NAME}_{part}" for part in PARTS})
