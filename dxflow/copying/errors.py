"""What a copy raises when a file cannot be copied."""

from __future__ import annotations

from ..exdf import WriteError


class CopyError(WriteError):
    """A file that could not be copied: unreadable, changed meanwhile, or the disk is full or read-only.

    Parameters
    ----------
    message : str
    path : str
        Of the file that is missing in the copy.
    need, free : int, optional
        Bytes of that file, and bytes that the disk has.
    number : int, optional
        What the system said, as in `errno`.
    """

    def __init__(
        self,
        message: str,
        path: str = "",
        need: int | None = None,
        free: int | None = None,
        number: int | None = None,
    ) -> None:
        super().__init__(message)
        self.path, self.need, self.free, self.errno = path, need, free, number

    def __reduce__(self) -> tuple:
        return type(self), (self.args[0], self.path, self.need, self.free, self.errno)
