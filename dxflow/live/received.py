"""The trains of a stream that are kept: large arrays in parcels that are freed when they are done, all else in files.

A parcel is a file of bytes in memory (or on a disk), the trains of a piece of the stream one after the other. Beside it
is a file as a run has them: trains, entries, values that are small, and of the large ones that they are there.
"""

from __future__ import annotations

import io
import math
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exdf.file import ExdfFile, Head, data_path
from .account import Unlike
from .mapping import Group

LARGE = 2**14
"""Bytes of a value of one train from which on it goes into a parcel."""
MOST = 10_000
"""Groups of keys: one that sends others in each train does not fill the memory."""
IDS = ("trainId", "pulseId", "cellId", "memoryCell")
"""What is read before the work begins is in files, however large."""
FILE = "RAW-R0001-LIVE01-S{:05d}.h5"
PARCEL = "{:05d}.parcel"


@dataclass(frozen=True)
class Pattern:
    """What is told of the entries of a group: the most of a train, and which ids there are."""

    most: int = 0
    ids: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def __or__(self, other: Pattern) -> Pattern:
        """Return what is told of both."""
        none: frozenset[int] = frozenset()
        ids = {key: self.ids.get(key, none) | other.ids.get(key, none) for key in {**self.ids, **other.ids}}
        return Pattern(max(self.most, other.most), ids)


@dataclass(frozen=True)
class Piece:
    """Neighbouring trains that are kept together: their file, their parcel, and where what is in this.

    Attributes
    ----------
    at : mapping
        Dataset -> train ids, the position in the parcel of each one's rows, and the bytes of a row.
    nbytes : int
        Of the parcel.
    patterns : mapping
        Group -> the most entries of a train, and all values of each id of entries: what is told of a whole run.
    chunk : int
        Trains of a chunk, by the time it was complete: no chunk has trains of two pieces.
    """

    number: int
    file: str
    parcel: str
    train_ids: NDArray
    at: Mapping[str, tuple[NDArray, NDArray, int]]
    nbytes: int
    patterns: Mapping[str, Pattern] = field(default_factory=dict)
    chunk: int = 0


class Held:
    """The values of a control source from some trains on."""

    def __init__(self) -> None:
        self._trains: list[int] = []
        self._values: list[Mapping[str, NDArray]] = []
        self._replaced = False

    def add(self, train: int, values: Mapping[str, NDArray], *, kept: bool) -> None:
        """Take the values of a train."""
        at = bisect_right(self._trains, train)
        before = self._values[at - 1] if at else None
        if before is not None and all(np.array_equal(before[k], v) for k, v in values.items()):
            return
        if at == len(self._trains) and self._replaced and not kept:
            # Of trains that are dropped one after the other only the last values matter.
            self._trains.pop()
            self._values.pop()
            at -= 1
        # A view would keep the whole message.
        self._trains.insert(at, train)
        self._values.insert(at, {key: array.copy() for key, array in values.items()})
        self._replaced = not kept and at == len(self._trains) - 1

    def kept(self) -> None:
        """Take note that a train was kept: what was held until then matters."""
        self._replaced = False

    def of(self, ids: NDArray) -> NDArray:
        """Return which values each of some trains has, (train,); -1 of none."""
        return np.searchsorted(np.array(self._trains, np.uint64), ids, side="right") - 1

    def rows(self, key: str, which: NDArray) -> NDArray:
        """Return values, one for each row."""
        return np.concatenate([self._values[n][key] for n in which])

    def forget(self, train: int) -> None:
        """Forget values that hold for no train from one on."""
        first = max(0, bisect_right(self._trains, train) - 1)
        del self._trains[:first], self._values[:first]


