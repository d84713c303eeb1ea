"""Patterns of lit frames: which trains have which, and which of their frames are to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

ROW = 32
"""Memory cells of a row of AGIPD: common mode is of a row."""
SELECT = ("cell", "row", "super", "super-row")
"""Frames with data; rows of cells with one; cells that have data in any train; rows of these."""


@dataclass(frozen=True)
class Range:
    """Trains of one pattern: ``first, first + step, ... last``; `count` are known, `missed` lie between them."""

    pattern: int
    first: int
    last: int
    step: int
    count: int
    missed: int = 0

    @property
    def trains(self) -> NDArray:
        """Ids of all of them."""
        return np.arange(self.first, self.last + 1, self.step, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Patterns:
    """What is known of the frames of trains.

    Parameters
    ----------
    source : str
        What says so.
    train_ids : ndarray of uint64, (train,)
        Trains that something is known of, rising.
    n_frames : ndarray of int, (train,)
        Frames of each.
    n_pulses, has_data : ndarray, (train, frame)
        Of each frame by its number in the train, its memory cell; 0 beyond `n_frames`.
    """

    source: str
    train_ids: NDArray
    n_frames: NDArray
    n_pulses: NDArray
    has_data: NDArray

    @classmethod
    def by_timing(cls, found: Dataset, name: str = "litfrm") -> Patterns:
        """Return those of a result of `LitFrameFinder`."""
        known = found[f"{name}.frames_valid"].values.astype(bool)
        pulses = found[f"{name}.pattern"].values[known]
        frames = found[f"{name}.frames"].values[known].astype(int)
        data, lit = (found[f"{name}.{key}"].values[known] for key in ("data_frames", "lit_frames"))
        # Runs without X-rays: all frames have data, and none is lit, whatever pulses there were.
        dark = ((data == frames) & (lit == 0))[:, None]
        pulses = np.where(dark, 0, pulses)
        trains = found["train"].values[known]
        return cls(name, trains, frames, pulses.astype(int), (pulses > 0) | dark)

    @classmethod
    def by_intensity(cls, found: Dataset, name: str = "litframes") -> Patterns:
        """Return those of a result of `LitFrames`; frames that were not recorded have no data."""
        lit = Grid.lit(found, name)
        known = lit.there.any(axis=1)
        width = np.where(lit.there, np.arange(1, lit.values.shape[1] + 1), 0).max(axis=1, initial=0)
        values = lit.values[known].astype(int)
        return cls(name, lit.train_ids[known], width[known], values, values > 0)

    @cached_property
    def runs(self) -> list[slice]:
        """Stretches of trains with equally many frames."""
        edges = np.flatnonzero(np.diff(self.n_frames)) + 1
        bounds = [0, *edges.tolist(), len(self.n_frames)]
        return [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True) if b > a]

    @cached_property
    def number(self) -> NDArray:
        """Number of the pattern of each train, (train,): counted by the train that first has it, run by run."""
        out = np.zeros(len(self.train_ids), np.int64)
        before = 0
        for run in self.runs:
            _, first, which = np.unique(self.n_pulses[run], axis=0, return_index=True, return_inverse=True)
            order = np.argsort(np.argsort(first))
            out[run] = before + order[which.reshape(-1)]
            before += len(first)
        return out

    @cached_property
    def ranges(self) -> list[Range]:
        """The trains of each pattern."""
        out = []
        for number in range(int(self.number.max(initial=-1)) + 1):
            found = [Range(number, *one) for one in _progressions(self.train_ids[self.number == number])]
            out += _merged(found, self.train_ids)
        return out

    def table(self, most: int = 20) -> list[str]:
        """Return the patterns in lines: trains, how many, missed; pulses, frames with data, frames; which these are."""
        lines = [" # trains                       Ntrn Nmis   Np  Nd  Nf frames with data"]
        for one in self.ranges[:most]:
            at = int(np.searchsorted(self.train_ids, one.first))
            has, frames = self.has_data[at], int(self.n_frames[at])
            span = f"{one.first}:{one.last + 1}" + (f":{one.step}" if one.step > 1 and one.count > 1 else "")
            lines.append(
                f"{one.pattern:2d} {span:27s} {one.count:5d} {one.missed:4d} {self.n_pulses[at].sum():4d} "
                f"{has.sum():3d} {frames:3d} [{', '.join(slices(np.flatnonzero(has)))}]"
            )
        if (more := len(self.ranges) - most) > 0:
            lines.append(f"   and {more} more")
        return lines

    def sample(self, most: int) -> NDArray:
        """Return the ids of some trains of each pattern, (train,), evenly over those that have it."""
        chosen = []
        for number in range(int(self.number.max(initial=-1)) + 1):
            mine = self.train_ids[self.number == number]
            chosen.append(
                mine[np.unique(np.linspace(0, len(mine) - 1, min(most, len(mine))).round().astype(int))]
            )
        return np.sort(np.concatenate(chosen)) if chosen else self.train_ids[:0]

    def with_missed(self) -> Patterns:
        """Return the same, where trains within a range have its pattern."""
        guessed = [(one, np.setdiff1d(one.trains, self.train_ids)) for one in self.ranges if one.missed]
        trains = np.concatenate([self.train_ids, *(ids for _, ids in guessed)]).astype(np.uint64)
        at = [np.full(len(ids), np.searchsorted(self.train_ids, one.first)) for one, ids in guessed]
        rows = np.concatenate([np.arange(len(self.train_ids)), *at]).astype(int)
        # A train that lies in two ranges takes the pattern of the first.
        trains, first = np.unique(trains, return_index=True)
        rows = rows[first]
        return Patterns(self.source, trains, self.n_frames[rows], self.n_pulses[rows], self.has_data[rows])

    def kept(
        self,
        select: str = "cell",
        *,
        cells: slice | None = None,
        margin: int = 0,
        bright: NDArray | None = None,
        keep_empty: bool = False,
    ) -> NDArray:
        """Return which frames are to be kept, (train, frame) bool.

        Parameters
        ----------
        select : {"cell", "row", "super", "super-row"}
        cells : slice, optional
            Only these.
        margin : int
            Frames before and after that are kept, too.
        bright : ndarray of bool, (train, frame), optional
            Those whose energy is high enough.
        keep_empty : bool
            Keep all frames of trains that have none with data.
        """
        width = self.has_data.shape[1]
        numbers = np.arange(width)
        within = numbers < self.n_frames[:, None]
        allowed = np.zeros(width, bool)
        allowed[slice(None) if cells is None else cells] = True
        keep = self.has_data & allowed & within & (True if bright is None else bright)
        empty = ~keep.any(axis=1)
        keep = _widened(keep, margin) & within
        if select.startswith("super"):
            for run in self.runs:
                keep[run] = keep[run].any(axis=0)
        if select.endswith("row"):
            starts = np.arange(0, width, ROW)
            keep = np.repeat(np.logical_or.reduceat(keep, starts, axis=1), ROW, axis=1)[:, :width]
        keep[empty] = keep_empty
        return keep & within


@dataclass(frozen=True, eq=False)
class Grid:
    """Values of frames by train and number in the train: `values`, `there`, (train, frame); `train_ids`, (train,)."""

    train_ids: NDArray
    values: NDArray
    there: NDArray

    @classmethod
    def of(cls, array: DataArray, valid: Any = None) -> Grid:
        """Return an output per frame: by memory cell, or by entry where frames have no pulse ids."""
        trains, number = numbered(array)
        ids, at = np.unique(trains, return_inverse=True)
        shape = len(ids), int(number.astype(np.int64).max(initial=-1)) + 1
        values, there = np.zeros(shape, array.dtype), np.zeros(shape, bool)
        values[at, number] = array.values
        there[at, number] = True if valid is None else valid.values
        return cls(ids, values, there)

    @classmethod
    def lit(cls, found: Dataset, name: str = "litframes") -> Grid:
        """Return the lit frames of a result of `LitFrames`."""
        return cls.of(found[f"{name}.lit"], found.get(f"{name}.lit_valid"))

    def among(self, train_ids: NDArray, width: int) -> Grid:
        """Return the same for other trains and as many frames; what it does not have is not there."""
        out = Grid(
            train_ids,
            np.zeros((len(train_ids), width), self.values.dtype),
            np.zeros((len(train_ids), width), bool),
        )
        _, mine, theirs = np.intersect1d(self.train_ids, train_ids, return_indices=True)
        n = min(width, self.values.shape[1])
        out.values[theirs, :n], out.there[theirs, :n] = self.values[mine, :n], self.there[mine, :n]
        return out


def numbered(array: DataArray) -> tuple[NDArray, NDArray]:
    """Return the train and the number in its train of each frame of an output, (frame,)."""
    ids = {}
    for name in ("train_id", "pulse_id", "cell_id", "entry_id"):
        found = [
            c for label, c in array.coords.items() if str(label) == name or str(label).endswith(f"_{name}")
        ]
        if found:
            ids[name] = found[0].values
    if "pulse_id" in ids and "cell_id" in ids:
        return ids["train_id"], ids["cell_id"]
    if "entry_id" in ids:
        return ids["train_id"], ids["entry_id"]
    # One frame per train.
    return ids["train_id"], ids.get("pulse_id", np.zeros(len(ids["train_id"]))) * 0


def _widened(keep: NDArray, margin: int) -> NDArray:
    """Return what is kept with as many frames before and after."""
    out = keep.copy()
    for step in range(1, margin + 1):
        out[:, step:] |= keep[:, :-step]
        out[:, :-step] |= keep[:, step:]
    return out


def _progressions(ids: NDArray) -> Iterator[tuple[int, int, int, int]]:
    """Yield first, last, step and count of rising ids, as long stretches of equal steps as there are.

    An id alone has step 1, but the last one may go on with the stretch before it, and has the step of that.
    """
    values = [int(one) for one in ids]
    start, step = 0, 1
    while start < len(values):
        if start + 1 == len(values):
            yield values[start], values[start], step, 1
            return
        step, end = values[start + 1] - values[start], start + 1
        while end + 1 < len(values) and values[end + 1] - values[end] == step:
            end += 1
        # Two alone make no stretch: the second may begin one.
        if end == start + 1 and end + 1 < len(values):
            yield values[start], values[start], 1, 1
            start = end
            continue
        yield values[start], values[end], step, end - start + 1
        start = end + 1


def _merged(ranges: list[Range], known: NDArray) -> list[Range]:
    """Return ranges joined where they have one step, and only trains that nothing is known of lie between."""
    out: list[Range] = []
    for one in ranges:
        while out and (joined := _joined(out[-1], one, known)):
            one = joined
            out.pop()
        out.append(one)
    return out


def _joined(a: Range, b: Range, known: NDArray) -> Range | None:
    """Return two ranges as one, None if they are not."""
    step = a.step
    if step != b.step or (b.first - a.last) % step:
        return None
    between = np.arange(a.last + step, b.first, step, dtype=np.uint64)
    if np.isin(between, known).any():
        return None
    missed = a.missed + b.missed + len(between)
    return Range(a.pattern, a.first, b.last, step, a.count + b.count, missed)


def slices(numbers: NDArray) -> list[str]:
    """Return frames as ``0:10``, ``3:40:4`` and single ones."""
    out = []
    for first, last, step, count in _progressions(numbers):
        if count <= 2 and (count == 1 or step > 1):
            out += [str(first)] if count == 1 else [str(first), str(last)]
        else:
            out.append(f"{first}:{last + 1}" + (f":{step}" if step > 1 else ""))
    return out
