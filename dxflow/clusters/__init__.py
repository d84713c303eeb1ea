"""Where a plan runs: this process, processes of this machine, Slurm, or any Dask client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ClusterLost
from .kept import Kept
from .named import connect
from .runner import Cluster, Here, Runner

if TYPE_CHECKING:
    from .kinds.local import Local
    from .kinds.slurm import Slurm

__all__ = ["Cluster", "ClusterLost", "Here", "Kept", "Local", "Runner", "Slurm", "connect"]


def __getattr__(name: str) -> Any:
    # distributed takes a third of a second to import: only for those who use it.
    if name == "Local":
        from .kinds.local import Local

        return Local
    if name == "Slurm":
        from .kinds.slurm import Slurm

        return Slurm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are Local and Slurm")
