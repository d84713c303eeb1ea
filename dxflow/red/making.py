"""Makes a volume: run by run, each copied, hashed and noted, so that nothing is done twice; then all about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..clusters.kept import kept
from ..copying.copy import execute
from ..copying.folder import SUFFIX
from ..disk import ours
from ..disk.manifest import MANIFEST, Damage, read, whole
from ..disk.openhdf5 import open_hdf5
from ..driver.copied import CopyReport
from ..driver.progress import Progress
from ..errors import PlanError
from ..hdf5.errors import WriteError
from . import finishing
from .asked import COPIES, Asked
from .folder import RESULTS, RUNS, Volume, refuse_links
from .following import Following
from .hashed import Hashed, each, hashed
from .planning import ResultPlan, RunPlan, VolumePlan, Wanted, brief, copy_plan, plan, survey

DONE, THERE, FAILED = "done", "was there", "failed"


@dataclass(frozen=True)
class Made:
    """What came of it: the plan, how each run went (DONE, THERE, FAILED), and whether the volume is complete."""

    plan: VolumePlan
    states: Mapping[str, str]
    failures: Mapping[str, str]
    complete: bool
    sums: str = ""
    """SHA-256 of the list of all SHA-256: who keeps it elsewhere knows later whether the volume is the same."""


def make(
    asked: Asked,
    wanted: Sequence[Wanted],
    *,
    expected: Mapping[str, Any] | None = None,
    again: bool = False,
    cluster: Any = None,
    quiet: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Made:
    """Make a volume, or go on with it.

    Parameters
    ----------
    expected : mapping, optional
        A plan that was kept (`VolumePlan.json`): with any other nothing is done.
    again : bool
        Copy anew what has changed since it was copied.
    cluster : optional
        As of `dxflow.copy_run`.
    say : callable
        Told how each run went.

    Raises
    ------
    PlanError
        If nothing can be made there, or there is no space.
    """
    volume = Volume(asked.to)
    surveyed = survey(asked, wanted, volume)
    if expected is not None:
        refuse_other(surveyed, expected)
    if volume.complete and finishing.fingerprint_of(volume) == surveyed.fingerprint:
        volume.tidy()
        there = dict.fromkeys((one.wanted.name for one in surveyed.runs), THERE)
        return Made(surveyed, there, {}, complete=True)
    read_from = [Path(file.path) for one in surveyed.runs if one.source for file in one.source.files]
    volume.check([*ours.folders_of(read_from), *read_from])
    try:
        with volume.held(), kept(cluster):
            _refuse_unnamed(volume, wanted, again=again)
            volume.clear(one.name for one in wanted)
            # Another process may have done more meanwhile.
            surveyed = survey(asked, wanted, volume)
            return _made(
                plan(surveyed, volume.path / RUNS, again=again, cluster=cluster), volume, cluster, quiet, say
            )
    except KeyboardInterrupt as e:
        e.add_note(f"what is done is kept in {volume.path}: the same command goes on with the rest")
        raise


def _made(planned: VolumePlan, volume: Volume, cluster: Any, quiet: bool, say: Callable[[str], None]) -> Made:
    """Do all runs of a plan, and make the volume complete if none failed."""
    for remark in planned.remarks:
        say(f"note     {remark}")
    volume.check_space(_need(planned, volume))
    made = _all(planned, volume, cluster, quiet, say)
    if not made.complete:
        return made
    names = [one.wanted.name for one in planned.runs]
    return replace(made, sums=finishing.finish(volume, planned.asked, names, planned.beside))


def refuse_other(now: VolumePlan, expected: Mapping[str, Any]) -> None:
    """Raise if runs or the file are not as they were when a plan was kept."""
    if now.fingerprint == expected.get("fingerprint"):
        return
    was = expected.get("runs") or {}
    other = [one.wanted.name for one in now.runs if was.get(one.wanted.name) != one.fingerprint]
    gone = sorted(was.keys() - {one.wanted.name for one in now.runs})
    what = f"runs {', '.join([*other, *gone])}" if other or gone else f"{now.asked.path}"
    raise PlanError(
        f"this is not the plan that was kept: {what} changed since. Nothing was written: look at 'dxflow red plan' "
        "again, and keep that one"
    )


def _refuse_unnamed(volume: Volume, wanted: Sequence[Wanted], *, again: bool) -> None:
    """Raise if runs are in the volume that the file does not name any more; remove them if `again`."""
    for name in volume.others([one.name for one in wanted]):
        noted = volume.noted(name)
        if noted is None:
            volume.forget(name)
        elif again:
            volume.remove(noted)
        else:
            raise PlanError(
                f"{volume.path} has {name}, which the file does not name any more: name it, or 'dxflow red run "
                "--again' removes what was copied of it"
            )


def _need(planned: VolumePlan, volume: Volume) -> int:
    """Return the bytes that are still to be written."""
    todo = [one for one in planned.runs if one.noted is None and not one.problem]
    return sum(max(0, one.after - _there(volume.path / RUNS / one.wanted.name)) for one in todo)


def _there(place: Path) -> int:
    """Return the bytes of data of a copy, whole or begun."""
    places = (place, place.with_name(f"{place.name}{SUFFIX}"))
    return sum(file.stat().st_size for one in places for file in one.glob("*.h5"))


def _all(planned: VolumePlan, volume: Volume, cluster: Any, quiet: bool, say: Callable[[str], None]) -> Made:
    """Do run after run; one that fails does not stop the others."""
    states, failures = {}, {}
    for one in planned.runs:
        name = one.wanted.name
        if one.problem:
            states[name], failures[name] = FAILED, one.problem
        elif one.noted is not None:
            states[name] = THERE
            if one.noted["why"] != one.wanted.why:
                volume.note(name, {**one.noted, "why": one.wanted.why})
        else:
            try:
                volume.note(name, _one(one, volume, cluster, quiet))
                states[name] = DONE
            # Whatever a run raises that changes, vanishes or breaks meanwhile: it is told, and the others go on.
            except Exception as e:  # noqa: BLE001
                states[name], failures[name] = FAILED, brief(e)
        say(f"{name}  {states[name]}{': ' + failures[name] if name in failures else ''}")
    return Made(planned, states, failures, complete=not failures)


def _one(one: RunPlan, volume: Volume, cluster: Any, quiet: bool) -> dict[str, Any]:
    """Copy a run and its results; return what is noted of it."""
    assert one.source is not None
    wanted, begun = one.wanted, _now()
    volume.refuse_links(wanted.name)
    volume.forget(wanted.name)
    if one.replaced is not None:
        volume.remove(one.replaced)
    manifest, known = _copied(one, volume, cluster, quiet) if wanted.keep in COPIES else ({}, {})
    files = _files_of_copy(one, volume, manifest, known, quiet) if manifest else {}
    for result in one.results:
        files |= _result(result, volume, wanted.name)
    return {
        "name": wanted.name,
        "run": wanted.text,
        "keep": wanted.keep,
        "why": wanted.why,
        "options": dict(wanted.options),
        "results": [str(path) for path in wanted.results],
        "fingerprint": one.fingerprint,
        "source": [{"path": f.path, "size": f.size, "changed": f.changed} for f in one.source.files],
        "report": manifest.get("report"),
        "selection": manifest.get("selection", {}),
        "versions": manifest.get("versions") or finishing.versions(),
        "began": begun,
        "ended": _now(),
        "files": files,
        "origins": {
            f"{RESULTS}/{wanted.name}/{r.path.name}": dict(r.origin) for r in one.results if r.origin
        },
    }


def _now() -> str:
    """Return the time as ISO 8601 has it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _copied(
    one: RunPlan, volume: Volume, cluster: Any, quiet: bool
) -> tuple[dict[str, Any], Mapping[str, Hashed]]:
    """Copy a run unless it is there; return the manifest of the copy, and what was hashed meanwhile."""
    place = volume.path / RUNS / one.wanted.name
    copy = one.copy or copy_plan(one.wanted, place, cluster)
    there, partial, tells = _begun_as(place), copy.folder.partial, copy.fingerprint()
    if there == tells and _whole(place):
        return read(place), {}
    # A copy of what the run was before is ours, and is replaced, whole or begun.
    afresh = there is not None or _begun_as(partial) not in (None, tells)
    with Following(partial) as following:
        execute(replace(copy, overwrite=afresh, resume=True, quiet=quiet), cluster)
    return read(place), following.found


