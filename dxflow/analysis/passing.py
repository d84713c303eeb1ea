"""The pass of a table's algorithms: planned, run, and what it makes joined to the rows of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import api
from ..declare.inputs import Frames
from ..declare.pulses import PulseKey
from ..driver.execute import execute
from ..errors import PlanError
from ..errors.near import listed
from ..errors.usage import text_of
from ..run.findings import Faults
from ..run.index import EntryIndex
from ..run.losses import Loss, from_json
from ..run.selection import FrameSelection
from ..stores.axes import Names
from ..stores.variables import Variables
from . import joining
from .beam import BITS, Beam, keys
from .columns import there_is
from .complete import is_count, with_read
from .joining import VALID, Grid
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from xarray import DataArray, Dataset, Variable

    from ..planning.public import Plan
    from ..run.open import OpenedRun
    from .config import Config

RENAMED = {PULSE: "pulse_number"}
"""Axes of results that have the name of one of a table: means of each pulse of a train."""


@dataclass(eq=False)
class Pass:
    """A pass that is planned, and what it leaves in a table."""

    plan: Plan
    options: dict[str, Any]
    losses: list[Loss] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    """Names of variables that are labels of axes."""
    seen: tuple[NDArray, NDArray] | None = None
    """The keys of all frames of the run, and the slots that each of them sees, where rows are pulses."""
    _result: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all that it makes."""
        return self._made.nbytes

    @cached_property
    def _made(self) -> Variables:
        return Variables(self.plan)

    @property
    def lists(self) -> list[str]:
        """Names of outputs with a list of values per train."""
        found = [v for v in self._made.variables.values() if v.output == v.name and len(v.dims) == 2]
        return [v.name for v in found if v.axis == "train" or (v.index is not None and not several(v.index))]

    def refuse_taken(self, names: Iterable[str]) -> None:
        """Refuse names of variables that outputs, or their axes, have.

        Raises
        ------
        PlanError
        """
        of = {*Names(self.plan).rows.values(), TRAIN}
        labels = {n for n, c in self._made.coordinates.items() if not of & set(c.dims)}
        if twice := sorted({*self._made.variables, *labels} & set(names)):
            raise PlanError(
                f"{listed(twice)}: the name of a variable, and of an output or axis of an algorithm: "
                "give one of them another name"
            )

    @cached_property
    def rows(self) -> list[EntryIndex]:
        """What stored outputs have a row for, as far as trains may have several: detector frames."""
        stored = [o.index for o in self.plan.results if o.output.store and o.index is not None]
        return [index for index in dict.fromkeys(stored) if several(index)]

    @property
    def frames(self) -> Frames:
        """The frames that are read first."""
        return next((one.declared for one in self.plan.inputs if isinstance(one.declared, Frames)), Frames())

    def joined(self, grid: Grid) -> dict[str, Variable]:
        """Run it, and return its variables for the rows and trains of a table."""
        self._result = execute(self.plan, self.options.get("cluster"), quiet=self.options.get("quiet", False))
        self.losses = [*from_json(self._result.manifest["losses"])]
        data = self._result.dataset
        rename = {old: new for old, new in RENAMED.items() if old in data.dims}
        data = data.rename_dims(rename).rename_vars({o: n for o, n in rename.items() if o in data.coords})
        out = self._variables(data, grid)
        labels = {str(n): c.variable for n, c in data.coords.items() if self._stays(c, grid)}
        self.labels = set(labels)
        return out | labels

    def _variables(self, data: Dataset, grid: Grid) -> dict[str, Variable]:
        """Return the variables of a result, those with rows in the rows of the table."""
        of = {name: index for index, name in Names(self.plan).rows.items()}
        places: dict[str, NDArray] = {}
        out: dict[str, Variable] = {}
        # Others are labels: which trains and modules were used; of how many modules frames are made is kept.
        used = {n: with_read(c, data) for n, c in data.coords.items() if is_count(str(n), c)}
        for name, array in {**{n: a for n, a in data.data_vars.items() if "." in str(n)}, **used}.items():
            first = str(array.dims[0]) if array.dims else ""
            if first in of and first not in places:
                places[first] = self._places(of[first], grid)
            if first == TRAIN:
                places.setdefault(TRAIN, joining.places(data[TRAIN].values, grid.trains))
            if first not in places:
                out[str(name)] = array.variable
            elif not _is_valid(str(name), data):
                rate = PULSE if first in of and several(of[first]) else TRAIN
                valid = there_is(data, f"{name}{VALID}")
                out |= _placed(str(name), array, valid, places[first], rate)
        return out

    def _places(self, index: EntryIndex, grid: Grid) -> NDArray:
        """Return which row of an index belongs to each row of a table, or to each train, -1 where none does."""
        own = keys_of_index(index, grid)
        if not several(index):
            return joining.places(own >> np.uint64(BITS), np.arange(len(grid.trains), dtype=np.uint64))
        if grid.kind == "frames":
            return joining.places(own, grid.keys)
        assert self.seen is not None
        every, slots = self.seen
        at = joining.places(every, own)
        return places_of_seen(own, np.where((at >= 0)[:, None], slots[at], -1), grid.keys)

    def _stays(self, label: DataArray, grid: Grid) -> bool:
        """Return whether a label is of axes that tables have as they are."""
        of = {*Names(self.plan).rows.values(), TRAIN}
        return not of & set(map(str, label.dims))


