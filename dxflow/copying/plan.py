"""Plans a copy: what remains of each file, how large it will be, and whether it can be made there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import ours
from ..disk.openhdf5 import open_hdf5
from ..driver.copied import CopyReport, FileReport
from ..driver.journal import restarted
from ..errors import PlanError, kinds
from ..run import regions
from ..run.open import OpenedRun, opened
from ..run.selection import FrameSelection
from .choice import Choice, choose
from .coding import Coding, coding, refuse_nan
from .elsewhere import refuse
from .estimate import estimate
from .folder import Folder
from .frames import Cuts, FrameCount, cuts
from .lit import Lit, choose_lit, joined, lines_of, parted
from .objects import Damaged
from .outside import Filling, filling
from .record import can_hold
from .tasks import FileTask, Record

METHOD = "FRAME"
"""Of the record in files: ``FRAME_REDUCTION/<source>``."""


@dataclass(frozen=True, eq=False)
class CopyPlan:
    """A copy before it is made; print its `report` to see what it will be.

    Parameters
    ----------
    run : str
        Path of the run.
    folder : Folder
        Where the copy goes.
    tasks : tuple of FileTask
        One per file of the copy, the largest first.
    report : CopyReport
        With expected sizes.
    parameters : mapping
        What was selected, as JSON values.
    unsaid : frozenset of str
        Files whose format has no place to say which frames were dropped.
    resume, overwrite, sync, quiet : bool
        See `copy_run`.
    refused : str
        Why it must not be made, whatever it would be; "" if all is well.
    finished : CopyReport, optional
        Of the copy that is there already, if it is this one: nothing is to be done.
    """

    run: str
    folder: Folder
    tasks: tuple[FileTask, ...]
    report: CopyReport
    parameters: Mapping[str, Any]
    unsaid: frozenset[str] = frozenset()
    resume: bool = False
    overwrite: bool = False
    sync: bool = False
    quiet: bool = False
    refused: str = ""
    finished: CopyReport | None = None

    @property
    def rounds(self) -> bool:
        """Whether pixels are changed within a bound."""
        return any(one.bound for task in self.tasks for one in task.coded.values())

    def fingerprint(self) -> str:
        """Return what tells this copy from any other."""
        return hashlib.sha256("".join(sorted(t.fingerprint() for t in self.tasks)).encode()).hexdigest()

    def __str__(self) -> str:
        return str(self.finished or self.report)


@kinds.checked(kinds.OF_COPY, PlanError)
def plan_copy(
    run: Any,
    to: str | Path,
    *,
    frames: Any = None,
    sources: Sequence[str] | str | None = None,
    modules: Any = None,
    trains: Any = None,
    detector: str | None = None,
    region: Any = None,
    outside: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    sync: bool = False,
    codec: str | None = None,
    round: Any = None,  # noqa: A002 - as on the command line
    quiet: bool = False,
    name: str = "",
    cluster: Any = None,
) -> CopyPlan:
    """Plan a copy of a run; parameters as `copy_run`. Lit frames are looked for at once, on `cluster`.

    A driver that Slurm has started again (``dxflow submit``) goes on without being told to.

    Raises
    ------
    PlanError
        If it cannot work: no such run, source, module or train; files that do not open; an existing copy; no space.
    """
    source = opened(run)
    folder = Folder(to, _read(source, [frames, modules, region]))
    resume = resume or restarted()
    folder.check(overwrite=overwrite, resume=resume)
    accesses = _files(source)
    whose, modules = _modules(modules)
    choice = choose(
        source, accesses, sources=sources, modules=modules, whose=whose, trains=trains, detector=detector
    )
    kept = source.train_ids if choice.trains is None else choice.trains
    lit, rest = parted(frames)
    chosen = [choose_lit(lit, source, f, kept, cluster, quiet=quiet) for f in choice.found] if lit else []
    selections = [joined(one.selection, rest) for one in chosen]
    if lit is None and (selection := FrameSelection.of(frames)) is not None:
        selections = [selection] * len(choice.found)
    cut, counted = cuts(source, choice.found, kept, selections if frames is not None else None)
    parameters = _described(frames, sources, modules, trains, detector) | (lit.facts if lit else {})
    stored = coding(accesses, choice.found, codec, round)
    filled = filling(accesses, choice.found, region, outside)
    refuse_nan(stored, filled.files)
    parameters |= {**filled.facts, **stored.facts}
    record = _record(counted, parameters, len(source.train_ids), len(kept))
    tasks, left_out = _tasks(accesses, choice, cut, record, filled, stored)
    if not tasks:
        raise PlanError(f"{source.path}: nothing is left to copy with {parameters}")
    versions = {Path(a.filename).name: a.format_version for a in accesses}
    unsaid = frozenset(t.name for t in tasks if (t.cuts or t.pixels) and not can_hold(versions[t.name]))
    report = CopyReport(
        path=str(folder.path),
        files=_reports(tasks, left_out),
        frames={name: (c.before, c.after) for name, c in counted.items()},
        trains=(len(source.train_ids), len(kept)),
        sources=tuple(sorted(choice.dropped)),
        notes=(*_notes(accesses, unsaid), *stored.notes),
        name=str(name),
        patterns=lines_of(chosen),
        groups=_groups(accesses, choice, [*tasks], left_out),
        codec=stored.words,
        pixels=filled.pixels,
    )
    ways: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "sync": sync, "quiet": quiet}
    refused = "\n".join(filter(None, (one.refused for one in chosen)))
    made = CopyPlan(source.path, folder, tasks, report, parameters, unsaid, refused=refused, **ways)
    if resume and (there := folder.finished(made.fingerprint(), overwrite=overwrite)) is not None:
        return replace(made, finished=there)
    folder.check_space(report.after)
    return made


def _modules(modules: Any) -> tuple[str, list[int] | None]:
    """Return the modules to keep, and of which detector a result says that they are."""
    if modules is None:
        return "", None
    try:
        return regions.detector_of(modules), [int(m) for m in regions.modules_of(modules)]
    except (TypeError, ValueError) as e:
        raise PlanError(str(e)) from e


def _read(source: OpenedRun, given: Any) -> list[Path]:
    """Return the files and folders that a copy is made of."""
    files = [Path(f.filename) for f in source.run.files]
    return [*ours.folders_of(files), *files, *ours.paths_in(given)]


def _files(source: OpenedRun) -> list[Any]:
    """Return the files of a run, by name.

    Raises
    ------
    PlanError
        If one did not open, or two have one name.
    """
    bad = [loss for loss in source.faults.losses if loss.cause in ("unreadable file", "other run")]
    if bad:
        listed = "\n  ".join(f"{loss.file}: {loss.detail}" for loss in bad)
        raise PlanError(f"{len(bad)} files of the run do not open, so that it cannot be copied:\n  {listed}")
    # An overview only refers to the other files, by their paths.
    files = {Path(f.filename).name: f for f in source.run.files if not f.is_voview}
    for access in source.run.files:
        other = files.get(Path(access.filename).name, access)
        if other.filename != access.filename:
            raise PlanError(
                f"{access.filename} and {other.filename} would have one name in the copy; copy them apart"
            )
    return [files[name] for name in sorted(files)]


def _tasks(
    accesses: Sequence[Any],
    choice: Choice,
    cut: Cuts,
    record: Record | None,
    filled: Filling,
    stored: Coding,
) -> tuple[tuple[FileTask, ...], list[FileReport]]:
    """Return what is to be done, the largest files first, and the files of which nothing remains."""
    tasks, left_out = [], []
    for access in accesses:
        task = _task(access, choice, cut.get(access.filename, {}), record)
        name = access.filename
        task = replace(task, pixels=filled.files.get(name, {}), coded=stored.files.get(name, {}))
        listed = access.control_sources | access.instrument_sources
        if listed - choice.dropped and (task.trains is None or task.trains.any()):
            tasks.append(task)
        else:
            left_out.append(FileReport(task.name, task.stat[0], 0, "left out"))
    whole = {task.name for task in tasks if task.whole}
    tasks = [replace(task, bytes=_estimated(task, whole)) for task in tasks]
    return tuple(sorted(tasks, key=lambda t: (-t.bytes, t.name))), left_out


def _groups(
    accesses: Sequence[Any], choice: Choice, tasks: Sequence[FileTask], left_out: Sequence[FileReport]
) -> dict[str, tuple[int, int]]:
    """Return bytes before and after by detector and aggregator."""
    after = {task.name: (task.stat[0], task.bytes) for task in tasks}
    after |= {file.name: (file.before, 0) for file in left_out}
    out: dict[str, tuple[int, int]] = {}
    for access in accesses:
        own = access.instrument_sources
        of = [f.name for f in choice.found if not own.isdisjoint(f.sources.values())]
        label = f"{' '.join([*dict.fromkeys(of), access.aggregator or ''])}".strip()
        sums = zip(out.get(label, (0, 0)), after[Path(access.filename).name], strict=True)
        out[label] = tuple(a + b for a, b in sums)  # type: ignore[assignment]
    return out


def _estimated(task: FileTask, whole: set[str]) -> int:
    """Return the expected bytes of a file; raise a PlanError if it cannot be copied."""
    try:
        with open_hdf5(task.path) as file:
            refuse(file, whole, whole=task.whole)
        return estimate(task)
    except Damaged as e:
        raise PlanError(f"{task.path}: {e}. Leave its source out, with sources=") from e


def _task(access: Any, choice: Choice, cut: Mapping[str, Any], record: Record | None) -> FileTask:
    """Return what is to be done to a file."""
    path = access.filename
    here = (
        access.control_sources | access.instrument_sources | access.reduction_sources | access.errata_sources
    )
    return FileTask(
        path=path,
        name=Path(path).name,
        stat=access.files.seen(path),
        dropped=frozenset(choice.dropped & here),
        trains=_kept_trains(access, choice.trains),
        cuts=cut,
        record=record if cut else None,
    )


def _kept_trains(access: Any, trains: NDArray | None) -> NDArray | None:
    """Return which rows of the index of a file are kept, None for all."""
    ids = access.file["INDEX/trainId"][:]
    keep = np.ones(len(ids), bool) if trains is None else np.isin(ids, trains)
    # Padding alone is no reason to write a file anew.
    return None if keep[ids != 0].all() else keep


def _record(
    counted: Mapping[str, FrameCount], parameters: Mapping[str, Any], before: int, after: int
) -> Record | None:
    """Return what files say of the selection of frames."""
    if not counted:
        return None
    total = sum(c.before for c in counted.values()), sum(c.after for c in counted.values())
    facts = {f"parameters.{key}": _value(value) for key, value in parameters.items()}
    return Record(
        METHOD,
        max(c.width for c in counted.values()),
        {
            **facts,
            "software": f"dxflow {version('dxflow')}",
            "frames.before": total[0],
            "frames.after": total[1],
            "trains.before": before,
            "trains.after": after,
            "reductionRatio": total[1] / max(1, total[0]),
        },
    )


def _value(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else repr(value)


def _reports(tasks: Sequence[FileTask], left_out: Sequence[FileReport]) -> tuple[FileReport, ...]:
    made = [FileReport(t.name, t.stat[0], t.bytes, "whole" if t.whole else "cut") for t in tasks]
    return tuple(sorted([*made, *left_out], key=lambda f: f.name))


def _notes(accesses: Sequence[Any], unsaid: frozenset[str]) -> Iterable[str]:
    """Yield what a user might not expect."""
    if unsaid:
        yield (
            f"{len(unsaid)} files are of a format before 1.3, without a section REDUCTION: what was dropped "
            "is only said in the manifest"
        )
    copied = {a.filename for a in accesses}
    folders = {Path(a.filename).parent for a in accesses}
    # The map is EXtra-data's own; it makes it anew.
    copied |= {str(folder / "karabo_data_map.json") for folder in folders}
    others = sorted(
        f.name for folder in folders for f in folder.iterdir() if f.is_file() and str(f) not in copied
    )
    if others:
        yield f"not copied, since they are no data files: {', '.join(others)}"


def _described(frames: Any, sources: Any, modules: Any, trains: Any, detector: Any) -> dict[str, Any]:
    """Return the selection as JSON values; only what is given."""
    given = {
        "frames": None if frames is None else _frames(frames),
        "sources": None if sources is None else [sources] if isinstance(sources, str) else list(sources),
        "modules": None if modules is None else [int(m) for m in modules],
        "trains": None if trains is None else _short(trains),
        "detector": detector,
    }
    return {key: value for key, value in given.items() if value is not None}


def _frames(frames: Any) -> str:
    """Return in one line what was given as frames."""
    if hasattr(frames, "selection"):
        return f"result {frames.path}"
    if isinstance(frames, Lit):
        return f"lit by {frames.by}"
    if hasattr(frames, "pulses"):
        fields = ("pulses", "cells", "trains", "frames", "mask", "entries", "in_cells")
        given = ((f, getattr(frames, f)) for f in fields)
        own = [f"{f}={_short(v)}" for f, v in given if v is not None]
        return " and ".join(filter(None, [", ".join(own), *(_frames(one) for one in frames.also)]))
    if isinstance(frames, (list, tuple)) and any(
        hasattr(f, "pulses") or hasattr(f, "selection") or isinstance(f, Lit) for f in frames
    ):
        return " and ".join(_frames(one) for one in frames)
    return _short(frames)


def _short(value: Any) -> str:
    """Return a value in one line; of a long array what identifies it."""
    if isinstance(value, slice):
        step = "" if value.step is None else f":{value.step}"
        return ":".join("" if v is None else str(v) for v in (value.start, value.stop)) + step
    if isinstance(value, tuple) and len(value) == 2 and hasattr(value[0], "dtype"):
        value = np.stack([np.asarray(v, np.uint64) for v in value])
    array = np.asarray(value)
    if array.size <= 32 and array.dtype.kind in "iub":
        return str(array.tolist())
    if array.dtype == object:
        return repr(value)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{array.dtype} {array.shape}, sha256 {digest[:16]}"
