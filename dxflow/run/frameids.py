"""Pulse and cell ids of frames, read for the rows of files that frames are read from, and the index they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reader.extents import array
from ..reader.faults import ReadFault
from .detectors import Detector
from .findings import Faults
from .index import NOT_KNOWN, EntryIndex, align, doubts, strange
from .locate import Location

UNKNOWN = -1
"""The id of a frame of which the file does not say it."""
IMPOSSIBLE = 2**62


def frame_ids(
    run: Any, at: Location, module: int, key: str, trains: NDArray, faults: Faults
) -> NDArray | None:
    """Return one id per frame of a module, in the order of trains, (frame,); None where no file has such a key.

    Frames whose id cannot be read get `UNKNOWN`, and are a fault.
    """
    counts = at.count[module].astype(np.int64) * at.per_entry
    out = np.full(counts.sum(), UNKNOWN, np.int64)
    files = {f.filename: f for f in run.files}
    path = f"/INSTRUMENT/{at.sources[module]}/{key.replace('.', '/')}"
    ids = _Ids(at, module, path, trains, faults)
    numbers = np.unique(at.file[module][at.file[module] >= 0])
    said = {n: ids.said(files[at.files[n]], n) for n in numbers}
    if said and all(one is None for one in said.values()):
        return None
    for number, one in said.items():
        if one is None:
            ids.fault(number, f"there is no {path}, other files have it")
        elif len(one):
            ids.fill(out, one, number, np.cumsum(counts) - counts)
    return out


@dataclass(frozen=True)
class _Ids:
    """The ids of the frames of one module."""

    at: Location
    module: int
    path: str
    trains: NDArray
    faults: Faults

    def said(self, access: Any, number: int) -> NDArray | None:
        """Return the ids of a file, (frame,); empty where they cannot be read, None where there are none."""
        try:
            if not access.has_dataset(self.path):
                return None
            ids = self._read(access)
        except ReadFault as e:
            self.fault(number, f"{e.dataset}: {e.detail}")
            return np.zeros(0, np.int64)
        at, mine = self.at, self.at.file[self.module] == number
        rows = int((at.first + at.count)[self.module][mine].max())
        if at.per_entry > 1 and ids.size != len(ids) * at.per_entry:
            return None
        if len(ids) < rows or ids.dtype.kind not in "iu" or ids.size != len(ids) * at.per_entry:
            self.fault(number, f"{self.path} is {ids.dtype} {ids.shape}, not one id for each of {rows} rows")
            return np.zeros(0, np.int64)
        # Negative ones are as impossible as large ones, and not unknown.
        odd, out = (ids < 0) | (ids.astype(float) > IMPOSSIBLE), ids.astype(np.int64)
        return np.asarray(np.where(odd, IMPOSSIBLE, out).ravel())

    def _read(self, access: Any) -> NDArray:
        """Return the dataset; cells that were never written are 0, since frames can still be told apart by pulses."""
        try:
            return array(access.files, access.filename, self.path)
        except ReadFault as e:
            if e.cause != "never written" or "cell" not in self.path.lower():
                raise
            source = self.at.sources[self.module]
            self.faults.note(e.cause, access.filename, f"{self.path}: taken as 0", None, source)
            return array(access.files, access.filename, self.path, filled=True)

    def fill(self, out: NDArray, ids: NDArray, number: int, start: NDArray) -> None:
        """Fill in the ids of the trains of one file; `start` is where each train begins in `out`."""
        at, trains = self.at, np.flatnonzero(self.at.file[self.module] == number)
        first, count = (a[self.module][trains].astype(np.int64) * at.per_entry for a in (at.first, at.count))
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        out[np.repeat(start[trains], count) + within] = ids[np.repeat(first, count) + within]

    def fault(self, number: int, detail: str) -> None:
        """Note that the ids of a file cannot be known."""
        trains = self.trains[self.at.file[self.module] == number]
        self.faults.add(
            "frames without ids", self.at.files[number], self.at.sources[self.module], detail, trains
        )


def frame_index(run: Any, kind: Detector, trains: NDArray, at: Location, faults: Faults) -> EntryIndex:
    """Read pulse and cell ids of every module and align them."""
    counts = at.count.astype(np.int64) * at.per_entry
    # Both of a module at once, while its files are open.
    both = [
        [_ids(run, at, module, key, trains, faults) for key in (kind.pulses, kind.cells)]
        for module in range(len(counts))
    ]
    pulses, cells = [p for p, _ in both], [c for _, c in both]
    known = any(p is not None for p in pulses)
    if kind.turns:
        cells = [_numbers(c) % kind.turns for c in counts]
    elif not all(c is None for c in cells):
        cells = [*_all_or_none(cells, kind.cells, counts, at, trains, faults)]
    ids = _all_or_none(pulses, kind.pulses, counts, at, trains, faults) if known else [*map(_numbers, counts)]
    for module, (p, c) in enumerate(zip(ids, cells, strict=True)):
        _note_doubts(counts[module], p, c, module, at, trains, faults)
    for module, odd in enumerate(strange(counts, ids, cells)):
        if len(odd):
            _note(
                odd,
                "its frames have none of the ids that the other modules agree on",
                module,
                at,
                trains,
                faults,
            )
            train = np.repeat(np.arange(len(trains)), counts[module])
            ids[module] = np.where(np.isin(train, odd), UNKNOWN, ids[module])
    index = align(trains, counts, ids, cells)
    # Where nothing says which pulse a frame saw, its number in the train is not taken for one.
    return index if known else replace(index, pulse_ids=None)


def _ids(run: Any, at: Location, module: int, key: str, trains: NDArray, faults: Faults) -> NDArray | None:
    """Return ids of one module, (entry,)."""
    return frame_ids(run, at, module, key, trains, faults) if key else None


def _numbers(counts: NDArray) -> NDArray:
    """Return the number of each entry in its train, (entry,)."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _all_or_none(
    ids: Sequence[NDArray | None], key: str, counts: NDArray, at: Location, trains: NDArray, faults: Faults
) -> list[NDArray]:
    """Return ids of all modules; a module that alone has none gets unknown ones, and is a fault."""
    out = []
    for module, one in enumerate(ids):
        if one is None and (there := counts[module] > 0).any():
            detail = f"there is no {key} in this module, others have it"
            file = at.files[at.file[module][there][0]]
            faults.add("frames without ids", file, at.sources[module], detail, trains[there])
        out.append(np.full(counts[module].sum(), UNKNOWN) if one is None else one)
    return out