@dataclass
class Form:
    """Type and shape of what each group of keys has, as it came first, and which keys are large."""

    keys: dict[str, dict[str, tuple[np.dtype, tuple[int, ...]]]] = field(default_factory=dict)
    large: dict[str, int] = field(default_factory=dict)
    """Datasets that go into parcels, and the bytes of one of their rows."""
    unread: set[str] = field(default_factory=set)
    """Large datasets that nobody reads: they are there without values."""
    unlike: dict[str, Unlike] = field(default_factory=dict)
    """Groups that came in another form in trains that are kept."""
    _datasets: set[str] = field(default_factory=set)
    _groups: set[str] = field(default_factory=set)
    held: dict[str, Held] = field(default_factory=dict)
    """The values of control sources, which hold until others come."""

    def hold(self, train: int, groups: Mapping[str, Group], *, kept: bool) -> None:
        """Take note of the control values of a train, be it kept or dropped."""
        for place, group in groups.items():
            if ":" not in place:
                self.held.setdefault(place, Held()).add(train, group.values, kept=kept)

    def keeps(self, name: str) -> bool:
        """Return whether the values of a dataset go into parcels."""
        return name in self.large and name not in self.unread

    def accept(self, place: str, group: Group) -> tuple[Group | None, str]:
        """Return a group as all others of its place are; None, and why, where it is not."""
        known = self.keys.get(place)
        if known is None:
            known = self._new(place, group)
            if known or len(self.keys) < MOST:
                self.keys[place] = known
        for key, (dtype, shape) in known.items():
            array = group.values.get(key)
            why = ""
            if array is None:
                why = f"there is no {key}"
            elif array.dtype != dtype or array.shape[1:] != shape:
                why = f"{key} is {array.dtype} {array.shape[1:]}, was {dtype} {shape}"
            if why:
                return None, why
        return (Group(group.entries, {key: group.values[key] for key in known}) if known else None), ""

    def left_out(self, train: int, why: Mapping[str, str]) -> None:
        """Count what is left out of a train that is kept, by its place."""
        for place, one in why.items():
            self.unlike.setdefault(place, Unlike(why=one)).add(train)

    def _new(self, place: str, group: Group) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Return the form of a group that comes for the first time, without keys that have no place in a file."""
        names = [f"INDEX/{place}/first", f"INDEX/{place}/count"]
        names += [dataset(place, f"{place.rpartition('/')[2]}.trainId")] if ":" in place else []
        if len(self.keys) >= MOST or not self._places(names):
            return {}
        known = {}
        for key, values in group.values.items():
            name = dataset(place, key)
            if not self._places([name] if ":" in place else [name, f"{name.removesuffix('value')}timestamp"]):
                continue
            known[key] = values.dtype, values.shape[1:]
            if ":" in place and values.nbytes >= LARGE and key.rpartition(".")[2] not in IDS:
                self.large[name] = math.prod(values.shape[1:]) * values.dtype.itemsize
        return known

    def _places(self, names: Sequence[str]) -> bool:
        """Take names for datasets; return whether they are free: none is a group of others, nor has a dataset above."""
        groups = {str(parent) for name in names for parent in PurePosixPath(name).parents}
        if (groups | {*names}) & self._datasets or {*names} & self._groups:
            return False
        self._datasets |= {*names}
        self._groups |= groups
        return True


def dataset(place: str, key: str) -> str:
    """Return the dataset of a key of a group, ``source/group``, or of a control source."""
    source = place.rpartition("/")[0] if ":" in place else place
    return data_path("INSTRUMENT" if ":" in place else "CONTROL", source, key)


class Open:
    """A piece that gets trains: its parcel is written as they come, its file in the end."""

    def __init__(self, number: int, parcels: Path, form: Form) -> None:
        self.number, self._form = number, form
        self.path = parcels / PARCEL.format(number)
        self._out = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.nbytes = 0
        self.trains: dict[int, int] = {}
        """Train id -> nanoseconds since 1970, 0 where that is not known."""
        self._counts: dict[str, dict[int, int]] = {}
        self._small: dict[tuple[str, str], dict[int, NDArray]] = {}
        self._at: dict[str, dict[int, int]] = {}

    def add(self, train: int, timestamp: int, groups: Mapping[str, Group]) -> None:
        """Keep a train.

        Raises
        ------
        OSError
            If there is no room: then nothing of it is kept.
        """
        before, at = self.nbytes, {}
        try:
            for place, group in groups.items():
                for key, values in group.values.items():
                    if group.entries and self._form.keeps(name := dataset(place, key)):
                        at[name] = self._put(values)
        except OSError:
            os.ftruncate(self._out, before)
            self.nbytes = before
            raise
        self.trains[train] = timestamp
        for name, position in at.items():
            self._at.setdefault(name, {})[train] = position
        for place, group in groups.items():
            if ":" not in place:
                continue
            self._counts.setdefault(place, {})[train] = group.entries
            for key, values in group.values.items():
                if dataset(place, key) not in self._form.large:
                    # A view would keep the whole message.
                    self._small.setdefault((place, key), {})[train] = values.copy()

    def _put(self, values: NDArray) -> int:
        """Write an array to the parcel; return where it is there."""
        at, view = self.nbytes, np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        while view:
            n = os.pwrite(self._out, view, self.nbytes)
            view, self.nbytes = view[n:], self.nbytes + n
        return at

    def close(self, folder: Path) -> Piece:
        """Write the file of the trains that came; nothing is added any more.

        Raises
        ------
        OSError
            If there is no room for it: then it can be tried again.
        """
        path = folder / FILE.format(self.number)
        ids = np.array(sorted(self.trains), np.uint64)
        write(path, self, self._form, ids)
        os.close(self._out)
        at = {}
        for name, where in self._at.items():
            there = np.array(sorted(where), np.uint64)
            at[name] = there, np.array([where[int(t)] for t in there], np.int64), self._form.large[name]
        patterns = {place: self._pattern(place, ids) for place in self._counts}
        patterns |= dict.fromkeys(self._form.held, Pattern())
        for held in self._form.held.values():
            held.forget(int(ids[-1]))
        return Piece(self.number, str(path), str(self.path), ids, at, self.nbytes, patterns)

    def _pattern(self, place: str, ids: NDArray) -> Pattern:
        """Return what is told of the entries of a group."""
        named = [key for key in self._form.keys[place] if key.rpartition(".")[2] in IDS]
        there = {key: frozenset(np.unique(self.rows(place, key, ids)).tolist()) for key in named}
        return Pattern(int(self.counts(place, ids).max(initial=0)), there)

    def discard(self) -> None:
        """Forget it, as if nothing had come."""
        os.close(self._out)
        self.path.unlink(missing_ok=True)

    def counts(self, place: str, ids: NDArray) -> NDArray:
        """Return how many entries a group has in each train, (train,)."""
        of = self._counts.get(place, {})
        return np.array([of.get(int(t), 0) for t in ids], np.uint64)

    def rows(self, place: str, key: str, ids: NDArray) -> NDArray:
        """Return the values of a small key in the trains that have some, one after the other."""
        of = self._small.get((place, key), {})
        dtype, shape = self._form.keys[place][key]
        parts = [of[int(t)] for t in ids if int(t) in of]
        return np.concatenate(parts) if parts else np.zeros((0, *shape), dtype)

    def places(self) -> list[str]:
        """Return the groups that came in at least one train."""
        return sorted(self._counts)


def write(path: Path, piece: Open, form: Form, ids: NDArray) -> None:
    """Write the file of a piece, under another name until it is complete."""
    import h5py

    # In memory first: on a disk that is full, HDF5 can crash its process.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="v110") as file:
        head = Head(
            ids, np.array([piece.trains[int(t)] for t in ids], np.uint64), np.ones(len(ids), np.int32)
        )
        made = ExdfFile(_Plain(file), head)  # type: ignore[arg-type]
        for place in piece.places():
            _instrument(file, made, piece, form, place, ids)
        for place, held in form.held.items():
            _control(made, held, form, place, head)
        made.finish()
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(buffer.getbuffer())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _instrument(file: Any, made: ExdfFile, piece: Open, form: Form, place: str, ids: NDArray) -> None:
    """Write a group of an instrument source; large keys have no values here."""
    source, _, group = place.rpartition("/")
    counts = piece.counts(place, ids)
    made.instrument(source, group, counts)
    for key, (dtype, shape) in form.keys[place].items():
        name = dataset(place, key)
        if name in form.large:
            # Never written: it takes no room, and who reads it is told that there is nothing.
            file.create_dataset(name, (int(counts.sum()), *shape), dtype, fillvalue=None)
        else:
            made.append_key(name, piece.rows(place, key, ids))


def _control(made: ExdfFile, held: Held, form: Form, place: str, head: Head) -> None:
    """Write a control source: values hold until others come; before the first there are none."""
    which = held.of(head.train_ids)
    there = which >= 0
    if not there.any():
        return
    made.control(place, there.astype(np.uint64))
    for key in form.keys[place]:
        values = held.rows(key, which[there])
        made.control_key(place, key.removesuffix(".value"), values, head.timestamps[there])


class _Plain:
    """Writes what an `ExdfFile` is made of as it comes: each dataset at once."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def rows(self, path: str, dtype: np.dtype, shape: tuple[int, ...], *_: Any) -> None:
        """Nothing to do before the values."""

    def append(self, path: str, values: NDArray) -> None:
        self._file.create_dataset(path, data=values)

    def plain(self, path: str, values: NDArray) -> None:
        self._file.create_dataset(path, data=values)

    def text(self, path: str, lines: list[str]) -> None:
        import h5py

        self._file.create_dataset(path, data=[s.encode() for s in lines], dtype=h5py.string_dtype())

    def group(self, path: str) -> None:
        self._file.require_group(path)

    def attributes(self, path: str, values: dict[str, Any]) -> None:
        if values:
            self._file[path].attrs.update(values)
