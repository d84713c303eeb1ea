"""Picks: which frames were picked, and these read, raw, corrected and assembled, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .rows import PULSE
from .variables import Variable

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from ..declare.condition import Column
    from ..driver.result import Result

RANK, PICK = "rank", "pick"
SAID = "images_read"
"""Has the attributes of images as its own, where picks are kept."""
IDS = ("run", "train_id", "pulse_id", "entry_id", "cell_id")
"""Labels of rows that tell frames apart."""


class Picks:
    """The rows that were picked, and their frames where these were read.

    Parameters
    ----------
    data : xarray.Dataset
        (bin axes..., rank): ``train_id``, ``pulse_id``, ``picked`` (False where a bin has fewer), ``row`` in the table
        and ``value``; (bin axes...): ``count``, rows that could have been picked.
    path : path, optional
        Where they are kept; images are in `data` then, (pick, ...).
    about : dict, optional
        How they were made.
    table : Table, optional
        Of which they are rows.
    images : xarray.Dataset, optional
        See `read`.
    """

    def __init__(
        self,
        data: Dataset,
        path: str | Path | None = None,
        about: dict[str, Any] | None = None,
        *,
        table: Any = None,
        images: Dataset | None = None,
    ) -> None:
        self.path, self.about = None if path is None else Path(path), dict(about or {})
        self.table, self.images = table, _unfolded(data) if PICK in data.dims else images
        self.data = data[[n for n, v in data.data_vars.items() if PICK not in v.dims and n != SAID]]
        self.results: list[Result] = []
        """Of the passes in which images were read, with what was lost."""

    def __len__(self) -> int:
        return int(self.data["picked"].sum())

    def __repr__(self) -> str:
        about = self.data.attrs
        could, of = self.data["count"].sum().item(), f" of {about['of']}" if about.get("of") else ""
        read = "" if self.images is None else f", {self.images.sizes[PICK]} frames read"
        return f"<{len(self)} of {could} rows picked, {about['rule']}{of}{read}>\n{self.data!r}"

    def _repr_html_(self) -> str:
        return self.data._repr_html_()

    def __getitem__(self, what: Any) -> DataArray:
        """Return the values of a variable, or expression, of the table for these rows, NaN where there is none."""
        from xarray import DataArray

        if self.table is None:
            raise ValueError(
                f"{str(what)!r}: these picks were opened without their table; pick again to have others"
            )
        found, row = Variable.of(self.table, what), self.data["row"]
        column = found.column(PULSE)
        missing = "" if column.values.dtype.kind in "US" else np.nan
        values = _taken(np.where(column.there, column.values, missing), row.values, missing)
        return DataArray(
            values, dims=[*row.dims, *found.axes], coords=row.coords, attrs=found.attrs, name=found.name
        )

    @property
    def flat(self) -> Dataset:
        """One after the other, those that there are, (pick,): in the order of bins, then ranks."""
        import xarray as xr

        at = dict(zip(self.data["picked"].dims, np.nonzero(self.data["picked"].values), strict=True))
        where = {dim: xr.DataArray(index, dims=PICK) for dim, index in at.items()}
        keep = [n for n, v in self.data.variables.items() if v.dims and set(v.dims) <= set(at)]
        flat = self.data[keep].isel(where).drop_vars(["picked", "count"], errors="ignore").reset_coords()
        return flat.set_coords([n for n in IDS if n in flat])

    def read(
        self,
        run: Any = None,
        images: Any = None,
        geometry: Any = None,
        *,
        pulses: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Picks:
        """Read the frames that were picked, and no others.

        Parameters
        ----------
        run : path, (proposal, run), DataCollection, or mapping of run numbers to these, optional
            That of the table by default. Of tables of several runs, one for each of them.
        images : Frames, sequence of Algorithm, or mapping of names to these, optional
            ``Frames("image.data")`` by default; ``[Calibrate(constants=...)]`` makes corrected images of raw ones: the
            last algorithm makes images.
        geometry : path, array, extra_geom object or bool, optional
            Images are assembled as well, where this is given or lies beside the run; True: it has to lie there; False:
            they are not.
        pulses : mapping, optional
            Of a table whose rows are X-ray pulses: how their slots are found in frames, such as ``{"offset": 4}``; see
            `PulseKey`. As the configuration of the table has it by default.
        **options
            As of `dxflow.reduce`: ``cluster=``, ``mask=``, ``on_fault=``.

        Returns
        -------
        Picks
            The same, with `images`: (pick, ...), in the order of `flat` and with its labels; lazy. ``raw`` or
            ``corrected``, as read; ``corrected`` beside ``raw`` of algorithms, or by the name of the last one where
            corrected data were read; ``assembled``; of a mapping ``<name>_raw`` and so on. Frames that the run does
            not have are not among them: the attribute ``lacking`` says which. `results` say what was read and lost.

        Raises
        ------
        PlanError
            If the run has none of these frames, or they cannot be read.
        """
        from .options import refuse_unknown
        from .pickframes import read

        refuse_unknown("read", options, ("run", "images", "geometry", "pulses"))
        found, results = read(self.flat, run, images, geometry, {"pulses": pulses, **options})
        made = Picks(self.data, about=self.about, table=self.table, images=found)
        made.results = results
        return made

    def save(self, to: str | Path, overwrite: bool = False, **about: Any) -> Path:
        """Write what was picked, with the images if they were read; complete or not at all.

        Parameters
        ----------
        to : path
            ``.zarr``: all of it. ``.cxi`` or ``.nxs``: images as programs for ptychography read them.
        overwrite : bool
            Whether it may replace another result of dxflow.
        **about
            Of CXI and NeXus; see `dxflow.analysis.ptycho.write`.
        """
        if Path(to).suffix in (".cxi", ".nxs"):
            from .ptycho import write

            return write(self, Path(to), overwrite=overwrite, **about)
        if about:
            raise TypeError(f"save({str(to)!r}): {', '.join(about)}: of .cxi and .nxs only")
        from . import saved

        return saved.write(self.folded, to, "picks", dict(self.data.attrs), overwrite)

    @property
    def folded(self) -> Dataset:
        """Rows and images in one dataset, as they are kept: labels of images begin with ``pick_``."""
        if self.images is None:
            return self.data
        return self.data.merge(_folded(self.images), combine_attrs="override")


def _folded(images: Dataset) -> Dataset:
    """Return images with labels that have other names than those of the bins; what is said of them is kept, too."""
    labels = {n: f"{PICK}_{n}" for n in images.coords if PICK in images[n].dims}
    return images.rename(labels).assign({SAID: ((), 0, dict(images.attrs))})


def _unfolded(data: Dataset) -> Dataset:
    """Return the images of picks that were kept."""
    kept = [n for n, v in data.variables.items() if PICK in v.dims]
    labels = {n: str(n).removeprefix(f"{PICK}_") for n in kept if n in data.coords}
    images = data[kept].drop_vars(RANK, errors="ignore").rename(labels)
    return images.assign_attrs(data[SAID].attrs if SAID in data else {})


def made(
    table: Any, rows: NDArray, count: NDArray, axes: Any, column: Column | None, about: Any, attrs: Any
) -> Picks:
    """Return what was picked, of rows (bin, rank) that are -1 where there is none."""
    import xarray as xr

    shape, dims = (*axes.shape, rows.shape[1]), (*axes.dims, RANK)
    row = rows.reshape(shape)
    data: dict[str, Any] = {name: (dims, _taken(values, row)) for name, values in _labels(table)}
    if column is not None:
        data["value"] = (dims, _taken(column.values, row), attrs)
    data |= {"row": (dims, row), "picked": (dims, row >= 0), "count": (axes.dims, count.reshape(axes.shape))}
    numbers = {dim: np.arange(n) for dim, n in zip(dims, shape, strict=True)}
    coords = numbers | dict(axes.coords)
    said = {k: table.data.attrs[k] for k in ("run", "rows", "pulses") if k in table.data.attrs}
    return Picks(xr.Dataset(data, coords, {"title": "picked rows", **said, **about}), table=table)


def _taken(values: NDArray, row: NDArray, missing: Any = None) -> NDArray:
    """Return the values of rows, NaN or 0 where there is none."""
    if missing is None:
        missing = np.nan if values.dtype.kind == "f" else values.dtype.type(0)
    if not len(values):
        return np.full((*row.shape, *values.shape[1:]), missing)
    there = (row >= 0).reshape(*row.shape, *(1,) * (values.ndim - 1))
    return np.where(there, values[row], missing)


def _labels(table: Any) -> Iterator[tuple[str, NDArray]]:
    """Yield the labels of rows that tell frames apart."""
    for name in IDS:
        if name in table.data.coords and table.data[name].dims == (PULSE,):
            yield name, table.data[name].values
