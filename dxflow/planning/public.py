"""The plan that users have: the record, what follows from it, and what is said of it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from .. import html, sizes
from ..disk.fragments import Address, chunk_path, gathered_path
from ..html import bars
from . import words
from .chunkdigests import chunk_digests
from .explain import explain
from .fingerprint import Fingerprint, fingerprint
from .memory import Memory, estimate
from .plan import Plan as Record
from .sight import Sight
from .walking import walk
from .walks import Walk


class Plan(Record):
    """A reduction that can run: made by `plan`, run by `execute`; printing it shows what it will do.

    What it says is worked out from its values when it is asked: one that was made of another by
    `dataclasses.replace` says what is true of itself.
    """

    @cached_property
    def sights(self) -> dict[str, Sight]:
        """What each algorithm sees, by name."""
        return self.walk.sights

    @cached_property
    def walk(self) -> Walk:
        """How its chunks are cut into windows."""
        return walk(self)

    @cached_property
    def memory(self) -> Memory:
        """What a worker needs, by purpose."""
        return estimate(self, self.walk)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What the result depends on: files, algorithms with options and code, versions, chunks; can be printed."""
        return fingerprint(self)

    @property
    def digest(self) -> str:
        """Of all that the result depends on."""
        return self.fingerprint.digest

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """Of what each chunk depends on: all of the plan, or what the run has in its trains if these decide."""
        return (
            chunk_digests(self, self.fingerprint.lasting())
            if self.chunk_trains
            else (self.digest,) * len(self.chunks)
        )

    def address(self, folder: Path, number: int) -> Address:
        """Return where the fragment of a chunk is in a folder, and what it must belong to."""
        of, part = self.digests[number], self.chunks[number].part
        return Address(chunk_path(folder, part, self.places[number], of), of)

    def rows_of(self, folder: Path, stretch: int) -> Address:
        """Return where the rows of a stretch of trains are: those of a chunk, or of some that were put together."""
        first = self.chunks_of(stretch)[0].number
        at = self.address(folder, first)
        return Address(gathered_path(folder, self.places[first], at.of), at.of) if self.apart else at

    def explain(self) -> str:
        """Return, for each input, which way it is read and why, and what that costs; opens all files."""
        return explain(self)

    def __str__(self) -> str:
        return words.text(words.of_plan(self, self.memory), 12)

    def __repr__(self) -> str:
        return f"<dxflow.Plan of {len(self.chunks)} chunks>\n{self}"

    def _repr_html_(self) -> str:
        said, n = words.of_plan(self, self.memory), len(self.chunks)
        about = html.table("Plan", [row for row in said if row[0] != "memory"], f"{n} chunk{'s' * (n != 1)}")
        whole = f"memory of a worker: {sizes.show(self.memory.total)}"
        return about + bars.told(words.memory_parts(self.memory), title=whole)
