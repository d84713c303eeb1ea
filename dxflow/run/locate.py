"""Where the entries of a source lie in the files of a run: EXtra-data says, once, for the whole plan."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import did_you_mean, listed
from ..reader.files import Stat
from .fileindex import FileIndex, Stored, stored_in
from .findings import Faults

if TYPE_CHECKING:
    from extra_data import DataCollection

    from .index import EntryIndex


@dataclass(frozen=True, eq=False)
class Location:
    """Files, datasets and rows of each module, train by train.

    Parameters
    ----------
    sources : tuple of str, (module,)
        "" where a module is missing.
    files : tuple of str
        After those that `file` counts, the ones that they lead to by links inside.
    datasets : tuple of str, (module,)
        HDF5 paths.
    file : ndarray of int32, (module, train)
        Which of `files`; -1 where the train has no data.
    first, count : ndarray of int64 and int32, (module, train)
        Rows of the dataset.
    shape, dtype
        Of what is read of one frame.
    stored : tuple of int
        Shape of a whole frame.
    roi : (slice, slice) or None
        The slow-scan and fast-scan pixels that are read.
    stats : tuple of (size, time of last change, inode)
        Of each file, when it was planned.
    per_entry : int
        Frames in one row of the dataset (JUNGFRAU: 16 memory cells).
    plane : int or None
        Position along an axis between row and pixels.
    """

    sources: tuple[str, ...]
    files: tuple[str, ...]
    datasets: tuple[str, ...]
    file: NDArray
    first: NDArray
    count: NDArray
    shape: tuple[int, ...]
    dtype: np.dtype
    stats: tuple[Stat, ...]
    stored: tuple[int, ...]
    roi: tuple[slice, slice] | None = None
    unit: str = ""
    per_entry: int = 1
    plane: int | None = None
    listed: NDArray | None = None
    """Which of `files` lists a train, be it without data, (module, train)."""


def nowhere(
    index: EntryIndex,
    shape: tuple[int, ...],
    dtype: np.dtype,
    unit: str = "",
    sources: tuple[str, ...] = ("",),
) -> Location:
    """Return the location of what is in no file of the run."""
    trains = (len(sources), len(index.train_ids))
    before = np.zeros((len(sources), len(index) + 1), np.int64)
    # What there is one of for all modules has a value in each row.
    there = index.entry >= 0 if len(sources) > 1 else np.ones((1, len(index)), bool)
    np.cumsum(there, axis=1, out=before[:, 1:])
    return Location(
        sources=sources,
        files=(),
        datasets=("",) * len(sources),
        file=np.full(trains, -1, np.int32),
        first=np.zeros(trains, np.int64),
        count=np.diff(before[:, index.offsets]).astype(np.int32),
        shape=shape,
        dtype=dtype,
        stats=(),
        stored=shape,
        unit=unit,
    )


def locate(
    run: DataCollection,
    sources: Sequence[str],
    key: str,
    trains: NDArray,
    faults: Faults,
    *,
    planes: Mapping[str, int] | None = None,
    plane: str = "data",
    strips: bool = False,
    roi: tuple[slice, slice] | None = None,
    offset: int = 0,
) -> Location:
    """Ask EXtra-data where a key of some sources (the modules of a detector) is, for the given trains.

    Data that a source recorded for train t are taken as those of train t + `offset`. Entries (frame, strip) are taken
    as frames of one row where `strips` says so.

    Raises
    ------
    KeyError
        If no source has the key.
    ValueError
        If frames do not have the plane or the region that is wanted.
    """
    data = [found(run, s, key, faults) for s in sources]
    one = _agreed(run, data, key, [s for s in sources if s], faults)
    files: dict[str, int] = {}
    where = np.full((4, len(sources), len(trains)), -1, np.int64)
    where[1:3] = 0
    for module, stored in enumerate(data):
        _fill(where[:, module], stored, one, trains, files, faults, offset)
    shape, per_entry, position = _frame_shape(one, planes, plane)
    if strips and len(shape) == 2:
        shape, per_entry = (1, shape[1]), shape[0]
    cut = _cut(roi, shape, one.source)
    paths = [*files, *led_to(data, files)]
    return Location(
        sources=tuple(s if d else "" for s, d in zip(sources, data, strict=True)),
        files=tuple(paths),
        datasets=tuple(d[0].path if d else "" for d in data),
        file=where[0].astype(np.int32),
        first=where[1],
        count=where[2].astype(np.int32),
        shape=shape if cut is None else tuple(s.stop - s.start for s in cut),
        stored=shape,
        roi=cut,
        dtype=one.dtype,
        stats=tuple(one.access.files.seen(f) for f in paths),
        unit=one.unit,
        per_entry=per_entry,
        plane=position,
        listed=where[3].astype(np.int32),
    )


def found(
    run: DataCollection, source: str, key: str, faults: Faults, cause: str = "missing key"
) -> list[Stored]:
    """Return a key of a source in each file that has it; none, and a fault, where the source lacks it."""
    if not source:
        return []
    name = source if source in run.all_sources else source.rpartition("@")[2]
    there = [one for access in _files_of(run, source) if (one := stored_in(access, name, key, faults))]
    absent = [one for one in there if not one.there]
    if len(absent) == len(there) and absent:
        faults.add(cause, absent[0].file, source, f"there is no {key!r} in this source")
        return []
    for one in absent:
        ids = one.access.train_ids
        faults.add(cause, one.file, source, f"there is no {one.path}", ids)
    return [one for one in there if one.there]


def _files_of(run: DataCollection, source: str) -> list[Any]:
    """Return the files of a source; one of REDUCTION or ERRATA may have the data aggregator before its name."""
    if source in run.all_sources:
        return sorted(run[source].files, key=lambda f: str(f.filename))
    aggregator, _, name = source.rpartition("@")
    files = [f for f in run.files if name in f.reduction_sources | f.errata_sources]
    return sorted((f for f in files if aggregator in ("", f.aggregator)), key=lambda f: str(f.filename))


def led_to(data: Sequence[Sequence[Stored]], files: Collection[str]) -> list[str]:
    """Return files that are read because others lead to them, as far as they are there."""
    others = {other: None for module in data for one in module if one.file in files for other in one.others}
    return [other for other in others if other not in files and os.path.exists(other)]


def _agreed(
    run: DataCollection, data: Sequence[Sequence[Stored]], key: str, sources: Sequence[str], faults: Faults
) -> Stored:
    """Return what most files have: a shape and dtype of entries."""
    kinds = Counter((one.dtype, one.entry) for module in data for one in module)
    unreadable = [f for f in faults.losses if f.cause == "unreadable data" and f.source in sources]
    if not kinds and unreadable:
        whys = "\n".join(f"- {f.file}: {f.detail}" for f in unreadable[:20])
        raise ValueError(f"no file of {listed(sources, 3)} has a readable {key}:\n{whys}")
    if not kinds:
        keys = {k for s in sources for k in keys_of(run, s)}
        raise KeyError(
            f"no key {key!r} in {listed(sources, 3)}.{did_you_mean(key, keys)} There are: {listed(keys)}"
        )
    most = max(kinds.values())
    return next(one for module in data for one in module if kinds[one.dtype, one.entry] == most)


def keys_of(run: DataCollection, source: str) -> set[str]:
    """Return the keys of a source, as far as its first file can be read."""
    try:
        return set((run if source in run.all_sources else run.auxiliary)[source].keys())
    # Whatever is wrong with the file: there is something to say already.
    except Exception:  # noqa: BLE001
        return set()


def _frame_shape(
    one: Stored, planes: Mapping[str, int] | None, plane: str
) -> tuple[tuple[int, ...], int, int | None]:
    """Return the shape of a frame, frames per row, and the position of the plane if there is such an axis.

    Only rows of detectors hold several frames or planes; `planes` is None for other sources.
    """
    shape = one.entry
    if len(shape) != 3 or planes is None:
        return shape, 1, None
    if not planes:
        return shape[1:], shape[0], None
    if plane not in planes or planes[plane] >= shape[0]:
        raise ValueError(f"{one.source}: no plane {plane!r}; there are {sorted(planes)} in shape {shape}")
    return shape[1:], 1, planes[plane]


def _cut(roi: tuple[slice, slice] | None, stored: tuple[int, ...], source: str) -> tuple[slice, slice] | None:
    """Return a region of pixels with its ends, checked against the frame."""
    if roi is None:
        return None
    if not (isinstance(roi, tuple) and len(roi) == 2 and all(map(_is_range, roi))):
        raise ValueError(f"{source}: roi={roi!r}: expected two slices, such as np.s_[100:200, :]")
    if len(stored) != 2:
        raise ValueError(f"{source}: roi= needs frames of two axes, these have shape {stored}")
    ends = [s.indices(n) for s, n in zip(roi, stored, strict=True)]
    if any(step != 1 or start >= stop for start, stop, step in ends):
        raise ValueError(f"{source}: roi={roi} takes nothing, or not every pixel, of frames of {stored}")
    return slice(*ends[0][:2]), slice(*ends[1][:2])


def _is_range(one: Any) -> bool:
    """Return whether this is a slice between whole numbers."""
    return isinstance(one, slice) and all(
        end is None or isinstance(end, (int, np.integer)) for end in (one.start, one.stop, one.step)
    )


def _fill(
    where: NDArray,
    stored: Sequence[Stored],
    one: Stored,
    trains: NDArray,
    files: dict[str, int],
    faults: Faults,
    offset: int,
) -> None:
    """Fill (file, first, count, file that lists it) of one module, (4, train), from the index of each of its files."""
    doubtful = np.zeros(len(trains), bool)
    for here in stored:
        if not len(here.access.train_ids):
            continue
        index = FileIndex(here, one, faults)
        ids = (index.train_ids.astype(np.int64) + offset).astype(np.uint64)
        _, positions, rows = np.intersect1d(trains, ids, return_indices=True)
        where[3, positions] = files.setdefault(here.file, len(files))
        filled = index.count[rows] > 0
        positions, rows = positions[filled], rows[filled]
        doubtful[positions[twice := where[0, positions] >= 0]] = True
        _note_twice(where, positions[twice], here, trains, files, faults)
        where[0, positions] = files.setdefault(here.file, len(files))
        where[1, positions] = index.first[rows]
        where[2, positions] = index.count[rows]
    where[0, doubtful], where[1:3, doubtful] = -1, 0


def _note_twice(
    where: NDArray, again: NDArray, here: Stored, trains: NDArray, files: Mapping[str, int], faults: Faults
) -> None:
    """Note trains that an earlier file has, too: nobody knows which is right."""
    names = list(files)
    for number in np.unique(where[0, again]):
        mine = again[where[0, again] == number]
        faults.add(
            "same trains in two files", here.file, here.source, f"and in {names[number]}", trains[mine]
        )
