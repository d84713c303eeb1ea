"""What becomes of each run, before anything is written: sizes, what is lost, and what stands against it."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..copying.plan import CopyPlan, plan_copy
from ..disk import ours
from ..disk.manifest import MANIFEST, whole
from ..driver.copied import CopyReport
from ..errors import PlanError
from ..errors.usage import text_of
from ..errors.yamls import Section
from ..sizes import count, show
from .asked import COPIES, NOTHING, Asked
from .folder import Volume, fail
from .source import Source, contradictions, fingerprint, source_of
from .words import lost_by, read_by, remain

KEPT = 2**28
"""Bytes of plans of copies that are in memory until they are made; others are planned again then."""


@dataclass(frozen=True)
class Wanted:
    """One run, and what is to remain of it.

    Parameters
    ----------
    text : str
        The run, as it is given to a command.
    name : str
        Of its folder in the volume.
    run
        As `dxflow.copy_run` takes it.
    keep : str
        One of `dxflow.red.asked.KEEP`.
    options : mapping
        Of the copy, as they are written.
    copy : callable
        Returns the options of the copy as keyword arguments of `copy_run`.
    results : tuple of Path
    why : str
    given : Section
        Where the file says it.
    """

    text: str
    name: str
    run: Any
    keep: str
    options: Mapping[str, Any]
    copy: Callable[[], Mapping[str, Any]]
    results: tuple[Path, ...]
    why: str
    given: Section


@dataclass(frozen=True)
class ResultPlan:
    """A result that is copied: a folder that dxflow made, or one file."""

    path: Path
    files: Mapping[str, Path]
    """By their paths in the volume, below the folder of the run."""
    bytes: int
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What it says itself: of which run, when, and by which versions it was made."""


@dataclass(frozen=True)
class RunPlan:
    """What becomes of a run; `problem` says why nothing can."""

    wanted: Wanted
    source: Source | None = None
    fingerprint: str = ""
    copy: CopyPlan | None = None
    results: tuple[ResultPlan, ...] = ()
    problem: str = ""
    noted: Mapping[str, Any] | None = None
    """What was noted, if it is done."""
    sized: CopyReport | None = None
    """What the copy will be, where its plan is made again."""
    notes: tuple[str, ...] = ()
    """What its files say that what is written of all contradicts."""
    replaced: Mapping[str, Any] | None = None
    """What was noted of what is in the volume, and is to be removed."""

    @property
    def report(self) -> CopyReport | None:
        """What the copy will be, or is."""
        if self.noted is not None:
            return CopyReport.from_json(self.noted["report"]) if self.noted["report"] else None
        return self.copy.report if self.copy else self.sized

    @property
    def before(self) -> int:
        """Bytes of the run."""
        return self.source.bytes if self.source else 0

    @property
    def after(self) -> int:
        """Bytes in the volume."""
        if self.noted is not None:
            return sum(one["size"] for one in self.noted["files"].values())
        return (self.report.after if self.report else 0) + sum(one.bytes for one in self.results)


@dataclass(frozen=True)
class VolumePlan:
    """A volume before it is made; print it to see what it will be."""

    asked: Asked
    runs: tuple[RunPlan, ...]
    beside: tuple[str, ...] = ()
    """Runs in the same folders that the file does not name."""
    notes: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> list[RunPlan]:
        """Runs of which nothing can become what is asked for."""
        return [one for one in self.runs if one.problem]

    @property
    def fingerprint(self) -> str:
        """What tells this plan from any other: the file, and the files of all runs."""
        return fingerprint_of_all(self.asked, [(one.wanted.name, one.fingerprint) for one in self.runs])

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        runs = {one.wanted.name: one.fingerprint for one in self.runs}
        sizes = {one.wanted.name: [one.before, one.after] for one in self.runs}
        return {"fingerprint": self.fingerprint, "to": str(self.asked.to), "runs": runs, "bytes": sizes}

    @property
    def remarks(self) -> list[str]:
        """What is to be known of all, and of copies, each with the runs that it is of."""
        runs: dict[str, list[str]] = {}
        for one in self.runs:
            for note in [*(read_by(one.report) if one.report else []), *one.notes]:
                runs.setdefault(note, []).append(one.wanted.name)
        of = {n: f"{', '.join(own[:5])}{', ...' if len(own) > 5 else ''}" for n, own in runs.items()}
        return [*self.notes, *(f"{own}: {note}" for note, own in of.items())]

    def __str__(self) -> str:
        head = [("run", "keep", "before", "after", "lost")]
        rows = [(one.wanted.name, one.wanted.keep, *_sizes(one), lost(one)[0]) for one in self.runs]
        widths = [max(len(row[n]) for row in [*head, *rows]) for n in range(4)]
        lines = []
        for row, rest in zip([*head, *rows], [[], *(lost(one)[1:] for one in self.runs)], strict=True):
            lines.append(
                "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]).rstrip()
            )
            lines += [f"{' ' * (sum(widths) + 8)}{more}" for more in rest]
        before, after = (sum(getattr(one, size) for one in self.runs) for size in ("before", "after"))
        share = f", {after / before:.1%}" if before else ""
        lines += ["", f"total    {show(before)} -> {show(after)}{share}, {count(len(self.runs), 'run')}"]
        if self.failed:
            names = ", ".join(one.wanted.name for one in self.failed)
            lines.append(f"failed   {len(self.failed)} of them cannot be done: {names}")
        if self.beside:
            more = f", ... ({len(self.beside)} in all)" if len(self.beside) > 10 else ""
            lines.append(f"beside   runs that are not named: {', '.join(self.beside[:10])}{more}")
        lines += [f"note     {note}" for note in self.remarks]
        return "\n".join([*lines, f"volume   {self.asked.to}", f"plan     {self.fingerprint[:16]}"])


