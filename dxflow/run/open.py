"""Open a run, and see at once what is wrong with its files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..errors.kinds import PATH, TEXT, WHOLE, Kind, either, expect
from ..errors.near import did_you_mean
from ..reader.faults import ReadFault
from ..reader.files import Files
from . import ahead, answers, gaps
from .findings import Faults
from .part import Part

if TYPE_CHECKING:
    from extra_data import DataCollection

    from .file import RunFile

NO_TRAIN = 2**48
"""Train ids count 10 per second since 2016 or so; the highest values stand for a failure."""
FAR = 10**8
"""Train ids so far (a third of a year) from those of the other trains of a run are no trains of it."""
ORIGINS = ("proc", "raw")
"""Folders of a proposal that a run is taken from; what is in both is taken from the last, as EXtra-data does."""


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run, where it is, its trains in order, and the files that did not open."""

    run: Any
    path: str
    train_ids: NDArray
    faults: Faults = field(default_factory=Faults)
    files: Files = field(default_factory=Files)
    """Its open files; they are closed at the end of a ``with`` block."""

    def __enter__(self) -> OpenedRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.files.close()


def opened(run: Any, algorithms: Sequence[Any] = (), mask: Any = None) -> OpenedRun:
    """Open what a user may give as a run: always its real files, anew, however it is named.

    What the inputs of some algorithms will want to know of a file is asked at once.

    Raises
    ------
    PlanError
        If there is no such run or it holds nothing.
    """
    import extra_data

    inputs = ahead.declared(algorithms, mask)
    if isinstance(run, extra_data.DataCollection):
        return _Opening(inputs).of_collection(run)
    if isinstance(run, tuple) and len(run) == 2 and all(map(either(WHOLE, TEXT).fits, run)):
        return _Opening(inputs).of_proposal(*run)
    if isinstance(run, Part):
        return _Opening(inputs).of_part(run)
    words = "a run directory, one file, (proposal, run) or an extra_data.DataCollection"
    expect(Kind(words, PATH.fits), run, "run=", PlanError)
    return _Opening(inputs).of_path(os.path.abspath(run))


def missing(run: Any) -> str:
    """Return why there is no such run, as far as its folders say; "" if there is one."""
    try:
        if isinstance(run, tuple):
            places = _asked(_folders_of, run)
            return (
                ""
                if any(_asked(os.path.exists, place) for place in places)
                else "there is neither raw nor proc of it"
            )
        return "" if _asked(os.path.exists, str(run)) else f"no such run.{_meant(os.path.abspath(run))}"
    except PlanError as e:
        return str(e)


def places(run: Any) -> list[str]:
    """Return the folders, or the file, of a run that a user names; only those that are there.

    Raises
    ------
    PlanError
        If there is no such proposal, or a folder does not answer.
    """
    meant = _asked(_folders_of, run) if isinstance(run, tuple) else [os.path.abspath(run)]
    return [place for place in meant if _asked(os.path.exists, place)]


def _meant(path: str) -> str:
    """Return what is beside a path that is not there, and has a name like it."""
    folder, name = os.path.split(path)
    names = _asked(os.listdir, folder) if _asked(_kind, folder) == "directory" else []
    return did_you_mean(name, [one for one in names if one != name])


