"""Makes a planned copy: a task per file, then a manifest and one rename."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from ..clusters.named import connect
from ..disk.manifest import COPY
from ..driver.copied import CopyReport
from ..driver.progress import Progress, during
from ..errors import PlanError
from ..errors.kinds import FLAG, expect
from ..reader.stretches import stretches
from . import notes
from .coding import found_in
from .hands import Hands, failed
from .lit import parted
from .plan import CopyPlan, plan_copy
from .tasks import FileTask

Digest = tuple[int, int]
"""Size and CRC-32."""

SELECTING = ("frames", "sources", "modules", "trains", "region", "codec", "round")
"""Options that may leave something out of a file, so that HDF5 has to write it anew."""


def copy_run(
    run: Any, to: str | Path, *, cluster: Any = None, dry_run: bool = False, **options: Any
) -> CopyReport:
    """Copy a run, or what is selected of it; all else is as it was.

    Parameters
    ----------
    run
        A run directory, a file, (proposal, run) or an opened run.
    to : path
        Directory of the copy; it appears under this name when it is complete.
    frames : optional
        Frames of the detectors to keep, as `dxflow.reduce` takes them: a `FrameSelection`, a boolean array, a labelled
        one, a `Result` of a selecting algorithm; or `Lit`, the frames with X-rays. All other keys of the same index
        group (``image.*``) are cut alike.
    sources : str or sequence of str, optional
        Patterns (``*XGM*``) of sources to keep.
    modules : sequence of int, result or labelled array, optional
        Module numbers of the detectors to keep; of an earlier result its output ``modules``.
    trains : slice, sequence of int, ``First(200)``, or ``by_index[...]`` of EXtra-data, optional
        Train ids to keep; a slice is a half-open range of ids, ``dxflow.run.selection.First`` so many
        from the start. Other trains are left out of all files.
    detector : str, optional
        Where there are several, the one that `frames`, `modules` and `region` are about.
    region : result or array, optional
        Pixels that are kept: an earlier result's ``mask`` (module, ss, fs; true inside), or a table of regions. Pixels
        outside are replaced in the images (and gains), so that compression makes nothing of them; masks stay.
    outside : {0, nan}, optional
        What pixels outside become: NaN in floats and 0 in integers, by default.
    resume, overwrite : bool
        Go on with an interrupted copy, or take the finished one; replace an older copy or begin an interrupted one
        afresh. With both, what is there is gone on with if it is this copy, and replaced if it is another.
    codec : str, optional
        How pixels of detectors are stored: "deflate", "bitshuffle+lz4", "bitshuffle+zstd", "blosc2", and with an
        absolute bound "quantised", "sz3", "zfp". By default as they were; with `round`, "deflate".
    round : str or mapping, optional
        By how much their floats may be changed: ``"abs=0.5"``, ``"rel=1e-3"`` or both, ``"abs=0.5,rel=1e-3"``: the
        larger of the two. Every frame is compared with it; one that would break it is stored without loss.
    sync : bool
        Wait until the disk has all, so that the copy lasts through a power loss.
    cluster : optional
        None: processes of this machine, one per core; ``"here"``: one after the other; a `distributed.Client`; or an
        object of `dxflow.clusters`.
    quiet : bool
        Show no progress.
    name : str
        What this copy is called: in its report, and kept with it.
    dry_run : bool
        Only plan it: nothing is written, the report has the expected sizes.

    Returns
    -------
    CopyReport

    Raises
    ------
    PlanError
        If it cannot work, before anything is written.
    WriteError
        If a file cannot be copied. Finished files are kept beside `to`: ``resume=True`` goes on with the others.

    Notes
    -----
    Compressed chunks are copied as they are, unless their pixels change. A file of which everything remains is copied
    byte by byte. Of files that are cut, each is written by a process of its own. A manifest, ``dxflow.json``, says what
    was left out, and has size and checksum of each file, so that ``dxflow verify`` finds damage; files of format 1.3 or
    newer say what was left out themselves, in ``REDUCTION/FRAME_REDUCTION/<source>``, and which pixels are inside of a
    region in ``RUN/REGION_REDUCTION/<source>``.

    Examples
    --------
    >>> from dxflow import FrameSelection
    >>> dxflow.copy_run("raw/r0034", "red/r0034", frames=FrameSelection(pulses=slice(0, 100)))  # doctest: +SKIP
    """
    begun = time.monotonic()
    expect(FLAG, dry_run, "dry_run=", PlanError)
    with ExitStack() as stack:
        crew = _crew(stack, coded=options.get("round") is not None)
        if cluster is None and not dry_run and any(options.get(name) is not None for name in SELECTING):
            # They load their libraries while this process plans.
            for hands in crew:
                hands.start()
        quiet = bool(options.get("quiet"))
        made = partial(plan_copy, run, to, cluster=cluster, **options)
        # What finds lit frames shows its own progress.
        lit = parted(options.get("frames"))[0]
        plan = made() if lit else during("planning the copy", made, quiet=quiet)
        return _dry(plan) if dry_run else _execute(plan, cluster, crew, begun)


def _dry(plan: CopyPlan) -> CopyReport:
    """Return what a copy would be, and that it would be refused if so."""
    first, report = plan.refused.partition(":\n")[0], plan.finished or plan.report
    return replace(report, notes=(*report.notes, *([f"it would be refused: {first}"] if first else ())))


def execute(plan: CopyPlan, cluster: Any = None) -> CopyReport:
    """Make a planned copy; `cluster` as `copy_run`."""
    with ExitStack() as stack:
        return _execute(plan, cluster, _crew(stack, coded=plan.rounds), time.monotonic())


def _crew(stack: ExitStack, *, coded: bool) -> list[Hands]:
    """Return as many hands as there are cores; they start when they are first needed."""
    return [stack.enter_context(Hands(coded=coded)) for _ in os.sched_getaffinity(0)]


def _execute(plan: CopyPlan, cluster: Any, crew: list[Hands], begun: float) -> CopyReport:
    """Do the tasks that are left, write the manifest and give the copy its name."""
    if plan.refused:
        raise PlanError(plan.refused)
    folder = plan.folder
    # It may have been removed since.
    if plan.finished is not None and folder.path.exists():
        folder.settle()
        return plan.finished
    names, options = [t.name for t in plan.tasks], {"resume": plan.resume, "overwrite": plan.overwrite}
    with folder.begun(plan.fingerprint(), names, **options) as done:
        files = dict(done)
        left = [n for n, task in enumerate(plan.tasks) if task.name not in done]
        try:
            files |= _run(plan, left, cluster, crew)
        except (OSError, KeyboardInterrupt) as e:
            e.add_note(
                f"Finished files are kept in {folder.partial}; resume=True (--resume) goes on with the others"
            )
            raise
        report = _measured(plan, files, time.monotonic() - begun)
        folder.commit(_manifest(plan, report), files, sync=plan.sync, overwrite=plan.overwrite)
    return report


def _run(plan: CopyPlan, numbers: list[int], cluster: Any, crew: list[Hands]) -> dict[str, Digest]:
    """Do the tasks with these numbers; return bytes and CRC-32 of each file."""
    made: dict[str, Digest] = {}
    with (
        Progress("starting workers", quiet=plan.quiet) as progress,
        _done(plan, numbers, cluster, crew) as done,
    ):
        progress.phase("copying", len(numbers), "files")
        for name, digest in done:
            made[name] = digest
            progress.add(1)
    return made


@contextmanager
def _done(
    plan: CopyPlan, numbers: list[int], cluster: Any, crew: list[Hands]
) -> Iterator[Iterator[tuple[str, Digest]]]:
    """Give the files as they are done: by processes of this machine, or on a cluster."""
    if cluster is None:
        yield _in_threads(plan, numbers, crew)
        return
    with connect(cluster, plan) as runner:  # type: ignore[arg-type]  # a runner hands on what it is given
        yield runner.results(runner.map(copy_file, numbers))


def copy_file(plan: CopyPlan, number: int) -> tuple[str, Digest]:
    """Do a task, on a worker; return name, bytes and CRC-32 of the file."""
    with Hands(coded=plan.rounds) as hands:
        return _do(plan, number, hands)


def _do(plan: CopyPlan, number: int, hands: Hands) -> tuple[str, Digest]:
    task, folder = plan.tasks[number], plan.folder.partial
    made = hands.copy(task, folder, sync=plan.sync, attempt=plan.folder.attempt)
    # A file without a note is copied again when an interrupted copy goes on.
    try:
        notes.write(folder, task.name, made)
    except OSError as e:
        raise failed(task, folder, e) from e
    return task.name, made


def _in_threads(plan: CopyPlan, numbers: Iterable[int], crew: list[Hands]) -> Iterator[tuple[str, Digest]]:
    """Do tasks in as many processes as there are hands, each fed by a thread."""
    idle: SimpleQueue[Hands] = SimpleQueue()
    for hands in crew:
        idle.put(hands)

    def work(number: int) -> tuple[str, Digest]:
        hands = idle.get()
        try:
            return _do(plan, number, hands)
        finally:
            idle.put(hands)

    with ThreadPoolExecutor(len(crew)) as pool:
        futures = [pool.submit(work, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # What is being written ends with an error in its thread.
            for hands in crew:
                hands.stop()
            raise


def _measured(plan: CopyPlan, made: dict[str, Digest], seconds: float) -> CopyReport:
    """Return the report with the sizes that files came to have."""
    files = tuple(replace(f, after=made[f.name][0] if f.name in made else f.after) for f in plan.report.files)
    found = found_in(plan.folder.partial, plan.tasks)
    return replace(plan.report, files=files, seconds=seconds, **found)


def _manifest(plan: CopyPlan, report: CopyReport) -> dict[str, Any]:
    """Return what the copy says of itself."""
    return {
        "kind": COPY,
        "state": "complete",
        "run": plan.run,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: version(name) for name in ("dxflow", "h5py", "numpy", "extra-data")},
        "fingerprint": plan.fingerprint(),
        "selection": dict(plan.parameters),
        "dropped": _dropped(plan),
        "report": report.json(),
        "losses": [],
        "account": [],
        "times": {"wall": report.seconds, "bytes": report.after},
    }


def _dropped(plan: CopyPlan) -> dict[str, Any]:
    """Return what is left out of each file that is cut."""
    return {t.name: _of_task(t, said_in_file=t.name not in plan.unsaid) for t in plan.tasks if not t.whole}


def _of_task(task: FileTask, *, said_in_file: bool) -> dict[str, Any]:
    """Return what is left out of a file; which entries are kept, only if the file has no section for it."""
    facts: dict[str, Any] = {"sources": sorted(task.dropped), "groups": {}}
    if task.trains is not None:
        facts["rows_of_trains_kept"] = kept_stretches(task.trains)
    for name, cut in task.cuts.items():
        group = {"before": int(cut.before.sum()), "after": int(cut.counts.sum())}
        lists = {"counts": cut.counts.tolist(), "indicesBeforeReduction": cut.entries.tolist()}
        facts["groups"][name] = group | ({} if said_in_file else lists)
    filled = {
        p: s.json(said_in_file=said_in_file) for p, (s, *_) in task.pixels.items() if hasattr(s, "json")
    }
    return facts | ({"pixels": filled} if filled else {})


def kept_stretches(keep: NDArray) -> list[list[int]]:
    """Return [start, stop] of each stretch of true values."""
    return [[a, b] for a, b in stretches(keep[1:] == keep[:-1], len(keep)) if keep[a]]
