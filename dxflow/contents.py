"""What a finished reduction holds: variables with their axes, read from fragments piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import fragments
from .chunk import chunk_path

if TYPE_CHECKING:
    from .index import EntryIndex
    from .outputs import BoundOutput
    from .plan import Plan

EVENT_COUNTS = "events.json"


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
    index : int
        Number of the index its rows follow.
    output : str
        Name of the output it belongs to.
    pixels : int
        Of its last axes, how many are modules and their pixels; only where the first is cut by "part".
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: Mapping[str, Any] = field(default_factory=dict)
    entry: str = ""
    axis: str = "part"
    index: int = -1
    output: str = ""
    pixels: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one step along the first axis."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Coordinate:
    """A labelled axis or a label along an axis: small, known to the driver."""

    dims: tuple[str, ...]
    values: NDArray
    attrs: Mapping[str, Any] = field(default_factory=dict)


class Contents:
    """The variables and coordinates of a result, and access to its fragments.

    Parameters
    ----------
    plan : Plan
    folder : path
        Where the fragments are.
    events : mapping of str to list of int
        Rows of each event output in each chunk.
    """

    def __init__(self, plan: Plan, folder: Path, events: Mapping[str, list[int]]) -> None:
        self.plan, self.folder, self.events = plan, folder, events
        self._names = _Names(plan)

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Contents:
        """Return the contents that the driver noted in a folder."""
        return cls(plan, folder, json.loads((folder / EVENT_COUNTS).read_text()))

    def note(self) -> None:
        """Leave what `of` needs in the folder."""
        (self.folder / EVENT_COUNTS).write_text(json.dumps(dict(self.events)))

    # What there is ------------------------------------------------------------------------------

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """All variables by name."""
        stored = [o for o in self.plan.outputs if o.output.store]
        out = [v for o in stored for v in self._of_output(o)]
        out += [self._modules_used(n) for n in self._names.frame_indexes]
        out += [self._trains_used()] if any(o.output.kind == "train" for o in stored) else []
        return {v.name: v for v in out}

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

    def _of_output(self, o: BoundOutput) -> Iterator[Variable]:
        out, dtype = o.output, np.dtype(o.output.dtype)
        dims, attrs = self._names.value_dims(o), _attrs(o) | self._names.detector(o)
        trains, pixels = len(self.plan.train_ids), o.pixels
        match out.kind:
            case "run":
                yield Variable(o.name, dims, out.shape, dtype, attrs, o.name, "part", -1, o.name)
            case "pixel":
                axes = self._names.pixel_dims(o)
                shape = out.shape + pixels
                yield Variable(
                    o.name, dims + axes, shape, dtype, attrs, o.name, "part", -1, o.name, len(axes)
                )
            case "train":
                shape = (trains, *out.shape)
                yield Variable(o.name, ("train", *dims), shape, dtype, attrs, o.name, "train", -1, o.name)
            case "event":
                yield from self._of_events(o, dims, dtype, attrs)
            case _:
                axes = self._names.pixel_dims(o) if out.kind == "image" else ()
                shape = (len(self.plan.indexes[o.rows]), *self._image_shape(o))
                row = self._names.rows[o.rows]
                yield Variable(
                    o.name,
                    (row, *axes[:1], *dims, *axes[1:]),
                    shape,
                    dtype,
                    attrs,
                    o.name,
                    "row",
                    o.rows,
                    o.name,
                )

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
            o.name, (axis, *dims), (n, *o.output.shape), dtype, attrs, f"{o.name}/rows", "event", -1, o.name
        )
        for label in _event_ids(self.plan.indexes[o.rows]):
            words = {"long_name": f"{label.replace('_', ' ')} of each row of {o.name}"}
            yield Variable(f"{o.name}_{label}", (axis,), (n,), ids, words, label, "event", o.rows, "")
        words = {"long_name": f"rows of {o.name} in each train"}
        shape = (len(self.plan.train_ids),)
        yield Variable(
            f"{o.name}_count", ("train",), shape, np.dtype("u4"), words, o.name, "count", -1, o.name
        )

    def _modules_used(self, index: int) -> Variable:
        """Return how many modules of each frame were used."""
        dim = self._names.rows[index]
        words = {"long_name": "modules of the frame that were used"}
        shape = (len(self.plan.indexes[index]),)
        return Variable(
            self._names.label("modules_used", index),
            (dim,),
            shape,
            np.dtype("i4"),
            words,
            f"modules/{index}",
            "row",
            index,
        )

    def _trains_used(self) -> Variable:
        """Return in which trains there was something to work on; integers of the others are no values."""
        words = {"long_name": "1 where the train had data"}
        shape = (len(self.plan.train_ids),)
        return Variable("train_used", ("train",), shape, np.dtype("u1"), words, "trains_used", "train")

    def _coordinates(self) -> Iterator[tuple[str, Coordinate]]:
        used = {v.dims[0] for v in self.variables.values() if v.dims}
        if "train" in used:
            yield "train", Coordinate(("train",), self.plan.train_ids, {"long_name": "train ID"})
        for number, dim in self._names.rows.items():
            if dim in used:
                index = self.plan.indexes[number]
                for label, values in index.labels(slice(0, len(index))).items():
                    words = {"long_name": label.replace("_id", " ID").replace("cell ID", "memory cell")}
                    yield self._names.label(label, number), Coordinate((dim,), values, words)
        for o in self.plan.outputs:
            if o.output.store and o.output.kind in ("pixel", "image"):
                dim, numbers = self._names.module_axis(o)
                yield dim, Coordinate((dim,), numbers, {"long_name": "module number"})
                yield from self._names.pixel_axes(o)
            if o.output.store:
                yield from self._names.value_coordinates(o)

    # Reading ------------------------------------------------------------------------------------

    def rows(self, variable: Variable, start: int, stop: int) -> NDArray:
        """Return rows start:stop of a variable cut along its first axis, from the fragments that hold them."""
        pieces = []
        for chunk, first, last in self._holders(variable):
            a, b = max(start, first), min(stop, last)
            if a < b:
                with fragments.Fragment(
                    chunk_path(self.folder, chunk, self.plan), self.plan.digest
                ) as fragment:
                    pieces.append(
                        self._of_chunk(variable, chunk, fragment, last - first)[a - first : b - first]
                    )
        return np.concatenate(pieces) if pieces else np.zeros((0, *variable.shape[1:]), variable.dtype)

    def part(self, variable: Variable, number: int) -> NDArray:
        """Return one part of a whole-run variable, all of it where modules are not apart."""
        with fragments.Fragment(final_path(self.folder, number, self.plan), self.plan.digest) as fragment:
            return fragment[variable.entry]

    def _holders(self, variable: Variable) -> Iterator[tuple[int, int, int]]:
        """Yield (chunk, first row, last row) of a variable."""
        at = 0
        for chunk in self.plan.chunks:
            match variable.axis:
                case "row":
                    rows = self.plan.indexes[variable.index].rows(chunk.first, chunk.last)
                    yield chunk.number, rows.start, rows.stop
                case "event":
                    n = self.events[variable.dims[0].removesuffix("_event")][chunk.number]
                    yield chunk.number, at, at + n
                    at += n
                case _:
                    yield chunk.number, chunk.first, chunk.last

    def _of_chunk(self, variable: Variable, number: int, fragment: fragments.Fragment, rows: int) -> NDArray:
        """Return a chunk's rows of a variable."""
        chunk = self.plan.chunks[number]
        if variable.axis == "count":
            counts = np.bincount(fragment[f"{variable.entry}/trains"], minlength=chunk.last - chunk.first)
            return counts.astype(variable.dtype)
        if variable.axis == "event" and not variable.output:
            return self._event_labels(variable, chunk.first, fragment)
        return fragment.of(variable.entry, (rows, *variable.shape[1:]), variable.dtype)

    def _event_labels(self, variable: Variable, first_train: int, fragment: fragments.Fragment) -> NDArray:
        """Return train or other ids of a chunk's events; those of frames are 0 where an event has no frame."""
        name = variable.dims[0].removesuffix("_event")
        if variable.entry == "train_id":
            return self.plan.train_ids[fragment[f"{name}/trains"] + first_train]
        index, frames = self.plan.indexes[variable.index], fragment[f"{name}/frames"]
        values = index.labels(slice(0, len(index)))[variable.entry]
        first = index.offsets[first_train]
        return np.where(frames < 0, 0, values[np.maximum(frames, 0) + first]).astype(variable.dtype)


