"""Names of EXDF files: what a name says, and the files of all sequences of one pattern."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..disk.marks import PATTERN

SEQUENCE = re.compile(r"\{seq(:[^{}]*)?\}")


@dataclass(frozen=True)
class Name:
    """What the name of a file says: ``{category}-R{run:04d}-{aggregator}-S{sequence:05d}.h5``."""

    category: str
    """``RAW``, ``CORR`` or ``RED``."""
    run: int
    aggregator: str
    """Of the data; two letters or more and two digits."""
    sequence: int = 0

    def __post_init__(self) -> None:
        if not PATTERN.fullmatch(str(self)):
            raise ValueError(
                f"{str(self)!r} is no name of an EXDF file; expected such as CORR-R0034-DXFL00-S00000.h5: a category "
                "of capital letters, an aggregator that ends in two digits"
            )

    def __str__(self) -> str:
        return f"{self.category}-R{self.run:04d}-{self.aggregator}-S{self.sequence:05d}.h5"


def parsed(path: Path) -> Name | None:
    """Return what a name says, or None if it is one that only a person understands."""
    found = PATTERN.fullmatch(path.name)
    return Name(found[1], int(found[2]), found[3], int(found[4])) if found else None


def numbered(pattern: str, sequence: int) -> Path:
    """Return the path of a sequence: ``{seq}`` or ``{seq:05d}`` in the pattern is its number."""
    return Path(SEQUENCE.sub(lambda field: format(sequence, (field[1] or ":d")[1:]), pattern))


def existing(pattern: str) -> list[Path]:
    """Return the files that are there of any sequence of a pattern."""
    if not SEQUENCE.search(pattern):
        path = Path(pattern)
        return [path] if os.path.lexists(path) else []
    folder, name = Path(pattern).parent, Path(pattern).name
    digits = re.compile("".join(r"\d+" if n % 2 else re.escape(p) for n, p in enumerate(_split(name))))
    return sorted(p for p in folder.iterdir() if digits.fullmatch(p.name)) if folder.is_dir() else []


def _split(name: str) -> list[str]:
    """Return the texts of a pattern with something in between for each field."""
    out: list[str] = []
    at = 0
    for field in SEQUENCE.finditer(name):
        out += [name[at : field.start()], field[0]]
        at = field.end()
    return [*out, name[at:]]
