"""Plan: what will be read, in which chunks, to where; checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import html, sizes
from ..declare.inputs import BoundInput
from ..declare.outputs import BoundOutput
from ..driver import journal, words
from ..driver.progress import during
from ..driver.tracebacks import Short
from ..errors import kinds
from ..run import open as runs
from ..run.index import EntryIndex
from ..run.locate import Faults
from ..run.losses import Loss
from ..run.losses import lines as in_words
from ..run.masks import MISSING
from ..run.selection import FrameSelection, among, none_of
from ..stores import ours
from ..stores.store import Store, store_for
from . import cutting, lacks, memory, names
from .binding import Binding, BoundAlgorithm, PlanError, bind
from .fingerprint import Fingerprint, fingerprint
from .sight import Sight, handed_on, sight

if TYPE_CHECKING:
    from pathlib import Path

    from ..declare.algorithm import Algorithm

__all__ = ["Chunk", "Plan", "PlanError", "plan"]

CHUNK = "1 GiB"
ON_FAULT = (None, "mask", "raise")
SUSPECT = ("use", "skip")


@dataclass(frozen=True)
class Chunk:
    """The trains (positions ``first:last``) and modules (of part `part`) of one task."""

    number: int
    first: int
    last: int
    part: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """A reduction that can run: made by `plan`, run by `execute`; printing it shows what it will do.

    Parameters
    ----------
    run : str
        Where the run is.
    train_ids : ndarray of uint64, (train,)
    inputs, rows, indexes
        What is read; for each input the number of its index in `indexes`.
    algorithms : tuple of BoundAlgorithm
    chunks : tuple of Chunk
    parts : tuple of slice
        Positions of modules that are reduced apart from each other; one slice of all, usually.
    block_bytes : int
        What is read at once of one module.
    chunk_bytes : int
        What was asked for as `chunk`; 0 if nothing was.
    store : Store
        Where the result goes.
    losses : tuple of Loss
        What is known to be missing before reading.
    """

    run: str
    train_ids: NDArray
    inputs: tuple[BoundInput, ...]
    rows: tuple[int, ...]
    indexes: tuple[EntryIndex, ...]
    algorithms: tuple[BoundAlgorithm, ...]
    chunks: tuple[Chunk, ...]
    parts: tuple[slice, ...]
    block_bytes: int
    store: Store
    losses: tuple[Loss, ...]
    on_fault: str | None
    resume: bool
    overwrite: bool
    readers: int | None = None
    chunk_bytes: int = 0
    name: str = ""
    selected_by: tuple[Path, ...] = ()
    """Results that say which frames are read."""
    hook_timeout: float | None = None

    @property
    def by_module(self) -> bool:
        """Whether all algorithms work on module blocks, so that no train is ever assembled."""
        return all(a.algorithm.by_module for a in self.algorithms)

    @property
    def outputs(self) -> tuple[BoundOutput, ...]:
        """All outputs of all algorithms, in order."""
        return tuple(o for a in self.algorithms for o in a.outputs)

    @cached_property
    def keys(self) -> frozenset[int]:
        """Numbers of the inputs that are read for a whole chunk at once, rather than in blocks or trains."""
        refs = {
            ref for a in self.algorithms for ref in list(a.aliases.values())[1 if self.by_module else 0 :]
        }
        return frozenset(r for r in refs if isinstance(r, int) and self.inputs[r].kind != "frames")

    @cached_property
    def sights(self) -> dict[str, Sight]:
        """What each algorithm sees, by name."""
        return {a.name: sight(self, a) for a in self.algorithms}

    @cached_property
    def handed_on(self) -> frozenset[str]:
        """Names of the outputs that later algorithms of the pass read."""
        return handed_on(self)

    @property
    def bytes_to_read(self) -> int:
        """Bytes of data, after decompression, of all inputs."""
        return sum(sizes.train_bytes(i).sum() for i in self.inputs)

    @cached_property
    def memory(self) -> memory.Memory:
        """What a worker needs, by purpose."""
        return memory.estimate(self)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What the result depends on: files, algorithms with options and code, versions, chunks; can be printed."""
        return fingerprint(self)

    @property
    def digest(self) -> str:
        """Of all that the result depends on."""
        return self.fingerprint.digest

    @cached_property
    def finished(self) -> bool:
        """Whether it is to be resumed and has nothing left to do: its result is there, and intact."""
        return journal.finished(self)

    def modules(self, chunk: Chunk) -> slice:
        """Return the positions of the modules that a chunk works on."""
        return self.parts[chunk.part]

    def explain(self) -> str:
        """Return, for each input, which way it is read and why, and what that costs; opens all files."""
        from .explain import explain

        return explain(self)

    def __str__(self) -> str:
        return words.text(words.of_plan(self), 12)

    def __repr__(self) -> str:
        return f"<dxflow.Plan of {len(self.chunks)} chunks>\n{self}"

    def _repr_html_(self) -> str:
        return html.table("Plan", words.of_plan(self))


