"""EXDF: a run directory of EuXFEL HDF5 files that EXtra-data opens beside the original run."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..binding import PlanError
from ..chunk import chunk_path
from ..exdf import names
from ..exdf.dataset import described
from ..exdf.file import Head, holds, refusal
from ..exdf.origin import origin
from ..exdf.places import Places
from ..exdf.reduced import Piece, write
from ..fragments import Fragment, sync_directory
from ..losses import Loss, from_json
from ..sizes import show
from . import Store

if TYPE_CHECKING:
    from ..contents import Contents, Variable
    from ..outputs import BoundOutput
    from ..plan import Plan

MANIFEST = "dxflow.json"
ALIASES = "aliases.json"
TAKEN = ("classId", "trainId", "pulseId", "cellId", "modulesUsed")
"""Keys that an output cannot have."""
FILE_BYTES = 2**32
TRAINS_PER_FILE = 3500
"""As in corrected data of the facility; fewer where rows are large."""


class Exdf(Store):
    """A run directory of format 1.3: `dxflow.exdf.places.Places` says where each output is.

    Parameters
    ----------
    path : path
        Of the directory.
    category : str
        Start of the file names: "CORR", "RED" or "RAW".
    aggregator : str
        Third part of the file names.
    run, proposal : int, optional
        Numbers; those of the original run by default.
    trains_per_file : int, optional
        By default up to 3500, fewer where a file would have more than 4 GiB.

    Notes
    -----
    Each file is written by a process of its own. Large outputs of the whole run are in the first file, the others refer
    to them. Files are listed with size and checksum in the manifest.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        category: str = "CORR",
        aggregator: str = "DXFL00",
        run: int | None = None,
        proposal: int | None = None,
        trains_per_file: int | None = None,
    ) -> None:
        super().__init__(path)
        self.category, self.aggregator = category, aggregator
        self.run, self.proposal, self.trains_per_file = run, proposal, trains_per_file
        self._name(run or 0, 0)

    def _name(self, run: int, sequence: int) -> names.Name:
        return names.Name(self.category, run, self.aggregator, sequence)

    def check(self, plan: Plan) -> None:
        """Refuse also what the format cannot hold."""
        super().check(plan)
        for bound in plan.outputs:
            if bound.output.store:
                _check_output(bound)
        if not os.access(self.path.absolute().parent, os.W_OK | os.X_OK):
            raise PlanError(f"{self.path}: the folder {self.path.absolute().parent} is read-only")

    def create(self, contents: Contents) -> Sequence[Piece]:
        """Find out about trains and losses; return one piece per file."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir()
        plan, of_run = contents.plan, origin(contents.plan)
        losses = _losses(contents)
        step = self._trains_per_file(list(contents.variables.values()), plan)
        pieces = []
        for number, first in enumerate(range(0, len(plan.train_ids), step)):
            trains = slice(first, min(first + step, len(plan.train_ids)))
            head = Head(
                plan.train_ids[trains],
                of_run.timestamps[trains],
                of_run.flags[trains],
                self._name(of_run.run if self.run is None else self.run, number),
                of_run.proposal if self.proposal is None else self.proposal,
            )
            pieces.append(Piece(trains.start, trains.stop, head, ()))
        return [replace(p, losses=_of_piece(losses, p, plan.train_ids)) for p in pieces]

    def write(self, contents: Contents, piece: Piece) -> None:
        """Write one file, in a process of its own."""
        answer = write(Places(contents), self._root, piece)
        note = self._note(str(piece.head.name))
        temporary = note.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(answer))
        os.replace(temporary, note)

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Add manifest and aliases, and rename the directory to its name."""
        places = Places(contents)
        files = sorted(p.name for p in self._root.glob("*.h5"))
        notes = [{"name": f, **json.loads(self._note(f).read_text())} for f in files]
        manifest = {**manifest, "exdf": {"files": notes, **described(places)}}
        (self._root / MANIFEST).write_text(json.dumps(manifest, indent=1))
        (self._root / ALIASES).write_text(json.dumps(places.aliases(), indent=1))
        for name in (MANIFEST, ALIASES):
            _sync(self._root / name)
        sync_directory(self._root)
        if self.path.exists():
            os.replace(self.path, self.partial / "replaced")
        os.replace(self._root, self.path)
        sync_directory(self.path.absolute().parent)

    def piece_bytes(self, plan: Plan) -> int:
        """The rows of a chunk, or one part of an output of the whole run, in both processes."""
        variables = _variables(plan)
        rows = [math.ceil(v.nbytes / len(plan.chunks)) for v in variables if v.axis != "part"]
        return 3 * max(
            [*rows, *(math.ceil(v.nbytes / len(plan.parts)) for v in variables if v.axis == "part"), 0]
        )

    def describe(self, plan: Plan) -> str:
        """Name, size before compression and number of files."""
        variables = _variables(plan)
        files = -(-len(plan.train_ids) // self._trains_per_file(variables, plan))
        size = show(sum(v.nbytes for v in variables))
        return f"{self.path}{os.sep}: EXDF {self._name(self.run or 0, 0)}..., up to {size}, {files} files"

    def _trains_per_file(self, variables: Sequence[Variable], plan: Plan) -> int:
        """Return how many trains a file has."""
        if self.trains_per_file:
            return self.trains_per_file
        trains = len(plan.train_ids)
        per_train = sum(v.nbytes for v in variables if v.axis != "part") / trains
        return max(1, min(TRAINS_PER_FILE, int(FILE_BYTES / max(per_train, 1))))

    @property
    def _root(self) -> Path:
        return self.partial / "store.exdf"

    def _note(self, file: str) -> Path:
        """Return where size and checksum of a file are until `commit`."""
        return self.partial / f"{file}.json"


def _check_output(bound: BoundOutput) -> None:
    """Refuse an output that files cannot hold."""
    dtype = np.dtype(bound.output.dtype)
    if dtype.kind == "S" or not holds(dtype):
        raise PlanError(f"{bound.name}: {refusal(dtype)}; or write to a '.zarr' store")
    if bound.key in TAKEN:
        raise PlanError(
            f"{bound.name}: EXDF files have {bound.key!r} of their own; name the output otherwise"
        )


def _variables(plan: Plan) -> list[Variable]:
    """Return the variables as far as they are known before the run: events have no rows yet."""
    from ..contents import Contents

    none = {o.name: [0] * len(plan.chunks) for o in plan.outputs if o.output.kind == "event"}
    return list(Contents(plan, Path(), none).variables.values())


def _losses(contents: Contents) -> list[Loss]:
    """Return what is known to be missing, and what chunks could not use."""
    found = list(contents.plan.losses)
    for chunk in contents.plan.chunks:
        with Fragment(chunk_path(contents.folder, chunk.number)) as fragment:
            found += from_json(fragment.meta["losses"])
    return found


def _of_piece(losses: Sequence[Loss], piece: Piece, trains: NDArray) -> tuple[Loss, ...]:
    """Return the losses that begin in a file; those without a train, or from before all, are in the first."""
    at = np.searchsorted(trains, [loss.first_train for loss in losses]).clip(0, len(trains) - 1)
    return tuple(loss for loss, n in zip(losses, at, strict=True) if piece.first <= n < piece.last)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
