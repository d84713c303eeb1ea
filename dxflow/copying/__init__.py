"""Copies of runs with only the selected frames, trains, modules and sources; all else as it was."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..hdf5.errors import WriteError

if TYPE_CHECKING:
    from ..driver.copied import CopyReport
    from .agree import Agreement, agreement
    from .copy import copy_run, execute
    from .lit import Lit
    from .plan import CopyPlan, plan_copy

CopyError = WriteError
"""Another name of it."""

__all__ = [
    "Agreement",
    "CopyError",
    "CopyPlan",
    "CopyReport",
    "Lit",
    "agreement",
    "copy_run",
    "execute",
    "plan_copy",
]

_HOMES = {
    "Agreement": ".agree",
    "agreement": ".agree",
    "CopyPlan": ".plan",
    "CopyReport": "..driver.copied",
    "Lit": ".lit",
    "copy_run": ".copy",
    "execute": ".copy",
    "plan_copy": ".plan",
}


def __getattr__(name: str) -> Any:
    # The processes that write files import this package, and need nothing of what plans a copy.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