class _Opening:
    """Opens the files of a run, and notes those that do not open."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        self.files, self.faults, self.inputs = Files(planning=True), Faults(), inputs

    # What may be given ----------------------------------------------------------------------------

    def of_path(self, path: str) -> OpenedRun:
        """Open a run directory or a file."""
        kind = _asked(_kind, path)
        if kind == "directory":
            return self._described(_collected(self.folder(path)), path)
        if kind != "file":
            raise PlanError(
                f"no such run: {path}{kind}.{_meant(path)} Give a run directory, one file, or (proposal, run)"
            )
        self.faults.whole = False
        found = next(iter(self._open([path])), None)
        if found is None:
            raise PlanError(f"{path}: unreadable file: {self.faults.losses[0].detail}")
        return self._described(_collected([found]), path)

    def of_proposal(self, proposal: Any, run: Any) -> OpenedRun:
        """Open a run by its numbers."""
        name = f"p{proposal} r{run}"
        folders = [f for f in _asked(_folders_of, (proposal, run)) if _asked(_kind, f) == "directory"]
        if not folders:
            raise PlanError(
                f"no such run: proposal {proposal}, run {run}: there is neither raw nor proc of it"
            )
        return self._described(_joined([_collected(self.folder(f)) for f in folders]), name)

    def of_part(self, part: Part) -> OpenedRun:
        """Open some files of a run, and no others."""
        runs = [_collected(self._opened(folder, files)) for folder, files in part.folders.items()]
        name = "p{} r{}".format(*part.run) if isinstance(part.run, tuple) else os.path.abspath(part.run)
        return self._described(_joined(runs, part), name)

    def of_collection(self, run: DataCollection) -> OpenedRun:
        """Open the files of a collection again: what EXtra-data left out, or read long ago, is seen."""
        paths = sorted({f.filename for f in run.files})
        overviews = [f for f in run.files if f.filename.lower().endswith("overview.h5")]
        if run.ctx_closes and len(paths) == 1 and not overviews:
            self.faults.whole = False
            found = self._open(paths)
        else:
            folders = sorted({p.rpartition("/")[0] for p in paths} | {_shown_by(f) for f in overviews})
            found = [access for folder in folders for access in self.folder(folder)]
            known = set(paths)
            self.faults.whole = bool(overviews) or all(f.filename in known for f in found)
        self._note_changes(run, found)
        return self._described(
            _mirrored(run, found, anywhere=bool(overviews)), ", ".join(gaps.folders(paths))
        )

    # Files ----------------------------------------------------------------------------------------

    def folder(self, path: str) -> list[RunFile]:
        """Open the files of a run directory."""
        names = _asked(os.listdir, path)
        paths = sorted(
            os.path.join(path, n) for n in names if n.endswith(".h5") and n.lower() != "overview.h5"
        )
        if not paths:
            raise PlanError(
                f"{path}: no .h5 files in this directory; is it a run directory (such as .../raw/r0012)?"
            )
        return self._opened(path, paths)

    def _opened(self, path: str, paths: Sequence[str]) -> list[RunFile]:
        found = self._open(paths)
        if not found:
            whys = "\n".join(f"- {f.file}: {f.detail}" for f in self.faults.losses[:20])
            raise PlanError(f"{path}: none of the {len(paths)} files can be opened:\n{whys}")
        return self._of_one_run(found)

    def _open(self, paths: Sequence[str]) -> list[RunFile]:
        """Open files; those that do not open are faults."""
        silent = answers.unreadable(paths)
        found = []
        for path in paths:
            try:
                why = silent.get(path) or _changed_in_place(path)
                if not why:
                    from .file import RunFile

                    found.append(RunFile(path, self.files))
                    self._note_zeros(found[-1])
                    ahead.ask(found[-1], self.inputs)
            except ReadFault as e:
                why = f"{e.dataset}: {e.detail}" if e.dataset else e.detail
            if why:
                self.faults.add("unreadable file", path, "", why)
        return [f for f in found if not f.is_voview]

    def _note_zeros(self, access: RunFile) -> None:
        """Note a file whose trains are not known at all."""
        if len(access.all_train_ids) and not len(access.train_ids):
            detail = f"all {len(access.all_train_ids)} train ids are 0"
            self.faults.add("impossible train id", access.filename, "", detail)

    def _of_one_run(self, files: list[RunFile]) -> list[RunFile]:
        """Leave out files that say they belong to another run than most of the directory."""
        numbers = {f: f.run_number or f.run or 0 for f in files}
        said = Counter(n for n in numbers.values() if n)
        if len(said) < 2:
            return files
        most = max(said, key=lambda n: (said[n], -n))
        mine = np.concatenate([f.train_ids for f, n in numbers.items() if n == most])
        # A number alone may be wrong; another run has other trains, too.
        foreign = [
            f for f, n in numbers.items() if n not in (0, most) and not np.isin(f.train_ids, mine).any()
        ]
        for access in foreign:
            detail = f"it is of run {numbers[access]}, the others of run {most}"
            self.faults.add("other run", access.filename, "", detail, access.train_ids)
        return [f for f in files if f not in foreign]

    def _note_changes(self, run: DataCollection, found: Sequence[RunFile]) -> None:
        """Note files that have other trains than when the user opened the run."""
        now = {f.filename: f for f in found}
        for old in run.files:
            new = now.get(old.filename)
            if new is not None and not np.array_equal(new.train_ids, old.train_ids):
                detail = "it has other trains than when the run was opened: open the run again"
                self.faults.add("changed file", old.filename, "", detail)

    # What all have in common ----------------------------------------------------------------------

    def _described(self, run: DataCollection, path: str) -> OpenedRun:
        """Return the run with its trains, those aside that cannot be."""
        trains = np.unique(np.asarray(run.train_ids, dtype=np.uint64))
        odd = self._impossible(run, trains)
        trains = trains[~np.isin(trains, odd)]
        if not len(trains):
            raise PlanError(f"{path}: this run has no trains")
        self.faults.trains = trains
        if self.faults.whole:
            gaps.note_formats(run, self.faults)
            gaps.note_gaps(run, trains, self.faults)
        return OpenedRun(run, path, trains, self.faults, self.files)

    def _impossible(self, run: DataCollection, trains: NDArray) -> NDArray:
        """Return train ids that cannot be, which are faults."""
        if not len(trains):
            return trains
        middle = int(np.median(trains[trains < NO_TRAIN])) if (trains < NO_TRAIN).any() else 0
        far = np.abs(trains.astype(float) - middle) > FAR
        odd = trains[(trains >= NO_TRAIN) | (far & run.is_single_run)]
        alone = gaps.out_of_order(run.files)
        odd = np.union1d(odd, np.intersect1d(trains, alone)).astype(np.uint64)
        for access in run.files if len(odd) else ():
            if len(here := np.intersect1d(access.train_ids, odd)):
                detail = f"train ids such as {here[-1]} are below 2**48 and near those of the other trains"
                if here[-1] < NO_TRAIN and np.isin(here, alone).any():
                    detail = f"train id {here[0]} is out of order, and in no other file"
                self.faults.add("impossible train id", access.filename, "", detail, here, always=True)
        return odd


def _collected(files: Sequence[RunFile]) -> DataCollection:
    """Return files as a run."""
    return _run_class()(files, ctx_closes=True, is_single_run=True)


def _run_class() -> Any:
    """Return EXtra-data's class of runs, which here may have the same train in two files: that is a fault."""
    from extra_data import DataCollection

    class Run(DataCollection):
        def _check_source_conflicts(self) -> None:
            pass

    return Run


