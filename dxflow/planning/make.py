"""Plan: what will be read, in which chunks, to where; checked before anything runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import sizes
from ..disk import ours
from ..errors import NothingToRead, PlanError
from ..run.bound import BoundInput, leaves
from ..run.findings import Faults
from ..run.losses import Loss
from ..run.losses import lines as in_words
from ..run.masks import MISSING
from ..run.selection import FrameSelection, among, none_of
from . import cutting, lacks, strips
from .binding import Binding
from .plan import Chunk
from .public import Plan

if TYPE_CHECKING:
    from ..run.index import EntryIndex
    from .destination import Destination

CHUNK = "1 GiB"


def plan_of(
    binding: Binding,
    store: Destination,
    *,
    chunk: str | int,
    block: str | int,
    hook_timeout: float | None,
    frames: Any,
    on_fault: str | None,
    **options: Any,
) -> Plan:
    """Cut what is bound into parts and chunks.

    Parameters
    ----------
    frames
        What was given as `frames`, `modules`, `roi`, `where` and `labels`: results among it are inputs, too.
    **options
        Of `Plan`.

    Raises
    ------
    PlanError
    """
    strips.check(binding)
    trains = sizes.trains(chunk)
    size = sizes.parse(CHUNK if trains else chunk)
    if not store.layouts:
        binding.algorithms = [a.without_layouts() for a in binding.algorithms]
    own = cutting.with_units(binding, size, trains)
    cut = cutting.cut(binding, own, size, sizes.parse(block), trains)
    pairs = product(range(len(cut.parts)), cut.spans)
    return Plan(
        run=binding.path,
        train_ids=binding.trains,
        inputs=tuple(binding.inputs),
        algorithms=own,
        chunks=tuple(Chunk(n, *span, part) for n, (part, span) in enumerate(pairs)),
        parts=cut.parts,
        block_bytes=sizes.parse(block),
        chunk_bytes=size if chunk != CHUNK and not trains else 0,
        chunk_trains=trains,
        store=store,
        losses=(*binding.faults.losses, *binding.faults.notes, *_missing(binding), *lacks.losses(binding)),
        on_fault=on_fault,
        selected_by=tuple(ours.paths_in(frames)),
        where=binding.where.cut() if binding.where else None,
        hook_timeout=_seconds(hook_timeout),
        **options,
    )


def _seconds(hook_timeout: float | None) -> float | None:
    if hook_timeout is not None and not hook_timeout > 0:
        raise PlanError(f"hook_timeout={hook_timeout!r}: expected seconds, more than 0, or None for any time")
    return hook_timeout


def asked_for(selection: FrameSelection | None, trains: NDArray) -> NDArray:
    """Return the trains that something may be read of: what is wrong with others does not matter."""
    for one in (selection, *selection.also) if selection is not None else ():
        if one.trains is not None:
            trains = trains[among(trains, one.trains)]
        if one.frames is not None:
            trains = trains[np.isin(trains, one.frames[0])]
    return trains


def check(binding: Binding, on_fault: str | None) -> None:
    """Refuse what cannot be read: faults in the data, algorithms that have nothing to work on.

    Raises
    ------
    PlanError
    """
    _refuse_faults(binding, on_fault)
    _refuse_nothing(binding)


def _refuse_faults(binding: Binding, on_fault: str | None) -> None:
    """Raise all faults that were found, in one message, unless they are to be masked."""
    faults = binding.faults.losses
    if faults and on_fault != "mask":
        lines = "\n".join(f"- {line}" for line in in_words(faults))
        raise PlanError(
            f"{binding.path}: {len(faults)} fault(s) in the data:\n{lines}\n"
            'Go on without the affected data with on_fault="mask" (they are counted in Result.losses), '
            "or name the modules to use with Frames(modules=[...])"
            + ("; mask=None uses them without a mask" if any(f.cause == MISSING for f in faults) else "")
        )


def _refuse_nothing(binding: Binding) -> None:
    """Raise if an algorithm would have nothing to work on."""
    for bound in binding.algorithms:
        lead = binding.inputs[bound.stream]
        if not len(lead.index):
            every = lead.declared.bind(binding.run, binding.trains, Faults()).index
            why = none_of(every) if binding.selection and len(every) else "it has no data in these trains"
            raise NothingToRead(f"{bound.name}: nothing to read from {lead.name} {lead.key}: {why}")


def _missing(binding: Binding) -> list[Loss]:
    """Return what modules lack, once per index, and trains in which a source has nothing."""
    seen: dict[EntryIndex, BoundInput] = {}
    for bound in binding.inputs:
        # What has a value per frame is made of none of its modules.
        if bound.kind != "pulses":
            seen.setdefault(bound.index, bound)
    modules = [
        binding.faults.blamed(_filed(loss, i, binding.trains))
        for i in seen.values()
        for loss in i.index.missing(i.modules, i.location.sources)
    ]
    read = [part for bound in binding.inputs for part in leaves(bound)]
    asked = np.isin(binding.trains, asked_for(binding.selection, binding.trains))
    empty = [loss for bound in read for loss in _empty_trains(bound, binding.trains, asked, binding.faults)]
    # A source and key that is read twice lacks the same.
    return list(dict.fromkeys(modules + empty))


def _filed(loss: Loss, bound: BoundInput, trains: NDArray) -> Loss:
    """Return a loss of a module with its source, or detector, and the file that has these trains, if it is one."""
    loss = replace(loss, source=loss.source or bound.name, input=bound.title)
    among = (trains >= loss.first_train) & (trains <= loss.last_train)
    listed = bound.location.file if bound.location.listed is None else bound.location.listed
    files = np.unique(listed[bound.modules.index(loss.module), among])
    files = files[files >= 0]
    return replace(loss, file=bound.location.files[files[0]]) if len(files) == 1 else loss


def _empty_trains(bound: BoundInput, trains: NDArray, asked: NDArray, faults: Faults) -> list[Loss]:
    """Return a loss of the trains in which no file has anything of an input, but for those of which that is known.

    Labels count in trains that are asked for only: they are given for the frames that are read.
    """
    nothing = (bound.location.count == 0).all(axis=0)
    if bound.joined is not None:
        nothing &= asked
    if len(bound.location.sources) == 1:
        nothing &= ~faults.told(bound.location.sources[0], trains)
    empty = trains[nothing]
    if not len(empty):
        return []
    first, last = int(empty[0]), int(empty[-1])
    return [Loss("missing trains", 0, len(empty), first, last, bound.name, detail=f"no {bound.key} in them")]
