"""A Dask-distributed dataflow framework for X-ray laser detector data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .declare.algorithm import Algorithm
from .declare.inputs import Frames, From, Key, RunInfo
from .declare.outputs import Output, Partial
from .declare.pulses import PulseKey
from .driver.execute import execute
from .driver.result import Result
from .planning.binding import PlanError
from .planning.make import Plan, plan
from .run.selection import FrameSelection
from .stores.opening import open_result as open  # noqa: A004 - as in xarray and zarr

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
    suspect: str = "use",
    overwrite: bool = False,
    readers: int | None = None,
    hook_timeout: float | None = None,
    quiet: bool = False,
    name: str = "",
) -> Result:
    """Reduce a run in one pass and return the result: `plan` it, then `execute` the plan.

    Parameters
    ----------
    run : path, (proposal, run) or extra_data.DataCollection
        A run directory, a single file, or an opened run.
    algorithms : Algorithm or sequence of Algorithm
        What to do with each block of frames or train; those later in the sequence can read what earlier ones make.
    to : path, Store or None
        Where the result goes: ``"x.zarr"``. None keeps it in a temporary directory as long as the `Result` lives.
    cluster : optional
        Where it runs: None for processes of this machine, one per core; ``"here"`` for this process, with breakpoints;
        ``"slurm"``, an object of `dxflow.clusters` or a `distributed.Client`.
    frames : FrameSelection, boolean array or Result, optional
        Only these frames of detectors are read at all.
    mask : "auto", None, str, array or path
        Which pixels are bad: with "auto" what the run itself marks in corrected floats; None for none; a key, an array
        or a file of your own.
    mask_bits : int, optional
        Bits of the mask that make a pixel bad; any by default.
    resume : bool
        Go on with what an interrupted run of the same reduction left.
    chunk : str or int
        Bytes of input of one task.
    block : str or int
        Bytes that are read at once.
    on_fault : {None, "mask", "raise"}
        What becomes of broken data: seen before the run they raise, while it runs they are left out and counted;
        "mask" leaves both out, "raise" stops at both.
    suspect : {"use", "skip"}
        Trains that files flag as suspect are counted, and used or left out.
    overwrite : bool
        Replace an existing result; nothing that dxflow did not make is replaced.
    readers : int, optional
        Threads per worker that read ahead; found out on the first chunks by default.
    hook_timeout : float, optional
        Seconds that a call of a hook may take.
    quiet : bool
        Show no progress.
    name : str
        What this pass is called: in its report, and kept with the result.

    Returns
    -------
    Result
        The dataset, what was lost, and where time went.

    Raises
    ------
    PlanError
        If it cannot work, before anything is read. The message says why, what there is, and what to do.
    Exception
        What a hook raised, with a note that says algorithm, chunk, train and module.

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
        suspect=suspect,
        overwrite=overwrite,
        readers=readers,
        hook_timeout=hook_timeout,
        quiet=quiet,
        name=name,
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
