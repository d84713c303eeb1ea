"""What a result holds, read from fragments piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..disk.fragments import Fragment, Held, final_path, rows_path
from . import noted
from .origin import Origin, origin
from .variables import Variable, Variables

if TYPE_CHECKING:
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..planning.sight import Sight
    from ..run.losses import Loss

ROOM = 2**25
"""Bytes of what is small in fragments, and kept in memory."""


class Contents(Variables):
    """A result: what there is, and access to the fragments that hold it.

    Parameters
    ----------
    plan : Plan
    folder : path
        Where the fragments are.
    events : mapping of str to list of int
        Rows of each event output in each stretch of trains.
    losses : sequence of Loss
        What could not be used, in the order in which it was found.
    """

    def __init__(
        self, plan: Plan, folder: Path, events: Mapping[str, list[int]], losses: Sequence[Loss] = ()
    ) -> None:
        super().__init__(plan, events)
        self.folder, self.losses = folder, losses
        self._held: dict[int, Held] = {}
        self._room = ROOM

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Contents:
        """Return the contents that the driver noted in a folder."""
        known = noted.read(folder, plan.digest)
        made = cls(plan, folder, known.events, known.losses)
        made.origin, made.counts = known.origin, dict(known.counts)
        return made

    def note(self) -> None:
        """Leave what `of` needs in the folder: it is found out once, not by each that writes a piece."""
        known = noted.Noted(self.events, self.counts, self.losses, self.origin)
        known.write(self.folder, self.plan.digest)

    @cached_property
    def origin(self) -> Origin:
        """What the files of the run say of its trains."""
        return origin(self.plan)

    @cached_property
    def counts(self) -> dict[str, NDArray]:
        """Rows of each event output in each train."""
        found = {name: np.zeros(len(self.plan.train_ids), np.int64) for name in self.events}
        for chunk in self.plan.stretches if found else ():
            with self.fragment(chunk.number) as fragment:
                for name, counts in found.items():
                    counts[chunk.first : chunk.last] += np.bincount(
                        fragment[f"{name}/trains"], minlength=chunk.last - chunk.first
                    )
        return found

    # Reading ------------------------------------------------------------------------------------

    def rows(self, variable: Variable, start: int, stop: int) -> NDArray:
        """Return rows start:stop of a variable cut along its first axis, from the fragments that hold them."""
        if variable.maker >= 0:
            return self._of_rows(variable)[start:stop]
        if variable.axis == "count":
            return self.counts[variable.entry][start:stop].astype(variable.dtype)
        pieces = []
        for chunk, first, last in self._holders(variable):
            a, b = max(start, first), min(stop, last)
            if a < b:
                with self.fragment(chunk) as fragment:
                    own = slice(a - first, b - first)
                    pieces.append(self._of_chunk(variable, chunk, fragment, last - first, own))
        return np.concatenate(pieces) if pieces else np.zeros((0, *variable.shape[1:]), variable.dtype)

    def part(self, variable: Variable, number: int) -> NDArray:
        """Return one part of a whole-run variable, all of it where modules are not apart."""
        if variable.maker >= 0:
            return self._of_rows(variable)
        with self._opened(final_path(self.folder, number, self.plan.digest)) as fragment:
            return fragment[variable.entry]

    def used(self, sight: Sight, what: str) -> NDArray:
        """Return a label, "train_used" or "modules_used", of all trains or frames that some algorithms saw."""
        number = list(dict.fromkeys(self.plan.sights.values())).index(sight)
        made = self._label(what, number, (), (len(self.plan.train_ids),), "u1", {})
        if what == "modules_used":
            made = replace(
                made, axis="row", index=sight.index, shape=(len(sight.index),), dtype=np.dtype("i4")
            )
        return self.rows(made, 0, made.shape[0])

    def _of_rows(self, variable: Variable) -> NDArray:
        """Return a variable that was made of all rows."""
        with self._opened(rows_path(self.folder, variable.maker, self.plan.digest)) as fragment:
            return fragment.of(variable.entry, variable.shape, variable.dtype)

    def fragment(self, stretch: int) -> Fragment:
        """Return the fragment with the rows of a stretch of trains; what is small in it is read once for all."""
        if (held := self._held.get(stretch)) is not None:
            return held
        at = self.plan.rows_of(self.folder, stretch)
        if self._room <= 0:
            return Fragment(*at)
        held = self._held[stretch] = Held(*at)
        self._room -= held.nbytes
        return held

    def _opened(self, path: Path) -> Fragment:
        return Fragment(path, self.plan.digest)

    def _holders(self, variable: Variable) -> Iterator[tuple[int, int, int]]:
        """Yield (stretch of trains, first row, last row) of a variable."""
        at = 0
        for chunk in self.plan.stretches:
            match variable.axis:
                case "row":
                    assert variable.index is not None
                    rows = variable.index.rows(chunk.first, chunk.last)
                    yield chunk.number, rows.start, rows.stop
                case "event":
                    n = self.events[variable.dims[0].removesuffix("_event")][chunk.number]
                    yield chunk.number, at, at + n
                    at += n
                case _:
                    yield chunk.number, chunk.first, chunk.last

    def _of_chunk(
        self, variable: Variable, number: int, fragment: Fragment, rows: int, own: slice
    ) -> NDArray:
        """Return some of a chunk's rows of a variable; no others are read."""
        chunk = self.plan.stretches[number]
        if variable.axis == "event" and not variable.output:
            return self._event_labels(variable, chunk, fragment)[own]
        shape = (rows, *variable.shape[1:])
        return fragment.of(variable.entry, shape, variable.dtype, own.start, own.stop)

    def _event_labels(self, variable: Variable, chunk: Chunk, fragment: Fragment) -> NDArray:
        """Return train or other ids of a chunk's events; those of frames are 0 where an event has no frame."""
        name = variable.dims[0].removesuffix("_event")
        if variable.entry == "train_id":
            return self.plan.train_ids[fragment[f"{name}/trains"] + chunk.first]
        index, frames = variable.index, fragment[f"{name}/frames"]
        assert index is not None
        values = index.labels(index.rows(chunk.first, chunk.last))[variable.entry]
        return np.where(frames < 0, 0, np.append(values, values.dtype.type(0))[frames]).astype(variable.dtype)
