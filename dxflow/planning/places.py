"""Files and folders that a plan reads: nothing is written there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk.ours import folders_of, paths_in

if TYPE_CHECKING:
    from .plan import Plan


def inputs_of(plan: Plan) -> Iterator[Path]:
    """Yield what a plan reads: run directories, files, and what options and inputs name on the disk."""
    yield from run_folders(plan)
    yield from _data_files(plan)
    yield from paths_in([(a.algorithm.options, list(a.algorithm.inputs.values())) for a in plan.algorithms])
    yield from paths_in(plan.selected_by)


def _data_files(plan: Plan) -> list[Path]:
    return sorted({Path(f) for i in plan.inputs for f in i.location.files})


def run_folders(plan: Plan) -> list[Path]:
    """Return the run directories of a plan; the folder of a single file that has a name of its own is none."""
    return folders_of(_data_files(plan))