def _note_doubts(
    counts: NDArray,
    pulses: NDArray,
    cells: NDArray | None,
    module: int,
    at: Location,
    trains: NDArray,
    faults: Faults,
) -> None:
    """Note frames of a module that are left out since their ids cannot be true; unknown ones are noted by now."""
    train = np.repeat(np.arange(len(counts)), counts)
    for why, which in doubts(counts, pulses, cells).items():
        if why == NOT_KNOWN or not which.any():
            continue
        _note(
            np.unique(train[which]), f"{which.sum()} frames are left out: {why}", module, at, trains, faults
        )


def _note(affected: NDArray, detail: str, module: int, at: Location, trains: NDArray, faults: Faults) -> None:
    """Note a fault of some trains (positions) of a module, file by file."""
    for number in np.unique(at.file[module][affected]):
        mine = affected[at.file[module][affected] == number]
        faults.add("doubtful frames", at.files[number], at.sources[module], detail, trains[mine])


def aligned(
    index: EntryIndex, align: str, detector: str, modules: Sequence[int], at: Location, faults: Faults
) -> EntryIndex:
    """Return the index with the rows that `align` asks for; those that are left out are counted.

    Modules that lack everything do not count: without them nothing would be left.
    """
    there = index.entry[(index.entry >= 0).any(axis=1)]
    everywhere: NDArray = np.all(there >= 0, axis=0)
    if align == "outer" or everywhere.all():
        return index
    if align == "strict":
        first = int(np.flatnonzero(~everywhere)[0])
        label = {k: int(v[0]) for k, v in index.labels(slice(first, first + 1)).items()}
        raise ValueError(
            f"{detector}: {(~everywhere).sum()} of {len(index)} frames are not in all modules, the first at {label}; "
            "align='inner' takes those that are, 'outer' fills what is missing"
        )
    faults.notes += index.left_out(everywhere, modules, at.sources)
    return index.select(everywhere)
