"""The folder of fragments beside a result: begun, resumed, kept when a run fails."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import attempts, fingerprint, ours
from .binding import PlanError
from .replace import put

if TYPE_CHECKING:
    from .plan import Plan

PLAN = ours.PLAN


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
    if folder.exists():
        # Without a finished chunk there is nothing to resume, and what was killed may not even have noted its plan.
        if plan.resume and found(folder):
            _refuse_other(plan, folder)
            # What killed workers then may work now: with more memory, on other nodes.
            shutil.rmtree(folder / attempts.FOLDER, ignore_errors=True)
            return folder
        _refuse_loss(plan, folder)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o777)
    put(folder / PLAN, json.dumps(plan.fingerprint, indent=1))
    return folder


def finished(plan: Plan) -> bool:
    """Return whether a run that is resumed has nothing left to do: its result is there."""
    from .verify import manifest

    if not plan.resume or plan.store.path.is_symlink() or not plan.store.path.exists():
        return False
    try:
        made = manifest(plan.store.path)["plan"]
    except (OSError, ValueError, KeyError):
        return False
    return not fingerprint.differences(made, json.loads(json.dumps(plan.fingerprint)))


def restarted() -> bool:
    """Return whether Slurm has started this driver again (``dxflow submit``): it goes on without being told to."""
    return "DXFLOW_DRIVER" in os.environ and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def found(folder: Path) -> set[int]:
    """Return the numbers of the chunks that have a fragment."""
    return {int(path.stem.removeprefix("chunk-")) for path in folder.glob("chunk-*.npz")}


def _refuse_other(plan: Plan, folder: Path) -> None:
    """Raise if the interrupted run was not this one."""
    try:
        old = json.loads((folder / PLAN).read_text())
    except (OSError, ValueError) as e:
        raise PlanError(
            f"{folder}: cannot be resumed, its {PLAN} is not readable ({e}); remove the folder yourself to start afresh"
        ) from e
    if changed := fingerprint.differences(old, json.loads(json.dumps(plan.fingerprint))):
        raise PlanError(
            f"{folder}: cannot be resumed, what was begun there differs in {changed}. "
            "Give the same run, algorithms, options and versions, or overwrite=True to start afresh"
        )


def _refuse_loss(plan: Plan, folder: Path) -> None:
    """Raise if finished chunks would be deleted unasked."""
    done = len(list(folder.glob("chunk-*.npz")))
    if done and not plan.overwrite:
        raise PlanError(
            f"{folder} holds {done} chunks of an interrupted run: resume=True (--resume) goes on with it, "
            "overwrite=True (--overwrite) starts afresh"
        )


@contextmanager
def kept_on_failure(plan: Plan) -> Iterator[None]:
    """Say where finished chunks are when a run fails."""
    try:
        yield
    except Exception as e:
        done = len(list(plan.store.partial.glob("chunk-*.npz")))
        if done and not plan.store.temporary:
            e.add_note(
                f"{done} of {len(plan.chunks)} chunks are kept in {plan.store.partial}; "
                "resume=True goes on with them, with the same algorithms and options"
            )
        raise


def end(plan: Plan) -> None:
    """Remove the fragments of a finished run; what says whose they are goes last, as a kill may come in between."""
    folder = plan.store.partial
    for path in folder.iterdir():
        if path.name != PLAN and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != PLAN:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
