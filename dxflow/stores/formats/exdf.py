"""EXDF: a run directory of EuXFEL HDF5 files that EXtra-data opens beside the original run."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk import manifest as _manifest
from ...disk.fragments import persist
from ...disk.replace import put
from ...errors import PlanError
from ...exdf import names
from ...exdf.file import Head, holds
from ...sizes import show
from ..exdf.dataset import facts
from ..exdf.given import check_places
from ..exdf.places import Places
from ..exdf.reduced import Piece, write
from ..labels import coordinates
from ..store import Store, described, refuse_dtypes, variables
from ..variables import Variables

if TYPE_CHECKING:
    from ...planning.public import Plan
    from ..axes import Coordinate
    from ..contents import Contents
    from ..variables import Variable

ALIASES = "aliases.json"
TAKEN = ("classId", "trainId", "pulseId", "cellId", "entryId", "modulesUsed")
"""Keys that an output cannot have."""
FILE_BYTES = 2**32
TRAINS_PER_FILE = 3500
"""As in corrected data of the facility; fewer where rows are large."""


class Exdf(Store):
    """A run directory of format 1.3: `dxflow.stores.exdf.places.Places` says where each output is.

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

    layouts = True

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
        refuse_dtypes(plan, "an EXDF file", lambda dtype: dtype.kind != "S" and holds(dtype), "iufbU")
        for bound in plan.results:
            if bound.output.store and bound.key in TAKEN and bound.output.exdf is None:
                raise PlanError(
                    f"{bound.name}: EXDF files have {bound.key!r} of their own; name the output otherwise"
                )
        check_places(Places(Variables(plan)))

    def create(self, contents: Contents) -> Sequence[Piece]:
        """Return one piece per file."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._root.mkdir(parents=True)
        plan, of_run = contents.plan, contents.origin
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
            pieces.append(Piece(trains.start, trains.stop, head))
        return pieces

    def write(self, contents: Contents, piece: Piece) -> None:
        """Write one file, in a process of its own."""
        answer = write(contents, Places(contents, _labels(contents)), self._root, piece)
        put(self._note(str(piece.head.name)), json.dumps(answer))

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Add manifest and aliases, and rename the directory to its name."""
        places = Places(contents, _labels(contents))
        (self._root / ALIASES).write_text(json.dumps(places.aliases(), indent=1))
        known = {}
        for file in self._root.glob("*.h5"):
            note = json.loads(self._note(file.name).read_text())
            known[file.name] = (note["bytes"], note["crc32"])
        own = {"exdf": {"attributes": described(contents), "variables": facts(places)}}
        _manifest.write(self._root, {**manifest, **own}, _manifest.digests(self._root, known))
        persist(self._root)
        self.publish(self._root, contents.plan)

    def piece_bytes(self, plan: Plan) -> int:
        """The rows of a chunk, or one part of an output of the whole run, in both processes."""
        whole = [math.ceil(v.nbytes / len(plan.parts)) for v in variables(plan) if v.axis == "part"]
        rows = [math.ceil(v.nbytes / len(plan.chunks)) for v in variables(plan) if v.axis != "part"]
        return 3 * max([*whole, *rows], default=0)

    def file_count(self, plan: Plan) -> int:
        """Sequence files, manifest and aliases."""
        return 2 + -(-len(plan.train_ids) // self._trains_per_file(variables(plan), plan))

    def describe(self, plan: Plan) -> str:
        """Name, size before compression and number of files."""
        size = show(sum(v.nbytes for v in variables(plan)))
        files = self.file_count(plan) - 2
        return f"{self.path}{os.sep}: up to {size} in {files} EuXFEL HDF5 file{'s' * (files > 1)}"

    def _trains_per_file(self, variables: Sequence[Variable], plan: Plan) -> int:
        """Return how many trains a file has."""
        if self.trains_per_file:
            return self.trains_per_file
        trains = len(plan.train_ids)
        per_train = sum(v.nbytes for v in variables if v.axis != "part") / trains
        return max(1, min(TRAINS_PER_FILE, int(FILE_BYTES / max(per_train, 1))))

    @property
    def _root(self) -> Path:
        return self.work / "store"

    def _note(self, file: str) -> Path:
        """Return where size and checksum of a file are until `commit`."""
        return self.work / f"{file}.json"


def _labels(contents: Contents) -> dict[str, Coordinate]:
    """Return the labels that are not among those of the contents."""
    return {k: v for k, v in coordinates(contents).items() if k not in contents.coordinates}
