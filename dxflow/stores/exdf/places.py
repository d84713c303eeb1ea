"""Where the outputs of a reduction are in EXDF files: sources, keys, attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...exdf.units import described

if TYPE_CHECKING:
    from ..axes import Coordinate
    from ..variables import Variable, Variables

PASS = "REDUCTION"
"""Member of the source that holds what belongs to the whole pass: labels of frames, axes, parameters."""
METHOD = "DXFLOW_REDUCTION"
"""First part of the name of the source in the section REDUCTION."""

LABELS = {"train_id": "trainId", "pulse_id": "pulseId", "cell_id": "cellId", "entry_id": "entryId"}
"""Label of rows -> its key."""


@dataclass(frozen=True)
class Place:
    """A dataset in the files.

    `section` is INSTRUMENT or CONTROL, where each file has the rows of its trains, RUN, where each has the whole, or
    INDEX, for the train IDs and for the counts of a group; `path` is that of the dataset.
    """

    section: str
    source: str
    key: str

    @property
    def path(self) -> str:
        """HDF5 path."""
        if self.section == "INDEX":
            return f"INDEX/{self.source}/{self.key}".replace("//", "/")
        tail = "/value" if self.section in ("RUN", "CONTROL") else ""
        return f"{self.section}/{self.source}/{self.key.replace('.', '/')}{tail}"

    @property
    def group(self) -> str:
        """Index group of an instrument key."""
        return self.key.partition(".")[0]


@dataclass(frozen=True)
class Item:
    """A variable of the result and its place; `attributes` are those of the key."""

    variable: Variable
    place: Place
    attributes: dict[str, Any] = field(default_factory=dict)


class Places:
    """The sources of a reduction.

    - ``{domain}/DXFLOW/{ALGORITHM}`` (control): options in RUN, and outputs per run and per pixel as RUN values.
    - ``{domain}/DXFLOW/{ALGORITHM}:output``: outputs per train in the group ``data``, per frame in ``frame``, events
      in a group of their own, with train, pulse and cell IDs beside them.
    - ``{domain}/DXFLOW/REDUCTION``: the same two for what the algorithms of the pass share.

    Axes and their labels are RUN values of the last one. The domain is the detector, or the first part of the name of
    another source. Names of algorithms are in upper case; those that would be equal get an underscore. An output
    may say another place: `Output.exdf`.
    """

    def __init__(self, variables: Variables, labels: Mapping[str, Coordinate] | None = None) -> None:
        self.variables, self.plan = variables.variables, variables.plan
        self.labels = {**variables.coordinates, **(labels or {})}

    @cached_property
    def algorithms(self) -> dict[str, str]:
        """Control source of each algorithm."""
        out: dict[str, str] = {}
        taken = {PASS}
        for bound in self.plan.algorithms:
            member = re.sub(r"[^A-Z0-9_-]", "_", bound.name.upper())
            while member in taken:
                member += "_"
            taken.add(member)
            out[bound.name] = f"{self._domain(bound.stream)}/DXFLOW/{member}"
        return out

    @cached_property
    def shared(self) -> str:
        """Control source of what the algorithms share."""
        return f"{self._domain(self.plan.algorithms[0].stream)}/DXFLOW/{PASS}"

    @property
    def reduction(self) -> str:
        """Source in the section REDUCTION; it ends with a real source, so that EXtra-data knows it by this name."""
        return f"{METHOD}/{self.shared}"

    def _domain(self, stream: int) -> str:
        return re.split("[/:]", self.plan.inputs[stream].name)[0]

    @cached_property
    def _given(self) -> dict[str, tuple[str, str]]:
        """Source and key of the outputs that say where they are."""
        return {o.name: o.output.exdf for o in self.plan.results if o.output.exdf is not None}

    @cached_property
    def controls(self) -> list[str]:
        """Control sources that outputs say they belong to."""
        own = {*self.algorithms.values(), self.shared}
        named = {source for source, _ in self._given.values() if ":" not in source}
        return sorted((named | set(self.constants)) - own)

    @cached_property
    def constants(self) -> dict[str, dict[str, Any]]:
        """Values of the run that algorithms say, by control source and key."""
        out: dict[str, dict[str, Any]] = {}
        for bound in self.plan.algorithms:
            for source, values in bound.algorithm.run_values(bound.info).items():
                out.setdefault(source, {}).update(values)
        return out

    @cached_property
    def layouts(self) -> list[Item]:
        """Variables that are the layout of a device: no part of the dataset."""
        own = {o.name for o in self.plan.results if o.output.layout}
        return [item for item in self.items if item.variable.output in own]

    @cached_property
    def items(self) -> list[Item]:
        """All variables."""
        return [self._item(v) for v in self.variables.values()]

    def _item(self, variable: Variable) -> Item:
        place = self._place(variable)
        attributes = described(
            variable.attrs.get("units", ""), variable.attrs.get("long_name", ""), dims=" ".join(variable.dims)
        )
        return Item(variable, place, attributes)

    def _place(self, v: Variable) -> Place:
        """Return where a variable is."""
        if (own := self._given.get(v.output or v.dims[0].removesuffix("_event"))) is not None:
            return _given(v, *own)
        if v.axis in ("row", "train") and "." not in v.name:
            group = v.dims[0] if v.axis == "row" else "data"
            name = v.name.removeprefix(f"{v.dims[0]}_")
            return Place("INSTRUMENT", f"{self.shared}:output", f"{group}.{_camel(name)}")
        output = v.output or v.dims[0].removesuffix("_event")
        algorithm, key = self._split(v.name if v.axis in ("row", "train") else output)
        source = self.algorithms[algorithm]
        match v.axis:
            case "part":
                return Place("RUN", source, key)
            case "train":
                return Place("INSTRUMENT", f"{source}:output", f"data.{key}")
            case "row":
                return Place("INSTRUMENT", f"{source}:output", f"{v.dims[0]}.{key}")
            case "count":
                return Place("INDEX", f"{source}:output/{self._event_group(key)}", "count")
        label = LABELS.get(v.entry, "value")
        return Place("INSTRUMENT", f"{source}:output", f"{self._event_group(key)}.{label}")

    def _split(self, output: str) -> tuple[str, str]:
        """Return algorithm and key of an output: names of algorithms may have dots, those of keys have none."""
        algorithm, _, key = output.rpartition(".")
        return algorithm, key

    def _event_group(self, key: str) -> str:
        """Return the index group of an event output: its key, unless rows have a group of that name."""
        rows = {v.dims[0] for v in self.variables.values() if v.axis == "row"}
        return f"{key}_event" if key in {"data", *rows} else key

    def coordinates(self) -> Iterator[tuple[str, Place]]:
        """Yield the name and place of each label."""
        for name, coordinate in self.labels.items():
            yield name, self._coordinate(name, coordinate.dims[0])

    def _coordinate(self, name: str, dim: str) -> Place:
        if name in ("train", "time"):
            return Place("INDEX", "", {"train": "trainId", "time": "timestamp"}[name])
        label = next((k for k in LABELS if name.endswith(k)), None)
        if name == dim or label is None:
            return Place("RUN", self.shared, f"axes.{name.replace('.', '_')}")
        return Place("INSTRUMENT", f"{self.shared}:output", f"{dim}.{LABELS[label]}")

    def aliases(self) -> dict[str, Any]:
        """Return what EXtra-data's ``with_aliases`` reads: variables with rows, and sources of algorithms, by name."""
        keys = {i.variable.name: i.place for i in self.items if i.place.section in ("INSTRUMENT", "CONTROL")}
        return {**self.algorithms, **{name: [p.source, p.key] for name, p in keys.items()}}


def _given(v: Variable, source: str, key: str) -> Place:
    """Return where a variable is whose output says its source and key."""
    key = f"{key}_valid" if v.name.endswith("_valid") and v.name != v.output else key
    group = key.partition(".")[0]
    match v.axis:
        case "part":
            return Place("RUN", source, key)
        case "count":
            return Place("INDEX", f"{source}/{group}", "count")
        case "event" if v.entry in LABELS:
            return Place("INSTRUMENT", source, f"{group}.{LABELS[v.entry]}")
    return Place("INSTRUMENT" if ":" in source else "CONTROL", source, key)


def _camel(name: str) -> str:
    """Return a name as Karabo writes it: modules_used_2 as modulesUsed2."""
    first, *words = name.split("_")
    return first + "".join(w.capitalize() for w in words)
