"""The folder of a live reduction beside its result: snapshots, the last two of which are kept, and what it is about.

``x.live/`` holds ``live.json``, snapshots ``0001.zarr``, and the journal. ``x.zarr`` is a symbolic link to the newest
snapshot until the end, when the final result takes its place.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from ..disk import lock, ours
from ..disk.replace import appear, put, replace
from ..errors import PlanError
from ..errors.redact import logger
from . import leftovers
from .leftovers import ABOUT, ASIDE, BEFORE, CHANGES, CHUNK, DONE, OLD, RESULT
from .parameters import Asked

KEPT = 2
"""Snapshots."""
_NUMBER = re.compile(r"(\d{4,})\.zarr")


log = logger(__name__)


class Place:
    """Where a live reduction leaves its results.

    Parameters
    ----------
    to : path
        Of the final result, ``x.zarr``.

    Attributes
    ----------
    folder : path
        ``x.live``.
    resumed : bool
        Whether a live reduction that was interrupted is gone on with.
    finished : bool
        Whether that was interrupted in the very end, and has nothing left to do.
    """

    def __init__(self, to: str | Path) -> None:
        self.to = Path(to).absolute()
        if self.to.suffix != ".zarr":
            raise PlanError(f"{to}: a live result is name.zarr; copy it to another format in the end")
        self.folder = self.to.with_suffix(".live")
        self.resumed = self.finished = self._said = False
        self._replaced: tuple[int, int] | None = None
        """What had the name in the beginning, and is to be replaced."""

    @contextmanager
    def held(self, about: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Self]:
        """Work there, alone; go on with what was interrupted, if it was about the same.

        Raises
        ------
        PlanError
            If another process works there, or there is something that is not to be replaced.
        """
        if not self.to.parent.is_dir():
            raise PlanError(f"{self.to}: the folder {self.to.parent} does not exist; make it first")
        if why := self._foreign():
            raise PlanError(why)
        with lock.held(self.folder, f"live reduction to {self.to.name}"):
            self._begin(about, overwrite)
            yield self

    def _foreign(self) -> str:
        """Return why the folder cannot be used, "" if it can."""
        if not os.path.lexists(self.folder) or self._is_ours():
            return ""
        return f"{self.folder} is nothing that dxflow live made: choose another name for the result, or move it away"

    def _is_ours(self) -> bool:
        if self.folder.is_symlink() or not self.folder.is_dir():
            return False
        left = set(os.listdir(self.folder)) - {lock.NAME}
        return not left or any((self.folder / one / ABOUT).is_file() for one in ("", ASIDE))

    def _begin(self, about: Mapping[str, Any], overwrite: bool) -> None:
        """Take the place for something new, or go on with the same."""
        if (old := self.folder / f"{OLD}link").is_dir() and not old.is_symlink():
            # It was replaced by a link, and has no name of its own yet.
            os.rename(old, self.folder / BEFORE)
        if leftovers.interrupted(self.folder) or not self.begun():
            self._bring_back()
        now, before = json.loads(json.dumps(about)), self.about()
        same = before == now
        if before is not None and not same and not overwrite and self.begun():
            self._refuse_other(before, now)
        there = os.path.lexists(self.to) and not self._own_link()
        why = ours.obstacle(self.to, [ours.RESULT]) if there else ""
        self._replaced = _identity(self.to) if there and overwrite and not why else None
        if same and (self.folder / DONE).exists() and (there or self.result.exists()):
            # It was killed in the very end.
            self._publish()
            self.finished = True
            return
        if why:
            raise PlanError(why)
        if there and not overwrite:
            raise PlanError(
                f"{self.to} exists: choose another name, or overwrite=True (--overwrite) to replace it"
            )
        if not same:
            self._set_aside()
        self._finish_change()
        leftovers.remove(self.result)
        self.resumed = same
        put(self.folder / ABOUT, json.dumps(now, indent=1))

    def _refuse_other(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        names = [k for k in {**before, **now} if before.get(k) != now.get(k)]
        was = "; ".join(f"{k}: {before.get(k)} -> {now.get(k)}" for k in names)
        raise PlanError(
            f"{self.folder} holds an interrupted live reduction of something else ({was}): give the same to go on "
            "with it, choose another name, or overwrite=True (--overwrite) to start afresh"
        )

    def begun(self) -> bool:
        """Return whether anything was done there that would be lost."""
        return bool(self.numbers()) or self.result.exists() or any(self.folder.glob("work-*.partial/chunk-*"))

    def abandon(self) -> None:
        """Remove what was begun, if nothing was done: whoever begins with something else is not refused."""
        if not self.begun():
            leftovers.empty(self.folder, keep=(BEFORE, ASIDE))
            self._bring_back()

    def _set_aside(self) -> None:
        """Set aside what is there, until there is something new to show: the name of the result leads to it still."""
        if not self.begun() or ((self.folder / ASIDE).is_dir() and not self.numbers()):
            # What is aside is more than this.
            leftovers.empty(self.folder, keep=(BEFORE, ASIDE))
            return
        leftovers.set_aside(self.folder)
        self._lead(self.folder / ASIDE)

    def _bring_back(self) -> None:
        """Have there what was there before something that did nothing; the name of the result leads to it."""
        if (self.folder / ASIDE).is_dir():
            leftovers.bring_back(self.folder)
            self._lead(self.folder)
        before = self.folder / BEFORE
        if before.exists() and not self.to.exists():
            # Nothing else is left of what replaced it.
            if self._own_link():
                replace(before, self.to, self.folder / f"{OLD}link")
            else:
                appear(before, self.to)

    def _lead(self, folder: Path) -> None:
        """Have the name of the result lead to the newest snapshot of a folder, if it led to it elsewhere."""
        if self._own_link() and (newest := _numbers(folder)):
            self._link(folder / f"{newest[-1]:04d}.zarr")

    def about(self) -> dict[str, Any] | None:
        """Return what was begun there, None if nothing was."""
        with suppress(OSError, ValueError):
            return dict(json.loads((self.folder / ABOUT).read_text()))
        return None

    def chunk(self) -> str:
        """Return how trains were cut before an interruption, "" if none were."""
        with suppress(OSError, ValueError):
            return str(json.loads((self.folder / CHUNK).read_text()))
        return ""

    def note_chunk(self, chunk: str) -> None:
        """Note how trains are cut: for good, as it decides the bits."""
        if self.chunk() != chunk:
            put(self.folder / CHUNK, json.dumps(chunk))

    # Snapshots --------------------------------------------------------------------------------------

    def work(self, version: int) -> Path:
        """Return what the journal of a version is named after."""
        return self.folder / f"work-{version}.zarr"

    @property
    def result(self) -> Path:
        """The final result until it has its name."""
        return self.folder / RESULT

    def numbers(self) -> list[int]:
        """Return the numbers of the snapshots that are there."""
        return _numbers(self.folder)

    def next(self) -> tuple[int, Path]:
        """Return number and path of the next snapshot."""
        number = max(self.numbers(), default=0) + 1
        return number, self.folder / f"{number:04d}.zarr"

    def show(self, path: Path) -> None:
        """Have the name of the result lead to a snapshot that is there; remove those before the last two."""
        if self._taken():
            self._complain()
        else:
            self._link(path)
        leftovers.remove_aside(self.folder)
        for number in self.numbers()[:-KEPT]:
            leftovers.remove(self.folder / f"{number:04d}.zarr")

    def _link(self, path: Path) -> None:
        """Have the name of the result lead to a snapshot."""
        link = self.folder / f"{OLD}link"
        link.unlink(missing_ok=True)
        os.symlink(os.path.join(self.folder.name, path.relative_to(self.folder)), link)
        if self._own_link():
            os.replace(link, self.to)
        elif os.path.lexists(self.to):
            # With --overwrite: it is there until the final result is.
            replace(link, self.to, self.folder / BEFORE)
        else:
            appear(link, self.to)

    def _taken(self) -> bool:
        """Return whether something has the name that was not there in the beginning: it is nobody's to replace."""
        return os.path.lexists(self.to) and not self._own_link() and _identity(self.to) != self._replaced

    def _complain(self) -> None:
        if not self._said:
            log.warning(
                "%s appeared meanwhile, and is left as it is: snapshots are in %s", self.to, self.folder
            )
        self._said = True

    def finish(self) -> Path:
        """Give the final result its name; return where it is.

        Raises
        ------
        PlanError
            If something else has it now.
        """
        put(self.folder / DONE, json.dumps(_identity(self.result)))
        self._publish()
        return self.to

    def _publish(self) -> None:
        if not self.result.exists() or self._published():
            return
        if self._taken():
            raise PlanError(
                f"{self.to} appeared meanwhile, and is left as it is; the final result is complete, and is "
                f"{self.result}: move one of the two, the same command gives it its name"
            )
        if os.path.lexists(self.to):
            replace(self.result, self.to, self.folder / (f"{OLD}link" if self._own_link() else BEFORE))
        else:
            appear(self.result, self.to)

    def _published(self) -> bool:
        """Return whether the final result has its name: what it replaced may have had its own for a moment then."""
        with suppress(OSError, ValueError):
            return list(_identity(self.to)) == json.loads((self.folder / DONE).read_text())
        return False

    def clear(self) -> None:
        """Remove what is not needed when the final result is there."""
        leftovers.empty(self.folder)

    # Versions ---------------------------------------------------------------------------------------

    def version(self, number: int) -> Path:
        """Return where the result of an earlier version is: beside the newest."""
        return self.to.with_name(f"{self.to.stem}.v{number}.zarr")

    def refuse_version(self, number: int) -> None:
        """Raise a PlanError if there is something where the result of a version is to go."""
        if os.path.lexists(self.version(number)):
            raise PlanError(
                f"{self.version(number)} exists: move it away, version {number} of the result is to be kept there"
            )

    def keep_version(self, number: int) -> None:
        """Keep the result of a version that has ended.

        Raises
        ------
        PlanError
            If something else has its name now.
        """
        try:
            appear(self.result, self.version(number))
        except FileExistsError as e:
            raise PlanError(
                f"{self.version(number)} appeared meanwhile, and is left as it is: move it away, the same command "
                f"gives its name to version {number} of the result, {self.result}"
            ) from e

    def _finish_change(self) -> None:
        """Keep the result of a version whose end was noted when all was interrupted."""
        number = _version_of(self.result)
        if 0 < number <= len(self.changes()):
            self.keep_version(number)

    def take_back(self, number: int) -> bool:
        """Have the result of an earlier version be the final one; return whether there is one."""
        if not self.version(number).exists():
            return False
        os.rename(self.version(number), self.result)
        self.finish()
        return True

    def changes(self) -> list[tuple[Asked, int | None, Any]]:
        """Return the changes of options so far, the train after which each began, and of what was there before."""
        try:
            said = json.loads((self.folder / CHANGES).read_text())
        except FileNotFoundError:
            return []
        return [(Asked(**asked), after, what) for asked, after, what in said]

    def note_change(self, asked: Asked, after: int | None, what: Any) -> None:
        """Note a change, so that it is there when an interrupted reduction is gone on with.

        Before the result of the version that ends has its name: it gets that when this is gone on with.
        """
        made = [(asdict(one), *more) for one, *more in [*self.changes(), (asked, after, what)]]
        put(self.folder / CHANGES, json.dumps(made))

    def _own_link(self) -> bool:
        """Return whether the name of the result is a link to a snapshot."""
        return self.to.is_symlink() and os.readlink(self.to).startswith(f"{self.folder.name}{os.sep}")


def _numbers(folder: Path) -> list[int]:
    """Return the numbers of the snapshots in a folder."""
    return sorted(int(m[1]) for name in os.listdir(folder) if (m := _NUMBER.fullmatch(name)))


def _identity(path: Path) -> tuple[int, int]:
    """Return what no other file or folder has."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def _version_of(path: Path) -> int:
    """Return of which version a result is, 0 if there is none."""
    with suppress(OSError, ValueError, KeyError):
        said = json.loads((path / "zarr.json").read_text())["attributes"]["live"]
        return int(json.loads(said)["version"])
    return 0
