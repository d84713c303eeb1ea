"""Frames that an algorithm says it cannot use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lack:
    """Frames of a module that an algorithm cannot use, since something that it was given does not have them.

    `process_module_data` is not called for them, also not of algorithms that read what it makes: there the module
    lacks them, as if they were not in the files.

    Parameters
    ----------
    cause : str
        In two or three words: ``"no dark"``.
    module : int
        Module number.
    cells : tuple of int, optional
        Only frames of these memory cells; all by default.
    detail : str
    """

    cause: str
    module: int
    cells: tuple[int, ...] | None = None
    detail: str = ""
