"""The folder of a volume: refused where something else is, held by one process at a time, and what is noted in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ..disk import lock, ours
from ..disk.manifest import CACHES, MANIFEST
from ..disk.replace import put
from ..errors import PlanError
from ..sizes import show

JOURNAL = ".red"
"""Folder in a volume that is not complete: what is done."""
BEGUN = "begun.json"
RUNS, RESULTS = "runs", "results"
README, CRATE, DATACITE = "README.md", "ro-crate-metadata.json", "datacite.json"
ABOUT, ASKED, SUMS = "red.json", "red.yaml", "manifest-sha256.txt"
OWN = (README, CRATE, DATACITE, ABOUT, ASKED, SUMS)
"""Files of a volume beside data."""
NAMED = 5
"""Files that a message names."""
ROOM = 2**24
"""Bytes that are left free for what is about the data."""


class Volume:
    """A folder that is, or becomes, a volume."""

    def __init__(self, path: Path) -> None:
        self.path, self.journal = path, path / JOURNAL

    @property
    def complete(self) -> bool:
        """Whether it is a volume that was finished."""
        return (self.path / ABOUT).is_file() and (self.path / SUMS).is_file() and not self.begun

    @property
    def begun(self) -> bool:
        """Whether a volume was begun there, and not finished."""
        return (self.journal / BEGUN).is_file()

    def check(self, inputs: Iterable[str | Path]) -> None:
        """Refuse a place where no volume can be made, or gone on with.

        Raises
        ------
        PlanError
        """
        path, parent = self.path, self.path.absolute().parent
        if path.is_symlink():
            raise PlanError(f"{path} is a symbolic link, which is not followed: give the path it leads to")
        if not path.exists() and not parent.is_dir():
            raise PlanError(f"{path}: the folder {parent} does not exist; make it first")
        if path.exists() and not path.is_dir():
            raise PlanError(f"{path} is no folder; nothing is overwritten: choose another place, with to:")
        if not os.access(path if path.exists() else parent, os.W_OK | os.X_OK):
            raise PlanError(f"{path}: nothing can be written there; choose another place, with to:")
        if (holder := lock.holder(self.journal)) is not None:
            raise PlanError(f"{path}: {holder} works there now; wait for it")
        if self.complete:
            raise PlanError(
                f"{path} is a complete volume; nothing is overwritten: choose another place, with to:"
            )
        if others := self.foreign():
            raise PlanError(
                f"{path} holds {_some(others)}, which is no part of a volume; nothing is overwritten: choose another "
                "place with to:, or move these away"
            )
        if inside := ours.within(path.absolute().parent, inputs) or ours.touched(path, inputs):
            raise PlanError(
                f"{path} would lie in, or hold, {inside}, which is read: choose another place, with to:"
            )

    def foreign(self) -> list[str]:
        """Return what is in the folder that is no part of a volume that was begun."""
        if not self.path.is_dir():
            return []
        there = set(os.listdir(self.path))
        if not self.begun:
            own = {JOURNAL} if self._only_locked() else set()
            return sorted(there - own)
        temporary = {name for name in there if any(name.startswith(f".{own}.") for own in OWN)}
        return sorted(there - {JOURNAL, RUNS, RESULTS, *OWN} - temporary)

    def _only_locked(self) -> bool:
        """Return whether the folder of notes has no more than what a process leaves that is killed at once."""
        try:
            return all(name.startswith((lock.NAME, f".{BEGUN}.")) for name in os.listdir(self.journal))
        except OSError:
            return False

    def check_space(self, need: int) -> None:
        """Refuse a volume that does not fit.

        Raises
        ------
        PlanError
        """
        free = shutil.disk_usage(self.path if self.path.is_dir() else self.path.absolute().parent).free
        if need + ROOM > free:
            raise PlanError(
                f"{self.path}: {show(need + ROOM)} are needed there, {show(free)} are free: nothing was written"
            )

    @contextmanager
    def held(self, *, complete: bool = False) -> Iterator[None]:
        """Hold the folder, which is made if it is not there: no other process works there meanwhile.

        Parameters
        ----------
        complete : bool
            Whether it may be a complete volume, which is not complete then until it is finished again.

        Raises
        ------
        PlanError
            If another one does, or has made it complete.
        """
        self.path.mkdir(exist_ok=True)
        with lock.held(self.journal, f"red run to {self.path.name}"):
            if self.complete and not complete:
                raise PlanError(f"{self.path} is a complete volume; nothing is overwritten")
            if not self.begun:
                put(self.journal / BEGUN, json.dumps({"kind": "red volume", "state": "partial"}))
            for name in (RUNS, RESULTS):
                (self.path / name).mkdir(exist_ok=True)
            yield

    def note(self, name: str, facts: dict[str, Any]) -> None:
        """Note that a run is done."""
        put(self._noted(name), json.dumps(facts))

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return what was noted of a run, None if nothing (readable) was."""
        try:
            return json.loads(self._noted(name).read_bytes())
        except (OSError, ValueError):
            return None

    def forget(self, name: str) -> None:
        """Forget what was noted of a run."""
        self._noted(name).unlink(missing_ok=True)

    def has(self, noted: Mapping[str, Any]) -> bool:
        """Return whether all files that were noted of a run are there, and have their sizes."""
        try:
            return all(
                (self.path / name).lstat().st_size == one["size"] for name, one in noted["files"].items()
            )
        except OSError:
            return False

    def clear(self, names: Iterable[str]) -> None:
        """Remove folders of runs in which nothing is: one was killed that removed what was in them."""
        for name in names:
            with suppress(OSError):
                (self.path / RUNS / name).rmdir()

    def others(self, names: Collection[str]) -> list[str]:
        """Return the runs that are noted beside some."""
        there = (
            path.name.removeprefix("run-").removesuffix(".json") for path in self.journal.glob("run-*.json")
        )
        return sorted(set(there) - set(names))

    def remove(self, noted: Mapping[str, Any]) -> None:
        """Remove the files that were noted of a run, and nothing else; what says what they are goes last.

        Raises
        ------
        PlanError
            If they lie behind a link.
        """
        self.refuse_links(noted["name"])
        refuse_links(self.path, noted["files"])
        self.forget(noted["name"])
        inside = [self.path / folder / noted["name"] for folder in (RUNS, RESULTS)]
        for name in sorted(noted["files"], key=lambda name: name.endswith(f"/{MANIFEST}")):
            path = self.path / name
            if ".." not in path.parts and any(folder in path.parents for folder in inside):
                path.unlink(missing_ok=True)
        for folder in inside:
            for below in sorted(folder.rglob("*/"), key=lambda path: -len(path.parts)):
                with suppress(OSError):
                    below.rmdir()
            with suppress(OSError):
                folder.rmdir()

    def refuse_links(self, name: str) -> None:
        """Raise if folders of a run are links: what is removed there would be missing elsewhere.

        Raises
        ------
        PlanError
        """
        refuse_links(self.path, [f"{folder}/{name}/_" for folder in (RUNS, RESULTS)])

    def _noted(self, name: str) -> Path:
        return self.journal / f"run-{name}.json"

    def finish(self) -> None:
        """Make the volume complete, and remove the notes."""
        (self.journal / BEGUN).unlink(missing_ok=True)
        self.tidy()

    def tidy(self) -> None:
        """Remove what a process left that was killed when the volume was complete."""
        for path in self.journal.glob("*"):
            if path.name.startswith(("run-", ".run-", f".{BEGUN}.", SUMS)):
                path.unlink()
        with suppress(OSError):
            self.journal.rmdir()


def fail(error: OSError) -> None:
    """Raise what `os.walk` would leave out: a folder that cannot be read is not an empty one."""
    raise error


def files_in(folder: Path) -> dict[str, Path]:
    """Return all files and links in a volume, by path there; not notes, nor what programs leave that open it.

    Raises
    ------
    OSError
        If a folder in it cannot be read.
    """
    found = {}
    for root, folders, names in os.walk(folder, onerror=fail):
        if root == str(folder) and JOURNAL in folders:
            folders.remove(JOURNAL)
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in [*names, *links]:
            if name not in CACHES and not name.startswith(".nfs"):
                path = os.path.join(root, name)
                found[os.path.relpath(path, folder)] = Path(path)
    return found


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Raise if a folder above some files, given by their paths in a folder, is a link.

    Raises
    ------
    PlanError
    """
    for one in sorted({parent for name in names for parent in PurePosixPath(name).parents}):
        if (path := folder / one).is_symlink() and one.name:
            raise PlanError(
                f"{path} is a symbolic link, which is not followed: put a folder in its place, with what it leads to"
            )


def _some(names: list[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
