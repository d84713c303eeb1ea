"""One sequence file of a reduction: rows from fragments, values of the whole run, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...exdf.file import ExdfFile, Head, data_path, storable
from ...exdf.units import described
from ...hdf5.rows import CHUNK_BYTES, storage
from ...hdf5.sink import Sink
from ...planning.reads import reads
from .places import LABELS, Item, Places

if TYPE_CHECKING:
    from ...run.index import EntryIndex
    from ...run.losses import Loss
    from ..contents import Contents
    from ..variables import Variable


@dataclass(frozen=True, eq=False)
class Piece:
    """A sequence file: it has the trains at positions ``first:last``, and says something about itself."""

    first: int
    last: int
    head: Head


def write(contents: Contents, places: Places, folder: Path, piece: Piece) -> dict[str, Any]:
    """Write a file, in a process of its own; return its "bytes" and "crc32".

    Raises
    ------
    WriteError
        If that cannot be; nothing is left then.
    """
    sink = Sink(folder / str(piece.head.name))
    try:
        _Reduced(contents, places, ExdfFile(sink, piece.head), piece).write()
        answer = sink.close()
        sink.publish()
    except BaseException:
        sink.discard()
        raise
    return answer


class _Reduced:
    """A file while it is written."""

    def __init__(self, contents: Contents, places: Places, file: ExdfFile, piece: Piece) -> None:
        self.places, self.file, self.sink, self.piece = places, file, file.sink, piece
        self.contents, self.plan = contents, contents.plan

    def write(self) -> None:
        """Write all sections."""
        self._controls()
        self._groups()
        for item in self.places.items:
            match item.place.section:
                case "INSTRUMENT":
                    self._rows(item)
                case "CONTROL":
                    self._of_trains(item)
                case "RUN":
                    self._whole_run(item)
        self._reduction()
        self.file.finish()

    # CONTROL and RUN ----------------------------------------------------------------------------

    def _controls(self) -> None:
        """Declare the control sources: parameters, and frames per train."""
        made = self.plan.fingerprint
        for bound, own in zip(self.plan.algorithms, made["algorithms"], strict=True):
            facts = {"classId": own["class"], "dxflow.algorithm": bound.name, "dxflow.inputs": own["inputs"]}
            facts |= {"dxflow.reads": reads(self.plan)[bound.name]}
            facts |= {f"dxflow.{k}": own[k] for k in ("depends", "code")}
            facts |= {f"parameters.{k}": v for k, v in own["options"].items()}
            self._control(self.places.algorithms[bound.name], bound.stream, facts)
        common = {f"dxflow.{k}": made[k] for k in ("run", "on_fault", "block", "versions")}
        self._control(
            self.places.shared,
            self.plan.algorithms[0].stream,
            {"classId": "dxflow.Plan", **common},
        )
        for source in self.places.controls:
            self.file.control(source)
        for source, values in self.places.constants.items():
            for key, value in values.items():
                self.file.run_key(source, key, _value(value))
        for name, place in self.places.coordinates():
            if place.section == "RUN":
                coordinate = self.places.labels[name]
                words = coordinate.attrs.get("long_name", f"values along {name}")
                attributes = described(coordinate.attrs.get("units", ""), words)
                self.file.run_key(place.source, place.key, storable(coordinate.values), attributes=attributes)

    def _control(self, source: str, lead: int, facts: Mapping[str, Any]) -> None:
        """Write a control source: frames per train, and facts as values of the run.

        All but the class have a first part of the key that no output has.
        """
        self.file.control(source)
        frames = self.plan.inputs[lead].index.counts[self.piece.first : self.piece.last].astype(np.uint32)
        words = {"description": "frames of the first input that were reduced"}
        self.file.control_key(source, "dxflow.frames", frames, attributes=words)
        for key, value in facts.items():
            self.file.run_key(source, key, _value(value))

    def _of_trains(self, item: Item) -> None:
        """Write an output per train as values of a control source."""
        values = storable(self.contents.rows(item.variable, self.piece.first, self.piece.last))
        self.file.control_key(item.place.source, item.place.key, values, attributes=item.attributes)

    def _whole_run(self, item: Item) -> None:
        """Write an output of the whole run: a large one in the first file only, the others refer to it."""
        variable, place = item.variable, item.place
        if variable.nbytes <= CHUNK_BYTES and len(self.plan.parts) == 1:
            value = storable(self.contents.part(variable, 0))
            self.file.run_key(place.source, place.key, value, attributes=item.attributes)
        elif self.piece.first == 0:
            self._in_parts(item)
        else:
            assert self.file.head.name is not None
            first = str(type(self.file.head.name)(**{**vars(self.file.head.name), "sequence": 0}))
            self.file.run_link(place.source, place.key, first)

    def _in_parts(self, item: Item) -> None:
        """Write a large output of the whole run, a group of modules at a time."""
        variable, place = item.variable, item.place
        dtype = storable(np.zeros(0, variable.dtype)).dtype
        modules = next((n for n, dim in enumerate(variable.dims) if dim.split("_")[0] == "module"), None)
        chunk = list(storage(dtype, variable.shape).chunk)
        if modules is not None:
            # Each part of modules begins with a chunk.
            chunk[modules + 1] = 1
        path = self.file.run_array(place.source, place.key, dtype, variable.shape, chunk, item.attributes)
        for number, part in enumerate(self.plan.parts if modules is not None else self.plan.parts[:1]):
            start = [part.start if axis == modules else 0 for axis in range(len(variable.shape))]
            self.sink.region(path, start, storable(self.contents.part(variable, number)))

    # INSTRUMENT ---------------------------------------------------------------------------------

    def _groups(self) -> None:
        """Declare the index groups, with pulses and cells of their rows."""
        made: dict[tuple[str, str], Variable] = {}
        for item in self.places.items:
            if item.place.section == "INSTRUMENT":
                made.setdefault((item.place.source, item.place.group), item.variable)
        # Labels of rows that nothing shared has, such as those of a key read beside frames.
        rows = {
            item.variable.dims[0]: item.variable for item in self.places.items if item.variable.axis == "row"
        }
        for _, place in self.places.coordinates():
            if place.section == "INSTRUMENT" and place.group in rows:
                made.setdefault((place.source, place.group), rows[place.group])
        for (source, group), variable in made.items():
            there = self._there.get((source, group))
            counts = self._counts(variable) if there is None else there.astype(np.int64)
            self.file.instrument(source, group, counts, train_ids=True)
            if variable.axis == "row" and variable.index is not None:
                self._labels(source, group, variable.index)

    @cached_property
    def _there(self) -> dict[tuple[str, str], NDArray]:
        """Which trains of the file have an entry in the index groups that are layouts of devices, (train,)."""
        outputs = {
            o.name: o
            for o in self.plan.results
            if o.output.layout and o.says_valid and o.output.kind == "train"
        }
        out: dict[tuple[str, str], NDArray] = {}
        for item in self.places.layouts:
            if item.place.section == "INSTRUMENT" and (o := outputs.get(item.variable.output)):
                valid = self.contents.where_valid(o)
                there = self.contents.rows(valid, self.piece.first, self.piece.last) != 0
                group = item.place.source, item.place.group
                out[group] = out.get(group, np.zeros(len(there), bool)) | there
        return out

    def _counts(self, variable: Variable) -> NDArray:
        """Return how many rows of a variable each train of the file has."""
        trains = slice(self.piece.first, self.piece.last)
        if variable.axis == "row" and variable.index is not None:
            return variable.index.counts[trains]
        if variable.axis == "train":
            return np.ones(trains.stop - trains.start, np.int64)
        return self._event_counts(variable)[trains]

    def _event_counts(self, variable: Variable) -> NDArray:
        """Return the events of each train of the run, as far as this file needs them."""
        return self.contents.counts[variable.dims[0].removesuffix("_event")][: self.piece.last]

    def _labels(self, source: str, group: str, index: EntryIndex) -> None:
        """Write pulse and cell IDs of rows."""
        rows = index.rows(self.piece.first, self.piece.last)
        labels = index.labels(rows)
        for label, dtype in (("pulse_id", np.uint64), ("cell_id", np.uint16), ("entry_id", np.uint32)):
            if label in labels:
                path = data_path("INSTRUMENT", source, f"{group}.{LABELS[label]}")
                self.file.append_key(path, labels[label].astype(dtype))

    def _rows(self, item: Item) -> None:
        """Write the rows of a variable, a chunk of the reduction at a time; train IDs are there already."""
        if item.place.key.endswith(".trainId"):
            return
        variable, path = item.variable, item.place.path
        dtype = storable(np.zeros(0, variable.dtype)).dtype
        self.sink.rows(path, dtype, variable.shape[1:])
        self.sink.attributes(path, item.attributes)
        there = self._there.get((item.place.source, item.place.group))
        for start, stop in self._spans(variable):
            values = self.contents.rows(variable, start, stop)
            if there is not None:
                values = values[there[start - self.piece.first : stop - self.piece.first]]
            self.sink.append(path, storable(values))

    def _spans(self, variable: Variable) -> Iterator[tuple[int, int]]:
        """Yield the rows of this file in stretches that lie in one chunk each."""
        if variable.axis == "row" and variable.index is not None:
            at = variable.index.offsets
        elif variable.axis == "train":
            at = np.arange(self.piece.last + 1)
        else:
            at = np.concatenate([[0], np.cumsum(self._event_counts(variable))])
        edges = {self.piece.first, self.piece.last, *(c.first for c in self.plan.chunks)}
        inside = sorted(e for e in edges if self.piece.first <= e <= self.piece.last)
        yield from ((int(at[a]), int(at[b])) for a, b in zip(inside[:-1], inside[1:], strict=True))

    # REDUCTION ----------------------------------------------------------------------------------

    def _reduction(self) -> None:
        """Write what was left out: frames that were not selected, and losses."""
        dims = {v.index: v.dims[0] for v in self.contents.variables.values() if v.axis == "row"}
        for bound in self.plan.inputs:
            if bound.index in dims and bound.kind == "frames":
                self._selection(dims.pop(bound.index), bound)
        self._losses()

    def _selection(self, group: str, bound: Any) -> None:
        """Write how many frames each train had and kept; if some were dropped, which were kept."""
        index, trains = bound.index, slice(self.piece.first, self.piece.last)
        in_run = bound.location.count.max(axis=0) * bound.location.per_entry
        self._reduced(
            group,
            np.ones(self.file.trains, np.int64),
            {
                "framesBeforeReduction": in_run[trains].astype(np.uint32),
                "framesAfterReduction": index.counts[trains].astype(np.uint32),
            },
        )
        if in_run.sum() > len(index):
            rows = index.rows(trains.start, trains.stop)
            kept = index.entry[:, rows].max(axis=0, initial=-1).astype(np.uint32)
            self._reduced(f"{group}Selection", index.counts[trains], {"indicesBeforeReduction": kept})

    def _losses(self) -> None:
        """Write the losses that begin in this file, as entries of the train in which they do."""
        losses, ids = self._own_losses(), self.file.head.train_ids
        at = (
            np.searchsorted(ids, [loss.first_train for loss in losses]).clip(0, len(ids) - 1).astype(np.int64)
        )
        order = np.argsort(at, kind="stable")
        sorted_losses = [losses[n] for n in order]
        keys: dict[str, NDArray] = {}
        for key, words in _LOSS_KEYS.items():
            values = [getattr(loss, key) for loss in sorted_losses]
            dtype: Any = np.int64 if words == "number" else np.str_
            keys[_camel(key)] = np.array(values, dtype)
        self._reduced("loss", np.bincount(at, minlength=len(ids)), keys)

    def _own_losses(self) -> list[Loss]:
        """Return the losses that begin in this file; those without a train, or from before all, are in the first."""
        ids, losses = self.plan.train_ids, self.contents.losses
        at = np.searchsorted(ids, [loss.first_train for loss in losses]).clip(0, len(ids) - 1)
        own = (self.piece.first <= at) & (at < self.piece.last)
        return [losses[int(n)] for n in np.flatnonzero(own)]

    def _reduced(self, group: str, counts: NDArray, keys: Mapping[str, NDArray]) -> None:
        """Write an index group of the section REDUCTION."""
        self.file.reduction(self.places.reduction, group, counts)
        for key, values in keys.items():
            self.file.append_key(
                data_path("REDUCTION", self.places.reduction, f"{group}.{key}"), storable(values)
            )


_LOSS_KEYS = {
    **dict.fromkeys(("cause", "source", "file", "algorithm", "detail"), "text"),
    **dict.fromkeys(("module", "frames", "trains", "first_train", "last_train"), "number"),
}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.title() for word in tail)


def _value(value: Any) -> Any:
    """Return an option as the format holds it: numbers and text as they are, others as JSON."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list) and value and all(isinstance(v, (int, float)) for v in value):
        return np.asarray(value)
    return json.dumps(value)
