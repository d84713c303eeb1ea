"""Where a plan runs: this process, processes of this machine, or any Dask client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..chunk import Workspace

__all__ = ["Cluster", "Here", "Local", "Runner", "connect"]


class Runner(Protocol):
    """The seam to whatever runs functions ``f(workspace, *args)``."""

    def submit(self, function: Any, *args: Any, after: Iterable[Any] = ()) -> Any:
        """Start a function after some futures are done; return its future."""

    def as_completed(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Yield futures as they finish."""


class Cluster(Protocol):
    """The seam for kinds of cluster: start it, and return a client."""

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

    def submit(self, function: Any, *args: Any, after: Iterable[Any] = ()) -> Future:
        """Run a function now."""
        future: Future = Future()
        try:
            future.set_result(function(self.work, *args))
        # It is raised where the result is asked for, as from any other runner.
        except Exception as e:  # noqa: BLE001
            future.set_exception(e)
        return future

    def as_completed(self, futures: Iterable[Future]) -> Iterator[Future]:
        """Yield the futures; all are done."""
        yield from futures


def connect(cluster: Any, work: Workspace) -> AbstractContextManager[Runner]:
    """Return a context with a runner for what a user may give as `cluster`.

    Raises
    ------
    ValueError
        If it is none of the known kinds.
    """
    from contextlib import nullcontext

    if cluster == "here":
        return nullcontext(Here(work))
    from .dask import on_client, on_cluster

    if cluster is None or cluster == "local":
        from .local import Local

        return on_cluster(Local(), work)
    if hasattr(cluster, "scheduler_info"):
        return on_client(cluster, work)
    if all(hasattr(cluster, name) for name in ("start", "describe", "close")):
        return on_cluster(cluster, work)
    raise ValueError(
        f"cluster={cluster!r}: expected None (this machine), 'here' (this process), "
        "a distributed.Client or an object of dxflow.clusters"
    )


def __getattr__(name: str) -> Any:
    # distributed takes a third of a second to import: only for those who use it.
    if name == "Local":
        from .local import Local

        return Local
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there is Local")