def plan(run: Any, config: Config, source: OpenedRun, trains: Any, options: Mapping[str, Any]) -> Pass | None:
    """Return the pass of a configuration, None where it has no algorithms."""
    if not config.algorithms:
        return None
    given = dict(options)
    if trains is not None:
        chosen = FrameSelection.of(given.get("frames"))
        given["frames"] = FrameSelection(trains=source.train_ids, also=() if chosen is None else (chosen,))
    return Pass(api.plan(run, config.algorithms, None, name=config.title, **given), given)


def rows_of(planned: Pass | None, config: Config) -> str:
    """Return what has a row each: "pulses" or "frames"."""
    if config.rows != "auto":
        return config.rows
    return "frames" if planned is not None and planned.rows else "pulses"


def grid(
    planned: Pass | None, config: Config, source: OpenedRun, beam: Beam | None
) -> tuple[Grid, list[Loss]]:
    """Return the rows of a table, and what keeps values from being joined to them.

    Raises
    ------
    PlanError
        If rows of frames are asked for of a run without.
    """
    trains = source.train_ids
    if planned is not None:
        refuse_mixed(planned.rows)
    if rows_of(planned, config) == "pulses":
        made = (
            Grid(trains, np.zeros(0, np.int32), np.zeros(0, np.uint32))
            if beam is None
            else Grid.of_pulses(trains, beam)
        )
        if planned is not None and planned.rows and beam is not None:
            every, seen, why = clocked(planned.frames, config, source, beam)
            planned.seen = seen
            if seen is None:
                raise PlanError(f"rows of pulses: which pulses frames saw is not known: {why}")
        return made, []
    frames = planned.frames if planned is not None and planned.rows else Frames(detector=config.detector)
    every, seen, why = clocked(frames, config, source, beam)
    indexes = planned.rows if planned is not None and planned.rows else [every]
    empty = Grid(trains, np.zeros(0, np.int32), np.zeros(0, np.uint32), "frames")
    found = [keys_of_index(index, empty) for index in indexes]
    rows, first = np.unique(np.concatenate(found), return_index=True)
    lost = sum(map(len, found)) - len(rows) if len(found) == 1 else 0
    losses = [Loss("same frame twice", frames=lost, detail="the first counts")] if lost else []
    of = (rows >> np.uint64(BITS)).astype(np.int32)
    pulses = (rows & np.uint64(2**BITS - 1)).astype(np.uint32)
    cells = None
    if len(indexes) == 1 and indexes[0].cell_ids is not None:
        cells = indexes[0].cell_ids[first]
    slots = None
    if seen is not None:
        at = joining.places(seen[0], rows)
        slots = np.where((at >= 0)[:, None], seen[1][at], -1)
    elif beam is not None:
        losses.append(Loss("no pulses of frames", detail=why))
    return Grid(trains, of, pulses, "frames", cells, slots, beam, why), losses


