"""What a run seems to lack, or holds that is strange: gaps of trains and sequences, mixed formats, odd train ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .findings import Faults


def out_of_order(files: Sequence[Any]) -> NDArray:
    """Return train ids that are out of order where they are, and in no other file."""
    odd = [
        f.train_ids[~f._guess_valid_trains()] for f in files if (f.train_ids[1:] <= f.train_ids[:-1]).any()
    ]
    if not odd:
        return np.zeros(0, np.uint64)
    ids, times = np.unique(np.concatenate([np.unique(f.train_ids) for f in files]), return_counts=True)
    return np.intersect1d(np.concatenate(odd), ids[times == 1]) if len(files) > 1 else np.zeros(0, np.uint64)


def note_formats(run: Any, faults: Faults) -> None:
    """Note versions of the file format that are not known, and several in one run."""
    from .file import KNOWN_VERSIONS

    versions = {f.filename: f.format_version for f in run.files}
    known = [v for v in versions.values() if v in KNOWN_VERSIONS]
    for file, version in versions.items():
        if version not in KNOWN_VERSIONS:
            faults.note("unknown format", file, f"format version {version}; read as {KNOWN_VERSIONS[-1]}")
    if len(set(known)) > 1:
        least = min(sorted(set(known)), key=known.count)
        file = next(f for f, v in versions.items() if v == least)
        faults.note("several formats", file, f"files of format versions {', '.join(sorted(set(known)))}")


def note_gaps(run: Any, trains: NDArray, faults: Faults) -> None:
    """Note trains that no file has, and sequence files that are not there."""
    lost = np.diff(trains.astype(np.int64)) - 1
    if lost.any() and run.is_single_run:
        first, last = int(trains[np.flatnonzero(lost)[0]]) + 1, int(trains[np.flatnonzero(lost)[-1] + 1]) - 1
        detail = f"in no file of the run, in {np.count_nonzero(lost)} gaps"
        faults.notes.append(
            replace(
                faults.loss("missing trains", "", "", detail),
                trains=int(lost.sum()),
                first_train=first,
                last_train=last,
            )
        )
    unread = [_Unread(loss.file) for loss in faults.losses if loss.cause == "unreadable file"]
    for folder in folders([f.filename for f in run.files]):
        here = [
            f
            for f in [*run.files, *unread]
            if os.path.dirname(f.filename) == folder and f.sequence is not None
        ]
        for aggregator, missing in _missing_sequences(here, trains):
            faults.note(
                "missing sequence", folder, f"there is no file of {aggregator} for sequence {missing}"
            )


class _Unread:
    """A file that is there, but of which only the name can be read."""

    def __init__(self, path: str) -> None:
        said = re.search(r"-([A-Z]+\d+)-S(\d+)\.h5$", path)
        self.filename, self.aggregator = path, said[1] if said else ""
        self.sequence = int(said[2]) if said else None


def _missing_sequences(files: Sequence[Any], trains: NDArray) -> list[tuple[str, str]]:
    """Return (aggregator, sequence numbers) of files that others of its kind have, or later ones.

    Those of which others have none of these trains are missed by nobody.
    """
    have: dict[str, set[int]] = {}
    last: Counter[str] = Counter()
    for f in files:
        have.setdefault(f.aggregator, set()).add(f.sequence)
        kind = f.aggregator.rstrip("0123456789")
        last[kind] = max(last[kind], f.sequence)
    lacking = {
        name: sorted(set(range(last[name.rstrip("0123456789")] + 1)) - numbers)
        for name, numbers in sorted(have.items())
    }
    beside = _of_other_trains({n for missing in lacking.values() for n in missing}, files, trains)
    found = {name: [n for n in missing if n not in beside] for name, missing in lacking.items()}
    return [(name, ", ".join(map(str, missing))) for name, missing in found.items() if missing]


def _of_other_trains(sequences: set[int], files: Sequence[Any], trains: NDArray) -> set[int]:
    """Return those sequences of which there are files, that have other trains only."""
    ids = {n: [f.train_ids for f in files if f.sequence == n and hasattr(f, "train_ids")] for n in sequences}
    return {n for n, own in ids.items() if own and not any(np.isin(one, trains).any() for one in own)}


def folders(paths: Sequence[str]) -> list[str]:
    """Return the directories of files."""
    return sorted({os.path.dirname(p) for p in paths})
