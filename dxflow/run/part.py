"""Part of a run: some of its files, and of their trains those of a range: what there is of a run that grows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """What may be given as a run where only some of its files are to be read.

    Parameters
    ----------
    run : path or (proposal, run)
        The whole one: what the part is called.
    files : tuple of str
        Paths; of several folders those of a later one count, as of raw and proc.
    first, last : int, optional
        Ids of the first and the last train; all by default.
    """

    run: Any
    files: tuple[str, ...]
    first: int | None = None
    last: int | None = None

    @property
    def folders(self) -> dict[str, list[str]]:
        """Its files by folder, in order."""
        found: dict[str, list[str]] = {}
        for file in self.files:
            found.setdefault(os.path.dirname(file), []).append(file)
        return found

    def __contains__(self, train: int) -> bool:
        """Return whether a train belongs to it."""
        return (self.first or 0) <= train and (self.last is None or train <= self.last)
