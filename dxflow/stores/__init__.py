"""What a finished reduction is written to: one file per format, found by suffix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .store import Store

if TYPE_CHECKING:
    from .formats.exdf import Exdf

__all__ = ["Exdf", "Store"]


def __getattr__(name: str) -> Any:
    # HDF5 is for those who write it.
    if name == "Exdf":
        from .formats.exdf import Exdf

        return Exdf
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are Exdf and Store")
