"""Frames that an algorithm is given and cannot use, as is known beforehand: of those that its dark does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..reader.faults import present
from ..run.losses import Loss
from ..worker import presence
from .sight import maker

if TYPE_CHECKING:
    from ..declare.inputs import BoundInput
    from ..worker.account import ChunkState
    from .binding import Binding, BoundAlgorithm
    from .make import Plan


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


def losses(binding: Binding) -> Iterator[Loss]:
    """Yield what the algorithms of a pass cannot use."""
    for bound in binding.algorithms:
        lead = binding.inputs[bound.stream]
        for lack in bound.lacks:
            if lack.module not in lead.modules:
                raise ValueError(
                    f"{bound.name}: lacks() names module {lack.module}; {lead.name} is read with {list(lead.modules)}"
                )
            yield from _loss(lack, bound.name, lead, binding)


def _loss(lack: Lack, algorithm: str, lead: BoundInput, binding: Binding) -> Iterator[Loss]:
    module, rows = lead.modules.index(lack.module), slice(0, len(lead.index))
    lost = np.flatnonzero(present(lead, module, rows) & lead.index.of_cells(rows, lack.cells))
    if len(lost):
        trains = np.unique(lead.index.train_positions(rows)[lost])
        yield Loss(
            cause=lack.cause,
            frames=len(lost),
            trains=len(trains),
            first_train=int(binding.trains[trains[0]]),
            last_train=int(binding.trains[trains[-1]]),
            source=lead.location.sources[module],
            module=lack.module,
            algorithm=algorithm,
            run=binding.path,
            detail=f"{algorithm}: {lack.detail}",
        )


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


def readers(plan: Plan, number: int) -> list[int]:
    """Return the numbers of the algorithms that read an input."""
    return [n for n, a in enumerate(plan.algorithms) if number in (a.stream, *a.aliases.values())]
