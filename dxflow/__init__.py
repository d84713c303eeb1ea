"""A Dask-distributed dataflow framework for X-ray laser detector data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api import plan, reduce
from .declare.algorithm import Algorithm
from .declare.inputs import Frames, From, Key
from .declare.outputs import Output, Partial
from .declare.pulses import PulseKey
from .driver.execute import execute
from .driver.result import Result
from .driver.result import open_result as open  # noqa: A004 - as in xarray and zarr
from .errors import PlanError
from .planning.plan import Plan
from .run.info import RunInfo
from .run.selection import FrameSelection

if TYPE_CHECKING:
    from extra_data import open_run

    from .copying import copy_run

__all__ = [
    "Algorithm",
    "FrameSelection",
    "Frames",
    "From",
    "Key",
    "Output",
    "Partial",
    "Plan",
    "PlanError",
    "PulseKey",
    "Result",
    "RunInfo",
    "copy_run",
    "execute",
    "open",
    "open_run",
    "plan",
    "reduce",
]


def __getattr__(name: str) -> Any:
    # EXtra-data is imported when a run is opened, not when dxflow is.
    if name == "open_run":
        from extra_data import open_run

        return open_run
    if name == "copy_run":
        from .copying import copy_run

        return copy_run
    raise AttributeError(f"module 'dxflow' has no attribute {name!r}")
