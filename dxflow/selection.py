"""Which frames of a run are read at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .index import EntryIndex

if TYPE_CHECKING:
    from xarray import DataArray

Which = slice | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class FrameSelection:
    """A rule that says for each frame whether it is read; all given parts must agree.

    Parameters
    ----------
    pulses, cells, trains : slice, sequence of int or None
        Pulse ids, memory cells, train ids. A slice is a half-open range of ids, not of positions.
    frames : (train_ids, pulse_ids), each (frame,), optional
        Exactly these frames.
    mask : ndarray of bool, (frame,), optional
        One value per frame of the run, in the order of trains and pulses.
    """

    pulses: Which = None
    cells: Which = None
    trains: Which = None
    frames: tuple[NDArray, NDArray] | None = None
    mask: NDArray | None = None

    @classmethod
    def of(cls, frames: Any) -> FrameSelection | None:
        """Make a selection of what a user may give.

        Parameters
        ----------
        frames : None, FrameSelection, boolean array, xarray.DataArray or Result
            A labelled boolean array selects by its ``train_id`` and ``pulse_id`` coordinates; a plain one
            by position. Of a `Result`, the output that its algorithm declares in ``SELECTS`` is taken.
        """
        if frames is None or isinstance(frames, cls):
            return frames
        if hasattr(frames, "selection"):
            frames = frames.selection()
        if hasattr(frames, "coords"):
            return cls._of_labelled(frames)
        mask = np.asarray(frames)
        if mask.dtype != bool or mask.ndim != 1:
            raise TypeError(
                f"frames: expected a FrameSelection, a Result of a selecting algorithm or a boolean array with "
                f"one value per frame, got {type(frames).__name__} of {mask.dtype}, shape {mask.shape}"
            )
        return cls(mask=mask)

    @classmethod
    def _of_labelled(cls, array: DataArray) -> FrameSelection:
        """Select the frames where a labelled boolean array is true."""
        if array.dtype != bool:
            raise TypeError(f"frames: a labelled array of {array.dtype} was given; compare it first (x > 3)")
        try:
            labels = np.asarray(array.coords["train_id"]), np.asarray(array.coords["pulse_id"])
        except KeyError:
            raise KeyError(
                f"frames: the array has coordinates {sorted(map(str, array.coords))}; train_id and pulse_id are needed"
            ) from None
        keep = np.asarray(array)
        return cls(frames=(labels[0][keep], labels[1][keep]))

    def apply(self, index: EntryIndex) -> NDArray:
        """Return which rows of the index are selected, (row,) bool."""
        labels = index.labels(slice(0, len(index)))
        keep = np.ones(len(index), bool)
        for name, which in (("train_id", self.trains), ("pulse_id", self.pulses), ("cell_id", self.cells)):
            if which is not None:
                keep &= _among(_label(labels, name), which)
        if self.frames is not None:
            keep &= _pairs(labels["train_id"], _label(labels, "pulse_id"), self.frames)
        if self.mask is not None:
            keep &= self._mask_for(index)
        return keep

    def _mask_for(self, index: EntryIndex) -> NDArray:
        """Return the mask if it fits."""
        assert self.mask is not None
        if len(self.mask) != len(index):
            raise ValueError(
                f"frames: a boolean array of {len(self.mask)} was given, but there are {len(index)} frames"
            )
        return self.mask


def _label(labels: dict[str, NDArray], name: str) -> NDArray:
    if name not in labels:
        raise ValueError(f"frames: selection by {name}, but these frames only have {sorted(labels)}")
    return labels[name]


def _among(values: NDArray, which: slice | Sequence[int]) -> NDArray:
    """Return where values lie in a half-open range or a list of ids."""
    if not isinstance(which, slice):
        return np.isin(values, np.asarray(which))
    start = 0 if which.start is None else which.start
    keep = values >= start
    if which.stop is not None:
        keep &= values < which.stop
    step = 1 if which.step is None else which.step
    return keep & ((values - np.uint64(start)) % np.uint64(step) == 0)


def _pairs(trains: NDArray, pulses: NDArray, wanted: tuple[ArrayLike, ArrayLike]) -> NDArray:
    """Return where (train, pulse) is one of the wanted pairs."""

    # Pulse ids are below 2**13 and train ids below 2**40, so that a pair fits one integer.
    def join(t: ArrayLike, p: ArrayLike) -> NDArray:
        return (np.asarray(t, np.uint64) << np.uint64(16)) | np.asarray(p, np.uint64)

    return np.isin(join(trains, pulses), join(*wanted))
