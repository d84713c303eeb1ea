"""Where outputs have values, as far as what they are made of was there: marked where not, and said in the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.outputs import touched, untouched, valid_name
from ..declare.views import missing_value
from .account import per_train

if TYPE_CHECKING:
    from ..declare.kinds import Place
    from ..declare.outputs import BoundOutput, Partial
    from ..planning.bound import BoundAlgorithm
    from ..planning.walks import Part
    from .shares import Shares


class Presence:
    """What was made of the outputs of a chunk.

    Attributes
    ----------
    made : dict
        Output name -> which of its trains (train,), rows (row,) or images (module, row) a hook touched.
    """

    def __init__(self, shares: Shares) -> None:
        self.shares, self.account, self.plan = shares, shares.account, shares.plan
        rows = [o for o in self.plan.outputs if o.transient or o.name in shares.arrays]
        shapes = {o.name: o.kind.made(*shares.size(o)) for o in rows}
        self.made = {name: np.zeros(shape, bool) for name, shape in shapes.items() if shape is not None}
        of_strips = [o for a in self.plan.algorithms if a.algorithm.STRIPS for o in a.outputs]
        self._strips = {o.name: np.zeros((shares.size(o)[2], o.pixels[1]), bool) for o in of_strips}
        """Which slow-scan rows of modules were made, (module, ss)."""

    def note(self, bound: BoundAlgorithm, out: Partial, part: Part, rows: slice) -> None:
        """Note which outputs a call of a hook made; images of a block that it did not touch are missing.

        Parameters
        ----------
        rows : slice
            Of the frames that it saw, counted from the chunk's first.
        """
        done, index = touched(out), self.plan.inputs[bound.stream].index
        for o in bound.outputs:
            if o.name in self._strips:
                at = self.shares.place_of(o, index, rows, part)
                self._strips[o.name][at.module, at.strip] |= o.key in done
            elif o.key in done and o.name in self.made:
                self._note(o, self.shares.place_of(o, index, rows, part))
            elif o.output.kind == "image" and part.module is not None:
                # Algorithms after this one may read it at once.
                out[o.key][...] = missing_value(np.dtype(o.output.dtype))

    def note_trains(self, bound: BoundAlgorithm, out: Partial, first: int, last: int) -> None:
        """Note which outputs were made of some trains."""
        done = touched(out)
        for o in bound.outputs:
            if o.key in done and o.name in self.made:
                self._note(o, self.shares.place(o, first, last))

    def _note(self, o: BoundOutput, at: Place) -> None:
        self.made[o.name][o.kind.where(at)] = True

    def has(
        self, bound: BoundAlgorithm, o: BoundOutput, first: int, last: int, rows: slice | None = None
    ) -> NDArray:
        """Return where an output has a value in some trains: (row,), (module, row) of images, or (train,).

        That is where what it is made of was there, and a hook touched it.

        Parameters
        ----------
        rows : slice, optional
            Only these rows of the trains, counted from the chunk's first.
        """
        could = self._could(bound, o, first, last)
        if rows is not None and o.index is not None:
            start = self.account.between(o.index, first, last).start
            could = could[..., rows.start - start : rows.stop - start]
        if o.output.kind == "image":
            could = could[self.plan.modules(self.shares.chunk)]
        return np.asarray(could & self._made(o, self.shares.place(o, first, last, rows)))

    def _made(self, o: BoundOutput, at: Place) -> NDArray:
        return self.made[o.name][o.kind.where(at)]

    def _could(self, bound: BoundAlgorithm, o: BoundOutput, first: int, last: int) -> NDArray:
        """Return where there was what an output is made of."""
        sight, account = self.plan.sights[bound.name], self.account
        good = account.seen_in(sight, first, last)
        if o.output.kind == "image" and bound.algorithm.by_module:
            return good
        rows = np.asarray(good.any(axis=0))
        if o.output.kind == "train":
            return per_train(sight.index, rows, first, last)
        assert o.output.alias is not None
        assert o.index is not None
        number = bound.aliases[o.output.alias].number
        if number not in sight.inputs:
            trains = per_train(sight.index, rows, first, last)
            counts = o.index.counts[first:last]
            own = account.got[number][:, account.between(o.index, first, last)].any(axis=0)
            rows = own & np.repeat(trains, counts)
        return np.broadcast_to(rows, (o.pixels[0], len(rows))) if o.output.kind == "image" else rows

    def mark(
        self,
        bound: BoundAlgorithm,
        o: BoundOutput,
        first: int,
        last: int,
        rows: slice | None = None,
        modules: range | None = None,
    ) -> None:
        """Let an output say what it lacks in some trains: NaN where the dtype has it, 0 elsewhere.

        Parameters
        ----------
        rows : slice, optional
            Only these rows of the trains, counted from the chunk's first.
        modules : range, optional
            Positions of the modules that have been worked on so far: of the others no image is marked.
        """
        values: Any = self.shares.scratch[o.name] if o.transient else self.shares.values(o, first, last, rows)
        if not isinstance(values, np.ndarray):
            return
        own = slice(None)
        if modules is not None and o.output.kind == "image":
            begin = self.plan.modules(self.shares.chunk).start
            own = slice(modules.start - begin, modules.stop - begin)
            values = values if o.transient else values[own]
        self._mark_untouched(o, values, self._made(o, self.shares.place(o, first, last, rows))[own])
        there = self.has(bound, o, first, last, rows)[own]
        if not there.all():
            values[~there] = missing_value(np.dtype(o.output.dtype))

    @staticmethod
    def _mark_untouched(o: BoundOutput, values: NDArray, made: NDArray) -> None:
        """Let values say so that no hook compared with anything: of floats each, of integers whole rows."""
        if o.output.merge not in ("min", "max"):
            return
        still = untouched(values, o.output.merge)
        if values.dtype.kind == "f":
            values[still] = np.nan
        elif still.any():
            made &= ~still.all(axis=tuple(range(made.ndim, still.ndim)))

    def mark_lost_rows(self) -> None:
        """Let all rows of frames and trains that nothing was made for say so."""
        chunk = self.shares.chunk
        for bound in self.plan.algorithms:
            for o in bound.outputs:
                if o.name in self.made and not o.transient:
                    self.mark(bound, o, chunk.first, chunk.last)

    def mark_lost_strips(self) -> None:
        """Let pixels of which a strip was not made say so: nobody else finishes them."""
        for name, made in self._strips.items():
            array: Any = self.shares.arrays[name]
            array[..., ~made, :] = missing_value(array.dtype)

    def arrays(self) -> dict[str, NDArray]:
        """Return where integers have a value, by the name that the result has for it."""
        chunk = self.shares.chunk
        return {
            valid_name(o): self.has(bound, o, chunk.first, chunk.last).T
            for bound in self.plan.algorithms
            for o in bound.outputs
            if o.says_valid and (o.output.store or o.name in self.plan.for_rows)
        }
