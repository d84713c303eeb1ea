"""Python processes for one module of dxflow, without what `import dxflow` loads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_PROGRAM = """
import sys, types
from importlib import import_module
package = types.ModuleType("dxflow")
package.__path__ = [sys.argv[1]]
sys.modules["dxflow"] = package
import_module(sys.argv[2]).main()
"""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line of a process that runs `main` of a module, with arguments from ``sys.argv[3]`` on.

    The package is there for its modules, but empty: loading it would take longer than much of what such processes do.
    """
    return [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[1]), module, *arguments]


def start(module: str, *arguments: str, **options: Any) -> subprocess.Popen:
    """Start the process of a module, with pipes to its input and from its output."""
    return subprocess.Popen(
        command(module, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


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
