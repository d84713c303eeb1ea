"""The folder of fragments beside a result: begun, resumed, kept when a run fails."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..deaths import notes as attempts
from ..disk import fragments, lock, ours
from ..disk import manifest as manifests
from ..disk.replace import put
from ..errors import PlanError

if TYPE_CHECKING:
    from ..disk.lock import Lock
    from ..planning.public import Plan

PLAN = ours.PLAN
MOST = 10
"""Reasons that a message lists."""


@contextmanager
def held(plan: Plan) -> Iterator[Lock | None]:
    """Work in a plan's journal, alone; a place that has no name for others needs no lock.

    Raises
    ------
    PlanError
        If another process works there, or it is no place for a journal.
    """
    if plan.store.temporary:
        yield None
        return
    plan.store.check_partial(plan)
    with lock.held(plan.store.partial, f"reduction to {plan.store.path.name}") as own:
        yield own


def refuse_held(plan: Plan) -> None:
    """Raise a PlanError if another process reduces to the same place now."""
    if (other := lock.holder(plan.store.partial)) is not None:
        raise PlanError(
            f"{plan.store.path}: {other} works there now; wait for it, or choose another name for the result"
        )


def begin(plan: Plan) -> Path:
    """Return the folder for a plan's fragments: a fresh one, or the one of the run that is resumed.

    Raises
    ------
    PlanError
        If there is one of an interrupted run and it is neither to be resumed nor replaced, or if it is to
        be resumed but belongs to something else.
    """
    folder = plan.store.partial
    plan.store.check_partial(plan)
    folder.mkdir(mode=0o777, exist_ok=True)
    plan.store.recover(plan)
    # Without a finished chunk there is nothing to resume, and what was killed may not even have noted its plan.
    if plan.resume and _fragments(folder):
        _refuse_other(plan, folder)
        # What killed workers then may work now: with more memory, on other nodes.
        _remove(folder / attempts.FOLDER)
        for path in [p for name in ("merged", "rows", "gathered") for p in folder.glob(f"{name}-*")]:
            # A chunk that is damaged, and done again, may be worked on without loss now.
            _remove(path)
        return folder
    _refuse_loss(plan, folder)
    _clear(folder)
    put(folder / PLAN, json.dumps(plan.fingerprint.facts))
    return folder


def _clear(folder: Path, kept: Iterable[str] = ()) -> None:
    """Remove what dxflow made in a folder, its lock aside."""
    foreign = ours.foreign(folder)
    strange = {name.partition(os.sep)[0] for name in foreign}
    for path in folder.glob(f"{attempts.FOLDER}/*"):
        if str(path.relative_to(folder)) not in foreign:
            _remove(path)
    for path in folder.iterdir():
        if path.name not in (*kept, *strange, lock.NAME):
            _remove(path)


def _remove(path: Path) -> None:
    if path.name.startswith(ours.REPLACED):
        # While it is removed it is no result any more.
        path = path.rename(path.with_name(f"{ours.STORE}old{path.name.partition('-')[2]}"))
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def finished(plan: Plan) -> bool:
    """Return whether a run that is resumed has nothing left to do: its result is there, made of the same, and intact.

    What a run that was killed in the end left beside it is removed.

    Raises
    ------
    PlanError
        If a result is there that was made of something else, or that is damaged, and it is not to be replaced.
    """
    if not plan.resume or plan.store.path.is_symlink() or not plan.store.path.exists():
        return False
    from ..stores.opening import manifest, verify

    try:
        made = manifest(plan.store.path)["plan"]
    except (OSError, ValueError, KeyError):
        return False
    if not (why := _unlike(plan, made) or verify(plan.store.path)):
        _leftover(plan)
        return True
    if not plan.overwrite:
        raise PlanError(
            f"{plan.store.path} exists, but cannot be gone on with:{_listed(why)}\n"
            "Give another name, or overwrite=True (--overwrite) to make it anew"
        )
    return False


def _leftover(plan: Plan) -> None:
    """Remove the journal of a finished result, if it is its own and nobody works there."""
    folder = plan.store.partial
    if not (folder / PLAN).is_file() or lock.holder(folder) is not None:
        return
    with suppress(OSError, ValueError, PlanError):
        if not _unlike(plan, json.loads((folder / PLAN).read_text())):
            with held(plan):
                end(plan)


def _unlike(plan: Plan, made: Mapping[str, Any], *, grown: bool = False) -> list[str]:
    """Return what keeps a plan from being the one by which something was made, in words.

    With `grown`, or the one of a run that had fewer trains.
    """
    unknown = [
        f"{what} has no digest, so nobody knows whether it is the same" for what in plan.fingerprint.unknown
    ]
    return unknown or plan.fingerprint.differences(made, grown=grown)


def _listed(why: Sequence[str]) -> str:
    """Return reasons as lines; of many the first ones."""
    more = [f"and {len(why) - MOST} more"] if len(why) > MOST else []
    return "".join(f"\n- {one}" for one in [*why[:MOST], *more])


def restarted() -> bool:
    """Return whether Slurm has started this driver again (``dxflow submit``): it goes on without being told to.

    A command that another driver began anew is not meant, though it is of the same job: `lock.ANEW` says so.
    """
    again = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return again and "DXFLOW_DRIVER" in os.environ and lock.ANEW not in os.environ


def job() -> dict[str, str]:
    """Return what tells files that this driver writes from those of others, if it is a job: Slurm keeps its number."""
    number = os.environ.get("SLURM_JOB_ID", "")
    return {"job": number} if number and "DXFLOW_DRIVER" in os.environ else {}


def made_before(folder: Path, overwrite: bool) -> bool:
    """Return whether a driver that Slurm has started again takes a table or cube as it is: it made it, or may have.

    With `overwrite` there may be one of before, of other options or of what the run was then: its own has its number.
    """
    if not restarted() or not folder.exists():
        return False
    if not overwrite:
        return True
    try:
        return manifests.read(folder)["about"]["job"] == job()["job"]
    except (OSError, ValueError, KeyError):
        return False


def found(folder: Path, plan: Plan) -> set[int]:
    """Return the numbers of the chunks of a plan that have a fragment."""
    if not (there := _fragments(folder)):
        return set()
    return {c.number for c in plan.chunks if plan.address(folder, c.number).path.name in there}


def _fragments(folder: Path) -> set[str]:
    """Return the names of the fragments of chunks, of whichever plan."""
    return {path.name for path in fragments.chunks(folder)}


def _refuse_other(plan: Plan, folder: Path) -> None:
    """Raise if the interrupted run was not this one."""
    try:
        old = json.loads((folder / PLAN).read_text())
    except (OSError, ValueError) as e:
        raise PlanError(
            f"{folder}: cannot be resumed, its {PLAN} is not readable ({e}); remove the folder yourself to start afresh"
        ) from e
    # Chunks that train ids decide know themselves whether they are the same; of another run none is.
    files = [facts.get("files", {}).keys() for facts in (old, plan.fingerprint)]
    grown = bool(plan.chunk_trains) and (bool(files[0] & files[1]) or not any(files))
    if why := _unlike(plan, old, grown=grown):
        raise PlanError(
            f"{folder}: cannot be resumed:{_listed(why)}\n"
            "Give the same run, algorithms, options and versions, or, without resume, overwrite=True (--overwrite) to "
            "start afresh"
        )


def _refuse_loss(plan: Plan, folder: Path) -> None:
    """Raise if finished chunks would be deleted unasked."""
    done = len(_fragments(folder))
    if done and not plan.overwrite:
        raise PlanError(
            f"{folder} holds {done} chunks of an interrupted run: resume=True (--resume) goes on with it, "
            "overwrite=True (--overwrite) starts afresh"
        )


def _name_place(plan: Plan, error: BaseException) -> None:
    """Say of a disk that is full where that is, and what is needed and free there: the system does not."""
    if not isinstance(error, OSError) or error.errno not in lock.FULL:
        return
    from ..stores.store import room

    error.add_note(f"{plan.store.path}: {room(plan)}; make room, or choose another place")


@contextmanager
def kept_on_failure(plan: Plan) -> Iterator[None]:
    """Say where finished chunks are when a run fails, or is interrupted."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as e:
        _name_place(plan, e)
        done = len(fragments.chunks(plan.store.partial))
        # What was refused before it began says itself what can be done.
        if done and not plan.store.temporary and not isinstance(e, PlanError):
            e.add_note(
                f"{done} of {len(plan.chunks)} chunks are kept in {plan.store.partial}; "
                "resume=True goes on with them, with the same algorithms and options"
            )
        raise


def settle(folder: Path, merged: Collection[Path]) -> None:
    """Keep chunks and some of what was merged of them; what else a result that is there left is removed."""
    rows = (path.name for path in folder.glob("gathered-*"))
    _clear(folder, [PLAN, *_fragments(folder), *rows, *(path.name for path in merged)])


def end(plan: Plan) -> None:
    """Remove the fragments of a finished run; what says whose they are goes last, as a kill may come in between."""
    folder = plan.store.partial
    _clear(folder, [PLAN])
    _clear(folder)
    if left := ours.foreign(folder):
        warnings.warn(
            f"{folder} is left, as it also holds {', '.join(left[:MOST])}, which dxflow did not make: move it away",
            stacklevel=2,
        )
    with suppress(OSError):
        # Not as long as it is locked: then whoever holds it does this.
        folder.rmdir()
