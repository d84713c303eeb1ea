"""What dxflow costs beside the data: importing, planning, starting workers, blocks and chunks that do nothing.

python benchmarks/bench_overhead.py [--small] [--json FILE]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import extra_data
from benchkit import data, hooks, script
from benchkit.overhead import empty_chunks

import dxflow
from dxflow import Frames
from dxflow.bench import floor
from dxflow.bench.rounds import Case, Group, Ratio, Sample
from dxflow.bench.subject import workers
from dxflow.bench.tasks import Nothing
from dxflow.clusters import Local


def once(work: Callable[[], Any]) -> Case:
    """Return the case of doing something once."""

    def case() -> Sample:
        start = perf_counter()
        work()
        return Sample(perf_counter() - start)

    return case


def imports_group() -> Group:
    def fresh(code: str) -> Case:
        return once(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    cases = {"import dxflow": fresh("import dxflow"), "import numpy": fresh("import numpy")}
    return Group("import", cases, (by_seconds("import dxflow", "import dxflow", "import numpy"),))


def by_seconds(work: str, of: str, to: str) -> Ratio:
    return Ratio(work, of, (to,), by="seconds")


def plan_group(path: str, frames: int) -> Group:
    cases = {
        "plan()": once(lambda: dxflow.plan(path, Nothing())),
        "RunDirectory()": once(lambda: extra_data.RunDirectory(path)),
    }
    return Group("plan", cases, (by_seconds(f"plan of {frames} frames", "plan()", "RunDirectory()"),))


def start_group(count: int) -> Group:
    def ours() -> None:
        cluster = Local(count)
        cluster.start().close()
        cluster.close()

    def bare() -> None:
        from distributed import Client, LocalCluster

        with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
            Client(cluster, set_as_default=False).close()

    cases = {"clusters.Local": once(ours), "LocalCluster": once(bare)}
    ratio = by_seconds("start and end workers", "clusters.Local", "LocalCluster")
    return Group("workers", cases, (ratio,))


def block_group(path: str) -> Group:
    one = {"img": Frames(modules=(0,))}
    blocks = hooks.Blocks(path, [Nothing(**one)], block=1, chunk="1 GiB")
    spans = floor.spans(blocks.plan)
    frame = blocks.plan.inputs[0].frame_bytes
    count = sum(s.nbytes for s in spans) // frame
    cases = {"block": blocks.walked(), "preadv": each(lambda: floor.read(spans, frame), count)}
    ratio = by_seconds("a block of one tiny frame: read, make views, call a hook", "block", "preadv")
    return Group("blocks", cases, (ratio,))


def each(work: Callable[[], Any], count: int) -> Case:
    """Return the case of something that does `count` things, per thing."""
    case = once(work)
    return lambda: Sample(case().seconds / count)


def main(argv: list[str] | None = None) -> None:
    args = script.parser(__doc__).parse_args(argv)
    tiny = {"module_shape": (4, 4), "trains": 4 if args.small else 50, "pulses": 8 if args.small else 100}

    def groups() -> Iterator[Group]:
        yield imports_group()
        yield start_group(args.workers)
        with data.simulated(small=args.small, **tiny) as truth:
            yield plan_group(truth.path, tiny["trains"] * tiny["pulses"])
            yield block_group(truth.path)
        with workers(args.workers) as (crew, apart), empty_chunks(crew, apart, small=args.small) as group:
            yield group

    script.run(args, groups(), dict(tiny))


if __name__ == "__main__":
    main()
