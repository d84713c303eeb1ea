"""Writes the frames of a copy with a codec, each compared with the bound, and says in the file what was done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p
from numpy.typing import NDArray

from ..codecs.frames import Encoded, Encoder, Encoding, add_filters
from . import record
from .objects import dataset_like
from .pixels import Step, samples
from .rows import blocks

METHOD = "CODEC"
"""Of the record in files: ``CODEC_REDUCTION/<source>``."""
AT_ONCE = 8
"""Rows that are read at once where they are not in chunks."""
MEANING = {
    "largestError": "largest change of a pixel of the train, unit of the data",
    "framesWithoutLoss": "frames of the train that are stored as they were, since the bound would have been broken",
}


@dataclass(frozen=True, eq=False)
class Done:
    """What was done to the rows of a dataset: largest change, frames without loss, (row,)."""

    encoding: Encoding
    error: NDArray
    fallen: NDArray

    def note(self, dataset: h5py.Dataset) -> None:
        """Say it beside the values."""
        found = {"largest_error": self.error.max(initial=0.0), "frames_without_loss": int(self.fallen.sum())}
        if self.encoding.bound:
            # Of a copy of a copy: what was done before is not within this bound.
            for name in [n for n in dataset.attrs if n.startswith("bound.") or n in found]:
                dataset.attrs[f"earlier.{name}"] = dataset.attrs.pop(name)
            dataset.attrs.update(found)
        dataset.attrs.update(self.encoding.facts)


def move(
    source: h5py.Dataset,
    there: h5py.Group,
    name: str,
    rows: NDArray,
    steps: Sequence[Step],
    encoding: Encoding,
) -> Done:
    """Write rows of a dataset, after some steps, into a new one like it with a codec."""
    chunk = chunk_of(source, encoding)
    into = dataset_like(there, name, source, len(rows), _creation(source, chunk, encoding))
    encode = Encoder(encoding, chunk, source.dtype)
    done = Done(encoding, np.zeros(len(rows)), np.zeros(len(rows), np.uint32))
    step = source.chunks[0] if source.chunks else AT_ONCE
    for first, values in blocks(source, rows, 0, len(rows), step):
        for change in steps:
            values = change(values)
        for row, frame in enumerate(values, first):
            _row(into, encode, row, frame, done)
    for change in steps:
        into.attrs.update(change.facts)
    done.note(into)
    return done


def _row(into: h5py.Dataset, encode: Encoder, row: int, values: NDArray, done: Done) -> None:
    """Write an entry: one frame, or some."""
    for at, made in _encoded(encode, values):
        into.id.write_direct_chunk((row, *at), made.data, made.skipped)
        done.error[row] = max(done.error[row], made.error)
        done.fallen[row] += made.fallen


def _encoded(encode: Encoder, values: NDArray) -> Iterator[tuple[tuple[int, ...], Encoded]]:
    """Yield the frames of an entry: where each begins, and what is stored."""
    for at in product(*(range(0, n, c) for n, c in zip(values.shape, encode.shape[1:], strict=True))):
        frame = values[tuple(slice(a, a + c) for a, c in zip(at, encode.shape[1:], strict=True))]
        yield at, encode(np.ascontiguousarray(frame))


def changeable(dtype: np.dtype) -> bool:
    """Return whether values of a type can be rounded."""
    return dtype.kind == "f" and dtype.itemsize in (4, 8) and dtype.isnative


def sampled(source: h5py.Dataset, rows: NDArray, steps: Sequence[Step], encoding: Encoding) -> int:
    """Return about how many bytes rows will need after some steps, from a few of them."""
    encode = Encoder(encoding, chunk_of(source, encoding), source.dtype)
    sizes = [
        sum(len(made.data) for _, made in _encoded(encode, values[0]))
        for values in samples(source, rows, steps)
    ]
    return sum(sizes) * len(rows) // max(1, len(sizes))


def chunk_of(source: h5py.Dataset, encoding: Encoding) -> tuple[int, ...]:
    """Return a chunk of one entry, or, since the bound is kept frame by frame, of one frame."""
    shape = tuple(max(1, n) for n in source.shape[1:])
    return (*(1 for _ in shape[:-2]), 1, *shape[-2:]) if encoding.bound else (1, *shape)


def _creation(source: h5py.Dataset, chunk: tuple[int, ...], encoding: Encoding) -> h5p.PropDCID:
    """Return the properties of the dataset: those of the original, but for how it is stored."""
    theirs, creation = source.id.get_create_plist(), h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(chunk)
    creation.set_alloc_time(h5d.ALLOC_TIME_INCR)
    creation.set_attr_creation_order(theirs.get_attr_creation_order())
    if theirs.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
        value = np.zeros((), source.dtype)
        theirs.get_fill_value(value)
        creation.set_fill_value(value)
    add_filters(creation, encoding.filters())
    return creation


def write_record(original: h5py.File, made: h5py.File, done: Mapping[str, Done]) -> None:
    """Say in the section REDUCTION what was done to each train, if the version of the file allows it."""
    if not record.can_hold(record.version_of(original)):
        return
    for path, one in done.items():
        _, *source, group, key = path.split("/")
        there = record.free_name(made, f"{METHOD}_REDUCTION/{'/'.join(source)}")
        index = made[f"INDEX/{'/'.join(source)}/{group}"]
        bounds = index["first"][:].astype(np.int64), index["count"][:].astype(np.int64)
        record.index(made, f"INDEX/{there}/{group}", len(made["INDEX/trainId"]))
        for fact, values in _facts(one, *bounds).items():
            dataset = made.create_dataset(f"REDUCTION/{there}/{group}/{key}/{fact}", data=values)
            dataset.attrs["description"] = MEANING[fact]
        said: dict[str, Any] = {**one.encoding.facts, "software": record.software()}
        if note := one.encoding.how.note:
            said["reader"] = note
        record.parameters(made, there, METHOD, said)
        record.list_source(made, f"REDUCTION/{there}/{group}")


def _facts(done: Done, first: NDArray, count: NDArray) -> dict[str, NDArray]:
    """Return the values of each key of a record, (train,)."""
    parts = [slice(a, a + n) for a, n in zip(first, count, strict=True)]
    return {
        "largestError": np.array([done.error[part].max(initial=0.0) for part in parts]),
        "framesWithoutLoss": np.array([done.fallen[part].sum() for part in parts], np.uint32),
    }
