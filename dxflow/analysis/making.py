"""A table made: all that is small of a run and of its detectors, in one labelled dataset."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..declare.inputs import Key
from ..declare.pulses import PulseKey
from ..disk import ours
from ..driver.journal import job
from ..driver.progress import Progress, during
from ..errors import PlanError
from ..errors.near import listed
from ..errors.usage import text_of
from ..reader.files import Files
from ..run.findings import Faults
from ..run.locate import keys_of
from ..run.losses import Loss, ordered
from ..run.open import OpenedRun, opened
from ..run.selection import First, FrameSelection, among
from ..sizes import parse, show
from . import beam as beams
from . import complete, finding, flags, joining, passing, saved, smalldata_out
from . import config as configs
from .config import Config, Wanted
from .finding import Found
from .joining import Grid
from .opening import open as open_table
from .options import refuse_unknown
from .rows import PULSE, RUN, TRAIN

if TYPE_CHECKING:
    from xarray import Dataset, Variable

    from .tables import Table

LIMIT = "4 GB"
"""Bytes of a table above which nobody makes one by accident."""
THREADS = 4


def table(
    run: Any,
    to: str | Path,
    config: Any = None,
    overwrite: bool = False,
    *,
    rows: str | None = None,
    trains: Any = None,
    limit: str | int | None = LIMIT,
    agree: Callable[[str], bool] | None = None,
    quiet: bool = False,
    **options: Any,
) -> Table:
    """Make the table of a run: one labelled dataset of everything in it that is small.

    Rows are X-ray pulses, or detector frames where an algorithm makes something of each; values of devices are there
    once per train, those that never change once. All are in order of train and pulse, joined by these ids.

    Parameters
    ----------
    run : path, (proposal, run) or extra_data.DataCollection
        As for `dxflow.reduce`.
    to : path
        ``"r0034.zarr"``; with ``.h5`` also in the layout of LCLS's small data.
    config : path or mapping, optional
        What is in it: a YAML or Python file, or the same as a dict. Without, every scalar and small vector of the run
        by its own rate, and its lists with an entry per pulse.
    overwrite : bool
        Replace an existing table or result of dxflow.
    rows : {"auto", "pulses", "frames"}, optional
        What has a row each. "auto", the default: detector frames if an algorithm makes something of each frame, else
        X-ray pulses; in a run without bunch pattern there are values of trains only.
    trains : int, slice or sequence of int, optional
        The first so many trains, or those of these ids.
    limit : str or int, optional
        Bytes that it may have, about; None for any.
    agree : callable, optional
        Called with the size in words before anything large is read, if it is above `limit` or that is None; False
        stops.
    quiet : bool
        Show no progress.
    **options
        Of the pass of the algorithms, as of `dxflow.reduce`, in place of those of the configuration:
        ``cluster="here"``.

    Returns
    -------
    Table
        As it was written; what could not be used is in ``losses``. Frames that lack modules are warned of.

    Raises
    ------
    PlanError
        If it cannot be made: unknown sources and keys (the message has near names), an empty run, larger than `limit`.
    UsageError
        If the configuration is none; the message names file, line and key.
    FileExistsError
        If there is something at `to` that may not be replaced.
    """
    refuse_unknown("table", options, ("config", "overwrite", "rows", "limit", "agree"))
    wanted, path = configs.of(config), Path(to)
    if rows is not None:
        if rows not in configs.ROWS:
            raise ValueError(f"rows={rows!r}: expected one of {listed(configs.ROWS)}")
        wanted.rows = rows
    lcls = path.suffix == smalldata_out.SUFFIX
    if not lcls and path.suffix != saved.SUFFIX:
        raise PlanError(f"to={str(to)!r}: a table is written as name.zarr, or name.h5 in the layout of LCLS")
    saved.check(path, None, overwrite)
    with during(f"opening {run}", opened, run, wanted.algorithms, None, quiet=quiet) as source:
        saved.check(path, None, overwrite, ours.folders_of(Path(one.filename) for one in source.run.files))
        made = _Making(_some(source, trains), wanted, quiet, lcls)
        data = made.dataset(run, {**wanted.options, **options}, trains, _asked(limit, agree))
    losses = [asdict(one) for one in ordered(made.losses)]
    about = {"config": wanted.text, "losses": losses, **job()}
    with Progress(f"writing {path.name}", quiet=quiet):
        if lcls:
            smalldata_out.write(data, path, about, overwrite)
        else:
            saved.write(data, path, "table", about, overwrite)
    for line in complete.said(data):
        warnings.warn(f"table: {line}", stacklevel=2)
    return open_table(path)


def _some(source: OpenedRun, trains: Any) -> OpenedRun:
    """Return a run with some of its trains only."""
    if trains is None:
        return source
    ids = source.train_ids
    first = isinstance(trains, (int, np.integer))
    which: Any = FrameSelection(trains=First(trains) if first else trains).trains
    kept = ids[among(ids, which.ids(ids) if isinstance(which, First) else which)]
    if not len(kept):
        raise PlanError(f"trains={trains!r}: the run has none of these; it has {ids[0]} to {ids[-1]}")
    source.faults.trains = kept
    return OpenedRun(source.run, source.path, kept, source.faults, source.files)


def _asked(limit: str | int | None, agree: Callable[[str], bool] | None) -> Callable[[str, int], None]:
    """Return what is called with the size of a table, in words and in bytes: it raises if that is too large."""
    most = None if limit is None else parse(limit)

    def ask(words: str, size: int) -> None:
        if most is not None and size <= most:
            return
        if agree is not None and not agree(words):
            raise PlanError(f"not made: {words}")
        if agree is None and most is not None:
            raise PlanError(
                f"the table would have {words}, more than the limit of {show(most)}: name what it is to have in a "
                "configuration, leave some out (without:), take some trains, or give a larger limit= (--limit)"
            )

    return ask


@dataclass(eq=False)
class _Making:
    """A table that is being made of a run: what is found, its rows, its variables, and what was lost."""

    source: OpenedRun
    config: Config
    quiet: bool = False
    events: bool = False
    """Whether all values are there once per row in the end, as LCLS has them."""
    losses: list[Loss] = field(default_factory=list)
    left: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Keys that are left out, by source and why."""
    beam: beams.Beam | None = None

    def dataset(
        self, run: Any, options: Mapping[str, Any], trains: Any, ask: Callable[[str, int], None]
    ) -> Dataset:
        """Return the table as a dataset in memory."""
        from xarray import Dataset

        planned = passing.plan(run, self.config, self.source, trains, {**options, "quiet": self.quiet})
        given, values = self._named(passing.rows_of(planned, self.config))
        every = self._everything(given) if self.config.everything else []
        self._find_beam([*given, *every])
        grid, losses = passing.grid(planned, self.config, self.source, self.beam)
        self.losses += losses
        found = [one for one in (*given, *every) if self._possible(one, grid)]
        trains_ = max(len(grid), len(grid.trains)) if self.events else len(grid.trains)
        self.losses += finding.left_out(self.left)
        size = sum(one.nbytes(len(grid), trains_) for one in found)
        size += len(grid) * 16 + (planned.nbytes if planned else 0)
        ask(self._words(found, grid, size), size)
        others = flags.Flags(self.source, self.config, self.losses, planned.lists if planned else ())
        more = others.of(values, grid)
        if planned is not None:
            planned.refuse_taken([*more, *(one.name for one in found), *values])
        made = during("reading", self._read, found, grid, quiet=self.quiet) | more
        if planned is not None:
            made |= planned.joined(grid)
            self.losses += planned.losses
        made |= others.taken_apart(values, made, grid)
        self.losses += [*self.source.faults.losses, *self.source.faults.notes]
        labels = joining.coordinates(grid, finding.times(self.source))
        scan = ", ".join(name for name in self.config.scan if name in made)
        attrs = {
            "title": self.config.title,
            "run": self.source.path,
            "rows": grid.kind or "trains",
            "scan": scan,
            "pulses": json.dumps(self.config.clock) if self.config.clock else "",
        }
        # The order that somebody gave; labels of other axes are made coordinates by their makers.
        return Dataset(made, labels, {k: v for k, v in attrs.items() if v}).set_coords(
            [n for n in made if planned is not None and n in planned.labels]
        )

    # What is found --------------------------------------------------------------------------------

    def _named(self, rows: str) -> tuple[list[Found], dict[str, Wanted]]:
        """Return the variables that were asked for: keys that lie in files, and others."""
        found, others = [], dict[str, Wanted]()
        for name, wanted in self.config.variables.items():
            what = wanted.what
            if isinstance(what, PulseKey) and rows != "frames":
                what = Key(what.source, what.key)
                wanted = Wanted(what, PULSE, wanted.unit, wanted.doc)
            if not isinstance(what, Key) or self._of_run(what):
                others[name] = wanted
                continue
            faults = self._faults()
            said = {"unit": wanted.unit, "doc": wanted.doc, "per": wanted.per, "offset": what.offset}
            try:
                found.append(
                    finding.found(name, what.source, what.key, self.source, faults, asked=True, **said)
                )
            except (KeyError, ValueError) as e:
                raise PlanError(str(self.config.wrong(text_of(e), "variables", name))) from e
            self.losses += [*faults.losses, *faults.notes]
        return found, others

    def _everything(self, given: Sequence[Found]) -> list[Found]:
        """Return all that is small, but what has a name already."""
        taken = {*self.config.variables, *(one.name for one in self.config.algorithms)}
        found, losses = during(
            "looking at keys", finding.everything, self.source, self.config.small, self.config.without, taken,
            quiet=self.quiet,
        )  # fmt: skip
        self.losses += losses
        named = {one.source for one in given}
        return [one for one in found if one.source not in named]

    def _of_run(self, key: Key) -> bool:
        """Return whether a key is in RUN only: a value of the run."""
        run = self.source.run
        if key.source not in run.control_sources or key.key in run[key.source]:
            return False
        known = key.key.removesuffix(".value") in keys_of(run, key.source)
        return not known and flags.run_value(run, key) is not None

    def _faults(self) -> Faults:
        faults = self.source.faults
        return Faults(trains=self.source.train_ids, suspect=faults.suspect, modules=faults.modules)

    def _find_beam(self, found: Sequence[Found]) -> None:
        """Find the bunch patterns; that there are none is a loss where something needs them."""
        faults = self._faults()
        try:
            self.beam = beams.found(self.source, self.config.clock, faults)
        except (KeyError, ValueError) as e:
            text = text_of(e)
            if self.config.clock or self.config.rows == "pulses":
                raise PlanError(f"rows of X-ray pulses: {text}") from e
            if any(one.rate == PULSE for one in found) or self.config.rows == "auto":
                self.losses.append(Loss("no bunch pattern", detail=f"there are no rows of pulses: {text}"))
        self.losses += [*faults.losses, *faults.notes]

    def _possible(self, one: Found, grid: Grid) -> bool:
        """Return whether a variable can be joined; where it cannot that is a loss, or an error if it was asked for."""
        if one.rate != PULSE:
            return True
        why = ""
        if grid.slots is None:
            why = f"which pulses its entries are of is not known: {grid.unknown}"
        elif one.sase is not None and grid.beam is not None and one.sase != grid.beam.sase:
            why = f"it has the pulses of SASE {one.sase}, the rows are those of SASE {grid.beam.sase}"
        if why and one.asked:
            raise PlanError(str(self.config.wrong(f"{one.source}: {why}", "variables", one.name)))
        if why:
            self.left.setdefault((one.bound.name, why), []).append(one.bound.key)
        return not why

    def _words(self, found: Sequence[Found], grid: Grid, size: int) -> str:
        """Return how much a table has."""
        per = {rate: sum(one.rate == rate for one in found) for rate in (PULSE, TRAIN)}
        kind = {"pulses": "pulse", "frames": "frame", "": "row"}[grid.kind]
        rows = f"{len(grid)} {grid.kind} of " if grid.kind else ""
        what = f"{len(found)} variables ({per[PULSE]} per {kind}, {per[TRAIN]} per train)"
        return f"{what}, {rows}{len(grid.trains)} trains: about {show(size)}"

    # Values ---------------------------------------------------------------------------------------

    def _read(self, found: Sequence[Found], grid: Grid) -> dict[str, Variable]:
        """Return the variables of keys, some read at a time."""
        for sase in {one.sase for one in found if one.rate == PULSE}:
            grid.entries(sase)
        files = Files(planning=True)
        try:
            with ThreadPoolExecutor(min(THREADS, len(os.sched_getaffinity(0)))) as pool:
                made = list(pool.map(lambda one: self._variables(one, grid, files), found))
        finally:
            files.close()
        for _, losses in made:
            self.losses += losses
        return {name: variable for variables, _ in made for name, variable in variables.items()}

    def _variables(self, one: Found, grid: Grid, files: Files) -> tuple[dict[str, Variable], list[Loss]]:
        """Return a variable, what says where it has a value, and what could not be read."""
        faults = self._faults()
        if one.rate == PULSE:
            lists = beams.blocks(one.bound, faults, files)
            values, there = grid.of_lists(lists, one.bound.dtype, one.sase)
            return joining.variables(one.name, (PULSE,), values, there, one.attrs()), faults.losses
        values, there = one.read(self.source.run, faults, files)
        if not one.asked and one.bound.kind == "control" and finding.constant(values, there):
            dims = _axes(one.name, values.shape[1:])
            return joining.variables(one.name, dims, values[0], None, one.attrs(RUN)), faults.losses
        dims = (TRAIN, *_axes(one.name, values.shape[1:]))
        return joining.variables(one.name, dims, values, there, one.attrs()), faults.losses


def _axes(name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the axes of one value."""
    return tuple(f"{name}_{n}" for n in range(len(shape)))
