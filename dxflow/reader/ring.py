"""Reused buffers that a reader thread fills ahead while the ones before are worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Step = TypeVar("Step")


class Ring(Generic[Step]):
    """Iterate over steps whose data a thread has read, in order.

    The thread is not a daemon: a daemon inside HDF5 keeps the interpreter from ending. It is joined
    when the ``with`` block ends, for whatever reason, and stops after the step it is reading.

    Parameters
    ----------
    steps : sequence
    fill : callable
        ``fill(step, buffer)`` reads a step into a buffer and returns what the consumer gets; runs in the thread.
    buffers : sequence of ndarray of uint8
        At least two.

    Attributes
    ----------
    read_seconds, wait_seconds : float
        How long the thread was reading, and how long the consumer waited for it.
    """

    def __init__(
        self, steps: Sequence[Step], fill: Callable[[Step, NDArray], Any], buffers: Sequence[NDArray]
    ):
        self._steps, self._fill = steps, fill
        self._free: SimpleQueue[NDArray | None] = SimpleQueue()
        self._ready: SimpleQueue[tuple[Any, NDArray | None, BaseException | None]] = SimpleQueue()
        for buffer in buffers:
            self._free.put(buffer)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="dxflow-reader")
        self.read_seconds = self.wait_seconds = 0.0

    def __enter__(self) -> Ring[Step]:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._free.put(None)
        self._thread.join()

    def _read(self) -> None:
        """Fill buffers as they become free; the reader thread."""
        for step in self._steps:
            buffer = self._free.get()
            if buffer is None or self._stop.is_set():
                return
            start = perf_counter()
            try:
                filled = self._fill(step, buffer)
            # Whatever it is, it belongs to the consumer, who is waiting.
            except BaseException as e:  # noqa: BLE001
                self._ready.put((None, None, e))
                return
            self.read_seconds += perf_counter() - start
            self._ready.put((filled, buffer, None))

    def __iter__(self) -> Iterator[tuple[Step, Any]]:
        for step in self._steps:
            start = perf_counter()
            filled, buffer, error = self._ready.get()
            self.wait_seconds += perf_counter() - start
            if error is not None:
                raise error
            yield step, filled
            self._free.put(buffer)


def view(buffer: NDArray, shape: tuple[int, ...], dtype: np.dtype, offset: int = 0) -> tuple[NDArray, int]:
    """Return an array that lies in a buffer of bytes from `offset` on, and where the next may begin."""
    n = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    # 64-byte steps keep every array aligned for vector instructions.
    return buffer[offset : offset + n].view(dtype).reshape(shape), offset + -(-n // 64) * 64
