"""Start a Python process for one module of dxflow, without what `import dxflow` loads."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """
import sys, types
from importlib import import_module
package = types.ModuleType("dxflow")
package.__path__ = [sys.argv[1]]
sys.modules["dxflow"] = package
import_module(sys.argv[2]).main()
"""


def command(module: str) -> list[str]:
    """Return the command line of a process that runs `main` of a module.

    The package is there for its modules, but empty: loading it would take longer than much of what such processes do.
    """
    return [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parent), module]
