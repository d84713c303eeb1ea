"""Rows that hooks append to ``per="event"`` outputs, in the order of trains and frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .fitting import fitting


class Events:
    """Rows of a ``per="event"`` output, in the order they were appended."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, name: str = "") -> None:
        self.shape, self.dtype, self.name = tuple(shape), np.dtype(dtype), name
        self.rows: list[NDArray] = []
        self.trains: list[NDArray] = []
        self.frames: list[NDArray] = []

    def add(self, rows: ArrayLike, trains: NDArray, frames: NDArray) -> None:
        """Add rows of `shape` with the position of their train and frame (-1: none) in the chunk."""
        self.rows.append(np.array(rows, self.dtype).reshape(len(trains), *self.shape))
        self.trains.append(trains)
        self.frames.append(frames)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.rows))

    @staticmethod
    def names(output: str) -> tuple[str, str, str]:
        """Return what the rows of an output, their trains and their frames are called in fragments."""
        return f"{output}/rows", f"{output}/trains", f"{output}/frames"

    def sorted(self) -> tuple[NDArray, NDArray, NDArray]:
        """Return rows, train positions and frame positions by train and frame, ties as appended."""
        if not self.rows:
            none = np.zeros(0, np.int64)
            return np.zeros((0, *self.shape), self.dtype), none, none
        rows, trains, frames = map(np.concatenate, (self.rows, self.trains, self.frames))
        order = np.lexsort((frames, trains))
        return rows[order], trains[order], frames[order]


class EventView:
    """Where a hook adds events: knows the train or block they belong to.

    Parameters
    ----------
    frame_trains : ndarray of int, (frame,)
        Position in the chunk of the train of each frame that the hook sees.
    first_frame : int
        Position in the chunk of the first of these frames.
    train : int or None
        Position of the train, in `process_train_data`.
    """

    def __init__(self, events: Events, frame_trains: NDArray, first_frame: int, train: int | None) -> None:
        self._events, self._frame_trains = events, frame_trains
        self._first_frame, self._train = first_frame, train

    def append(self, rows: ArrayLike, frames: ArrayLike | None = None) -> None:
        """Add rows.

        Parameters
        ----------
        rows : array, (event, *shape)
        frames : array of int, (event,), optional
            Which frame of the train or block each row belongs to. Needed in `process_module_data`.

        Raises
        ------
        ValueError
            If rows have another shape, or frames are not one for each row, of those that are there.
        """
        values = self._rows(rows)
        n = len(values)
        if frames is None:
            if self._train is None:
                raise ValueError("events of a module block need frames=, the frame of the block of each row")
            self._events.add(values, np.full(n, self._train), np.full(n, -1))
        else:
            which = self._frames(frames, n)
            self._events.add(values, self._frame_trains[which], which + self._first_frame)

    def _rows(self, rows: ArrayLike) -> NDArray:
        """Return rows as an array that has the shape of the output."""
        values, shape = fitting(self._events.name, rows, self._events.dtype), self._events.shape
        if not values.shape or values.shape == (0,):
            values = values.reshape(values.size, *shape) if not shape or not values.size else values
        if values.shape[1:] != shape or not values.ndim:
            want = ", ".join(map(str, ("event", *shape)))
            one = "; one row is append([row]), or row[None]" if values.shape == shape else ""
            raise ValueError(
                f"append: rows of shape {values.shape}; expected ({want}) as this output is declared{one}"
            )
        return values

    def _frames(self, frames: ArrayLike, rows: int) -> NDArray:
        """Return the frame of each row, checked."""
        which, there = np.asarray(frames, np.int64), len(self._frame_trains)
        if which.shape not in ((), (rows,)):
            raise ValueError(
                f"append: frames of shape {which.shape}; expected one number for each of {rows} rows"
            )
        if which.size and not 0 <= which.min() <= which.max() < there:
            raise ValueError(
                f"append: frames from {which.min()} to {which.max()}; expected positions in this train or block, "
                f"0 to {there - 1}"
            )
        return np.broadcast_to(which, rows)
