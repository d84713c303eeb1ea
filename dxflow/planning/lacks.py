"""Frames that an algorithm is given and cannot use, as is known beforehand: of those that its dark does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..declare.lack import Lack
from ..run.bound import present
from ..run.losses import Loss

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .binding import Binding
    from .plan import Plan


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


def readers(plan: Plan, number: int) -> list[int]:
    """Return the numbers of the algorithms that read an input."""
    return [n for n, a in enumerate(plan.algorithms) if number in (a.stream, *a.inputs)]
