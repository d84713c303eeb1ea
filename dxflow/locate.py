"""Where the entries of a source lie in the files of a run: EXtra-data says, once, for the whole plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .fileindex import FileIndex
from .losses import Loss
from .near import did_you_mean, listed
from .reader.files import Stat, stat_of

if TYPE_CHECKING:
    from extra_data import DataCollection


@dataclass(frozen=True, eq=False)
class Location:
    """Files, datasets and rows of each module, train by train.

    Parameters
    ----------
    sources : tuple of str, (module,)
        "" where a module is missing.
    files : tuple of str
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


@dataclass
class Faults:
    """What `plan()` finds wrong with the data, collected so that one message can say all of it."""

    losses: list[Loss] = field(default_factory=list)
    whole: bool = True
    """Whether this is a whole run: of a single file, or of someone's selection, other modules are not missing."""

    def missing_modules(self, detector: str, modules: Sequence[int]) -> None:
        """Note modules that a detector should have and the run does not."""
        for module in modules:
            self.losses.append(
                Loss("missing module", source=detector, module=module, detail="not in this run")
            )

    def add(self, cause: str, file: str, source: str, detail: str, train_ids: NDArray | None = None) -> None:
        """Note one fault of a source in a file."""
        loss = Loss(cause, source=source, file=file, detail=detail)
        if train_ids is not None:
            first, last = int(train_ids[0]), int(train_ids[-1])
            loss = replace(loss, trains=len(train_ids), first_train=first, last_train=last)
        self.losses.append(loss)


def locate(
    run: DataCollection,
    sources: Sequence[str],
    key: str,
    trains: NDArray,
    faults: Faults,
    *,
    planes: Mapping[str, int] | None = None,
    plane: str = "data",
    roi: tuple[slice, slice] | None = None,
    offset: int = 0,
) -> Location:
    """Ask EXtra-data where a key of some sources (the modules of a detector) is, for the given trains.

    Data that a source recorded for train t are taken as those of train t + `offset`.

    Raises
    ------
    KeyError
        If no source has the key.
    ValueError
        If frames do not have the plane or the region that is wanted.
    """
    data = [key_data(run, s, key, faults) for s in sources]
    one = _agreed(run, data, key, [s for s in sources if s])
    files: dict[str, int] = {}
    where = np.full((3, len(sources), len(trains)), -1, np.int64)
    where[1:] = 0
    for module, kd in enumerate(data):
        if kd is not None:
            _fill(where[:, module], kd, one, trains, files, faults, offset)
    stored, per_entry, position = _frame_shape(one, planes or {}, plane)
    cut = _cut(roi, stored, one.source)
    return Location(
        sources=tuple(s if d is not None else "" for s, d in zip(sources, data, strict=True)),
        files=tuple(files),
        datasets=tuple("" if d is None else d.hdf5_data_path for d in data),
        file=where[0].astype(np.int32),
        first=where[1],
        count=where[2].astype(np.int32),
        shape=stored if cut is None else tuple(s.stop - s.start for s in cut),
        stored=stored,
        roi=cut,
        dtype=np.dtype(one.dtype),
        stats=tuple(stat_of(f) for f in files),
        unit=one.units or "",
        per_entry=per_entry,
        plane=position,
    )


def key_data(run: DataCollection, source: str, key: str, faults: Faults, cause: str = "missing key") -> Any:
    """Return a key of a source; None, and a fault, where the source lacks it."""
    if not source:
        return None
    # EXtra-data looks into the first file only, whichever that is.
    data = copy(run[source])
    data.files = sorted(data.files, key=lambda f: (not _holds(f, source, key), f.filename))
    if key in data:
        return data[key]
    file = data.files[0].filename
    faults.add(cause, file, source, f"there is no {key!r} in this source")
    return None


def _holds(file: Any, source: str, key: str) -> bool:
    return file.has_source_key(source, key) or file.has_source_key(source, f"{key}.value")


def _agreed(run: DataCollection, data: Sequence[Any], key: str, sources: Sequence[str]) -> Any:
    """Return the KeyData of a module that has the shape and dtype which most modules have."""
    kinds: dict[tuple, list[Any]] = {}
    for one in data:
        # A file without the dataset is a fault of its own.
        with suppress(KeyError):
            if one is not None:
                kinds.setdefault((one.dtype, one.entry_shape), []).append(one)
    if not kinds:
        keys = set().union(*(run[s].keys() for s in sources))
        raise KeyError(
            f"no key {key!r} in {listed(sources, 3)}.{did_you_mean(key, keys)} There are: {listed(keys)}"
        )
    return max(kinds.values(), key=len)[0]


def _frame_shape(kd: Any, planes: Mapping[str, int], plane: str) -> tuple[tuple[int, ...], int, int | None]:
    """Return the shape of a frame, frames per row, and the position of the plane if there is such an axis."""
    shape = tuple(int(n) for n in kd.entry_shape)
    if len(shape) != 3:
        return shape, 1, None
    if not planes:
        return shape[1:], shape[0], None
    if plane not in planes or planes[plane] >= shape[0]:
        raise ValueError(f"{kd.source}: no plane {plane!r}; there are {sorted(planes)} in shape {shape}")
    return shape[1:], 1, planes[plane]


def _cut(roi: tuple[slice, slice] | None, stored: tuple[int, ...], source: str) -> tuple[slice, slice] | None:
    """Return a region of pixels with its ends, checked against the frame."""
    if roi is None:
        return None
    if len(stored) != 2:
        raise ValueError(f"{source}: roi= needs frames of two axes, these have shape {stored}")
    ends = [s.indices(n) for s, n in zip(roi, stored, strict=True)]
    if any(step != 1 or start >= stop for start, stop, step in ends):
        raise ValueError(f"{source}: roi={roi} takes nothing, or not every pixel, of frames of {stored}")
    return slice(*ends[0][:2]), slice(*ends[1][:2])


def _fill(
    where: NDArray, kd: Any, one: Any, trains: NDArray, files: dict[str, int], faults: Faults, offset: int
) -> None:
    """Fill (file, first, count) of one module, (3, train), from the index of each of its files."""
    for access in kd.files:
        if not len(access.train_ids):
            continue
        index = FileIndex(access, kd, one, faults)
        ids = (index.train_ids.astype(np.int64) + offset).astype(np.uint64)
        _, positions, rows = np.intersect1d(trains, ids, return_indices=True)
        filled = index.count[rows] > 0
        positions, rows = positions[filled], rows[filled]
        where[0, positions] = files.setdefault(access.filename, len(files))
        where[1, positions] = index.first[rows]
        where[2, positions] = index.count[rows]
