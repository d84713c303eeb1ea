"""What of a chunk was read, used and lost: counted where it happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..planning.bound import maker
from ..run.bound import present
from ..run.losses import Loss

if TYPE_CHECKING:
    from ..planning.bound import BoundAlgorithm
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..planning.sight import Sight
    from ..reader.faults import ReadFault
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex


class Account:
    """Frames of a chunk: which were read, which of them algorithms see, and what became of the others.

    Attributes
    ----------
    rows : dict
        Rows of the chunk in each of the plan's indexes.
    got : list of ndarray of bool, (module, row)
        Which rows of each input were read, in trains that are not left out.
    asked : dict
        Algorithm -> aliases of which its hooks asked what is valid.
    """

    def __init__(self, plan: Plan, chunk: Chunk, excluded: frozenset[int]) -> None:
        self.plan, self.chunk, self.excluded = plan, chunk, excluded
        self.rows = {i: i.rows(chunk.first, chunk.last) for i in plan.indexes}
        self.got = [np.zeros((len(i.modules), self.count(i.index)), bool) for i in plan.inputs]
        self.asked: dict[str, set[str]] = {a.name: set() for a in plan.algorithms}
        self.losses: list[Loss] = []
        self._masked: Counter[tuple[int, int, str]] = Counter()
        self.bytes = 0
        self._usable: dict[Sight, NDArray] = {}
        self._lost: set[tuple[Any, ...]] = set()
        self._counted: set[tuple[int, int, int]] = set()
        self._lock = threading.Lock()

    def count(self, index: EntryIndex) -> int:
        """Return how many rows of an index the chunk has."""
        return self.rows[index].stop - self.rows[index].start

    def own(self, index: EntryIndex, rows: slice) -> slice:
        """Return rows of an index as counted from the chunk's first."""
        start = self.rows[index].start
        return slice(rows.start - start, rows.stop - start)

    def between(self, index: EntryIndex, first: int, last: int) -> slice:
        """Return the rows of trains ``first:last``, counted from the chunk's first."""
        return self.own(index, index.rows(first, last))

    # What was read ------------------------------------------------------------------------------

    def add(
        self, number: int, modules: slice, rows: slice, good: NDArray, values: NDArray, *, first: bool = True
    ) -> None:
        """Count the frames of an input that were read, (module, frame) bool of these modules and rows of its index.

        Parameters
        ----------
        values : ndarray, (module, frame, ...)
            What was read.
        first : bool
            Whether no other strip of them was read before: a frame is there if all of it is.
        """
        got = self.got[number]
        at = modules, self.own(self.plan.inputs[number].index, rows)
        got[at] = good if first else got[at] & good
        self.bytes += int(np.count_nonzero(good)) * (values.nbytes // max(1, good.size))

    def lose(self, bound: BoundInput, module: int, row: int, fault: ReadFault) -> None:
        """Note that a frame (row of the index) of a module could not be read, once if it is read for several inputs."""
        labels = {name: int(ids[0]) for name, ids in bound.index.labels(slice(row, row + 1)).items()}
        frame = tuple(labels.values()) if "pulse_id" in labels else (row,)
        what = bound.location.sources[module], fault.file, fault.dataset, fault.first, fault.cause, *frame
        with self._lock:
            number = self.plan.inputs.index(bound) if bound in self.plan.inputs else -1
            if number >= 0 and (number, module, row) not in self._counted:
                # Of a frame that is read strip by strip, several may be unreadable.
                self._counted.add((number, module, row))
                self._masked[number, module, fault.cause] += 1
            if what in self._lost:
                return
            self._lost.add(what)
        pulse = f" (pulse {labels['pulse_id']})" if "pulse_id" in labels else ""
        self.losses.append(
            Loss(
                cause=fault.cause,
                frames=1,
                trains=1,
                first_train=labels["train_id"],
                last_train=labels["train_id"],
                source=bound.location.sources[module],
                module=bound.modules[module] if bound.kind == "frames" else -1,
                file=fault.file,
                run=self.plan.run,
                detail=f"{fault.dataset} row {fault.first}{pulse}: {fault.detail}",
                input=bound.title,
            )
        )

    def leave_out(self, trains: Mapping[int, str]) -> None:
        """Count the frames of trains (positions in the plan) that are left out, by cause."""
        for number, bound in enumerate(self.plan.inputs) if trains else ():
            rows = self.rows[bound.index]
            of = bound.index.train_positions(rows)
            for module in range(len(bound.modules))[self.plan.modules(self.chunk)]:
                there = present(bound, module, rows)
                for train, cause in trains.items():
                    self._masked[number, module, cause] += int((there & (of == train)).sum())

    # What is seen of it -------------------------------------------------------------------------

    def seen(self, sight: Sight, rows: slice, modules: slice = slice(None)) -> NDArray:
        """Return which frames an algorithm sees, (module, row) bool; rows count from the chunk's first."""
        one, *others = (self.got[number][modules, rows] for number in sight.inputs)
        there = np.logical_and.reduce([one, *others]) if others else one
        return there & self._usable_by(sight)[modules, rows] if sight.lacks else there

    def seen_in(self, sight: Sight, first: int, last: int) -> NDArray:
        """Return which frames of trains ``first:last`` an algorithm sees, (module, row) bool."""
        return self.seen(sight, self.between(sight.index, first, last))

    def _usable_by(self, sight: Sight) -> NDArray:
        """Return which frames of the chunk (module, row) an algorithm, and what it reads, can use if they are there."""
        if sight not in self._usable:
            rows = self.rows[sight.index]
            self._usable[sight] = np.ones(self.got[sight.inputs[0]].shape, bool)
            for module, cells in sight.lacks:
                self._usable[sight][module] &= ~sight.index.of_cells(rows, cells)
        return self._usable[sight]

    # What is said in the end --------------------------------------------------------------------

    @property
    def used(self) -> list[list[int]]:
        """Frames of each input and module that were read, [input number, module position, frames]."""
        return [
            [number, module, int(n)]
            for number, got in enumerate(self.got)
            for module, n in enumerate(got.sum(axis=1))
        ]

    @property
    def masked(self) -> list[list[Any]]:
        """Frames that were there and could not be read, or are of trains that are left out.

        [input number, module position, cause, frames] each.
        """
        return [[*key, frames] for key, frames in sorted(self._masked.items()) if frames]

    def worked(self) -> list[list[Any]]:
        """Return what each algorithm did with the frames that it was given, [number, module position, cause, frames].

        The cause is "" for those that it used.
        """
        out = []
        for number, bound in enumerate(self.plan.algorithms):
            given = replace(self.plan.sights[bound.name], lacks=())
            good = self.seen_in(given, self.chunk.first, self.chunk.last)
            for cause, lost in self._lacking(bound).items():
                counts = (good & lost).sum(axis=1)
                out += [[number, int(m), cause, int(counts[m])] for m in np.flatnonzero(counts)]
                good = good & ~lost
            out += [[number, module, "", int(n)] for module, n in enumerate(good.sum(axis=1))]
        return out

    def _lacking(self, bound: BoundAlgorithm) -> dict[str, NDArray]:
        """Return by cause which frames (module, row) an algorithm, and what it reads, cannot use."""
        lead = self.plan.inputs[bound.stream]
        lost: dict[str, NDArray] = {}
        for lack in bound.lacks:
            of = lost.setdefault(lack.cause, np.zeros((len(lead.modules), self.count(lead.index)), bool))
            of[lead.modules.index(lack.module)] |= lead.index.of_cells(self.rows[lead.index], lack.cells)
        refs = list(bound.aliases.values())
        # A train is there if its first input is.
        for ref in refs if bound.algorithm.by_module else refs[:1]:
            if ref.made and (made := maker(self.plan, ref.made)).stream == bound.stream:
                for cause, of in self._lacking(made).items():
                    lost[cause] = lost[cause] | of if cause in lost else of
        return lost

    def summed_losses(self) -> list[Loss]:
        """Return the losses with those of the same cause, source and file joined."""
        joined: dict[tuple, Loss] = {}
        # Several threads note losses; what is joined must not depend on which came first.
        for loss in sorted(self.losses, key=lambda x: (x.source, x.module, x.first_train, x.cause, x.detail)):
            key = (loss.cause, loss.source, loss.module, loss.file, loss.algorithm)
            joined[key] = _join(joined[key], loss) if key in joined else loss
        return list(joined.values())

    def arrays(self) -> dict[str, NDArray]:
        """Return what the result says of its frames and trains: how many modules, and which, algorithms saw of them."""
        out: dict[str, NDArray] = {}
        for n, sight in enumerate(dict.fromkeys(self.plan.sights.values())):
            good = self.seen_in(sight, self.chunk.first, self.chunk.last)
            valid = per_train(sight.index, good, self.chunk.first, self.chunk.last).T
            out[f"modules_used/{n}"] = good.sum(axis=0, dtype=np.int32)
            out[f"valid/{n}"], out[f"train_used/{n}"] = valid, np.asarray(valid.any(axis=1), np.uint8)
        return out


def per_train(index: EntryIndex, values: NDArray, first: int, last: int) -> NDArray:
    """Return in which trains a value of some row is true, (..., train) bool, from (..., row)."""
    before = np.zeros((*values.shape[:-1], values.shape[-1] + 1), np.int64)
    np.cumsum(values, axis=-1, out=before[..., 1:])
    edges = index.offsets[first : last + 1] - index.offsets[first]
    return before[..., edges[1:]] > before[..., edges[:-1]]


def _join(a: Loss, b: Loss) -> Loss:
    same_train = a.last_train == b.first_train
    return replace(
        a,
        frames=a.frames + b.frames,
        trains=a.trains + b.trains - same_train,
        first_train=min(a.first_train, b.first_train),
        last_train=max(a.last_train, b.last_train),
    )
