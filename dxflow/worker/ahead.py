"""Reading ahead: threads fill the next windows while one is worked on, and go on with the chunk that comes next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ..reader.ring import Ring
from .account import Account
from .source import Loaded, Source

if TYPE_CHECKING:
    from ..planning.plan import Chunk
    from ..planning.public import Plan
    from ..planning.walks import Window
    from ..reader.files import Files
    from .masks import Masks


class Reading:
    """What is read of a chunk: its windows, and its keys before them.

    Parameters
    ----------
    excluded : set of int
        Trains (positions in the plan) that are left out.
    """

    def __init__(
        self, plan: Plan, chunk: Chunk, excluded: frozenset[int], files: Files, masks: Masks
    ) -> None:
        self.plan, self.chunk, self.excluded = plan, chunk, excluded
        self.walk = plan.walk
        self.account = Account(plan, chunk, excluded)
        self.source = Source(self.account, files, masks, whole=self.walk.whole)
        self.windows = self.walk.windows(chunk, excluded)
        self._lock, self._begun = threading.Lock(), False

    def begin(self) -> None:
        """Read the keys, once."""
        with self._lock:
            if not self._begun:
                self.source.read_keys(self.walk.keys)
                self._begun = True

    def fill(self, window: Window, buffer: NDArray) -> Loaded:
        """Read a window; runs in the reader threads."""
        self.begin()
        return self.source.fill(window, buffer)


class Ahead:
    """The reader threads of one workspace.

    Attributes
    ----------
    upcoming : callable
        Returns the number of the chunk that this worker will most likely do next, None if that is not known.
    """

    def __init__(
        self, make: Callable[[int], Reading | None], buffers: Callable[[], Sequence[NDArray]]
    ) -> None:
        self._make, self._buffers = make, buffers
        self.upcoming: Callable[[], int | None] = lambda: None
        self._ring: Ring[tuple[Reading, Window]] | None = None
        self._threads = 0
        self._coming: deque[Reading] = deque()

    def begun(self, chunk: Chunk) -> Reading | None:
        """Return the reading of a chunk if its windows are being read; what is read of others instead is dropped."""
        if self._coming and self._coming[0].chunk == chunk:
            return self._coming.popleft()
        self.close()
        return None

    def threads(self) -> int | None:
        """Return how many threads are reading, None if none are."""
        return self._threads if self._ring is not None else None

    def steps(
        self, reading: Reading, windows: Sequence[Window], threads: int, *, follow: bool
    ) -> Iterator[tuple[Loaded, float, float]]:
        """Yield what was read of each window of a chunk, and the seconds that reading and waiting took.

        Parameters
        ----------
        follow : bool
            Whether threads that have read the last one go on with the chunk that comes next.
        """
        if self._ring is None:
            own = ((reading, window) for window in windows)
            source = self._with_following(reading, windows) if follow and threads else own
            self._ring, self._threads = Ring(source, _fill, self._buffers(), threads), threads
            self._ring.__enter__()
        before, ring = self._ring.read_seconds, self._ring
        for _ in windows:
            start = perf_counter()
            taken = ring.take()
            assert taken is not None
            read, before = ring.read_seconds - before, ring.read_seconds
            yield taken[1], read, perf_counter() - start
        if not self._coming:
            self.close()

    def _with_following(
        self, reading: Reading, windows: Sequence[Window]
    ) -> Iterator[tuple[Reading, Window] | None]:
        """Yield the windows of a chunk, then those of chunks that come next; asked by the reader threads."""
        yield from ((reading, window) for window in windows)
        while True:
            number = self.upcoming()
            if number is None or number == reading.chunk.number:
                # It may not have been told yet.
                yield None
                continue
            following = self._make(number)
            if following is None or not following.windows:
                return
            reading = following
            self._coming.append(reading)
            yield from ((reading, window) for window in reading.windows)

    def close(self) -> None:
        """End the threads; what they have read is dropped."""
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.__exit__(None, None, None)
        # Only now: a thread may just have gone on with another chunk.
        self._coming.clear()


def _fill(step: tuple[Reading, Window], buffer: NDArray) -> Loaded:
    reading, window = step
    return reading.fill(window, buffer)