def plan(
    run: Any,
    algorithms: Algorithm | Sequence[Algorithm],
    to: Any = None,
    *,
    cluster: Any = None,
    frames: Any = None,
    mask: Any = "auto",
    mask_bits: Any = None,
    resume: bool = False,
    chunk: str | int = "1 GiB",
    block: str | int = "4 MiB",
    on_fault: str | None = None,
    suspect: str = "use",
    overwrite: bool = False,
    readers: int | None = None,
    hook_timeout: float | None = None,
    quiet: bool = False,
    name: str = "",
) -> Plan:
    """Check a reduction and cut it into chunks, without reading detector data.

    Parameters
    ----------
    run : path, (proposal, run) or extra_data.DataCollection
        A run directory or a single file.
    algorithms : Algorithm or sequence of Algorithm
        In this order, in one pass over the data.
    to : path, Store or None
        ``"x.zarr"``; None keeps the result in a temporary directory as long as the `Result` lives.
    cluster
        Only used to know where memory must suffice; see `execute`.
    frames : FrameSelection, boolean array or Result, optional
        Only these frames of detectors are read at all.
    mask, mask_bits
        Which pixels are bad, as ``mask=`` and ``bits=`` of `Frames`, for all images whose input does not say it
        itself. ``"auto"``: the run's own mask for corrected data; None: all pixels are used.
    resume : bool
        Go on with what an interrupted run left beside `to`; a result that it finished is taken as it is. A job
        that ``dxflow submit`` started, and Slurm started again, always does.
    chunk : str or int
        Bytes of input of one task, about: it has a power of two of trains. It may order the additions, so it
        belongs to the result: the same value gives the same bits on any number of workers, alone and beside other
        algorithms. The plan says where chunks cannot be of this size.
    block : str or int
        Bytes that are read at once; it belongs to the result as well.
    on_fault : {None, "mask", "raise"}
        None: what can be seen now raises now, what is met while running is masked and counted;
        "mask" masks both, "raise" stops at both.
    suspect : {"use", "skip"}
        Trains that files flag as suspect (``INDEX/flag``, or train ids out of order in the oldest files): they are
        counted in `Result.losses`, and used or left out.
    overwrite : bool
        Replace an existing result.
    readers : int, optional
        Threads per worker that read ahead; 0 reads in between. Measured on the first chunks by default.
    hook_timeout : float, optional
        Seconds that a call of a hook may take; one that takes longer is ended, as if it had raised `HookTimeout`.
        Any time by default: after a minute it is said what is waited for.
    quiet : bool
        Do not show what is being done if that lasts.
    name : str
        What this pass is called: in its report, and kept with the result.

    Returns
    -------
    Plan

    Raises
    ------
    PlanError
        If it cannot work. The message says why, what there is, and what to do.
    """
    kinds.expect_all(kinds.OF_PLAN, locals(), error=PlanError)
    given = list(algorithms) if isinstance(algorithms, Sequence) else [algorithms]
    if not given:
        raise PlanError("no algorithm is given: a pass needs at least one, such as Average()")
    if on_fault not in ON_FAULT:
        raise PlanError(f"on_fault={on_fault!r}: expected one of {list(ON_FAULT)}")
    if suspect not in SUSPECT:
        raise PlanError(f"suspect={suspect!r}: expected one of {list(SUSPECT)}")
    if readers is not None and readers < 0:
        raise PlanError(f"readers={readers!r}: expected a number of threads from 0, or None to find the best")
    selection = FrameSelection.of(frames)
    with Short(), during(f"opening {run}", runs.opened, run, given, mask, quiet=quiet) as opened:
        opened.faults.suspect = suspect == "use" and opened.run.inc_suspect_trains
        opened.faults.trains = _asked_for(selection, opened.train_ids)
        binding = Binding(
            opened.run, opened.path, opened.train_ids, selection, opened.faults, mask, mask_bits
        )
        during("planning", bind, binding, given, quiet=quiet)
    _refuse_faults(binding, on_fault)
    _refuse_nothing(binding)
    own, parts = cutting.with_units(binding, sizes.parse(chunk)), memory.parts(binding)
    share = (parts[0].stop - parts[0].start) / max(len(i.modules) for i in binding.inputs)
    spans = cutting.spans(binding, own, sizes.parse(chunk), sizes.parse(block), share)
    result = Plan(
        run=opened.path,
        train_ids=opened.train_ids,
        inputs=tuple(binding.inputs),
        rows=tuple(binding.rows),
        indexes=tuple(binding.indexes),
        algorithms=own,
        chunks=tuple(Chunk(n, *span, p) for n, (p, span) in enumerate(product(range(len(parts)), spans))),
        parts=parts,
        block_bytes=sizes.parse(block),
        chunk_bytes=sizes.parse(chunk) if chunk != CHUNK else 0,
        name=str(name),
        store=store_for(to),
        losses=(*binding.faults.losses, *binding.faults.notes, *_missing(binding), *lacks.losses(binding)),
        on_fault=on_fault,
        resume=resume or journal.restarted(),
        overwrite=overwrite,
        readers=readers,
        selected_by=tuple(ours.paths_in(frames)),
        hook_timeout=_seconds(hook_timeout),
    )
    names.check(result)
    memory.check(result, cluster)
    journal.refuse_held(result)
    if not result.finished:
        result.store.check(result)
    return result