class _Names:
    """Names of axes: plain where there is one of a kind, numbered or prefixed where there are several."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        leads = {plan.rows[a.stream]: plan.inputs[a.stream] for a in plan.algorithms}
        self.frame_indexes = sorted(
            n for n in leads if any(o.output.store and o.rows == n for o in plan.outputs)
        )
        self.rows: dict[int, str] = {}
        for number in range(len(plan.indexes)):
            base = "frame" if number in leads else "entry"
            taken = sum(d.split("_")[0] == base for d in self.rows.values())
            self.rows[number] = base if not taken else f"{base}_{taken + 1}"
        self._first_row = next(iter(self.frame_indexes), 0)
        self._pixels: dict[tuple, str] = {}
        self._values: dict[str, tuple[int, bytes]] = {}

    def label(self, name: str, index: int) -> str:
        """Return the name of a label of rows: plain for the first frames."""
        return name if index == self._first_row else f"{self.rows[index]}_{name}"

    def pixel_dims(self, o: BoundOutput) -> tuple[str, ...]:
        """Return the names of the module and pixel axes."""
        suffix = self._suffix(o)
        axes = ("ss", "fs") if len(o.pixels) == 3 else tuple(f"x{i}" for i in range(len(o.pixels) - 1))
        return tuple(f"{axis}{suffix}" for axis in ("module", *axes))

    def module_axis(self, o: BoundOutput) -> tuple[str, NDArray]:
        """Return the name of the module axis and the module numbers."""
        return f"module{self._suffix(o)}", np.asarray(self._lead(o).modules)

    def pixel_axes(self, o: BoundOutput) -> Iterator[tuple[str, Coordinate]]:
        """Yield pixel numbers where only a region of each module is read."""
        roi = self._lead(o).location.roi
        for dim, part in zip(self.pixel_dims(o)[1:], roi or (), strict=False):
            yield (
                dim,
                Coordinate((dim,), np.arange(part.start, part.stop), {"long_name": f"pixel along {dim[:2]}"}),
            )

    def _suffix(self, o: BoundOutput) -> str:
        """Return what tells detectors of different shape apart: "" for the first, "_2", "_3"."""
        key = (self._lead(o).modules, o.pixels, repr(self._lead(o).location.roi))
        if key not in self._pixels:
            self._pixels[key] = f"_{len(self._pixels) + 1}" if self._pixels else ""
        return self._pixels[key]

    def detector(self, o: BoundOutput) -> dict[str, str]:
        """Return the attribute that says whose pixels these are."""
        return {"detector": self._lead(o).name} if o.output.kind in ("pixel", "image") else {}

    def _lead(self, o: BoundOutput) -> Any:
        bound = next(a for a in self.plan.algorithms if a.name == o.algorithm)
        return self.plan.inputs[bound.stream]

    def value_dims(self, o: BoundOutput) -> tuple[str, ...]:
        """Return the names of the axes of one value; another algorithm's axis of the same name must be equal."""
        names = o.output.dims or tuple(f"{o.key}_{i}" for i in range(len(o.output.shape)))
        return tuple(self._own(o, name, size) for name, size in zip(names, o.output.shape, strict=True))

    def _own(self, o: BoundOutput, name: str, size: int) -> str:
        values = o.output.coordinate(name)[0].tobytes() if name in o.output.coords else b""
        named = name if o.output.dims else f"{o.algorithm}.{name}"
        if self._values.setdefault(named, (size, values)) == (size, values):
            return named
        return f"{o.algorithm}.{named}"

    def value_coordinates(self, o: BoundOutput) -> Iterator[tuple[str, Coordinate]]:
        """Yield the coordinates that an output declares."""
        for name, dim in zip(o.output.dims, self.value_dims(o), strict=False):
            if name in o.output.coords:
                values, unit = o.output.coordinate(name)
                yield dim, Coordinate((dim,), values, {"units": unit} if unit else {})


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


def final_path(folder: Path, part: int, plan: Plan) -> Path:
    """Return where the finalized totals of a part are."""
    return folder / f"final-{part:03d}-{plan.digest[:8]}.npz"
