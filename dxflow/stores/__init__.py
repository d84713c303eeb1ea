"""What a finished reduction is written to: one file per format, found by suffix."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..binding import PlanError
from ..sizes import show

if TYPE_CHECKING:
    from ..contents import Contents
    from ..plan import Plan


class Store(ABC):
    """Where a result goes. A format implements `create`, `write` and `commit`.

    The result appears under its name by one rename in `commit`; until then everything lies in `partial`.

    Parameters
    ----------
    path : path
        Of the finished result.
    """

    temporary = False
    """Whether the result goes away with the last object that refers to the store."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def partial(self) -> Path:
        """Folder beside the result for fragments and for the result while it is written."""
        return self.path.with_name(self.path.name + ".partial")

    @abstractmethod
    def create(self, contents: Contents) -> Sequence[Any]:
        """Make an empty result in `partial`, on the client; return the pieces that are to be written."""

    def keep(self, contents: Contents, part: int, arrays: Mapping[str, NDArray]) -> None:
        """Take the finished whole-run outputs of a part, by name, on the worker that made them.

        Default: leave them as a fragment, which `contents.part` reads when the pieces are written.
        """
        from .. import contents as where
        from .. import fragments

        fragments.write(where.final_path(contents.folder, part), {}, arrays, lasting=not self.temporary)

    @abstractmethod
    def write(self, contents: Contents, piece: Any) -> None:
        """Write a piece, on a worker; pieces may be written in any order, in parallel, and twice."""

    @abstractmethod
    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Complete the result and give it its name, on the client."""

    def piece_bytes(self, plan: Plan) -> int:
        """Return the memory that writing a piece needs."""
        return 0

    def describe(self, plan: Plan) -> str:
        """Return what will be written, for the plan's table."""
        return str(self.path)

    def check(self, plan: Plan) -> None:
        """Refuse what would fail only at the end: an existing result, no folder, no space.

        Raises
        ------
        PlanError
        """
        if self.path.is_symlink() or (self.path.exists() and not plan.overwrite):
            raise PlanError(
                f"{self.path} exists: choose another name, or overwrite=True (--overwrite) to replace it"
            )
        parent = self.path.absolute().parent
        if not parent.is_dir():
            raise PlanError(f"{self.path}: the folder {parent} does not exist; make it first")
        need, free = output_bytes(plan), shutil.disk_usage(parent).free
        if need * 1.1 > free:
            raise PlanError(f"{self.path}: {show(need)} may be needed there, {show(free)} are free")


def output_bytes(plan: Plan) -> int:
    """Return the bytes of all stored results, uncompressed, and of their fragments."""
    from ..contents import Contents

    none = {o.name: [0] * len(plan.chunks) for o in plan.outputs if o.output.kind == "event"}
    whole = sum(v.nbytes for v in Contents(plan, Path(), none).variables.values())
    return 2 * whole


def store_for(to: Any) -> Store:
    """Return the store that a user's `to` means.

    Raises
    ------
    PlanError
        If no format has this suffix.
    """
    from .zarr import Zarr

    if isinstance(to, Store):
        return to
    if to is None:
        folder = tempfile.mkdtemp(prefix="dxflow-")
        store = Zarr(Path(folder) / "result.zarr")
        store.temporary = True
        # Lives as long as the plan or the result that refers to the store.
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
        return store
    if Path(to).suffix == ".zarr":
        return Zarr(to)
    if str(to).endswith("/"):
        from .exdf import Exdf

        return Exdf(to)
    raise PlanError(
        f"to={str(to)!r}: no format is known by this name; known: 'name.zarr', and 'name/' for a directory of "
        "EuXFEL HDF5 files"
    )
