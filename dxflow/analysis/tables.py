"""Table: the small data of a run, a row for each pulse and train, and what can be done with them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import listing
from .added import Additions
from .columns import Columns
from .rows import Rows
from .selections import Selection, Selections
from .values import Names, Value, attribute, evaluated, variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pandas import DataFrame
    from xarray import DataArray, Dataset

    from ..declare.condition import Column
    from .cubes import Cube
    from .picked import Picks
    from .plots.plotted import Plot


class Table:
    """The small data of one run or of several.

    Parameters
    ----------
    data : xarray.Dataset
        Rows are (pulse, ...) with ``train_id`` and ``pulse_id``, sorted by them, each there once; trains are
        (train, ...) with ``train``; values of the run have neither. Floats are NaN where missing, integers and
        booleans are where ``<name>_valid`` says so.
    path : path, optional
        Where it is kept.
    about : dict, optional
        How it was made.

    Raises
    ------
    ValueError
        If rows or trains have no ids.
    """

    def __init__(
        self, data: Dataset, path: str | Path | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.data = data
        """All of it, labelled and lazy."""
        self.path = None if path is None else Path(path)
        self.about = dict(about or {})
        self.rows = Rows.of(data)
        """Which train and pulse each row is of."""
        self.columns = Columns(data, self.rows)

    def __repr__(self) -> str:
        return listing.text(self)

    def _repr_html_(self) -> str:
        return listing.notebook(self)

    @property
    def names(self) -> list[str]:
        """Names of all variables."""
        return self.columns.names

    def rate(self, name: str) -> str:
        """Return "pulse", "train" or "run": of what a variable has a value each."""
        return self.columns.rate(name)

    def column(self, name: str, at: str | None = None) -> Column:
        """Return the values of a variable and where there is one, both (row, ...); see `Columns.column`."""
        return self.columns.column(name, at)

    @property
    def losses(self) -> DataFrame:
        """What could not be used: one row per cause, source, module and stretch of trains; printed in words."""
        return listing.losses(self)

    @cached_property
    def selections(self) -> Selections:
        """Named conditions on rows, those that are kept with the table among them."""
        return Selections(self)

    def __getitem__(self, name: str) -> Value:
        if name in self.selections:
            return self.selections[name]
        self.columns.array(name)
        return variable(name, self)

    def __getattr__(self, name: str) -> Value | Names:
        if name.startswith("_") or "data" not in vars(self):
            raise AttributeError(name)
        return self.selections[name] if name in self.selections else attribute(name, self)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.partition(".")[0] for name in self.names), *self.selections]

    def evaluate(self, what: Value | str, at: str | None = None) -> Column:
        """Return the values of an expression and where there are any, both (row, ...).

        Parameters
        ----------
        what : Value or str
            ``ev.signal / ev.i0``, or ``"signal / i0"``.
        at : {"pulse", "train", "run"}, optional
            Of what there is a row each; by default the finest rate of its variables.
        """
        return evaluated(what, self, at)

    def mask(self, where: Any = None, at: str | None = None) -> NDArray[np.bool_]:
        """Return for which rows a condition holds, (pulse,); for all without one. What is missing never passes.

        Parameters
        ----------
        where : str, Value, Selection, array of bool, or list of these
            ``"xgm > 800 & lit"``, ``ev.xgm > 800``, the name of a selection, a boolean for each row or train, or a
            DataArray of booleans that is joined by train_id and pulse_id. Of a list, all must hold.
        at : {"pulse", "train"}, optional
            Of what there is a row each: pulses, or trains in a table that has values per train only.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it selects nothing; the message says what does.
        """
        return self.selections.mask(where, at)

    def select(self, name: str, *cuts: Any) -> Selection:
        """Give a name to conditions that must all hold: ``ev.select("good", ev.xgm > 200, "lit")``.

        The name may be used in other conditions; what is changed under it later takes effect there.

        Parameters
        ----------
        name : str
            Of no variable.
        *cuts
            What `mask` takes.
        """
        return self.selections.define(name, *cuts)

    def cutflow(self, where: Any) -> DataFrame:
        """Return how many rows each condition leaves: alone, after those before it, and all others without it.

        Parameters
        ----------
        where
            What `mask` takes; of the name of a selection, its conditions.

        Returns
        -------
        pandas.DataFrame
            A line for each condition: ``alone``, ``in_order``, ``all_but_one``, and ``missing``, of how many rows is
            not known whether it holds; ``attrs`` has how many ``rows`` there are, and ``passed``.
        """
        return self.selections.cutflow(where)

    def cube(
        self,
        bins: Mapping[str, Any] | str | Sequence[str],
        of: Any = (),
        where: Any = None,
        *,
        normalise: Any = None,
        how: str = "ratio",
        weights: Any = None,
        on: Any = None,
        off: Any = None,
        images: Any = None,
        run: Any = None,
        azint: Any = None,
        geometry: Any = None,
        incomplete: bool = False,
        **options: Any,
    ) -> Cube:
        """Return the mean of variables in bins of others, with standard errors and counts.

        Parameters
        ----------
        bins : mapping of str to int, str, array or Bins
            By variable: a number of bins over the values that are selected, ``"-1:5:50"`` (a range and a number),
            edges, ``"unique"`` or ``"unique(0.01)"`` (one bin for each position of a discrete scan, of values within
            the tolerance of its lowest) or ``"quantiles(10)"``; with a period behind it for circular variables,
            ``"36%360"``. Bins hold their lower edge, the last one also its upper. Or texts, ``"delay=-1:5:50"``.
        of : str, Value, list or mapping of them, optional
            What is averaged: numbers or arrays, or expressions (of a mapping, with names for them). A value per train
            counts once in each bin.
        where : selection, optional
            Which rows are used, see `mask`.
        normalise : str or Value, optional
            What each is divided by, such as ``"i0"``; rows where that is missing or not above 0 do not count.
        how : {"ratio", "each"}
            The sum of what is averaged over the sum of `normalise`, or each row by its own first.
        weights : str or Value, optional
            Statistical weights from 0, of rows that scatter alike; rows without one, or with 0, do not count.
        on, off : selection, optional
            Which rows are pumped, and which are not: by default the others. The cube has an axis ``pump``, and the
            difference of the two.
        images : Frames, Key, True or sequence of Algorithm, optional
            Also the mean of each pixel, ``image_mean`` and so on, float32: ``Frames("image.data")``, or algorithms of
            which the last makes images, ``[Calibrate(...), Photonise(img=From("calibrate.img"))]``. The run is read
            once; frames that are in no bin are not read.
        run : optional
            Of the images, as of `dxflow.reduce`; that of the table by default.
        azint : int, mapping or True, optional
            Also I(q) of each frame, ``azint_mean`` and so on, and of the mean image, ``azint_of_image``: bins, or
            options of `AzimuthalIntegration`.
        geometry : path, array, extra_geom object or True, optional
            Images are put together as well, ``assembled_mean`` and so on, by this or by what lies beside the run.
        incomplete : bool
            Whether frames count that lack modules others have, in what is made of all modules of a frame. By default
            they do not: ``notes`` and ``<variable>_incomplete`` say how many.
        **options
            Of the pass over images, as of `dxflow.reduce`: ``cluster=``, ``mask=``, ``on_fault=``. Where rows are X-ray
            pulses, ``pulses={"offset": 96}`` says which frames see them, as of `PulseKey`.

        Returns
        -------
        Cube
            Its `data` has, per bin and variable, ``<variable>_count``, ``_mean``, ``_sem``, ``_sum`` and ``_std``.
        """
        from .cubes import make
        from .images import Asked

        read = Asked.of(images, run, azint, geometry, options)
        divided, pump = (normalise, how, weights), (on, off)
        return make(self, bins, of, where, divided=divided, pump=pump, images=read, incomplete=incomplete)

    def on_off(self, flag: Any = None, **options: Any) -> tuple[Selection, Selection]:
        """Make and return the selections "on" and "off", of rows with and without pump; in neither if unknown.

        Parameters
        ----------
        flag
            A condition that is true with pump: whatever `mask` takes.
        pattern : sequence of bool, "on", "off" or None, optional
            In place of a flag: the states of pulses that follow each other in a train, again and again; None is
            neither. Decided by ids, so that a pulse that is missing moves none of the others.
        per : {"pulse", "train"}
            Of what the pattern has a state each.
        first, step : int, optional
            Id where the pattern begins, by default the smallest in the table, and from one pulse to the next, by
            default the largest by which all ids are apart.
        where
            What must hold in both.
        only_on
            What must hold with pump only: cuts on delays, time tool or laser, that mean nothing without.
        names : (str, str)
            In place of "on" and "off".
        """
        from .pumps import on_off

        return on_off(self, flag, **options)

    def nearest(
        self, of: Value | str, on: Any = "on", off: Any = "off", n: int = 3, reduce: str = "mean"
    ) -> DataArray:
        """Return what was measured without pump nearest in time to each row with it.

        Of two rows as far away the earlier one is nearer. Time is that of train and pulse, or the timestamps of events;
        rows of other runs are never neighbours.

        Parameters
        ----------
        of : Value or str
            What was measured; rows without pump that miss it are no neighbours.
        on, off
            What `mask` takes; no row may be both.
        n : int
            Neighbours of each row.
        reduce : {"mean", "all"}
            Their mean, or each of them, in order of time.

        Returns
        -------
        xarray.DataArray
            (pulse, ...), or (pulse, neighbour, ...); NaN in rows that are not on, and where a run has fewer than `n`.
        """
        from .neighbours import nearest

        return nearest(self, of, on, off, n, reduce)

    def pick(
        self, k: int = 1, by: Any = None, of: Any = None, rule: Any = "largest", where: Any = None
    ) -> Picks:
        """Return the k best rows of each bin, of which the frames can be read then.

        Parameters
        ----------
        k : int
            How many of each bin; fewer where it has fewer.
        by : str, mapping or array of int, optional
            Bins as of `cube`: by variable, ``{"delay": "-1:5:50"}``, or a text, ``"delay=-1:5:50"``; of the name alone
            each position of a scan is one. Or the number of each row's bin, below 0 (or missing) of rows in none. One
            bin by default.
        of : str, Value or array, optional
            The variable, or expression, that decides; or data, as of `add`. Rows where it is missing are not picked.
        rule : {"largest", "smallest", "first"}, nearest(value), nearest(quantile=...) or random(seed)
            Of `dxflow.analysis`. Of equal rows the one with the lower train id, then pulse id, is better.
        where : optional
            Only these rows: what `mask` takes.

        Examples
        --------
        >>> ev.pick(1, by="delay", of="xgm").read(geometry="agipd.geom").images["assembled"]
        """
        from .picking import pick

        return pick(self, k, by, of, rule, where)

    def plot(self, x: Any, y: Any = None, **options: Any) -> Plot:
        """Draw a variable as its kind deserves, such as a histogram; of two, the 2-D histogram.

        ``axes, data = ev.plot("xgm", where="good")``: see `dxflow.analysis.plotting.plot`.
        """
        from .plotting import plot

        return plot(self, x, y, **options)

    def scan(self, x: str, y: Any, **options: Any) -> Plot:
        """Draw the mean of a variable in bins of another, with errors; see `dxflow.analysis.plotting.scan`."""
        from .plotting import scan

        return scan(self, x, y, **options)

    def plot_cutflow(self, where: Any, *, ax: Any = None) -> Plot:
        """Draw how many rows each condition leaves, see `cutflow`, as bars."""
        from .plotting import cutflow

        return cutflow(self, where, ax)

    def correlations(self, names: Any = None, *, where: Any = None, ax: Any = None) -> Plot:
        """Draw how much variables go together; see `dxflow.analysis.plotting.correlations`."""
        from .plotting import correlations

        return correlations(self, names, where, ax)

    @cached_property
    def added(self) -> Additions:
        """The variables that were added, by name: how each was made, where it is kept, whether it is out of date."""
        return Additions(self)

    def add(self, name: str, what: Any, unit: str = "", doc: str = "", *, replace: bool = False) -> Value:
        """Add a variable: ``ev.add("ratio", ev.signal / ev.i0)``, or ``"signal / i0"``, or data.

        Parameters
        ----------
        name : str
            Of no variable that the table itself has.
        what : Value, str, array or DataArray
            An expression; or data: one for each row or each train, or with ``train_id`` (and ``pulse_id``) as
            coordinates by which they are joined. NaN and what a masked array masks are missing.
        unit, doc : str
            Of the values, and what they are.
        replace : bool
            Whether it may replace one that was added before.

        Raises
        ------
        ValueError
            If the name is taken, or there are fewer or more values than rows.
        """
        self.added.add(name, what, unit, doc, replace=replace)
        return variable(name, self)

    def save(self, to: str | Path | None = None) -> Path:
        """Keep what was added beside the table, with expressions and hashes of what they were made of, and selections.

        It is there again when the table is opened. What is out of date then, because the table was made anew, is said
        to be, and not used. Others may save at the same time; what they replaced since then is taken, with a warning.

        Parameters
        ----------
        to : path, optional
            Another place, ``name.added.zarr``, from which `restore` reads; needed of several runs that were joined.
        """
        return self.added.save(to)

    def restore(self, path: str | Path) -> None:
        """Take in what was added and saved to a place of its own; what is out of date is warned of, and not used."""
        self.added.restore(Path(path))

    def drop(self, name: str) -> None:
        """Remove a variable that was added, where it is kept as well.

        Raises
        ------
        KeyError
            If none of this name was added.
        ValueError
            If other variables, or selections, are made of it.
        """
        self.added.drop(name)
