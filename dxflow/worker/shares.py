"""Outputs of a chunk: its arrays, and the part of them that a call of a hook may write to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.events import Events, EventView
from ..declare.kinds import Place
from ..declare.outputs import BoundOutput, Partial, identity, merge_into

if TYPE_CHECKING:
    from ..planning.bound import BoundAlgorithm
    from ..planning.walks import Part, Window
    from ..run.index import EntryIndex
    from .account import Account

Share = tuple[NDArray, NDArray, str]
"""Where a share is merged into, the share, and the rule."""


class Shares:
    """Outputs in one chunk.

    Parameters
    ----------
    account : Account
    outputs : iterable of BoundOutput
        Of any algorithms of the plan.

    Attributes
    ----------
    arrays : dict
        Output name -> the chunk's array or events; transient ones are absent.
    """

    def __init__(self, account: Account, outputs: Iterable[BoundOutput]) -> None:
        self.account, self.plan, self.chunk = account, account.plan, account.chunk
        self._modules = self.plan.modules(self.chunk)
        self.arrays: dict[str, NDArray | Events] = {
            o.name: self._array(o) for o in outputs if not o.transient
        }
        self._rules = {
            a.name: _rules(a, len(self.plan.inputs[a.stream].modules)) for a in self.plan.algorithms
        }
        self._apart = {a.name: _shared_kinds(a) for a in self.plan.algorithms}
        self._of_modules: dict[str, dict[int, NDArray]] = {}
        self.scratch: dict[str, NDArray] = {}
        self._memory: dict[str, NDArray] = {}

    def _array(self, o: BoundOutput) -> NDArray | Events:
        """Return a fresh array for the chunk."""
        return (
            Events(o.output.shape, o.output.dtype, o.key)
            if o.output.kind == "event"
            else o.array(*self.size(o))
        )

    def size(self, o: BoundOutput) -> tuple[int, int, int]:
        """Return how many rows, trains and modules the chunk has for an output."""
        rows = self.account.count(o.index) if o.index is not None else 0
        modules = min(self._modules.stop - self._modules.start, o.pixels[0])
        return rows, self.chunk.last - self.chunk.first, modules

    def place(
        self,
        o: BoundOutput,
        first: int,
        last: int,
        rows: slice | None = None,
        module: int | None = None,
        strip: slice | None = None,
    ) -> Place:
        """Return where trains ``first:last`` of the plan are in an output's array, or these rows of a train.

        Parameters
        ----------
        rows : slice, optional
            Counted from the chunk's first.
        module : int, optional
            Position of the module; all by default.
        strip : slice, optional
            Slow-scan rows; all by default.
        """
        if rows is None:
            rows = self.account.between(o.index, first, last) if o.index is not None else slice(0, 0)
        trains = slice(first - self.chunk.first, last - self.chunk.first)
        own = None if module is None else module - self._modules.start
        return Place(own, rows, trains, trains.start if last == first + 1 else None, strip)

    def place_of(self, o: BoundOutput, index: EntryIndex, rows: slice, part: Part) -> Place:
        """Return where what one call makes is in an output's array.

        Parameters
        ----------
        index, rows
            Of the frames that the call sees, counted from the chunk's first: outputs with other rows have the train's.
        """
        follows = rows if o.index is index else None
        return self.place(o, part.train, part.last, follows, part.module, part.strip)

    # While a window is worked on ----------------------------------------------------------------

    def begin(self, bound: BoundAlgorithm, window: Window) -> None:
        """Make room for an algorithm's images that live for one window only; memory is reused."""
        lead = self.plan.inputs[bound.stream]
        rows, modules = window.rows_of(lead), window.modules_of(lead)
        for o in bound.outputs:
            if o.transient:
                shape = (len(modules), rows.stop - rows.start, *o.output.shape, *o.pixels[1:])
                self.scratch[o.name] = self._room(o.name, shape, np.dtype(o.output.dtype))

    def _room(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        n, old = int(np.prod(shape)), self._memory.get(name)
        if old is None or old.size < n:
            self._memory[name] = old = np.empty(n, dtype)
        return old[:n].reshape(shape)

    def images(self, name: str, window: Window, part: Part) -> NDArray:
        """Return images that are not kept, of a part of a window: (frame, ss, fs), or (frame, module, ss, fs)."""
        images = self.scratch[name]
        if part.module is None:
            return images[:, part.at].swapaxes(0, 1)
        return images[part.module - (window.module or 0), part.at]

    def of(
        self, bound: BoundAlgorithm, window: Window, part: Part, rows: slice
    ) -> tuple[Partial, list[Share]]:
        """Return what one call of a hook may write to, and what of that is to be merged when it has.

        Parameters
        ----------
        rows : slice
            Of the frames that it sees, counted from the chunk's first.
        """
        shares: list[Share] = []
        index = self.plan.inputs[bound.stream].index
        made: dict[str, Any] = {}
        for o in bound.outputs:
            if o.transient:
                made[o.key] = self.images(o.name, window, part)
                made[o.key][:] = identity(o.output.dtype, o.output.merge)
            else:
                made[o.key] = self._output(o, part, self.place_of(o, index, rows, part), shares)
        return Partial(made, self._rules[bound.name]), shares

    def _output(self, o: BoundOutput, part: Part, at: Place, shares: list[Share]) -> NDArray | EventView:
        array = self.arrays[o.name]
        if isinstance(array, Events):
            trains = np.full(at.rows.stop - at.rows.start, at.train)
            return EventView(array, trains, at.rows.start, at.train if part.module is None else None)
        if o.output.kind == "run" and part.module is not None:
            return self._of_module(o, array, part.module)
        values = o.kind.part(array, at, len(o.pixels))
        if o.output.kind not in self._apart[o.algorithm] or not self._on_its_own(o):
            return values
        shares.append(
            (values, np.full_like(values, identity(o.output.dtype, o.output.merge)), o.output.merge)
        )
        return shares[-1][1]

    def _on_its_own(self, o: BoundOutput) -> bool:
        """Return whether a call writes to an array of its own, at the identity, that is merged then.

        The least and the largest need that; so do sums of frames, which are the same then if each module's are made
        elsewhere. Other sums are added to where they are.
        """
        several = o.output.kind == "entry" and o.pixels[0] > 1
        return o.output.merge in ("min", "max") or (o.output.merge == "sum" and several)

    def _of_module(self, o: BoundOutput, array: NDArray, module: int) -> NDArray:
        """Return a module's share of an output of the run.

        Shares are added in the order of modules, so that it does not matter whether modules or trains come first.
        """
        if o.output.merge == "custom":
            return array
        of = self._of_modules.setdefault(o.name, {})
        if module not in of:
            of[module] = o.array(0, 0, 0)
        return of[module]

    # What was made ------------------------------------------------------------------------------

    def gather(self, bound: BoundAlgorithm) -> None:
        """Merge an algorithm's shares of modules; those of a module must be complete."""
        for o in bound.outputs:
            of = self._of_modules.pop(o.name, {})
            for module in sorted(of):
                merge_into(self.arrays[o.name], of[module], o.output.merge)  # type: ignore[arg-type]

    def whole_run(self, bound: BoundAlgorithm) -> Partial:
        """Return an algorithm's whole-run outputs of now."""
        return Partial({o.key: self.arrays[o.name] for o in bound.outputs if o.whole_run})

    def renew(self, bound: BoundAlgorithm) -> None:
        """Let an algorithm's whole-run outputs begin anew, in arrays of their own."""
        self.arrays |= {o.name: self._array(o) for o in bound.outputs if o.whole_run}

    def put(self, bound: BoundAlgorithm, total: Partial) -> None:
        """Take these for an algorithm's whole-run outputs."""
        self.arrays |= {o.name: total[o.key] for o in bound.outputs if o.whole_run}

    def kept(self, *, every: bool = False) -> dict[str, NDArray]:
        """Return what a fragment keeps, by name: what is stored, merged or finished later; every row, if so asked."""
        found: dict[str, NDArray] = {}
        for o in self.plan.outputs:
            array = self.arrays.get(o.name)
            if isinstance(array, Events):
                found |= dict(zip(array.names(o.name), array.sorted(), strict=True))
            elif array is not None and (
                every or o.output.store or o.whole_run or o.name in self.plan.for_rows
            ):
                found[o.name] = array.swapaxes(0, 1) if o.output.kind == "image" else array
        return found

    def events(self) -> dict[str, int]:
        """Return how many rows outputs of events have, by name."""
        return {name: a.count for name, a in self.arrays.items() if isinstance(a, Events)}

    def of_trains(self, bound: BoundAlgorithm, first: int, last: int) -> Partial:
        """Return the rows of some trains as `finalize_chunk_processing` takes them; whole-run outputs are whole."""
        return Partial({o.key: self.values(o, first, last) for o in bound.outputs if not o.transient})

    def values(self, o: BoundOutput, first: int, last: int, rows: slice | None = None) -> Any:
        """Return what an output has for some trains, or some rows of them, images as (module, row, ...); all events."""
        array, at = self.arrays[o.name], self.place(o, first, last, rows)
        several = Place(None, at.rows, at.trains)
        return array if isinstance(array, Events) else o.kind.part(array, several, len(o.pixels))


def _shared_kinds(bound: BoundAlgorithm) -> tuple[str, ...]:
    """Return of which kinds of rows several calls of an algorithm's hook make the same ones."""
    if bound.algorithm.by_module:
        return ("entry", "train")
    return ("train",) if bound.algorithm.WHOLE_FRAMES else ()


def _rules(bound: BoundAlgorithm, modules: int) -> dict[str, str]:
    """Return the merge rules of outputs to which other calls of the hook write, too; those without a share."""
    if bound.algorithm.STRIPS:
        # Each pixel is in one of them.
        return {}
    # Each frame of a single module is in one block.
    shared = set(_shared_kinds(bound)) - ({"entry"} if modules == 1 else set())
    return {
        o.key: o.output.merge
        for o in bound.outputs
        if o.whole_run or (o.output.kind in shared and o.output.merge == "sum")
    }


def merge(shares: Sequence[Share]) -> None:
    """Merge what a call made into rows that modules share."""
    for into, share, rule in shares:
        merge_into(into, share, rule)
