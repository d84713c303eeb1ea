"""What there is in a result: variables with their axes and labels, as its plan says; nothing of it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..declare.outputs import valid_name
from .axes import Coordinate, Names

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from ..planning.public import Plan
    from ..planning.sight import Sight
    from ..run.index import EntryIndex

USED = {
    "valid": "whether a frame of the module was used in the train",
    "train_used": "1 where the train had data",
    "modules_used": "modules of the frame that were used",
}

PROVISIONAL = "made of all rows so far: those of before may change when there are more"
"""Said of what `finalize_rows` made, where the run goes on."""


@dataclass(frozen=True)
class Variable:
    """An array of the result.

    Parameters
    ----------
    name : str
    dims, shape, dtype
        Of the whole array.
    attrs : mapping
        ``units``, ``long_name`` and the like.
    entry : str
        Name of its array in fragments.
    axis : str
        What the first axis is cut along: "row" (`index`), "train", "event", or "part": an array per part,
        cut along the module axis.
    index : EntryIndex
        What its rows follow, if it has any.
    output : str
        Name of the output it belongs to.
    pixels : int
        Of its last axes, how many are modules and their pixels; only where the first is cut by "part".
    maker : int
        Number of the algorithm that makes it of all rows, in a fragment of its own; -1 for what chunks make.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: Mapping[str, Any] = field(default_factory=dict)
    entry: str = ""
    axis: str = "part"
    index: EntryIndex | None = None
    output: str = ""
    pixels: int = 0
    maker: int = -1

    @property
    def row_bytes(self) -> int:
        """Bytes of one step along the first axis."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Variables:
    """The variables and coordinates of a result.

    Parameters
    ----------
    plan : Plan
    events : mapping of str to list of int, optional
        Rows of each event output in each chunk; none by default, as before a run.
    """

    def __init__(self, plan: Plan, events: Mapping[str, list[int]] | None = None) -> None:
        self.plan = plan
        own = (o.name for o in plan.outputs if o.output.kind == "event")
        self.events = dict.fromkeys(own, [0] * len(plan.chunks)) if events is None else events
        self._names = Names(plan)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """All variables by name."""
        stored = [o for o in self.plan.results if o.output.store]
        out = [v for o in stored for v in self.of_output(o)]
        for number, sight in enumerate(dict.fromkeys(self.plan.sights.values())):
            own = [o for o in stored if self.plan.sights[o.algorithm] == sight]
            out += self._of_sight(number, sight, own) if own else []
        says = [o for o in stored if o.says_valid and not o.output.layout]
        valid = {valid_name(o): self.where_valid(o) for o in says}
        return valid | {v.name: v for v in out}

    @cached_property
    def coordinates(self) -> dict[str, Coordinate]:
        """All coordinates by name, those of events excepted, which are variables."""
        return dict(self._coordinates())

    @property
    def labels(self) -> list[str]:
        """Names of variables that are labels rather than results."""
        return [v.name for v in self.variables.values() if not v.output]

    @property
    def nbytes(self) -> int:
        """Bytes of all variables."""
        return sum(v.nbytes for v in self.variables.values())

    def of_output(self, o: BoundOutput) -> Iterator[Variable]:
        """Yield the variables of an output; what says where an integer has a value is apart."""
        names = [a.name for a in self.plan.algorithms]
        maker = names.index(o.algorithm) if o.output.stage == "rows" else -1
        yield from (replace(v, maker=maker) for v in self._of_output(o))

    def _of_output(self, o: BoundOutput) -> Iterator[Variable]:
        out, dtype = o.output, np.dtype(o.output.dtype)
        dims, attrs = self._names.value_dims(o), _attrs(o) | self._names.detector(o)
        if out.stage == "rows" and self.plan.live and not self.plan.live["final"]:
            attrs |= {"provisional": PROVISIONAL}
        trains, pixels = len(self.plan.train_ids), o.pixels
        match out.kind:
            case "run":
                yield Variable(o.name, dims, out.shape, dtype, attrs, o.name, "part", None, o.name)
            case "pixel":
                axes = self._names.pixel_dims(o)
                shape = out.shape + pixels
                yield Variable(
                    o.name, dims + axes, shape, dtype, attrs, o.name, "part", None, o.name, len(axes)
                )
            case "train":
                shape = (trains, *out.shape)
                yield Variable(o.name, ("train", *dims), shape, dtype, attrs, o.name, "train", None, o.name)
            case "event":
                yield from self._of_events(o, dims, dtype, attrs)
            case _ if o.index is not None:
                axes = self._names.pixel_dims(o) if out.kind == "image" else ()
                shape = (len(o.index), *self._image_shape(o))
                where = (self._names.rows[o.index], *axes[:1], *dims, *axes[1:])
                yield Variable(o.name, where, shape, dtype, attrs, o.name, "row", o.index, o.name)

    @staticmethod
    def _image_shape(o: BoundOutput) -> tuple[int, ...]:
        if o.output.kind != "image":
            return o.output.shape
        return (o.pixels[0], *o.output.shape, *o.pixels[1:])

    def _of_events(
        self, o: BoundOutput, dims: tuple[str, ...], dtype: np.dtype, attrs: Mapping[str, Any]
    ) -> Iterator[Variable]:
        """Yield rows, their train and frame, and the count in each train of an event output."""
        n, axis = sum(self.events[o.name]), f"{o.name}_event"
        ids = np.dtype("u8")
        yield Variable(
            o.name, (axis, *dims), (n, *o.output.shape), dtype, attrs, f"{o.name}/rows", "event", None, o.name
        )
        assert o.index is not None
        for label in _event_ids(o.index):
            words = {"long_name": f"{label.replace('_', ' ')} of each row of {o.name}"}
            yield Variable(f"{o.name}_{label}", (axis,), (n,), ids, words, label, "event", o.index, "")
        words = {"long_name": f"rows of {o.name} in each train"}
        shape = (len(self.plan.train_ids),)
        yield Variable(
            f"{o.name}_count", ("train",), shape, np.dtype("u4"), words, o.name, "count", None, o.name
        )

    def _of_sight(self, number: int, sight: Sight, own: list[BoundOutput]) -> Iterator[Variable]:
        """Yield which modules of each train and frame were used by the algorithms that see the same frames."""
        by = {"algorithms": " ".join(dict.fromkeys(o.algorithm for o in own))}
        trains = (len(self.plan.train_ids),)
        axis, modules = self._names.module_axis(own[0])
        yield self._label("valid", number, ("train", axis), (*trains, len(modules)), "?", by)
        if any(o.output.kind == "train" for o in own):
            yield self._label("train_used", number, ("train",), trains, "u1", by)
        if any(o.index is sight.index for o in own):
            shape = (len(sight.index),)
            made = self._label("modules_used", number, (self._names.rows[sight.index],), shape, "i4", by)
            yield replace(made, axis="row", index=sight.index)

    def _label(
        self,
        what: str,
        number: int,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: str,
        attrs: Mapping[str, str],
    ) -> Variable:
        """Return a label of all trains or frames that some algorithms saw."""
        words = {"long_name": USED[what], **attrs}
        name = self._names.of_sight(what, number)
        # What has two axes is no label of either.
        own = name if what == "valid" else ""
        return Variable(name, dims, shape, np.dtype(dtype), words, f"{what}/{number}", "train", None, own)

    def where_valid(self, o: BoundOutput) -> Variable:
        """Return where an integer output has a value: where it has none it is 0."""
        (of,) = self.of_output(o)
        n = 2 if o.output.kind == "image" else 1
        words = {"long_name": f"where {o.name} has a value"}
        entry = valid_name(o)
        return replace(
            of,
            name=entry,
            dims=of.dims[:n],
            shape=of.shape[:n],
            dtype=np.dtype("?"),
            attrs=words,
            entry=entry,
        )

    def row_labels(self) -> Iterator[tuple[str, Coordinate]]:
        """Yield the labels of trains and rows by name."""
        used = {v.dims[0] for v in self.variables.values() if v.dims}
        if "train" in used:
            yield "train", Coordinate(("train",), self.plan.train_ids, {"long_name": "train ID"})
        for index, dim in self._names.rows.items():
            if dim in used:
                for label, values in index.labels(slice(0, len(index))).items():
                    words = {"long_name": label.replace("_id", " ID").replace("cell ID", "memory cell")}
                    yield self._names.label(label, index), Coordinate((dim,), values, words)

    def _coordinates(self) -> Iterator[tuple[str, Coordinate]]:
        yield from self.row_labels()
        for o in self.plan.results:
            if o.output.store:
                dim, numbers = self._names.module_axis(o)
                yield dim, Coordinate((dim,), numbers, {"long_name": "module number"})
            if o.output.store and o.output.kind in ("pixel", "image"):
                yield from self._names.pixel_axes(o)
            if o.output.store:
                yield from self._names.value_coordinates(o)


def _event_ids(index: EntryIndex) -> list[str]:
    """Return which labels of its frame an event has: pulse ids are enough where there are some."""
    ids = index.labels(slice(0, 0))
    return ["train_id", "pulse_id"] if "pulse_id" in ids else list(ids)


def _attrs(o: BoundOutput) -> dict[str, Any]:
    """Return the attributes of an output's variable."""
    attrs: dict[str, Any] = {}
    if o.output.unit:
        attrs["units"] = o.output.unit
    if o.output.doc:
        attrs["long_name"] = o.output.doc
    return attrs
