"""What a finished reduction is written to: one file per format, found by suffix."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..disk import ours
from ..disk.fragments import persist
from ..disk.replace import appear, replace
from ..errors import NoRoom, PlanError
from ..planning.places import inputs_of, run_folders
from ..planning.reads import reads
from ..planning.variants import families
from ..sizes import show

if TYPE_CHECKING:
    from ..planning.public import Plan
    from .contents import Contents
    from .variables import Variable


class Store(ABC):
    """Where a result goes. A format implements `create`, `write` and `commit`.

    The result appears under its name by one rename in `commit`; until then everything lies in `work`.

    Parameters
    ----------
    path : path
        Of the finished result.
    """

    temporary = False
    """Whether the result goes away with the last object that refers to the store."""
    layouts = False
    """Whether it keeps the layouts of devices, ``Output(store="exdf")``."""
    made_first = False
    """Whether `create` needs nothing that only the chunks tell, where no algorithm has events."""
    codec = ""
    """Name of the codec of its arrays, see `dxflow.codecs`; "": what suits each of them."""
    codecs: Sequence[str] = ()
    """Those that the format knows."""
    attempt = ""
    """Which start of workers writes this; each has a folder of its own."""

    def __init__(self, path: str | Path) -> None:
        # Workers may have been started in another directory.
        self.path = Path(path).absolute()
        self.partial = self.path.with_name(self.path.name + ".partial")
        """Folder beside the result for fragments and for the result while it is written."""

    @property
    def work(self) -> Path:
        """Folder in `partial` for the result while it is written."""
        return self.partial / f"{ours.STORE}{self.attempt}"

    def begin(self) -> None:
        """Take another folder for what is written: workers that a lost driver left write where nobody looks."""
        self.attempt = uuid.uuid4().hex[:12]

    def settle(self) -> None:
        """Take what is written away from workers that are late, and remove what those that died left unfinished."""
        before = self.work
        self.begin()
        with suppress(FileNotFoundError):
            os.rename(before, self.work)
        for path in list(self.work.rglob("*")):
            if path.is_file() and (path.name.startswith(".") or path.suffix == ".partial"):
                path.unlink()

    @abstractmethod
    def create(self, contents: Contents) -> Sequence[Any]:
        """Make an empty result in `partial`, on the client; return the pieces that are to be written."""

    def keep(self, contents: Contents, part: int, arrays: Mapping[str, NDArray]) -> None:
        """Take the finished whole-run outputs of a part, by name, on the worker that made them.

        Default: leave them as a fragment, which `contents.part` reads when the pieces are written.
        """
        from ..disk import fragments

        path, of = fragments.final_path(contents.folder, part, contents.plan.digest), contents.plan.digest
        fragments.write(path, {}, arrays, of=of, lasting=not self.temporary)

    @abstractmethod
    def write(self, contents: Contents, piece: Any) -> None:
        """Write a piece, on a worker; pieces may be written in any order, in parallel, and twice."""

    @abstractmethod
    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Complete the result and give it its name, on the client."""

    def publish(self, made: Path, plan: Plan) -> None:
        """Give what was made in `partial` its name, by one rename; a result that it replaces is moved away.

        Raises
        ------
        FileExistsError
            If something appeared under the name while the reduction ran.
        """
        if plan.overwrite and os.path.lexists(self.path):
            if why := ours.obstacle(self.path, [ours.RESULT], inputs_of(plan)):
                raise FileExistsError(f"{why}. Then go on with resume=True")
            replace(made, self.path, self.partial / f"{ours.REPLACED}{self.attempt}")
        else:
            self._appear(made)
        if not self.temporary:
            persist(self.path.absolute().parent)

    def _appear(self, made: Path) -> None:
        try:
            appear(made, self.path)
        except FileExistsError as e:
            raise FileExistsError(
                f"{self.path} appeared while it was being made: move it away and go on with resume=True"
            ) from e

    def set_aside(self) -> Path | None:
        """Return where the result is that was about to be replaced when a reduction was killed, if it has no name."""
        if os.path.lexists(self.path) or not self.partial.is_dir():
            return None
        return max(self.partial.glob(f"{ours.REPLACED}*"), key=lambda p: p.lstat().st_mtime, default=None)

    def recover(self, plan: Plan) -> None:
        """Give a result its name again that was about to be replaced when a reduction was killed.

        Raises
        ------
        PlanError
            If it is not to be replaced now.
        """
        if (old := self.set_aside()) is not None:
            appear(old, self.path)
            self.check_place(plan)

    def piece_bytes(self, plan: Plan) -> int:
        """Return the memory that writing a piece needs."""
        return 0

    def file_count(self, plan: Plan) -> int:
        """Return about how many files the result will be."""
        return 1

    def describe(self, plan: Plan) -> str:
        """Return what will be written, for the plan's table."""
        return str(self.path)

    def check(self, plan: Plan) -> None:
        """Refuse what would fail only at the end: an existing result, no folder, no space, a name that is too long.

        Raises
        ------
        PlanError
        """
        parent = self.path.absolute().parent
        if not parent.is_dir():
            raise PlanError(f"{self.path}: the folder {parent} does not exist; make it first")
        if (limit := os.pathconf(parent, "PC_NAME_MAX")) < len(os.fsencode(self.partial.name)):
            raise PlanError(
                f"{self.path.name!r} is too long: with '.partial' for the time being it may have {limit} bytes; "
                "choose a shorter name"
            )
        self.check_place(plan)
        _check_room(self, plan, parent)
        ours.warn_open(parent)

    def check_place(self, plan: Plan) -> None:
        """Refuse a name under which there is something that is not to be replaced, and one inside the run.

        Raises
        ------
        PlanError
        """
        if why := ours.obstacle(self.path, [ours.RESULT], inputs_of(plan)):
            raise PlanError(why)
        self.check_partial(plan)
        old = self.set_aside()
        if (old or os.path.lexists(self.path)) and not plan.overwrite:
            where = f" (in {old}, since a reduction was killed while replacing it)" if old else ""
            raise PlanError(
                f"{self.path} exists{where}: choose another name, or overwrite=True (--overwrite) to replace it"
            )
        if why := ours.inside_run(self.path, run_folders(plan)):
            raise PlanError(why)

    def check_partial(self, plan: Plan) -> None:
        """Refuse a place where `partial` is anything but the fragments of a reduction.

        Raises
        ------
        PlanError
        """
        if why := ours.obstacle(self.partial, [ours.JOURNAL, ours.EMPTY], inputs_of(plan)):
            raise PlanError(f"{why}. A reduction to {self.path} needs this name for the time being")


