"""Python processes for one module of dxflow, without what `import dxflow` loads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_PROGRAM = """
import sys, types
from importlib import import_module
package = types.ModuleType("dxflow")
package.__path__ = [sys.argv[1]]
sys.modules["dxflow"] = package
import_module(sys.argv[2]).main()
"""
SECONDS_TO_END = 3600
LAST = 2**16
"""Bytes of what a process said of its errors that are of interest."""


def command(module: str) -> list[str]:
    """Return the command line of a process that runs `main` of a module.

    The package is there for its modules, but empty: loading it would take longer than much of what such processes do.
    """
    return [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[1]), module]


def start(module: str, **streams: Any) -> subprocess.Popen:
    """Start the process of a module, with pipes to its input and from its output."""
    return subprocess.Popen(command(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **streams)


def unlocked() -> dict[str, str]:
    """Return the environment of a process that only writes files of ours, which others do not know of.

    Where the file system has no locks, HDF5 would not make them.
    """
    return {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}


def errors() -> IO[bytes]:
    """Return a file in memory for what a process says of its errors; it goes away when it is closed."""
    return os.fdopen(os.memfd_create("dxflow-errors"), "w+b")


def finish(process: subprocess.Popen, said: IO[bytes]) -> tuple[str, str]:
    """Close the input of a process and wait for its end; return what it left on output and error output.

    The latter is a file: a pipe that nobody reads meanwhile would stop the process when it is full.
    """
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdin = None
    try:
        out, _ = process.communicate(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
    return out.decode(errors="replace"), _end(said).decode(errors="replace")


def _end(file: IO[bytes]) -> bytes:
    """Return the last bytes of a file, and close it."""
    if file.closed:
        return b""
    with file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST))
        return file.read()


def ended(code: int) -> str:
    """Say how a process ended."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


# Dask's threshold gives every large array back to the system at once: each next one is paged in anew.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 128 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20}


class Erasing:
    """A stream of a worker on a terminal on which the driver may show its line: what is left of that is erased."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._begins = stream, True

    @classmethod
    def streams(cls) -> None:
        """Have this process print so, where it prints to a terminal."""
        if sys.stderr is not None and not isinstance(sys.stderr, cls) and sys.stderr.isatty():
            sys.stderr = cls(sys.stderr)
        if sys.stdout is not None and not isinstance(sys.stdout, cls) and sys.stdout.isatty():
            sys.stdout = cls(sys.stdout)

    def write(self, text: str) -> int:
        """Write; the cursor is at the beginning of the driver's line."""
        erase = "\x1b[K" if self._begins and text else ""
        self._begins = text.endswith("\n") if text else self._begins
        self._stream.write(erase + text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
