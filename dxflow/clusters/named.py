"""Clusters by name: what a user may give as ``cluster=`` or ``--cluster``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .. import find
from ..errors.usage import UsageError
from .runner import Runner, here

if TYPE_CHECKING:
    from ..worker.workspace import Workspace


def connect(cluster: Any, work: Workspace) -> AbstractContextManager[Runner]:
    """Return a context with a runner for what a user may give as `cluster`.

    Raises
    ------
    ValueError
        If it is none of the known kinds.
    NotFoundError, TypeError
        If it is a name, and there is no such kind or it has no such option.
    """
    if isinstance(cluster, str) and cluster == "here":
        return here(work)
    from .tasks import on_client, on_cluster

    if cluster is None:
        from .kinds.local import Local

        return on_cluster(Local(), work)
    if isinstance(cluster, str):
        return on_cluster(cluster_of(cluster), work)
    if hasattr(cluster, "scheduler_info"):
        return on_client(cluster, work)
    if all(hasattr(cluster, name) for name in ("start", "describe", "close")):
        return on_cluster(cluster, work)
    raise ValueError(
        f"cluster={cluster!r}: expected None (this machine), 'here' (this process), 'slurm' or another name, "
        "a distributed.Client or an object of dxflow.clusters"
    )


def cluster_of(text: str, workers: int | None = None) -> Any:
    """Return what ``--cluster KIND[:OPTION=VALUE,...]`` means to `execute`.

    Raises
    ------
    NotFoundError, UsageError
        If there is no such kind, or it has no such option.
    """
    name, _, listed = text.partition(":")
    options = {k: _value(v) for k, _, v in (item.partition("=") for item in listed.split(",") if item)}
    if workers is not None:
        options["workers"] = workers
    if name == "here":
        if options:
            raise UsageError("--cluster here is this process: it has no workers and no options")
        return name
    kind = find.cluster(name)
    _check_names(f"--cluster {name}", options, inspect.signature(kind).parameters)
    return kind(**options)


def _check_names(what: str, options: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"{what}: unknown option {unknown[0]!r}. Its options: {', '.join(known)}")


def _value(text: str) -> Any:
    """Return a Python literal as its value, other text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
