"""How far a live reduction is behind a run that grows at 10 trains/s of an AGIPD-1M, and whether it keeps up.

    python benchmarks/bench_live.py [--small] [--gb 8] [--rate 10] [--chunk 4] [--sequence 4] [--json FILE]

All files are written before, in memory where there is room, and closed by renaming them into the run directory at
their time: the writer costs nothing. "keeps up" is the rate from the first snapshot to the last one, which is that of
the run, or what the work can do: if that is less, the delay grows with the length of the run. A snapshot is behind
by the time from the rename of the file with its last train until it is there; it should be at most one chunk and 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
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
TOLERATED = 0.03
"""Share of the rate that is nothing."""
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
    trains = max(4 * args.sequence, int(args.gb * 1e9 / TRAIN_BYTES) // args.sequence * args.sequence)
    size: dict[str, Any] = SMALL if args.small else {"pulses": PULSES}
    given = {"layout": "contiguous", "devices": (), "pool": 2, "first_train": 8 * 1024}
    made = make_run(folder / "made", trains=trains, sequences=trains // args.sequence, **given, **size)
    for file in Path(made.path).glob("*.h5"):
        # They have long been written.
        os.utime(file, (1, 1))
    # Workers run, and kernels are loaded.
    some = dxflow.FrameSelection(trains=First(2))
    dxflow.reduce(made.path, Average(), mask=None, frames=some, cluster=cluster, quiet=True)
    run, seconds = folder / "run", args.sequence / args.rate
    run.mkdir()
    delays, writer = Delays(), Writer(Path(made.path), run, seconds)
    source = GrowingRun(run, planner, {"source": "bench"}, chunk=f"{args.chunk} trains", end=Ending(3.0))
    writer.start()
    live = follow(source, folder / "x.zarr", [delays], cluster)
    writer.join()
    offline = perf(dxflow.execute, planner(run, folder / "y.zarr", chunk=f"{args.chunk} trains"), cluster)
    nbytes = len(made.pulse_ids) * made.expected.size * 4
    train_bytes, first = nbytes / trains, int(made.train_ids[0])
    # The last one only waits for the end of the run.
    seen = [(at, last - first + 1) for at, last in delays.seen[:-1]]
    return {
        "trains": trains,
        "GB": nbytes / 1e9,
        "workers": args.workers,
        "chunk s": args.chunk / args.rate,
        "snapshots": len(delays.seen),
        "GB/s wanted": train_bytes * args.rate / 1e9,
        "GB/s": sustained(writer.closed, seen) * train_bytes / 1e9,
        "GB/s offline": nbytes / offline / 1e9,
        "behind s": [at - writer.closed[-(-done // args.sequence) - 1] for at, done in seen],
        "file s": waited(writer.closed, seen, args.sequence),
        "same": bool(live.dataset.equals(dxflow.open(folder / "y.zarr").dataset)),
        "load": os.getloadavg()[0],
    }


def perf(work: Any, *given: Any) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    work(*given, quiet=True)
    return time.perf_counter() - began


def sustained(closed: list[float], seen: list[tuple[float, int]]) -> float:
    """Return the trains per second from the first snapshot to the last one; from the first file, if there is but one.

    As many as come where they are kept up with; else what the work can do.
    """
    (began, before), (ended, done) = seen[0] if len(seen) > 1 else (closed[0], 0), seen[-1]
    return (done - before) / (ended - began)


def waited(closed: list[float], seen: list[tuple[float, int]], sequence: int) -> list[float]:
    """Return for each file how long it had been closed when the first snapshot with all its trains was there."""
    found = [
        next((at - when for at, done in seen if done >= (n + 1) * sequence), None)
        for n, when in enumerate(closed)
    ]
    return [one for one in found if one is not None]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--small", action="store_true", help="sizes that take seconds: the numbers mean nothing")
    add("--gb", type=float, default=8, help="GB of frames of the run; default 8, of which more says more")
    add("--rate", type=float, default=10, help="trains/s; default 10")
    add("--chunk", type=int, default=4, help="trains of a chunk, a power of two; default 4")
    add("--sequence", type=int, default=4, help="trains of a file; default 4")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add("--json", type=Path, help="write the numbers to this file")
    add("--folder", type=Path, help="where the run is written; default: in memory if it has the room")
    args = parser.parse_args(argv)
    args.gb = 8 * args.sequence * TRAIN_BYTES / 1e9 if args.small else args.gb
    with ExitStack() as stack:
        local = Local(args.workers)
        stack.callback(local.close)
        cluster = local.start()
        stack.callback(cluster.close)
        folder = args.folder or stack.enter_context(data.folder(0 if args.small else int(args.gb * 1e9)))
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-live-", dir=folder))
        found = measure(args, Path(name), cluster)
    print("SMALL DATA: the numbers mean nothing\n" * args.small + report(found))
    if args.json:
        args.json.write_text(json.dumps(found | machine.facts(), indent=1))


def report(found: dict[str, Any]) -> str:
    """Return the numbers as a table: what is wanted, what is so, and in words whether that is enough."""
    wanted, done, allowed = found["GB/s wanted"], found["GB/s"], found["chunk s"] + ALLOWED
    behind, files = found["behind s"], found["file s"]
    short = max(0.0, wanted - done)
    # A snapshot more or less at the ends of a short run.
    keeps = short <= TOLERATED * wanted or max(behind) <= allowed
    slow = f"NO: {short:.2f} GB/s ({short / wanted:.0%}) too slow, {wanted / done - 1:.2f} s more each s"
    late = f"NO: {max(behind) - allowed:.2f} s too late"
    rows = [
        ("", "wanted", "is", ""),
        ("keeps up, GB/s", f"{wanted:.2f}", f"{done:.2f}", "yes" if keeps else slow),
        (
            "newest snapshot behind, s",
            f"<= {allowed:.2f}",
            spread(behind),
            "yes" if max(behind) <= allowed else late,
        ),
        ("file closed -> in a snapshot, s", "", spread(files), "the worst: it comes when one has just begun"),
        (
            "the run offline, GB/s",
            "",
            f"{found['GB/s offline']:.2f}",
            "what these workers do when all is there",
        ),
        (
            "numbers = offline",
            "same bits",
            "same" if found["same"] else "OTHERS",
            "yes" if found["same"] else "NO",
        ),
    ]
    head = (
        f"{found['trains']} trains, {found['GB']:.1f} GB, {found['GB'] / wanted:.1f} s, {found['workers']} workers, "
        f"{found['snapshots']} snapshots, load {found['load']:.0f}"
    )
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    lines = [
        "  ".join(text.ljust(w) for text, w in zip(row, (*widths, 0), strict=True)).rstrip() for row in rows
    ]
    return "\n".join([head, *lines])


def spread(values: list[float]) -> str:
    """Return the median and the highest."""
    return f"{statistics.median(values):.2f}, at most {max(values):.2f}"


if __name__ == "__main__":
    main()
