"""What algorithms did with the frames that they were given, and which they could not use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..planning.sight import maker
from . import presence

if TYPE_CHECKING:
    from ..planning.binding import BoundAlgorithm
    from .account import ChunkState


def worked(state: ChunkState) -> list[list[Any]]:
    """Return what each algorithm did with the frames that it was given, [number, module position, cause, frames].

    The cause is "" for those that it used.
    """
    out = []
    for number, bound in enumerate(state.plan.algorithms):
        given = replace(state.plan.sights[bound.name], lacks=())
        good = presence.seen(state, given, state.chunk.first, state.chunk.last)
        for cause, lost in _lost(state, bound).items():
            counts = (good & lost).sum(axis=1)
            out += [[number, int(m), cause, int(counts[m])] for m in np.flatnonzero(counts)]
            good = good & ~lost
        out += [[number, module, "", int(n)] for module, n in enumerate(good.sum(axis=1))]
    return out


def _lost(state: ChunkState, bound: BoundAlgorithm) -> dict[str, NDArray]:
    """Return by cause which frames (module, row) an algorithm, and what it reads, cannot use."""
    lead = state.plan.inputs[bound.stream]
    rows = lead.index.rows(state.chunk.first, state.chunk.last)
    lost: dict[str, NDArray] = {}
    for lack in bound.lacks:
        of = lost.setdefault(lack.cause, np.zeros((len(lead.modules), rows.stop - rows.start), bool))
        of[lead.modules.index(lack.module)] |= lead.index.of_cells(rows, lack.cells)
    refs = list(bound.aliases.values())
    # A train is there if its first input is.
    for ref in refs if bound.algorithm.by_module else refs[:1]:
        if isinstance(ref, str) and (made := maker(state.plan, ref)).stream == bound.stream:
            for cause, of in _lost(state, made).items():
                lost[cause] = lost[cause] | of if cause in lost else of
    return lost
