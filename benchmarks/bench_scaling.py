"""From one worker to many: two against one here, jobs of a real Slurm, 64 workers that sleep, a model up to 256 nodes.

python benchmarks/bench_scaling.py [--small] [--json FILE] [--data "10 TB"] [--per-node 32] [--node-reads "10 GB"]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchkit import data, model, script
from benchkit.many import many_workers, sleeping
from benchkit.tasks import Busy, busy_alone

import dxflow
from dxflow import sizes
from dxflow.algorithms.average import Average
from dxflow.bench.crew import Crew
from dxflow.bench.rounds import Cannot, Case, Group, Measured, Ratio, Sample
from dxflow.bench.subject import Subject, workers
from dxflow.bench.tasks import Nothing
from dxflow.clusters import Local, Slurm
from dxflow.disk.fragments import Address
from dxflow.driver.merges import FAN_IN
from dxflow.slurm import commands
from dxflow.testing.case import cut
from dxflow.worker import merging
from dxflow.worker.chunk import run_chunk
from dxflow.worker.workspace import Workspace

MANY = 64


def workers_group(one: Subject, two: Subject, times: int) -> Group:
    """Twice as many workers, for an algorithm that computes and for one that reads."""
    busy = Busy(times=times)
    shape, frames = (
        one.plan.inputs[0].location.shape,
        int(one.plan.bytes_to_read) // one.plan.inputs[0].frame_bytes,
    )
    n = two.workers
    cases = {
        "1 worker": one.dxflow(lambda: [Busy(times=times)]),
        f"{n} workers": two.dxflow(lambda: [Busy(times=times)]),
        "1 process, no dxflow": alone(one.crew, frames // 8, shape, times),
        f"{n} processes, no dxflow": alone(two.crew, frames // 8, shape, times),
        "average, 1 worker": one.dxflow(lambda: [Average()]),
        f"average, {n} workers": two.dxflow(lambda: [Average()]),
    }
    names = list(cases)
    work = f"{busy.name}: computing"
    target = 1.8 if n == 2 else None
    ratios = (
        Ratio(work, names[1], (names[0],), target),
        Ratio("the same without dxflow: what the machine has", names[3], (names[2],)),
        Ratio("average: reading from memory", names[5], (names[4],)),
    )
    return Group("workers of this machine", cases, ratios)


def alone(crew: Crew, blocks: int, shape: tuple[int, ...], times: int) -> Case:
    """Return the case of computing as much in each process as there are, in blocks of one size."""
    each = max(1, blocks // len(crew.addresses))
    return lambda: crew.time(busy_alone, [(each, 8)] * len(crew.addresses), shape, times)


def slurm_group(path: str) -> Group:
    """What jobs of Slurm cost that do nothing, against worker processes of this machine."""

    def jobs() -> Sample:
        if not commands.there():
            raise Cannot("there is no Slurm here")
        with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
            try:
                return whole(path, f"{folder}/x.zarr", Slurm(jobs=3, cores=1, poll=0.5))
            except commands.SlurmError as e:
                raise Cannot(str(e).splitlines()[0][:80]) from e

    cases = {
        "Slurm, 3 jobs": jobs,
        "Local, 2 workers": lambda: whole(path, None, Local(2)),
    }
    ratio = Ratio("start, a few chunks, end: execute()", "Slurm, 3 jobs", ("Local, 2 workers",), by="seconds")
    return Group("overhead of Slurm, queue included", cases, (ratio,))


def whole(path: str, to: str | None, cluster: Any) -> Sample:
    """Time everything of a small reduction."""
    plan, start = dxflow.plan(path, Nothing(), to), perf_counter()
    dxflow.execute(plan, cluster)
    return Sample(perf_counter() - start)


def many_group(
    client: Any, work: Workspace, costs: model.Costs, count: int, lengths: Sequence[float]
) -> Group:
    """Pass of sleeping workers, where they bound it and where the scheduler does, against the model."""
    cases: dict[str, Case] = {}
    ratios, chunks = [], 8 * count
    for seconds in lengths:
        cost = replace(costs, chunk=seconds, node=0.0, filesystem=0.0)
        predicted = model.predict(cost, chunks, count)
        measured, foretold = f"{seconds:g} s each", f"model, {seconds:g} s each"
        cases[measured] = sleeping(client, work, chunks, seconds)
        cases[foretold] = lambda seconds=predicted.chunks: Sample(seconds)
        ratios.append(
            Ratio(
                f"{chunks} chunks on {count} workers that sleep", measured, (foretold,), 1.3, False, "seconds"
            )
        )
    return Group("the scheduler of the model", cases, tuple(ratios))


def merge_seconds(path: str, folder: str) -> float:
    """Return how long merging as many partials takes as are merged at once."""
    plan = dxflow.plan(path, Average(), f"{folder}/merge.zarr", cluster="here")
    plan = cut(plan, max(1, len(plan.train_ids) // FAN_IN))
    work = Workspace(plan, Path(folder))
    for number in range(len(plan.chunks)):
        run_chunk(work, number)
    leaves = [(c.number, plan.address(work.folder, c.number)) for c in plan.chunks]
    times = []
    for n in range(4):
        start = perf_counter()
        merging.merge(work, 0, leaves[:FAN_IN], Address(work.folder / f"merged-{n}.fragment", ""))
        times.append(perf_counter() - start)
    return median(times[1:]) * FAN_IN / min(FAN_IN, len(leaves))


@contextmanager
def subjects(path: str, count: int) -> Any:
    """Lend one and several workers, and the seconds that the first one took to start."""
    start = perf_counter()
    with workers(1) as (one, apart):
        seconds = perf_counter() - start
        with workers(count) as (several, _):
            yield Subject(path, one, apart), Subject(path, several, apart), seconds


def costs_of(found: Measured, args: argparse.Namespace, merge: float, start: float) -> model.Costs:
    """Return the costs of averaging a run in chunks of the usual size."""
    samples = found.samples("average, 1 worker")
    rate = median(s.steady for s in samples)
    finish = median(s.seconds - (s.inside or s.seconds) for s in samples)
    size = sizes.parse(args.chunk)
    return model.Costs(
        size / rate,
        0.0,
        merge,
        finish,
        start,
        0.0,
        size,
        sizes.parse(args.filesystem) if args.filesystem else 0.0,
    )


def measured_scheduler(client: Any, work: Workspace, tasks: int) -> float:
    """Return the seconds that a task costs scheduler and driver, if it does nothing."""
    case = sleeping(client, work, tasks, 0.0)
    case()
    return median(case().seconds for _ in range(3)) / tasks


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = script.parser(__doc__)
    parser.add_argument("--data", default="10 TB", help="of the model: bytes of the run")
    parser.add_argument("--chunk", default="1 GiB", help="of the model: bytes of a chunk")
    parser.add_argument("--per-node", type=int, default=32, help="of the model: workers on a node")
    parser.add_argument(
        "--filesystem", default="", help="of the model: bytes per second of all nodes together"
    )
    args = parser.parse_args(argv)
    if args.only:
        parser.error("--only: the model needs all groups")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parsed(argv)
    shape = {"module_shape": (8, 8)} if args.small else {}
    size = {"trains": 8, "pulses": 4} if args.small else {"trains": 16, "pulses": 32}
    with tempfile.TemporaryDirectory() as folder, data.simulated(small=args.small, **size, **shape) as truth:
        session = script.Session(args, {**size})
        with subjects(truth.path, args.workers) as (one, two, start):
            found = session.add(workers_group(one, two, 2 if args.small else 12))
        costs = costs_of(found, args, merge_seconds(truth.path, folder), start)
        session.add(slurm_group(truth.path))
        work = Workspace(dxflow.plan(truth.path, Nothing(), cluster="here"), Path(folder))
        count, lengths = (4, [0.05]) if args.small else (MANY, [1.0, 0.25, 0.02])
        with many_workers(1) as (_, first):
            pass
        with many_workers(count) as (client, last):
            handing = measured_scheduler(client, work, 16 * count)
            join = max(0.0, last - first) / (count - 1)
            costs = replace(costs, handing=handing, join=join)
            session.add(many_group(client, work, costs, count, lengths))
    chunks = max(1, sizes.parse(args.data) // costs.chunk_bytes)
    rows = model.predictions(costs, chunks, args.per_node)
    session.facts |= {"model": {"costs": asdict(costs), "chunks": chunks, "rows": rows}}
    session.write()
    print(script.MEANING)
    print(
        f"\nAverage of {args.data} in {chunks} chunks, {args.per_node} workers per node:\n{model.text(rows)}"
    )
    print(f"Measured: {', '.join(f'{k} {v:.3g}' for k, v in asdict(costs).items())}\n{model.ASSUMPTIONS}")


if __name__ == "__main__":
    main()
