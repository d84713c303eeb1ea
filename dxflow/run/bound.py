"""Inputs after binding: where they are in the files, and which entries they have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .findings import Faults
from .index import EntryIndex
from .info import InputInfo
from .joined import Joined
from .locate import Location
from .losses import Loss
from .masks import BoundMask

if TYPE_CHECKING:
    from extra_data import DataCollection


@dataclass(frozen=True, eq=False, repr=False)
class BoundInput:
    """An input after binding: where it is in the files, and which entries it has.

    `kind` is "frames" (multi-module detector), "key" (instrument source), "control" (one value per train), or "pulses"
    (one value per frame: `PulseKey`, `Labels`).
    """

    declared: Any
    """What was asked for: an `Input`, or `Labels`."""
    name: str
    key: str
    kind: str
    modules: tuple[int, ...]
    location: Location
    index: EntryIndex
    mask: BoundMask | None = None
    masked: str = ""
    """In words which mask it has, or why it has none; "" for what is no image."""
    parts: tuple[BoundInput, ...] = ()
    """Inputs that it is made of, where it is not read as it is."""
    raw: bool = False
    """Whether it is raw data of a detector."""
    composed: bool = False
    """Whether its values are made of those of its parts, by `Composed.compose` of what was declared."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the run says of it beside the data, as plain values."""
    joined: Joined | None = None
    """Of `Labels`: the values of all rows; nothing is read of the run."""

    @property
    def title(self) -> str:
        """Its name and key."""
        return f"{self.name} {self.key}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(module, ss, fs), or (1, ...) for a key."""
        return (len(self.modules), *self.location.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.location.dtype

    @property
    def frame_bytes(self) -> int:
        """Bytes of one entry of one module."""
        return math.prod(self.location.shape) * self.dtype.itemsize

    @property
    def keeps_valid(self) -> bool:
        """Whether its valid pixels are kept beside the values: of integers, or of floats filled with a number."""
        return self.mask is not None and self.mask.kept

    def __repr__(self) -> str:
        return repr(self.info())

    def info(self) -> InputInfo:
        """Return what algorithms are told of it."""
        index = self.index
        return InputInfo(
            name=self.name,
            key=self.key,
            kind=self.kind,
            modules=self.modules,
            sources=self.location.sources,
            shape=self.shape,
            dtype=self.dtype,
            unit=self.location.unit,
            frames=len(index),
            max_per_train=int(index.counts.max(initial=0)),
            pulses=np.unique(index.pulse_ids) if index.pulse_ids is not None else np.zeros(0, np.uint32),
            cells=np.unique(index.cell_ids) if index.cell_ids is not None else np.zeros(0, np.uint32),
            roi=self.location.roi,
            data=("raw" if self.raw else "corrected") if self.kind == "frames" else "",
            values=None if self.joined is None else np.unique(self.joined.values[self.joined.there]),
            facts=self.facts,
            entries=np.zeros(0, np.uint32) if index.pulse_ids is not None else np.unique(index.entry_ids),
        )


class Input(Protocol):
    """The seam for other kinds of input: anything that binds to a run."""

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find it in a run; faults that can be masked go to `faults`, others are raised."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some neighbouring trains of an input: those at positions ``first:last``, and its rows of them."""

    bound: BoundInput
    rows: slice
    first: int
    last: int
    train_ids: NDArray
    """Of these trains."""

    @property
    def trains(self) -> int:
        """How many."""
        return self.last - self.first


class Composed(Protocol):
    """An input whose values are made of those of others, its parts."""

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return its values, (row, ...), which are there, (row,), and what was lost.

        Parameters
        ----------
        parts : sequence of (values, there)
            The first entry of each train, (train, ...), and whether there is one, (train,).
        at : Stretch
        """


def leaves(bound: BoundInput) -> list[BoundInput]:
    """Return what is read of an input: itself, or its parts and theirs."""
    return [one for part in bound.parts for one in leaves(part)] or [bound]


def train_bytes(bound: BoundInput) -> NDArray:
    """Return the bytes that are read of an input in each train, all modules, (train,)."""
    return bound.index.counts * (bound.frame_bytes * len(bound.modules) * (bound.joined is None))


def bytes_spared(bound: BoundInput) -> int:
    """Return the bytes of frames and pixels of an input's modules that are not read."""
    at = bound.location
    if bound.composed or bound.joined is not None:
        return 0
    item = at.dtype.itemsize
    all_frames = int(at.count.sum()) * at.per_entry
    wanted = int((bound.index.entry >= 0).sum()) * (len(bound.modules) if len(bound.index.entry) == 1 else 1)
    whole, part = (int(np.prod(shape, dtype=np.int64)) * item for shape in (at.stored, at.shape))
    return all_frames * whole - wanted * part


def present(bound: BoundInput, module: int, rows: slice) -> NDArray:
    """Return which rows a module has, (row,) bool; of what is in no file, those that its index says."""
    trains = bound.index.train_positions(rows)
    if not bound.location.files:
        return bound.index.entries(module, rows) >= 0
    return (bound.index.entries(module, rows) >= 0) & (bound.location.file[module, trains] >= 0)
