"""What users call: names become objects, and a plan runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from .clusters.kept import Kept
from .declare.algorithm import Algorithm
from .declare.narrowed import narrowed
from .driver import journal
from .driver.execute import execute
from .driver.progress import during
from .driver.result import Result
from .driver.tracebacks import Short
from .errors import PlanError, kinds
from .planning import make, memory
from .planning import where as conditions
from .planning.asked import configuration, of_part, spoken_of
from .planning.binding import Binding, bind
from .planning.public import Plan
from .planning.variants import flat
from .run import open as runs
from .run.selection import FrameSelection
from .stores import names, opening
from .stores.named import store_for

ON_FAULT = (None, "mask", "raise")
SUSPECT = ("use", "skip")


@kinds.checked(kinds.OF_PLAN, PlanError)
def plan(
    run: Any,
    algorithms: Algorithm | Sequence[Algorithm],
    to: Any = None,
    *,
    cluster: Any = None,
    frames: Any = None,
    where: Any = None,
    labels: Any = None,
    modules: Any = None,
    roi: Any = None,
    mask: Any = "auto",
    mask_bits: Any = None,
    resume: bool = False,
    chunk: str | int = "1 GiB",
    block: str | int = "4 MiB",
    on_fault: str | None = None,
    suspect: str = "use",
    overwrite: bool = False,
    codec: str | None = None,
    readers: int | None = None,
    hook_timeout: float | None = None,
    quiet: bool = False,
    name: str = "",
) -> Plan:
    """Check a reduction and cut it into chunks, without reading detector data.

    Parameters
    ----------
    run : path, (proposal, run) or extra_data.DataCollection
        A run directory or a single file.
    algorithms : Algorithm or sequence of Algorithm
        In this order, in one pass over the data.
    to : path, Store or None
        ``"x.zarr"``; None keeps the result in a temporary directory as long as the `Result` lives.
    cluster
        Only used to know where memory must suffice; see `execute`. The name of one is looked at only there.
    frames : FrameSelection, boolean array or Result, optional
        Only these frames of detectors are read at all.
    where : str, Labels or what they take, optional
        Only frames for which this holds are read: ``"xgm > 800 & lit"``, or booleans for frames or trains. Comparisons
        (also chained, ``1 < x <= 2``, ``x in (1, 2)``, ``between(x, low, high)``) of names, numbers and texts, joined
        by ``and``, ``or``, ``not`` or ``&``, ``|``, ``~``. Frames for which a value that decides it is missing are left
        out and counted. The plan and the result say how many frames each part leaves.
    labels : mapping of str to Key, PulseKey, Labels, path or Result, or a Result
        What names in `where` stand for: ``{"xgm": Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")}``. Of a
        result, ``{"lit": "lit.zarr"}``, also ``lit.n_lit``; the outputs of one without a name are called as in it.
    modules, roi
        Only these modules and pixels, as of `Frames`, for all frames whose input does not say it itself: a result of
        `Signal`, for example.
    mask, mask_bits
        Which pixels are bad, as ``mask=`` and ``bits=`` of `Frames`, for all images whose input does not say it
        itself. ``"auto"``: the run's own mask for corrected data; None: all pixels are used.
    resume : bool
        Go on with what an interrupted run left beside `to`; a result that it finished is taken as it is. A job
        that ``dxflow submit`` started, and Slurm started again, always does.
    chunk : str or int
        Bytes of input of one task, about: it has a power of two of trains. It may order the additions, so it
        belongs to the result: the same value gives the same bits on any number of workers, alone and beside other
        algorithms. The plan says where chunks cannot be of this size. ``"64 trains"``: of the trains of so many ids,
        beginning at multiples of that number; then trains that a run gets later only add chunks: those of before keep
        their bits, and ``resume=True`` does not do them again.
    block : str or int
        Bytes that are read at once; it belongs to the result as well.
    on_fault : {None, "mask", "raise"}
        None: what can be seen now raises now, what is met while running is masked and counted;
        "mask" masks both, "raise" stops at both.
    suspect : {"use", "skip"}
        Trains that files flag as suspect (``INDEX/flag``, or train ids out of order in the oldest files): they are
        counted in `Result.losses`, and used or left out.
    overwrite : bool
        Replace an existing result.
    codec : str, optional
        How arrays are compressed: "deflate", "bitshuffle+lz4", "bitshuffle+zstd", of HDF5 files also "blosc2". By
        default as suits each of them.
    readers : int, optional
        Threads per worker that read ahead; 0 reads in between. Measured on the first chunks by default.
    hook_timeout : float, optional
        Seconds that a call of a hook may take; one that takes longer is ended, as if it had raised `HookTimeout`.
        Any time by default: after a minute it is said what is waited for.
    quiet : bool
        Do not show what is being done if that lasts.
    name : str
        What this pass is called: in its report, and kept with the result.

    Returns
    -------
    Plan

    Raises
    ------
    PlanError
        If it cannot work. The message says why, what there is, and what to do.
    """
    given = flat(algorithms)
    if not given:
        raise PlanError("no algorithm is given: a pass needs at least one, such as Average()")
    if on_fault not in ON_FAULT:
        raise PlanError(f"on_fault={on_fault!r}: expected one of {list(ON_FAULT)}")
    if suspect not in SUSPECT:
        raise PlanError(f"suspect={suspect!r}: expected one of {list(SUSPECT)}")
    if readers is not None and readers < 0:
        raise PlanError(f"readers={readers!r}: expected a number of threads from 0, or None to find the best")
    wanted = given
    given = narrowed(given, modules, roi)
    selection = FrameSelection.of(frames)
    with Short(), during(f"opening {run}", runs.opened, run, given, mask, quiet=quiet) as opened:
        opened.faults.suspect = suspect == "use" and opened.run.inc_suspect_trains
        selection = selection and selection.of_run(opened.train_ids)
        opened.faults.trains = make.asked_for(selection, opened.train_ids)
        binding = Binding(
            opened.run,
            opened.path,
            opened.train_ids,
            selection,
            opened.faults,
            mask,
            mask_bits,
            opening.dataset,
            conditions.of(where, labels),
        )
        during("planning", bind, binding, given, quiet=quiet)
    make.check(binding, on_fault)
    asked = configuration(
        spoken_of(run, opened.path),
        wanted,
        frames,
        where,
        labels,
        modules=modules,
        roi=roi,
        mask=mask,
        mask_bits=mask_bits,
        chunk=chunk,
        block=block,
        on_fault=on_fault,
        suspect=suspect,
        codec=codec,
        hook_timeout=hook_timeout,
        name=str(name),
    )
    made = make.plan_of(
        binding,
        store_for(to, codec),
        chunk=chunk,
        block=block,
        on_fault=on_fault,
        resume=resume or journal.restarted(),
        overwrite=overwrite,
        # Small integers of NumPy would overflow.
        readers=None if readers is None else int(readers),
        name=str(name),
        hook_timeout=hook_timeout,
        frames=[frames, modules, roi, where, labels],
        config=of_part(asked, run, opened.train_ids, opened.faults.trains),
    )
    return _checked(made, cluster)


def _checked(plan: Plan, cluster: Any) -> Plan:
    """Return a plan that can run where it is to, or whose result is there already."""
    names.check(plan)
    memory.check(plan.memory, cluster)
    if isinstance(cluster, Kept):
        _check_fits(plan, cluster)
    journal.refuse_held(plan)
    if journal.finished(plan):
        return replace(plan, finished=True)
    plan.store.check(plan)
    return plan


def _check_fits(plan: Plan, cluster: Kept) -> None:
    """Refuse a plan that the workers of a cluster could never run."""
    try:
        cluster.check(plan)
    except ValueError as e:
        raise PlanError(str(e)) from e


def reduce(
    run: Any,
    algorithms: Algorithm | Sequence[Algorithm],
    to: Any = None,
    *,
    cluster: Any = None,
    frames: Any = None,
    where: Any = None,
    labels: Any = None,
    modules: Any = None,
    roi: Any = None,
    mask: Any = "auto",
    mask_bits: Any = None,
    resume: bool = False,
    chunk: str | int = "1 GiB",
    block: str | int = "4 MiB",
    on_fault: str | None = None,
    suspect: str = "use",
    overwrite: bool = False,
    codec: str | None = None,
    readers: int | None = None,
    hook_timeout: float | None = None,
    quiet: bool = False,
    name: str = "",
    report: Any = False,
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
    where : str, Labels or what they take, optional
        Only frames for which this holds are read: ``"xgm > 800 & lit"``, or booleans for frames or trains.
    labels : mapping of str to Key, PulseKey, Labels, path or Result, or a Result
        What names in `where` stand for; see `plan`.
    modules : sequence of int, Result or labelled array, optional
        Only these modules of detectors are read.
    roi : (slice, slice), Result or array, optional
        Only these pixels of each module are read.
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
    codec : str, optional
        How arrays are compressed: "deflate", "bitshuffle+lz4", "bitshuffle+zstd", of HDF5 files also "blosc2".
    readers : int, optional
        Threads per worker that read ahead; found out on the first chunks by default.
    hook_timeout : float, optional
        Seconds that a call of a hook may take.
    quiet : bool
        Show no progress.
    name : str
        What this pass is called: in its report, and kept with the result.
    report : bool or path
        Write a page about the result when it is there: ``x.html`` beside ``x.zarr``, or what is given, in place of an
        earlier report at most.

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
        where=where,
        labels=labels,
        modules=modules,
        roi=roi,
        mask=mask,
        mask_bits=mask_bits,
        resume=resume,
        chunk=chunk,
        block=block,
        on_fault=on_fault,
        suspect=suspect,
        overwrite=overwrite,
        codec=codec,
        readers=readers,
        hook_timeout=hook_timeout,
        quiet=quiet,
        name=name,
    )
    reports = reporting(planned, report)
    return reports(execute(planned, cluster, quiet=quiet))


def reporting(planned: Plan, report: Any) -> Callable[[Result], Result]:
    """Return what writes the page about the result of a plan, if one is wanted, and returns the result.

    Raises
    ------
    PlanError
        If it could not be written.
    """
    if report is None or report is False:
        return lambda result: result
    # What stands above the names of this file.
    found: Callable[[Result], Result] = import_module("dxflow.pages.report").reporting(planned, report)
    return found
