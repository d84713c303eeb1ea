"""Strips: some rows of pixels of one module, of all trains: what has no partials, such as a median, within memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ..errors import PlanError
from ..errors.near import listed
from .steps import Group, frame_buffer_bytes
from .walks import Part, Walk, Window

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from ..run.locate import Location
    from .binding import Binding
    from .bound import BoundAlgorithm
    from .plan import Chunk

BLOCKS = 64
"""Blocks that a strip has as many bytes as: it has few rows of many frames, each of which is read on its own."""


def check(binding: Binding) -> None:
    """Refuse what strips cannot offer.

    Raises
    ------
    PlanError
    """
    strips = [a for a in binding.algorithms if a.algorithm.STRIPS]
    others = [a.name for a in binding.algorithms if not a.algorithm.STRIPS]
    if strips and others:
        raise PlanError(
            f"{strips[0].name} works on strips of pixels of all trains, but {listed(others)} on whole frames: "
            "reduce twice"
        )
    for bound in strips:
        _check(binding, bound)


def _check(binding: Binding, bound: BoundAlgorithm) -> None:
    name, lead = bound.name, binding.inputs[bound.stream]
    wrong = [o.key for o in bound.outputs if o.output.kind != "pixel"]
    if wrong or bound.finals or not bound.algorithm.by_module:
        raise PlanError(
            f"{name}: with STRIPS = True an algorithm implements process_module_data and makes outputs per pixel only"
            + (f", not {listed(wrong)}" if wrong else "")
        )
    made = bound.algorithm
    if made.WHOLE_TRAINS or made.WHOLE_FRAMES or made.overrides("finalize_chunk_processing"):
        raise PlanError(
            f"{name}: with STRIPS = True a block has all trains, and there is nothing to finish train by train: leave "
            "out WHOLE_TRAINS, WHOLE_FRAMES and finalize_chunk_processing; finalize sees whole modules"
        )
    if bound.read:
        raise PlanError(f"{name}: with STRIPS = True nothing can be read from other algorithms")
    for number in bound.inputs:
        own = binding.inputs[number]
        if own.kind == "frames" and own.location.shape != lead.location.shape:
            raise PlanError(
                f"{name}: strips of {own.title} {own.location.shape} are not those of {lead.title} "
                f"{lead.location.shape}: ask for the same region"
            )
    if len(lead.location.shape) != 2:
        raise PlanError(f"{name}: {lead.title} has no rows of pixels to make strips of")


class Strips(Walk):
    """Strip by strip of each module: some slow-scan rows of all frames of the chunk in one window."""

    words = "strips of each module"
    buffers = 2
    whole = True

    def _height(self, group: Group) -> int:
        """Return how many slow-scan rows of all frames a window has."""
        line = sum(self._line_bytes(group, self.plan.inputs[n]) for n in group.inputs)
        return max(1, min(self._rows(group), BLOCKS * self.plan.block_bytes // max(1, line)))

    def _rows(self, group: Group) -> int:
        return self.plan.inputs[group.lead].location.shape[0]

    def _line_bytes(self, group: Group, bound: BoundInput) -> int:
        """Return the bytes of one slow-scan row of all frames."""
        return self.most_frames(group, bound.index) * frame_buffer_bytes(bound) // self._rows(group)

    def _bytes(self, group: Group, bound: BoundInput) -> int:
        return self._height(group) * self._line_bytes(group, bound)

    def most_frames(self, group: Group, index: object) -> int:
        """Return the frames of the longest chunk."""
        at = group.index.offsets
        return max(int(at[c.last] - at[c.first]) for c in self.plan.chunks)

    def _of_group(
        self, group: Group, chunk: Chunk, spans: object, excluded: frozenset[int]
    ) -> Iterator[Window]:
        """Yield the strips of each module that has frames; trains that are left out are not seen."""
        rows, step = group.index.rows(chunk.first, chunk.last), self._height(group)
        for module in self.modules(chunk, len(self.plan.inputs[group.lead].modules)):
            if not self._there(group, module, rows).any():
                continue
            for start in range(0, self._rows(group), step):
                strip = slice(start, min(start + step, self._rows(group)))
                yield Window(group, module, rows, chunk.first, chunk.last, chunk.first, strip)

    def parts(self, bound: BoundAlgorithm, window: Window, seen: NDArray) -> Iterator[Part]:
        """Yield all frames of a strip."""
        if seen.any():
            yield Part(window.module, slice(0, seen.shape[1]), window.first, window.last, window.strip)


def strip_of(bound: BoundInput, strip: slice) -> BoundInput:
    """Return an input of which only some slow-scan rows, counted from its first, are read."""
    mask = bound.mask
    if mask is not None:
        location = None if mask.location is None else _strip_of(mask.location, strip)
        mask = replace(mask, location=location, strip=strip)
    return replace(bound, location=_strip_of(bound.location, strip), mask=mask)


def _strip_of(at: Location, strip: slice) -> Location:
    rows, columns = at.roi or (slice(0, at.stored[0]), slice(0, at.stored[1]))
    band = slice(rows.start + strip.start, rows.start + strip.stop)
    return replace(at, roi=(band, columns), shape=(strip.stop - strip.start, *at.shape[1:]))
