"""A Dask-distributed dataflow framework for X-ray laser detector data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .algorithm import Algorithm
from .binding import PlanError
from .execute import execute
from .inputs import Frames, From, Key, RunInfo
from .outputs import Output, Partial
from .plan import Plan, plan
from .pulses import PulseKey
from .result import Result
from .selection import FrameSelection
from .verify import open_result as open  # noqa: A004 - as in xarray and zarr

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


def reduce(
    run: Any,
    algorithms: Algorithm | Sequence[Algorithm],
    to: Any = None,
    *,
    cluster: Any = None,
    frames: Any = None,
    mask: Any = "auto",
    mask_bits: Any = None,
    resume: bool = False,
    chunk: str | int = "1 GiB",
    block: str | int = "4 MiB",
    on_fault: str | None = None,
    overwrite: bool = False,
    readers: int | None = None,
    hook_timeout: float | None = None,
    quiet: bool = False,
) -> Result:
    """Reduce a run in one pass: `plan` it, then `execute` the plan.

    Parameters
    ----------
    run, algorithms, to, frames, mask, mask_bits, resume, chunk, block, on_fault, overwrite, readers, hook_timeout,
    quiet
        See `plan`.
    cluster
        See `execute`.

    Returns
    -------
    Result

    Examples
    --------
    >>> from dxflow.algorithms.average import Average
    >>> result = dxflow.reduce("/gpfs/.../proc/r0034", Average(per="cell"), "r0034.zarr")
    >>> result.dataset["average.mean"]
    """
    # IPython leaves out this frame, so that an error shows the caller's line and that of the hook.
    __tracebackhide__ = True
    planned = plan(
        run,
        algorithms,
        to,
        cluster=cluster,
        frames=frames,
        mask=mask,
        mask_bits=mask_bits,
        resume=resume,
        chunk=chunk,
        block=block,
        on_fault=on_fault,
        overwrite=overwrite,
        readers=readers,
        hook_timeout=hook_timeout,
        quiet=quiet,
    )
    return execute(planned, cluster, quiet=quiet)


def __getattr__(name: str) -> Any:
    # EXtra-data is imported when a run is opened, not when dxflow is.
    if name == "open_run":
        from extra_data import open_run

        return open_run
    if name == "copy_run":
        from .copying import copy_run

        return copy_run
    raise AttributeError(f"module 'dxflow' has no attribute {name!r}")
