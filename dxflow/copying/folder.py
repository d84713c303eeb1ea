"""The folder of a copy: written beside its name, locked, resumed, complete with one rename."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as replaced_by
from pathlib import Path
from typing import Any

from ..disk import lock, ours
from ..disk import manifest as _manifest
from ..disk.checksums import digest
from ..disk.fragments import persist
from ..disk.manifest import MANIFEST
from ..disk.replace import appear, replace
from ..driver.copied import CopyReport
from ..errors import PlanError
from ..errors.redact import logger
from ..hdf5.errors import WriteError
from ..sizes import show
from . import notes
from .hands import TEMPORARY

log = logger(__name__)
SUFFIX = ".partial"
BEGUN = (ours.BEGUN, ours.COPY, ours.EMPTY)
"""What an interrupted copy may have left: it is complete before it gets its name."""


def _named(path: Any) -> Path:
    """Return a path that has a name.

    Raises
    ------
    PlanError
    """
    if not isinstance(path, (str, os.PathLike)):
        raise PlanError(f"a copy to {path!r}: expected a path such as 'red/r0034'")
    if (named := Path(path)).name in ("", ".."):
        raise PlanError(
            f"{path} is a folder that is there: give the copy a name in it, such as {named / 'copy'}"
        )
    return named


class Folder:
    """Where a copy goes.

    Parameters
    ----------
    path : path
        Of the finished copy; until then files are in `partial` beside it.
    inputs : iterable of path
        Files and folders that are read, which a copy never replaces.
    """

    def __init__(self, path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
        self.path, self.inputs = _named(path), list(inputs)
        self.partial = self.path.with_name(self.path.name + SUFFIX)
        self.attempt = ""
        """Folder in `partial` for files while they are written: workers of an earlier driver have another one."""

    def check(self, *, overwrite: bool, resume: bool = False) -> None:
        """Refuse a place where no copy can be made; with `resume`, one that is there may be the one that is wanted.

        Raises
        ------
        PlanError
        """
        parent = self.path.absolute().parent
        try:
            there = self.path.exists() or self.path.is_symlink() or os.path.lexists(self._old)
            self.partial.exists()
        except OSError as e:
            raise PlanError(f"{self.path}: {e.strerror}; choose another name") from e
        if not parent.is_dir():
            raise PlanError(f"{self.path}: the folder {parent} does not exist; make it first")
        longest = os.pathconf(parent, "PC_NAME_MAX")
        if len(os.fsencode(self.partial.name)) > longest:
            raise PlanError(
                f"{self.path}: this name is too long; at most {longest - len(SUFFIX)} bytes are possible there"
            )
        if not os.access(parent, os.W_OK | os.X_OK):
            raise PlanError(f"{self.path}: the folder {parent} is read-only; choose another")
        self._refuse(self.path, ours.COPY)
        if there and not overwrite and not (resume and self.path.exists()):
            raise PlanError(self._exists())
        self._refuse_others()
        ours.warn_open(parent)
        if why := ours.inside_run(self.path, self.inputs):
            raise PlanError(why)

    def _refuse(self, path: Path, *kinds: str) -> None:
        """Raise a PlanError if something else than one of these kinds is at a path."""
        if why := ours.obstacle(path, kinds, self.inputs):
            raise PlanError(why)

    def finished(self, fingerprint: str, *, overwrite: bool) -> CopyReport | None:
        """Return the report of the copy that is there if it is this one, and whole; None if there is to be another.

        Raises
        ------
        PlanError
            If another one is there, or a damaged one, that is not to be replaced.
        """
        if not self.path.exists():
            return None
        try:
            made = _manifest.read(self.path)
            if made.get("fingerprint") == fingerprint:
                self._compare(_manifest.whole(self.path))
                report = CopyReport.from_json({**made["report"], "path": str(self.path)})
                return replaced_by(report, notes=(*report.notes, "it was made before, and is taken as it is"))
            why = "a copy that was made with other options, or of other data, is there"
        except (OSError, ValueError, KeyError) as e:
            why = f"it cannot be taken as it is: {e}"
        if overwrite:
            return None
        raise PlanError(
            f"{self.path}: {why}: --overwrite (overwrite=True) makes all of it anew; or give another name"
        )

    def _compare(self, files: _manifest.Digests) -> None:
        """Compare what is in files with what was written: a node that fails may leave them with their sizes alone."""
        for name, noted in files.items():
            if digest(self.path / name) != tuple(noted):
                raise _manifest.Damage(f"{self.path / name}: it is not as it was written")

    def settle(self) -> None:
        """Remove the older copy that a finished one has replaced, if it was killed just then."""
        if os.path.lexists(self._old):
            with lock.held(self.partial, f"copy to {self.path.name}"):
                self._refuse(self._old, ours.COPY)
                self._forget()

    def check_space(self, need: int) -> None:
        """Refuse a copy that does not fit.

        Raises
        ------
        PlanError
        """
        there = sum(f.stat().st_size for f in self.partial.glob("*.h5")) if self.partial.is_dir() else 0
        free = shutil.disk_usage(self.path.absolute().parent).free
        if need - there > free:
            raise PlanError(f"{self.path}: {show(need - there)} are needed there, {show(free)} are free")

    @contextmanager
    def begun(
        self, fingerprint: str, names: list[str], *, resume: bool, overwrite: bool
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """Make the partial folder or take up that of an interrupted copy; yield size and CRC-32 of finished files.

        Parameters
        ----------
        fingerprint : str
            Of the copy.
        names : list of str
            Of the files that it will have.
        resume, overwrite : bool
            Go on with what is there; replace it.

        Raises
        ------
        PlanError
            If another process writes there, or what is there is neither to be resumed nor replaced.
        """
        self._refuse_others()
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.partial, f"copy to {self.path.name}"))
            except OSError as e:
                raise WriteError(
                    f"{self.partial}: {e.strerror}; choose another place", str(self.partial)
                ) from e
            self._refuse(self.partial, *BEGUN)
            self._recover(overwrite=overwrite)
            yield self._resumed(fingerprint, names, resume=resume, overwrite=overwrite)

    def _refuse_others(self) -> None:
        """Raise if another process writes there, or something else than a copy is there."""
        if (other := lock.holder(self.partial)) is not None:
            raise PlanError(
                f"{self.path}: {other} works there now; wait for it, or choose another name for the copy"
            )
        self._refuse(self.partial, *BEGUN)

    @property
    def _old(self) -> Path:
        """Name of an older copy while another one takes its place."""
        return self.path.with_name(f".{self.path.name}.old")

    def _recover(self, *, overwrite: bool) -> None:
        """Give a copy its name again that was about to be replaced when another was killed; remove one that was."""
        if not os.path.lexists(self._old):
            return
        self._refuse(self._old, ours.COPY)
        if os.path.lexists(self.path):
            self._forget()
            return
        appear(self._old, self.path)
        if not overwrite:
            raise PlanError(self._exists())

    def _exists(self) -> str:
        killed = not os.path.lexists(self.path)
        where = f" (as {self._old.name}, since a copy was killed while replacing it)" if killed else ""
        return (
            f"{self.path} exists{where}: choose another name, or overwrite=True (--overwrite) to replace it"
        )

    def _forget(self) -> None:
        """Remove an older copy; what says that it is one goes last, as a kill may come in between."""
        for path in self._old.iterdir():
            if path.name != MANIFEST and not path.is_dir():
                path.unlink()
        shutil.rmtree(self._old, ignore_errors=True)

    def _tidy(self) -> None:
        """Remove what was written by those who are gone, or late."""
        for leftover in self.partial.glob(f"{TEMPORARY}*"):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()

    def _resumed(
        self, fingerprint: str, names: list[str], *, resume: bool, overwrite: bool
    ) -> dict[str, tuple[int, int]]:
        """Return size and CRC-32 of files that are done; begin afresh where nothing is or is wanted of it."""
        self._tidy()
        self.attempt = f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            (self.partial / self.attempt).mkdir()
        except OSError as e:
            raise WriteError(f"{self.partial}: {e.strerror}", str(self.partial), number=e.errno) from e
        done = {f.name for f in self.partial.glob("*.h5")}
        if done and resume and self._begun_as() == fingerprint:
            return self._sound(done)
        if done and not overwrite:
            if not resume:
                raise PlanError(
                    f"{self.partial} holds {len(done)} files of an interrupted copy: resume=True (--resume) goes on "
                    "with it, overwrite=True (--overwrite) starts afresh"
                )
            raise PlanError(
                f"{self.partial}: cannot be resumed, another copy was begun there. Give the same run and "
                "selection, or overwrite=True (--overwrite) to start afresh"
            )
        for old in self.partial.iterdir():
            if not old.is_dir() and not old.name.startswith(lock.NAME):
                old.unlink()
        self._write({"state": "partial", "fingerprint": fingerprint, "files": names})
        return {}

    def _sound(self, names: set[str]) -> dict[str, tuple[int, int]]:
        """Return size and CRC-32 of the files that are as they were when they were done; remove the others."""
        sound = {}
        for name in sorted(names):
            found, noted = digest(self.partial / name), notes.read(self.partial, name)
            if found == noted:
                sound[name] = found
                continue
            log.warning("%s: is not as it was when it was copied, and is copied again", self.partial / name)
            (self.partial / name).unlink()
        return sound

    def _begun_as(self) -> str | None:
        """Return the fingerprint of the interrupted copy, None if it is not readable."""
        try:
            return json.loads((self.partial / MANIFEST).read_text())["fingerprint"]
        except (OSError, ValueError, KeyError):
            return None

    def _write(self, manifest: dict[str, Any]) -> None:
        """Write the manifest; it appears whole."""
        part = self.partial / f"{TEMPORARY}{uuid.uuid4().hex[:12]}.part"
        try:
            part.write_text(json.dumps(manifest, indent=1))
            os.replace(part, self.partial / MANIFEST)
        except OSError as e:
            part.unlink(missing_ok=True)
            raise self._unwritten(e) from e

    def _unwritten(self, error: OSError) -> WriteError:
        path = self.partial / MANIFEST
        return WriteError(f"{path} was not written: {error.strerror}", str(path), number=error.errno)

    def commit(
        self, manifest: dict[str, Any], files: _manifest.Digests, *, sync: bool, overwrite: bool
    ) -> None:
        """Add the manifest, which lists `files`, and give the copy its name; an older one goes away."""
        if not (self.partial / self.attempt).is_dir():
            holder = lock.holder(self.partial) or "another process"
            raise WriteError(
                f"{self.partial} was removed, or {holder} works there now, since this process gave no sign of life "
                "for too long",
                str(self.partial),
            )
        self._tidy()
        try:
            _manifest.write(self.partial, manifest, files, lasting=sync)
            notes.remove(self.partial)
        except OSError as e:
            raise self._unwritten(e) from e
        if sync:
            persist(self.partial)
        replaced = overwrite and os.path.lexists(self.path)
        self._refuse(self.path, ours.COPY)
        # It is held until the end all the same.
        (self.partial / lock.NAME).unlink(missing_ok=True)
        try:
            if replaced:
                replace(self.partial, self.path, self._old)
            else:
                appear(self.partial, self.path)
        except OSError as e:
            raise WriteError(
                f"{self.path}: {e.strerror}; the files are in {self.partial}", str(self.path)
            ) from e
        if sync:
            persist(self.path.absolute().parent)
        if replaced:
            self._forget()
