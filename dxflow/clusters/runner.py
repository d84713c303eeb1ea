"""Where tasks run: what every kind of cluster offers, and this process, which needs none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..deaths.watch import Doing, Watch

if TYPE_CHECKING:
    from ..worker.workspace import Workspace


class Runner(Protocol):
    """The seam to whatever runs functions ``f(workspace, *args)``."""

    def submit(self, function: Any, *args: Any, after: Iterable[Any] = ()) -> Any:
        """Start a function after some futures are done; return its future."""

    def map(self, function: Any, items: Iterable[Any], *, after: Iterable[Any] = ()) -> list[Any]:
        """Start a function for each item, after some futures are done; return the futures."""

    def results(self, futures: Sequence[Any]) -> Iterator[Any]:
        """Yield results as they come; the first exception ends the other tasks and is raised."""

    def tell(self, listener: Any) -> None:
        """Have a function told, as text, what workers are waiting for; None ends that."""

    def waiting(self) -> str:
        """Return in words what is waited for just now; asked from another thread."""

    def account(self) -> Mapping[str, Any]:
        """Return "kind", what this is in a few words, and what it cost, if the cluster knows."""


class Cluster(Protocol):
    """The seam for kinds of cluster: start it, and return a client.

    A kind may also have ``fit(plan)``, called before each pass, which takes over what a plan needs and returns whether
    workers that run already are too small for it; and ``accounting()``, which returns what it cost: "jobs" (a dict
    each), "asked" and "node_seconds", "waited" (seconds), "deaths", "requeues". Kinds that are `dxflow.clusters.Kept`
    can be used in a ``with`` block.
    """

    def start(self) -> Any:
        """Start the cluster and return a `distributed.Client`."""

    def describe(self) -> str:
        """Return in a few words what it is."""

    def close(self) -> None:
        """End it."""


class Here:
    """This process, one task after the other: for debugging, with breakpoints in hooks."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.doing: Doing = getattr(work, "doing", None) or Doing()
        self._waiting: deque[tuple[Future, Iterable[Future], Any, tuple]] = deque()
        self._now: Any = None
        if hasattr(work, "ahead"):
            work.ahead.upcoming = self._upcoming

    def submit(self, function: Any, *args: Any, after: Iterable[Any] = ()) -> Future:
        """Note a function; it runs when its result, or a later one, is asked for."""
        future: Future = Future()
        self._waiting.append((future, after, function, args))
        return future

    def map(self, function: Any, items: Iterable[Any], *, after: Iterable[Any] = ()) -> list[Future]:
        """Note a function for each item."""
        return [self.submit(function, item, after=after) for item in items]

    def results(self, futures: Sequence[Future]) -> Iterator[Any]:
        """Run functions in the order they were submitted; yield the results of these, each as soon as it is done."""
        for future in futures:
            while not future.done():
                now, after, function, args = self._waiting.popleft()
                self._now = function
                try:
                    _raise_first(after)
                    with self.doing.task(function.__name__, number_of(args)):
                        now.set_result(function(self.work, *args))
                # It is raised where the result is asked for, as from any other runner.
                except Exception as e:  # noqa: BLE001
                    now.set_exception(e)
            yield future.result()

    def _upcoming(self) -> int | None:
        """Return what is done next, by number, if that is the same function as now."""
        with suppress(IndexError):
            _, _, function, args = self._waiting[0]
            return number_of(args) if function is self._now else None
        return None

    def tell(self, listener: Any) -> None:
        """Tell nothing: there are no workers to wait for."""

    def waiting(self) -> str:
        """Return what this process is doing."""
        from .patience import doing

        return "; ".join(doing(one, "this process", self.work) for one in self.doing.said())

    def account(self) -> dict[str, Any]:
        """Return what this is."""
        return {"kind": "this process"}


def number_of(args: Iterable[Any]) -> int | None:
    """Return which chunk, part or file a task is about."""
    flat = (a[0] if isinstance(a, tuple) and a else a for a in args)
    return next((a for a in flat if isinstance(a, int)), None)


@contextmanager
def here(work: Workspace) -> Iterator[Here]:
    """Run in this process, and end hooks that take too long."""
    here = Here(work)
    # The plan of a copy has no journal.
    if not isinstance(work.folder, Path):
        yield here
        return
    watch = Watch(here.doing, work.folder)
    watch.start()
    try:
        yield here
    finally:
        watch.stop()
        if hasattr(work, "close"):
            work.close()


def _raise_first(futures: Iterable[Future]) -> None:
    """Raise the first exception of futures that are done."""
    for future in futures:
        future.result()
