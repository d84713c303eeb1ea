"""What a cube of images costs beside a plain average of the same run: per GB, at no data, and of few frames.

    python benchmarks/bench_cube.py [--small] [--gb 4 16] [--bins 50] [--json FILE] [--rounds 3] [--folder DIR]

Runs of these sizes, float32 frames of an AGIPD-1M, are written one after the other. The slope is between the first and
the last of them; what is left at no data is the fixed cost: starting, merging, and writing the result.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr

import dxflow
from dxflow.algorithms.average import Average
from dxflow.analysis import Table
from dxflow.bench import machine
from dxflow.clusters import Local
from dxflow.simulate import Truth, make_run

PULSES = 64
WANTED = {"steps": 1.5, "1 of 10": 0.2}
"""Slope over that of the average; seconds of one frame in ten over those of all."""
SMALL = {"detector": "AGIPD500K", "trains": 4, "pulses": 4, "module_shape": (32, 32)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--small", action="store_true", help="sizes that take seconds: the numbers mean nothing")
    add("--gb", type=float, nargs="+", default=[1, 2], help="GB of frames of each run; default 1 2")
    add("--bins", type=int, default=50)
    add("--rounds", type=int, default=3, help="in which cases take turns")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add("--json", type=Path, help="write the numbers to this file")
    add("--folder", type=Path, help="where runs are written")
    args = parser.parse_args(argv)
    seconds: dict[str, list[float]] = {}
    sizes, facts = [], dict[str, Any]()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-cube-", dir=args.folder))
        local = Local(args.workers)
        stack.callback(local.close)
        cluster = local.start()
        stack.callback(cluster.close)
        # Kernels are loaded, and workers have all they need.
        if not args.small:
            measure(make_run(Path(name) / "warm", **_size(True, 0, 0)), args.bins, 1, cluster)
        for number, gb in enumerate(args.gb):
            truth = make_run(Path(name) / f"r{number}", **_size(args.small, gb, number))
            sizes.append(len(truth.pulse_ids) * truth.expected.size * 4 / 1e9)
            found, facts = measure(truth, args.bins, args.rounds, cluster)
            for what, value in found.items():
                seconds.setdefault(what, []).append(value)
            for file in Path(truth.path).glob("*.h5"):
                file.unlink()
    print(report(sizes, seconds, facts))
    if args.json:
        args.json.write_text(
            json.dumps({"gb": sizes, "seconds": seconds, **facts, **machine.facts()}, indent=1)
        )


def _size(small: bool, gb: float, number: int) -> dict[str, Any]:
    base = {"sequences": 1, "pool": 2, "devices": (), "layout": "contiguous"}
    if small:
        return base | SMALL | {"trains": 4 * (number + 1)}
    frame = 16 * 512 * 128 * 4
    return base | {"trains": max(1, round(gb * 1e9 / frame / PULSES)), "pulses": PULSES}


def table_of(truth: Truth, bins: int) -> Table:
    """Return a table with a position for each frame: of a motor that goes from step to step, and at random."""
    n = len(truth.pulse_ids)
    random = np.random.default_rng(0)
    data = {
        "steps": ("pulse", np.arange(n) * bins // n),
        "random": ("pulse", random.integers(0, bins, n)),
        "chosen": ("pulse", random.random(n) < 0.1),
        "i0": ("pulse", random.gamma(9, 1, n)),
    }
    ids = {"train_id": ("pulse", truth.frame_train_ids), "pulse_id": ("pulse", truth.pulse_ids)}
    return Table(xr.Dataset(data, ids, {"run": str(truth.path), "rows": "frames"}))


def measure(truth: Truth, bins: int, rounds: int, cluster: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the seconds of each case, and what is known of the result."""
    ev, known, how = table_of(truth, bins), dict[str, Any](), {"cluster": cluster, "quiet": True}
    edges = np.arange(bins + 1) - 0.5

    def cube(axis: str, **options: Any) -> Callable[[], None]:
        def made() -> None:
            result = ev.cube({axis: edges}, images=True, **options, **how).result
            assert result is not None
            known["result bytes"] = sum(f.stat().st_size for f in result.path.rglob("*") if f.is_file())
            known[f"read, {axis}{', 1 of 10' * ('where' in options)}"] = result.times["bytes"]

        return made

    cases: dict[str, Callable[[], Any]] = {
        "average": lambda: dxflow.reduce(truth.path, Average(), **how),
        "steps": cube("steps"),
        "random": cube("random"),
        "1 of 10": cube("steps", where="chosen"),
        "steps, over i0": cube("steps", normalise="i0"),
    }
    taken: dict[str, list[float]] = {what: [] for what in cases}
    for _ in range(rounds):
        for what, case in cases.items():
            start = perf_counter()
            case()
            taken[what].append(perf_counter() - start)
    return {what: median(each) for what, each in taken.items()}, known


def report(sizes: list[float], seconds: dict[str, list[float]], facts: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    slopes = {
        what: np.polyfit(sizes, each, 1) if len(sizes) > 1 else (each[0] / sizes[0], 0.0)
        for what, each in seconds.items()
    }
    head = [
        f"{'case':<16}",
        *(f"{gb:>9.2f} GB" for gb in sizes),
        f"{'s/GB':>9}",
        f"{'fixed s':>9}",
        f"{'/ average':>10}",
        f"{'/ steps':>9}",
    ]
    lines = ["".join(head)]
    for what, each in seconds.items():
        slope, fixed = slopes[what]
        of_average, of_all = slope / slopes["average"][0], each[-1] / seconds["steps"][-1]
        numbers = [*(f"{value:>10.3f} s" for value in each), f"{slope:>9.3f}", f"{fixed:>9.3f}"]
        lines.append("".join([f"{what:<16}", *numbers, f"{of_average:>10.2f}", f"{of_all:>9.2f}"]))
    lines.append(f"wanted: steps / average <= {WANTED['steps']}, 1 of 10 / steps <= {WANTED['1 of 10']}")
    return "\n".join([*lines, *(f"{what}: {value / 1e6:.1f} MB" for what, value in facts.items())])


if __name__ == "__main__":
    main()
