"""What a finished reduction is written to: one file per format, found by suffix."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .formats.exdf import Exdf
    from .store import Store

__all__ = ["Exdf", "Store"]

_HOMES = {"Exdf": ".formats.exdf", "Store": ".store"}


def __getattr__(name: str) -> Any:
    # HDF5 is for those who write it, and the processes in which it writes need nothing of plans.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are Exdf and Store")
