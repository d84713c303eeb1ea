"""From a selection of frames to the entries of each module in each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Frames
from ..errors import PlanError
from ..run.bound import BoundInput
from ..run.detectors import Found
from ..run.findings import Faults
from ..run.losses import Loss
from ..run.open import OpenedRun
from ..run.selection import FrameSelection, none_of
from .sections import index_of
from .tasks import Cut

Cuts = dict[str, dict[str, Cut]]
"""By file and ``source/group``."""


@dataclass(frozen=True)
class FrameCount:
    """Frames of a detector, as all its modules together have them, before and after; `width` of one module's train."""

    before: int
    after: int
    width: int


def cuts(
    opened: OpenedRun, found: Sequence[Found], trains: NDArray, selections: Sequence[FrameSelection] | None
) -> tuple[Cuts, dict[str, FrameCount]]:
    """Return what is kept in each file by a selection for each detector, and frames before and after by detector.

    Raises
    ------
    PlanError
        If there is no detector, its index is not in order (what is whose would be a guess), or no frame is left.
    """
    if selections is None:
        return {}, {}
    if not found:
        raise PlanError("frames: there is no detector in what is copied, so there are no frames to select")
    made: Cuts = {}
    counted = {}
    whys = []
    for one, selection in zip(found, selections, strict=True):
        bound = _bound(opened, one, trains)
        keep = _applied(selection, bound, len(found))
        if len(keep) and not keep.any():
            whys.append(f"{one.name} ({one.data}): {none_of(bound.index)}")
        counted[f"{one.name} ({one.data})"] = _cut(opened, bound, keep, trains, made)
    if len(whys) == len(found):
        raise PlanError(f"nothing to copy: {'; '.join(whys)}")
    return made, counted


def _bound(opened: OpenedRun, found: Found, trains: NDArray) -> BoundInput:
    """Find all frames of a detector."""
    faults = Faults()
    wanted = Frames(detector=found.name, data=found.data, modules=tuple(found.sources))
    bound = wanted.bind(opened.run, trains, faults)
    if losses := [loss for loss in faults.losses if _concerns(loss, trains)]:
        listed = "\n  ".join(str(loss) for loss in losses[:5])
        raise PlanError(
            f"{found.name}: frames cannot be selected where files are not in order:\n  {listed}\n"
            "Leave these trains or modules out with trains= or modules="
        )
    return bound


def _concerns(loss: Loss, trains: NDArray) -> bool:
    """Return whether a fault is in one of the trains, or in no train in particular."""
    return not loss.trains or bool(((trains >= loss.first_train) & (trains <= loss.last_train)).any())


def _applied(selection: FrameSelection, bound: BoundInput, detectors: int) -> NDArray:
    """Return which rows of the index are selected."""
    try:
        return selection.apply(bound.index)
    except ValueError as e:
        several = "; there are several detectors, say which with detector=" if detectors > 1 else ""
        raise PlanError(f"{bound.name}: {e}{several}") from e


def _cut(opened: OpenedRun, bound: BoundInput, keep: NDArray, trains: NDArray, made: Cuts) -> FrameCount:
    """Add the cuts of a detector; return its frames."""
    group = bound.key.partition(".")[0]
    files = {f.filename: f for f in opened.run.files}
    width = 0
    for module, source in enumerate(bound.location.sources):
        train, entry, file = _entries(bound, keep, module)
        for path, access in files.items():
            if source in access.instrument_sources:
                mine = file == path
                cut = _of_file(access, f"{source}/{group}", trains, bound, module, train[mine], entry[mine])
                width = max(width, int(cut.counts.max(initial=0)))
                if not cut.keeps_all:
                    made.setdefault(path, {})[f"{source}/{group}"] = cut
    return FrameCount(len(keep), int(_staying(bound, keep).sum()), width)


def _staying(bound: BoundInput, keep: NDArray) -> NDArray:
    """Return which rows of the index stay: those that are selected, and all others of their entries."""
    index, per_entry = bound.index, bound.location.per_entry
    if per_entry == 1:
        return keep
    stays, position = keep.copy(), index.train_positions(slice(0, len(index)))
    for module in range(len(bound.location.sources)):
        frame = index.entries(module, slice(0, len(index))).astype(np.int64)
        entry = position * (frame.max(initial=0) + 1) + frame // per_entry
        there = frame >= 0
        stays |= there & np.isin(entry, entry[keep & there])
    return stays


def _entries(bound: BoundInput, keep: NDArray, module: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return train id, number within the train, and file of each selected entry of a module, in file order.

    An entry of several frames (the memory cells of a JUNGFRAU) is kept if one of them is selected.
    """
    index, at = bound.index, bound.location
    frame = index.entries(module, slice(0, len(index))).astype(np.int64)
    rows = np.flatnonzero(keep & (frame >= 0))
    position, entry = index.train_positions(slice(0, len(index)))[rows], frame[rows] // at.per_entry
    pairs = (
        np.unique(np.stack([position, entry], axis=1), axis=0) if len(rows) else np.zeros((0, 2), np.int64)
    )
    names = np.array([*at.files, ""], dtype=object)
    return index.train_ids[pairs[:, 0]], pairs[:, 1], names[at.file[module, pairs[:, 0]]]


def _of_file(
    access: Any, name: str, trains: NDArray, bound: BoundInput, module: int, train: NDArray, entry: NDArray
) -> Cut:
    """Return the cut of an index group of a file.

    Raises
    ------
    PlanError
        If the file has entries of a train that were found in another file.
    """
    ids = access.file["INDEX/trainId"][:]
    before = np.zeros(len(ids), np.int64)
    _, count = index_of(access.file, name)
    before[: len(count)] = count
    wanted = np.flatnonzero(np.isin(ids, trains) & (before > 0))
    where = bound.location.file[module, np.searchsorted(trains, ids[wanted])]
    path = access.filename
    for row, number in zip(wanted.tolist(), where.tolist(), strict=True):
        if number < 0 or bound.location.files[number] != path:
            other = bound.location.files[number] if number >= 0 else "nowhere"
            raise PlanError(
                f"{path}: train {ids[row]} of {name} is here and in {other}; nobody knows which frames are "
                "meant. Leave the train out with trains="
            )
    order = np.argsort(ids, kind="stable")
    position = order[np.searchsorted(ids[order], train)] if len(train) else np.zeros(0, np.int64)
    counts = np.bincount(position, minlength=len(ids))
    return Cut(before, counts, entry[np.lexsort((entry, position))])