def _check_room(store: Store, plan: Plan, folder: Path) -> None:
    """Refuse a folder that is read-only, or without space or file numbers (inodes) for the result."""
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise PlanError(f"{store.path}: the folder {folder} is read-only; choose another")
    need, free = output_bytes(plan), shutil.disk_usage(folder).free
    if need * 1.1 > free:
        raise NoRoom(f"{store.path}: {show(need)} may be needed there, {show(free)} are free")
    # Fragments and a directory per file; file systems without a fixed number of files say 0.
    files, there = 3 * store.file_count(plan) + len(plan.chunks), os.statvfs(folder)
    if there.f_files and files > there.f_favail:
        raise NoRoom(f"{store.path}: up to {files} files are needed there, {there.f_favail} more are allowed")


def room(plan: Plan) -> str:
    """Say what a result and its fragments may need at most, and what is free where they go."""
    free = shutil.disk_usage(plan.store.path.absolute().parent).free
    return f"up to {show(output_bytes(plan))} are needed there (events not counted), {show(free)} are free"


def output_bytes(plan: Plan) -> int:
    """Return the bytes of all stored results, uncompressed, and of their fragments."""
    return 2 * sum(v.nbytes for v in variables(plan))


def variables(plan: Plan) -> list[Variable]:
    """Return the variables as far as they are known before the run: events have no rows yet."""
    from .variables import Variables

    return list(Variables(plan).variables.values())


def described(contents: Contents) -> dict[str, Any]:
    """Return the attributes of a whole result: how it was made, and what selects frames."""
    made, plan = contents.plan.fingerprint, contents.plan
    attributes = {
        "title": f"reduction of {plan.run}",
        "run": plan.run,
        "versions": json.dumps(made["versions"]),
        "inputs": json.dumps([{k: one[k] for k in ("name", "key", "mask")} for one in made["inputs"]]),
        "digest": plan.digest,
    }
    read = reads(plan)
    for algorithm in made["algorithms"]:
        name = algorithm["name"]
        attributes[f"{name}.reads"] = read[name]
        for fact in ("options", "depends", "code"):
            attributes[f"{name}.{fact}"] = json.dumps(algorithm[fact])
    if plan.where:
        attributes["where"] = json.dumps(asdict(plan.where))
    chosen = (f"{a.name}.{a.algorithm.SELECTS}" for a in plan.algorithms if a.algorithm.SELECTS)
    if names := ", ".join(chosen):
        attributes["selection"] = names
    if plan.live is not None:
        attributes["live"] = json.dumps(plan.live)
    if varied := families(plan):
        attributes["variants"] = json.dumps(varied)
    return attributes


def is_number(dtype: np.dtype) -> bool:
    """Return whether values are numbers or booleans that have the same size everywhere."""
    return dtype.kind in "biufc" and dtype.char not in "gG"


def refuse_dtypes(plan: Plan, what: str, holds: Callable[[np.dtype], bool], labels: str = "iufbM") -> None:
    """Raise a PlanError for an output whose dtype a format cannot hold, or whose labels are of no kind of `labels`."""
    for bound in plan.results:
        if bound.output.store and not holds(np.dtype(bound.output.dtype)):
            raise PlanError(
                f"{bound.name} is {np.dtype(bound.output.dtype)}, which {what} cannot hold. "
                "Give Output another dtype, or store=False, or write another format"
            )
        for name in bound.output.coords if bound.output.store else ():
            if (dtype := bound.output.coordinate(name)[0].dtype).kind not in labels:
                raise PlanError(
                    f"{bound.name}: coords of {name!r} are {dtype}, which {what} cannot hold. "
                    "Give numbers, or write another format"
                )
