"""Much of everything: chunks, algorithms, trains, files, large options, several reductions at once.

python benchmarks/bench_load.py [--small] [--json FILE] [--only TEXT] [--workers N]

Each case is a process of its own that reduces a run of tiny modules with workers on this machine. The table says how
long `dxflow.reduce` took and the most memory that the driver, and the largest of its workers, had at any time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from benchkit import data, script

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.bench import machine
from dxflow.clusters import Local

LOOK = 0.05
"""Seconds between two looks at the memory of processes."""


class RoiSum(Algorithm):
    """Sum of each frame: next to no work, so that what is measured is dxflow."""

    ALG_ID = "roisum"
    HELP = "sum of each frame"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"sum": Output(per="img", dtype="f8")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=(1, 2), dtype="f8")


class Minus(RoiSum):
    """The same less an entry of a large array, which is an option."""

    ALG_ID = "minus"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--dark", help="a large array")

    def process_module_data(self, block, out):
        super().process_module_data(block, out)
        out.sum -= self.dark[0] + self.dark[-1]


@dataclass(frozen=True)
class Load:
    """A case: the run that is simulated for it, and how it is reduced."""

    name: str
    run: dict[str, Any]
    algorithms: Callable[[int], list[Algorithm]]
    size: int
    small: int
    options: dict[str, Any] = field(default_factory=dict)
    at_once: int = 1
    limit: str = ""


def many(count: int) -> list[Algorithm]:
    return [RoiSum(name=f"sum{n}") for n in range(count)]


def one(_: int) -> list[Algorithm]:
    return [RoiSum()]


def with_option(megabytes: int) -> list[Algorithm]:
    return [Minus(dark=np.zeros(megabytes * 10**6 // 8))]


TRAINS = {"detector": "AGIPD500K", "pulses": 1}
FILES = {"detector": "JUNGFRAU1", "pulses": 1}
CASES = (
    Load("chunks", {**TRAINS, "trains": None}, one, 2000, 20, {"chunk": "1 KiB", "block": "1 KiB"}),
    Load("algorithms", {**TRAINS, "trains": 100}, many, 200, 4),
    Load("trains", {**TRAINS, "trains": None, "sequences": 4}, one, 20_000, 40),
    Load("files", {**FILES, "trains": None, "sequences": None}, one, 1000, 10, limit="driver <= 600 MB"),
    Load("MB of an option", {**TRAINS, "trains": 20}, with_option, 400, 4, limit="driver <= 1200 MB"),
    Load("trains, three at once", {**TRAINS, "trains": None}, one, 2000, 20, at_once=3),
)


@dataclass
class Line:
    """A line of the table."""

    case: str
    size: int
    seconds: float
    driver: float
    worker: float
    limit: str


def reduce_here(case: Load, size: int, run: str, workers: int) -> None:
    """Reduce in this process and print how long it took; whoever started it looks at its memory."""
    frames = case.run["trains"] or size
    start = time.perf_counter()
    result = dxflow.reduce(run, case.algorithms(size), cluster=Local(workers=workers), **case.options)
    seconds = time.perf_counter() - start
    values = [v.values for v in result.dataset.data_vars.values() if v.ndim == 1 and v.dtype.kind == "f"]
    if not values or any(len(v) != frames or not np.isfinite(v).all() for v in values):
        sys.exit(f"{case.name}: the result is not what it should be")
    print(json.dumps(seconds))


class Watch(threading.Thread):
    """Looks at the memory of a driver and of the processes below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.driver, self.worker = psutil.Process(pid), 0, 0

    def run(self) -> None:
        while self.process.is_running():
            try:
                self.driver = max(self.driver, self.process.memory_info().rss)
                below = [_rss(p) for p in self.process.children(recursive=True)]
            except psutil.Error:
                return
            self.worker = max([self.worker, *below])
            time.sleep(LOOK)


def _rss(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def measured(case: Load, size: int, run: str, workers: int) -> Line:
    """Return the line of a case: the slowest and largest where several run at once."""
    number = str(CASES.index(case))
    command = [sys.executable, __file__, "--here", number, str(size), run, str(workers)]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(case.at_once)]
    watches = [Watch(d.pid) for d in drivers]
    for watch in watches:
        watch.start()
    printed = [d.communicate()[0] for d in drivers]
    if any(d.returncode for d in drivers):
        raise RuntimeError(f"{case.name} failed")
    return Line(
        case.name,
        size,
        max(json.loads(p) for p in printed),
        max(w.driver for w in watches) / 1e6,
        max(w.worker for w in watches) / 1e6,
        case.limit,
    )


@contextmanager
def simulated(case: Load, size: int) -> Iterator[str]:
    """Lend the run of a case."""
    given = {key: size if value is None else value for key, value in case.run.items()}
    shape = {"module_shape": (8, 8), "layout": "chunked", "pool": 4}
    with data.simulated(small=True, **{"sequences": 1, **shape, **given}) as truth:
        yield str(truth.path)


def text(lines: Sequence[Line]) -> str:
    """Return the table."""
    head = f"{'case':32} {'s':>8} {'driver MB':>10} {'worker MB':>10}  limit"
    rows = (
        f"{f'{line.size:,} {line.case}':32} {line.seconds:8.1f} {line.driver:10.0f} {line.worker:10.0f}  {line.limit}"
        for line in lines
    )
    return "\n".join([head, *rows])


def main(argv: list[str] | None = None) -> None:
    args = script.parser(__doc__).parse_args(argv)
    lines = []
    for case in CASES:
        if args.only not in case.name:
            continue
        size = case.small if args.small else case.size
        sys.stderr.write(f"{size:,} {case.name} ...\n")
        with simulated(case, size) as run:
            lines.append(measured(case, size, run, args.workers))
        sys.stderr.write(text(lines[-1:]) + "\n")
    facts = {
        "small": args.small,
        "workers": args.workers,
        "load_average": os.getloadavg()[0],
    } | machine.facts()
    if args.json:
        Path(args.json).write_text(json.dumps(facts | {"rows": [asdict(line) for line in lines]}, indent=1))
    print(f"load average {facts['load_average']:.1f}, {args.workers} workers each\n{text(lines)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        chosen, size, run, workers = sys.argv[2:]
        reduce_here(CASES[int(chosen)], int(size), run, int(workers))
    else:
        main()
