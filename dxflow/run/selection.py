"""Which frames of a run are read at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import html
from ..errors import PlanError
from ..errors.kinds import flat, shown
from ..html import bars
from .index import EntryIndex
from .losses import ranges
from .variants import refuse_several

if TYPE_CHECKING:
    from xarray import DataArray

Which = slice | Sequence[int] | NDArray | None
# Arrays after the checks of the constructor.
Pairs = tuple[NDArray, NDArray] | tuple[Sequence[int], Sequence[int]] | None
PLURAL = {"train_id": "trains", "pulse_id": "pulses", "cell_id": "cells", "entry_id": "entries"}
FEW = 4
"""Stretches of ids that a message lists."""
BEYOND = 2**62
"""All ids are below."""


@dataclass(frozen=True)
class First:
    """The first trains of a run, ``FrameSelection(trains=First(200))``: so many, whatever their ids are."""

    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or self.count < 0:
            raise ValueError(f"trains={self.count!r}: expected how many from the start, or ids")

    def ids(self, trains: NDArray) -> slice:
        """Return the range of ids that these are, of all trains of a run.

        Raises
        ------
        PlanError
            If the run has fewer, and the number is the id of one of them, which may be meant.
        """
        if len(trains) < self.count and self.count in trains:
            raise PlanError(
                f"trains={self.count}: a number alone is how many from the start, and this run has {len(trains)}; "
                f"the train with this id is ={self.count}, a range of ids {self.count}:{self.count + 1}"
            )
        last = trains[: self.count][-1:]
        return slice(int(trains[0]), int(last[0]) + 1) if len(last) else slice(0, 0)


@dataclass(frozen=True, eq=False)
class FrameSelection:
    """A rule that says for each frame whether it is read; all given parts must agree.

    Parameters
    ----------
    pulses, cells, trains : slice, sequence of int or None
        Pulse ids, memory cells, train ids (of trains also ``First(200)``, the first of the run). A slice is a
        half-open range of ids, not of positions; with a step, every n-th id from its start (from 0 where it has none).
    frames : (train_ids, pulse_ids), each (frame,), optional
        Exactly these frames.
    mask : ndarray of bool, (frame,), optional
        One value per frame of the run, in the order of trains and pulses.
    entries : (train_ids, entry_ids), each (frame,), optional
        Exactly these, of frames without pulse ids (cameras, JUNGFRAU): an entry id is the number in the train.
    also : tuple of FrameSelection
        Others that must agree.
    in_cells : (train_ids, cell_ids), each (frame,), optional
        Exactly the frames in these memory cells.
    """

    pulses: Which = None
    cells: Which = None
    trains: Which | First = None
    frames: Pairs = None
    mask: NDArray | None = None
    entries: Pairs = None
    also: tuple[FrameSelection, ...] = ()
    in_cells: Pairs = None

    def __post_init__(self) -> None:
        for name in ("pulses", "cells", "trains"):
            object.__setattr__(self, name, checked(name, getattr(self, name)))
        for name in ("frames", "entries", "in_cells"):
            object.__setattr__(self, name, _checked_pairs(name, getattr(self, name)))
        object.__setattr__(self, "mask", _checked_mask(self.mask))
        if not isinstance(self.also, tuple) or not all(isinstance(one, FrameSelection) for one in self.also):
            raise TypeError(f"frames: also={shown(self.also)}: expected a tuple of FrameSelection")

    @classmethod
    def of(cls, frames: Any) -> FrameSelection | None:
        """Make a selection of what a user may give.

        Parameters
        ----------
        frames : None, FrameSelection, boolean array, xarray.DataArray, Result, or a list of these
            A labelled boolean array selects by its ``train_id`` and ``pulse_id`` (or ``entry_id``) coordinates, one
            with a value per train whole trains; a plain one by position. Of a `Result`, the output that its algorithm
            declares in ``SELECTS`` is taken. Of a list, all must agree.
        """
        if frames is None or isinstance(frames, cls):
            return frames
        if hasattr(frames, "selection"):
            frames = frames.selection()
        if hasattr(frames, "coords"):
            return cls._of_labelled(frames)
        if isinstance(frames, (list, tuple)) and not all(isinstance(f, (bool, np.bool_)) for f in frames):
            return cls(also=tuple(one for f in frames if (one := cls.of(f)) is not None))
        if isinstance(frames, (str, os.PathLike)):
            raise TypeError(
                f"frames={str(frames)!r}: expected a FrameSelection, such as FrameSelection(pulses=slice(0, 32)), or a "
                "Result of a selecting algorithm, such as dxflow.open(path); texts are for the command line"
            )
        mask = flat(frames, "frames=", "a FrameSelection, a Result or booleans")
        if mask.dtype != bool or mask.ndim != 1:
            raise TypeError(
                f"frames: expected a FrameSelection, a Result of a selecting algorithm or a boolean array with "
                f"one value per frame, got {type(frames).__name__} of {mask.dtype}, shape {mask.shape}"
            )
        return cls(mask=mask)

    @classmethod
    def _of_labelled(cls, array: DataArray) -> FrameSelection:
        """Select the frames, or trains, where a labelled boolean array is true."""
        refuse_several(array, f"frames: {array.name or 'the array'}")
        if array.dtype != bool or array.ndim != 1:
            raise TypeError(
                f"frames: a labelled array of {array.dtype} with axes {array.dims} was given; expected booleans along "
                "one axis: compare it first (x > 3)"
            )
        keep = np.asarray(array)
        if (trains := _ids(array, "train_id", "train")) is None:
            raise KeyError(
                f"frames: the array has coordinates {sorted(map(str, array.coords))}; train_id and pulse_id are needed"
            )
        for label, name in (("pulse_id", "frames"), ("entry_id", "entries")):
            if (ids := _ids(array, label)) is not None:
                chosen: dict[str, Any] = {name: (trains[keep], ids[keep])}
                return cls(**chosen)
        return cls(trains=trains[keep])

    def of_run(self, trains: NDArray) -> Self:
        """Return the same with the ids of trains that are counted from the start, of all trains of a run."""
        which = self.trains.ids(trains) if isinstance(self.trains, First) else self.trains
        return replace(self, trains=which, also=tuple(one.of_run(trains) for one in self.also))

    def only_trains(self) -> FrameSelection:
        """Return what it says of trains alone."""
        return FrameSelection(trains=self.trains, also=tuple(one.only_trains() for one in self.also))

    def apply(self, index: EntryIndex) -> NDArray:
        """Return which rows of the index are selected, (row,) bool."""
        labels = index.labels(slice(0, len(index)))
        keep = np.logical_and.reduce([np.ones(len(index), bool), *(one.apply(index) for one in self.also)])
        for name, which in (("train_id", self.trains), ("pulse_id", self.pulses), ("cell_id", self.cells)):
            if which is not None:
                keep &= among(_label(labels, name), which)
        if self.frames is not None:
            keep &= _pairs(labels["train_id"], _label(labels, "pulse_id"), self.frames)
        if self.entries is not None:
            keep &= _pairs(labels["train_id"], _entries(index), self.entries)
        if self.in_cells is not None:
            keep &= _pairs(labels["train_id"], _label(labels, "cell_id"), self.in_cells)
        if self.mask is not None:
            keep &= self._mask_for(index)
        return keep

    def absent(self, index: EntryIndex) -> NDArray:
        """Return the trains of frames and trains that are named one by one and are not there, (frame or train,)."""
        trains = index.labels(slice(0, len(index)))["train_id"]
        entries = index.entry_ids if index.pulse_ids is None else None
        named = ((self.frames, index.pulse_ids), (self.entries, entries))
        out = [np.zeros(0, np.uint64), *(one.absent(index) for one in self.also)]
        for wanted, ids in named:
            if wanted is not None and ids is not None:
                out.append(
                    np.asarray(wanted[0])[
                        ~_pairs(np.asarray(wanted[0]), np.asarray(wanted[1]), (trains, ids))
                    ]
                )
        if self.trains is not None and not isinstance(self.trains, slice):
            out.append(np.setdiff1d(np.asarray(self.trains).astype(np.uint64), index.train_ids))
        return np.concatenate(out)

    def _repr_html_(self) -> str:
        rows = list(self._said())
        drawn = ""
        if self.mask is not None and len(self.mask):
            many = int(self.mask.sum())
            parts = [bars.Part("read", many, f"{many}", bars.GREEN)]
            drawn = bars.told(parts, len(self.mask))
        return html.table("FrameSelection", rows or [("", "all frames")], "all of this must hold") + drawn

    def _said(self) -> Iterator[tuple[str, str]]:
        """Yield what is selected, (label, words)."""
        for name in ("pulses", "cells", "trains"):
            if (which := getattr(self, name)) is not None:
                yield name, f"the first {which.count}" if isinstance(which, First) else _ids_said(which)
        for name, pairs, ids in (
            ("frames", self.frames, "pulses"),
            ("entries", self.entries, "entries"),
            ("in cells", self.in_cells, "cells"),
        ):
            if pairs is not None:
                trains = np.unique(np.asarray(pairs[0]))
                yield (
                    name,
                    f"{len(pairs[0])}, named by trains and {ids}, of {len(trains)} trains: {_listed(trains)}",
                )
        if self.mask is not None:
            yield "mask", f"{int(self.mask.sum())} of {len(self.mask)} frames"
        for n, one in enumerate(self.also):
            yield from ((f"also {n + 1}: {label}", said) for label, said in one._said())

    def _mask_for(self, index: EntryIndex) -> NDArray:
        """Return the mask if it fits."""
        assert self.mask is not None
        if len(self.mask) != len(index):
            raise ValueError(
                f"frames: a boolean array of {len(self.mask)} was given, but there are {len(index)} frames"
            )
        return self.mask


def _ids_said(which: slice | Sequence[int] | NDArray) -> str:
    """Return ids as a user would write them."""
    if isinstance(which, slice):
        last = "the last" if which.stop is None else f"{which.stop - 1}"
        step = f", each {which.step}." if which.step not in (None, 1) else ""
        return f"{which.start or 0} to {last}{step}"
    return _listed(np.atleast_1d(np.asarray(which))) if np.size(which) else "none"


def _label(labels: dict[str, NDArray], name: str) -> NDArray:
    if name not in labels:
        raise ValueError(f"frames: selection by {name}, but these frames only have {sorted(labels)}")
    return labels[name]


def _entries(index: EntryIndex) -> NDArray:
    """Return the numbers of frames in their trains, where these tell them apart."""
    if index.pulse_ids is not None:
        raise ValueError("frames: selection by entry_id, but these frames have pulse ids; select by these")
    return index.entry_ids


def none_of(index: EntryIndex) -> str:
    """Say that a selection leaves nothing of some frames, and which there are."""
    labels = index.labels(slice(0, len(index)))
    there = (f"{PLURAL[name]} {_listed(ids)}" for name, ids in labels.items())
    return f"the selection leaves none of its frames; there are {', '.join(there)}"


def _listed(ids: NDArray) -> str:
    """Return ids as a few ranges, or how many there are from where to where."""
    found = np.unique(ids).tolist()
    said = ranges(found)
    return said if said.count(",") < FEW else f"{found[0]} to {found[-1]} ({len(found)} of them)"


def _ids(array: DataArray, *names: str) -> NDArray | None:
    """Return the labels of this name; of frames that are not the first of a result it ends that of the coordinate."""
    for name, values in array.coords.items():
        if any(str(name) == n or str(name).endswith(f"_{n}") for n in names):
            return np.asarray(values)
    return None


def checked(name: str, which: Any) -> Any:
    """Return ids as they were given, or say why they select nothing sensible."""
    if which is None or (name == "trains" and isinstance(which, First)):
        return which
    what = f"frames: {name} {_text(which)}: expected"
    if isinstance(which, slice):
        parts = (which.start, which.stop, which.step)
        if not all(p is None or isinstance(p, (int, np.integer)) for p in parts):
            raise TypeError(f"{what} whole numbers, slice(first, stop, step)")
        if any(p is not None and p < 0 for p in parts) or which.step == 0:
            raise ValueError(f"{what} a range of ids, which are not negative, with a step of at least 1")
        return which
    ids = flat(which, f"frames: {name}=", "a slice or a list of ids")
    if ids.ndim > 1:
        raise TypeError(f"{what} a slice or a list of ids, got an array of shape {ids.shape}")
    if ids.size and ids.dtype.kind not in "iu":
        booleans = "; booleans, one per frame, are a mask=" if ids.dtype == bool else ""
        raise TypeError(f"{what} a slice or a list of ids, got {ids.dtype}{booleans}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"{what} ids, which are not negative")
    return which if np.ndim(which) == ids.ndim else ids


def _text(which: Any) -> str:
    """Return what was given in one line."""
    if isinstance(which, slice):
        return ":".join("" if p is None else str(p) for p in (which.start, which.stop, which.step))
    text = str(which)
    return text if len(text) < 60 else f"{text[:50]}..."


def _checked_pairs(name: str, pairs: Any) -> tuple[NDArray, NDArray] | None:
    """Return (train ids, other ids) as arrays, or say what is wrong with them."""
    if pairs is None:
        return None
    words = "a pair, (train ids, ids of frames)"
    # An array without axes has no length.
    listed = isinstance(pairs, (tuple, list)) or (isinstance(pairs, np.ndarray) and pairs.ndim > 0)
    if not listed or len(pairs) != 2:
        raise TypeError(f"frames: {name}={shown(pairs)}: expected {words}")
    trains, ids = (flat(p, f"frames: {name}=", words).reshape(-1) for p in pairs)
    if len(trains) != len(ids) or any(
        len(a) and (a.dtype.kind not in "iu" or a.min() < 0) for a in (trains, ids)
    ):
        raise ValueError(
            f"frames: {name}= has {len(trains)} {trains.dtype} and {len(ids)} {ids.dtype}; expected as many train ids "
            "as ids of frames, whole numbers from 0"
        )
    return trains.astype(np.uint64), ids.astype(np.uint64)


def _checked_mask(mask: Any) -> NDArray | None:
    """Return a mask as an array, or say what is wrong with it."""
    if mask is None:
        return None
    found = flat(mask, "frames: mask=", "booleans, one per frame")
    if found.ndim != 1 or (found.size and found.dtype != bool):
        raise TypeError(f"frames: mask={shown(mask)}: expected booleans, one per frame")
    return found.astype(bool)


def among(values: NDArray, which: Any) -> NDArray:
    """Return where values lie in a half-open range or a list of ids."""
    if not isinstance(which, slice):
        return np.isin(values.astype(np.uint64), np.asarray(which).astype(np.uint64))
    start = min(int(which.start or 0), BEYOND)
    ids, stop = values.astype(np.int64), BEYOND if which.stop is None else min(int(which.stop), BEYOND)
    return (ids >= start) & (ids < stop) & ((ids - start) % min(int(which.step or 1), BEYOND) == 0)


def _pairs(trains: NDArray, ids: NDArray, wanted: Any) -> NDArray:
    """Return where (train, id) is one of the wanted pairs."""
    # Ids of frames are below 2**32; with the position of the train rather than its id, a pair fits one integer.
    known, position = np.unique(trains, return_inverse=True)
    if not len(known):
        return np.zeros(0, bool)
    at = np.minimum(np.searchsorted(known, wanted[0]), len(known) - 1)
    there = (known[at] == wanted[0]) & (wanted[1] < 2**32)
    return np.isin(_joined(position, ids), _joined(at[there], wanted[1][there]))


def _joined(high: NDArray, low: NDArray) -> NDArray:
    return (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
