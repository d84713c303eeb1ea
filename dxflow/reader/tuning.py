"""How many threads read ahead: tried out on the first blocks of each worker, or fixed by the user."""

from __future__ import annotations

from dataclasses import dataclass, field

TRIAL_STEPS = 12
TRIAL_BYTES = 64 * 2**20
"""What is read with each candidate; enough to see through the noise of a few milliseconds, little beside a chunk."""
LARGE, LARGE_STEPS = 2**24, 3
"""Bytes of a step that takes long enough for few of them to be enough."""
WORTHWHILE = 1.1
"""How much faster more threads must be: less is noise, and they take the core of another worker."""
WARM_UP_STEPS = 4
"""Not measured: files are opened and kernels compiled."""


@dataclass
class Tuner:
    """Chooses among numbers of reader threads by trying each for some steps.

    More threads are taken only where that is clearly faster, and not tried when the last step up was not. What is
    chosen changes how fast a result comes, never the result.

    Parameters
    ----------
    candidates : tuple of int
        To try, in this order; a single one is taken as it is.
    """

    candidates: tuple[int, ...]
    rates: dict[int, float] = field(default_factory=dict)
    """Bytes per second with each candidate that was tried."""
    _warm: bool = False
    _wanted: int = TRIAL_STEPS
    _bytes: int = 0
    _seconds: float = 0.0
    _steps: int = 0

    @property
    def chosen(self) -> int | None:
        """The number of threads, once that is known."""
        if len(self.candidates) == 1:
            return self.candidates[0]
        if len(self.rates) < len(self.candidates) and not self._declining:
            return None
        return min(n for n, rate in self.rates.items() if rate * WORTHWHILE >= max(self.rates.values()))

    @property
    def _declining(self) -> bool:
        """Whether the largest number that was tried is hardly faster than a smaller one."""
        *fewer, last = sorted(self.rates) or [0]
        return bool(fewer) and self.rates[last] < WORTHWHILE * max(self.rates[n] for n in fewer)

    def next(self, step_bytes: int) -> tuple[int, int | None]:
        """Return how many threads to use next, and for how many steps (None: for all).

        Those of one candidate may be in several chunks: a large train is a chunk of its own.
        """
        if self.chosen is not None:
            return self.chosen, None
        threads, large = next(n for n in self.candidates if n not in self.rates), step_bytes > LARGE
        if not self._warm:
            return threads, 1 if large else WARM_UP_STEPS
        self._wanted = LARGE_STEPS if large else max(TRIAL_STEPS, TRIAL_BYTES // max(1, step_bytes))
        return threads, self._wanted - self._steps

    def goes_on(self, step_bytes: int) -> bool:
        """Return whether threads may go on with the next chunk: not while small steps are compared.

        What they read before the clock runs would look as if it had taken no time.
        """
        return self.chosen is not None or step_bytes > LARGE

    def note(self, threads: int, n: int, seconds: float, steps: int) -> None:
        """Count what a number of threads achieved over some steps."""
        if self.chosen is not None or threads in self.rates:
            return
        if not self._warm:
            self._warm = True
            return
        self._bytes, self._seconds, self._steps = (
            self._bytes + n,
            self._seconds + seconds,
            self._steps + steps,
        )
        if self._steps >= self._wanted:
            self.rates[threads] = self._bytes / self._seconds if self._seconds else float("inf")
            self._bytes, self._seconds, self._steps = 0, 0.0, 0


def candidates(buffers: int, fixed: int | None) -> tuple[int, ...]:
    """Return the numbers of threads to try with so many buffers."""
    if fixed is not None:
        return (min(fixed, buffers - 1),)
    return tuple(n for n in (0, 1, 2, 4) if n < buffers)
