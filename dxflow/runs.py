"""Open a run, and see at once what is wrong with its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binding import PlanError
from .locate import Faults

NO_TRAIN = 2**48
"""Train ids count 10 per second since 2016 or so; the highest values stand for a failure."""


FILES_AT_ONCE = 64
"""Files up to which EXtra-data opens one after the other: starting its processes takes longer."""


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run, where it is, its trains in order, and the files that did not open."""

    run: Any
    path: str
    train_ids: NDArray
    faults: Faults = field(default_factory=Faults)


def opened(run: Any) -> OpenedRun:
    """Open what a user may give as a run.

    Raises
    ------
    PlanError
        If there is no such run or it holds nothing.
    """
    import extra_data

    if isinstance(run, extra_data.DataCollection):
        return _described(run, _where(run), whole=_is_whole(run))
    if isinstance(run, tuple):
        return _of_proposal(*run)
    path = Path(run)
    if path.is_file():
        return _described(extra_data.H5File(path), str(path), whole=False)
    if not path.is_dir():
        raise PlanError(f"no such run: {path}. Give a run directory, one file, or (proposal, run)")
    return _directory(path)


def _of_proposal(proposal: int | str, run: int | str) -> OpenedRun:
    """Open a run by its numbers."""
    import extra_data

    try:
        opened = extra_data.open_run(proposal, run)
    # EXtra-data raises a bare Exception when there is no such proposal.
    except Exception as e:
        raise PlanError(f"no such run: proposal {proposal}, run {run}: {e}") from e
    return _described(opened, f"p{proposal} r{run}")


def _directory(path: Path) -> OpenedRun:
    """Open a run directory; files that EXtra-data left out are faults."""
    import extra_data

    files = sorted(path.glob("*.h5"))
    if not files:
        raise PlanError(
            f"{path}: no .h5 files in this directory; is it a run directory (such as .../raw/r0012)?"
        )
    try:
        run = extra_data.RunDirectory(path, parallelize=len(files) > FILES_AT_ONCE)
    # EXtra-data raises a bare Exception when no file of a directory can be used.
    except Exception as e:
        raise PlanError(f"{path}: EXtra-data opens none of the {len(files)} files: {e}") from e
    out = _described(run, str(path))
    used = {Path(f.filename).resolve() for f in run.files}
    for file in files:
        if file.resolve() not in used:
            out.faults.add("unreadable file", str(file), "", _why(file))
    _note_other_runs(run, out.faults)
    return out


def _note_other_runs(run: Any, faults: Faults) -> None:
    """Note files that say they belong to another run than most of the directory."""
    numbers = {f: int(n[0]) for f in run.files if (n := f.file.get("METADATA/runNumber")) is not None}
    said = [n for n in numbers.values() if n]
    for access, number in numbers.items():
        if number and number != (most := max(set(said), key=said.count)):
            detail = f"it is of run {number}, the others of run {most}; its data were not told apart"
            faults.add("other run", access.filename, "", detail, access.train_ids)


def _why(file: Path) -> str:
    """Return what opening a file says."""
    try:
        from extra_data.file_access import FileAccess

        FileAccess(str(file))
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return "left out by EXtra-data"


def _described(run: Any, path: str, *, whole: bool = True) -> OpenedRun:
    trains = np.unique(np.asarray(run.train_ids, dtype=np.uint64))
    out = OpenedRun(run, path, trains[trains < NO_TRAIN], Faults(whole=whole))
    if not len(out.train_ids):
        raise PlanError(f"{path}: this run has no trains")
    for access in run.files if len(out.train_ids) < len(trains) else ():
        if len(odd := access.train_ids[access.train_ids >= NO_TRAIN]):
            out.faults.add("impossible train id", access.filename, "", "train ids are below 2**48", odd)
    return out


def _is_whole(run: Any) -> bool:
    """Return whether all files of a collection's directories are in it: it is not someone's selection."""
    used = {Path(f.filename).resolve() for f in run.files}
    return all(file.resolve() in used for folder in {p.parent for p in used} for file in folder.glob("*.h5"))


def _where(run: Any) -> str:
    """Return the directory, or directories, of a run's files."""
    folders = sorted({str(Path(f.filename).parent) for f in run.files})
    return ", ".join(folders)
