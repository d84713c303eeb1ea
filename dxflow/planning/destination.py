"""What a plan knows of the store that its result goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray


class Destination(Protocol):
    """Where a result goes: see `dxflow.stores.store.Store`, of which these are the parts that others use."""

    path: Path
    partial: Path
    """Folder of the journal."""
    temporary: bool
    layouts: bool
    made_first: bool
    codec: str
    """Name of the codec of its arrays; "": what suits each of them."""

    def begin(self) -> None:
        """Start an attempt at writing."""

    def settle(self) -> None:
        """Wait for what is still being written."""

    def create(self, contents: Any) -> Sequence[Any]:
        """Make room for the result; return the pieces to write."""

    def keep(self, contents: Any, part: int, arrays: Mapping[str, NDArray]) -> None:
        """Keep the finalized outputs of a part until they are written."""

    def write(self, contents: Any, piece: Any) -> None:
        """Write a piece, on a worker."""

    def commit(self, contents: Any, manifest: dict[str, Any]) -> None:
        """Let the result appear."""

    def recover(self, plan: Any) -> None:
        """Put back what an attempt that died had set aside."""

    def piece_bytes(self, plan: Any) -> int:
        """Return the bytes that a worker needs for writing."""

    def describe(self, plan: Any) -> str:
        """Return in words what is written."""

    def check(self, plan: Any) -> None:
        """Raise a PlanError if it cannot be written."""

    def check_place(self, plan: Any) -> None:
        """Raise a PlanError if something else is there."""

    def check_partial(self, plan: Any) -> None:
        """Raise a PlanError if something else is where the journal goes."""
