"""What could not be used: one row per cause, source and stretch of trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Loss:
    """Data that a reduction could not use, and why."""

    cause: str
    """In two or three words: "missing module", "missing train", "unreadable", "exception in hook"..."""
    frames: int = 0
    """How many frames of the module (or entries of the source) were lost."""
    trains: int = 0
    """In how many trains."""
    first_train: int = 0
    last_train: int = 0
    source: str = ""
    module: int = -1
    """Module number, -1 where the source is not a module."""
    file: str = ""
    algorithm: str = ""
    run: str = ""
    detail: str = ""

    def __str__(self) -> str:
        where = f"{self.source}" if self.source else self.algorithm
        span = f"train {self.first_train}"
        if self.last_train != self.first_train:
            span = f"{self.trains} trains {self.first_train}-{self.last_train}"
        tail = f": {self.detail}" if self.detail else ""
        return f"{self.cause}: {where}, {span}, {self.frames} frames{tail}"


def table(losses: Iterable[Loss]) -> pd.DataFrame:
    """Return the losses as a table, one row each, columns as the fields of `Loss`."""
    import pandas as pd

    rows = [asdict(loss) for loss in losses]
    return pd.DataFrame(rows, columns=[f.name for f in fields(Loss)])


def from_json(rows: Iterable[dict[str, Any]]) -> tuple[Loss, ...]:
    """Return losses from their JSON form."""
    return tuple(Loss(**row) for row in rows)
