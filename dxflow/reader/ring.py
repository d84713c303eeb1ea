"""Reused buffers that reader threads fill ahead while the ones before are worked on."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
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
MOST_SPARE = 2**25
"""Bytes of buffers that a process keeps from one pass to the next."""
END: Any = object()
LATER = 0.02
"""Seconds until steps are asked again for one that is not known yet."""
SIGN_OF_LIFE = 2.0
"""Seconds between looks of a thread that waits whether its process is about to end."""


class Ring(Generic[Step]):
    """Iterate over steps whose data threads have read, in order.

    The threads are no daemons: a daemon inside HDF5 keeps the interpreter from ending. They are joined
    when the ``with`` block ends, for whatever reason, and stop after the step they are reading.

    Parameters
    ----------
    steps : iterable
        Asked for the next one by whichever thread has a buffer for it; None is one that is not known yet.
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
        steps: Iterable[Step | None],
        fill: Callable[[Step, NDArray], Any],
        buffers: Sequence[NDArray],
        threads: int = 1,
    ) -> None:
        if len(buffers) <= threads:
            raise ValueError(f"{threads} reader threads need {threads + 1} buffers, got {len(buffers)}")
        self._steps, self._fill = iter(steps), fill
        self._free, self._held = list(buffers), list[NDArray]()
        self._ready: dict[int, tuple[Step, Any, NDArray, BaseException | None]] = {}
        self._taken = self._given = 0
        self._ended = self._stopped = False
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
        while (taken := self.take()) is not None:
            yield taken
        self.release()

    def take(self) -> tuple[Step, Any] | None:
        """Return the next step and what was read of it, None after the last; the buffer of the one before is free."""
        self.release()
        start = perf_counter()
        taken = self._from_threads() if self._threads else self._inline()
        self.wait_seconds += perf_counter() - start
        return taken

    def release(self) -> None:
        """Give the buffer of the last step back."""
        if self._held:
            with self._changed:
                self._free.append(self._held.pop())
                self._changed.notify_all()

    def _inline(self) -> tuple[Step, Any] | None:
        """Read the next step."""
        if (step := next(self._steps, None)) is None:
            return None
        start = perf_counter()
        filled = self._fill(step, self._free[0])
        self.read_seconds += perf_counter() - start
        return step, filled

    def _from_threads(self) -> tuple[Step, Any] | None:
        """Wait for the next step."""
        with self._changed:
            while self._given not in self._ready and not (self._ended and self._given == self._taken):
                self._changed.wait()
            if self._given not in self._ready:
                return None
            step, filled, buffer, error = self._ready.pop(self._given)
            self._given += 1
        self._held.append(buffer)
        if error is not None:
            raise error
        return step, filled

    def _read(self) -> None:
        """Fill buffers as they become free; a reader thread."""
        while (task := self._take()) is not None:
            number, step, buffer = task
            start, filled, error = perf_counter(), None, None
            try:
                filled = self._fill(step, buffer)
            # Whatever it is, it belongs to the consumer, who is waiting.
            except BaseException as e:  # noqa: BLE001
                error = e
            with self._changed:
                self.read_seconds += perf_counter() - start
                self._ready[number] = step, filled, buffer, error
                self._changed.notify_all()

    def _take(self) -> tuple[int, Step, NDArray] | None:
        """Return the next step, with its number and a buffer for it; None when there is nothing left to do.

        Steps are taken in order and only with a buffer in hand, so that the step the consumer waits for has one.
        """
        with self._changed:
            while not self._stopped and not self._ended:
                if not self._free:
                    self._changed.wait(SIGN_OF_LIFE)
                elif (step := next(self._steps, END)) is END:
                    self._ended = True
                    self._changed.notify_all()
                elif step is None:
                    self._changed.wait(LATER)
                else:
                    self._taken += 1
                    return self._taken - 1, step, self._free.pop()
                # Python ends a process when all its threads have: those that nobody waits for, too.
                self._stopped |= not threading.main_thread().is_alive()
            return None


def paged(nbytes: int) -> NDArray:
    """Return bytes that begin at a page.

    Those of numpy begin 16 bytes after one, where copying from the page cache is twice as slow: processors take
    what is read for something that was just written at the same place of another page.
    """
    whole = np.empty(nbytes + PAGE, np.uint8)
    start = -whole.ctypes.data % PAGE
    return whole[start : start + nbytes]


@cache
def _spare() -> list[NDArray]:
    """Return the list of the buffers that nobody uses now."""
    return []


def taken(count: int, nbytes: int) -> list[NDArray]:
    """Return buffers of so many bytes: those that an earlier pass of this process has left, as far as they fit.

    The system hands out memory page by page, each set to zero: for a small run that takes longer than reading it. What
    does not fit is freed.
    """
    spare, found = _spare(), []
    while spare:
        # Other threads take from it, too.
        with suppress(IndexError):
            found.append(spare.pop())
    fitting = [one for one in found if nbytes <= len(one) <= 2 * nbytes][:count]
    return fitting + [paged(nbytes) for _ in range(count - len(fitting))]


def left(buffers: Iterable[NDArray]) -> None:
    """Leave buffers that nobody looks at any more to the next pass, unless they are large."""
    spare = _spare()
    for one in buffers:
        if sum(map(len, spare)) + len(one) <= MOST_SPARE:
            spare.append(one)


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
