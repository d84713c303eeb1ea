"""What a finished reduction holds: variables with their axes, read from fragments piece by piece."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import valid_name
from ..disk.fragments import Fragment, chunk_path, final_path, rows_path
from . import noted
from .axes import Coordinate, Names
from .origin import Origin, origin

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..planning.sight import Sight
    from ..run.index import EntryIndex
    from ..run.losses import Loss

USED = {
    "valid": "whether a frame of the module was used in the train",
    "train_used": "1 where the train had data",
    "modules_used": "modules of the frame that were used",
}


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


class Contents:
    """The variables and coordinates of a result, and access to its fragments.

    Parameters
    ----------
    plan : Plan
    folder : path
        Where the fragments are.
    events : mapping of str to list of int
        Rows of each event output in each chunk.
    losses : sequence of Loss
        What could not be used, in the order in which it was found.
    """

    def __init__(
        self, plan: Plan, folder: Path, events: Mapping[str, list[int]], losses: Sequence[Loss] = ()
    ) -> None:
        self.plan, self.folder, self.events, self.losses = plan, folder, events, losses
        self._names = Names(plan)

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Contents:
        """Return the contents that the driver noted in a folder."""
        known = noted.read(folder, plan.digest)
        made = cls(plan, folder, known.events, known.losses)
        made.origin, made.counts = known.origin, dict(known.counts)
        return made

    def note(self) -> None:
        """Leave what `of` needs in the folder: it is found out once, not by each that writes a piece."""
        known = noted.Noted(self.events, self.counts, self.losses, self.origin)
        known.write(self.folder, self.plan.digest)

    @cached_property
    def origin(self) -> Origin:
        """What the files of the run say of its trains."""
        return origin(self.plan)

    @cached_property
    def counts(self) -> dict[str, NDArray]:
        """Rows of each event output in each train."""
        found = {name: np.zeros(len(self.plan.train_ids), np.int64) for name in self.events}
        for chunk in self.plan.chunks if found else ():
            with self._fragment(chunk.number) as fragment:
                for name, counts in found.items():
                    counts[chunk.first : chunk.last] += np.bincount(
                        fragment[f"{name}/trains"], minlength=chunk.last - chunk.first
                    )
        return found

    # What there is ------------------------------------------------------------------------------

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """All variables by name."""
        stored = [o for o in self.plan.results if o.output.store]
        out = [v for o in stored for v in self.of_output(o)]
        for number, sight in enumerate(dict.fromkeys(self.plan.sights.values())):
            own = [o for o in stored if self.plan.sights[o.algorithm] == sight]
            out += self._of_sight(number, sight, own) if own else []
        valid = {valid_name(o): self.where_valid(o) for o in stored if o.says_valid}
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

    # Reading ------------------------------------------------------------------------------------

    def rows(self, variable: Variable, start: int, stop: int) -> NDArray:
        """Return rows start:stop of a variable cut along its first axis, from the fragments that hold them."""
        if variable.maker >= 0:
            return self._of_rows(variable)[start:stop]
        if variable.axis == "count":
            return self.counts[variable.entry][start:stop].astype(variable.dtype)
        pieces = []
        for chunk, first, last in self._holders(variable):
            a, b = max(start, first), min(stop, last)
            if a < b:
                with self._fragment(chunk) as fragment:
                    own = slice(a - first, b - first)
                    pieces.append(self._of_chunk(variable, chunk, fragment, last - first, own))
        return np.concatenate(pieces) if pieces else np.zeros((0, *variable.shape[1:]), variable.dtype)

    def part(self, variable: Variable, number: int) -> NDArray:
        """Return one part of a whole-run variable, all of it where modules are not apart."""
        if variable.maker >= 0:
            return self._of_rows(variable)
        with self._opened(final_path(self.folder, number, self.plan.digest)) as fragment:
            return fragment[variable.entry]

    def used(self, sight: Sight, what: str) -> NDArray:
        """Return a label, "train_used" or "modules_used", of all trains or frames that some algorithms saw."""
        number = list(dict.fromkeys(self.plan.sights.values())).index(sight)
        made = self._label(what, number, (), (len(self.plan.train_ids),), "u1", {})
        if what == "modules_used":
            made = replace(
                made, axis="row", index=sight.index, shape=(len(sight.index),), dtype=np.dtype("i4")
            )
        return self.rows(made, 0, made.shape[0])

    def _of_rows(self, variable: Variable) -> NDArray:
        """Return a variable that was made of all rows."""
        with self._opened(rows_path(self.folder, variable.maker, self.plan.digest)) as fragment:
            return fragment.of(variable.entry, variable.shape, variable.dtype)

    def _fragment(self, chunk: int) -> Fragment:
        return self._opened(chunk_path(self.folder, chunk, self.plan.digest))

    def _opened(self, path: Path) -> Fragment:
        return Fragment(path, self.plan.digest)

    def _holders(self, variable: Variable) -> Iterator[tuple[int, int, int]]:
        """Yield (chunk, first row, last row) of a variable."""
        at = 0
        for chunk in self.plan.chunks:
            match variable.axis:
                case "row":
                    assert variable.index is not None
                    rows = variable.index.rows(chunk.first, chunk.last)
                    yield chunk.number, rows.start, rows.stop
                case "event":
                    n = self.events[variable.dims[0].removesuffix("_event")][chunk.number]
                    yield chunk.number, at, at + n
                    at += n
                case _ if chunk.part == 0:
                    yield chunk.number, chunk.first, chunk.last

    def _of_chunk(
        self, variable: Variable, number: int, fragment: Fragment, rows: int, own: slice
    ) -> NDArray:
        """Return some of a chunk's rows of a variable; no others are read."""
        chunk = self.plan.chunks[number]
        if variable.axis == "event" and not variable.output:
            return self._event_labels(variable, chunk, fragment)[own]
        shape = (rows, *variable.shape[1:])
        found = fragment.of(variable.entry, shape, variable.dtype, own.start, own.stop)
        if variable.entry.startswith("valid/"):
            for other in self._same_trains[chunk.first, chunk.last]:
                if other != number:
                    with self._fragment(other) as one:
                        found |= one.of(variable.entry, shape, variable.dtype, own.start, own.stop)
        return found

    @cached_property
    def _same_trains(self) -> dict[tuple[int, int], list[int]]:
        """Chunks, of all modules, by the trains that they have."""
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for chunk in self.plan.chunks:
            found[chunk.first, chunk.last].append(chunk.number)
        return found

    def _event_labels(self, variable: Variable, chunk: Chunk, fragment: Fragment) -> NDArray:
        """Return train or other ids of a chunk's events; those of frames are 0 where an event has no frame."""
        name = variable.dims[0].removesuffix("_event")
        if variable.entry == "train_id":
            return self.plan.train_ids[fragment[f"{name}/trains"] + chunk.first]
        index, frames = variable.index, fragment[f"{name}/frames"]
        assert index is not None
        values = index.labels(index.rows(chunk.first, chunk.last))[variable.entry]
        return np.where(frames < 0, 0, np.append(values, values.dtype.type(0))[frames]).astype(variable.dtype)


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
