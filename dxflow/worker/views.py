"""What hooks see of a window: trains, frames of all modules, blocks of one, with the value of any alias."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.views import ModuleBlock, Train, or_nan, read_only
from ..planning.bound import ROWS, maker

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from ..planning.bound import Alias, BoundAlgorithm
    from ..planning.walks import Part
    from .presence import Presence
    from .source import Loaded, Source


class Views:
    """Makes what hooks see.

    Values come from the window that was read, from the keys of the chunk, or from what earlier algorithms made.
    """

    def __init__(self, source: Source, presence: Presence) -> None:
        self._source, self._presence = source, presence
        self._plan, self._account, self._shares = source.plan, source.account, presence.shares

    def of(self, bound: BoundAlgorithm, loaded: Loaded, part: Part, rows: slice) -> Train | ModuleBlock:
        """Return what an algorithm sees of a part of a window.

        Parameters
        ----------
        rows : slice
            Of the part, of the index of the algorithm's first input.
        """
        return (
            self._train(bound, loaded, part, rows)
            if part.module is None
            else self._block(bound, loaded, part, rows)
        )

    def _or_nan(self, ref: Alias, value: Any, there: Any) -> Any:
        """Return a value, as NaN if it is a number that is not there; labels stay what they are."""
        labels = not ref.made and self._plan.inputs[ref.number].joined is not None
        return value if labels else or_nan(value, there)

    def _each_or_nan(self, ref: Alias, values: NDArray, there: NDArray) -> NDArray:
        """Return values of frames, numbers that are not there as NaN."""
        if there.all() or values.dtype.kind not in "iub" or self._plan.inputs[ref.number].joined is not None:
            return values
        return np.where(there.reshape(-1, *(1,) * (values.ndim - 1)), values, np.nan)

    # Blocks of a module -------------------------------------------------------------------------

    def _block(self, bound: BoundAlgorithm, loaded: Loaded, part: Part, rows: slice) -> ModuleBlock:
        lead, module = self._plan.inputs[bound.stream], part.module
        assert module is not None
        seen, valid = {}, {}
        for alias, ref in bound.aliases.items():
            values, there = self._in_block(bound, ref, loaded, part, rows)
            seen[alias] = read_only(values)
            if there is not None:
                valid[alias] = there
        return ModuleBlock(
            module,
            lead.modules[module],
            lead.index.train_ids[lead.index.train_positions(rows)],
            None if lead.index.pulse_ids is None else read_only(lead.index.pulse_ids[rows]),
            None if lead.index.cell_ids is None else read_only(lead.index.cell_ids[rows]),
            seen,
            valid,
            self._account.asked[bound.name],
            part.strip,
            None if lead.index.pulse_ids is not None else read_only(lead.index.entry_ids[rows]),
        )

    def _in_block(
        self, bound: BoundAlgorithm, ref: Alias, loaded: Loaded, part: Part, rows: slice
    ) -> tuple[NDArray, NDArray | None]:
        """Return the values of an alias in a block, and which are valid where that is not all."""
        number, index = ref.number, self._plan.inputs[bound.stream].index
        own = self._account.own(index, rows)
        if ref.made and ref.made.output.kind in ROWS:
            values, there = self._row_in_block(ref.made, part, own)
            return self._each_or_nan(ref, values, there), there
        if ref.made:
            return self._made_in_block(ref.made, loaded, part, own), None
        if number not in loaded.arrays:
            if number == bound.stream:
                return self._source.keys[number][own], None
            values, there = self._source.key_of_frames(number, index.train_positions(rows), own)
            return self._each_or_nan(ref, values, there), there
        at = (part.module or 0) - (loaded.window.module or 0), part.at
        if number in loaded.pixels:
            return loaded.arrays[number][at], read_only(loaded.pixels[number][at])
        return loaded.arrays[number][at], self._whole(bound, part, own)

    def _whole(self, bound: BoundAlgorithm, part: Part, own: slice) -> NDArray | None:
        """Return which frames of a whole train of a module are there; None of blocks, which have no others."""
        if part.module is None or not (bound.algorithm.WHOLE_TRAINS or part.strip):
            return None
        modules = slice(part.module, part.module + 1)
        return read_only(self._account.seen(self._plan.sights[bound.name], own, modules)[0])

    def _made_in_block(self, o: BoundOutput, loaded: Loaded, part: Part, own: slice) -> NDArray:
        if o.transient:
            return self._shares.images(o.name, loaded.window, part)
        at = self._shares.place(o, part.train, part.train + 1, own, part.module)
        return o.kind.part(self._shares.arrays[o.name], at, len(o.pixels))  # type: ignore[arg-type]

    def _row_in_block(self, o: BoundOutput, part: Part, own: slice) -> tuple[NDArray, NDArray]:
        """Return what all modules made of the frames of a block, or of their train, and where there is a value."""
        at = self._shares.place(o, part.train, part.train + 1, own)
        values = o.kind.part(self._shares.arrays[o.name], at, len(o.pixels))  # type: ignore[arg-type]
        there = self._presence.has(maker(self._plan, o), o, part.train, part.train + 1, own)
        n = own.stop - own.start
        if o.output.kind == "train":
            values = np.broadcast_to(values, (n, *np.shape(values)))
        return values, np.broadcast_to(there, n)

    # All modules --------------------------------------------------------------------------------

    def _train(self, bound: BoundAlgorithm, loaded: Loaded, part: Part, rows: slice) -> Train:
        index = self._plan.inputs[bound.stream].index
        valid = {alias: self._there(bound, ref, part, rows) for alias, ref in bound.aliases.items()}
        values = {
            alias: self._or_nan(ref, self._in_train(bound, ref, loaded, part, rows), valid[alias])
            for alias, ref in bound.aliases.items()
        }
        pixels = {
            alias: read_only(self._of_frames(bound, ref.number, loaded.pixels[ref.number], part))
            for alias, ref in bound.aliases.items()
            if not ref.made and ref.number in loaded.pixels
        }
        return Train(
            index=part.train,
            id=int(self._plan.train_ids[part.train]),
            pulse_ids=None if index.pulse_ids is None else read_only(index.pulse_ids[rows]),
            cell_ids=None if index.cell_ids is None else read_only(index.cell_ids[rows]),
            missing=frozenset(alias for alias, there in valid.items() if not there.any()),
            _arrays={alias: read_only(value) for alias, value in values.items()},
            _valid=valid | pixels,
            _asked=self._account.asked[bound.name],
        )

    def _of_frames(self, bound: BoundAlgorithm, number: int, array: NDArray, part: Part) -> NDArray:
        """Return the frames of a part, (frame, module, ...), all of the train of an input with other rows."""
        same = self._plan.inputs[number].index is self._plan.inputs[bound.stream].index
        return (array[:, part.at] if same else array).swapaxes(0, 1)

    def _there(self, bound: BoundAlgorithm, ref: Alias, part: Part, rows: slice) -> NDArray:
        """Return where an alias has something: (frame, module), (entry,), or () for a value of the train."""
        if o := ref.made:
            own_rows = self._rows(bound, o.index, part, rows) if o.index is not None else None
            there = self._presence.has(maker(self._plan, o), o, part.train, part.train + 1, own_rows)
            return there[0] if o.output.kind == "train" else there.T
        own = self._plan.inputs[ref.number]
        got = self._account.got[ref.number][:, self._rows(bound, own.index, part, rows)]
        if own.kind == "control":
            return np.asarray(got.any())
        return got.T if own.kind == "frames" else got[0]

    def _rows(self, bound: BoundAlgorithm, index: Any, part: Part, rows: slice) -> slice:
        """Return the rows of an index that belong to a part, counted from the chunk's first."""
        if index is self._plan.inputs[bound.stream].index:
            return self._account.own(index, rows)
        return self._account.between(index, part.train, part.train + 1)

    def _in_train(self, bound: BoundAlgorithm, ref: Alias, loaded: Loaded, part: Part, rows: slice) -> Any:
        """Return the data of an alias in a train, or in some of its frames."""
        number = ref.number
        if ref.made:
            return self._made_in_train(bound, ref.made, loaded, part, rows)
        if number in loaded.arrays:
            return self._of_frames(bound, number, loaded.arrays[number], part)
        own = self._plan.inputs[number]
        if own.kind == "control":
            return self._source.control(number, part.train)
        return self._source.keys[number][self._rows(bound, own.index, part, rows)]

    def _made_in_train(
        self, bound: BoundAlgorithm, o: BoundOutput, loaded: Loaded, part: Part, rows: slice
    ) -> NDArray:
        index = self._plan.inputs[bound.stream].index
        if o.transient:
            whole = replace(part, at=slice(None))
            return self._shares.images(o.name, loaded.window, part if o.index is index else whole)
        at = self._shares.place_of(o, index, self._account.own(index, rows), part)
        return o.kind.part(self._shares.arrays[o.name], at, len(o.pixels))  # type: ignore[arg-type]
