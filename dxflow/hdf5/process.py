"""The parent's end of the process in which HDF5 writes: work that is asked for, what goes with it, and its answer."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from numpy.typing import NDArray

from ..disk.process import ended, start
from .errors import WriteError, unwritten
from .wire import put, take

PIPE_BYTES = 2**20
SECONDS_TO_END = 3600
"""How long compressing and synchronising what was sent last may take."""
LAST = 500
"""Bytes of what a process said of its errors that are of interest."""
ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy would start threads, which no fork has."""
# Where the file system has no locks, HDF5 would not make files that nobody else knows of.
UNLOCKED = {"HDF5_USE_FILE_LOCKING": "FALSE"}


class Writer:
    """A process that does the works of a module, one after the other: functions of what is sent and of arguments.

    It is started when it is first needed, and again after a failure. It ends with this one, however that ends, and what
    was being made then is removed. For one thread at a time, but for `stop`.

    Parameters
    ----------
    module : str
        Has the functions, is loaded at the start and loads what they need.
    locks : bool
        Files are locked while they are open.
    """

    def __init__(self, module: str, *, locks: bool = False) -> None:
        self._module, self._locks = module, locks
        self.process: subprocess.Popen | None = None
        self._errors: IO[bytes] | None = None
        self._working = False
        self._made: Path | None = None
        self._named: dict[str, Any] = {}

    def start(self) -> None:
        """Start the process, which takes a moment to load its libraries."""
        # A pipe that nobody reads meanwhile would stop the process when it is full.
        self._errors = os.fdopen(os.memfd_create("dxflow-errors"), "w+b")
        environment = {**os.environ, **ALONE, **({} if self._locks else UNLOCKED)}
        self.process = start(
            "dxflow.hdf5.child", self._module, stderr=self._errors, env=environment, bufsize=0
        )
        assert self.process.stdin is not None
        with suppress(OSError):
            # Fewer switches between the two processes, where the system allows so much.
            fcntl.fcntl(self.process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def begin(self, work: str, *arguments: Any, made: Path | None = None, **named: Any) -> None:
        """Begin a work.

        Parameters
        ----------
        work : str
            Name of a function, which gets an iterator over what is sent, and the arguments.
        made : path, optional
            The file that it makes: removed, unless the work is done.
        **named
            What `dxflow.hdf5.errors.unwritten` is to say of it.
        """
        if self.process is None:
            self.start()
        self._made, self._named, self._working = made and made.absolute(), named, True
        self.send((work, self._made, arguments))

    def send(self, message: Any, array: NDArray | None = None) -> None:
        """Send something to the work, and do not wait for it.

        Raises
        ------
        WriteError
            If the work has failed.
        """
        if self.process is None:
            raise unwritten(**self._named, said="writing it has ended")
        assert self.process.stdin is not None
        try:
            put(self.process.stdin.fileno(), message, array)
        except BrokenPipeError as e:
            raise self._failure(self._said(None)) from e

    def end(self, seconds: float | None = SECONDS_TO_END) -> Any:
        """Return the answer of a work to which all was sent.

        Raises
        ------
        WriteError
        """
        self.send(None)
        said = self._said(seconds)
        if "answer" not in said:
            raise self._failure(said)
        self._made, self._working = None, False
        return said["answer"]

    def do(self, work: str, *arguments: Any, **named: Any) -> Any:
        """Return the answer of a work to which nothing is sent, however long it takes."""
        self.begin(work, *arguments, **named)
        return self.end(None)

    def _said(self, seconds: float | None) -> dict[str, Any]:
        """Return what the process answers, or how it ended."""
        assert self.process is not None
        assert self.process.stdout is not None
        look = select.poll()
        look.register(self.process.stdout, select.POLLIN)
        if not look.poll(seconds and seconds * 1000):
            self.process.kill()
        try:
            return take(self.process.stdout.fileno())[0]
        except EOFError:
            return {"ended": self.process.wait()}

    def _failure(self, said: dict[str, Any]) -> WriteError:
        """Return the error for a work that failed, and clean up."""
        if "ended" in said:
            said = {
                "error": f"the process that wrote it {ended(said['ended'])}. {self._complaints()}".strip()
            }
        error = unwritten(**self._named, said=said["error"], number=said.get("number"), free=said.get("free"))
        self._working = False
        self.close()
        return error

    def _complaints(self) -> str:
        """Return the end of what the process said of its errors, as one line."""
        assert self._errors is not None
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - LAST))
        return " ".join(self._errors.read().decode(errors="replace").split())

    def stop(self) -> None:
        """Let a work, in another thread, fail soon."""
        if (process := self.process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process, and what it does; remove what was being made."""
        if self.process is not None:
            if self._working:
                self.process.kill()
            # Without a work it ends with its input, and leaves nobody to be waited for.
            self.process.communicate()
            self.process = None
        if self._errors is not None:
            self._errors.close()
        if self._made is not None:
            self._made.unlink(missing_ok=True)
            self._made = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
