"""Workers that stay from one pass to the next, as long as somebody holds their cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from ..errors import ClusterLost

if TYPE_CHECKING:
    from distributed import Client

    from ..planning.public import Plan
    from .runner import Cluster


class Running:
    """What runs of a cluster: started for the first pass that needs it, ended with the last that holds it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._client: Client | None = None
        self._holders = self._passes = 0
        # Reductions in several threads may share a cluster.
        self._changed = threading.Condition(threading.RLock())

    @property
    def stays(self) -> bool:
        """Whether others than one pass hold it."""
        return self._holders > 1

    def hold(self) -> None:
        """Keep what will run until it is released."""
        with self._changed:
            self._holders += 1

    def release(self) -> None:
        """End what runs if nobody else holds it."""
        with self._changed:
            self._holders -= 1
            if not self._holders:
                self._end()

    @contextmanager
    def lent(self, plan: Plan | None) -> Iterator[Client]:
        """Lend a client of workers that suit a plan; those that are lost, or interrupted, end at once.

        Raises
        ------
        ValueError
            If the cluster cannot be as the plan needs it.
        """
        self.hold()
        try:
            client = self._suiting(plan)
            try:
                yield client
            except BaseException as e:
                if isinstance(e, ClusterLost) or not isinstance(e, Exception):
                    self._drop(client)
                raise
            finally:
                self._done()
        finally:
            self.release()

    def _suiting(self, plan: Plan | None) -> Client:
        """Return a client of workers that suit a plan: of those that run if they do, else of new ones."""
        with self._changed:
            while self._unfit(plan) and self._client is not None:
                # Another thread is at work on these.
                if self._passes:
                    self._changed.wait()
                else:
                    self._end()
            if self._client is None:
                self._client = self.cluster.start()
            self._passes += 1
            return self._client

    def _unfit(self, plan: Plan | None) -> bool:
        """Return whether what runs cannot serve a plan; tell the cluster what that needs."""
        fit: Any = getattr(self.cluster, "fit", None)
        # The plan of a copy needs nothing that a cluster could be fitted to.
        small = bool(fit(plan)) if fit and plan is not None else False
        return small or (self._client is not None and not _works(self._client))

    def _done(self) -> None:
        with self._changed:
            self._passes -= 1
            self._changed.notify_all()

    def _drop(self, client: Client) -> None:
        with self._changed:
            if client is self._client:
                self._end()

    def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
            self.cluster.close()


def _works(client: Client) -> bool:
    """Return whether a client has a cluster that can go on."""
    return client.status == "running" and getattr(client.cluster, "failure", None) is None


class Kept:
    """A kind of cluster whose workers are there for all passes of a ``with`` block, and else for one pass each.

    They start with the first pass, since only then it is known what they must be able to do, and start again where a
    later pass needs more or where they are lost.
    """

    def __init__(self) -> None:
        self.running = Running(self)  # type: ignore[arg-type]  # the kinds have the methods

    def check(self, plan: Plan) -> None:
        """Refuse a plan that its workers could never run. Default: none.

        Raises
        ------
        ValueError
        """

    def __enter__(self) -> Self:
        self.running.hold()
        return self

    def __exit__(self, *_: object) -> None:
        self.running.release()


def running(cluster: Cluster) -> Running:
    """Return what runs of a cluster: of any object that starts, describes and closes, for one pass."""
    return cluster.running if isinstance(cluster, Kept) else Running(cluster)


def kept(cluster: Any) -> AbstractContextManager[Any]:
    """Return a context in which the workers of a cluster stay; a client is its user's, and this process needs none."""
    return cluster if isinstance(cluster, Kept) else nullcontext(cluster)
