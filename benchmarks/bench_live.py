"""How far a live reduction is behind a run that grows at 10 trains/s of an AGIPD-1M, and whether it keeps up.

    python benchmarks/bench_live.py [--small] [--gb 8] [--rate 10] [--chunk 8] [--sequence 8] [--json FILE]

All files are written before, and closed by renaming them into the run directory at their time: the writer costs
nothing. A snapshot is behind by the time from the rename of the last file of its last chunk until it is there; it
should be at most one chunk and 2 s. Keeping up means that the work per train is shorter than the time between trains:
if it is not, the delay grows with the length of the run, and the rate says by how much.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchkit import data

import dxflow
from dxflow.algorithms.average import Average
from dxflow.bench import machine
from dxflow.clusters import Local
from dxflow.live.folder import Ending, GrowingRun
from dxflow.live.following import follow
from dxflow.live.observers import Snapshot, Status
from dxflow.run.selection import First
from dxflow.simulate import make_run

PULSES, TRAIN_BYTES = 64, 64 * 16 * 512 * 128 * 4
ALLOWED = 2.0
"""Seconds beside one chunk."""
SMALL = {"detector": "AGIPD500K", "pulses": 4, "module_shape": (32, 32)}


class Delays:
    """Notes when snapshots are there."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def begin(self, about: Any) -> None:
        """Nothing is to be noted yet."""

    def snapshot(self, snapshot: Snapshot) -> None:
        """Note when a snapshot is there, and its last train."""
        self.seen.append((time.perf_counter(), snapshot.last_train))

    def status(self, status: Status) -> None:
        """Nothing of it is needed."""

    def close(self) -> None:
        """Nothing is left to do."""


class Writer(threading.Thread):
    """Closes files at their time, by renaming them.

    Parameters
    ----------
    made, run : path
        Where they are, and the run directory.
    seconds : float
        Between two sequences.
    """

    def __init__(self, made: Path, run: Path, seconds: float) -> None:
        super().__init__(daemon=True)
        self.made, self.run_folder, self.seconds = made, run, seconds
        files = sorted(made.glob("*.h5"))
        self.sequences = sorted({file.name[-8:] for file in files})
        self.files = {end: [f for f in files if f.name.endswith(end)] for end in self.sequences}
        self.closed: list[float] = []

    def run(self) -> None:
        """Close one sequence after the other."""
        began = time.perf_counter()
        for n, end in enumerate(self.sequences):
            time.sleep(max(0.0, began + (n + 1) * self.seconds - time.perf_counter()))
            for file in self.files[end]:
                file.rename(self.run_folder / file.name)
            self.closed.append(time.perf_counter())


def planner(run: Any, to: Path | None, *, chunk: str, resume: bool = False) -> dxflow.Plan:
    """Plan the mean image."""
    return dxflow.plan(run, Average(), to, mask=None, chunk=chunk, resume=resume, on_fault="mask", quiet=True)


def measure(args: argparse.Namespace, folder: Path, cluster: Any) -> dict[str, Any]:
    """Return the numbers of one run."""
    trains = max(2 * args.sequence, int(args.gb * 1e9 / TRAIN_BYTES) // args.sequence * args.sequence)
    size: dict[str, Any] = SMALL if args.small else {"pulses": PULSES}
    given = {"layout": "contiguous", "devices": (), "pool": 2, "first_train": 8 * 1024}
    made = make_run(folder / "made", trains=trains, sequences=trains // args.sequence, **given, **size)
    for file in Path(made.path).glob("*.h5"):
        # They have long been written.
        os.utime(file, (1, 1))
    # Workers run, and kernels are loaded.
    some = dxflow.FrameSelection(trains=First(2))
    dxflow.reduce(made.path, Average(), mask=None, frames=some, cluster=cluster, quiet=True)
    run = folder / "run"
    run.mkdir()
    delays, writer = Delays(), Writer(Path(made.path), run, args.sequence / args.rate)
    source = GrowingRun(run, planner, {"source": "bench"}, chunk=f"{args.chunk} trains", end=Ending(3.0))
    writer.start()
    follow(source, folder / "x.zarr", [delays], cluster)
    writer.join()
    first = int(made.train_ids[0])
    # The last one only waits for the end of the run.
    behind = [at - writer.closed[(last - first) // args.sequence] for at, last in delays.seen[:-1]]
    done = delays.seen[-2]
    seconds = done[0] - (writer.closed[0] - args.sequence / args.rate)
    nbytes = len(made.pulse_ids) * made.expected.size * 4
    return {
        "trains": trains,
        "GB": nbytes / 1e9,
        "chunk s": args.chunk / args.rate,
        "snapshots": len(delays.seen),
        "behind s": behind,
        "GB/s wanted": nbytes / trains * args.rate / 1e9,
        "GB/s": nbytes / seconds / 1e9,
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--small", action="store_true", help="sizes that take seconds: the numbers mean nothing")
    add("--gb", type=float, default=8, help="GB of frames of the run; default 8")
    add("--rate", type=float, default=10, help="trains/s; default 10")
    add("--chunk", type=int, default=4, help="trains of a chunk, a power of two; default 4")
    add("--sequence", type=int, default=8, help="trains of a file; default 8")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add("--json", type=Path, help="write the numbers to this file")
    add("--folder", type=Path, help="where the run is written; default: in memory if it has the room")
    args = parser.parse_args(argv)
    args.gb = 4 * args.sequence * TRAIN_BYTES / 1e9 if args.small else args.gb
    with ExitStack() as stack:
        local = Local(args.workers)
        stack.callback(local.close)
        cluster = local.start()
        stack.callback(cluster.close)
        folder = args.folder or stack.enter_context(data.folder(0 if args.small else int(args.gb * 1e9)))
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-live-", dir=folder))
        found = measure(args, Path(name), cluster)
    print(report(found, os.getloadavg()[0]))
    if args.json:
        args.json.write_text(json.dumps(found | machine.facts(), indent=1))


def report(found: dict[str, Any], load: float) -> str:
    """Return the numbers in words."""
    allowed, worst = found["chunk s"] + ALLOWED, max(found["behind s"])
    share = found["GB/s"] / found["GB/s wanted"]
    keeps = found["behind s"][-1] <= allowed
    behind = ", ".join(f"{one:.2f}" for one in found["behind s"])
    return "\n".join(
        [
            f"run      {found['trains']} trains, {found['GB']:.1f} GB, {found['snapshots']} snapshots, load {load:.0f}",
            f"rate     {found['GB/s']:.2f} GB/s of {found['GB/s wanted']:.2f} GB/s that come: {100 * share:.0f} %",
            f"behind   {behind} s; at most {worst:.2f} s, wanted {allowed:.2f} s",
            f"keeps up {'yes' if keeps else 'no: the delay grows with the run'}",
        ]
    )


if __name__ == "__main__":
    main()
