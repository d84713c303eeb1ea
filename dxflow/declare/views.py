"""What the hooks see: a train with all modules, or a block of frames of one module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import by_alias


@dataclass(frozen=True, eq=False)
class Train:
    """One train. Arrays are read-only views of reused buffers, valid during the call: copy what must last.

    ``train[alias]`` is, for `Frames`, (pulse, module, ss, fs) with NaN (0 for integers, see `valid`)
    where a module lacks the frame; for a `Key` of an instrument source, (entry, ...); of a control
    source, its value, NaN where the train has none, also of integers; for `From`, the earlier algorithm's rows of this
    train, or its value, NaN where it made none.

    Parameters
    ----------
    index : int
        Position among all trains of the plan.
    id : int
        Train id.
    pulse_ids, cell_ids : ndarray, (pulse,), or None
        Of the algorithm's first input.
    missing : frozenset of str
        Aliases of inputs that have nothing in this train.
    """

    index: int
    id: int
    pulse_ids: NDArray | None
    cell_ids: NDArray | None
    missing: frozenset[str]
    _arrays: Mapping[str, Any] = field(repr=False)
    _valid: Mapping[str, NDArray] = field(repr=False)
    _asked: set[str] = field(repr=False, default_factory=set)

    def __getitem__(self, alias: str) -> Any:
        return by_alias(self._arrays, alias)

    def valid(self, alias: str) -> NDArray:
        """Return which modules have which frames, (pulse, module) bool, or which pixels, (pulse, module, ss, fs).

        Pixels are told where integers are masked: they keep their value, while masked floats are NaN. Of a `Key` it
        is which entries are there, (entry,), of a control source and of what is made per train whether there is a
        value, ().
        """
        self._asked.add(alias)
        return by_alias(self._valid, alias)


@dataclass(frozen=True, eq=False)
class ModuleBlock:
    """Consecutive frames of one module and train. Read-only views of reused buffers, valid during the call.

    ``block[alias]`` is, for `Frames` (and for the first input), (frame, ss, fs) and contiguous; for
    other keys with one value per train, that value for each frame: (frame, ...), NaN where the train has none, also of
    integers, which are floats then; so for `From` of outputs per train or entry, which are those of all modules. Frames
    that the module lacks are not in any of its blocks, nor frames that lack another of the algorithm's detector inputs;
    but with `Algorithm.WHOLE_TRAINS` a block has all frames of the train, and `valid` says which are there.

    Parameters
    ----------
    module : int
        Position along the module axis.
    module_number : int
        Number at the detector.
    train_ids, pulse_ids, cell_ids : ndarray, (frame,)
        The last two None where there are none.
    strip : slice or None
        With `Algorithm.STRIPS`, the slow-scan rows that it has, counted from the first that are read.
    entry_ids : ndarray, (frame,), or None
        Numbers of frames without pulse ids in their trains, also where others of these are not read.
    """

    module: int
    module_number: int
    train_ids: NDArray
    pulse_ids: NDArray | None
    cell_ids: NDArray | None
    _arrays: Mapping[str, NDArray] = field(repr=False)
    _valid: Mapping[str, NDArray] = field(repr=False, default_factory=dict)
    _asked: set[str] = field(repr=False, default_factory=set)
    strip: slice | None = None
    entry_ids: NDArray | None = None

    def __getitem__(self, alias: str) -> NDArray:
        return by_alias(self._arrays, alias)

    def valid(self, alias: str) -> NDArray:
        """Return which frames have a value, (frame,) bool, or which pixels, (frame, ss, fs), where integers are masked.

        Missing values and masked pixels of floats are NaN; masked integers keep their value.
        """
        self._asked.add(alias)
        there = self._valid.get(alias)
        return np.ones(len(self[alias]), bool) if there is None else there

    def masked(self, alias: str) -> bool:
        """Return whether `valid` tells masked pixels, since values do not: of integers, or filled with a number."""
        there = self._valid.get(alias)
        return there is not None and there.ndim > 1

    def __len__(self) -> int:
        return len(self.train_ids)


def read_only(values: Any) -> Any:
    """Return a view that cannot be written to: hooks must not change what others read. Scalars stay what they are."""
    if not isinstance(values, np.ndarray):
        return values
    view = values.view()
    view.flags.writeable = False
    return view


def missing_value(dtype: np.dtype) -> Any:
    """Return what stands for a missing value: NaN for floats, 0 for others."""
    return np.nan if dtype.kind in "fc" else 0


def or_nan(value: Any, there: NDArray | np.bool_) -> Any:
    """Return the one value of a train, as NaN if it is a number that is not there: 0 would look like a value."""
    if np.ndim(there) or there or np.asarray(value).dtype.kind not in "iub":
        return value
    return np.full(np.shape(value), np.nan)[()]
