"""Reused buffers that reader threads fill ahead while the ones before are worked on."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Step = TypeVar("Step")

PAGE = 4096
NEAR = 16
"""Copying to an address that is up to so many bytes after its source, both counted from their pages, is slow."""
ROOM = 192
"""Bytes that an array in a buffer may take beyond its own, with a smaller one after it."""


class Ring(Generic[Step]):
    """Iterate over steps whose data threads have read, in order.

    The threads are no daemons: a daemon inside HDF5 keeps the interpreter from ending. They are joined
    when the ``with`` block ends, for whatever reason, and stop after the step they are reading.

    Parameters
    ----------
    steps : sequence
    fill : callable
        ``fill(step, buffer)`` reads a step into a buffer and returns what the consumer gets; runs in the threads.
    buffers : sequence of ndarray of uint8
        One more than threads at least; with one more still, no thread waits while a buffer is worked on.
    threads : int
        0: read in the consumer's thread, into the first buffer. Best where data are in memory and all cores work.

    Attributes
    ----------
    read_seconds, wait_seconds : float
        How long threads were reading, and how long the consumer waited for data.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        fill: Callable[[Step, NDArray], Any],
        buffers: Sequence[NDArray],
        threads: int = 1,
    ) -> None:
        if len(buffers) <= threads:
            raise ValueError(f"{threads} reader threads need {threads + 1} buffers, got {len(buffers)}")
        self._steps, self._fill = steps, fill
        self._free = list(buffers)
        self._ready: dict[int, tuple[Any, NDArray | None, BaseException | None]] = {}
        self._next = 0
        self._stopped = False
        # One lock for the few small things above; whoever changes them wakes the others.
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, name=f"dxflow-reader-{n}") for n in range(threads)
        ]
        self.read_seconds = self.wait_seconds = 0.0

    def __enter__(self) -> Ring[Step]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[tuple[Step, Any]]:
        return self._from_threads() if self._threads else self._inline()

    def _inline(self) -> Iterator[tuple[Step, Any]]:
        """Read each step when it is asked for."""
        for step in self._steps:
            start = perf_counter()
            filled = self._fill(step, self._free[0])
            self.read_seconds += perf_counter() - start
            self.wait_seconds = self.read_seconds
            yield step, filled

    def _from_threads(self) -> Iterator[tuple[Step, Any]]:
        """Take each step when it is ready; give its buffer back when the next is asked for."""
        for number, step in enumerate(self._steps):
            start = perf_counter()
            with self._changed:
                while number not in self._ready:
                    self._changed.wait()
                filled, buffer, error = self._ready.pop(number)
            self.wait_seconds += perf_counter() - start
            if error is not None:
                raise error
            assert buffer is not None
            yield step, filled
            with self._changed:
                self._free.append(buffer)
                self._changed.notify_all()

    def _read(self) -> None:
        """Fill buffers as they become free; a reader thread."""
        while (task := self._take()) is not None:
            number, buffer = task
            start = perf_counter()
            outcome: tuple[Any, NDArray | None, BaseException | None]
            try:
                outcome = (self._fill(self._steps[number], buffer), buffer, None)
            # Whatever it is, it belongs to the consumer, who is waiting.
            except BaseException as e:  # noqa: BLE001
                outcome = (None, None, e)
            with self._changed:
                self.read_seconds += perf_counter() - start
                self._ready[number] = outcome
                self._changed.notify_all()

    def _take(self) -> tuple[int, NDArray] | None:
        """Return the next step and a buffer for it; None when there is nothing left to do.

        Steps are taken in order and only with a buffer in hand, so that the step the consumer waits for has one.
        """
        with self._changed:
            while not self._free and not self._stopped:
                self._changed.wait()
            if self._stopped or self._next == len(self._steps):
                return None
            self._next += 1
            return self._next - 1, self._free.pop()


def paged(nbytes: int) -> NDArray:
    """Return bytes that begin at a page.

    Those of numpy begin 16 bytes after one, where copying from the page cache is twice as slow: processors take
    what is read for something that was just written at the same place of another page.
    """
    whole = np.empty(nbytes + PAGE, np.uint8)
    start = -whole.ctypes.data % PAGE
    return whole[start : start + nbytes]


def view(
    buffer: NDArray, shape: tuple[int, ...], dtype: np.dtype, offset: int = 0, begins: int | None = None
) -> tuple[NDArray, int]:
    """Return an array that lies in a buffer of bytes from `offset` on, and where the next may begin.

    Parameters
    ----------
    begins : int, optional
        Position in a file of what will be read into it: where copying from there would be slow, it lies 64 bytes on.
    """
    if begins is not None and 0 < (buffer.ctypes.data + offset - begins) % PAGE <= NEAR:
        offset += 64
    n = math.prod(shape) * dtype.itemsize
    # 64-byte steps keep every array aligned for vector instructions.
    return buffer[offset : offset + n].view(dtype).reshape(shape), offset + -(-n // 64) * 64