def _seconds(hook_timeout: float | None) -> float | None:
    if hook_timeout is not None and not hook_timeout > 0:
        raise PlanError(f"hook_timeout={hook_timeout!r}: expected seconds, more than 0, or None for any time")
    return hook_timeout


def _asked_for(selection: FrameSelection | None, trains: NDArray) -> NDArray:
    """Return the trains that something may be read of: what is wrong with others does not matter."""
    for one in (selection, *selection.also) if selection is not None else ():
        if one.trains is not None:
            trains = trains[among(trains, one.trains)]
        if one.frames is not None:
            trains = trains[np.isin(trains, one.frames[0])]
    return trains


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
            raise PlanError(f"{bound.name}: nothing to read from {lead.name} {lead.key}: {why}")


def _missing(binding: Binding) -> list[Loss]:
    """Return what modules lack, once per index, and trains in which a source has nothing."""
    seen: dict[int, BoundInput] = {}
    for number, bound in zip(binding.rows, binding.inputs, strict=True):
        seen.setdefault(number, bound)
    modules = [
        binding.faults.blamed(_filed(loss, i, binding.trains))
        for i in seen.values()
        for loss in i.index.missing(i.modules, i.location.sources)
    ]
    read = [part for bound in binding.inputs for part in (bound.parts or (bound,))]
    empty = [loss for bound in read for loss in _empty_trains(bound, binding.trains)]
    # A source and key that is read twice lacks the same.
    return list(dict.fromkeys(modules + empty))


def _filed(loss: Loss, bound: BoundInput, trains: NDArray) -> Loss:
    """Return a loss of a module with its source, or detector, and the file that has these trains, if it is one."""
    loss = replace(loss, source=loss.source or bound.name)
    among = (trains >= loss.first_train) & (trains <= loss.last_train)
    listed = bound.location.file if bound.location.listed is None else bound.location.listed
    files = np.unique(listed[bound.modules.index(loss.module), among])
    files = files[files >= 0]
    return replace(loss, file=bound.location.files[files[0]]) if len(files) == 1 else loss


def _empty_trains(bound: BoundInput, trains: NDArray) -> list[Loss]:
    """Return a loss of the trains in which no file has anything of an input."""
    empty = trains[(bound.location.count == 0).all(axis=0)]
    if not len(empty):
        return []
    first, last = int(empty[0]), int(empty[-1])
    return [Loss("missing trains", 0, len(empty), first, last, bound.name, detail=f"no {bound.key} in them")]