def _mirrored(run: DataCollection, files: Sequence[RunFile], *, anywhere: bool) -> DataCollection:
    """Return a collection with the same selection, of files that were opened anew."""
    sources = {}
    for name, old in run._sources_data.items():
        new = copy(old)
        known = {f.filename for f in old.files}
        new.files = [
            f
            for f in files
            if (anywhere or f.filename in known) and name in f.all_sources | set(f.legacy_sources)
        ]
        new._first_source_file = ...
        if new.files:
            sources[name] = new
    used = [f for f in files if any(f in s.files for s in sources.values())]
    return _run_class()(
        used,
        sources_data=sources,
        train_ids=run.train_ids,
        aliases=run._aliases,
        inc_suspect_trains=run.inc_suspect_trains,
        is_single_run=run.is_single_run,
    )


def _joined(runs: Sequence[DataCollection], part: Part | None = None) -> DataCollection:
    """Return what is in several folders of a proposal as one run; sources of the last one count."""
    sources = {name: copy(one) for run in runs for name, one in run._sources_data.items()}
    files = {f.filename: f for one in sources.values() for f in one.files}
    trains = sorted(set().union(*(f.train_ids for f in files.values())))
    trains = trains if part is None else [train for train in trains if train in part]
    for one in sources.values():
        one.train_ids = trains
    return _run_class()(list(files.values()), sources_data=sources, train_ids=trains, is_single_run=True)


def _asked(question: Any, what: Any) -> Any:
    """Ask a question that a dead file system would not answer.

    Raises
    ------
    PlanError
    """
    answer = answers.ask(question, [what]).get(what, PlanError(f"{what}: {answers.SILENT}"))
    if isinstance(answer, Exception):
        raise PlanError(str(answer)) from answer
    return answer


def _kind(path: str) -> str:
    """Return "directory" or "file", or what else there is."""
    found = Path(path)
    if found.is_dir():
        return "directory"
    if found.is_file():
        return "file"
    if found.is_symlink() and not found.exists():
        return f" (it is a symbolic link to {os.readlink(path)}, which is not there)"
    return " (it is neither a directory nor a regular file)" if found.exists() else ""


def _folders_of(numbers: tuple[Any, Any]) -> list[str]:
    """Return where a run of a proposal may be."""
    from extra_data.read_machinery import find_proposal

    proposal, run = numbers
    number = f"r{str(run).removeprefix('r').zfill(4)}"
    if isinstance(proposal, str) and "/" not in proposal:
        proposal = f"p{proposal.removeprefix('p').zfill(6)}"
    try:
        folder = find_proposal(proposal if isinstance(proposal, str) else int(proposal))
    # EXtra-data raises a bare Exception when there is no such proposal.
    except Exception as e:
        raise PlanError(f"no such run: proposal {proposal}, run {run}: {e}") from e
    return [os.path.join(os.path.abspath(folder), origin, number) for origin in ORIGINS]


def _shown_by(overview: Any) -> str:
    """Return the folder of the files that one of EXtra-data's overviews shows."""
    import h5py

    folder, name = os.path.split(overview.filename)
    names = [n.decode() for n in overview.file[".source_files/names"][:]]
    if name.lower() == "overview.h5" and all(os.path.exists(os.path.join(folder, n)) for n in names):
        return folder
    found: list[str] = []
    overview.file.visititems(
        lambda _, o: (
            found.append(o.virtual_sources()[0].file_name)
            if isinstance(o, h5py.Dataset) and o.is_virtual and not found
            else None
        )
    )
    return os.path.dirname(os.path.join(folder, found[0])) if found else folder


def _changed_in_place(path: str) -> str:
    """Return that this process has a file open which was written to since, or "": HDF5 would mix old and new."""
    from extra_data.file_access import file_access_registry

    known = file_access_registry.get(path)
    if known is None or known._file is None or known.metadata_fstat is None:
        return ""
    then, now = known.metadata_fstat, os.stat(path)
    same = (then.st_mtime_ns, then.st_size) == (now.st_mtime_ns, now.st_size)
    if same or then.st_ino != now.st_ino:
        return ""
    return "it was written to while this process has it open: close the run, or start again"
