"""The folder of fragments beside a result: begun, resumed, kept when a run fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import fingerprint
from .binding import PlanError

if TYPE_CHECKING:
    from .plan import Plan

PLAN = "plan.json"


def begin(plan: Plan) -> Path:
    """Return the folder for a plan's fragments: a fresh one, or the one of the run that is resumed.

    Raises
    ------
    PlanError
        If there is one of an interrupted run and it is neither to be resumed nor replaced, or if it is to
        be resumed but belongs to something else.
    """
    folder = plan.store.partial
    if folder.exists():
        if plan.resume:
            _refuse_other(plan, folder)
            return folder
        _refuse_loss(plan, folder)
        shutil.rmtree(folder)
    folder.mkdir(mode=0o777)
    (folder / PLAN).write_text(json.dumps(plan.fingerprint, indent=1))
    return folder


def found(folder: Path) -> set[int]:
    """Return the numbers of the chunks that have a fragment."""
    return {int(path.stem.removeprefix("chunk-")) for path in folder.glob("chunk-*.npz")}


def _refuse_other(plan: Plan, folder: Path) -> None:
    """Raise if the interrupted run was not this one."""
    try:
        old = json.loads((folder / PLAN).read_text())
    except (OSError, ValueError) as e:
        raise PlanError(
            f"{folder}: cannot be resumed, its {PLAN} is not readable ({e}); use overwrite=True"
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
    """Remove the fragments of a finished run."""
    shutil.rmtree(plan.store.partial, ignore_errors=True)
