"""What the files of the original run say of its trains: times, flags, proposal and run number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..reader import gate
from ..reader.faults import ReadFault
from ..reader.files import Files

if TYPE_CHECKING:
    from ..planning.public import Plan
    from ..run.file import RunFile


@dataclass(eq=False)
class Origin:
    """Of all trains of a plan: `timestamps` (ns, 0 where unknown), `flags` (1: good), and numbers (0: unknown)."""

    timestamps: NDArray
    flags: NDArray
    proposal: int = 0
    run: int = 0


def origin(plan: Plan) -> Origin:
    """Ask the files that a plan reads, then the others of the run, until all trains are known."""
    trains = np.asarray(plan.train_ids, np.uint64)
    out = Origin(np.zeros(len(trains), np.uint64), np.ones(len(trains), np.int32))
    # A label is no reason to lose a result: what files are worth was decided when the run was opened.
    with suppress(OSError, KeyError, ValueError):
        _ask_all(out, trains, plan)
    return out


def _ask_all(out: Origin, trains: NDArray, plan: Plan) -> None:
    """Ask files until all trains are known."""
    known = np.zeros(len(trains), bool)
    # What the plan has read of them is still known.
    files = Files(planning=True)
    try:
        for path in _files(plan):
            known[_ask(out, trains, path, files)] = True
            if known.all():
                break
    finally:
        files.close()


def _ask(out: Origin, trains: NDArray, path: str, files: Files) -> NDArray:
    """Take what a file says; return the positions of the trains it has."""
    from ..run.file import RunFile

    try:
        with gate.wrapped(path, ""):
            access = RunFile(path, files)
            _, here, there = np.intersect1d(trains, access.train_ids, return_indices=True)
            _times(out, access, here, there)
            out.proposal = out.proposal or access.number("METADATA/proposalNumber")
            out.run = out.run or access.run_number or int(access.run or 0)
    except ReadFault:
        # One of the other files in the folder, or one that is not trusted: times are known of other files, or not.
        return np.zeros(0, np.int64)
    return here


def _times(out: Origin, access: RunFile, here: NDArray, there: NDArray) -> None:
    """Take times and flags of trains."""
    if access.has_dataset("INDEX/timestamp"):
        stamps = access.index("INDEX/timestamp")[: len(access.all_train_ids)]
        out.timestamps[here] = stamps[access.all_train_ids != 0][there]
        out.flags[here] = access.validity_flag[there]


def _files(plan: Plan) -> Iterator[str]:
    """Yield the files that are read, then the others in the same folders."""
    read = list(dict.fromkeys(f for bound in plan.inputs for f in bound.location.files))
    yield from read
    folders = sorted({Path(f).parent for f in read})
    yield from (str(f) for folder in folders for f in sorted(folder.glob("*.h5")) if str(f) not in read)