def _whole(place: Path) -> bool:
    """Return whether all files of a copy are there, and have their sizes."""
    try:
        return bool(whole(place))
    except OSError:
        return False


def _begun_as(folder: Path) -> str | None:
    """Return the fingerprint of a copy, whole or begun, None if there is none."""
    import json

    try:
        return json.loads((folder / MANIFEST).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files_of_copy(
    one: RunPlan, volume: Volume, manifest: Mapping[str, Any], known: Mapping[str, Hashed], quiet: bool
) -> dict[str, dict[str, Any]]:
    """Return what each file of a copy is, and what it was made of.

    The bytes are compared with the checksum that was noted while they were written. Files that are `known` are not
    read again, if what was hashed has that checksum.
    """
    assert one.source is not None
    place, name = volume.path / RUNS / one.wanted.name, one.wanted.name
    report = CopyReport.from_json(manifest["report"])
    how = {file.name: file.how for file in report.files}
    inputs = {file.name: file for file in one.source.files}
    written = {**manifest["files"], MANIFEST: None}
    found: dict[str, dict[str, Any]] = {}
    with Progress(f"SHA-256 of {name}", quiet=quiet) as progress:
        progress.phase(f"SHA-256 of {name}", report.after)
        good = {file: digest for file, digest in known.items() if _as_written(digest, written.get(file))}
        rest = each(((file, place / file) for file in written if file not in good), progress.add)
        for file, digest in (*good.items(), *rest):
            if isinstance(digest, OSError):
                raise digest
            _refuse_damage(place / file, digest, written[file])
            made = {"size": digest.size, "sha256": digest.sha256, "how": how.get(file, "written")}
            if file in inputs:
                source = inputs[file]
                made["inputs"] = [{"path": source.path, "size": source.size, "changed": source.changed}]
                made["reductions"] = reductions(place / file)
            found[f"{RUNS}/{name}/{file}"] = made
    return found


def _refuse_damage(path: Path, digest: Hashed, written: Iterable[int] | None) -> None:
    """Raise if a file is not as it was written."""
    if written is not None and not _as_written(digest, written):
        raise Damage(f"{path}: is not as it was written: remove its folder, and it is copied again")


def _as_written(digest: Hashed, written: Iterable[int] | None) -> bool:
    return written is not None and [digest.size, digest.crc] == list(written)


def reductions(path: Path) -> list[str]:
    """Return what a file says in its section REDUCTION that was done to it, here or before."""
    try:
        with open_hdf5(str(path)) as file:
            listed = file.get("METADATA/auxiliarySources/REDUCTION")
            return [] if listed is None else [bytes(name).decode() for name in listed[:] if name]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise WriteError(f"{path}: cannot be read: {e}", str(path)) from e


# Results ------------------------------------------------------------------------------------------


def _result(result: ResultPlan, volume: Volume, name: str) -> dict[str, dict[str, Any]]:
    """Copy a result file by file, hashing what is read; it appears under its name when it is whole."""
    folder = volume.path / RESULTS / name
    folder.mkdir(exist_ok=True)
    made, part = folder / result.path.name, folder / f".part-{result.path.name}"
    known = {str(Path(rel).relative_to(result.path.name)) for rel in result.files}
    for old in (part, made):
        refuse_links(folder, [f"{old.name}/{inside}" for inside in known])
        _clear(old, known)
    written = _checksums(result.path)
    found = {}
    for rel, path in result.files.items():
        inside = Path(rel).relative_to(result.path.name)
        target = part / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashed(path, target)
        if (crc := written.get(str(inside))) is not None and crc != (digest.size, digest.crc):
            raise Damage(f"{path}: is not as it was written; 'dxflow verify {result.path}' says more")
        found[f"{RESULTS}/{name}/{rel}"] = {
            "size": digest.size,
            "sha256": digest.sha256,
            "how": "whole",
            "inputs": [
                {"path": str(path.absolute()), "size": digest.size, "changed": path.stat().st_mtime_ns}
            ],
        }
    part.rename(made)
    return found


def _checksums(path: Path) -> dict[str, tuple[int, int]]:
    """Return size and CRC-32 of the files of a result that has a list of them."""
    if not (path / MANIFEST).is_file():
        return {}
    return {name: (size, crc) for name, (size, crc) in read(path)["files"].items()}


def _clear(path: Path, known: Iterable[str]) -> None:
    """Remove what an interrupted process left of a result, and nothing else.

    Raises
    ------
    PlanError
        If there is more than that.
    """
    if path.is_file():
        path.unlink()
        return
    for name in known:
        (path / name).unlink(missing_ok=True)
    if not path.is_dir():
        return
    for folder in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        if not any(folder.iterdir()):
            folder.rmdir()
    if left := [str(p) for p in path.rglob("*")]:
        raise PlanError(f"{path} holds {left[0]}, which is no part of the result: move it away")
    path.rmdir()
