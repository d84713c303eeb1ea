"""Data that could not be read: named with file, dataset and rows."""

from __future__ import annotations


class ReadFault(OSError):
    """Data that could not be read: which rows of which dataset of which file, and why.

    `cause` is what it counts as in the losses: "unreadable data", "never written", "missing mask"...
    """

    def __init__(
        self, file: str, dataset: str, first: int, count: int, detail: str, cause: str = "unreadable data"
    ) -> None:
        rows = f" rows {first}-{first + count - 1}" if count else ""
        super().__init__(f"{file}: {dataset}{rows}: {detail}" if dataset else f"{file}: {detail}")
        self.file, self.dataset, self.first, self.count = file, dataset, first, count
        self.detail, self.cause = detail, cause

    def named(self, cause: str) -> ReadFault:
        """Return the same fault, to be counted as something else."""
        return ReadFault(self.file, self.dataset, self.first, self.count, self.detail, cause)

    def __reduce__(self) -> tuple:
        return type(self), (self.file, self.dataset, self.first, self.count, self.detail, self.cause)


class InputChanged(RuntimeError):
    """A file that is not the one that was planned: replaced, truncated or being written."""