def fingerprint_of_all(asked: Asked, runs: Iterable[tuple[str, str]]) -> str:
    """Return what tells a file, and the fingerprints of runs by their names, from any others."""
    said = [asked.text, *(f"{name} {fingerprint}" for name, fingerprint in runs)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def _sizes(one: RunPlan) -> tuple[str, str]:
    return (show(one.before) if one.source else "?", "-" if one.problem else show(one.after))


def lost(one: RunPlan) -> list[str]:
    """Return in words what of a run does not remain."""
    if one.problem:
        return [one.problem]
    if one.wanted.keep == NOTHING:
        return [f"everything: {one.wanted.why}"]
    if one.wanted.keep not in COPIES:
        return [f"all data of the run; {remain(len(one.wanted.results))}"]
    return lost_by(one.report) if one.report else ["?"]


def survey(asked: Asked, wanted: Sequence[Wanted], volume: Volume) -> VolumePlan:
    """Return which files each run has, and what was done of it; none is opened, so that this takes no time."""
    runs = tuple(_looked_at(one, volume) for one in wanted)
    return VolumePlan(asked, runs, _beside(runs), _unnamed(volume, wanted))


def _unnamed(volume: Volume, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """Return what is to be known of runs that are in the volume, and that the file does not name any more."""
    names = [name for name in volume.others([one.name for one in wanted]) if volume.noted(name)]
    said = "is in the volume, and not named any more: only 'dxflow red run --again' goes on, and removes it"
    return tuple(f"{name}: {said}" for name in names)


def plan(
    surveyed: VolumePlan, place: Path | None = None, *, again: bool = False, cluster: Any = None
) -> VolumePlan:
    """Return what becomes of runs; one that cannot be read has a problem, and does not stop the others.

    Parameters
    ----------
    surveyed : VolumePlan
        What `survey` returned.
    place : path, optional
        Folder of the copies; by default nothing will be written.
    again : bool
        Runs that have changed since they were copied, or are asked for otherwise, are copied anew.
    cluster : optional
        As of `copy_run`: where lit frames are looked for.
    """
    kept, runs = 0, []
    # No copy is made there, so that nothing that has the name of a run is in the way.
    nowhere = _above(surveyed.asked.to) / f".dxflow-red-{uuid.uuid4().hex[:12]}"
    for one in surveyed.runs:
        made = _planned(one, place / one.wanted.name if place else nowhere, again, cluster)
        if made.copy and (own := _weight(made.copy)):
            if kept + own > KEPT:
                made = replace(made, copy=None, sized=made.copy.report)
            else:
                kept += own
        if made.source and not made.problem:
            made = replace(made, notes=contradictions(made.source, surveyed.asked.facts))
        runs.append(made)
    return replace(surveyed, runs=tuple(runs))


def _weight(copy: CopyPlan) -> int:
    """Return the bytes of what a plan says of frames; modules have it in common."""
    arrays = {
        id(a): a.nbytes for t in copy.tasks for c in t.cuts.values() for a in (c.before, c.counts, c.entries)
    }
    return sum(arrays.values())


def _above(path: Path) -> Path:
    """Return the nearest folder above a path that is there."""
    return next(p for p in path.absolute().parents if p.is_dir())


def _looked_at(wanted: Wanted, volume: Volume) -> RunPlan:
    """Return the files of a run, and what was done of it."""
    try:
        source = source_of(wanted.run)
        tells = fingerprint(source, wanted.options, tuple(map(str, wanted.results)), wanted.keep)
    except (OSError, ValueError) as e:
        return RunPlan(wanted, problem=brief(e))
    noted = volume.noted(wanted.name)
    return RunPlan(wanted, source, tells, noted=noted if noted and volume.has(noted) else None)


def _planned(one: RunPlan, place: Path, again: bool, cluster: Any) -> RunPlan:
    """Return what becomes of a run."""
    if one.problem:
        return one
    wanted, noted = one.wanted, one.noted
    if noted is not None and noted["fingerprint"] == one.fingerprint:
        return one
    try:
        if noted is not None and not again:
            assert one.source is not None
            raise PlanError(_changed(wanted, noted, one.source))
        copy = copy_plan(wanted, place, cluster) if wanted.keep in COPIES else None
        results = tuple(map(result_plan, wanted.results))
        for result in results:
            _refuse_of_other(result, one.source)
        return replace(one, copy=copy, results=results, noted=None, replaced=noted)
    # Whatever a broken run raises: it is listed, and the others go on.
    except Exception as e:  # noqa: BLE001
        return replace(one, problem=brief(e), noted=None)


def copy_plan(wanted: Wanted, place: Path, cluster: Any) -> CopyPlan:
    """Return the plan of a copy; one that is there already is no obstacle yet."""
    options = {**wanted.copy(), "overwrite": True, "resume": True, "quiet": True}
    made = plan_copy(wanted.run, place, cluster=cluster, **options)
    if made.refused:
        raise PlanError(made.refused)
    # What is there may be removed, or found damaged, before the copy is made.
    return replace(made, finished=None)


def _changed(wanted: Wanted, noted: Mapping[str, Any], source: Source) -> str:
    """Return that a run is not as it was when it was copied, or that something else is asked for now."""
    if (noted["keep"], noted["options"]) != (wanted.keep, dict(wanted.options)):
        return "is in the volume already, by other options: 'dxflow red run --again' copies it anew"
    was = {one["path"]: (one["size"], one["changed"]) for one in noted["source"]}
    now = {one.path: (one.size, one.changed) for one in source.files}
    other = sorted(
        os.path.basename(path) for path in was.keys() | now.keys() if was.get(path) != now.get(path)
    )
    what = ", ".join(other[:3]) or "a result"
    return f"has changed since it was copied ({what}): 'dxflow red run --again' copies it anew"


def result_plan(path: Path) -> ResultPlan:
    """Return the files of a result.

    Raises
    ------
    PlanError, OSError
        If it is nothing that can be kept, or not all of it is there.
    """
    if path.is_symlink() or not path.exists():
        what = "is a symbolic link: give the path it leads to" if path.is_symlink() else "is not there"
        raise PlanError(f"result {path} {what}")
    if path.is_file():
        return ResultPlan(path, {path.name: path}, path.stat().st_size, _origin(path))
    if ours.kind_of(path) != ours.RESULT:
        raise PlanError(f"result {path} is no result of dxflow, and no file; of other folders give each file")
    files = {}
    for root, folders, names in os.walk(path, onerror=fail):
        for name in [*names, *(f for f in folders if os.path.islink(os.path.join(root, f)))]:
            one = Path(root, name)
            if one.is_symlink() or not one.is_file():
                raise PlanError(f"result {path}: {one.relative_to(path)} is no regular file")
            files[str(Path(path.name) / one.relative_to(path))] = one
    if (path / MANIFEST).is_file():
        # A chunk that is gone would be read as one in which nothing is.
        whole(path)
    return ResultPlan(path, files, sum(one.stat().st_size for one in files.values()), _origin(path))


def _origin(path: Path) -> dict[str, Any]:
    """Return what a result says of how it was made; of what says nothing, nothing."""
    from ..driver.result import open_result

    # Whatever another program has written.
    with suppress(Exception):
        made = open_result(path)
        if run := made.dataset.attrs.get("run"):
            versions = made.manifest.get("versions") or made.manifest.get("plan", {}).get("versions", {})
            return {"run": str(run), "created": made.manifest.get("created", ""), "versions": versions}
    return {}


def _refuse_of_other(result: ResultPlan, source: Source | None) -> None:
    """Raise if a result says that it was made of another run; folders of runs may have been moved."""
    said = Path(result.origin.get("run", ""))
    name = said.parent.name if said.suffix == ".h5" else said.name
    there = [os.path.basename(folder) for folder in source.folders] if source else []
    if name and name not in there:
        raise PlanError(
            f"result {result.path} was made of {said}, and not of this run: give each run its own, such as "
            "'{name}.zarr'"
        )


def _beside(runs: Iterable[RunPlan]) -> tuple[str, ...]:
    """Return the runs in the same folders that are not named."""
    folders = [folder for one in runs if one.source for folder in one.source.folders]
    named = {os.path.realpath(folder) for folder in folders}
    above = {os.path.realpath(parent): parent for parent in map(os.path.dirname, folders)}
    there = [path for folder in sorted(above.values()) for path in _in_folder(folder)]
    return tuple(
        os.path.relpath(path) for path in there if os.path.realpath(path) not in named and _is_run(path)
    )


def _in_folder(folder: str) -> list[str]:
    """Return what is in a folder, in order of names; of one that cannot be read, nothing."""
    try:
        return sorted(entry.path for entry in os.scandir(folder))
    except OSError:
        return []


def _is_run(path: str) -> bool:
    """Return whether a path is a folder with files of a run; one that cannot be read counts as none."""
    from ..disk.marks import PATTERN

    try:
        return any(PATTERN.fullmatch(entry.name) for entry in os.scandir(path))
    except OSError:
        return False


def brief(error: Exception) -> str:
    """Return an error in one line."""
    kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
    return f"{kind}{' '.join(text_of(error).split())}"
