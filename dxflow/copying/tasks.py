"""What has to be done to one file: plain values that travel to the process that does it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs.frames import Encoding
from ..reader.files import Stat
from .pixels import Step


@dataclass(frozen=True, eq=False)
class Cut:
    """Which entries remain in an index group of a source.

    Parameters
    ----------
    before, counts : ndarray of int64, (train,)
        Entries of each row of ``INDEX/trainId``, before and after.
    entries : ndarray of int64, (entry,)
        Number of each remaining entry within its train, train by train, rising.
    """

    before: NDArray
    counts: NDArray
    entries: NDArray

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is dropped."""
        return bool(np.array_equal(self.before, self.counts))


@dataclass(frozen=True)
class Record:
    """What the section REDUCTION says of a reduction.

    `method` begins the name of the source, `width` is the largest number of entries that a train of the run keeps,
    `parameters` become values of RUN.
    """

    method: str
    width: int
    parameters: Mapping[str, Any]

    @property
    def prefix(self) -> str:
        """First part of the name of the source."""
        return f"{self.method}_REDUCTION"


@dataclass(frozen=True, eq=False)
class FileTask:
    """One file of the run and what remains of it.

    Parameters
    ----------
    path : str
        Of the original.
    name : str
        Of the original and of the copy.
    stat : (size, time of last change, inode)
        Of the original, when the copy was planned.
    dropped : frozenset of str
        Sources that are left out.
    trains : ndarray of bool or None, (row of INDEX/trainId,)
        Which trains remain; None: all.
    cuts : mapping of str to Cut
        By ``source/group``.
    record : Record, optional
        Written for each cut, by files of format 1.3.
    pixels : mapping of str to tuple of Step
        By path of a dataset, what is done to its pixels.
    coded : mapping of str to Encoding
        By path of a dataset, how its pixels are stored, if not as they were.
    bytes : int
        Expected of the copy.
    """

    path: str
    name: str
    stat: Stat
    dropped: frozenset[str] = frozenset()
    trains: NDArray | None = None
    cuts: Mapping[str, Cut] = field(default_factory=dict)
    record: Record | None = None
    pixels: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    coded: Mapping[str, Encoding] = field(default_factory=dict)
    bytes: int = 0

    @property
    def whole(self) -> bool:
        """Whether the copy is the original, byte by byte."""
        return not self.dropped and self.trains is None and not (self.cuts or self.pixels or self.coded)

    def fingerprint(self) -> str:
        """Return what tells this task from any other."""
        out = hashlib.sha256(repr((self.path, self.stat, sorted(self.dropped))).encode())
        out.update(b"" if self.trains is None else self.trains.tobytes())
        for name, cut in sorted(self.cuts.items()):
            out.update(name.encode() + cut.counts.tobytes() + cut.entries.tobytes())
        for name, steps in sorted(self.pixels.items()):
            out.update(name.encode() + b"".join(step.token for step in steps))
        for name, encoding in sorted(self.coded.items()):
            out.update(f"{name} {encoding}".encode())
        return out.hexdigest()
