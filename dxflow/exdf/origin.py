"""What the files of the original run say of its trains: times, flags, proposal and run number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..plan import Plan


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
    known = np.zeros(len(trains), bool)
    for path in _files(plan):
        known[_ask(out, trains, path)] = True
        if known.all():
            break
    return out


def _ask(out: Origin, trains: NDArray, path: str) -> NDArray:
    """Take what a file says; return the positions of the trains it has."""
    from extra_data import FileAccess
    from extra_data.exceptions import FileStructureError

    try:
        access = FileAccess(path)
    except (OSError, KeyError, FileStructureError):
        # One of the other files in the folder; those that are read were opened before.
        return np.zeros(0, np.int64)
    _numbers(out, access)
    _, here, there = np.intersect1d(trains, access.train_ids, return_indices=True)
    if "INDEX/timestamp" in access.file:
        out.timestamps[here] = access.file["INDEX/timestamp"][: len(access.train_ids)][there]
        out.flags[here] = access.validity_flag[there]
    access.close()
    return here


def _files(plan: Plan) -> Iterator[str]:
    """Yield the files that are read, then the others in the same folders."""
    read = list(dict.fromkeys(f for bound in plan.inputs for f in bound.location.files))
    yield from read
    folders = sorted({Path(f).parent for f in read})
    yield from (str(f) for folder in folders for f in sorted(folder.glob("*.h5")) if str(f) not in read)


def _numbers(out: Origin, access: Any) -> None:
    """Take proposal and run number, if they are there and not known yet."""
    meta = access.metadata()
    out.proposal = out.proposal or int(meta.get("proposalNumber", 0))
    out.run = out.run or int(meta.get("runNumber", 0) or access.run or 0)
