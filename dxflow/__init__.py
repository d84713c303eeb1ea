"""A Dask-distributed dataflow framework for X-ray laser detector data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api import plan, reduce
from .declare.algorithm import Algorithm
from .declare.bunches import Bunches, Monitored
from .declare.exposures import FrameClock
from .declare.inputs import Frames, From, Key
from .declare.labels import Labels
from .declare.lack import Lack
from .declare.outputs import Output, Partial
from .declare.pulses import PulseKey
from .declare.views import ModuleBlock, Train
from .driver.execute import execute
from .driver.result import Result
from .errors import PlanError
from .planning.public import Plan
from .run.info import InputInfo, RunInfo
from .run.losses import Loss
from .run.selection import FrameSelection
from .run.timing import Clock, Timing
from .stores.opening import verify

if TYPE_CHECKING:
    from extra_data import open_run

    from .analysis.opening import open  # noqa: A004 - as in xarray and zarr
    from .copying import copy_run

__all__ = [
    "Algorithm",
    "Bunches",
    "Clock",
    "FrameClock",
    "FrameSelection",
    "Frames",
    "From",
    "InputInfo",
    "Key",
    "Labels",
    "Lack",
    "Loss",
    "ModuleBlock",
    "Monitored",
    "Output",
    "Partial",
    "Plan",
    "PlanError",
    "PulseKey",
    "Result",
    "RunInfo",
    "Timing",
    "Train",
    "copy_run",
    "execute",
    "open",
    "open_run",
    "plan",
    "reduce",
    "verify",
]


def __getattr__(name: str) -> Any:
    # EXtra-data is imported when a run is opened, not when dxflow is.
    if name == "open_run":
        from extra_data import open_run

        return open_run
    if name == "copy_run":
        from .copying import copy_run

        return copy_run
    # What stands above the names of this file.
    if name in ("analysis", "open"):
        from importlib import import_module

        analysis = import_module("dxflow.analysis")
        return analysis if name == "analysis" else analysis.open
    raise AttributeError(f"module 'dxflow' has no attribute {name!r}")
