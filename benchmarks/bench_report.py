"""How long the report of 40 variables of an 8 GB run takes, and how large it is.

    python benchmarks/bench_report.py [--small] [--gb 8] [--rounds 3] [--to x.html] [--json FILE]

A simulated run of AGIPD-1M is reduced once by algorithms that make images, curves, rows of frames and of events. Then
``dxflow report`` is measured as users type it, in a process of its own with all imports, and a second time within a
process that has drawn one: as ``report=True`` and the live page do. ``--to`` keeps the page, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from benchkit import data

import dxflow
from dxflow import find
from dxflow.bench import machine
from dxflow.clusters import Local
from dxflow.pages.figures import Figures
from dxflow.pages.report import write

SECONDS, BYTES, VARIABLES = 5.0, 5_000_000, 40
"""What is wanted."""
TRAIN_BYTES = 64 * 16 * 512 * 128 * 4
MADE = ("average", "sums", "assemble", "peaks", "litframes", "azint", "spihits", "roi")
"""Algorithms: 11 images, and 30 other variables."""


def reduced(args: argparse.Namespace, folder: Path, stack: ExitStack) -> Path:
    """Return the result that is reported."""
    size: dict[str, Any] = {} if args.small else {"trains": max(2, round(args.gb * 1e9 / TRAIN_BYTES))}
    run = stack.enter_context(data.simulated(small=args.small, pool=16, **size))
    with Local(args.workers).start() as cluster:
        algorithms = [find.algorithm(name)() for name in MADE]
        return dxflow.reduce(run.path, algorithms, folder / "x.zarr", cluster=cluster, quiet=True).path


def measure(path: Path, page: Path, rounds: int, geometry: Path | None) -> dict[str, Any]:
    """Return seconds and bytes of the report of a result, and what is in it."""
    command = [sys.executable, "-m", "dxflow", "report", str(path), "--to", str(page), "--quiet"]
    command += [] if geometry is None else ["--geometry", str(geometry)]
    typed, worked, within = [], [], []
    for _ in range(rounds):
        start, before = perf_counter(), _cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        typed.append(perf_counter() - start)
        worked.append(_cpu() - before)
        start = perf_counter()
        write(path, page, geometry=geometry)
        within.append(perf_counter() - start)
    figures, text = Figures(dxflow.open(path).dataset), page.read_text("utf-8")
    return {
        "variables": len(figures.names),
        "figures": text.count("<figure "),
        "not drawn": len(re.findall(r"not drawn:", text)),
        "bytes": page.stat().st_size,
        "typed s": typed,
        "typed, processor s": worked,
        "within s": within,
        "load": os.getloadavg()[0],
    }


def _cpu() -> float:
    """Return the seconds of processors that processes which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(found: dict[str, Any]) -> str:
    """Return the numbers in words."""
    typed = statistics.median(found["typed s"])
    good = typed <= SECONDS and found["bytes"] <= BYTES
    return "\n".join(
        [
            f"result   {found['variables']} variables of {found['GB']:.1f} GB, {found['figures']} pictures, "
            f"{found['not drawn']} not drawn, load {found['load']:.0f}",
            f"command  {_seconds(found['typed s'])} s with all imports, wanted {SECONDS:g} s",
            f"of that  {_seconds(found['typed, processor s'])} s of a processor, longer where others run",
            f"within   {_seconds(found['within s'])} s in a process that runs",
            f"page     {found['bytes'] / 1e6:.2f} MB, wanted {BYTES / 1e6:g} MB",
            "wanted   " + ("yes" if good and found["variables"] >= VARIABLES else "no"),
        ]
    )


def _seconds(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--small", action="store_true", help="sizes that take seconds: the numbers mean nothing")
    add("--gb", type=float, default=8, help="GB of frames of the run; default 8")
    add("--rounds", type=int, default=3)
    add("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add("--result", type=Path, help="a result that is there, in place of one that is made")
    add("--geometry", type=Path, help="of a result whose run is gone; default: that beside the run")
    add("--to", type=Path, help="keep the page here: x.html")
    add("--json", type=Path, help="write the numbers to this file")
    args = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-report-")))
        path = args.result or reduced(args, folder, stack)
        page = folder / "x.html"
        found = measure(path, page, 1 if args.small else args.rounds, args.geometry)
        found["GB"] = dxflow.open(path).times["bytes"] / 1e9
        if args.to:
            shutil.copy(page, args.to)
    print(report(found))
    if args.json:
        args.json.write_text(json.dumps(found | machine.facts(), indent=1))


if __name__ == "__main__":
    main()