def clocked(
    frames: Frames, config: Config, source: OpenedRun, beam: Beam | None
) -> tuple[EntryIndex, tuple[NDArray, NDArray] | None, str]:
    """Return all frames of a detector, their keys and the slots that they see, and why that is not known."""
    try:
        index = frames.bind(source.run, source.train_ids, Faults()).index
    except (KeyError, ValueError) as e:
        raise PlanError(f"rows of detector frames: {text_of(e)}") from e
    if beam is None:
        return index, None, Grid.unknown
    given = {k: v for k, v in config.clock.items() if k != "pattern"}
    clock = PulseKey("", "", **given)
    try:
        of, shift = index.train_positions(slice(0, len(index))), clock.offset
        late = beam.first - clock.reference(index) if shift is None else np.full(len(beam.known), shift)
        slots = clock.ids(index) + late[of]
    except ValueError as e:
        return index, None, str(e).partition(": ")[2] or str(e)
    own = keys(of, _pulse_ids(index))
    return index, (own, slots[:, None] + np.arange(clock.exposure)), ""


def refuse_mixed(indexes: Iterable[EntryIndex]) -> None:
    """Refuse frames with pulse ids beside others that are numbered in their trains: equal ones are not the same.

    Raises
    ------
    PlanError
    """
    if len({index.pulse_ids is None for index in indexes}) > 1:
        raise PlanError(
            "frames of one detector have pulse ids, those of another only numbers in their trains: they cannot be "
            "joined; make a table of each detector"
        )


def places_of_seen(own: NDArray, slots: NDArray, wanted: NDArray) -> NDArray:
    """Return which frame saw each of the wanted slots, the first of several, -1 where none did.

    Parameters
    ----------
    own : ndarray of uint64, (frame,)
        Keys of frames; of which only the trains count.
    slots : ndarray of int, (frame, exposure)
        That they see; those below 0 are none.
    wanted : ndarray of uint64
        Keys of slots.
    """
    frame, number = np.nonzero(slots >= 0)
    found = joining.places(keys(own[frame] >> np.uint64(BITS), slots[frame, number]), wanted)
    return np.where(found >= 0, frame[found], -1) if len(frame) else found


def several(index: EntryIndex) -> bool:
    """Return whether trains may have several rows of an index: frames, not entries of a device."""
    return index.pulse_ids is not None or int(index.counts.max(initial=0)) > 1


def _pulse_ids(index: EntryIndex) -> NDArray:
    """Return what tells the rows of a train apart: pulse ids, else numbers in the train."""
    return index.entry_ids if index.pulse_ids is None else index.pulse_ids


def keys_of_index(index: EntryIndex, grid: Grid) -> NDArray:
    """Return the key of each row of an index among the trains of a table."""
    at = np.searchsorted(grid.trains, index.train_ids)
    of = at[index.train_positions(slice(0, len(index)))]
    return keys(of, _pulse_ids(index))


def _is_valid(name: str, data: Dataset) -> bool:
    return name.endswith(VALID) and name.removesuffix(VALID) in data


def _placed(
    name: str, array: DataArray, valid: DataArray | None, at: NDArray, rate: str
) -> dict[str, Variable]:
    """Return a variable, and what says where it has a value, with rows at other places."""
    dims = (rate, *map(str, array.dims[1:]))
    attrs = {**array.attrs, "rate": rate}
    values, there = array.values, at >= 0
    same = len(at) == len(values) and np.array_equal(at, np.arange(len(at)))
    known = None if valid is None else valid.values.astype(bool)
    if not same:
        taken = np.clip(at, 0, max(len(values) - 1, 0))
        values = values[taken] if len(values) else np.zeros((len(at), *values.shape[1:]), values.dtype)
        if known is not None:
            known = known[taken] if len(known) else np.zeros((len(at), *known.shape[1:]), bool)
    there = there if known is None else known & there.reshape(-1, *[1] * (known.ndim - 1))
    values, there = joining.with_nothing(values, there)
    return joining.variables(name, dims, values, there, attrs)
