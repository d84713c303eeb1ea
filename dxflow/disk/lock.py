"""A folder that one process at a time works in, also over NFS and from several nodes; what died does not hold it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import PlanError
from . import ours

NAME = ours.LOCK
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What systems say that have no room left: no fault of the plan."""
EVERY = 10.0
"""Seconds between signs of life."""
STALE = 90.0
"""Seconds without one after which a process of another machine is taken for dead."""
PATIENCE = 2.0
"""Seconds to wait for a process that has locked the file to say who it is."""
SETTLED = 0.3
"""Seconds after which it is clear who was last to take a lock, where the file system has no locks."""


ANEW = "DXFLOW_ANEW"
"""Variable of the environment of a command that another driver began: it was not started again with that."""


class Held(PlanError):
    """A folder that another process works in: it will let go."""


@dataclass(frozen=True)
class Holder:
    """A process that works in a folder.

    `space` tells its machine (since it was started) and namespace of process ids, `began` this process from others that
    had its number before; `job` and `start` are Slurm's, of a driver that is a job.
    """

    what: str
    host: str
    space: str
    pid: int
    began: str
    since: str
    job: str = ""
    start: int = 0
    token: str = ""

    @classmethod
    def me(cls, what: str) -> Holder:
        """Return this process."""
        driver = "DXFLOW_DRIVER" in os.environ
        return cls(
            what=what,
            host=socket.gethostname(),
            space=_space(),
            pid=os.getpid(),
            began=_began(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
            job=os.environ.get("SLURM_JOB_ID", "") if driver else "",
            start=int(os.environ.get("SLURM_RESTART_COUNT", "0")) if driver else 0,
            token=uuid.uuid4().hex,
        )

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{job} ({self.what}, since {self.since})"


@contextmanager
def held(folder: Path, what: str) -> Iterator[Lock]:
    """Hold a folder, which is made if it is not there; nobody else does meanwhile.

    Raises
    ------
    Held
        If another process holds it; the message says which.
    PlanError
        If the folder cannot be made, or nothing can be written there.
    OSError
        If there is no room left.
    """
    lock = Lock(folder, Holder.me(what))
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


def holder(folder: Path) -> Holder | None:
    """Return who holds a folder, None if nobody does or who did is dead."""
    try:
        handle = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = _read(handle)
        return found if found and _alive(found, folder / NAME, os.environ.get("SLURM_JOB_ID", "")) else None
    except OSError:
        return None
    finally:
        os.close(handle)


def here(found: Holder) -> bool:
    """Return whether a process is one of this machine that still runs: its number means this very process."""
    return found.space == _space() and bool(found.began) and _began(found.pid) == found.began


class Lock:
    """The lock of a folder: a file that says who holds it, locked where that is possible, touched every few seconds."""

    def __init__(self, folder: Path, me: Holder) -> None:
        self.folder, self.path, self.me = folder, folder / NAME, me
        self._handle = -1
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        """Take the lock, or raise a PlanError."""
        end = time.monotonic() + PATIENCE
        # Others may just have removed the file, or have locked it and not yet said who they are.
        while (taken := self._taken()) is not True:
            self._close()
            if taken is not None and time.monotonic() > end:
                raise Held(f"{self.folder}: another process holds {self.path.name}; {taken}")
            time.sleep(0.05)
        self._beating = threading.Thread(target=self._beat, name="dxflow-lock", daemon=True)
        self._beating.start()

    def _taken(self) -> bool | str | None:
        """Try once: return True, None if the file was removed meanwhile, or a text if nobody says to hold it."""
        self._open()
        try:
            locked, found = _locked(self._handle), _read(self._handle)
            if found is not None and _alive(found, self.path, self.me.job):
                raise Held(
                    f"{self.folder}: {found} works there now; wait for it, or choose another name for the result"
                )
            if locked is False:
                return (
                    f"{found} is gone, but left a process that has it"
                    if found
                    else "it does not say who it is"
                )
            return self._signed(settle=locked is None) or None
        except BaseException:
            self._close()
            raise

    def _signed(self, *, settle: bool) -> bool:
        """Write who we are; return whether it still is the file of this name, and ours."""
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(asdict(self.me)).encode(), 0)
        except OSError as e:
            raise OSError(e.errno, e.strerror, str(self.path)) from e
        if settle:
            time.sleep(SETTLED)
        return self.mine()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self.folder.mkdir(mode=0o777, exist_ok=True)
            self._handle = os.open(self.path, flags, 0o666)
        except OSError as e:
            # Whoever held it may remove the folder at this very time.
            if e.errno == errno.ENOENT and self.folder.parent.is_dir():
                return self._open()
            if e.errno in FULL:
                raise
            raise PlanError(f"{self.folder}: {e.strerror}; choose another place") from e

    def mine(self) -> bool:
        """Return whether the file of this name is ours."""
        try:
            there, own = os.stat(self.path), os.fstat(self._handle)
        except OSError:
            return False
        found = _read(self._handle)
        same = (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
        return same and found is not None and found.token == self.me.token

    def check(self) -> None:
        """Raise a RuntimeError if another process has taken this one for dead and works in the folder now."""
        if not self.mine():
            raise RuntimeError(
                f"{self.folder} was removed, or {holder(self.folder) or 'another process'} works there now, since this "
                "process gave no sign of life for too long"
            )

    def _beat(self) -> None:
        while not self._ended.wait(EVERY):
            with suppress(OSError):
                if self.mine():
                    os.utime(self._handle)

    def release(self) -> None:
        """Let go: remove the file, and the folder if nothing else is in it."""
        self._ended.set()
        if self._beating is not None:
            self._beating.join()
        with suppress(OSError):
            if self.mine():
                self.path.unlink()
                self.folder.rmdir()
        self._close()

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _alive(found: Holder, path: Path, job: str) -> bool:
    """Return whether a process that says to hold a lock still is there, as far as can be known."""
    if found.space == _space():
        return here(found)
    again = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > found.start
    if found.job and found.job == job and again:
        # Slurm starts a job again only when it has ended.
        return False
    return _age(path) < STALE


def _locked(handle: int) -> bool | None:
    """Lock an open file; return False if another process has, None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _read(handle: int) -> Holder | None:
    """Return who says to hold a lock, None if that cannot be read."""
    try:
        return Holder(**json.loads(os.pread(handle, 2**16, 0)))
    except (OSError, ValueError, TypeError):
        return None


def _space() -> str:
    """Return what tells this machine, since it was started, and this namespace of process ids from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _began(pid: int) -> str:
    """Return when a process of this machine began, in ticks; "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if stat[0] in "ZX" else stat[19]


def _age(path: Path) -> float:
    """Return seconds since a file was touched, by the clock of its file system."""
    now = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        now.touch()
        return now.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return time.time() - path.stat().st_mtime
    finally:
        with suppress(OSError):
            now.unlink()
