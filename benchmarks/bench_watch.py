"""What it costs to watch runs that do not change: processor time a minute of the watcher and of what looks for it.

    python benchmarks/bench_watch.py [--small] [--json FILE] [--runs 1000] [--seconds 120] [--folder DIR]

Runs are folders of `--files` files, complete, and done by two tasks. The watcher is the command itself, with its usual
interval.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from dxflow.bench import machine
from dxflow.simulate import make_run
from dxflow.watch import orders
from dxflow.watch.seeing import DESCRIBED
from dxflow.watch.state import DONE, Row, Run, State

WANTED = 0.1
"""Seconds of processor time a minute."""
SIZE = {"runs": 1000, "files": 20, "seconds": 120}
SMALL = {"runs": 20, "files": 2, "seconds": 3}
CONFIG = """\
results: out
{every}tasks:
  table: {{do: "table {{path}}", to: "tables/{{name}}.zarr"}}
  mean: {{do: "reduce {{path}} average", to: "mean/{{name}}.zarr", where: {{detectors: "*AGIPD*"}}}}
"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a size that takes seconds")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--folder", type=Path, help="where the runs are made; default: a temporary folder")
    parser.add_argument("--every", type=float, help="seconds between looks; default: that of dxflow watch")
    for name, value in SIZE.items():
        parser.add_argument(f"--{name}", type=int, help=f"default {value}")
    args = parser.parse_args(argv)
    size = {name: getattr(args, name) or (SMALL if args.small else SIZE)[name] for name in SIZE}
    every = args.every or (0.5 if args.small else None)
    with tempfile.TemporaryDirectory(prefix="bench-watch-", dir=args.folder) as name:
        prepare(Path(name), size["runs"], size["files"], every)
        cost, memory = measure(Path(name), size["seconds"])
    a_minute = cost * 60 / size["seconds"]
    told = "" if args.small else f", wanted {WANTED} s: {'reached' if a_minute <= WANTED else 'NOT REACHED'}"
    print(
        f"{size['runs']} runs of {size['files']} files that do not change, looked at every "
        f"{every or orders.Orders.every:g} s for {size['seconds']} s:\n"
        f"processor time a minute {a_minute:.3f} s{told}; memory {memory / 1e6:.0f} MB"
    )
    if args.json:
        args.json.write_text(
            json.dumps({"size": size, "cpu_s_per_minute": a_minute, **machine.facts()}, indent=1)
        )


def prepare(folder: Path, runs: int, files: int, every: float | None) -> None:
    """Make runs, and the state of a watcher that has done everything."""
    (folder / "what.yaml").write_text(CONFIG.format(every=f"every: {every}\n" if every else ""))
    make_run(folder / "one", detector=None, trains=2, pulses=2, devices=("xgm",))
    content = next((folder / "one").glob("*.h5")).read_bytes()
    (folder / "out").mkdir()
    state = State(folder / "out")
    made: list[Run | Row] = []
    for number in range(1, runs + 1):
        run = folder / "raw" / f"r{number:04d}"
        run.mkdir(parents=True)
        for file in range(files):
            (run / f"RAW-R{number:04d}-DA{file:02d}-S00000.h5").write_bytes(content)
        facts = {"name": run.name, "run": number, "trains": 2, "files": files, "bytes": files * len(content)}
        facts["described"] = DESCRIBED
        facts["detectors"] = ["SPB_DET_AGIPD1M-1"]
        made.append(Run(run.name, str(run), run.stat().st_mtime_ns, time.time(), facts=facts))
        for task in orders.of(folder / "what.yaml").tasks.values():
            made.append(Row(run.name, task.name, task.content, state=DONE, began=1.0, ended=2.0))
    state.put(*made)
    state.close()


def measure(folder: Path, seconds: float) -> tuple[float, int]:
    """Return processor seconds and bytes of memory of the watcher and its children, once it only looks."""
    words = [sys.executable, "-m", "dxflow", "watch", "raw", "--do", "what.yaml"]
    watcher = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        # It writes the page when it has looked for the first time.
        while not (folder / "out" / "index.html").exists():
            if watcher.poll() is not None:
                raise SystemExit(f"the watcher ended with code {watcher.returncode}")
            time.sleep(0.1)
        time.sleep(1.0)
        before, _ = spent(watcher.pid)
        time.sleep(seconds)
        after, memory = spent(watcher.pid)
    finally:
        watcher.terminate()
        watcher.wait()
    return after - before, memory


def spent(pid: int) -> tuple[float, int]:
    """Return processor seconds and memory of a process with its children."""
    parent = psutil.Process(pid)
    every = [parent, *parent.children(recursive=True)]
    times = [one.cpu_times() for one in every]
    return sum(t.user + t.system for t in times), sum(one.memory_info().rss for one in every)


if __name__ == "__main__":
    main()
