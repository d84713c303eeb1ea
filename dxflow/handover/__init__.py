"""Results for others: files for spreadsheets and MATLAB, variables of DAMNIT, what extra-xwiz begins with."""

from __future__ import annotations

from .exporting import Exported, export

__all__ = ["Exported", "export"]
